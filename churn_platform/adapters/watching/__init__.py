"""Telling people and Prometheus what happens to a home."""
