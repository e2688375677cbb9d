"""The demo: three services in a chain that look through Python's own standard library.

``check`` tells what parses from what does not, ``measure`` measures it, ``gather`` adds it up.
"""
