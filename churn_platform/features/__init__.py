"""Features: the Feast repository, training datasets, the offline and the online store."""
