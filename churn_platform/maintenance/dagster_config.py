"""What Dagster reads of one home: `dagster/dagster.yaml`, with the storage that the settings
name.
"""

from pathlib import Path

from churn_platform.base.errors import UsageError
from churn_platform.base.files import write_text

NAME = "dagster.yaml"
POSTGRES_VARIABLE = "CHURN_DAGSTER_POSTGRES"
EMBEDDED = """# Written by `churn init`; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false             # no newsletter dialog over the lineage
concurrency:
  runs:
    max_concurrent_runs: 1   # one run at a time for a home
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60
run_retries:
  enabled: false             # the sensors try again by themselves, waiting longer each time
"""
ON_POSTGRES = (
    EMBEDDED
    + f"""storage:
  postgres:
    postgres_url:
      env: {POSTGRES_VARIABLE}   # never the password itself
"""
)


def write_configuration(folder: Path, *, on_postgres: bool) -> None:
    """Write dagster.yaml into `folder` (the home's `dagster/`); a file of the user's own stays
    as it is.

    Raises:
        UsageError: Dagster's storage is on Postgres and the settings do not say where.
    """
    file = folder / NAME
    found = file.read_text(encoding="utf-8") if file.exists() else None
    if found is not None and POSTGRES_VARIABLE in found and not on_postgres:
        raise UsageError(
            f"The Dagster storage of this home is on Postgres ({file}), and {POSTGRES_VARIABLE}"
            " is not set: set it, or name the profile that does with CHURN_PROFILE.",
            code="SETTING_MISSING",
        )
    wanted = ON_POSTGRES if on_postgres else EMBEDDED
    if found is None or (found == EMBEDDED and found != wanted):
        write_text(file, wanted)
