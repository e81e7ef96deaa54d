"""Benchmarks: one script per question, each with the floor that the result is compared with."""
