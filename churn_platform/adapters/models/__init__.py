"""Versions of the model: MLflow's registry, its server, where its artifacts are."""
