"""What contacting was worth: the customers of matured plans compared, and the record of it."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import pandas as pd

from churn_platform.base.stored import Stored
from churn_platform.contacts.assigned import AssignedMonth
from churn_platform.contacts.effect import (
    FEWEST_OF_A_KIND,
    Effect,
    EffectState,
    WithheldBecause,
    effect_of,
)
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.plan import ARM, CONTACT, PROBABILITY, UNTOUCHED
from churn_platform.contacts.profit import SaveRate, save_rate_from_effect
from churn_platform.contacts.uplift_ranking import Ranking, UpliftRanking
from churn_platform.evaluation.sequential import level_at
from churn_platform.evaluation.statistics import quantile_of_normal
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.ledger.acts import CampaignEffectChanged

KIND: Final = "campaign_effect"
NOTHING: Final = (
    "No plan has matured labels yet: what contacting was worth is known when they are delivered."
)
MOST_CONTAMINATED: Final = 0.10
"""Share of untouched customers who were contacted, above which the effect is too diluted."""
FEWEST_CONTAMINATED: Final = 3
"""So many customers at least, or one contact among a few untouched customers would be too many."""


class CampaignRecord(Stored):
    """The record of the step `campaign_effect`."""

    snapshot: str = ""
    inputs: str = ""
    note: str | None = None
    """Why no effect is known yet."""
    look: int = 0
    """How many months have been looked at, one after the other; at most `looks`."""
    looks: int = 0
    """The planned number of looks: `policy.contacts.months`."""
    level: float | None = None
    """Confidence level of the intervals at this look."""
    effect: Effect | None = None
    ranking: Ranking | None = None
    """Whether the effect of a contact ranks the list."""

    @property
    def sentence(self) -> str:
        """What contacting was worth, for the retention team."""
        if self.effect is None:
            return self.note or NOTHING
        return f"{self.verdict} {_basis(self.effect)}"

    @property
    def verdict(self) -> str:
        """The first part of the sentence: the effect without what it is based on."""
        if self.effect is None:
            return self.note or NOTHING
        return _verdict(self.effect)

    @property
    def state(self) -> EffectState:
        """The verdict."""
        if self.effect is None:
            return EffectState.NOT_YET_SHOWN
        return self.effect.state

    @property
    def shown(self) -> Effect | None:
        """The effect as people may see it: without its figures where the verdict is withheld."""
        if self.effect is None or self.state is not EffectState.WITHHELD:
            return self.effect
        return replace(
            self.effect,
            effect=None, complier_effect=None, saved=None, money=None, by_action=(), by_slice=(),
        )  # fmt: skip

    @property
    def contaminated(self) -> bool:
        """Whether too many untouched customers were contacted."""
        if self.effect is None:
            return False
        count = self.effect.contaminated
        return count >= max(FEWEST_CONTAMINATED, MOST_CONTAMINATED * self.effect.untouched)

    @property
    def contamination_sentence(self) -> str:
        """How many untouched customers were contacted, and what that means; empty if none."""
        if self.effect is None or not self.effect.contaminated:
            return ""
        return (
            f"{self.effect.contaminated:,} of {self.effect.untouched:,} untouched customers were"
            " contacted all the same. They count as untouched, so the effect of contacting is"
            " farther from 0 than shown."
        )

    @property
    def save_rate(self) -> SaveRate:
        """Which share of the assigned who would have left stay: measured, or the assumption
        Beta(6, 14) while fewer than 50 such customers are known or the verdict is withheld.
        """
        found = self.shown
        if found is None or found.effect is None or found.untouched_churn <= 0:
            return SaveRate()
        if found.effect.standard_error <= 0:
            return SaveRate()
        return save_rate_from_effect(
            found.effect.value / found.untouched_churn,
            found.effect.standard_error / found.untouched_churn,
            found.assigned * found.untouched_churn,
        )


@dataclass(frozen=True)
class Campaigns:
    """Measures what contacts were worth in one home."""

    labels: CorrectedLabels
    records: Records

    def measure(self, as_of: dt.date) -> CampaignRecord | None:
        """Compare those assigned with those left untouched, over the newest
        `policy.contacts.months` plans whose labels are known, and keep the record.

        Returns:
            The record; None where the contract names no contacts.
        """
        contract = self.labels.lake.contract
        if contract.contacts is None:
            return None
        made_from = self.labels.months().made_from(as_of)
        matured = self.matured(as_of)
        record = self.of_months(matured).model_copy(update=made_from)
        if matured:
            ranking = UpliftRanking(self.labels, self.labels.now()).judge(matured)
            record = record.model_copy(update={"ranking": ranking})
        months = self.records.months(KIND)
        if not months or as_of >= months[-1]:
            self._record_changes(as_of, record)
        self.records.write(KIND, as_of, record.as_json())
        return record

    def _record_changes(self, as_of: dt.date, record: CampaignRecord) -> None:
        """Write a receipt when the verdict changes, or when too many untouched customers were
        contacted or no longer are; once each.
        """
        self._record_change(
            as_of, record, "effect", record.state.value, record.sentence, EffectState.NOT_YET_SHOWN
        )
        high = "high" if record.contaminated else "low"
        sentence = record.contamination_sentence or "No untouched customer was contacted."
        self._record_change(as_of, record, "contamination", high, sentence, "low")

    def _record_change(
        self,
        as_of: dt.date,
        record: CampaignRecord,
        about: Literal["effect", "contamination"],
        state: str,
        sentence: str,
        at_first: str,
    ) -> None:
        ledger = self.labels.plans.ledger
        known = [
            receipt.evidence["state"]
            for receipt in ledger.receipts("campaign effect changed")
            if receipt.evidence["about"] == about
        ]
        if state == (known or [at_first])[-1]:
            return
        effect = record.shown
        saved = None if effect is None else effect.saved
        ledger.append(
            CampaignEffectChanged(
                month=as_of,
                reason=sentence,
                about=about,
                state=state,
                look=record.look,
                looks=record.looks,
                level=record.level,
                saved=None if saved is None else saved.value,
                interval=None if saved is None else (saved.interval.low, saved.interval.high),
                untouched=0 if effect is None else effect.untouched,
                contaminated=0 if effect is None else effect.contaminated,
            )
        )

    def newest(self, until: dt.date | None = None) -> CampaignRecord | None:
        """The newest record, of those up to a month; None before the first."""
        months = [one for one in self.records.months(KIND) if until is None or one <= until]
        return self.record(months[-1]) if months else None

    def record(self, as_of: dt.date) -> CampaignRecord | None:
        """The record of a month; None before the step ran."""
        fields = self.records.read(KIND, as_of)
        if fields is None:
            return None
        return CampaignRecord.read(fields, f"The campaign record of {as_of}")

    def matured(self, as_of: dt.date) -> list[dt.date]:
        """The months up to `as_of` that have a plan and matured labels, oldest first."""
        planned = set(self.labels.plans.months())
        return [month for month in self.labels.months().matured(as_of) if month in planned]

    def of_months(self, months: list[dt.date]) -> CampaignRecord:
        """The record of these months; of more than the planned number the newest count."""
        policy = self.labels.lake.contract.policy
        looks = policy.contacts.months
        found = [self.assigned(month) for month in months[-looks:]]
        compared = [month for month in found if month is not None and len(month.entities)]
        if not compared:
            return CampaignRecord(note=NOTHING, look=0, looks=looks)
        look = min(len(months), looks)
        level = level_at(look, looks, policy.promotion.level)
        effect = effect_of(compared, quantile_of_normal(level))
        if effect is None:
            return CampaignRecord(note=NOTHING, look=look, looks=looks, level=level)
        if not self.labels.lake.contract.contact_value_given:
            # In customers, not in money: the default cost of a missed churner is nobody's.
            effect = replace(effect, money=None)
        return CampaignRecord(look=look, looks=looks, level=level, effect=effect)

    def assigned(self, month: dt.date) -> AssignedMonth | None:
        """The customers above the cut of a month's plan whose label is known; None if the plan
        left nobody untouched.
        """
        lake = self.labels.lake
        contract = lake.contract
        key = contract.entity.column
        rows = self.labels.plans.rows(month)
        rows = rows[rows[ARM].isin([CONTACT, UNTOUCHED]) & (rows[PROBABILITY] < 1)]
        churned = lake.labels(month, self.labels.now())
        if churned is None or rows.empty:
            return None
        rows = rows[rows[key].isin(churned.index)].reset_index(drop=True)
        contacts = self._contacts(month)
        own = contacts.reindex(rows[key])
        contacted = own["reached"].eq(other=True).to_numpy(dtype=bool)
        slices = feature_frame(contract, lake.tables(month)).set_index(key).reindex(rows[key])
        return AssignedMonth(
            as_of=month.isoformat(),
            entities=rows[key].to_numpy(dtype=object),
            assigned=(rows[ARM] == CONTACT).to_numpy(),
            probability=rows[PROBABILITY].to_numpy(dtype=float),
            stratum=rows["stratum"].to_numpy(dtype=np.int64),
            churned=churned.reindex(rows[key]).to_numpy(dtype=bool),
            contacted=contacted,
            action=own["action"].where(own["action"].notna(), None).to_numpy(dtype=object),
            value=rows["value"].to_numpy(dtype=float),
            cost=own["cost"].fillna(0.0).to_numpy(dtype=float),
            slices={name: slices[name].to_numpy(dtype=object) for name in contract.slices},
        )

    def _contacts(self, month: dt.date) -> pd.DataFrame:
        """By customer: whether they were reached before the label of a month, the action of the
        first contact that reached them, and what all of their contacts cost.
        """
        contract = self.labels.lake.contract
        key = contract.entity.column
        terms = contract.policy.contacts
        until = contract.matures(month)
        rows = self.labels.log.between(self.labels.now(), month, until)
        cost = rows["cost"].astype("Float64").fillna(terms.contact_cost).astype(float)
        rows = rows.assign(cost=cost + terms.incentive * rows["reached"].astype(float))
        ordered = rows.sort_values(["reached", "contacted_on"], ascending=[False, True])
        by_customer = ordered.groupby(key, sort=False)
        return by_customer.agg(
            reached=("reached", "any"), action=("action", "first"), cost=("cost", "sum")
        )


def _verdict(effect: Effect) -> str:
    saved = effect.saved
    if effect.state is EffectState.WITHHELD:
        return f"No verdict: {' '.join(WHY_WITHHELD[doubt] for doubt in effect.doubts)}"
    if saved is None:
        return (
            "An effect is not yet shown: of the untouched customers,"
            f" {FEWEST_OF_A_KIND} must have left and {FEWEST_OF_A_KIND} stayed."
        )
    if effect.state is EffectState.NOT_YET_SHOWN:
        between = f"{saved.interval.low:+,.0f} and {saved.interval.high:+,.0f}"
        return f"An effect is not yet shown: between {between} customers saved."
    low, high = abs(saved.interval.low), abs(saved.interval.high)
    if effect.state is EffectState.HARMFUL:
        return (
            f"Contacting makes customers leave: {-saved.value:,.0f} [{high:,.0f}, {low:,.0f}] of"
            f" {effect.assigned:,} left because they were to be contacted. Stop contacting."
        )
    return f"{saved.value:,.0f} customers were saved [{low:,.0f}, {high:,.0f}]."


def _basis(effect: Effect) -> str:
    months = effect.months[0]
    if len(effect.months) > 1:
        months = f"{effect.months[0]} to {effect.months[-1]}"
    return (
        f"Of {effect.assigned:,} customers on the lists of {months}, {effect.assigned_churn:.1%}"
        f" left; of {effect.untouched:,} who were left untouched, {effect.untouched_churn:.1%}."
    )


WHY_WITHHELD: Final = {
    WithheldBecause.SAMPLE_RATIO: (
        "the untouched customers are not as many as were drawn. Somebody may have changed the list."
    ),
    WithheldBecause.SAMPLE_RATIO_IN_STRATA: (
        "the untouched customers are not spread over the list as they were drawn. Somebody may"
        " have changed the list."
    ),
}
