"""The loop: what a home does next, the steps of a month, and when a new model is trained."""
