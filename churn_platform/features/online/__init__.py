"""The online store: where it is, how rows are encoded, reading and writing them."""
