"""Whether the effect of a contact may rank the customers of a home, and the ranking itself."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from churn_platform.base.stored import Stored
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.plan import ARM, ASSIGNED, PROBABILITY
from churn_platform.contacts.uplift import (
    LEAST_ASSIGNED_CHURNERS,
    LEAST_OVERLAP,
    LEAST_UNTOUCHED_CHURNERS,
    EffectModel,
    RandomisedRows,
    TooFew,
    UpliftTest,
    WhyNot,
    fit_effect_model,
    judge_uplift,
    why_not_rank,
)
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.lake.tables import feature_frame

NOTHING_BELOW: Final = "NOTHING_BELOW"
BY_RISK: Final = "The list is ranked by risk x value. The effect of a contact does not rank:"
WHY_OFF: Final = {
    WhyNot.TOO_FEW: (
        "the months before the newest one have {assigned:,} assigned churners and"
        f" {{untouched:,}} others; {LEAST_ASSIGNED_CHURNERS:,} and {LEAST_UNTOUCHED_CHURNERS:,}"
        " are needed."
    ),
    WhyNot.NOT_LATER: "no month later than those of the training has labels.",
    WhyNot.NOT_ABOVE_RANDOM: "on {month} it was not shown to be better than chance.",
    WhyNot.NOT_ABOVE_RISK: "on {month} it was not shown to be better than risk x value.",
    NOTHING_BELOW: (
        "below the cut fewer than 2% are contacted, so nothing is known of contacts there."
        " A larger policy.contacts.explore_share helps."
    ),
}


class Ranking(Stored):
    """What ranks the list: risk x value, or effect x value once that was better on a later month.

    Attributes:
        by: what ranks.
        why_not: code of the reason why the effect does not rank.
        sentence: the state, for people.
        trained_on: the months that the effect was learnt from.
        tested_on: the later month that it was judged on.
        assigned_churners: those of the months it was learnt from.
        untouched_churners: the same of the others.
        effect: AUTOC of ranking by effect x value, in money per customer.
        effect_interval: its interval.
        risk: AUTOC of ranking by risk x value.
        difference: effect less risk.
        difference_interval: its interval.
        level: of the intervals; all looks together have the error of the policy's level.
    """

    by: Literal["risk", "effect"] = "risk"
    why_not: str | None = None
    sentence: str
    trained_on: tuple[str, ...] = ()
    tested_on: str | None = None
    assigned_churners: int = 0
    untouched_churners: int = 0
    effect: float | None = None
    effect_interval: tuple[float, float] | None = None
    risk: float | None = None
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    level: float | None = None


@dataclass(frozen=True)
class UpliftRanking:
    """Judges in one home whether the effect may rank, and ranks by it."""

    labels: CorrectedLabels
    known_at: dt.datetime
    """What is known: labels that come later do not count."""

    def judge(self, months: Sequence[dt.date]) -> Ranking:
        """The state after these planned months with labels, oldest first: learnt from all but
        the newest, judged on the newest.
        """
        earlier = [self._rows(month) for month in months[:-1]]
        counted = _counted(earlier)
        if counted is not None:
            return _off(WhyNot.TOO_FEW, counted)
        newest = months[-1]
        later = self._rows(newest)
        if not _reaches_below(later):
            return _off(NOTHING_BELOW, TooFew(0, 0, 0, 0))
        model = fit_effect_model(self._randomised(earlier))
        if isinstance(model, TooFew):
            return _off(WhyNot.TOO_FEW, model)
        rows = self._randomised([later])
        test = judge_uplift(model, rows, _risk(later), level=self.level)
        return _ranking(test, self.level)

    @property
    def level(self) -> float:
        """The level of one look, so all of them have the error of the policy's level
        (Bonferroni: each look judges another month).
        """
        policy = self.labels.lake.contract.policy
        return 1 - (1 - policy.promotion.level) / policy.contacts.months

    def effects(
        self, months: Sequence[dt.date], tables: dict[str, pd.DataFrame], keys: pd.Series
    ) -> FloatArray | None:
        """How far a contact lowers the churn probability of each customer (rows,), learnt from
        all the months; None unless the effect may rank.

        Args:
            months: planned months with labels, oldest first.
            tables: of the month that is planned.
            keys: (rows,) its customers.
        """
        if self.judge(months).by != "effect":
            return None
        model = fit_effect_model(self._randomised([self._rows(month) for month in months]))
        if not isinstance(model, EffectModel):
            return None
        contract = self.labels.lake.contract
        features = feature_frame(contract, tables).set_index(keys.name).reindex(keys)
        return model.effect(numbers(contract, features))

    def _rows(self, month: dt.date) -> pd.DataFrame:
        """The customers of a month's plan whose label is known and who could be in both arms."""
        lake = self.labels.lake
        key = lake.contract.entity.column
        rows = self.labels.plans.rows(month)
        churned = lake.labels(month, self.known_at)
        if churned is None:
            return rows.iloc[:0].assign(churned=False, as_of=month.isoformat())
        chance = rows[PROBABILITY]
        kept = (chance > 0) & (chance < 1) & rows[key].isin(churned.index)
        rows = rows[kept].reset_index(drop=True)
        label = churned.reindex(rows[key]).to_numpy(dtype=bool)
        return rows.assign(churned=label, as_of=month.isoformat())

    def _randomised(self, months: Sequence[pd.DataFrame]) -> RandomisedRows:
        """The rows of several months, with their features."""
        lake = self.labels.lake
        key = lake.contract.entity.column
        found = pd.concat(months, ignore_index=True)
        features = []
        for rows in months:
            if len(rows):
                tables = lake.tables(dt.date.fromisoformat(rows["as_of"].iloc[0]))
                own = feature_frame(lake.contract, tables).set_index(key).reindex(rows[key])
                features.append(numbers(lake.contract, own))
        return RandomisedRows(
            months=found["as_of"].to_numpy(dtype=object),
            entities=found[key].to_numpy(dtype=object),
            features=np.concatenate(features),
            assigned=found[ARM].isin(ASSIGNED).to_numpy(),
            probability=found[PROBABILITY].to_numpy(dtype=float),
            churned=found["churned"].to_numpy(dtype=bool),
            value=found["value"].to_numpy(dtype=float),
        )


def numbers(contract: Contract, features: pd.DataFrame) -> FloatArray:
    """The features as numbers (rows, columns); a category is its place among the contract's
    values, NaN where it is missing or not one of them.
    """
    columns = []
    for name, column in contract.features.items():
        values = features[name]
        if column.dtype == "category":
            places = pd.Index(column.values or ()).get_indexer(pd.Index(values))
            columns.append(np.where(places < 0, np.nan, places.astype(float)))
        else:
            columns.append(values.astype("Float64").to_numpy(dtype=float, na_value=np.nan))
    return np.column_stack(columns)


def _counted(months: Sequence[pd.DataFrame]) -> TooFew | None:
    """The churners of both arms, without reading a feature; None if they are enough."""
    assigned = 0
    untouched = 0
    for rows in months:
        overlapping = np.minimum(rows[PROBABILITY], 1 - rows[PROBABILITY]) >= LEAST_OVERLAP
        churners = rows[overlapping & rows["churned"]]
        in_arm = churners[ARM].isin(ASSIGNED)
        assigned += int(in_arm.sum())
        untouched += int((~in_arm).sum())
    if assigned >= LEAST_ASSIGNED_CHURNERS and untouched >= LEAST_UNTOUCHED_CHURNERS:
        return None
    return TooFew(assigned, untouched, LEAST_ASSIGNED_CHURNERS, LEAST_UNTOUCHED_CHURNERS)


def _reaches_below(rows: pd.DataFrame) -> bool:
    """Whether enough customers below the cut were contacted to judge a ranking of them."""
    below = rows[rows["stratum"] < 0]
    return bool(len(below)) and bool((below[PROBABILITY] >= LEAST_OVERLAP).all())


def _risk(rows: pd.DataFrame) -> FloatArray:
    """The churn probability by which the month was ranked."""
    return rows["probability"].to_numpy(dtype=float)


def _off(code: str, counted: TooFew) -> Ranking:
    why = WHY_OFF[code].format(
        assigned=counted.assigned_churners, untouched=counted.untouched_churners
    )
    return Ranking(
        why_not=str(code),
        sentence=f"{BY_RISK} {why}",
        assigned_churners=counted.assigned_churners,
        untouched_churners=counted.untouched_churners,
    )


def _ranking(test: UpliftTest, level: float) -> Ranking:
    why_not = why_not_rank(test)
    month = test.tested_on[-1]
    low, high = test.interval.low, test.interval.high
    sentence = (
        "The list is ranked by effect x value, which was better than risk x value on"
        f" {month}: {test.difference:+,.2f} [{low:+,.2f}, {high:+,.2f}] a customer."
    )
    if why_not is not None:
        why = WHY_OFF[why_not].format(month=month)
        sentence = f"{BY_RISK} {why}"
    return Ranking(
        by="risk" if why_not else "effect",
        why_not=why_not and why_not.value,
        sentence=sentence,
        trained_on=test.trained_on,
        tested_on=month,
        assigned_churners=test.assigned_churners,
        untouched_churners=test.untouched_churners,
        effect=test.uplift.estimate,
        effect_interval=(test.uplift.interval.low, test.uplift.interval.high),
        risk=test.risk.estimate,
        difference=test.difference,
        difference_interval=(low, high),
        level=level,
    )
