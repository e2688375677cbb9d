"""The fault ledger: what happens to every id when things go wrong; see `ledger`."""
