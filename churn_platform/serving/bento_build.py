"""Builds a Bento with the release in production inside, which `bentoml serve` runs from
anywhere.
"""

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
from churn_platform.base.settings import build_environment
from churn_platform.features.online.reader import MARKER, read_month
from churn_platform.services import Services
from churn_platform.serving.bundle import API, FOLDER, NOTE, SOURCES, Baked
from churn_platform.serving.score_history import SCORES
from churn_platform.training.release import Pointer
from churn_platform.training.release_loading import Loaded, load_release
from churn_platform.training.releases import Releases

PACKAGES = {"bento": API, "churn_platform": SOURCES / "churn_platform"}
WIDE = {"COLUMNS": "10000"}
"""Or BentoML breaks a long path in two lines."""
DRIVERS = {
    "redis": ["hiredis"],
    "rediss": ["hiredis"],
    "postgresql": ["psycopg", "psycopg-binary"],
}
"""What a store with an address needs next to the packages of the build file."""
SUFFIXES = (".bento", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".zip")


@dataclass(frozen=True)
class Built:
    """A Bento in BentoML's store.

    Attributes:
        tag: By which `bentoml serve` and `bentoml containerize` know it.
        path: Its folder.
        baked: What is inside.
        size: Its files together, in bytes.
        output: The archive that was asked for.
    """

    tag: str
    path: Path
    baked: Baked
    size: int
    output: Path | None


def build_bento(home: Services, *, customers: bool = True, output: Path | None = None) -> Built:
    """Verify the release in production, put it and what answering needs into a Bento, and
    export it if asked.

    Args:
        home: the home; nothing is written into it.
        customers: with the customers' features and scores of the newest month. A store with an
            address (Redis, Postgres) is read where it is, either way; without both, only
            what-ifs that give every feature are answered.
        output: an archive to write next to BentoML's store; its suffix names its kind.

    Raises:
        UsageError: nothing is in production, or the suffix names no kind of archive.
        IntegrityError: the release is not what it was published as.
        DataError: BentoML refused; its words.
    """
    if output is not None and not output.name.endswith(SUFFIXES):
        raise UsageError(
            f"{output} names no kind of archive: let it end in one of {', '.join(SUFFIXES)}."
        )
    pointer = _production(home)
    with tempfile.TemporaryDirectory(prefix="churn-bento-") as folder:
        stage = Path(folder)
        for package, source in PACKAGES.items():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, stage / package, ignore=ignored)
        baked = bake(home, pointer, stage / FOLDER, customers=customers)
        # What lies in the Bento is verified, not what it was copied from.
        inside = load_release(
            Releases(stage / FOLDER / "releases"), home.contract, pointer.version, pointer
        )
        write_bentofile(stage, inside, DRIVERS.get(baked.store.partition(":")[0], []))
        version = f"v{baked.version}-{dt.datetime.fromisoformat(baked.built_at):%Y%m%d%H%M%S%f}"
        said = _bentoml(
            "build",
            "-f",
            "bentofile.yaml",
            "--version",
            version,
            "--output",
            "tag",
            ".",
            folder=stage,
        )
    tag = said.strip().splitlines()[-1].removeprefix("__tag__:")
    path = Path(_bentoml("get", tag, "--output", "path").strip().splitlines()[-1])
    if output is not None:
        _bentoml("export", tag, str(output.resolve()))
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Built(tag, path, baked, size, output)


def bake(home: Services, pointer: Pointer, target: Path, *, customers: bool) -> Baked:
    """Make a folder with the layout of a home that holds what answering needs, and nothing
    else.
    """
    (target / "releases").mkdir(parents=True)
    shutil.copy(home.contract_path, target / "contract.yaml")
    shutil.copytree(
        home.releases.folder / str(pointer.version), target / "releases" / str(pointer.version)
    )
    write_json(target / "releases" / home.releases.pointer_file.name, pointer.model_dump())
    _copy([home.ledger.file], home.folder, target)  # the receipt that /model shows
    scored = sorted((home.folder / SCORES).glob("[0-9]*.json"))[-1:]
    _copy(scored, home.folder, target)  # deciles, and whether the model stands down
    as_of, store, count = _bake_store(home, target / "feast", customers=customers)
    if customers:
        month = [path.with_suffix(".parquet") for path in scored]
        _copy(
            [*month, *(home.reports / path.stem / "at_risk.parquet" for path in scored)],
            home.folder,
            target,
        )
    built_at = home.now().isoformat()
    baked = Baked(
        version=pointer.version,
        built_at=built_at,
        features_as_of=as_of,
        store=store,
        customers=count,
    )
    write_json(target / NOTE, baked.model_dump(mode="json"))
    return baked


def write_bentofile(stage: Path, loaded: Loaded, drivers: Sequence[str] = ()) -> None:
    """The build file: that of `bento/`, with the baked home, and every package at the version
    that is installed here, also those of the store's `drivers`.

    BentoML would pin the named packages only, and ask the network for what these need.
    """
    declared: dict[str, Any] = yaml.safe_load(
        (stage / "bento" / "bentofile.yaml").read_text(encoding="utf-8")
    )
    named = {"model": loaded.manifest.model_name, "model_version": str(loaded.manifest.version)}
    inside = {
        "include": [f"{name}/**" for name in (*PACKAGES, FOLDER)],
        "labels": {"project": "churn-platform", **named},
    }
    declared |= inside
    named_packages = [line.partition("==")[0] for line in declared["python"]["packages"]]
    declared["python"]["packages"] = pinned([*named_packages, *drivers])
    (stage / "bentofile.yaml").write_text(
        yaml.safe_dump(declared, sort_keys=False), encoding="utf-8"
    )


def pinned(names: Iterable[str]) -> list[str]:
    """`names` and all that they need, at the versions that are installed, as `name==version`."""
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


def _production(home: Services) -> Pointer:
    pointer = home.releases.pointer()
    if pointer is None:
        raise UsageError(
            f"Nothing is in production in {home.folder}, so there is nothing to bake: `churn"
            " run` first.",
            code="NO_PRODUCTION",
        )
    return pointer


def _bake_store(
    home: Services, target: Path, *, customers: bool
) -> tuple[dt.date | None, str, int]:
    """What the Bento knows of the online store: the newest month, the store, and how many
    customers came with it.

    A store with an address stays where it is, and its password outside. SQLite is copied, whole
    although the loop may be writing it.
    """
    source = home.folder / "feast"
    contract = home.contract
    try:
        month = read_month(source)
    except StoreDown:  # nothing was materialized yet
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
        # Those who left are in it too, with the features of their last month.
        table = f'"{contract.name}_{next(iter(contract.feature_views))}"'
        newest = f"SELECT count(DISTINCT entity_key) FROM {table} WHERE event_ts = (SELECT max(event_ts) FROM {table})"  # noqa: S608 - a name of the contract
        [count] = copy.execute(newest).fetchone()
    return month.as_of, "sqlite", int(count)


def _copy(paths: Iterable[Path], root: Path, target: Path) -> None:
    for path in paths:
        if path.exists():
            place = target / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)


def _bentoml(*words: str, folder: Path | None = None) -> str:
    """What BentoML's command line answers; a process of its own, for importing it changes
    logging and signals.
    """
    command = [sys.executable, "-m", "bentoml", *words]
    environment = build_environment() | WIDE
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise DataError(f"BentoML could not {words[0]} ({' '.join(said)}).")
    return done.stdout
