"""Answers for people: status, decisions, scores, and the warnings of each month."""
