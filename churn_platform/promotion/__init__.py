"""Promotion: criteria, decisions, approvals, and the change of production."""
