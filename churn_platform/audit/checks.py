"""What every verification reads: the ledger at one moment, the decision records, the releases."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, StoreDown
from churn_platform.base.files import as_json, read_json
from churn_platform.base.home import Home
from churn_platform.base.text import counted
from churn_platform.lake.records import Records
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import Anchor, Break, Receipt
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.releases import Releases

RESTORE = "restore it from a backup"


@dataclass
class Chain:
    """The receipts and the anchor of one moment; no receipts and not `sound` if the chain is
    broken.
    """

    receipts: list[Receipt] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    anchor: Anchor | None = None
    sound: bool = False

    def read(self, store: LedgerStore) -> Break | None:
        """Read the current ledger; the first break if the chain is broken.

        Raises:
            IntegrityError: the anchor's file was changed.
        """
        self.receipts = []
        self.digests = []
        self.anchor = None
        self.sound = False
        lines, anchor = store.snapshot()
        fault = ledger.verify_lines(lines)
        if fault is None:
            self.receipts = [ledger.parse(line) for line in lines]
            self.anchor = anchor
            self.digests = [receipt.digest for receipt in self.receipts]
            self.sound = True
        return fault

    def moved(self, store: LedgerStore) -> bool:
        """Whether receipts were added since it was read: what was read later may be of a later
        moment.
        """
        if not self.sound:
            return False
        try:
            head = store.head()
        except ChurnError:
            return False
        return (None if head is None else head.digest) != (
            self.digests[-1] if self.digests else None
        )


@dataclass(frozen=True)
class CheckResult:
    """One result of one check; `count` is how many things it covers."""

    check: str
    state: Literal["holds", "broken", "unseen", "said"]
    detail: str
    count: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return asdict(self)


def holds(check: str, detail: str, count: int = 1) -> CheckResult:
    """Something is as it was recorded."""
    return CheckResult(check, "holds", detail, count)


def broken(check: str, detail: str) -> CheckResult:
    """Something is not as it was recorded."""
    return CheckResult(check, "broken", detail)


def unseen(check: str, detail: str) -> CheckResult:
    """Something could not be looked at: neither valid nor broken, so nothing is verified by it."""
    return CheckResult(check, "unseen", f"not verified: {detail}", 0)


def said(check: str, detail: str) -> CheckResult:
    """Something was not there to be asked, which is not a fault."""
    return CheckResult(check, "said", detail, 0)


def answering(registry: ModelRegistry) -> ModelRegistry:
    """MLflow, asked first whether it answers: its own client keeps trying for minutes.

    Raises:
        StoreDown: it does not.
    """
    if (away := registry.away()) is not None:
        raise StoreDown(away)
    return registry


def check_decisions(
    home: Home, records: Records, receipts: Sequence[Receipt]
) -> Iterator[CheckResult]:
    """The decision records, in their order and byte for byte, against the digests in their
    receipts.
    """
    folder = home.folder / "ledger" / "decisions"
    recorded = [str(r.evidence["decision"]) for r in receipts if r.act == "decision"]
    found: list[str] = []
    faults: list[str] = []
    for path in records.decision_files():
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
    releases: Releases, receipts: Sequence[Receipt], only: Collection[int] | None = None
) -> Iterator[CheckResult]:
    """Every file of the releases against its manifest, the manifest against the receipt of its
    publication.

    Args:
        releases: the releases.
        receipts: the ledger.
        only: these versions; None for all.
    """
    published = ProductionState.from_receipts(receipts).published
    versions = releases.versions()
    known = {*versions, *published}
    files = 0
    wanted = sorted(known if only is None else known & set(only))
    for version in wanted:
        folder = releases.folder / str(version)
        if version not in versions:
            yield broken(
                "releases",
                f"{folder} is gone: receipt {published[version].sequence} published it; `churn"
                " doctor --fix` makes it again",
            )
            continue
        try:
            manifest = releases.verify(version)
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


def check_production_release(
    releases: Releases, receipts: Sequence[Receipt]
) -> Iterator[CheckResult]:
    """The release that the pointer names, every byte of it."""
    pointer = releases.read_pointer()
    if pointer is not None:
        yield from check_releases(releases, receipts, [pointer.version])


def _of(receipts: Sequence[Receipt], digest: str) -> int:
    return next(r.sequence for r in receipts if r.evidence.get("decision") == digest)
