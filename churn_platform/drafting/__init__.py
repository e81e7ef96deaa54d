"""A contract drafted from the files of a drop: every guess, and what to confirm. `draft` puts
it together.
"""
