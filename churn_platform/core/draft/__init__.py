"""A contract drafted from the tables of a drop: every guess, each with what is to be confirmed.

Belongs here: nothing but this. `drafting` puts it together; `keys` (customer and label), `columns`, `tables`, `times`,
`leaks` (what is not a feature) and `words` (what a name gives away) serve it.
"""
