"""A home with one of every kind of file that a verification looks at, and the ways to break each.

Two versions that were in production, a correction with a quarantined row, scores by both.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from churn_platform.services import Services
from churn_platform.training.release import MODEL_FILE
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    copied,
    deliver,
    month_tables,
    open_home,
)


def whole_life(february_decided: Services, folder: Path) -> Services:
    """`february_decided` carried on: version 2 promoted, February scored, January corrected with a faulty row."""
    home = copied(february_decided, folder)
    home.decision_maker.carry_out()
    open_home(folder).scoring.score(FEBRUARY)
    tables = month_tables(JANUARY)
    tables["visits"]["hours"] = tables["visits"]["hours"] + 1.0
    tables["visits"].loc[3, "hours"] = -5.0
    deliver(home, JANUARY, tables)
    open_home(folder).ingestion.publish(JANUARY)
    return open_home(folder)


def verification(
    home: Services, anchor: str | None = None, *, deep: bool = False, **settings: object
) -> dict[str, Any]:
    """What `churn verify` finds, with no server beside it unless the settings name its port."""
    opened = open_home(home.folder, **({"api_port": 1} | settings))
    return opened.verification.summary(opened.verification.verify(anchor, deep=deep)).as_json()


def exchange_model(home: Services, version: int, other: int) -> None:
    """The model file of another version in place of a version's own in MLflow, with the tag that fits."""
    own, new = (home.registry.files(number)[MODEL_FILE] for number in (version, other))
    [stored] = [
        path for path in (home.folder / "artifacts").rglob(MODEL_FILE) if path.read_bytes() == own
    ]
    stored.write_bytes(new)
    tag = f"sha256.{MODEL_FILE}", hashlib.sha256(new).hexdigest()
    home.registry._client().set_model_version_tag(home.registry.model_name, str(version), *tag)


def assert_told(found: dict[str, Any], sentence: str) -> None:
    """A verification failed, and one of its breaks says `sentence`."""
    assert not found["verified"]
    assert any(sentence in fault for fault in found["breaks"]), found["breaks"]


def recorded_digests(home: Services) -> dict[str, str]:
    """Place -> digest, for every digest of the lake that a receipt may name."""
    found = {}
    for as_of in home.lake.months():
        for number, delivery in enumerate(home.lake.deliveries(as_of)):
            place = f"{as_of}/{number + 1}"
            found[f"{place} snapshot"] = home.lake.snapshots(as_of)[number]
            found[f"{place} delivery"] = delivery.record_digest
            for table, entry in delivery.tables.items():
                found[f"{place} {table}"] = entry.digest
                if entry.quarantine and (aside := entry.quarantine.digest):
                    found[f"{place} {table} quarantine"] = aside
    return found


def lines(home: Services, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Rewrite the lines of the ledger."""
    file = home.ledger.file
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    """Change a JSON file in place."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit of a file, `at` a share of its length."""
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(bytes(content))


def swap(one: Path, other: Path) -> None:
    """Exchange the contents of two files."""
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
