"""Moves a home's models from its own MLflow store to a server, compares both, then switches."""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.audit.checks import CheckResult
from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.base.files import fsync_folder, read_json, sha256_file, write_json
from churn_platform.base.home import Home
from churn_platform.ledger.acts import HomeMoved
from churn_platform.ledger.store import LedgerStore
from churn_platform.maintenance.mlflow_history import MlflowCopy, OnCopied, read_history, renamed
from churn_platform.training.mlflow_server import MARKER, MlflowServer, client_of, relocate

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

JOURNAL = "mlflow_move.json"
"""In a home while it is moved: its mark on the server, later also what the receipt records."""


@dataclass(frozen=True)
class Moved:
    """The result of a move.

    Attributes:
        server: where the models are now.
        kept: name of the old store, in the home.
        versions: numbers of the versions.
        deleted: numbers of versions that were deleted before; they stay unused.
        runs: number of runs.
        files: number of artifacts.
        left: other experiments and models of the old store; they stay there.
    """

    server: str
    kept: str
    versions: list[int]
    deleted: list[int]
    runs: int
    files: int
    left: list[str]


@dataclass(frozen=True)
class MlflowMove:
    """Moves one home to the servers of its settings."""

    home: Home
    model_name: str
    ledger: LedgerStore
    find_faults: Callable[[], Iterable[CheckResult]]
    """Verifies the home on its own store, which the settings no longer name."""
    own_store: Callable[[], str]
    """The address of that store."""
    fill_online_store: Callable[[], None]

    def move(self, on_copied: OnCopied = lambda _done, _total: None) -> Moved:
        """Move the models, and the newest month's online rows.

        Raises:
            UsageError: the settings name no server, the home has no store of its own, or the
                server has such a model.
            IntegrityError: the home has a fault, or what arrived is not what was sent; the home
                stays where it was.
            StoreDown: a server does not answer; the home stays where it was.
            HomeBusy: a run holds the home.
        """
        folder = self.home.folder
        uri = self.home.settings.mlflow_uri
        if not uri:
            raise UsageError(
                "`churn move` moves a home to the servers of its settings, and CHURN_MLFLOW_URI"
                " is not set. Set it, or name the profile that does with CHURN_PROFILE.",
                code="SETTING_MISSING",
            )
        server = MlflowServer(folder, uri)
        with self.home.exclusive("`churn move`"):
            if (done := self.finish()) is not None:
                return done
            self._check_movable()
            if away := server.away():
                raise StoreDown(f"{away} Nothing was moved.")
            relocate(folder / "mlflow.db", folder / "artifacts")
            self._check_faults()
            owner = self._owner()
            with _explained_by(server):
                moved, store = self._copy(server, owner, on_copied)
            self.fill_online_store()
            database = folder / "mlflow.db"
            if sha256_file(database) != store:
                raise IntegrityError(
                    f"Another process wrote to {database} meanwhile. Nothing was switched. Run"
                    " this again when it has stopped."
                )
            write_json(folder / JOURNAL, {"owner": owner, "moved": asdict(moved), "store": store})
            write_json(folder / MARKER, {"owner": owner})
            self.finish()
            return moved

    def finish(self) -> Moved | None:
        """Complete a move that was interrupted after the switch. The caller holds the home."""
        folder = self.home.folder
        journal = folder / JOURNAL
        if not journal.exists() or not (folder / MARKER).exists():
            return None
        noted = read_json(journal)
        moved = Moved(**noted["moved"])
        old = folder / "mlflow.db"
        if old.exists():
            old.rename(folder / moved.kept)
            fsync_folder(folder)
        recorded = {HomeMoved.of(receipt).move for receipt in self.ledger.receipts("home moved")}
        if noted["owner"] not in recorded:
            counted = (
                f"{len(moved.versions):,} versions, {moved.runs:,} runs and {moved.files:,} files"
            )
            self.ledger.append(
                HomeMoved(
                    subject=self.model_name,
                    before="mlflow.db",
                    after=moved.server,
                    reason=(
                        f"{counted} of the home's own MLflow store are on the server, compared"
                        f" one by one; the old store is kept as {moved.kept}."
                    ),
                    move=noted["owner"],
                    store=noted["store"],
                    **asdict(moved),
                )
            )
        journal.unlink()
        return moved

    def _check_movable(self) -> None:
        folder = self.home.folder
        if (folder / MARKER).exists():
            raise UsageError(
                f"The models of {folder} are on an MLflow server already.", code="MOVE_NOT_NEEDED"
            )
        if not (folder / "mlflow.db").exists():
            raise UsageError(
                f"{folder} has no MLflow store of its own. `churn run` creates one on the server.",
                code="MOVE_NOT_NEEDED",
            )

    def _check_faults(self) -> None:
        """Refuse to move a fault that could later seem to come from the move."""
        for finding in self.find_faults():
            if finding.state in ("broken", "unseen"):
                raise IntegrityError(
                    f"The home has a fault, so nothing was moved: {finding.detail}. Fix it first"
                    " (`churn verify --deep`, `churn doctor --fix`, with CHURN_MLFLOW_URI unset)."
                )

    def _owner(self) -> str:
        """The mark of what this home writes on the server; the same for every try."""
        file = self.home.folder / JOURNAL
        if not file.exists():
            write_json(file, {"owner": secrets.token_hex(8)})
        return str(read_json(file)["owner"])

    def _copy(self, server: MlflowServer, owner: str, on_copied: OnCopied) -> tuple[Moved, str]:
        """Write everything to the server and read it back.

        Returns:
            What was moved, and the digest of the old store.
        """
        name = self.model_name
        database = self.home.folder / "mlflow.db"
        client = client_of(server.uri)
        source = client_of(self.own_store())
        store = sha256_file(database)
        last = _newest_number(database, name)
        history = read_history(source, name)
        if lost := history.unknown_sources():
            raise UsageError(
                f"The files of version {lost[0]} are outside this home's experiment"
                f" ({history.versions[lost[0]].source}). Delete it in MLflow, or register it from a"
                " run of the home. Nothing was moved."
            )
        copy = MlflowCopy(client, name, owner)
        copy.make_room()
        copy.write(history, last, on_copied)
        arrived = read_history(client, name, {*copy.ids.values()})
        old_ids = {new: old for old, new in copy.ids.items()}
        if difference := history.first_difference(renamed(arrived, old_ids)):
            raise IntegrityError(
                f"What arrived at {server.uri} is not what was sent ({difference}). Nothing was"
                " switched. Run this again."
            )
        versions = sorted(history.versions)
        files = [run.files for run in history.runs.values()]
        files += [model.files for model in history.models.values()]
        moved = Moved(
            server=server.uri,
            kept=f"mlflow-before-{self.home.now():%Y%m%dT%H%M%SZ}.db",
            versions=versions,
            deleted=sorted({*range(1, last + 1)} - {*versions}),
            runs=len(history.runs),
            files=sum(map(len, files)),
            left=list(_left(source, name)),
        )
        return moved, store


def _newest_number(database: Path, name: str) -> int:
    """The highest number that a version ever had; MLflow keeps deleted ones in its tables."""
    with contextlib.closing(
        sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)
    ) as store:
        return int(
            store.execute(
                "SELECT max(version) FROM model_versions WHERE name = ?", (name,)
            ).fetchone()[0]
            or 0
        )


def _left(client: "MlflowClient", name: str) -> Iterator[str]:
    """What else is in the store; it is not the loop's, so it is not moved."""
    for experiment in client.search_experiments():
        if experiment.name != name and client.search_runs(
            [experiment.experiment_id], max_results=1
        ):
            yield f"experiment {experiment.name}"
    for model in client.search_registered_models():
        if model.name != name:
            yield f"model {model.name}"


@contextlib.contextmanager
def _explained_by(server: MlflowServer) -> Iterator[Any]:
    """Turn the errors of MLflow and its client into one of ours."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        raise server.down(error) from error
