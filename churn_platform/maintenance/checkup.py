"""The checks of `churn doctor`; each reports what it found and what to do."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from churn_platform.alerting.alerts import Alerts
from churn_platform.alerting.dagster_ui import HOST, port_is_free
from churn_platform.audit.contact_plans import PlanChecks
from churn_platform.audit.experiments import check_experiments
from churn_platform.base.home import Home
from churn_platform.base.library_errors import sentence_of
from churn_platform.base.text import counted
from churn_platform.contacts.plans import REGISTERED
from churn_platform.contract.model import Contract
from churn_platform.events.derived_tables import DerivedTables
from churn_platform.ingestion.drop import INCOMING
from churn_platform.ingestion.drop_source import DropSource
from churn_platform.lake.lake import Lake
from churn_platform.lake.place_files import PlaceListing, missing_files
from churn_platform.ledger.store import LedgerStore
from churn_platform.maintenance import erasure
from churn_platform.scoring.contact_planning import ContactPlanning
from churn_platform.training.registry import PRODUCTION, ModelRegistry
from churn_platform.training.releases import Releases

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


@dataclass(frozen=True)
class Checkup:
    """Checks one home. What needs a valid contract is opened late, by the check that uses it."""

    home: Home
    contract_path: Path
    contract: Callable[[], Contract]
    lake: Callable[[], Lake]
    registry: Callable[[], ModelRegistry]
    releases: Releases
    ledger: LedgerStore
    alerts: Alerts
    contact_planning: Callable[[], ContactPlanning]
    drop_source: DropSource | None = None

    def run(self) -> list[Check]:
        """Run every check; one that cannot run is an error, and the others still run."""
        checks: dict[str, Callable[[], Iterator[Check]]] = {
            "versions": self._versions,
            "port": self._port,
            "write access": self._write_access,
            "contract": self._contract,
            "drops": self._drops,
            "drop source": self._drop_source,
            "lake": self._lake,
            "lake place": self._lake_place,
            "forgetting": self._erasure,
            "ledger": self._ledger,
            "contact plans": self._contact_plans,
            "production": self._production,
            "experiments": self._experiments,
            "alerts": self._alerts,
        }
        found: list[Check] = []
        for name, check in checks.items():
            try:
                found += list(check())
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the other checks run
                says = sentence_of(error)
                found.append(_check(name, "error", says, "fix the problem, then run this again"))
        return found

    def _versions(self) -> Iterator[Check]:
        python = ".".join(str(part) for part in sys.version_info[:3])
        if (3, 11) <= sys.version_info[:2] < (3, 13):
            yield _check("python", "ok", python, "")
        else:
            yield _check("python", "error", python, "use Python 3.11 or 3.12")
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

    def _port(self) -> Iterator[Check]:
        port = self.home.settings.ui_port
        if port_is_free(port):
            yield _check("port", "ok", f"{HOST}:{port} is free", "")
        else:
            remedy = "a running `churn ui`, or set CHURN_UI_PORT"
            yield _check("port", "warn", f"{HOST}:{port} is taken", remedy)

    def _write_access(self) -> Iterator[Check]:
        folder = self.home.folder
        while not folder.exists():
            folder = folder.parent
        if os.access(folder, os.W_OK):
            yield _check("write access", "ok", str(self.home.folder), "")
        else:
            remedy = f"make {folder} writable or choose another home"
            yield _check("write access", "error", str(self.home.folder), remedy)
        free = shutil.disk_usage(folder).free
        if free >= LEAST_FREE:
            yield _check("disk", "ok", f"{free / 1e9:.1f} GB free", "")
        else:
            yield _check("disk", "warn", f"{free / 1e9:.1f} GB free", "free some space")

    def _contract(self) -> Iterator[Check]:
        contract = self.contract()
        yield _check(
            "contract",
            "ok",
            f"{contract.name}: {len(contract.features)} features, {self.contract_path}",
            "",
        )

    def _drops(self) -> Iterator[Check]:
        entries = list(self.home.drops.iterdir()) if self.home.drops.is_dir() else []
        cut = [entry.name for entry in entries if (entry / INCOMING).exists()]
        if cut:
            yield _check(
                "drops",
                "warn",
                f"partly ingested: {', '.join(cut)}",
                "run `churn ingest` for them again",
            )
        else:
            yield _check("drops", "ok", f"{len(entries)} in {self.home.drops}", "")

    def _drop_source(self) -> Iterator[Check]:
        if self.drop_source is None:
            return
        away = self.drop_source.away()
        if away is None:
            yield _check("drop source", "ok", self.drop_source.uri, "")
        else:
            yield _check("drop source", "error", away, "correct CHURN_DROPS, or wait for the store")

    def _lake(self) -> Iterator[Check]:
        lake = self.lake()
        months = lake.months()
        lost = [f"{one.as_of} {one.table}" for one in missing_files(lake)]
        if lost:
            yield _check(
                "lake",
                "error",
                f"files are missing: {', '.join(lost[:3])}",
                "restore them from a backup",
            )
        else:
            yield _check("lake", "ok", f"{len(months)} months", "")
            yield from self._event_tables(lake)

    def _lake_place(self) -> Iterator[Check]:
        if not self.home.lake_uri:  # needs no contract
            return
        lake = self.lake()
        place = lake.place
        if place is None:
            return
        listing = PlaceListing.of(lake, place)
        here = [one for one in listing.files if one.file.local.exists()]
        files = counted(len(listing.files), "file")
        said = f"{place.uri}: {files}, {len(here)} of them on this disk, too"
        yield _check("lake place", "ok", said, "")
        if others := place.other_homes():
            folders = ", ".join(others.values())
            found = f"{folders} keeps files there, too: neither home can forget a customer"
            remedy = "`churn lake --move`, or delete the note of a home that is gone: "
            yield _check("lake place", "warn", found, remedy + ", ".join(others))
        if unnamed := listing.unnamed:
            size = sum(one.size for one in unnamed) / 1e6
            found = f"{counted(len(unnamed), 'object')} that no manifest names ({size:,.1f} MB)"
            remedy = "`churn doctor --fix` deletes those older than a day"
            yield _check("lake place", "warn", found, remedy)
        if lacking := [one for one in here if not listing.is_complete(one)]:
            found = f"{counted(len(lacking), 'file')} only on this disk: {lacking[0].object_name}"
            yield _check("lake place", "error", found, "run `churn doctor --fix`")

    def _event_tables(self, lake: Lake) -> Iterator[Check]:
        if not lake.contract.logs:
            return
        waiting = DerivedTables(lake).waiting()
        if waiting:
            months = ", ".join(map(str, waiting[:3]))
            found = f"{counted(len(waiting), 'month')} not made again from the events: {months}"
            yield _check("event tables", "warn", found, "run `churn run`")
        else:
            yield _check("event tables", "ok", "every month is as its events are known", "")

    def _erasure(self) -> Iterator[Check]:
        if (plan := self.home.folder / erasure.FOLDER / erasure.PLAN).exists():
            found = f"a customer is not completely erased yet, and {plan} contains the key"
            yield _check(
                "forgetting",
                "error",
                found,
                "run `churn doctor --fix`: it completes the erasure or explains why not",
            )

    def _ledger(self) -> Iterator[Check]:
        pointer = self.releases.pointer()
        broken = self.ledger.verify(None if pointer is None else pointer.ledger_head)
        if broken is not None:
            yield _check(
                "ledger",
                "error",
                f"receipt {broken.sequence}: {broken.detail}",
                "restore ledger/ from a backup",
            )
        else:
            head = self.ledger.head()
            yield _check(
                "ledger", "ok", f"{0 if head is None else head.sequence} receipts, chain valid", ""
            )

    def _contact_plans(self) -> Iterator[Check]:
        if self.ledger.verify() is not None:  # the check of the ledger names it
            return
        receipts = self.ledger.receipts()
        if not any(receipt.act == REGISTERED for receipt in receipts):
            return
        planning = self.contact_planning()
        checks = PlanChecks(planning, receipts, self.home.is_free)
        faults = [one.detail for one in checks.registered() if one.state == "broken"]
        if faults:
            remedy = "run `churn doctor --fix`: it restores a plan or explains why not"
            yield _check("contact plans", "error", "; ".join(faults[:3]), remedy)
        else:
            months = planning.plans.months()
            yield _check("contact plans", "ok", f"{counted(len(months), 'plan')} as registered", "")

    def _experiments(self) -> Iterator[Check]:
        if self.ledger.verify() is not None:  # the check of the ledger names it
            return
        for one in check_experiments(self.releases, self.ledger.receipts()):
            if one.state == "said":
                remedy = "`churn run` or experiments_sensor"
                yield _check("experiments", "warn", one.detail, remedy)
            elif one.state == "broken":
                yield _check("experiments", "error", one.detail, "run `churn doctor --fix`")
            else:
                yield _check("experiments", "ok", one.detail, "")

    def _production(self) -> Iterator[Check]:
        pointer = self.releases.pointer()
        if pointer is None:
            yield _check("production", "ok", "no model yet", "")
            return
        self.releases.verify(pointer.version)
        registry = self.registry()
        alias = registry.alias(PRODUCTION)
        if alias != pointer.version and not registry.has(pointer.version):
            found = f"version {pointer.version} serves from its release, but was deleted in MLflow"
            yield _check(
                "production", "error", found, "`churn rollback`, or restore the home from a backup"
            )
        elif alias != pointer.version:
            found = f"the pointer names version {pointer.version}, MLflow's alias {alias}"
            yield _check("production", "error", found, "run `churn doctor --fix`")
        else:
            yield _check(
                "production",
                "ok",
                f"version {pointer.version}: release, digests and alias agree",
                "",
            )

    def _alerts(self) -> Iterator[Check]:
        channels = self.alerts.waiting()
        if not channels:
            yield _check("alerts", "ok", "no alert channels are configured", "")
        for channel in channels:
            found = f"{channel.receiver}: {channel.sent} sent, {channel.unsent} wait"
            if channel.failures:
                found = (
                    f"{channel.receiver}: it {channel.error} at {channel.failures} tries,"
                    f" {channel.unsent} wait"
                )
            if channel.lost:
                found += f", {channel.lost} given up"
            if channel.failures:
                yield _check("alerts", "warn", found, "try it with `churn alert --test`")
            else:
                yield _check("alerts", "ok", found, "")


def _check(name: str, state: State, found: str, remedy: str) -> Check:
    return {"check": name, "state": state, "found": found, "remedy": remedy}
