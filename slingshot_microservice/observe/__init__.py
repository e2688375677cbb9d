"""What people see of a running service: for now, its log."""
