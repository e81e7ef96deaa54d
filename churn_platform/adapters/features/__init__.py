"""Feast: its repository, point-in-time joins, the training datasets made through it."""
