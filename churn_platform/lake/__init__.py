"""The lake: published snapshots, what was known when, and the records of each month."""
