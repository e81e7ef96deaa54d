"""Benchmarks: one script a question, each with its floor.

Nothing of the product belongs here, and no test.
"""
