"""Alerts and metrics: what is reported to people and to Prometheus."""
