"""Validate a drop and publish it atomically as a snapshot, with its receipt and its page."""

import contextlib
import datetime as dt
import shlex
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ContractError, HomeBusy, UsageError
from churn_platform.base.files import replacing, sha256_file
from churn_platform.base.home import Home
from churn_platform.base.text import counted
from churn_platform.contract.model import Contract
from churn_platform.events.derived_changes import change_sentences, delivered_tables
from churn_platform.events.derived_tables import DerivedTables
from churn_platform.ingestion.comparing import compared, known_tables
from churn_platform.ingestion.delivered_file import stem_of, table_files
from churn_platform.ingestion.drop import (
    BY_CONTENT,
    INCOMING,
    SUCCESS,
    Drop,
    FileDigests,
    open_drop,
    source_folder,
)
from churn_platform.ingestion.drop_page import write_page
from churn_platform.ingestion.faults import Fault
from churn_platform.ingestion.repeated_events import apart_from_other_drops, corrected_deliveries
from churn_platform.ingestion.validation import DropRefused, TableReport, ValidatedDrop, validate
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.lake.deliveries import Publication, Quarantine, quarantined_in
from churn_platform.lake.keys import label_count
from churn_platform.lake.lake import Lake, instant
from churn_platform.lake.tables import lake_tables
from churn_platform.ledger.acts import DropAccepted, DropCorrected, DropRepeated, RefusedDrop
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Act
from churn_platform.ledger.store import LedgerStore

LONGEST_REASON = 2000
"""Characters of a receipt's reason."""
CHANGED_FILES = (
    "missing_column",
    "missing_table",
    "unknown_category",
    "keys_differ_between_tables",
    "keys_nearly_match",
    "unmatched_customers",
)
"""Faults that files have when the business changed them for good."""


class Ingestion:
    """Turns drops into snapshots."""

    def __init__(
        self,
        home: Home,
        contract: Contract,
        lake: Lake,
        ledger: LedgerStore,
        digests: FileDigests,
        contract_history: ContractHistory,
        derived: DerivedTables,
    ) -> None:
        self._home = home
        self._contract = contract
        self._lake = lake
        self._ledger = ledger
        self._contract_history = contract_history
        self._digests = digests
        self._derived = derived

    def publish(self, as_of: dt.date) -> Publication:
        """Publish the drop of a month as a snapshot and write the receipt; a refusal has a
        receipt too.

        Raises:
            UsageError: there is no drop of that month and nothing was published earlier.
            DropRefused: the drop broke the contract.
        """
        drop = self._drop(as_of)
        published = as_of in self._lake.months()
        if published:  # a kill may have come between a publication and its receipt
            self._record_delivery(as_of)
        if not drop.deliverable:
            if published:
                return self._lake.publish(as_of, {}, self._home.now(), "")
            raise UsageError(
                f"There is no drop of {as_of} in {self._home.drops}: deliver it or use `churn"
                " ingest`.",
                code="DROP_MISSING",
            )
        fingerprint = drop.fingerprint_as(self._lake.fingerprint(as_of))
        found = self.judge(drop)
        if found.refusals:
            self._record_refusal(as_of, found.faults, fingerprint)
            raise self._refusal(found, [drop.folder])
        tables, quarantines = self._publishable(found, correct=True)
        publication = self._lake.publish(
            as_of, tables, self._home.now(), fingerprint, quarantines, found.comparison
        )
        write_page(self._home.reports, found)
        if publication.kind == "unchanged":
            self._record_repetition(as_of, publication.digest, fingerprint)
            self._lake.acknowledge(as_of, fingerprint)
        else:
            self._record_delivery(as_of)
        self.derive()
        return publication

    def derive(self) -> list[dt.date]:
        """Publish the window tables and labels that the logs give other rows now, each with its
        receipt; the months. Completes what a kill has cut off.
        """
        if not self._contract.logs:
            return []
        # Receipts follow each other as the publications did: they tell what was known at each.
        for as_of in self._lake.months():
            self._record_delivery(as_of)
        found = []
        for touched in self._derived.touched():
            self._publish_again(touched.as_of, touched.tables, touched.known_since)
            found.append(touched.as_of)
        return found

    def judge(self, drop: Drop) -> ValidatedDrop:
        """Validate a drop against the contract, and compare it with what the lake holds.

        Raises:
            ContractError: the contract has columns that the published months lack.
        """
        self._contract_history.check()
        published = self._lake.months()
        known = self._lake.keys(drop.as_of) if drop.as_of in published else None
        today = self._home.now().date()
        found = validate(self._contract, drop, today=today, known=known, published=published)
        return compared(self._lake, drop, found)

    def accept(
        self, source: Path, as_of: dt.date, named: Sequence[Path] = ()
    ) -> tuple[Path, ValidatedDrop]:
        """Validate the files in `source` and copy them into the home as the drop of `as_of`.

        The copy is marked as incoming until every file is there, so no one processes half of
        it. `named` is what a person named, if the files are gathered elsewhere.

        Returns:
            The drop's folder in the home, and what validation found.

        Raises:
            UsageError: `source` holds no table of the contract.
            DropRefused: the files break the contract; nothing was copied.
        """
        drop = open_drop(source, as_of, self._contract)
        if not (drop.files or drop.doubles):
            month = self._contract.delivery(as_of)
            stems = [month.file_stem(name) for name in month.tables]
            wanted = ", ".join(f"{stem}.csv" for stem in stems)
            raise UsageError(
                f"None of the contract's tables is in {source}: expected {wanted} (or .parquet).",
                code="DROP_MISSING",
            )
        found = self.judge(drop)
        if found.refusals:
            raise self._refusal(found, named or ([] if self._contract.pulled else [source]))
        write_page(self._home.reports, found)
        target = self._home.drops / as_of.isoformat()
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
    def gathered(self, named: Sequence[Path], as_of: dt.date) -> Iterator[Path]:
        """A folder with all files of a drop: those that are named, and the contract's database
        tables that they lack.

        Raises:
            UsageError: nothing is named and no table is in a database; or a file or source
                cannot be used as it is.
            DataError: a database does not answer, refuses, or has no rows of the month.
        """
        pulled = self._contract.pulled
        if not named and not pulled:
            raise UsageError(
                "The contract reads no table from a database: name the folder with the month's"
                " files.",
                code="DROP_MISSING",
            )
        # In the home: /tmp may be memory, and `churn doctor --fix` removes what a killed
        # process left.
        place = self._home.drops if self._home.drops.is_dir() else None
        with contextlib.ExitStack() as stack:
            drop = None
            if named:
                source = stack.enter_context(source_folder(named, self._contract, place))
                if not pulled:
                    yield source.folder
                    return
                drop = open_drop(source.folder, as_of, self._contract)
            from churn_platform.ingestion.database_source import pull

            temporary = tempfile.TemporaryDirectory(prefix=".delivery.", suffix=".tmp", dir=place)
            staging = Path(stack.enter_context(temporary))
            delivered = {} if drop is None else {**drop.doubles, **drop.files}
            if drop is not None:
                for path in (*drop.files.values(), *drop.doubles.values()):
                    (staging / path.name).symlink_to(path.resolve())
            pull(
                self._contract.delivery(as_of),
                as_of,
                staging,
                [table for table in pulled if table in delivered],
            )
            yield staging

    def pull(self, as_of: dt.date) -> Path:
        """Accept a month whose tables are all in databases; the drop's folder. A refusal has a
        receipt.

        Raises:
            DropRefused: the rows break the contract; nothing was accepted.
            UsageError: a source cannot be used as it is written.
            DataError: a database does not answer, refuses, or has no rows of the month.
        """
        with self.gathered((), as_of) as files:
            try:
                return self.accept(files, as_of)[0]
            except DropRefused as refusal:
                sentences = [fault.sentence() for fault in refusal.faults]
                self._record_refusal(as_of, refusal.faults, digest_of(sentences))
                raise

    def recognise(self) -> dt.date | None:
        """Find the oldest drop of an earlier version that was copied: its files have other
        times and the same content.

        Earlier versions recognised a drop by its files' times. Where its content is that of the
        lake, a receipt records so and the drop is recognised by content from then on.

        Returns:
            The month; None if there is none.
        """
        for as_of in self._lake.months():
            recorded = self._lake.fingerprint(as_of)
            if recorded is None or recorded.startswith(BY_CONTENT):
                continue
            drop = self._drop(as_of)
            settled = drop.settled(self._home.now(), self._home.settings.quiet_seconds)
            if not drop.files or not drop.deliverable or not settled:
                continue
            fingerprint = drop.fingerprint_as(recorded)
            if fingerprint == recorded or self._digests.is_unlike_published(fingerprint):
                continue
            if not self._is_published(drop):
                self._digests.note_unlike_published(fingerprint)
                continue
            with contextlib.suppress(HomeBusy), self._home.exclusive("recognising a drop", 0):
                self._record_repetition(as_of, self._lake.digest(as_of), fingerprint)
                self._lake.acknowledge(as_of, fingerprint)
                return as_of
        return None

    def recognise_all(self) -> None:
        """Recognise every drop that was copied; see `recognise`."""
        while self.recognise() is not None:
            pass

    def _drop(self, as_of: dt.date) -> Drop:
        folder = self._home.drops / as_of.isoformat()
        return open_drop(folder, as_of, self._contract, self._digests)

    def _is_published(self, drop: Drop) -> bool:
        """Whether the lake holds the content of the drop's files."""
        try:
            found = self.judge(drop)
        except ContractError:
            return False
        return not found.refusals and self._lake.holds(drop.as_of, *self._publishable(found))

    def _publishable(
        self, found: ValidatedDrop, *, correct: bool = False
    ) -> tuple[dict[str, pd.DataFrame], dict[str, Quarantine]]:
        """The tables of a valid drop as the lake keeps them, and the quarantined rows of each.

        Args:
            found: the drop.
            correct: first publish the earlier drops again whose events it corrects. A kill
                after that leaves this drop due.
        """
        as_of = found.as_of
        valid = {name: table.valid for name, table in found.tables.items()}
        tables = lake_tables(self._lake.contract, valid, as_of, known_tables(self._lake, as_of))
        reports = {name: table.report for name, table in found.tables.items()}
        apart = apart_from_other_drops(self._lake, as_of, tables)
        for name, new in apart.items():
            tables[self._contract.lake_name(name)] = new.rows
            duplicates = reports[name].duplicates + new.repeated + new.outdated
            reports[name] = replace(reports[name], duplicates=duplicates)
        if correct:
            for month, corrected in corrected_deliveries(self._lake, apart).items():
                since = dict.fromkeys(corrected, self._known_from(as_of))
                self._publish_again(month, corrected, since)
        tables |= self._derived.of_drop(as_of, tables)
        quarantines = {
            self._contract.lake_name(name): _quarantine(reports[name], table.quarantined)
            for name, table in found.tables.items()
        }
        return tables, {name: made for name, made in quarantines.items() if made is not None}

    def _publish_again(
        self,
        as_of: dt.date,
        tables: dict[str, pd.DataFrame],
        known_since: Mapping[str, dt.datetime],
    ) -> None:
        """Publish other rows of a published month whose files have not changed."""
        known = self._lake.fingerprint(as_of) or ""
        self._lake.publish(as_of, tables, self._home.now(), known, known_since=known_since)
        self._record_delivery(as_of)

    def _known_from(self, as_of: dt.date) -> dt.datetime:
        """When the events of a drop count as known, and so what they correct in other drops: an
        event is never counted in two of them.
        """
        now = self._home.now()
        return now if as_of in self._lake.months() else min(now, instant(as_of))

    def _refusal(self, found: ValidatedDrop, named: Sequence[Path]) -> DropRefused:
        """The refusal with every fault, the page that shows them, and the command that changes
        the contract instead of the files.
        """
        page = write_page(self._home.reports, found)
        many = counted(len(found.faults), "fault")
        message = f"The drop of {found.as_of} is refused, nothing was published ({many}):"
        message += "".join(f"\n  - {fault.sentence()}" for fault in found.faults)
        changed = any(fault.code in CHANGED_FILES for fault in found.faults)
        if changed and self._lake.month_before(found.as_of) is not None:
            files = f" --from-drop {shlex.join(map(str, named))}" if named else ""
            message += (
                "\nIf the files are right and the business changed, see what would change in the"
                f" contract: churn contract update{files} --as-of {found.as_of}{self._home.option}"
            )
        if page is not None:
            message += f"\nAs a page: {page}"
        return DropRefused(message, found.faults, page)

    def _record_delivery(self, as_of: dt.date) -> None:
        """Write the receipt of the newest delivery, unless there is one already."""
        delivery = self._lake.deliveries(as_of)[-1]
        content: dict[str, Any] = {
            "snapshot": self._lake.digest(as_of),
            "delivery": delivery.record_digest,
        }
        quarantined = delivery.quarantines
        if rows := {name: kept.digest for name, kept in quarantined.items() if kept.digest}:
            content["quarantine"] = rows
        if self._recorded(as_of, content, DELIVERED):
            return
        reason = []
        if files := delivered_tables(self._contract.at(as_of), delivery):
            reason.append(f"{delivery.kind.capitalize()} delivery of {', '.join(files)}.")
        else:
            reason += change_sentences(self._lake, as_of, delivery)
        reason.append(quarantined_in(quarantined))
        evidence = content | {"fingerprint": self._lake.fingerprint(as_of)}
        if delivery.compared is not None:
            reason.append(delivery.compared.change_sentence)
            if delivery.compared.contacts is not None:
                reason.append(delivery.compared.contacts.sentence)
            evidence["compared"] = delivery.compared.as_json()
        if self._contract.label_table in delivery.tables:
            count = label_count(self._lake, as_of)
            evidence["labelled"] = [count.labelled, count.customers]
            if count.partial:
                reason.append(f"{count.labelled:,} of {count.customers:,} customers have a label.")
        act = DropCorrected if delivery.kind == "correction" else DropAccepted
        said = " ".join(part for part in reason if part)
        self._ledger.append(act(month=as_of, reason=said, **evidence))

    def _record_repetition(self, as_of: dt.date, snapshot: str, fingerprint: str) -> None:
        """Write the receipt of files that were delivered again with known content.

        This comes before the lake's acknowledgement: after a kill between the two, the drop is
        still due.
        """
        content = {"fingerprint": fingerprint}
        if not self._recorded(as_of, content, (*DELIVERED, "drop repeated")):
            said = "Delivered again with the content that is known: nothing was published."
            self._ledger.append(
                DropRepeated(month=as_of, reason=said, snapshot=snapshot, fingerprint=fingerprint)
            )

    def _record_refusal(self, as_of: dt.date, faults: Sequence[Fault], fingerprint: str) -> None:
        """Without the values found: the ledger is kept forever, and one may be a customer's key."""
        reason = " ".join(fault.sentence(examples=False) for fault in faults)[:LONGEST_REASON]
        self._ledger.append(RefusedDrop(month=as_of, reason=reason, fingerprint=fingerprint))

    def _recorded(self, as_of: dt.date, content: Mapping[str, Any], acts: Collection[Act]) -> bool:
        """Whether a receipt of one of `acts` names all of `content` for the month, with digests
        as erasures have changed them since.
        """
        receipts = self._ledger.receipts()
        return any(
            {
                name: current(receipts, receipt.evidence.get(name), receipt.sequence)
                for name in content
            }
            == content
            for receipt in receipts
            if receipt.subject == as_of.isoformat() and receipt.act in acts
        )


def _copy(source: Path, target: Path) -> None:
    if target.exists() and sha256_file(target) == sha256_file(source):
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _quarantine(report: TableReport, quarantined: pd.DataFrame | None) -> Quarantine | None:
    if quarantined is None and not report.duplicates:
        return None
    if quarantined is None:
        rows = ""
    else:
        rows = quarantined.to_csv(index=False, lineterminator="\n")
    return Quarantine(rows, report.record())
