"""A churn model that keeps itself honest. This module has the version and imports nothing."""

__version__ = "0.2.0"
