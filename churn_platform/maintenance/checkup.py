"""The check-up behind `churn doctor`: every check reports what it found and what to do."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Literal

from churn_platform.alerting.dagster_ui import HOST, port_is_free
from churn_platform.base.library_errors import sentence_of
from churn_platform.ingestion.drop import INCOMING
from churn_platform.maintenance import erasing as forgetting
from churn_platform.services import Services

Check = dict[str, str]
State = Literal["ok", "warn", "error"]
LIBRARIES = (
    "dagster",
    "dagster-mlflow",
    "mlflow",
    "feast",
    "evidently",
    "bentoml",
    "pandas",
    "scikit-learn",
    "lightgbm",
)
LEAST_FREE = 1_000_000_000
"""Bytes; a month of 10,000 customers takes about 30 MB with its reports."""


def check_up(home: Services) -> list[Check]:
    """Run every check; one that cannot run is an error of its own, and the others still run."""
    found: list[Check] = []
    for check in CHECKS:
        try:
            found += list(check(home))
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the other checks still run
            name = check.__name__.strip("_").replace("_", " ")
            found.append(
                _check(name, "error", sentence_of(error), "fix the problem, then run this again")
            )
    return found


def _versions(_: Services) -> Iterator[Check]:
    python = ".".join(str(part) for part in sys.version_info[:3])
    sound = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield _check(
        "python", "ok" if sound else "error", python, "" if sound else "use Python 3.11 or 3.12"
    )
    versions = {name: metadata.version(name) for name in LIBRARIES}
    yield _check(
        "libraries",
        "ok",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        "",
    )
    release = versions["dagster"].split(".")
    partner = versions["dagster-mlflow"].split(".")
    if (partner[1], partner[2]) != (str(int(release[1]) + 16), release[2]):
        yield _check(
            "dagster-mlflow",
            "error",
            "not of Dagster's release",
            "run `uv sync`: the two move together",
        )


def _port(home: Services) -> Iterator[Check]:
    port = home.settings.ui_port
    free = port_is_free(port)
    if free:
        remedy = ""
    else:
        remedy = "a running `churn ui`, or set CHURN_UI_PORT"
    yield _check(
        "port",
        "ok" if free else "warn",
        f"{HOST}:{port} is {'free' if free else 'taken'}",
        remedy,
    )


def _write_access(home: Services) -> Iterator[Check]:
    folder = home.folder
    while not folder.exists():
        folder = folder.parent
    writable = os.access(folder, os.W_OK)
    if writable:
        remedy = ""
    else:
        remedy = f"make {folder} writable or choose another home"
    yield _check("write access", "ok" if writable else "error", str(home.folder), remedy)
    free = shutil.disk_usage(folder).free
    enough = free >= LEAST_FREE
    yield _check(
        "disk",
        "ok" if enough else "warn",
        f"{free / 1e9:.1f} GB free",
        "" if enough else "make room",
    )


def _contract(home: Services) -> Iterator[Check]:
    contract = home.contract
    yield _check(
        "contract",
        "ok",
        f"{contract.name}: {len(contract.features)} features, {home.contract_path}",
        "",
    )


def _drops(home: Services) -> Iterator[Check]:
    entries = list(home.drops.iterdir()) if home.drops.is_dir() else []
    cut = [entry.name for entry in entries if (entry / INCOMING).exists()]
    if cut:
        yield _check(
            "drops",
            "warn",
            f"partly ingested: {', '.join(cut)}",
            "run `churn ingest` for them again",
        )
    else:
        yield _check("drops", "ok", f"{len(entries)} in {home.drops}", "")


def _lake(home: Services) -> Iterator[Check]:
    months = home.lake.months()
    lost = [
        f"{month} {table}"
        for month in months
        for delivery in home.lake.deliveries(month)
        for table, entry in delivery.tables.items()
        if not (home.lake.folder / entry.file).exists()
    ]
    if lost:
        yield _check(
            "lake",
            "error",
            f"files are gone: {', '.join(lost[:3])}",
            "restore them from a backup",
        )
    else:
        yield _check("lake", "ok", f"{len(months)} months", "")


def _forgetting(home: Services) -> Iterator[Check]:
    if (plan := home.folder / forgetting.FOLDER / forgetting.PLAN).exists():
        found = f"a customer is not completely forgotten yet, and {plan} names the key"
        yield _check(
            "forgetting",
            "error",
            found,
            "run `churn doctor --fix`, which completes it or reports why not",
        )


def _ledger(home: Services) -> Iterator[Check]:
    pointer = home.releases.pointer()
    broken = home.ledger.verify(None if pointer is None else pointer.ledger_head)
    if broken is not None:
        yield _check(
            "ledger",
            "error",
            f"receipt {broken.sequence}: {broken.detail}",
            "restore ledger/ from a backup",
        )
    else:
        head = home.ledger.head()
        yield _check(
            "ledger", "ok", f"{0 if head is None else head.sequence} receipts, chain valid", ""
        )


def _production(home: Services) -> Iterator[Check]:
    pointer = home.releases.pointer()
    if pointer is None:
        yield _check("production", "ok", "no model yet", "")
        return
    home.releases.verify(pointer.version)
    from churn_platform.training.registry import PRODUCTION

    alias = home.registry.alias(PRODUCTION)
    if alias != pointer.version and not home.registry.has(pointer.version):
        found = f"version {pointer.version} serves from its release; it was deleted in MLflow"
        yield _check(
            "production", "error", found, "`churn rollback`, or restore the home from a backup"
        )
    elif alias != pointer.version:
        found = f"release says version {pointer.version}, MLflow's alias {alias}"
        yield _check("production", "error", found, "run `churn doctor --fix`")
    else:
        yield _check(
            "production",
            "ok",
            f"version {pointer.version}: release, digests and alias agree",
            "",
        )


def _alerts(home: Services) -> Iterator[Check]:
    receivers = home.alerts.waiting()
    if not receivers:
        yield _check("alerts", "ok", "no receiver is set (CHURN_ALERT_URLS)", "")
    for receiver in receivers:
        failed = (
            f"it {receiver['error']} at {receiver['failures']} tries, {receiver['unsent']} wait"
        )
        if receiver["failures"]:
            found = failed
        else:
            found = f"{receiver['sent']} sent, {receiver['unsent']} wait"
        lost = f", {receiver['lost']} given up" if receiver["lost"] else ""
        if receiver["failures"]:
            remedy = "try it with `churn alert --test`"
        else:
            remedy = ""
        state: State = "warn" if receiver["failures"] else "ok"
        yield _check("alerts", state, f"{receiver['receiver']}: {found}{lost}", remedy)


CHECKS: tuple[Callable[[Services], Iterator[Check]], ...] = (
    _versions,
    _port,
    _write_access,
    _contract,
    _drops,
    _lake,
    _forgetting,
    _ledger,
    _production,
    _alerts,
)


def _check(name: str, state: State, found: str, remedy: str) -> Check:
    return {"check": name, "state": state, "found": found, "remedy": remedy}
