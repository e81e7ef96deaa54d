"""Features: the Feast repository, training datasets, and the offline store."""
