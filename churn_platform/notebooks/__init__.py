"""The Python API for notebooks and scripts: a home that is opened to be read."""
