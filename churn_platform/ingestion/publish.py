"""Drop in, snapshot out: judges a drop, publishes all or nothing, writes the receipt and the
page.
"""

import contextlib
import datetime as dt
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ContractError, DropRefused, HomeBusy, UsageError
from churn_platform.base.files import replacing, sha256_file
from churn_platform.ingestion.comparing import compared
from churn_platform.ingestion.delivered_file import stem_of, table_files
from churn_platform.ingestion.drops import BY_CONTENT, INCOMING, SUCCESS, Drop, open_drop
from churn_platform.ingestion.page import show_drop
from churn_platform.ingestion.quarantine import quarantined_sentence
from churn_platform.ingestion.sources import delivery
from churn_platform.ingestion.validation import ValidatedDrop, ValidatedTable, validate
from churn_platform.lake.lake import Publication
from churn_platform.lake.month_comparison import change_sentence
from churn_platform.lake.quarantine_files import Quarantine
from churn_platform.lake.tables import lake_tables
from churn_platform.ledger.acts import (
    DropAccepted,
    DropCorrected,
    DropRepeated,
    RefusedDrop,
)
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Act
from churn_platform.services import Services


def publish_drop(home: Services, as_of: dt.date) -> Publication:
    """Publish the drop of a month as a snapshot and write the receipt; a refusal is a receipt
    too.

    Quarantined rows and the page for people (`reports/<as_of>/drop.html`) come with it.

    Raises:
        UsageError: there is no drop of that month and nothing was published earlier.
        DropRefused: the drop broke the contract.
    """
    drop = open_drop(home.drops / as_of.isoformat(), as_of, home.contract, home.drop_digests)
    published = as_of in home.lake.months()
    if published:  # a kill may have come between a publication and its receipt
        _record_delivery(home, as_of)
    if not (drop.files or drop.doubles) or (drop.folder / INCOMING).exists():
        if not published:
            raise UsageError(
                f"There is no drop of {as_of} in {home.drops}: deliver it or use `churn ingest`.",
                code="DROP_MISSING",
            )
        return home.lake.publish(as_of, {}, home.now(), "")
    fingerprint = drop.fingerprint_as(home.lake.fingerprint(as_of))
    found = judged(home, drop)
    if found.refusals:
        refusal = _refusal(home, found)
        said = " ".join(found.unnamed_sentences)[:2000]
        home.ledger.append(RefusedDrop(month=as_of, reason=said, fingerprint=fingerprint))
        raise refusal
    tables, quarantines = _publishable(home, found)
    if found.comparison is None:
        comparison = None
    else:
        comparison = found.comparison.as_dict()
    publication = home.lake.publish(as_of, tables, home.now(), fingerprint, quarantines, comparison)
    show_drop(home, found)
    if publication.kind == "unchanged":
        _record_repetition(home, as_of, publication.digest, fingerprint)
        home.lake.acknowledge(as_of, fingerprint)
    else:
        _record_delivery(home, as_of)
    return publication


def recognise_drop(home: Services) -> dt.date | None:
    """Find the oldest drop that an earlier version published and whose files have other times
    since: it was copied.

    Earlier versions recognised a drop by its files' times. Where its content is that of the
    lake, a receipt says so and the drop is recognised by content from then on.

    Returns:
        The month; None if absent.
    """
    for as_of in home.lake.months():
        recorded = home.lake.fingerprint(as_of)
        if recorded is None or recorded.startswith(BY_CONTENT):
            continue
        drop = open_drop(home.drops / as_of.isoformat(), as_of, home.contract, home.drop_digests)
        if (
            not drop.files
            or (drop.folder / INCOMING).exists()
            or not drop.settled(home.now(), home.settings.quiet_seconds)
        ):
            continue
        fingerprint = drop.fingerprint_as(recorded)
        if fingerprint == recorded or home.drop_digests.is_unlike_published(fingerprint):
            continue
        if not _is_published(home, drop):
            home.drop_digests.note_unlike_published(fingerprint)
            continue
        with contextlib.suppress(HomeBusy), home.exclusive("recognising a drop", 0):
            _record_repetition(home, as_of, home.lake.digest(as_of), fingerprint)
            home.lake.acknowledge(as_of, fingerprint)
            return as_of
    return None


def recognise_drops(home: Services) -> None:
    """Recognise every drop that was copied; see `recognise_drop`."""
    while recognise_drop(home) is not None:
        pass


def _is_published(home: Services, drop: Drop) -> bool:
    """Whether the drop's files hold what the lake has of the month."""
    try:
        found = judged(home, drop)
    except ContractError:
        return False
    return not found.refusals and home.lake.holds(drop.as_of, *_publishable(home, found))


def _publishable(
    home: Services, found: ValidatedDrop
) -> tuple[dict[str, pd.DataFrame], dict[str, Quarantine]]:
    """The tables of a valid drop as the lake keeps them, and what was put aside of them."""
    tables = lake_tables(
        home.contract, {name: table.sound for name, table in found.tables.items()}, found.as_of
    )
    return tables, {
        name: made
        for name, table in found.tables.items()
        if (made := _quarantine(table)) is not None
    }


def judged(home: Services, drop: Drop) -> ValidatedDrop:
    """A drop against the home's contract, what the lake already knows of the month, and the
    months before.

    Raises:
        ContractError: the contract has columns that the published months lack.
    """
    if lacking := home.lake.behind():
        raise ContractError(
            "The contract has columns that the months published so far lack"
            f" ({', '.join(lacking)}): a model needs them in every month. Put"
            f" {home.contract_path} back, or make a new home and deliver the months there.",
            code="CONTRACT_CHANGED",
        )
    published = home.lake.months()
    if drop.as_of in published:
        known = home.lake.keys(drop.as_of)
    else:
        known = None
    found = validate(home.contract, drop, today=home.now().date(), known=known, published=published)
    return compared(home.lake, drop, found)


def take_in(home: Services, source: Path, as_of: dt.date) -> tuple[Path, ValidatedDrop]:
    """Validate the files in `source` and copy them into the home as the drop of `as_of`.

    The copy is marked as incoming until every file is there, so no one processes half of it.

    Returns:
        The drop's folder in the home, and what validation found.

    Raises:
        UsageError: `source` holds no table of the contract.
        DropRefused: the files break the contract; nothing was copied.
    """
    drop = open_drop(source, as_of, home.contract)
    if not (drop.files or drop.doubles):
        wanted = ", ".join(f"{home.contract.file_stem(name)}.csv" for name in home.contract.tables)
        raise UsageError(
            f"{source} holds none of the contract's tables: expected {wanted} (or .parquet).",
            code="DROP_MISSING",
        )
    found = judged(home, drop)
    if found.refusals:
        raise _refusal(home, found)
    show_drop(home, found)
    target = home.drops / as_of.isoformat()
    target.mkdir(parents=True, exist_ok=True)
    (target / INCOMING).touch()
    (target / SUCCESS).unlink(missing_ok=True)
    for path in drop.files.values():
        _copy(path, target / path.name)
        for other in table_files(target).get(stem_of(path), []):
            if other.name != path.name:
                other.unlink()
    (target / SUCCESS).touch()
    (target / INCOMING).unlink()
    return target, found


@contextlib.contextmanager
def gathered(home: Services, named: Sequence[Path], as_of: dt.date) -> Iterator[Path]:
    """A folder with all files of a drop: those that are named, and the contract's database
    tables that they lack.

    Raises:
        UsageError: nothing is named and no table is in a database; or a file or source cannot
            be used as it is.
        DataError: a database does not answer, refuses, or has no rows of the month.
    """
    pulled = home.contract.pulled
    if not named and not pulled:
        raise UsageError(
            "The contract reads no table from a database: name the folder with the month's files.",
            code="DROP_MISSING",
        )
    # In the home: /tmp may be memory, and `churn doctor --fix` removes what a killed process
    # left.
    place = home.drops if home.drops.is_dir() else None
    with contextlib.ExitStack() as stack:
        if named:
            folder = stack.enter_context(delivery(named, home.contract, place)).folder
        else:
            folder = None
        if folder is not None and not pulled:
            yield folder
            return
        from churn_platform.ingestion.database_source import pull

        named_folder = tempfile.TemporaryDirectory(prefix=".delivery.", suffix=".tmp", dir=place)
        staging = Path(stack.enter_context(named_folder))
        by_hand = set[str]()
        if folder is not None:
            drop = open_drop(folder, as_of, home.contract)
            by_hand = {*drop.files, *drop.doubles}
            for path in (*drop.files.values(), *drop.doubles.values()):
                (staging / path.name).symlink_to(path.resolve())
        pull(home.contract, as_of, staging, [table for table in pulled if table in by_hand])
        yield staging


def pull_drop(home: Services, as_of: dt.date) -> Path:
    """Take in a month whose tables are all in databases; the drop's folder. A refusal is a
    receipt too.

    Raises:
        DropRefused: the rows break the contract; nothing was taken in.
        UsageError: a source cannot be used as it is written.
        DataError: a database does not answer, refuses, or has no rows of the month.
    """
    with gathered(home, (), as_of) as files:
        try:
            return take_in(home, files, as_of)[0]
        except DropRefused as refusal:
            told = " ".join(refusal.faults)[:2000]
            fingerprint = digest_of(list(refusal.faults))
            home.ledger.append(RefusedDrop(month=as_of, reason=told, fingerprint=fingerprint))
            raise


def _copy(source: Path, target: Path) -> None:
    if target.exists() and sha256_file(target) == sha256_file(source):
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _refusal(home: Services, found: ValidatedDrop) -> DropRefused:
    """The refusal with every fault, and the page that shows them."""
    page = show_drop(home, found)
    listed = "\n".join(f"  - {fault}" for fault in found.sentences)
    many = f"{len(found.sentences)} fault{'s' if len(found.sentences) > 1 else ''}"
    message = f"The drop of {found.as_of} is refused, nothing was published ({many}):\n{listed}"
    return DropRefused(message + (f"\nAs a page: {page}" if page else ""), found.sentences, page)


def _quarantine(table: ValidatedTable) -> Quarantine | None:
    if table.aside is None and not table.report.duplicates:
        return None
    if table.aside is None:
        rows = ""
    else:
        rows = table.aside.to_csv(index=False, lineterminator="\n")
    return Quarantine(rows, table.report.summary())


def _record_delivery(home: Services, as_of: dt.date) -> None:
    """The receipt of the newest delivery, with what was put aside of its tables; none when it
    is there already.
    """
    delivery = home.lake.deliveries(as_of)[-1]
    kept = {
        name: entry["quarantine"]
        for name, entry in delivery["tables"].items()
        if "quarantine" in entry
    }
    content: dict[str, Any] = {
        "snapshot": home.lake.digest(as_of),
        "delivery": digest_of(delivery),
    }
    if aside := {name: entry["digest"] for name, entry in kept.items() if "digest" in entry}:
        content["quarantine"] = aside
    if _recorded(home, as_of, content, DELIVERED):
        return
    said = quarantined_sentence({name: entry["quarantined"] for name, entry in kept.items()})
    change = change_sentence(delivery.get("compared"))
    parts = [
        f"{delivery['kind'].capitalize()} delivery of {', '.join(delivery['tables'])}.",
        said,
        change,
    ]
    reason = " ".join(part for part in parts if part)
    act = DropCorrected if delivery["kind"] == "correction" else DropAccepted
    evidence = content | {"fingerprint": home.lake.fingerprint(as_of)}
    if home.contract.label_table in delivery["tables"]:
        count = home.lake.label_count(as_of)
        evidence["labelled"] = [count.labelled, count.customers]
        if count.partial:
            reason += f" {count.labelled:,} of {count.customers:,} customers have a label."
    evidence |= {"compared": delivery["compared"]} if "compared" in delivery else {}
    home.ledger.append(act(month=as_of, reason=reason, **evidence))


def _record_repetition(home: Services, as_of: dt.date, snapshot: str, fingerprint: str) -> None:
    """The receipt of files that came again and hold what is known; before the lake says so,
    lest a kill lose it.
    """
    content = {"fingerprint": fingerprint}
    if not _recorded(home, as_of, content, (*DELIVERED, "drop repeated")):
        said = "Delivered again with the content that is known: nothing was published."
        home.ledger.append(
            DropRepeated(month=as_of, reason=said, snapshot=snapshot, fingerprint=fingerprint)
        )


def _recorded(
    home: Services, as_of: dt.date, content: Mapping[str, Any], acts: Collection[Act]
) -> bool:
    """Whether a receipt of one of `acts` names all of this of the month, by its digests as they
    now are.
    """
    receipts = home.ledger.receipts()
    return any(
        {name: current(receipts, receipt.evidence.get(name), receipt.sequence) for name in content}
        == content
        for receipt in receipts
        if receipt.subject == as_of.isoformat() and receipt.act in acts
    )
