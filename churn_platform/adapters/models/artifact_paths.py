"""Where MLflow records its artifacts: absolute addresses in its database, made right when a home has moved.

Belongs here: those columns, and that the database is there at all. Does not: anything else of MLflow
(`adapters/models/registry.py`).
"""

import contextlib
import sqlite3
from pathlib import Path

from churn_platform.errors import IntegrityError

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
BUSY_SECONDS = 30.0


def relocate(database: Path, artifacts: Path) -> bool:
    """Let every address below another home's artifacts lead into this one's; whether any had to.

    A restored, copied or renamed home would keep reading and writing the artifacts of the place it came from.

    Args:
        database: MLflow's SQLite store; one that is not there is left alone.
        artifacts: the folder where the artifacts are now.

    Raises:
        IntegrityError: the store cannot be read or written.
    """
    if not database.exists():
        return False
    here = artifacts.as_uri()
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as store, store:
            strangers = [
                found
                for (found,) in store.execute("SELECT DISTINCT artifact_location FROM experiments")
                if found.startswith("file://") and found.endswith("/artifacts") and found != here
            ]
            for there in strangers:
                for table, column in COLUMNS:
                    store.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names are ours
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (here, len(there) + 1, there, len(there) + 1, f"{there}/"),
                    )
    except sqlite3.Error as error:
        raise IntegrityError(
            f"{database} records where a moved home's artifacts were, and cannot be read or corrected ({error}). Try "
            "again when no other process writes to it, or restore it from a backup."
        ) from None
    return bool(strangers)


def check_not_lost(home: Path, *, on_server: bool) -> None:
    """Refuse a home whose store is gone: MLflow would begin a new one, and number its versions from 1 again.

    Raises:
        IntegrityError: there is no store while a version is in production.
    """
    if not on_server and not (home / "mlflow.db").exists() and (home / "releases" / "production").exists():
        raise IntegrityError(
            f"{home / 'mlflow.db'} is missing although a version is in production. Restore it from a backup "
            "(`churn restore FILE --home NEW`); the model in production keeps serving."
        )
