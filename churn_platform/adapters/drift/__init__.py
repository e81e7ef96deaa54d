"""Evidently's drift report and the page made of it."""
