"""A stub for tools that ask for a setup.py; pyproject.toml holds the metadata."""

import setuptools

setuptools.setup()
