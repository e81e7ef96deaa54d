"""The repairs behind `churn doctor --fix`: what can be made whole from what the home itself
proves, and nothing else.
"""

import datetime as dt
import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, IntegrityError, UsageError
from churn_platform.base.files import read_json, replacing, sha256_file
from churn_platform.base.library_errors import sentence_of
from churn_platform.ingestion.delivered_file import suffix_of
from churn_platform.ingestion.drop import INCOMING
from churn_platform.lake.records import KINDS
from churn_platform.ledger.acts import Recovered
from churn_platform.ledger.erasures import current
from churn_platform.ledger.state import done_of
from churn_platform.ledger.version_acts import PromotionDone, ReleasePublished
from churn_platform.maintenance import erasing as forgetting
from churn_platform.maintenance import mlflow_move
from churn_platform.promotion.promotions import lost_version
from churn_platform.services import Services
from churn_platform.training import release
from churn_platform.training.candidate import candidate_of
from churn_platform.training.model import serving_files
from churn_platform.training.registry import PRODUCTION
from churn_platform.training.release import Manifest


def rebuild(home: Services, version: int) -> tuple[str, dict[str, str]]:
    """Restore a release from the registry.

    Returns:
        What was done, and the digest of the manifest before -> after where it is a new one.

    Raises:
        IntegrityError: nothing proves what the release was, or the registry has other files; it
            is left as it was.
    """
    content = _registered(home, version)
    try:
        manifest = home.releases.manifest(version)
    except (IntegrityError, UsageError):
        return _again(home, version, content)
    mended = _mended(home, manifest, content)
    return (
        (f"Release {version}: {', '.join(mended)} restored from the registry, as in its manifest."),
        {},
    )


def rebuild_pointer(home: Services) -> str:
    """Write the pointer again from the last move that the ledger records as done.

    Raises:
        IntegrityError: no move was done, or its release is not complete.
    """
    done = home.ledger.state().changes
    if not done:
        raise IntegrityError(
            f"{home.releases.pointer_file} cannot be read, and the ledger knows no promotion."
        )
    last = done_of(done[-1])
    home.releases.verify(last.version)
    home.releases.repoint(
        {
            "version": last.version,
            "previous_version": last.before,
            "as_of": last.as_of,
            "activate_at": last.activate_at,
            "ledger_head": last.intent,
        }
    )
    return (
        f"The pointer to production names version {last.version} again, as in receipt"
        f" {done[-1].sequence}."
    )


def _registered(home: Services, version: int) -> dict[str, bytes]:
    """The version's files in the registry, verified there, and the serving form that comes of
    them.
    """
    files = home.registry.files(version)
    return {**files, **serving_files(candidate_of(files, version).model)}


def _mended(home: Services, manifest: Manifest, content: Mapping[str, bytes]) -> list[str]:
    """Put back the files that are not as the manifest records, each atomically."""
    folder = home.releases.folder / str(manifest.version)
    wrong = [
        n
        for n, d in manifest.files.items()
        if not (folder / n).is_file() or sha256_file(folder / n) != d
    ]
    other = [
        name
        for name in wrong
        if hashlib.sha256(content.get(name, b"")).hexdigest() != manifest.files[name]
    ]
    if other:
        raise IntegrityError(
            f"Release {manifest.version}: {', '.join(other)} cannot be restored: the registry"
            " has other content."
        )
    for name in wrong:
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content[name])
    known = {*manifest.files, release.MANIFEST, release.MANIFEST_DIGEST}
    added = [entry for entry in folder.iterdir() if entry.name not in known]
    for entry in added:
        aside = home.releases.folder / f".added-to-{manifest.version}.{uuid.uuid4().hex}"
        entry.rename(aside)  # somebody's, and no part of the release
    home.releases.verify(manifest.version)
    return [*wrong, *(f"{entry.name} (put aside)" for entry in added)]


def _again(
    home: Services, version: int, content: Mapping[str, bytes]
) -> tuple[str, dict[str, str]]:
    """Publish the version again, where receipts say what it was."""
    receipts = home.ledger.receipts()
    state = home.ledger.state()
    said = state.published.get(version)
    promoted = state.promotions.get(version)
    if said is None or promoted is None:
        raise IntegrityError(
            f"Release {version} has no valid manifest, and no receipt records its files."
        )
    files = {name: hashlib.sha256(one).hexdigest() for name, one in content.items()}
    if files != ReleasePublished.of(said).files:
        raise IntegrityError(
            f"Release {version} cannot be restored: the registry has other content."
        )
    folder = home.releases.folder / str(version)
    aside = home.releases.folder / f".damaged-{version}.{uuid.uuid4().hex}"
    if folder.exists():
        folder.rename(aside)
    try:
        home.publisher.publish(PromotionDone.of(promoted))
    except Exception:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    before = current(receipts, ReleasePublished.of(said).manifest, said.sequence)
    after = digest_of(home.releases.verify(version).model_dump(mode="json"))
    done = f"Release {version} was published again from the registry"
    if after == before:
        return f"{done}, as in receipt {said.sequence}.", {}
    return (
        (f"{done}, its files as in receipt {said.sequence}, its manifest with other golden rows."),
        {before: after},
    )


RESTORE = "put the home back from a backup: `churn restore FILE --home NEW`"
AN_HOUR = 3600.0
"""Where others than the holder of the home write, a younger leftover may still be someone's
work.
"""
SHARED = ("drops", "predictions", "simulated")
NOT_OURS = ("serving", "dagster", "artifacts")


@dataclass(frozen=True)
class Repair:
    """One thing that was wrong: repaired, or not to be repaired without guessing; then the
    sentence says what helps.
    """

    what: str
    done: bool
    says: str


def repair(home: Services) -> list[Repair]:
    """Repair what can be; each repair is a receipt "recovery".

    Raises:
        HomeBusy: a run holds the home.
    """
    with home.exclusive("`churn doctor --fix`"):
        if broken := home.ledger.verify():
            said = (
                f"Receipt {broken.sequence}: {broken.detail}. Nothing can be proved by it any"
                f" more: {RESTORE}."
            )
            return [Repair("ledger", done=False, says=said)]
        found: list[Repair] = []
        for name, step in STEPS:
            try:
                for one in step(
                    home
                ):  # each is kept as it comes: it has its receipt, whatever follows
                    found.append(one)  # noqa: PERF402
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the next step is not in vain
                found.append(_left(name, error))
    return found


def _left(name: str, error: Exception, prefix: str = "") -> Repair:
    return Repair(
        name, done=False, says=f"{prefix}{sentence_of(error)} If that does not help, {RESTORE}."
    )


def _pointer(home: Services) -> Iterator[Repair]:
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
    if home.ledger.state().changes:
        said = rebuild_pointer(home)
        _receipt(home, "pointer", f"{said} It was gone.")
        yield Repair("pointer", done=True, says=said)


def _releases(home: Services) -> Iterator[Repair]:
    """Production first, and each for itself: one that cannot be repaired stops no other."""
    versions = {*home.releases.versions(), *home.ledger.state().published}
    production = _production(home)
    for version in sorted(versions, key=lambda version: (version != production, version)):
        try:
            home.releases.verify(version)
        except ChurnError as fault:
            try:
                yield _release(home, version, fault)
            except Exception as error:  # noqa: BLE001 - as above
                yield _left("release", error, f"Release {version} stays as it is. ")


def _release(home: Services, version: int, fault: ChurnError) -> Repair:
    said, digests = rebuild(home, version)
    evidence = {"digests": digests} if digests else {}
    _receipt(home, f"version {version}", f"{said} It had this fault: {fault}", **evidence)
    return Repair("release", done=True, says=said)


def _production(home: Services) -> int | None:
    """What the pointer names; None where it cannot be read, which is the next step's work."""
    try:
        pointer = home.releases.read_pointer()
    except IntegrityError:
        return None
    if pointer is None:
        return None
    return pointer.version


def _moves(home: Services) -> Iterator[Repair]:
    if said := home.promotions.recover():  # writes the receipt
        yield Repair("move", done=True, says=said)


def _forgetting(home: Services) -> Iterator[Repair]:
    if (found := forgetting.finish(home)) is not None:
        said = f"Forgetting {found.subject} was cut off: it was completed."
        _receipt(home, found.subject, said)
        yield Repair("forgetting", done=True, says=said)


def _server(home: Services) -> Iterator[Repair]:
    if (moved := mlflow_move.finish(home)) is not None:  # writes the receipt
        said = f"The move to {moved.server} was cut off after its switch: it was completed."
        yield Repair("server", done=True, says=said)


def _alias(home: Services) -> Iterator[Repair]:
    pointer = home.releases.pointer()
    alias = home.registry.alias(PRODUCTION)
    if pointer is None or alias == pointer.version:
        return
    if not home.registry.has(pointer.version):
        yield Repair("alias", done=False, says=f"{lost_version(pointer.version)} Or {RESTORE}.")
        return
    home.promotions.restore_alias()
    was = "no version" if alias is None else f"version {alias}"
    said = (
        f"MLflow's alias {PRODUCTION} named {was}; it names version {pointer.version} again, as"
        " the release does."
    )
    _receipt(home, f"version {pointer.version}", said)
    yield Repair("alias", done=True, says=said)


def _temporaries(home: Services) -> Iterator[Repair]:
    gone = []
    for path in sorted(home.folder.rglob(".*.tmp")):
        top = path.relative_to(home.folder).parts[0]
        young = time.time() - path.stat().st_mtime < AN_HOUR
        if top in NOT_OURS or (top in SHARED and young):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        gone.append(path.relative_to(home.folder).as_posix())
    if gone:
        said = (
            f"{len(gone)} half-written file{'s' if len(gone) > 1 else ''} of a killed process"
            f" removed: {gone[0]}"
        )
        said += " ..." if len(gone) > 1 else "."
        _receipt(home, "temporary files", said, files=gone)
        yield Repair("temporary files", done=True, says=said)


def _drops(home: Services) -> Iterator[Repair]:
    """What a killed `churn ingest` left: with files in it no one but its sender can say which
    are of which delivery.
    """
    for marker in sorted(home.drops.glob(f"*/{INCOMING}")):
        month = marker.parent.name
        files = [p for p in marker.parent.iterdir() if suffix_of(p)]
        if files:
            said = (
                f"The drop of {month} is partly ingested: run `churn ingest DIR --as-of"
                f" {month}` again."
            )
            yield Repair("drop", done=False, says=said)
        elif time.time() - marker.stat().st_mtime > AN_HOUR:
            marker.unlink()
            said = f"The drop of {month} had not been started: its mark was removed."
            _receipt(home, month, said)
            yield Repair("drop", done=True, says=said)


def _records(home: Services) -> Iterator[Repair]:
    """Records are derived: one that cannot be read is removed, and the month's next run makes
    it again.
    """
    datasets = home.training_datasets
    for kind in KINDS:
        for path in sorted(home.records.folder(kind).glob("[0-9]*.json")):
            try:
                read_json(path)
                if kind == "training_dataset":
                    datasets.load(dt.date.fromisoformat(path.stem))
                continue
            except (ChurnError, OSError, ValueError) as fault:
                path.unlink()
                said = (
                    f"The {kind} record of {path.stem} was not what had been written: `churn"
                    " run` makes it again."
                )
                _receipt(home, path.stem, f"{said} {fault}", record=kind)
                yield Repair("record", done=True, says=said)


def _lake(home: Services) -> Iterator[Repair]:
    for month in home.lake.months():
        for delivery in home.lake.deliveries(month):
            for table, entry in delivery.tables.items():
                if not (home.lake.folder / entry.file).exists():
                    yield Repair(
                        "lake",
                        done=False,
                        says=f"{entry.file} ({table} of {month}) is gone: {RESTORE}.",
                    )


STEPS: tuple[tuple[str, Callable[[Services], Iterator[Repair]]], ...] = (
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


def _receipt(home: Services, subject: str, reason: str, **evidence: Any) -> None:  # noqa: ANN401 - the act checks it
    home.ledger.append(Recovered(subject=subject, reason=reason[:2000], **evidence))
