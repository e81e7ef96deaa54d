"""Prepares the erasure of a customer: every file that changes, next to the home's files."""

import datetime as dt
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from churn_platform.base.digests import digest_of, frame_digest, readable
from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import fsync_file, read_json, sha256_file
from churn_platform.base.home import Home
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.plan import ARM, ARMS, plan_digest
from churn_platform.contacts.plans import KIND
from churn_platform.contract.model import Contract
from churn_platform.contract.parts import KeySpelling
from churn_platform.events.derived_tables import DerivedTables
from churn_platform.features.training_datasets import typed
from churn_platform.ingestion.conversion import Writing
from churn_platform.ingestion.delivered_file import stem_of, suffix_of
from churn_platform.ingestion.drop import open_drop
from churn_platform.ingestion.worked_list import EXCEL
from churn_platform.lake.arrow_tables import STAMPS, table_digest
from churn_platform.lake.lake import Lake
from churn_platform.lake.place import object_name
from churn_platform.lake.records import DIGESTS, Records
from churn_platform.lake.window import inputs_digest
from churn_platform.ledger.erasures import contacts_left, following, remapped, untold
from churn_platform.maintenance.backup import files_below
from churn_platform.maintenance.customer_rows import Key, without_customer
from churn_platform.reports.monthly.checking import users
from churn_platform.reports.monthly.figures import MonthlyReport
from churn_platform.reports.monthly.making import KIND as REPORT
from churn_platform.reports.monthly.making import MonthlyReports, with_digests
from churn_platform.scoring.contact_list import LIST_STEM

NOT_SEARCHED = ("artifacts", "releases", "dagster", "serving", "forgetting", "feast")
"""Folders without customers' rows by key, and those that are not files of rows."""
DELIVERED = ("drops", "simulated")
"""Folders with files as the contract describes them; the home writes all others."""


UNFINISHED = "<!DOCTYPE html><title>Not complete</title><p>`churn report` makes this page.</p>\n"


class FileChange(BaseModel):
    """The sha256 of a file before and after the erasure."""

    model_config = ConfigDict(frozen=True)

    before: str
    after: str


class ErasurePlan(BaseModel):
    """What the erasure of a customer will do; the content of `plan.json`."""

    model_config = ConfigDict(frozen=True)

    key: int | str
    by: str
    reason: str
    salt: str
    files: dict[str, FileChange]
    digests: dict[str, str]
    rows: dict[str, int]
    versions: list[int]
    unknown: list[int]
    unread: list[str]
    place: str = ""
    """The URI of the lake's place; empty where its files are only in the home."""
    objects: dict[str, FileChange] = {}
    """File of the lake -> its change, where the lake has a place."""
    unnamed: list[str] = []
    """Objects at the place that no manifest names; they are deleted."""


class StagedFiles:
    """The new files under `folder`, each at its own path in the home."""

    def __init__(
        self,
        home: Home,
        contract: Contract,
        labels: CorrectedLabels,
        records: Records,
        reports: MonthlyReports,
        folder: Path,
    ) -> None:
        self.home = home
        self.contract = contract
        self.labels = labels
        self.lake = labels.lake
        self.records = records
        self.reports = reports
        self.folder = folder
        self.files: dict[str, FileChange] = {}
        """Path in the home -> its change."""
        self.digests: dict[str, str] = {}
        """Every digest of content that changes -> the new one."""
        self.rows: Counter[str] = Counter()
        """Top folder -> rows deleted."""
        self.unread: list[str] = []
        """Files of rows that cannot be read, so the customer may be in them."""
        self.lake_files: dict[str, FileChange] = {}
        """File that a manifest names -> its change."""

    def prepare(self, value: str | int) -> None:
        """Write every file that changes when the customer with this key is erased.

        Raises:
            IntegrityError: a file of the lake does not match its manifest; erasing would hide
                that.
        """
        columns = {self.contract.entity.column}
        if self.contract.key.source:
            columns.add(self.contract.key.source)
        self._tables(Key(value, columns))
        for change in list(self.files.values()):  # manifests and records contain these, too
            self._follow(change.before, change.after)
        self._fingerprints()
        self._snapshots(value)
        self._made_from_logs()
        self._inputs()
        self._datasets()
        self._contact_plans()
        self._derived_records(value)
        self._monthly_reports(value)
        self._pages(value)

    def put(self, path: Path, content: bytes) -> Path:
        """Write the new content of `path`, with its time: 0.1.0 recognises a drop by it."""
        relative = path.relative_to(self.home.folder)
        time = path.stat()
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, ns=(time.st_atime_ns, time.st_mtime_ns))
        fsync_file(target)
        change = FileChange(before=sha256_file(path), after=sha256_file(target))
        self.files[relative.as_posix()] = change
        return target

    def of(self, path: Path) -> Path | None:
        """The new file for a path; None if it does not change."""
        relative = path.relative_to(self.home.folder)
        if relative.as_posix() in self.files:
            return self.folder / relative
        return None

    @property
    def new_objects(self) -> set[str]:
        """The names of the new files at the place of the lake."""
        return {object_name(file, change.after) for file, change in self.lake_files.items()}

    def _tables(self, key: Key) -> None:
        """Every CSV and Parquet file of the home with a row of the customer."""
        log = self.home.settings.prediction_log
        if log is not None and not log.resolve().is_relative_to(self.home.folder):
            self.unread.append(readable(str(log)))
        files = self.contract.files
        delivered = replace(key, writing=Writing.of(files, self.contract.key))
        keys = {
            **dict.fromkeys(DELIVERED, delivered),
            "quarantine": replace(delivered, quarantined=True),
        }
        for path in sorted(files_below(self.home.folder, NOT_SEARCHED)):
            excel = path.suffix.lower() == EXCEL
            if not (suffix_of(path) or excel) or path.name.startswith("."):
                continue
            top = path.relative_to(self.home.folder).parts[0]
            delimiter = files.delimiter if top in DELIVERED else ","
            encoding = files.encoding if top in DELIVERED else "utf-8"
            own = replace(keys.get(top, key), spelling=self._spelling(path))
            if path.stem == LIST_STEM:  # written for the team, whose Excel reads the delimiter
                delimiter = files.delimiter
                own = replace(own, marked=not excel)
            try:
                found = without_customer(path, own, delimiter=delimiter, encoding=encoding)
            except (OSError, ValueError):
                self.unread.append(readable(path.relative_to(self.home.folder).as_posix()))
                continue
            if found is not None:
                content, rows = found
                self.put(path, content)
                self.rows[readable(top)] += rows

    def _spelling(self, path: Path) -> KeySpelling | None:
        """How a delivered or quarantined file spells keys; None if as the lake does."""
        parts = path.relative_to(self.home.folder).parts
        if parts[0] not in (*DELIVERED, "quarantine"):
            return None
        days = [day for day in map(_as_date, parts[1:]) if day is not None]
        if not days or not self.contract.boundaries:
            return None
        month = self.contract.delivery(days[0])
        stem = stem_of(path)
        places = {month.file_stem(name): name for name in month.tables}
        places |= {month.lake_name(name): name for name in month.logs}
        places |= {name: name for name in month.tables}
        if month.label.table in month.tables:
            places[month.label_table] = month.label.table
        spellings = month.tables[places[stem]].key_spellings if stem in places else ()
        return spellings[-1] if spellings else None

    def _fingerprints(self) -> None:
        """The fingerprints of the drops that the lake was published from."""
        for as_of in self.lake.months():
            drop = open_drop(self.home.drops / as_of.isoformat(), as_of, self.contract)
            after = replace(
                drop,
                files={name: self.of(path) or path for name, path in drop.files.items()},
                doubles={name: self.of(path) or path for name, path in drop.doubles.items()},
            )
            recorded = self.lake.fingerprint(as_of)
            if recorded is None or drop.fingerprint_as(recorded) != recorded:
                continue
            if after.fingerprint_as(recorded) != recorded:
                self.digests[recorded] = after.fingerprint

    def _snapshots(self, value: str | int) -> None:
        """The lake's manifests, and the digests of the months."""
        before = {}
        manifests = {}
        for as_of in self.lake.months():
            path = self._manifest(as_of)
            manifest = read_json(path)
            manifests[path] = manifest
            before[as_of] = (self.lake.digest(as_of), self.lake.feature_digest(as_of))
            for delivery in manifest["deliveries"]:
                for name, entry in delivery["tables"].items():
                    self._table_entry(as_of, name, entry)
        # After all of them: a comparison names tables of other months, also of later ones.
        for path, manifest in manifests.items():
            self._put_json(path, remapped(manifest, following(self.digests, value)))
        lake = Lake(self.folder / "lake", self.lake.contract)
        for as_of, (content, features) in before.items():
            if self.of(self._manifest(as_of)) is None:
                continue
            self._follow(content, lake.digest(as_of))
            self._follow(features, lake.feature_digest(as_of))
            for old, new in zip(self.lake.snapshots(as_of), lake.snapshots(as_of), strict=True):
                self._follow(old, new)
            deliveries = zip(self.lake.deliveries(as_of), lake.deliveries(as_of), strict=True)
            for earlier, later in deliveries:
                self._follow(earlier.record_digest, later.record_digest)

    def _manifest(self, as_of: object) -> Path:
        return self.lake.folder / "snapshots" / f"{as_of}.json"

    def _table_entry(self, as_of: dt.date, table: str, entry: dict[str, Any]) -> None:
        """Count rows and churners of one delivered table again, and follow its digests."""
        path = self.lake.folder / entry["file"]
        if (after := self.of(path)) is not None:
            if entry["digest"] not in self.digests:
                _check_unchanged(path, entry["digest"], _lake_digest(path))
                self._follow(entry["digest"], _lake_digest(after))
            relative = path.relative_to(self.home.folder).as_posix()
            self.lake_files[entry["file"]] = self.files[relative]
            entry["rows"] = pq.read_metadata(after).num_rows
            if table == self.contract.label_table:
                column = self.contract.label.at(as_of).column
                labels = self.lake.read(after)[column].astype("Float64")
                entry |= {"churners": int(labels.sum()), "labels": int(labels.count())}
        aside = entry.get("quarantine", {})
        if "file" in aside and (after := self.of(self.home.folder / aside["file"])) is not None:
            self._follow(aside["digest"], digest_of(after.read_text(encoding="utf-8")))

    def _made_from_logs(self) -> None:
        """What the window tables were made from: nothing is made again because of an erasure."""
        derived = DerivedTables(self.lake)
        if derived.state_file.exists():
            self._put_json(derived.state_file, derived.after_erasure(self.digests, self.of))

    def _inputs(self) -> None:
        """The digests of what records were made from, for every month and its window."""
        months = self.labels.months()
        training = self.contract.policy.training
        for as_of in months.published:
            before = {month: self.lake.digest(month) for month in months.input_months(as_of)}
            after = {month: self.digests.get(digest, digest) for month, digest in before.items()}
            self._follow(inputs_digest(before, training), inputs_digest(after, training))

    def _datasets(self) -> None:
        staged = Records(self.folder)
        for as_of in self.records.months("training_dataset"):
            record = self.records.read("training_dataset", as_of) or {}
            path = self.records.path("training_dataset", as_of, ".parquet")
            if self.of(path) is not None:
                frame = typed(self.lake.contract, staged.frame("training_dataset", as_of))
                self._follow(str(record["digest"]), frame_digest(frame))

    def _contact_plans(self) -> None:
        """The digests of the contact plans, which the ledger registered."""
        staged = Records(self.folder)
        key = self.contract.entity.column
        for as_of in self.records.months(KIND):
            if self.of(self.records.path(KIND, as_of, ".parquet")) is not None:
                before = plan_digest(self.records.frame(KIND, as_of), key)
                self._follow(before, plan_digest(staged.frame(KIND, as_of), key))

    def _derived_records(self, value: str | int) -> None:
        named = self._sources_of_reports()
        for path in sorted((self.home.folder / "lake" / "derived").rglob("*.json")):
            if path.parent.name == REPORT:  # made last: it names the digests of the others
                continue
            record = remapped(read_json(path), following(self.digests, value))
            scores = path.with_suffix(".parquet")
            scored = self.of(scores)
            if isinstance(record, dict) and scored is not None and "contacts" in record:
                rows = _at_risk(scored)
                customers = pq.read_metadata(scored).num_rows
                contacts = contacts_left(_at_risk(scores), int(str(record["contacts"])), rows)
                record |= {"customers": customers, "contacts": contacts}
                if "already_left" in record:
                    record["already_left"] = customers - len(rows)
            if isinstance(record, dict) and scored is not None and path.parent.name == KIND:
                arms = Counter(pq.read_table(scored, columns=[ARM])[ARM].to_pylist())
                record |= {arm: arms[arm] for arm in ARMS if arm in record}
            if isinstance(record, dict) and isinstance(made := record.get(DIGESTS), dict):
                content = {name: part for name, part in record.items() if name != DIGESTS}
                record[DIGESTS] = {**made, "record": digest_of(content)}
                if made.get("record") in named:
                    self._follow(str(made["record"]), digest_of(content))
            self._put_json(path, record)

    def _sources_of_reports(self) -> set[str]:
        """The digests that monthly reports name."""
        found = set()
        for month in self.records.months(REPORT):
            report = self.reports.record(month)
            if report is not None:
                found |= {digest for _, digest in users(report)}
        return found

    def _monthly_reports(self, value: str | int) -> None:
        """The reports with the new digests, and their pages made again from the new lists."""
        for month in self.records.months(REPORT):
            path = self.records.path(REPORT, month, ".json")
            record = remapped(self.records.read(REPORT, month), following(self.digests, value))
            if not isinstance(record, dict):
                continue
            report = MonthlyReport.read(record, f"The report of {month}")
            texts = self.reports.pages(month, report, self._at)
            after = with_digests(report, texts)
            if after.pages == report.pages and record == self.records.read(REPORT, month):
                continue
            for audience, text in texts.items():
                page = self.reports.file(month, audience)
                if page.exists():
                    self.put(page, text.encode())
                    self._follow(report.pages.get(audience, ""), after.pages[audience])
            content = after.as_json()
            self._put_json(path, content | {DIGESTS: {"record": digest_of(content), "rows": None}})
        self._unfinished_pages()

    def _unfinished_pages(self) -> None:
        """Pages that a killed run left without their report: they are made again later."""
        for page in sorted(self.home.reports.glob("*/report_*.html")):
            month = _as_date(page.parent.name)
            if month is not None and month not in self.records.months(REPORT):
                self.put(page, UNFINISHED.encode())

    def _at(self, path: Path) -> Path:
        return self.of(path) or path

    def _pages(self, value: str | int) -> None:
        for path in sorted(self.home.reports.rglob("*.html")):
            if self.of(path) is not None:
                continue
            before = path.read_text(encoding="utf-8")
            if (after := untold(before, value)) != before:
                self.put(path, after.encode())

    def _put_json(self, path: Path, value: Any) -> None:  # noqa: ANN401 - whatever json can hold
        if value != read_json(path):
            self.put(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

    def _follow(self, before: str, after: str) -> None:
        if before != after:
            self.digests[before] = after


def _as_date(name: str) -> dt.date | None:
    """The month of a folder, or None."""
    try:
        return dt.date.fromisoformat(name)
    except ValueError:
        return None


def _at_risk(scores: Path) -> np.ndarray:
    """The probabilities of scored customers who can still leave; before 0.2.0, of all."""
    table = pq.read_table(scores)
    if "already_left" in table.column_names:
        table = table.filter(pc.invert(table["already_left"]))
    found: np.ndarray = table["probability"].to_numpy()
    return found


def _lake_digest(path: Path) -> str:
    table = pq.ParquetFile(path).read()
    return table_digest(table.drop_columns([name for name in STAMPS if name in table.column_names]))


def _check_unchanged(path: Path, recorded: str, found: str) -> None:
    if recorded != found:
        raise IntegrityError(
            f"{path} is not what the lake published (recorded {recorded[:12]}, found"
            f" {found[:12]}). Nothing was erased, because that would hide the change. Restore"
            " the file from a backup."
        )
