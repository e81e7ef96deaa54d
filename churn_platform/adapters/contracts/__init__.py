"""Contracts as files: reading one, drafting one from a drop, saying what would fail."""
