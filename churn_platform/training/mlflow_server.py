"""Where a home's MLflow store is: a database in the home, or a server that homes share."""

import contextlib
import io
import logging
import secrets
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.base.files import read_json, replacing, write_json

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def client_of(uri: str) -> "MlflowClient":
    """A client of the tracking store and the registry at an address."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def prepare_store(store: Path, model_name: str, artifacts: Path) -> None:
    """Create the store, experiment and registered model; the caller holds a lock.

    A new store is created under a temporary name: MLflow migrates an empty file in dozens of
    commits, and a store that was interrupted there, or opened by a second process, stays broken.
    """
    if store.exists():
        _furnish(client_of(f"sqlite:///{store}"), model_name, artifacts)
        return
    for leftover in store.parent.glob(f".{store.name}.*.tmp*"):
        leftover.unlink()
    with replacing(store) as temporary:
        _furnish(client_of(f"sqlite:///{temporary}"), model_name, artifacts)


def _furnish(client: "MlflowClient", model_name: str, artifacts: Path) -> None:
    """With an explicit location: otherwise artifacts go to ./mlruns of the working directory."""
    if client.get_experiment_by_name(model_name) is None:
        client.create_experiment(model_name, artifact_location=artifacts.as_uri())
    if not client.search_registered_models(f"name='{model_name}'"):
        client.create_registered_model(model_name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow and alembic, which report every step on stdout and stderr."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


MARKER = "mlflow_server.json"
"""The file of a home whose models are on a server: its name as owner, without the address."""
OWNER = "churn.home"
PATIENCE = 5.0


class MlflowServer:
    """The server at `uri`, as one home uses it."""

    def __init__(self, home: Path, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._marker = home / MARKER

    def away(self) -> str | None:
        """Why the server cannot be used now, as a sentence; None if it answers."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=PATIENCE):  # noqa: S310 - http(s) by the settings
                return None
        except (urllib.error.URLError, OSError) as error:
            return f"MLflow at {self.uri} does not answer ({getattr(error, 'reason', error)})."

    def down(self, error: Exception) -> StoreDown:
        """The error for a request that failed, unless because something does not exist."""
        return StoreDown(
            f"MLflow at {self.uri} did not answer as expected"
            f" ({str(error).splitlines()[0][:200]}): check the server and its login, then run"
            " this again."
        )

    def claim(self, client: "MlflowClient", model_name: str) -> None:
        """Create the experiment and the registered model of this home, once.

        Raises:
            UsageError: the registered model belongs to another home.
            StoreDown: the server does not answer, or refuses this login.
        """
        from mlflow.exceptions import MlflowException

        try:
            if client.get_experiment_by_name(model_name) is None:
                client.create_experiment(model_name)  # the server stores the artifacts
            found = client.search_registered_models(f"name='{model_name}'")
            owner = found[0].tags.get(OWNER) if found else None
            if self._marker.exists():
                mine = str(read_json(self._marker)["owner"])
            else:
                mine = secrets.token_hex(8)
            if owner is not None and owner != mine:
                raise UsageError(
                    f"{model_name} at {self.uri} belongs to another home: give this one a"
                    " server of its own, or its contract another model name.",
                    code="NAME_TAKEN",
                )
            # The marker comes first: a kill after it leaves no model without an owner.
            write_json(self._marker, {"owner": mine})
            if not found:
                client.create_registered_model(model_name, tags={OWNER: mine})
            elif owner is None:
                client.set_registered_model_tag(model_name, OWNER, mine)
        except MlflowException as error:
            raise self.down(error) from error


def check_place(home: Path, *, on_server: bool) -> None:
    """Check that the models of a home are where the settings say, and not lost.

    Raises:
        UsageError: they are in the home but the settings name a server, or vice versa.
        IntegrityError: the home's store is missing while a version is in production: MLflow
            would create one and number from 1 again.
    """
    store = home / "mlflow.db"
    if on_server and store.exists() and not (home / MARKER).exists():
        raise UsageError(
            f"The models of this home are in its own MLflow store ({store}), and"
            " CHURN_MLFLOW_URI names a server: unset it, or take the home there with `churn"
            " move`.",
            code="MLFLOW_ELSEWHERE",
        )
    if not on_server and (home / MARKER).exists():
        raise UsageError(
            "The models of this home are on an MLflow server, and CHURN_MLFLOW_URI is not set:"
            " set it, or name the profile that does with CHURN_PROFILE.",
            code="MLFLOW_ELSEWHERE",
        )
    if not on_server and not store.exists() and (home / "releases" / "production").exists():
        raise IntegrityError(
            f"{store} is missing although a version is in production. Restore it"
            " from a backup (`churn restore FILE --home NEW`); the model in production keeps"
            " serving.",
            code="MLFLOW_MISSING",
        )


COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
BUSY_SECONDS = 30.0


def relocate(database: Path, artifacts: Path) -> bool:
    """Point the addresses of a restored, copied or renamed home at its own artifacts.

    Otherwise it keeps reading and writing the artifacts of the home it came from.

    Args:
        database: MLflow's SQLite store; nothing happens if it does not exist.
        artifacts: the folder of the artifacts.

    Returns:
        Whether an address was changed.

    Raises:
        IntegrityError: the store cannot be read or written.
    """
    if not database.exists():
        return False
    here = artifacts.as_uri()
    try:
        with (
            contextlib.closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as store,
            store,
        ):
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
            f"{database} records where a moved home's artifacts were, and cannot be read or"
            f" corrected ({error}). Try again when no other process writes to it, or restore it"
            " from a backup."
        ) from None
    return bool(strangers)
