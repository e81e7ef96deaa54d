"""A contract drafted from the tables of a drop: every guess, each with what to confirm.
`drafting` puts it together.
"""
