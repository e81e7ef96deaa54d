"""The repairs of `churn doctor --fix`: only what the home's own records prove."""

import datetime as dt
import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from churn_platform.audit.contact_plans import restored, why_damaged
from churn_platform.audit.experiments import experiment_faults
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, IntegrityError, UsageError
from churn_platform.base.files import read_json, replacing, sha256_file
from churn_platform.base.home import Home
from churn_platform.base.library_errors import sentence_of
from churn_platform.base.text import counted
from churn_platform.contacts.plans import REGISTERED
from churn_platform.experiments.files import RUNNING_FILE
from churn_platform.experiments.registered import Experiments
from churn_platform.experiments.state import ExperimentState
from churn_platform.features.training_datasets import TrainingDatasets
from churn_platform.ingestion.delivered_file import suffix_of
from churn_platform.ingestion.drop import INCOMING
from churn_platform.lake.lake import Lake
from churn_platform.lake.place_files import missing_files
from churn_platform.lake.records import KINDS, Records
from churn_platform.ledger.acts import Recovered
from churn_platform.ledger.erasures import current
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import ReleasePublished, done_of
from churn_platform.maintenance.erasure import Erasure
from churn_platform.maintenance.lake_move import LakeMove
from churn_platform.maintenance.mlflow_move import MlflowMove
from churn_platform.maintenance.place_upkeep import repaired
from churn_platform.promotion.promotions import Promotions, lost_version
from churn_platform.promotion.publishing import ReleasePublisher
from churn_platform.reports.monthly.making import KIND as REPORT
from churn_platform.reports.monthly.making import MonthlyReports
from churn_platform.scoring.contact_planning import ContactPlanning
from churn_platform.training import release
from churn_platform.training.candidate import candidate_of
from churn_platform.training.model import serving_files
from churn_platform.training.registry import PRODUCTION, ModelRegistry
from churn_platform.training.release import ReleaseManifest
from churn_platform.training.releases import Releases

RESTORE = "Restore the home from a backup: `churn restore FILE --home NEW`."
AN_HOUR = 3600.0
"""A younger temporary file may belong to a process that does not hold the home."""
SHARED = ("drops", "predictions", "shadows", "simulated")
NOT_OURS = ("serving", "dagster", "artifacts")


@dataclass(frozen=True)
class Repair:
    """One fault and what was done, or what helps."""

    what: str
    done: bool
    says: str


@dataclass(frozen=True)
class Repairs:
    """Repairs one home. What needs a valid contract is opened late, by the step that uses it."""

    home: Home
    records: Records
    releases: Releases
    ledger: LedgerStore
    lake: Callable[[], Lake]
    registry: Callable[[], ModelRegistry]
    training_datasets: Callable[[], TrainingDatasets]
    publisher: Callable[[], ReleasePublisher]
    promotions: Callable[[], Promotions]
    erasure: Callable[[], Erasure]
    mlflow_move: Callable[[], MlflowMove]
    lake_move: Callable[[], LakeMove]
    contact_planning: Callable[[], ContactPlanning]
    experiments: Callable[[], Experiments]
    monthly_reports: Callable[[], MonthlyReports]

    def run(self) -> list[Repair]:
        """Repair what can be repaired; each repair writes a receipt "recovery".

        Raises:
            HomeBusy: a run holds the home.
        """
        steps: tuple[tuple[str, Callable[[], Iterator[Repair]]], ...] = (
            ("release", self._releases),
            ("pointer", self._pointer),
            ("move", self._production_change),
            ("experiment", self._experiments),
            ("forgetting", self._erasure),
            ("server", self._mlflow_move),
            ("lake", self._lake_move),
            ("alias", self._alias),
            ("temporary files", self._temporary_files),
            ("drop", self._drops),
            ("contact plan", self._contact_plans),
            ("record", self._derived_records),
            ("monthly report", self._monthly_reports),
            ("lake", self._lake_files),
        )
        with self.home.exclusive("`churn doctor --fix`"):
            if broken := self.ledger.verify():
                says = (
                    f"Receipt {broken.sequence}: {broken.detail}. The ledger proves nothing any"
                    f" more. {RESTORE}"
                )
                return [Repair("ledger", done=False, says=says)]
            found: list[Repair] = []
            for name, step in steps:
                try:
                    for one in step():  # kept one by one: each has its receipt already
                        found.append(one)  # noqa: PERF402
                except Exception as error:  # noqa: BLE001 - whatever a library raises, the next steps run
                    found.append(_not_repaired(name, error))
            return found

    def _releases(self) -> Iterator[Repair]:
        """Production first; a release that cannot be repaired does not stop the others."""
        versions = {*self.releases.versions(), *self.ledger.state().published}
        production = self.ledger.state().production
        for version in sorted(versions, key=lambda version: (version != production, version)):
            try:
                self.releases.verify(version)
            except ChurnError as fault:
                try:
                    yield self._release(version, fault)
                except Exception as error:  # noqa: BLE001 - as above
                    yield _not_repaired("release", error, f"Release {version} stays as it is. ")

    def _release(self, version: int, fault: ChurnError) -> Repair:
        says, digests = self._rebuild(version)
        evidence = {"digests": digests} if digests else {}
        self._record(f"version {version}", f"{says} It had this fault: {fault}", **evidence)
        return Repair("release", done=True, says=says)

    def _rebuild(self, version: int) -> tuple[str, dict[str, str]]:
        """Restore a release from the registry.

        Returns:
            What was done, and the digest of the manifest before -> after if it is a new one.

        Raises:
            IntegrityError: nothing proves what the release was, or the registry has other
                files; it is left as it was.
        """
        files = self.registry().files(version)
        content = {**files, **serving_files(candidate_of(files, version).model)}
        try:
            manifest = self.releases.manifest(version)
        except (IntegrityError, UsageError):
            return self._publish_again(version, content)
        restored = self._restore_files(manifest, content)
        says = f"Release {version}: {', '.join(restored)} restored from the registry."
        return says, {}

    def _restore_files(self, manifest: ReleaseManifest, content: Mapping[str, bytes]) -> list[str]:
        """Restore the files that do not match the manifest, each atomically."""
        folder = self.releases.folder / str(manifest.version)
        wrong = [
            name
            for name, digest in manifest.files.items()
            if not (folder / name).is_file() or sha256_file(folder / name) != digest
        ]
        other = [
            name
            for name in wrong
            if hashlib.sha256(content.get(name, b"")).hexdigest() != manifest.files[name]
        ]
        if other:
            raise IntegrityError(
                f"Release {manifest.version}: {', '.join(other)} cannot be restored: the"
                " registry has other content.",
                code="MODEL_CHANGED",
            )
        for name in wrong:
            with replacing(folder / name) as temporary:
                temporary.write_bytes(content[name])
        known = {*manifest.files, release.MANIFEST, release.MANIFEST_DIGEST}
        added = [entry for entry in folder.iterdir() if entry.name not in known]
        for entry in added:  # not part of the release, and not ours to delete
            entry.rename(self.releases.folder / f".added-to-{manifest.version}.{uuid.uuid4().hex}")
        self.releases.verify(manifest.version)
        return [*wrong, *(f"{entry.name} (moved aside)" for entry in added)]

    def _publish_again(
        self, version: int, content: Mapping[str, bytes]
    ) -> tuple[str, dict[str, str]]:
        """Publish the version again if receipts prove what it was."""
        state = self.ledger.state()
        published = state.published.get(version)
        if published is None:
            raise IntegrityError(
                f"Release {version} has no valid manifest, and no receipt records its files.",
                code="RELEASE_MISSING",
            )
        files = {name: hashlib.sha256(one).hexdigest() for name, one in content.items()}
        recorded = ReleasePublished.of(published)
        if files != recorded.files:
            raise IntegrityError(
                f"Release {version} cannot be restored: the registry has other content.",
                code="MODEL_CHANGED",
            )
        folder = self.releases.folder / str(version)
        aside = self.releases.folder / f".damaged-{version}.{uuid.uuid4().hex}"
        if folder.exists():
            folder.rename(aside)
        try:
            self.publisher().publish_version(version, "repair", recorded.candidate)
        except Exception:
            if aside.exists() and not folder.exists():
                aside.rename(folder)
            raise
        before = current(self.ledger.receipts(), recorded.manifest, published.sequence)
        after = digest_of(self.releases.verify(version).model_dump(mode="json"))
        done = f"Release {version} was published again from the registry"
        if after == before:
            return f"{done}, as in receipt {published.sequence}.", {}
        says = (
            f"{done}, its files as in receipt {published.sequence}, its manifest with other"
            " golden rows."
        )
        return says, {before: after}

    def _pointer(self) -> Iterator[Repair]:
        """After the releases, because it names a complete one; before the steps that read it."""
        fault = "It was missing."
        try:
            if self.releases.read_pointer() or not self.ledger.state().changes:
                return
        except IntegrityError as error:
            fault = f"It had become unreadable: {error}"
        says = self._rewrite_pointer()
        self._record("pointer", f"{says} {fault}")
        yield Repair("pointer", done=True, says=says)

    def _rewrite_pointer(self) -> str:
        """Write the pointer from the last production change that the ledger records.

        Raises:
            IntegrityError: there is none, or its release is not complete.
        """
        done = self.ledger.state().changes
        if not done:
            raise IntegrityError(
                f"{self.releases.pointer_file} cannot be read, and the ledger records no promotion."
            )
        last = done_of(done[-1])
        self.releases.verify(last.version)
        self.releases.repoint(
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

    def _production_change(self) -> Iterator[Repair]:
        if says := self.promotions().recover():  # writes the receipt
            yield Repair("move", done=True, says=says)

    def _experiments(self) -> Iterator[Repair]:
        """The file that servers follow is a mirror of the ledger. A canary whose versions
        changed is ended.
        """
        faults = self._experiment_faults()
        if not faults:
            return
        said = self.experiments().settle()
        left = self._experiment_faults()
        if left:
            remedy = "End it: `churn shadow --end`, `churn canary --end`."
            yield Repair("experiment", done=False, says=f"{' '.join(left)} {remedy}")
            return
        says = " ".join([f"{RUNNING_FILE} is what the ledger says again.", *said])
        self._record("experiments", f"{says} It had this fault: {' '.join(faults)}")
        yield Repair("experiment", done=True, says=says)

    def _experiment_faults(self) -> list[str]:
        running = ExperimentState.from_receipts(self.ledger.receipts()).running
        return list(experiment_faults(self.releases, running))

    def _erasure(self) -> Iterator[Repair]:
        if (found := self.erasure().finish()) is not None:
            says = f"The erasure of {found.subject} was interrupted. It is complete now."
            self._record(found.subject, says)
            yield Repair("forgetting", done=True, says=says)

    def _mlflow_move(self) -> Iterator[Repair]:
        if (moved := self.mlflow_move().finish()) is not None:  # writes the receipt
            says = f"The move to {moved.server} was interrupted. It is complete now."
            yield Repair("server", done=True, says=says)

    def _lake_move(self) -> Iterator[Repair]:
        if (said := self.lake_move().finish()) is not None:  # writes the receipt
            yield Repair("lake", done=True, says=f"A move of the lake was interrupted. {said}")

    def _alias(self) -> Iterator[Repair]:
        """The pointer is the truth, MLflow's alias a mirror of it."""
        pointer = self.releases.pointer()
        alias = self.registry().alias(PRODUCTION)
        if pointer is None or alias == pointer.version:
            return
        if not self.registry().has(pointer.version):
            yield Repair("alias", done=False, says=f"{lost_version(pointer.version)} {RESTORE}")
            return
        self.promotions().restore_alias()
        was = "no version" if alias is None else f"version {alias}"
        says = (
            f"MLflow's alias {PRODUCTION} named {was}. It names version {pointer.version} again,"
            " as the pointer does."
        )
        self._record(f"version {pointer.version}", says)
        yield Repair("alias", done=True, says=says)

    def _temporary_files(self) -> Iterator[Repair]:
        deleted = []
        for path in sorted(self.home.folder.rglob(".*.tmp")):
            top = path.relative_to(self.home.folder).parts[0]
            young = time.time() - path.stat().st_mtime < AN_HOUR
            if top in NOT_OURS or (top in SHARED and young):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            deleted.append(path.relative_to(self.home.folder).as_posix())
        if deleted:
            files = counted(len(deleted), "incomplete file")
            says = f"{files} of a killed process removed: {', '.join(deleted[:3])}."
            self._record("temporary files", says, files=deleted)
            yield Repair("temporary files", done=True, says=says)

    def _drops(self) -> Iterator[Repair]:
        """What a killed `churn ingest` left; only the sender knows which files are new."""
        for marker in sorted(self.home.drops.glob(f"*/{INCOMING}")):
            month = marker.parent.name
            if any(suffix_of(path) for path in marker.parent.iterdir()):
                says = (
                    f"The drop of {month} is partly ingested: run `churn ingest DIR --as-of"
                    f" {month}` again."
                )
                yield Repair("drop", done=False, says=says)
            elif time.time() - marker.stat().st_mtime > AN_HOUR:
                marker.unlink()
                says = f"The drop of {month} contains no files: its mark was removed."
                self._record(month, says)
                yield Repair("drop", done=True, says=says)

    def _contact_plans(self) -> Iterator[Repair]:
        """Restore registered plans from their rows, or rows from the same inputs: a plan is
        never drawn from other scores, because people may have worked through its list.
        """
        receipts = self.ledger.receipts()
        if not any(receipt.act == REGISTERED for receipt in receipts):
            return
        planning = self.contact_planning()
        for as_of in planning.plans.months():
            if (fault := why_damaged(planning, as_of)) is None:
                continue
            try:
                says = restored(planning, receipts, as_of)
            except ChurnError as error:
                yield _not_repaired("contact plan", error)
                continue
            self._record(as_of.isoformat(), f"{says} It had this fault: {fault}")
            yield Repair("contact plan", done=True, says=says)

    def _derived_records(self) -> Iterator[Repair]:
        """Remove records that cannot be read; the next run derives them again. A registered
        contact plan is restored, or it stays.
        """
        registered = {
            receipt.subject for receipt in self.ledger.receipts() if receipt.act == REGISTERED
        }
        for kind in KINDS:
            for path in sorted(self.records.folder(kind).glob("[0-9]*.json")):
                if kind == "contact_plan" and path.stem in registered:
                    continue
                try:
                    read_json(path)
                    if kind == "training_dataset":
                        self.training_datasets().load(dt.date.fromisoformat(path.stem))
                    continue
                except (ChurnError, OSError, ValueError) as fault:
                    path.unlink()
                    says = (
                        f"The {kind} record of {path.stem} was damaged and removed. `churn run`"
                        " makes it again."
                    )
                    self._record(path.stem, f"{says} {fault}", record=kind)
                    yield Repair("record", done=True, says=says)

    def _monthly_reports(self) -> Iterator[Repair]:
        """Make lost and changed pages again from the report and the list; a report whose record
        was lost or changed is made from what is known now.
        """
        months = {
            dt.date.fromisoformat(page.parent.name)
            for page in self.home.reports.glob("*/report_*.html")
        }
        if not months and not self.records.months(REPORT):
            return
        reports = self.monthly_reports()
        for month in sorted({*months, *self.records.months(REPORT)}):
            report = reports.record(month)
            if report is not None and self.records.broken(REPORT, month) is None:
                faults = reports.faults(month, report)
                if not faults:
                    continue
                reports.write(month, report)
                pages = ", ".join(f"for the {audience}" for audience in faults)
                says = f"The report of {month}: its pages {pages} were made again."
            elif month in self.records.months("scores"):
                reports.make(month)
                says = f"The report of {month} was made again from what is known now."
            else:
                continue
            self._record(month.isoformat(), says, record=REPORT)
            yield Repair("monthly report", done=True, says=says)

    def _lake_files(self) -> Iterator[Repair]:
        lake = self.lake()
        if lake.place is not None:
            now = dt.datetime.now(dt.UTC)
            for one in repaired(lake, lake.place, self.ledger.receipts(), now):
                if one.done:
                    self._record("lake", one.says)
                yield Repair("lake", done=one.done, says=one.says)
        for lost in missing_files(lake):
            file = f"{lost.file.entry.file} ({lost.table} of {lost.as_of})"
            yield Repair("lake", done=False, says=f"{file} is missing. {RESTORE}")

    def _record(self, subject: str, reason: str, **evidence: Any) -> None:  # noqa: ANN401 - the act checks it
        self.ledger.append(Recovered(subject=subject, reason=reason[:2000], **evidence))


def _not_repaired(name: str, error: Exception, prefix: str = "") -> Repair:
    says = f"{prefix}{sentence_of(error)} If that does not help: {RESTORE}"
    return Repair(name, done=False, says=says)
