"""Releases and everything that a server needs of a home; imports no heavy library."""
