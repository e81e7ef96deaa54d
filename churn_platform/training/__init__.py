"""Training: the pipeline, candidates, the MLflow registry and release files."""
