"""What a home does next, and when a new model is trained."""
