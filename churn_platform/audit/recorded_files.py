"""The files that receipts name by digest: decision records and releases.

Every verification reads the decision records and the release in production; they are small.
"""

from collections.abc import Collection, Iterator, Sequence

from churn_platform.audit.findings import Finding, broken, holds, unseen
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError
from churn_platform.base.files import as_json, read_json
from churn_platform.base.text import counted
from churn_platform.ledger.acts import version_of
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import Receipt
from churn_platform.services import Services

RESTORE = "restore it from a backup"


def check_decisions(home: Services, receipts: Sequence[Receipt]) -> Iterator[Finding]:
    """The decision records, in their order and byte for byte, against the digests in their
    receipts.
    """
    folder = home.folder / "ledger" / "decisions"
    recorded = [str(r.evidence["decision"]) for r in receipts if r.act == "decision"]
    found: list[str] = []
    faults: list[str] = []
    for path in home.records.decision_files():
        try:
            record = read_json(path)
        except ChurnError as error:
            faults.append(str(error))
            continue
        digest = digest_of(record)
        found.append(digest)
        if digest not in recorded and home.is_free():
            faults.append(
                f"{path} is not a decision that a receipt records: it was changed or added, or"
                " a run was cut off before its receipt (`churn run` writes it); if it was"
                f" changed, {RESTORE}"
            )
        elif digest not in recorded:
            yield unseen(
                "decisions",
                f"{path} has no receipt yet, and a run is under way; run this again",
            )
        elif path.read_bytes() != as_json(record).encode():
            faults.append(
                f"{path} has the recorded values but not the bytes that were written; {RESTORE}"
            )
    faults += [
        f"the record of the decision in receipt {_of(receipts, digest)} is not in {folder}: it"
        f" was changed or removed; {RESTORE}"
        for digest in dict.fromkeys(recorded)
        if digest not in found
    ]
    if not faults and [digest for digest in found if digest in recorded] != recorded:
        faults.append(
            f"the {len(found)} records in {folder} are in another order than their"
            f" {len(recorded)} receipts, or not as often; restore the folder from a backup"
        )
    yield from (broken("decisions", fault) for fault in faults)
    if not faults:
        yield holds("decisions", f"{len(found)} records as their receipts say", len(found))


def check_releases(
    home: Services, receipts: Sequence[Receipt], only: Collection[int] | None = None
) -> Iterator[Finding]:
    """Every file of the releases against its manifest, the manifest against the receipt of its
    publication.

    Args:
        home: the home.
        receipts: its ledger.
        only: these versions; None for all.
    """
    published = {version_of(r.subject): r for r in receipts if r.act == "release published"}
    versions = home.releases.versions()
    known = {*versions, *(version for version in published if version is not None)}
    files = 0
    wanted = sorted(known if only is None else known & set(only))
    for version in wanted:
        folder = home.releases.folder / str(version)
        if version not in versions:
            yield broken(
                "releases",
                f"{folder} is gone: receipt {published[version].sequence} published it; `churn"
                " doctor --fix` makes it again",
            )
            continue
        try:
            manifest = home.releases.verify(version)
        except ChurnError as error:
            yield broken(
                "releases",
                f"{error}, in {folder}; `churn doctor --fix` makes it again from MLflow",
            )
            continue
        files += len(manifest.files) + 2
        receipt = published.get(version)
        if receipt is None:
            yield broken("releases", f"{folder}: no receipt says that it was published")
        elif digest_of(manifest.model_dump(mode="json")) != current(
            receipts, receipt.evidence["manifest"], receipt.sequence
        ):
            yield broken(
                "releases",
                f"{folder / 'manifest.json'} is not what receipt {receipt.sequence} published;"
                f" {RESTORE}",
            )
    if files or not wanted:
        yield holds(
            "releases",
            f"{counted(len(wanted), 'release')}, {counted(files, 'file')} read",
            files,
        )


def check_production_release(home: Services, receipts: Sequence[Receipt]) -> Iterator[Finding]:
    """The release that the pointer names, every byte of it."""
    pointer = home.releases.read_pointer()
    if pointer is not None:
        yield from check_releases(home, receipts, [pointer.version])


def _of(receipts: Sequence[Receipt], digest: str) -> int:
    return next(r.sequence for r in receipts if r.evidence.get("decision") == digest)
