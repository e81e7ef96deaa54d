"""The online store: where it is, Feast's encoding of its rows, and reading them without Feast."""
