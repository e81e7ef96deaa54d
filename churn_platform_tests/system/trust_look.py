"""Looks at a home: its files as they are, read without the product, and what the product itself says of it."""

import datetime as dt
import hashlib
import json
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from churn_platform.base.digests import digest_of
from churn_platform.services import Services
from churn_platform_tests.small_business import FEBRUARY, JANUARY, month_tables
from churn_platform_tests.system.trust_model import Decided, Facts
from churn_platform_tests.system.trusted_home import verification

CONTENTS = (0, 1, 2)
"""Three contents of each month: every visit some hundredths of an hour longer than in the one before."""
EXEMPT = ("serving", "dagster", "artifacts", "drops", "predictions", "simulated")
"""Where `churn doctor --fix` leaves young temporary files alone."""


@dataclass(frozen=True)
class Files:
    """What stands in a home, file by file."""

    ledger: bytes
    pointer: Mapping[str, Any] | None
    aliases: Mapping[str, int]
    versions: Mapping[int, str]
    """Registered version -> digest of its candidate."""
    releases: Mapping[int, str]
    """Released version -> digest of its folder's files."""
    decisions: Mapping[str, bytes]
    deliveries: Mapping[str, list[dict[str, Any]]]
    drops: Mapping[str, str]
    """Month -> digest of its drop's files."""
    temporary: list[str]
    datasets: frozenset[str]
    incoming: frozenset[str]
    forgetting: bool
    followed: tuple[int | None, frozenset[str]]
    """The canary's version and the shadows, as servers read them."""

    @property
    def lines(self) -> list[bytes]:
        """The whole lines of the ledger; a kill may have torn the last one."""
        return self.ledger.split(b"\n")[:-1]

    def state(self) -> tuple[Any, ...]:
        """All of it: where it is the same, nothing happened."""
        return (
            self.ledger,
            self.temporary,
            self.datasets,
            self.forgetting,
            *self.kept_by_a_refusal(),
        )

    def kept_by_a_refusal(self) -> tuple[Any, ...]:
        """What a command that is refused must leave as it was."""
        return (
            self.pointer,
            self.aliases,
            self.versions,
            self.releases,
            self.decisions,
            self.deliveries,
            self.drops,
        )

    def decided(self) -> dict[str, Decided]:
        """The decisions, oldest first, by their digests."""
        found = {}
        for content in self.decisions.values():
            record = json.loads(content)
            names = ("candidate_version", "decision", "policy_hash", "production_version")
            canonical = json.dumps(
                record, sort_keys=True, separators=(",", ":"), ensure_ascii=False
            )
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            found.pop(digest, None)  # decided once more: it is the newest now
            found[digest] = Decided(*(record[name] for name in names))
        return found

    def facts(self, policy: str, now: dt.datetime) -> Facts:
        """What a command that begins now finds besides the ledger."""
        pointer = None if self.pointer is None else int(self.pointer["version"])
        return Facts(
            policy, self.aliases.get("candidate"), self.decided(), self.datasets, pointer, now
        )


def files_of(home: Path) -> Files:
    """Read a home; raises where a file is half written."""
    for path in home.rglob("*.json"):
        if "artifacts" not in path.parts:
            json.loads(path.read_bytes())
    pointer, ledger, lake = home / "releases" / "production", home / "ledger", home / "lake"
    manifests = sorted((lake / "snapshots").glob("[0-9]*.json"))
    records = (
        json.loads(path.read_bytes())
        for path in (lake / "derived" / "training_dataset").glob("[0-9]*.json")
    )
    temporary = [path.relative_to(home) for path in home.rglob(".*.tmp")]
    receipts = ledger / "receipts.jsonl"
    return Files(
        ledger=receipts.read_bytes() if receipts.exists() else b"",
        pointer=json.loads(pointer.read_bytes()) if pointer.exists() else None,
        **_registry(home / "mlflow.db"),
        releases={int(f.name): _tree(f) for f in (home / "releases").glob("[0-9]*")},
        decisions={
            path.name: path.read_bytes()
            for path in sorted((ledger / "decisions").glob("[0-9]*.json"))
        },
        deliveries={path.stem: json.loads(path.read_bytes())["deliveries"] for path in manifests},
        drops={folder.name: _tree(folder) for folder in (home / "drops").iterdir()},
        temporary=[str(path) for path in temporary if path.parts[0] not in EXEMPT],
        datasets=frozenset(str(record["digest"]) for record in records),
        incoming=frozenset(path.parent.name for path in (home / "drops").glob("*/_INCOMING")),
        forgetting=(home / "forgetting" / "plan.json").exists(),
        followed=_followed(home / "releases" / "experiments.json"),
    )


def _followed(file: Path) -> tuple[int | None, frozenset[str]]:
    if not file.exists():
        return None, frozenset()
    found = json.loads(file.read_bytes())
    canary = found.get("canary")
    return canary and canary["version"], frozenset(one["name"] for one in found.get("shadows", ()))


def missing_or_changed(home: Path, files: Files) -> list[str]:
    """Accepted files of the lake that are not as their manifest says."""
    entries = [
        e for found in files.deliveries.values() for d in found for e in d["tables"].values()
    ]
    stored = {home / "lake" / entry["file"]: entry["sha256"] for entry in entries}
    return [
        str(path) for path, digest in stored.items() if not path.exists() or _sha256(path) != digest
    ]


def asked(home: Services, *, whole: bool, contents: bool) -> dict[str, Any]:
    """What the product says of its home; with `whole` of every digest too, with `contents` what each month holds."""
    step = home.progress().next_step()
    months = home.lake.months() if contents else []
    return {
        "policy": home.contract.policy_hash,
        "due": None if step is None else step.kind,
        "newest": max(map(str, home.lake.months()), default=None),
        "breaks": verification(home, deep=True)["breaks"] if whole else [],
        "contract": digest_of(home.contract.written()),
        "contents": {
            str(month): _content(month, home.lake.tables(month), shape_of(home.folder, month))
            for month in months
        },
    }


def shape_of(home: Path, as_of: dt.date) -> frozenset[str]:
    """The columns of the members whose drop changed, by the contract's file, up to a month."""
    found = yaml.safe_load((home / "contract.yaml").read_text())
    columns = found["tables"]["members"]["columns"]
    since = {
        "guests": columns.get("guests", {}).get("since"),
        "has_app": columns["has_app"].get("until"),
        "plan": columns["plan"].get("renamed", {}).get("premium", {}).get("since"),
    }
    return frozenset(name for name, day in since.items() if day is not None and as_of >= day)


def shaped(
    tables: Mapping[str, pd.DataFrame], as_of: dt.date, shape: Collection[str], *, kept: bool
) -> dict[str, pd.DataFrame]:
    """A month's tables with a new column, without an old one, with a value that has a new name; `kept`: as the lake
    keeps them.
    """
    members = tables["members"]
    if "guests" in shape:
        members = members.assign(guests=(members["months"] * 7 + as_of.month) % 5)
    if "has_app" in shape:
        members = members.drop(columns="has_app")
    if "plan" in shape and not kept:
        members = members.assign(plan=members["plan"].replace({"plus": "premium"}))
    return {**tables, "members": members}


@cache
def tables_of(as_of: dt.date, content: int) -> dict[str, pd.DataFrame]:
    """A month's tables; who leaves turns round every month, so that each month's candidate beats the last."""
    tables = dict(month_tables(JANUARY if as_of.month % 2 else FEBRUARY))
    # The number of the month keeps a later month from being equal to an earlier one: such a drop is refused.
    hours = tables["visits"]["hours"] + content / 100 + as_of.month
    tables["visits"] = tables["visits"].assign(hours=hours.round(2))
    return tables


def _content(
    as_of: dt.date, tables: Mapping[str, pd.DataFrame], shape: Collection[str]
) -> list[Any]:
    """Which content a month of the lake has, and which customers it lacks."""
    for content in CONTENTS:
        delivered = shaped(tables_of(as_of, content), as_of, shape, kept=True)
        wanted = {name: table.set_index("member") for name, table in delivered.items()}
        found = {name: table.set_index("member") for name, table in tables.items()}
        lacking = wanted["members"].index.difference(found["members"].index)
        if all(_same(found[name], table.drop(lacking)) for name, table in wanted.items()):
            return [content, list(lacking)]
    raise AssertionError(f"the lake's {as_of} is nothing that was ever delivered")


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    if not one.index.equals(other.index):
        return False
    pairs = [(one[name].astype(object), other[name].astype(object)) for name in other.columns]
    return all(((a == b) | (a.isna() & b.isna())).all() for a, b in pairs)


def _registry(database: Path) -> dict[str, Any]:
    if not database.exists():
        return {"aliases": {}, "versions": {}}
    digests = (
        "select v.version, t.value from model_versions v left join model_version_tags t "
        "on t.name = v.name and t.version = v.version and t.key = 'digest'"
    )
    with closing(sqlite3.connect(database)) as store:
        aliases = dict(
            store.execute("select alias, version from registered_model_aliases").fetchall()
        )
        return {"aliases": aliases, "versions": dict(store.execute(digests).fetchall())}


def _tree(folder: Path) -> str:
    """Digest of a folder's files, without those that a kill left half written: a backup leaves them out, too."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.match(".*.tmp"))
    return hashlib.sha256(
        "".join(f"{path.name} {_sha256(path)}\n" for path in files).encode()
    ).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
