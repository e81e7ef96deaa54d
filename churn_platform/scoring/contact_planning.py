"""Plans the contacts of a month: registers who is in which arm, then writes the list."""

import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from churn_platform.base.errors import IntegrityError
from churn_platform.base.library_errors import sentence_of
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.plan import (
    ARM,
    ASSIGNED,
    CONTACT,
    EXPLORE,
    UNTOUCHED,
    ContactPlan,
)
from churn_platform.contacts.plans import KIND, ContactPlanRecord, ContactPlans, experiment_of
from churn_platform.contacts.saved_value import named_column, saved_values
from churn_platform.contacts.tested_plan import DrawnFrom
from churn_platform.contacts.uplift_ranking import UpliftRanking
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.experiments.model_tests import ModelTests
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.ledger.acts import ContactPlanRegistered, PlannedTest
from churn_platform.monitoring.versions import Versions
from churn_platform.scoring.contact_list import (
    FILES,
    ContactList,
    contact_list,
    write_contact_list,
)
from churn_platform.scoring.ranking import outcomes, reasons
from churn_platform.scoring.scoring import ScoresRecord, scores_record
from churn_platform.training.version_contracts import VersionContracts

ON_A_LIST = (CONTACT, EXPLORE, UNTOUCHED)
OF_THE_SCORES = ("decile", "expected_loss", "trained_on")
"""What the list shows of a customer's scores."""


@dataclass(frozen=True)
class ContactPlanning:
    """Plans the contacts of one home."""

    contract: Contract
    labels: CorrectedLabels
    records: Records
    versions: Callable[[], Versions]
    version_contracts: VersionContracts
    reports: Path
    retraining_due: Callable[[dt.date], bool]
    """Whether a candidate of the month is trained next: the plan waits for its decision."""
    newest_drop: Callable[[], dt.date | None]
    tests: ModelTests
    now: Callable[[], dt.datetime]

    @property
    def lake(self) -> Lake:
        """Published snapshots."""
        return self.labels.lake

    @property
    def plans(self) -> ContactPlans:
        """The registered plans."""
        return self.labels.plans

    def make(self, as_of: dt.date) -> ContactPlanRecord | None:
        """Plan the contacts of a month, once: a registered plan stays, whatever is corrected or
        promoted later, because people may work through its list.

        Returns:
            The record; None where the contract names no contacts.
        """
        if self.contract.at(as_of).contacts is None:
            return None
        made_from = self.labels.months().made_from(as_of)
        known = self.plans.record(as_of)
        if known is not None and known.digest is not None:
            kept = known.model_copy(update=made_from)
            self.records.write(KIND, as_of, kept.as_json())
            return self.restored(as_of)
        if self._cut_off_after_rows(as_of):  # by a failure in this run
            return self._completed(as_of, self.plans.rows(as_of), made_from)
        scored = scores_record(self.records, as_of) or ScoresRecord()
        record = ContactPlanRecord(**made_from)
        note = self._why_not(as_of, scored)
        if self.retraining_due(as_of):
            note = "A retraining is requested. Contacts are planned after its decision."
            record = record.model_copy(update={"waiting": True})
        if note or scored.version is None:
            if not record.waiting:
                self._withdraw(as_of)
            record = record.model_copy(update={"note": note})
            self.records.write(KIND, as_of, record.as_json())
            return record
        return self._made(as_of, scored.version, made_from)

    def restored(self, as_of: dt.date) -> ContactPlanRecord | None:
        """The record of a month, after a list whose files are lost is made again from the rows
        of the plan.
        """
        record = self.plans.record(as_of)
        files = list_files(self.reports, as_of)
        if record is None or record.digest is None or all(file.exists() for file in files):
            return record
        digest = self._write_list(as_of, self.plans.rows(as_of))
        record = record.model_copy(update={"list_digest": digest})
        self.records.write(KIND, as_of, record.as_json())
        return record

    def finish(self) -> None:
        """Complete the plans that a kill has cut off.

        With its rows a plan is complete but for its list and record. Without them nobody has
        seen it: the newest month is planned again by its own step, an older one has no plan.
        """
        for as_of in self.plans.unfinished():
            if self._cut_off_after_rows(as_of):
                made_from = self.labels.months().made_from(as_of)
                self._completed(as_of, self.plans.rows(as_of), made_from)
            elif as_of != self.lake.months()[-1]:
                self._withdraw(as_of)

    def restore(self, as_of: dt.date, made: ContactPlan | None = None) -> None:
        """Restore the record of a registered plan from its rows, after lost rows are written
        again from a plan that was made again.

        Raises:
            IntegrityError: the rows are not those that were registered.
        """
        receipt = self.plans.registration(as_of)
        if made is not None and receipt is not None:
            self.plans.require_registered(as_of, made.rows)
            version = ContactPlanRegistered.of(receipt).version
            rows = self._with_reasons(as_of, made, version)
            self.records.write_rows(KIND, as_of, rows)
        made_from = self.labels.months().made_from(as_of)
        self._completed(as_of, self.plans.rows(as_of), made_from)

    def drawn_from(
        self, as_of: dt.date, known_at: dt.datetime, test: PlannedTest | None = None
    ) -> DrawnFrom:
        """What the month's plan is drawn from, as known at an instant; in the order of the
        keys. In a month of a test both versions rank by risk x value.
        """
        key = self.contract.entity.column
        ranked = self.records.frame("scores", as_of)[[key, "probability"]]
        scored = ranked.sort_values(key, ignore_index=True)
        files = self.lake.delivered_by(as_of, known_at)
        tables = {name: self.lake.read_table(name, file.path) for name, file in files.items()}
        excluded = self._excluded(as_of, scored[key], tables, known_at)
        labels = files.get(self.contract.label_table)
        if labels is not None:
            known = outcomes(scored[key], self.lake.read_labels(labels.path, as_of))
            excluded[known.already_left] = "has left"
        customers = scored.assign(value=saved_values(self.contract, tables, scored[key]))
        if test is not None:
            customers = customers.assign(
                probability_a=self._probabilities(as_of, test.version_a, scored),
                probability_b=self._probabilities(as_of, test.version_b, scored),
            )
            return DrawnFrom(customers, excluded)
        effects = self._effects(as_of, tables, scored[key], known_at)
        if effects is not None:
            customers = customers.assign(effect=effects)
        return DrawnFrom(customers, excluded)

    def _probabilities(self, as_of: dt.date, version: int, scored: pd.DataFrame) -> FloatArray:
        """The churn probability of each scored customer (rows,) by a version; that of the month
        where the version has scored everybody.
        """
        record = scores_record(self.records, as_of)
        if record is not None and record.version == version and record.canary is None:
            return scored["probability"].to_numpy(dtype=float)
        candidate = self.versions().load(version)
        contract = self.version_contracts.of(candidate.card)
        key = contract.entity.column
        rows = feature_frame(contract, self.lake.tables(as_of)).set_index(key)
        return candidate.model.probability(rows.loc[scored[key]].reset_index())

    def _cut_off_after_rows(self, as_of: dt.date) -> bool:
        """Whether the plan that counts has its rows, but may lack its list and record."""
        if self.plans.registration(as_of) is None:
            return False
        with contextlib.suppress(IntegrityError):
            self.plans.rows(as_of)
            return True
        return False

    def _withdraw(self, as_of: dt.date) -> None:
        """Withdraw a registered plan that nobody can have seen, if there is one.

        Raises:
            IntegrityError: its list is there, so somebody may have seen it, and its rows are not.
        """
        self._refuse_lost(as_of)
        if self.plans.registration(as_of) is not None:
            self.plans.withdraw(
                as_of,
                f"The contact plan of {as_of} was cut off before its rows were written. It does"
                " not count.",
            )

    def _refuse_lost(self, as_of: dt.date) -> None:
        """Refuse to plan a month whose list is there without the rows of its plan."""
        if any(file.exists() for file in list_files(self.reports, as_of)):
            self.plans.rows(as_of)

    def _why_not(self, as_of: dt.date, scored: ScoresRecord) -> str:
        """Why no plan is made for the month; empty if one is."""
        newest = max([*self.lake.months(), self.newest_drop() or as_of])
        if as_of != newest:
            return f"Contacts are planned for the newest month only, {newest}."
        if scored.version is None:
            return scored.not_scored or "No model is in production yet, so no customer is ranked."
        if scored.stand_down:
            return f"No contacts are planned: {scored.stand_down}"
        return scored.list_note or ""

    def _made(self, as_of: dt.date, version: int, made_from: dict[str, str]) -> ContactPlanRecord:
        self._refuse_lost(as_of)
        test = self.tests.of_month(as_of)
        try:
            found, made = self._drawn(as_of, test)
        except Exception as error:  # a tested version must not stop the plan of production
            if test is None:
                raise
            self.tests.cancel(f"The lists of {as_of} could not be made: {sentence_of(error)}")
            test = None
            found, made = self._drawn(as_of, test)
        rows = self._with_reasons(as_of, made, version)
        self.plans.register(as_of, made, version, found.digest, test)
        self.records.write_rows(KIND, as_of, rows)
        return self._completed(as_of, rows, made_from)

    def _drawn(self, as_of: dt.date, test: PlannedTest | None) -> tuple[DrawnFrom, ContactPlan]:
        """What the month's plan is drawn from as known now, and the plan."""
        found = self.drawn_from(as_of, self.now(), test)
        key = self.contract.entity.column
        policy = self.contract.policy.contacts
        return found, found.plan(policy, experiment_of(as_of), key, test)

    def _completed(
        self, as_of: dt.date, rows: pd.DataFrame, made_from: dict[str, str]
    ) -> ContactPlanRecord:
        """The record of a plan that is registered and has its rows, after its list is written."""
        return self.plans.complete(as_of, rows, made_from, self._write_list(as_of, rows))

    def _effects(
        self,
        as_of: dt.date,
        tables: dict[str, pd.DataFrame],
        keys: pd.Series,
        known_at: dt.datetime,
    ) -> FloatArray | None:
        """How far a contact lowers each customer's (rows,) churn probability; None unless that
        may rank.
        """
        planned = set(self.plans.months())
        matured = [
            month
            for month in self.labels.months().matured(as_of)
            if month < as_of and month in planned and self.lake.labels(month, known_at) is not None
        ]
        return UpliftRanking(self.labels, known_at).effects(matured, tables, keys)

    def _excluded(
        self,
        as_of: dt.date,
        keys: pd.Series,
        tables: dict[str, pd.DataFrame],
        known_at: dt.datetime,
    ) -> pd.Series:
        """Why each customer (rows,) is in no arm; null for the others.

        Untouched customers wait as long as those who were contacted, or they would pile up.
        """
        why = pd.Series(None, index=keys.index, dtype=object)
        recent, ever = self._listed_before(as_of)
        contacted = self._contacted_before(as_of, known_at)
        why[keys.isin(contacted - ever)] = "contacted recently"
        why[keys.isin(recent)] = "on a recent list"
        if self.contract.at(as_of).do_not_contact is not None:
            objects = named_column(self.contract, tables, str(self.contract.do_not_contact), keys)
            why[objects.fillna(value=False).astype(bool)] = "objects to contact"
        return why

    def _listed_before(self, as_of: dt.date) -> tuple[set[object], set[object]]:
        """Who was on a list within the cooldown, in any arm, and who ever was on one."""
        key = self.contract.entity.column
        months = [month for month in self.lake.months() if month < as_of]
        wait = self.contract.policy.contacts.cooldown_cadences
        recent: set[object] = set()
        ever: set[object] = set()
        for month in self.plans.months():
            if month >= as_of:
                continue
            rows = self.plans.rows(month)
            listed = set(rows.loc[rows[ARM].isin(ON_A_LIST), key])
            if wait and month in months[-wait:]:
                recent |= listed
            ever |= listed
        return recent, ever

    def _contacted_before(self, as_of: dt.date, known_at: dt.datetime) -> set[object]:
        """Who was contacted within the cooldown before a month."""
        months = [month for month in self.lake.months() if month < as_of]
        wait = self.contract.policy.contacts.cooldown_cadences
        if not wait or not months:
            return set()
        found = self.labels.log.between(known_at, months[-wait:][0], as_of)
        return set(found[self.contract.entity.column])

    def _with_reasons(self, as_of: dt.date, made: ContactPlan, version: int) -> pd.DataFrame:
        """The rows of a plan; those of the customers on the list with what is shown of them, so
        the list can be made again.
        """
        key = self.contract.entity.column
        listed = made.rows[made.rows[ARM].isin(ASSIGNED)]
        scored = self.records.frame("scores", as_of).set_index(key).loc[listed[key]]
        # While a canary runs, its version scores the customers of its arm.
        by = pd.Series(version, index=listed.index)
        if "arm" in scored:
            by = scored["version"].set_axis(listed.index)
        why = pd.concat(
            [self._reasons(as_of, listed.loc[by == one, key], one) for one in sorted(set(by))]
        )
        shown = scored[[name for name in OF_THE_SCORES if name in scored]]
        added = pd.concat([shown.set_axis(listed.index), why], axis=1)
        return made.rows.assign(**added.reindex(made.rows.index))

    def _reasons(self, as_of: dt.date, customers: pd.Series, version: int) -> pd.DataFrame:
        """The reasons of customers (rows,) in the words of a version."""
        candidate = self.versions().load(version)
        contract = self.version_contracts.of(candidate.card)
        features = feature_frame(contract, self.lake.tables(as_of))
        rows = features.set_index(contract.entity.column).loc[customers].reset_index()
        count = contract.policy.scoring.reasons
        return reasons(contract, rows, candidate.model, count).set_axis(customers.index)

    def _write_list(self, as_of: dt.date, rows: pd.DataFrame) -> str:
        """Write the list for the team, unless it is there: the team may be working in it.

        Returns:
            The digest of the CSV file.
        """
        if not all(file.exists() for file in list_files(self.reports, as_of)):
            write_contact_list(self.reports, self.contract, as_of, rows)
        text = ContactList.of(self.contract, as_of, rows).csv()
        return hashlib.sha256(text.encode()).hexdigest()


def list_files(reports: Path, as_of: dt.date) -> list[Path]:
    """The files of a month's list: CSV, Excel and, for serving, Parquet."""
    return [contact_list(reports, as_of).with_suffix(suffix) for suffix in FILES]
