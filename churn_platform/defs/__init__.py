"""The Dagster shell: assets, checks, jobs, sensors.

Each reads, makes one core call, writes, and says what it did.
"""
