"""What people and programs see of a running service: its log, and answers for probes."""
