"""Drift: measured per column, judged against a noise floor, shown with Evidently."""
