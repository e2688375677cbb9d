"""Build script; the metadata is in pyproject.toml.

It is the place where the compiled hot path will be declared. The package is complete without it.
"""

from setuptools import setup

setup()
