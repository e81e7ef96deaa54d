"""Plans the contacts of a month: registers who is in which arm, then writes the list."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from churn_platform.base.files import sha256_file
from churn_platform.contacts.campaign import Campaigns
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.plan import (
    ARM,
    ASSIGNED,
    CONTACT,
    EXPLORE,
    UNTOUCHED,
    ContactPlan,
    plan,
)
from churn_platform.contacts.plans import KIND, ContactPlanRecord, ContactPlans, experiment_of
from churn_platform.contacts.saved_value import named_column, saved_values
from churn_platform.contacts.uplift_ranking import UpliftRanking
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.monitoring.versions import Versions
from churn_platform.scoring.contact_list import FILES, contact_list, write_contact_list
from churn_platform.scoring.ranking import reasons
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
        scored = scores_record(self.records, as_of) or ScoresRecord()
        record = ContactPlanRecord(**made_from)
        note = self._why_not(as_of, scored)
        if self.retraining_due(as_of):
            note = "A retraining is requested. Contacts are planned after its decision."
            record = record.model_copy(update={"waiting": True})
        if note or scored.version is None:
            record = record.model_copy(update={"note": note})
            self.records.write(KIND, as_of, record.as_json())
            return record
        return self._made(as_of, scored.version, made_from)

    def restored(self, as_of: dt.date) -> ContactPlanRecord | None:
        """The record of a month, after a list whose files are lost is made again from the rows
        of the plan.
        """
        record = self.plans.record(as_of)
        csv = contact_list(self.reports, as_of)
        lost = not all(csv.with_suffix(suffix).exists() for suffix in FILES)
        if record is None or record.digest is None or not lost:
            return record
        write_contact_list(self.reports, self.contract, as_of, self.plans.rows(as_of))
        record = record.model_copy(update={"list_digest": sha256_file(csv)})
        self.records.write(KIND, as_of, record.as_json())
        return record

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
        policy = self.contract.policy.contacts
        key = self.contract.entity.column
        ranked = self.records.frame("scores", as_of)
        tables = self.lake.tables(as_of)
        customers = ranked[[key, "probability"]].assign(
            value=saved_values(self.contract, tables, ranked[key])
        )
        ranking: dict[str, str] = {}
        effects = self._effects(as_of, tables, ranked[key])
        if effects is not None:
            customers = customers.assign(effect=effects)
            ranking = {"ranked_by": "effect"}
        excluded = self._excluded(as_of, ranked, tables)
        made = plan(policy, experiment_of(as_of), key, customers, excluded)
        digest = self.plans.register(as_of, made, version)
        rows = self._with_reasons(made, version, ranked, tables)
        csv = write_contact_list(self.reports, self.contract, as_of, rows)
        record = ContactPlanRecord(
            **made_from,
            version=version,
            experiment=experiment_of(as_of),
            digest=digest,
            budget=made.budget,
            contact=made.count(CONTACT),
            explore=made.count(EXPLORE),
            untouched=made.count(UNTOUCHED),
            below=made.count("below"),
            excluded=made.excluded,
            untouched_share=policy.untouched_share,
            explore_share=policy.explore_share,
            list_digest=sha256_file(csv),
        ).model_copy(update=ranking)
        self.records.write(KIND, as_of, record.as_json(), rows)
        return record

    def _effects(
        self, as_of: dt.date, tables: dict[str, pd.DataFrame], keys: pd.Series
    ) -> FloatArray | None:
        """How far a contact lowers each customer's (rows,) churn probability; None unless that
        may rank.
        """
        matured = Campaigns(self.labels, self.records).matured(as_of)
        earlier = [month for month in matured if month < as_of]
        return UpliftRanking(self.labels).effects(earlier, tables, keys)

    def _excluded(
        self,
        as_of: dt.date,
        ranked: pd.DataFrame,
        tables: dict[str, pd.DataFrame],
    ) -> pd.Series:
        """Why each customer (rows,) is in no arm; null for the others.

        Untouched customers wait as long as those who were contacted, or they would pile up.
        """
        key = self.contract.entity.column
        keys = ranked[key].reset_index(drop=True)
        why = pd.Series(None, index=keys.index, dtype=object)
        recent, ever = self._listed_before(as_of)
        contacted = self._contacted_before(as_of)
        why[keys.isin(contacted - ever)] = "contacted recently"
        why[keys.isin(recent)] = "on a recent list"
        if self.contract.at(as_of).do_not_contact is not None:
            objects = named_column(self.contract, tables, str(self.contract.do_not_contact), keys)
            why[objects.fillna(value=False).astype(bool)] = "objects to contact"
        why[ranked["already_left"].to_numpy(dtype=bool)] = "has left"
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

    def _contacted_before(self, as_of: dt.date) -> set[object]:
        """Who was contacted within the cooldown before a month."""
        months = [month for month in self.lake.months() if month < as_of]
        wait = self.contract.policy.contacts.cooldown_cadences
        if not wait or not months:
            return set()
        found = self.labels.log.between(self.now(), months[-wait:][0], as_of)
        return set(found[self.contract.entity.column])

    def _with_reasons(
        self, made: ContactPlan, version: int, ranked: pd.DataFrame, tables: dict[str, pd.DataFrame]
    ) -> pd.DataFrame:
        """The rows of a plan; those of the customers on the list with what is shown of them, so
        the list can be made again.
        """
        candidate = self.versions().load(version)
        contract = self.version_contracts.of(candidate.card)
        key = contract.entity.column
        listed = made.rows[made.rows[ARM].isin(ASSIGNED)]
        rows = feature_frame(contract, tables).set_index(key).loc[listed[key]].reset_index()
        why = reasons(contract, rows, candidate.model, contract.policy.scoring.reasons)
        scored = ranked.set_index(key).loc[listed[key]]
        shown = scored[[name for name in OF_THE_SCORES if name in scored]]
        added = pd.concat([shown.set_axis(listed.index), why.set_axis(listed.index)], axis=1)
        return made.rows.assign(**added.reindex(made.rows.index))
