"""Performance on matured labels, and challengers of production."""
