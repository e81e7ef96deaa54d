"""Builds a bundle: a Bento with a release inside, which `bentoml serve` runs anywhere."""

import datetime as dt
import importlib.metadata
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from churn_platform.base.errors import DataError, StoreDown, UsageError
from churn_platform.base.files import write_json
from churn_platform.base.home import Home
from churn_platform.base.settings import build_environment
from churn_platform.contract.model import Contract
from churn_platform.features.online.reader import MARKER, read_month
from churn_platform.ledger.store import LedgerStore
from churn_platform.serving.bundle import API, FOLDER, NOTE, SOURCES, Bundle
from churn_platform.serving.score_history import PLANS, RANKED, SCORES, TO_CONTACT
from churn_platform.training.release import Pointer
from churn_platform.training.release_loading import Loaded, load_release
from churn_platform.training.releases import Releases

PACKAGES = {"bento": API, "churn_platform": SOURCES / "churn_platform"}
WIDE = {"COLUMNS": "10000"}
"""Otherwise BentoML breaks a long path into two lines."""
DRIVERS = {
    "redis": ["redis", "hiredis"],
    "rediss": ["redis", "hiredis"],
    "postgresql": ["psycopg", "psycopg-binary"],
}
"""The packages that a store with an address needs in addition to the build file's."""
SUFFIXES = (".bento", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".zip")


@dataclass(frozen=True)
class Built:
    """A Bento in BentoML's store.

    Attributes:
        tag: Its name for `bentoml serve` and `bentoml containerize`.
        path: Its folder.
        bundle: What is inside.
        size: The size of all its files, in bytes.
        output: The exported archive, if one was asked for.
    """

    tag: str
    path: Path
    bundle: Bundle
    size: int
    output: Path | None


@dataclass(frozen=True)
class Bundles:
    """Builds Bentos with the release in production of one home inside; the home is only read."""

    home: Home
    contract: Contract
    contract_path: Path
    releases: Releases
    ledger: LedgerStore

    def build(self, *, customers: bool = True, output: Path | None = None) -> Built:
        """Verify the release in production, build a Bento around it, and export it if asked.

        Args:
            customers: include the features and scores of the newest month. A store with an
                address (Redis, Postgres) is read where it is, in both cases. Without either,
                only requests that give every feature are answered.
            output: an archive to write next to BentoML's store; its suffix names its format.

        Raises:
            UsageError: there is no model in production, or the suffix is not a known format.
            IntegrityError: the release is not what was published.
            DataError: BentoML failed; the message has its last line.
        """
        if output is not None and not output.name.endswith(SUFFIXES):
            raise UsageError(
                f"{output} is not a known archive format: use one of {', '.join(SUFFIXES)}."
            )
        pointer = self.releases.pointer()
        if pointer is None:
            raise UsageError(
                f"There is no model in production in {self.home.folder}: type `churn run` first.",
                code="NO_PRODUCTION",
            )
        with tempfile.TemporaryDirectory(prefix="churn-bento-") as folder:
            stage = Path(folder)
            for package, source in PACKAGES.items():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, stage / package, ignore=ignored)
            bundle = self.fill(pointer, stage / FOLDER, customers=customers)
            # The copy is verified, not what it was copied from.
            inside = load_release(
                Releases(stage / FOLDER / "releases"), self.contract, pointer.version, pointer
            )
            drivers = DRIVERS.get(bundle.store.partition(":")[0], [])
            write_bentofile(stage, inside, [*drivers, *inside.libraries])
            built_at = dt.datetime.fromisoformat(bundle.built_at)
            version = f"v{bundle.version}-{built_at:%Y%m%d%H%M%S%f}"
            options = ("--version", version, "--output", "tag")
            said = _bentoml("build", "-f", "bentofile.yaml", *options, ".", folder=stage)
        tag = said.strip().splitlines()[-1].removeprefix("__tag__:")
        path = Path(_bentoml("get", tag, "--output", "path").strip().splitlines()[-1])
        if output is not None:
            _bentoml("export", tag, str(output.resolve()))
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return Built(tag, path, bundle, size, output)

    def fill(self, pointer: Pointer, target: Path, *, customers: bool) -> Bundle:
        """Fill a folder, laid out as a home, with only what answering needs."""
        version = str(pointer.version)
        (target / "releases").mkdir(parents=True)
        shutil.copy(self.contract_path, target / "contract.yaml")
        shutil.copytree(self.releases.folder / version, target / "releases" / version)
        write_json(target / "releases" / self.releases.pointer_file.name, pointer.model_dump())
        home = self.home.folder
        scored = sorted((home / SCORES).glob("[0-9]*.json"))[-1:]
        # The receipt that /model shows; the deciles, and whether the model stands down.
        copied = [self.ledger.file, *scored]
        if customers:
            copied += [path.with_suffix(".parquet") for path in scored]
            for name in (RANKED, TO_CONTACT):
                copied += [self.home.reports / path.stem / name for path in scored]
            copied += [home / PLANS / path.name for path in scored]
        _copy(copied, home, target)
        as_of, store, count = self._fill_store(target / "feast", customers=customers)
        bundle = Bundle(
            version=pointer.version,
            built_at=self.home.now().isoformat(),
            features_as_of=as_of,
            store=store,
            customers=count,
        )
        write_json(target / NOTE, bundle.model_dump(mode="json"))
        return bundle

    def _fill_store(self, target: Path, *, customers: bool) -> tuple[dt.date | None, str, int]:
        """The newest month of the online store, the store, and how many customers were copied.

        A store with an address stays where it is, and its password outside. SQLite is copied
        consistently even while it is written.
        """
        source = self.home.folder / "feast"
        try:
            month = read_month(source)
        except StoreDown:  # no month was materialized yet
            return None, "", 0
        if not (month.store or customers):
            return None, "", 0
        _copy([source / "feature_store.yaml", source / MARKER], source, target)
        if month.store:
            return month.as_of, month.store, 0
        configuration = yaml.safe_load((source / "feature_store.yaml").read_text(encoding="utf-8"))
        path = configuration["online_store"]["path"]
        with (
            closing(sqlite3.connect(f"{(source / path).as_uri()}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(target / path)) as copy,
        ):
            live.backup(copy)
            # Customers who left are in it too, with the features of their last month.
            view = next(iter(month.views or self.contract.feature_views))
            table = f'"{self.contract.name}_{view}"'
            [count] = copy.execute(
                f"SELECT count(DISTINCT entity_key) FROM {table}"  # noqa: S608 - a name of the contract
                f" WHERE event_ts = (SELECT max(event_ts) FROM {table})"
            ).fetchone()
        return month.as_of, "sqlite", int(count)


def write_bentofile(stage: Path, loaded: Loaded, drivers: Sequence[str] = ()) -> None:
    """Write the build file: that of `bento/`, the bundle's folder, and pinned packages.

    Every package and every driver is pinned at the version installed here. BentoML would pin
    the named packages only, and resolve their dependencies over the network.
    """
    declared: dict[str, Any] = yaml.safe_load(
        (stage / "bento" / "bentofile.yaml").read_text(encoding="utf-8")
    )
    declared["include"] = [f"{name}/**" for name in (*PACKAGES, FOLDER)]
    labels = {
        "project": "churn-platform",
        "model": loaded.manifest.model_name,
        "model_version": str(loaded.manifest.version),
    }
    declared.update(labels=labels)
    named = [line.partition("==")[0] for line in declared["python"]["packages"]]
    declared["python"]["packages"] = pinned([*named, *drivers])
    (stage / "bentofile.yaml").write_text(
        yaml.safe_dump(declared, sort_keys=False), encoding="utf-8"
    )


def pinned(names: Iterable[str]) -> list[str]:
    """Packages and their dependencies at the installed versions, as `name==version`."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted = [(name, "") for name in names]
    found = dict[tuple[str, str], str]()
    while wanted:
        name, extra = wanted.pop()
        if (canonicalize_name(name), extra) in found:
            continue
        found[canonicalize_name(name), extra] = importlib.metadata.version(name)
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                wanted += [(needed.name, one) for one in ("", *needed.extras)]
    return [
        f"{name}=={version}"
        for (name, _), version in sorted({(n, ""): v for (n, _), v in found.items()}.items())
    ]


def _copy(paths: Iterable[Path], root: Path, target: Path) -> None:
    for path in paths:
        if path.exists():
            place = target / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)


def _bentoml(*words: str, folder: Path | None = None) -> str:
    """The output of BentoML's command line, run as a process: importing it changes logging."""
    command = [sys.executable, "-m", "bentoml", *words]
    environment = build_environment() | WIDE
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise DataError(f"BentoML could not {words[0]} ({' '.join(said)}).")
    return done.stdout
