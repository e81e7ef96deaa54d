"""A home's models moved from its own MLflow store to the server of the settings: all of it,
compared, then one switch.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.audit.checks import CheckResult
from churn_platform.audit.deep_checks import check_registry
from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.base.files import fsync_folder, read_json, sha256_file, write_json
from churn_platform.ledger.acts import HomeMoved
from churn_platform.maintenance.mlflow_copy import MlflowCopy, OnCopied, unknown_sources
from churn_platform.maintenance.mlflow_history import read_history
from churn_platform.services import Services
from churn_platform.training.mlflow_server import MARKER, MlflowServer, client_of, relocate

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

JOURNAL = "mlflow_move.json"
"""In a home while it is moved: under which mark, and, once everything is on the server, what
the receipt records.
"""


@dataclass(frozen=True)
class Moved:
    """What a move came to.

    Attributes:
        server: Where the models are now.
        kept: Name of the store of before, in the home.
        versions: Their numbers.
        deleted: Numbers of versions that were deleted before, and stay unused.
        runs: How many.
        files: How many artifacts.
        left: Other experiments and models of the old store: they stay there.
    """

    server: str
    kept: str
    versions: list[int]
    deleted: list[int]
    runs: int
    files: int
    left: list[str]


def move(home: Services, on_copied: OnCopied = lambda _done, _total: None) -> Moved:
    """Move a home's models, and the newest month's online rows, to the servers of its settings.

    Raises:
        UsageError: the settings name no server, the home has no store of its own, or the server
            has such a model.
        IntegrityError: the home has a fault, or what arrived is not what was sent; the home
            stays where it was.
        StoreDown: a server does not answer; the home stays where it was.
        HomeBusy: a run holds the home.
    """
    server = MlflowServer(home.folder, _server(home))
    with home.exclusive("`churn move`"):
        if (done := finish(home)) is not None:
            return done
        _check_movable(home)
        if away := server.away():
            raise StoreDown(f"{away} Nothing was moved.")
        relocate(home.folder / "mlflow.db", home.folder / "artifacts")
        _check_sound(home)
        owner = _journal(home)
        with _said_by(server):
            moved, store = _copy(home, server, owner, on_copied)
        _fill_online(home)
        _check_still(home, store)
        write_json(home.folder / JOURNAL, {"owner": owner, "moved": asdict(moved), "store": store})
        write_json(home.folder / MARKER, {"owner": owner})
        finish(home)
        return moved


def finish(home: Services) -> Moved | None:
    """Complete a move that was cut off after the switch; None if absent. The caller holds the
    home.
    """
    journal = home.folder / JOURNAL
    if not journal.exists() or not (home.folder / MARKER).exists():
        return None
    said = read_json(journal)
    moved = Moved(**said["moved"])
    old = home.folder / "mlflow.db"
    if old.exists():
        old.rename(home.folder / moved.kept)
        fsync_folder(home.folder)
    recorded = {HomeMoved.of(receipt).move for receipt in home.ledger.receipts("home moved")}
    if said["owner"] not in recorded:
        home.ledger.append(
            HomeMoved(
                subject=home.contract.model_name,
                before="mlflow.db",
                after=moved.server,
                reason=(
                    f"{_counted(moved)} of the home's own MLflow store are on the server,"
                    f" compared one by one; the old store is kept as {moved.kept}."
                ),
                move=said["owner"],
                store=said["store"],
                **asdict(moved),
            )
        )
    journal.unlink()
    return moved


def _counted(moved: Moved) -> str:
    return f"{len(moved.versions):,} versions, {moved.runs:,} runs and {moved.files:,} files"


def _server(home: Services) -> str:
    if not home.settings.mlflow_uri:
        raise UsageError(
            "`churn move` takes a home to the servers of its settings, and CHURN_MLFLOW_URI"
            " names none: set it, or name the profile that does with CHURN_PROFILE.",
            code="SETTING_MISSING",
        )
    return home.settings.mlflow_uri


def _check_movable(home: Services) -> None:
    if (home.folder / MARKER).exists():
        raise UsageError(
            f"The models of {home.folder} are on an MLflow server already: there is nothing to"
            " move.",
            code="MOVE_NOT_NEEDED",
        )
    if not (home.folder / "mlflow.db").exists():
        raise UsageError(
            f"{home.folder} has no MLflow store of its own: `churn run` begins one on the server.",
            code="MOVE_NOT_NEEDED",
        )


def _check_sound(home: Services) -> None:
    """Refuse to move a fault that could later be mistaken for one of the move."""
    before = _as_before(home)

    def results() -> Iterator[CheckResult]:
        yield from before.verification.verify()
        yield from check_registry(before.registry, before.releases, before.ledger.receipts())

    if fault := next(
        (result.detail for result in results() if result.state in ("broken", "unseen")),
        None,
    ):
        raise IntegrityError(
            f"The home has a fault, so nothing was moved: {fault}. Fix it first (`churn verify"
            " --deep`, `churn doctor --fix`, with CHURN_MLFLOW_URI unset)."
        )


def _as_before(home: Services) -> Services:
    """The home on its own store, which the settings no longer name; a server that runs already
    may serve anything.
    """
    return Services(home.settings.model_copy(update={"mlflow_uri": ""}), home.now)


def _journal(home: Services) -> str:
    """The mark under which this home owns what it writes on the server; the same for every try."""
    file = home.folder / JOURNAL
    if not file.exists():
        write_json(file, {"owner": secrets.token_hex(8)})
    return str(read_json(file)["owner"])


def _copy(
    home: Services, server: MlflowServer, owner: str, on_copied: OnCopied
) -> tuple[Moved, str]:
    """Write everything to the server and read it back; what it came to, and the old store's
    digest.
    """
    name = home.contract.model_name
    client = client_of(server.uri)
    source = client_of(_as_before(home).registry.tracking_uri)
    store = sha256_file(home.folder / "mlflow.db")
    last = _newest_number(home.folder / "mlflow.db", name)
    history = read_history(source, name)
    if lost := next(iter(unknown_sources(history)), None):
        raise UsageError(
            f"Version {lost} has its files outside this home's experiment"
            f" ({history.versions[lost].source}): delete it in MLflow or register it from a run"
            " of the home; nothing was moved."
        )
    copy = MlflowCopy(client, name, owner)
    copy.make_room()
    copy.write(history, last, on_copied)
    arrived = read_history(client, name, {*copy.ids.values()})
    if difference := history.first_difference(
        arrived.named_as({new: old for old, new in copy.ids.items()})
    ):
        raise IntegrityError(
            f"What arrived at {server.uri} is not what was sent ({difference}): nothing was"
            " switched over, run this again."
        )
    files = sum(len(one.files) for kind in (history.runs, history.models) for one in kind.values())
    kept = f"mlflow-before-{home.now():%Y%m%dT%H%M%SZ}.db"
    versions = sorted(history.versions)
    deleted = sorted({*range(1, last + 1)} - {*versions})
    return (
        Moved(
            server.uri,
            kept,
            versions,
            deleted,
            len(history.runs),
            files,
            list(_left(source, name)),
        ),
        store,
    )


def _check_still(home: Services, store: str) -> None:
    if sha256_file(home.folder / "mlflow.db") != store:
        raise IntegrityError(
            f"Another process wrote to {home.folder / 'mlflow.db'} meanwhile. Nothing was"
            " switched. Run this again when it has stopped."
        )


def _fill_online(home: Services) -> None:
    """The newest month's rows in the online store of the settings, where that is not the home's
    own.
    """
    months = home.lake.months()
    if not home.online.said or not months or home.feature_store.online_as_of() is not None:
        return
    now = home.now()
    home.feature_store.apply(home.lake.view(now, as_at_scoring=True))
    home.feature_store.materialize(home.lake.view(now, as_at_scoring=False), months[-1])


def _newest_number(database: Path, name: str) -> int:
    """The highest number that a version ever had: MLflow keeps the rows of deleted ones,
    without showing them.
    """
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
    """What else is in the store: not of the loop, so not moved."""
    for experiment in client.search_experiments():
        if experiment.name != name and client.search_runs(
            [experiment.experiment_id], max_results=1
        ):
            yield f"experiment {experiment.name}"
    for model in client.search_registered_models():
        if model.name != name:
            yield f"model {model.name}"


@contextlib.contextmanager
def _said_by(server: MlflowServer) -> Iterator[Any]:
    """What MLflow and its client raise, as one sentence."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        raise server.down(error) from error
