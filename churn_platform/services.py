"""The home: one folder, every adapter on it, one run at a time."""

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from churn_platform.base.errors import HomeBusy, WrongLayout
from churn_platform.base.files import read_json, write_json
from churn_platform.base.provenance import provenance
from churn_platform.base.settings import Settings
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.features.online.address import OnlineAddress, online_address, postgres_address
from churn_platform.ingestion.file_digests import FileDigests
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.ledger.store import LedgerStore, utc_now
from churn_platform.maintenance.dagster_config import write_configuration
from churn_platform.training.releases import Releases

if TYPE_CHECKING:
    from churn_platform.features.feature_store import FeatureStore
    from churn_platform.training.registry import ModelRegistry

HOLDER = "home.holder"
"""Says who holds the home while it is held."""
LAYOUT = 1
"""Which files lie where in a home; another number is another layout. A home without `home.json` has the first."""
VERSION_FILE = "home.json"
FOLDERS = ("drops", "lake", "feast", "artifacts", "releases", "ledger", "reports", "dagster")


class Home:
    """Everything under one `CHURN_HOME`. Building it reads nothing and writes nothing."""

    def __init__(self, settings: Settings, now: Callable[[], dt.datetime] = utc_now) -> None:
        self.settings = settings
        self.folder = settings.home_folder
        self.now = now

    @property
    def contract_path(self) -> Path:
        """The contract in use: `CHURN_CONTRACT`, else the home's, else the one of the package."""
        if self.settings.contract is not None:
            return self.settings.contract
        own = self.folder / "contract.yaml"
        return own if own.exists() else default_contract_path()

    @cached_property
    def contract(self) -> Contract:
        """The contract, read once."""
        return read_contract(self.contract_path)

    @property
    def drops(self) -> Path:
        """Where drops arrive, one sub-folder an as_of."""
        return self.folder / "drops"

    @cached_property
    def drop_digests(self) -> FileDigests:
        """The digests of the drops' files, by which a drop is recognised."""
        return FileDigests(self.drops, self.folder / "lake" / "drop_files.json")

    @property
    def reports(self) -> Path:
        """Reports for people, one sub-folder an as_of."""
        return self.folder / "reports"

    @property
    def predictions(self) -> Path:
        """The prediction log of the API."""
        return self.settings.prediction_log or self.folder / "predictions"

    @cached_property
    def lake(self) -> Lake:
        """Published snapshots."""
        return Lake(self.folder / "lake", self.contract)

    @cached_property
    def records(self) -> Records:
        """What the loop derived: training datasets, drift, performance, scores, decisions."""
        return Records(self.folder)

    @cached_property
    def feature_store(self) -> "FeatureStore":
        """Feast."""
        from churn_platform.features.feature_store import FeatureStore

        chosen = self.settings
        registry = postgres_address(
            "CHURN_FEAST_REGISTRY", chosen.feast_registry,
            "CHURN_FEAST_REGISTRY_PASSWORD", chosen.feast_registry_password.get_secret_value(),
        )  # fmt: skip
        return FeatureStore(self.folder / "feast", self.contract, self.online, registry)

    @cached_property
    def online(self) -> OnlineAddress:
        """Where the online store is."""
        return online_address(self.settings.online_store, self.settings.online_password.get_secret_value())

    @cached_property
    def registry(self) -> "ModelRegistry":
        """MLflow's tracking store and registry."""
        from churn_platform.training.registry import ModelRegistry

        return ModelRegistry(self.folder, self.contract.model_name, self.settings.mlflow_uri)

    @cached_property
    def releases(self) -> Releases:
        """What serving loads."""
        return Releases(self.folder / "releases")

    @cached_property
    def ledger(self) -> LedgerStore:
        """The receipts."""
        return LedgerStore(
            self.folder / "ledger", self.now, anchor_file=self.folder / "anchor.json", made_by=provenance
        )

    def create(self) -> None:
        """Make the folders, the Dagster configuration and the note of the layout; what exists stays as it is.

        The schema that editors read is that of this version of the platform.

        Raises:
            WrongLayout: the home is of another version.
        """
        from churn_platform.contract.reference import write_schema

        self.check_layout()
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        write_configuration(self.folder / "dagster", on_postgres=self.settings.dagster_on_postgres)
        write_schema(self.folder)
        if not (self.folder / VERSION_FILE).exists():
            write_json(self.folder / VERSION_FILE, {"layout": LAYOUT})

    def check_layout(self) -> None:
        """Refuse a home whose files lie where this version would not look for them.

        Raises:
            WrongLayout: its layout is not `LAYOUT`, or none that can be read.
        """
        file = self.folder / VERSION_FILE
        found = read_json(file) if file.exists() else {"layout": LAYOUT}
        layout = found.get("layout") if isinstance(found, dict) else None
        if layout != LAYOUT:
            raise WrongLayout(
                f"{self.folder} has layout {layout!r} and this version of the platform knows layout {LAYOUT} only: "
                "use the version that wrote it, or name another home with --home; nothing was read or changed."
            )

    def is_free(self) -> bool:
        """Whether the home is free at this moment; does not wait."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / "home.lock", timeout=0):
                return True
        except Timeout:
            return False

    @contextlib.contextmanager
    def exclusive(self, doing: str = "a run", seconds: float | None = None) -> Iterator[None]:
        """Hold the home: one run at a time, also between processes; nests within one process.

        Args:
            doing: what the holder does, for those who find the home held.
            seconds: how long to wait for another process; `CHURN_LOCK_SECONDS` by default.

        Raises:
            HomeBusy: another process kept it for so long; shows which.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        patience = self.settings.lock_seconds if seconds is None else seconds
        lock = FileLock(self.folder / "home.lock", timeout=self.settings.lock_seconds, is_singleton=True)
        try:
            with lock.acquire(timeout=patience), self._named(doing, outermost=lock.lock_counter == 1):
                yield
        except Timeout:
            raise HomeBusy(
                f"{self._holder()} has held {self.folder} for {patience:.0f} seconds: wait for it, or "
                "find it with `churn doctor`."
            ) from None

    @contextlib.contextmanager
    def _named(self, doing: str, *, outermost: bool) -> Iterator[None]:
        """Say who holds the home while it is held; also with a full disk."""
        holder = self.folder / HOLDER
        if outermost:
            since = self.now().isoformat(timespec="seconds")
            with contextlib.suppress(OSError):
                holder.write_text(f"{doing} of {self.settings.who} (process {os.getpid()}, since {since})")
        try:
            yield
        finally:
            if outermost:
                holder.unlink(missing_ok=True)

    def _holder(self) -> str:
        """Who holds the home; called only while it is held."""
        try:
            said = (self.folder / HOLDER).read_text(encoding="utf-8")
        except OSError:
            said = ""
        if not said:
            return "Another run"
        return f"{said[:1].upper()}{said[1:]}"
