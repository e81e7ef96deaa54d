"""The repairs behind `churn doctor --fix`: what can be made whole from what the home itself proves, and nothing else.

Belongs here: the order of the repairs and what each may touch. Does not: finding faults for people
(`adapters/upkeep/checkup.py`), a release's files (`adapters/upkeep/release_repair.py`).
"""

import datetime as dt
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from churn_platform.adapters.drops.delivered_file import suffix_of
from churn_platform.adapters.drops.reader import INCOMING
from churn_platform.adapters.features.training_data import load_training_dataset
from churn_platform.adapters.files import read_json
from churn_platform.adapters.home import Home
from churn_platform.adapters.library_errors import sentence_of
from churn_platform.adapters.models import mlflow_move
from churn_platform.adapters.models.registry import PRODUCTION
from churn_platform.adapters.promotion.promoting import lost_version, recover, restore_alias
from churn_platform.adapters.records import KINDS
from churn_platform.adapters.upkeep import forgetting
from churn_platform.adapters.upkeep.release_repair import rebuild, rebuild_pointer
from churn_platform.core.moves import DONE, version_of
from churn_platform.errors import ChurnError, IntegrityError

RESTORE = "put the home back from a backup: `churn restore FILE --home NEW`"
AN_HOUR = 3600.0
"""Where others than the holder of the home write, a younger leftover may still be someone's work."""
SHARED = ("drops", "predictions", "simulated")
NOT_OURS = ("serving", "dagster", "artifacts")


@dataclass(frozen=True)
class Repair:
    """One thing that was wrong: repaired, or not to be repaired without guessing; then the sentence says what helps."""

    what: str
    done: bool
    says: str


def repair(home: Home) -> list[Repair]:
    """Repair what can be; each repair is a receipt "recovery".

    Raises:
        HomeBusy: a run holds the home.
    """
    with home.exclusive("`churn doctor --fix`"):
        if broken := home.ledger.verify():
            said = f"Receipt {broken.sequence}: {broken.detail}. Nothing can be proved by it any more: {RESTORE}."
            return [Repair("ledger", done=False, says=said)]
        found: list[Repair] = []
        for name, step in STEPS:
            try:
                for one in step(home):  # each is kept as it comes: it has its receipt, whatever follows
                    found.append(one)  # noqa: PERF402
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the next step is not in vain
                found.append(_left(name, error))
    return found


def _left(name: str, error: Exception, prefix: str = "") -> Repair:
    return Repair(name, done=False, says=f"{prefix}{sentence_of(error)} If that does not help, {RESTORE}.")


def _pointer(home: Home) -> Iterator[Repair]:
    """After the releases, for it names a whole one only; before every step that asks it."""
    try:
        home.releases.read_pointer()  # where its release is gone, that was the step before
    except IntegrityError as error:
        said = rebuild_pointer(home)
        _receipt(home, "pointer", f"{said} It had become unreadable: {error}")
        yield Repair("pointer", done=True, says=said)
        return
    if home.releases.pointer_file.exists():
        return
    if any(receipt.act in DONE for receipt in home.ledger.receipts()):
        said = rebuild_pointer(home)
        _receipt(home, "pointer", f"{said} It was gone.")
        yield Repair("pointer", done=True, says=said)


def _releases(home: Home) -> Iterator[Repair]:
    """Production first, and each for itself: one that cannot be repaired stops no other."""
    published = {version_of(receipt.subject) for receipt in home.ledger.receipts("release published")}
    versions, production = {*home.releases.versions(), *(v for v in published if v is not None)}, _production(home)
    for version in sorted(versions, key=lambda version: (version != production, version)):
        try:
            home.releases.verify(version)
        except ChurnError as fault:
            try:
                yield _release(home, version, fault)
            except Exception as error:  # noqa: BLE001 - as above
                yield _left("release", error, f"Release {version} stays as it is. ")


def _release(home: Home, version: int, fault: ChurnError) -> Repair:
    said, digests = rebuild(home, version)
    evidence: dict[str, JsonValue] = {"digests": dict(digests)} if digests else {}
    _receipt(home, f"version {version}", f"{said} It had this fault: {fault}", evidence)
    return Repair("release", done=True, says=said)


def _production(home: Home) -> int | None:
    """What the pointer names; None where it cannot be read, which is the next step's work."""
    try:
        pointer = home.releases.read_pointer()
    except IntegrityError:
        return None
    return None if pointer is None else pointer.version


def _moves(home: Home) -> Iterator[Repair]:
    if said := recover(home):  # writes the receipt
        yield Repair("move", done=True, says=said)


def _forgetting(home: Home) -> Iterator[Repair]:
    if (found := forgetting.finish(home)) is not None:
        said = f"Forgetting {found.subject} was cut off: it was completed."
        _receipt(home, found.subject, said)
        yield Repair("forgetting", done=True, says=said)


def _server(home: Home) -> Iterator[Repair]:
    if (moved := mlflow_move.finish(home)) is not None:  # writes the receipt
        said = f"The move to {moved.server} was cut off after its switch: it was completed."
        yield Repair("server", done=True, says=said)


def _alias(home: Home) -> Iterator[Repair]:
    pointer, alias = home.releases.pointer(), home.registry.alias(PRODUCTION)
    if pointer is None or alias == pointer.version:
        return
    if not home.registry.has(pointer.version):
        yield Repair("alias", done=False, says=f"{lost_version(pointer.version)} Or {RESTORE}.")
        return
    restore_alias(home)
    was = "no version" if alias is None else f"version {alias}"
    said = f"MLflow's alias {PRODUCTION} named {was}; it names version {pointer.version} again, as the release does."
    _receipt(home, f"version {pointer.version}", said)
    yield Repair("alias", done=True, says=said)


def _temporaries(home: Home) -> Iterator[Repair]:
    gone = []
    for path in sorted(home.folder.rglob(".*.tmp")):
        top = path.relative_to(home.folder).parts[0]
        young = time.time() - path.stat().st_mtime < AN_HOUR
        if top in NOT_OURS or (top in SHARED and young):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        gone.append(path.relative_to(home.folder).as_posix())
    if gone:
        said = f"{len(gone)} half-written file{'s' if len(gone) > 1 else ''} of a killed process removed: {gone[0]}"
        said += " ..." if len(gone) > 1 else "."
        _receipt(home, "temporary files", said, {"files": list(gone)})
        yield Repair("temporary files", done=True, says=said)


def _drops(home: Home) -> Iterator[Repair]:
    """What a killed `churn ingest` left: with files in it no one but its sender can say which are of which delivery."""
    for marker in sorted(home.drops.glob(f"*/{INCOMING}")):
        month, files = marker.parent.name, [p for p in marker.parent.iterdir() if suffix_of(p)]
        if files:
            said = f"The drop of {month} is partly ingested: run `churn ingest DIR --as-of {month}` again."
            yield Repair("drop", done=False, says=said)
        elif time.time() - marker.stat().st_mtime > AN_HOUR:
            marker.unlink()
            said = f"The drop of {month} had not been started: its mark was removed."
            _receipt(home, month, said)
            yield Repair("drop", done=True, says=said)


def _records(home: Home) -> Iterator[Repair]:
    """Records are derived: one that cannot be read is removed, and the month's next run makes it again."""
    for kind in KINDS:
        for path in sorted(home.records.folder(kind).glob("[0-9]*.json")):
            try:
                read_json(path)
                if kind == "training_dataset":
                    load_training_dataset(home, dt.date.fromisoformat(path.stem))
                continue
            except (ChurnError, OSError, ValueError) as fault:
                path.unlink()
                said = f"The {kind} record of {path.stem} was not what had been written: `churn run` makes it again."
                _receipt(home, path.stem, f"{said} {fault}", {"record": kind})
                yield Repair("record", done=True, says=said)


def _lake(home: Home) -> Iterator[Repair]:
    for month in home.lake.months():
        for delivery in home.lake.deliveries(month):
            for table, entry in delivery["tables"].items():
                if not (home.lake.folder / entry["file"]).exists():
                    yield Repair("lake", done=False, says=f"{entry['file']} ({table} of {month}) is gone: {RESTORE}.")


STEPS: tuple[tuple[str, Callable[[Home], Iterator[Repair]]], ...] = (
    ("release", _releases),
    ("pointer", _pointer),
    ("move", _moves),
    ("forgetting", _forgetting),
    ("server", _server),
    ("alias", _alias),
    ("temporary files", _temporaries),
    ("drop", _drops),
    ("record", _records),
    ("lake", _lake),
)


def _receipt(home: Home, subject: str, reason: str, evidence: dict[str, JsonValue] | None = None) -> None:
    home.ledger.append(
        actor=home.settings.who, act="recovery", subject=subject, reason=reason[:2000], evidence=evidence or {}
    )
