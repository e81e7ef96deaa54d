"""Erases a customer: replaces the files with the rows, deletes rows in stores, writes a receipt.

All new files are prepared first (`erasure_plan.py`), then the plan is written. If the process is
killed before that, nothing has changed; after it, the next command completes the erasure.
"""

import contextlib
import datetime as dt
import errno
import io
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from churn_platform.base.digests import readable
from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import (
    fsync_folder,
    read_json,
    replacing,
    sha256_file,
    write_json,
)
from churn_platform.base.home import Home
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contract.model import Contract
from churn_platform.features.feast_repository import APPLIED, COPIED
from churn_platform.features.online.upkeep import columns_of, overwriting
from churn_platform.lake.place import Place
from churn_platform.lake.records import Records
from churn_platform.ledger.acts import CustomerForgotten
from churn_platform.ledger.erasures import names, salted, told
from churn_platform.ledger.store import LedgerStore
from churn_platform.maintenance.erasure_plan import (
    ErasurePlan,
    FileChange,
    StagedFiles,
)
from churn_platform.maintenance.place_upkeep import prepare_erasure, put_changed
from churn_platform.maintenance.write_access import check_writable, dagster_databases
from churn_platform.promotion.promotions import signed
from churn_platform.reports.monthly.making import MonthlyReports
from churn_platform.training.candidate import ENTITIES
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.releases import Releases

FOLDER = "forgetting"
PLAN = "plan.json"
FILES = "files"


@dataclass(frozen=True)
class Erased:
    """The result of an erasure.

    Attributes:
        subject: the customer in the ledger, by a salted hash.
        rows: where -> rows deleted.
        versions: versions that were trained on the customer.
        unknown: versions whose training customers cannot be read.
        unread: files of rows that cannot be read.
        changed: files that another process changed meanwhile; they were not edited.
    """

    subject: str
    rows: dict[str, int]
    versions: list[int]
    unknown: list[int]
    unread: list[str]
    changed: list[str]


@dataclass(frozen=True)
class Erasure:
    """Erases customers from one home."""

    home: Home
    contract: Contract
    labels: CorrectedLabels
    records: Records
    releases: Releases
    registry: ModelRegistry
    ledger: LedgerStore
    monthly_reports: MonthlyReports
    count_online_rows: Callable[[str | int], int]
    delete_online_rows: Callable[[str | int], None]

    @property
    def folder(self) -> Path:
        """Where the plan and the new files are until the erasure is complete."""
        return self.home.folder / FOLDER

    def erase(self, user: str, by: str, reason: str) -> Erased:
        """Delete every row of a customer in the home and record that it happened.

        Raises:
            UsageError: the customer is unknown, the key cannot be one, the ledger cannot record
                `by` or `reason`, or a folder cannot be written; nothing was erased.
            IntegrityError: a file of the lake or the ledger was changed; nothing was erased.
            StoreDown: the place of the lake does not answer; nothing was erased, or the next
                command completes it.
            HomeBusy: a run holds the home.
        """
        key = self._key(user)
        by, reason = signed(by, reason)
        for option, text in (("--by", by), ("--reason", reason)):
            if names(text, key):
                raise UsageError(
                    f"{option} names the customer, and the ledger keeps it permanently. Leave"
                    " out the key.",
                    code="TEXT_INVALID",
                )
        with self.home.exclusive("`churn forget`"):
            self.finish()
            with self._cleared_without_plan():
                plan = self.plan(key, by, reason)
                write_json(self.folder / PLAN, plan.model_dump(mode="json"))
            return self.carry_out(plan)

    def finish(self) -> Erased | None:
        """Complete an interrupted erasure, if there is one. The caller holds the home."""
        if (self.folder / PLAN).exists():
            return self.carry_out(ErasurePlan.model_validate(read_json(self.folder / PLAN)))
        self._clear()
        return None

    def plan(self, key: str | int, by: str, reason: str) -> ErasurePlan:
        """Prepare all new files; after this, nothing may prevent the erasure."""
        lake = self.labels.lake
        place = lake.place
        unnamed: list[str] = []
        for path in sorted(lake.folder.rglob(".*.tmp")):  # of a killed process, not searched
            if path.is_file():
                path.unlink()
        if place is not None:
            unnamed = prepare_erasure(lake, place, self.ledger.receipts())
        staged = StagedFiles(
            self.home,
            self.contract,
            self.labels,
            self.records,
            self.monthly_reports,
            self.folder / FILES,
        )
        staged.prepare(key)
        self._refuse_a_copy()
        rows = dict(staged.rows)
        if online := self.count_online_rows(key):
            rows["online store"] = online
        if not staged.files and not online:
            raise UsageError(self._why_unknown(key), code="CUSTOMER_UNKNOWN")
        versions, unknown = self.trained_versions(key)
        plan = ErasurePlan(
            key=key,
            by=by,
            reason=reason,
            salt=secrets.token_hex(16),
            files=staged.files,
            digests=staged.digests,
            rows=rows,
            versions=versions,
            unknown=unknown,
            unread=staged.unread,
            place="" if place is None else place.uri,
            objects={} if place is None else staged.lake_files,
            unnamed=[name for name in unnamed if name not in staged.new_objects],
        )
        check_writable(self.home, self.ledger.file, staged.files)
        anchor = self.ledger.anchor()
        if broken := self.ledger.verify(None if anchor is None else anchor.digest):
            raise IntegrityError(
                f"{self.ledger.file}: {broken.detail}. Nothing was erased, because no receipt"
                " can follow. Restore the ledger from a backup.",
                code="LEDGER_DAMAGED",
            )
        made_at = self.home.now().astimezone(dt.UTC).isoformat()
        act = _act(plan, _erased(plan, list(staged.files)))
        act.receipt(None, made_at)
        return plan

    def carry_out(self, plan: ErasurePlan) -> Erased:
        """Carry out a plan; finished parts are skipped."""
        place = Place(plan.place, self.labels.lake.folder) if plan.place else None
        if place is not None:  # before a manifest names them
            new = self.folder / FILES / "lake"
            put_changed(place, plan.objects, (new, self.labels.lake.folder))
        changed = [name for name, change in plan.files.items() if not self._replace(name, change)]
        if place is not None:
            for file, change in plan.objects.items():
                place.delete(file, change.before)
            for name in plan.unnamed:
                place.delete_object(name)
        self.delete_online_rows(plan.key)
        for database in dagster_databases(self.home):
            _erase_from_history(database, plan.key)
        found = _erased(plan, changed)
        act = _act(plan, found)
        recorded = self.ledger.receipts("customer forgotten")
        if act.customer not in {receipt.evidence["customer"] for receipt in recorded}:
            self.ledger.append(act)
        self._clear()
        return found

    def trained_versions(self, key: str | int) -> tuple[list[int], list[int]]:
        """The versions that were trained on the customer, and those that cannot be read."""
        from churn_platform.features.training_dataset import trained_on

        found: list[int] = []
        unknown: list[int] = []
        released = self.releases.versions()
        for version in sorted({*released, *self.registry.tags()}):
            try:
                if version in released:
                    content = self.releases.path(version, ENTITIES).read_bytes()
                else:
                    content = self.registry.files(version)[ENTITIES]
                hashes = np.load(io.BytesIO(content), allow_pickle=False)
            except (IntegrityError, UsageError, OSError, ValueError):
                unknown.append(version)
                continue
            if len(hashes) == 0:  # imported without a list of its customers
                unknown.append(version)
            elif trained_on(pd.Series([key]), hashes)[0]:
                found.append(version)
        return found, unknown

    def _key(self, user: str) -> str | int:
        """The key as files contain it.

        Raises:
            UsageError: it cannot be one.
        """
        column = self.contract.entity.column
        if not user.strip() or readable(user) != user:
            raise UsageError(
                f"{readable(user)!r} is not a valid {column}. Give non-empty UTF-8 text.",
                code="CUSTOMER_INVALID",
            )
        if self.contract.entity.dtype != "integer":
            return user.strip()
        try:
            return int(user)
        except ValueError:
            raise UsageError(
                f"{user!r} is not a valid {column}. It must be a whole number.",
                code="CUSTOMER_INVALID",
            ) from None

    def _why_unknown(self, key: str | int) -> str:
        column = self.contract.entity.column
        for receipt in self.ledger.receipts("customer forgotten"):
            if receipt.evidence["customer"] == salted(str(receipt.evidence["salt"]), key):
                return f"This {column} was erased on {receipt.time[:10]}. No data is left."
        advice = self.contract.advice_on_key(key)
        return f"There is no customer {key!r} in {self.home.folder}. {advice}"

    @contextlib.contextmanager
    def _cleared_without_plan(self) -> Iterator[None]:
        """Remove the prepared files if no plan is written."""
        try:
            yield
        except BaseException:
            self._clear()
            raise

    def _refuse_a_copy(self) -> None:
        """Refuse while a database contains the copy of the feature tables that 0.1.0 made.

        Raises:
            UsageError: such a copy was made, and its note was not removed.
        """
        applied = self.home.folder / "feast" / APPLIED
        place = read_json(applied).get(COPIED) if applied.exists() else None
        if place:
            schema = f"churn_{self.contract.name}"
            raise UsageError(
                f"Version 0.1.0 copied the feature tables to the schema {schema} in {place},"
                f" which may contain the customer. Drop the schema there, delete {applied}, then"
                " erase the customer again."
            )

    def _replace(self, name: str, change: FileChange) -> bool:
        """Put a new file in place, once; False if another process changed the file meanwhile.

        Raises:
            IntegrityError: it cannot be put there.
        """
        target = (self.home.folder / name).resolve()
        source = self.folder / FILES / name  # the file behind a link
        found = sha256_file(target) if target.exists() else None
        if found != change.before or not source.exists():
            return found in (None, change.after)
        try:
            _move(source, target)
        except OSError as error:
            raise IntegrityError(
                f"{target} cannot be replaced ({error.strerror}). The customer is not erased"
                f" yet. `churn doctor --fix` completes it when {target.parent} can be written.",
                code="FILE_DENIED",
            ) from None
        return True

    def _clear(self) -> None:
        """Delete the plan first: it names the customer."""
        (self.folder / PLAN).unlink(missing_ok=True)
        if self.folder.exists():
            fsync_folder(self.folder)
            shutil.rmtree(self.folder)


def _erased(plan: ErasurePlan, changed: list[str]) -> Erased:
    return Erased(
        subject=f"customer {salted(plan.salt, plan.key)[:12]}",
        rows=plan.rows,
        versions=plan.versions,
        unknown=plan.unknown,
        unread=plan.unread,
        changed=[readable(name) for name in changed],
    )


def _act(plan: ErasurePlan, found: Erased) -> CustomerForgotten:
    """What the ledger records; it names the customer only by the salted hash."""
    return CustomerForgotten(
        actor=plan.by,
        reason=plan.reason,
        customer=salted(plan.salt, plan.key),
        salt=plan.salt,
        digests=plan.digests,
        **asdict(found),
    )


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(target) as temporary:  # the folder is on another disk
            shutil.copy2(source, temporary)
    fsync_folder(target.parent)


def _erase_from_history(database: Path, key: str | int) -> None:
    """Replace the key in Dagster's history, which shows top rows and examples of each run."""
    with overwriting(database) as store:
        for table, column in columns_of(store):
            for form, instead in told(key):
                store.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '  # noqa: S608 - Dagster's names
                    f'WHERE typeof("{column}") = \'text\' AND instr("{column}", ?) > 0',
                    (form, instead, form),
                )
