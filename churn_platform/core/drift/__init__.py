"""Drift: what is measured, against which floor, and the verdict of each column."""
