"""Everything that Dagster loads: assets, checks, jobs, sensors and schedules."""
