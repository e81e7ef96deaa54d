"""Backup, restore, repair, erasure of a customer, and moving MLflow."""
