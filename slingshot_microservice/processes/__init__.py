"""Several processes of one service: the parent that looks after them, and its end of each child.

The parent knows nothing of services, brokers and databases. What joins it to a child is a socket:
the child says on it how far it is, and takes its end for the parent's.
"""
