"""What a campaign could show, before it starts: the plan's budget and shares with the churn that
the home's own history has on such a list.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from churn_platform.base.errors import DataError, UsageError
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.planning import CampaignDesign, CampaignOutlook, outlook
from churn_platform.contract.model import Contract
from churn_platform.lake.records import Records

MOST_MONTHS = 12


@dataclass(frozen=True)
class ListChurn:
    """The churn that is expected on the list without a contact, and where it comes from.

    Attributes:
        rate: the share that churns.
        source: `labels` of past months, corrected for contacts; the `model` in production,
            where no label of a scored month is known; or `given`.
        months: the months with labels.
    """

    rate: float
    source: Literal["labels", "model", "given"]
    months: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What is expected and why."""
        rate = f"{self.rate:.1%} of the list is expected to churn without a contact"
        if self.source == "given":
            return f"{rate}, as given."
        if self.source == "model":
            return f"{rate} by the scores of the newest month: no label of a list is known yet."
        return f"{rate}: labels of {', '.join(self.months)}, corrected for contacts."


@dataclass(frozen=True)
class WhatIfAnswer:
    """What a campaign could show."""

    budget: int
    design: CampaignDesign
    churn: ListChurn
    outlook: CampaignOutlook

    def as_json(self) -> dict[str, Any]:
        """The answer with its assumptions."""
        found = asdict(self.outlook)
        return {
            "budget": self.budget,
            "listed": self.design.listed,
            "untouched_share": self.design.untouched_share,
            "value": self.design.value,
            "churn": asdict(self.churn),
            **found,
            "hopeless": self.outlook.hopeless,
        }


@dataclass(frozen=True)
class WhatIf:
    """Answers about one home."""

    contract: Contract
    records: Records
    labels: CorrectedLabels
    now: Callable[[], dt.datetime]

    def answer(
        self,
        effect: float,
        budget: int | None = None,
        untouched_share: float | None = None,
        churn: float | None = None,
    ) -> WhatIfAnswer:
        """What a campaign could show.

        Args:
            effect: churn rate that assigning a customer prevents.
            budget: customers to contact in a month; the contract's by default.
            untouched_share: the contract's by default.
            churn: churn rate on the list; by default what the home's history has.

        Raises:
            UsageError: a number is not possible, or nothing is known of the churn on a list.
        """
        policy = self.contract.policy.contacts
        contacts = budget or self._budget()
        untouched = policy.untouched_share if untouched_share is None else untouched_share
        if not (contacts > 0 and 0 < untouched < 1 and 0 <= policy.explore_share < 1):
            raise UsageError(
                f"A budget of {contacts} and an untouched share of {untouched:g} can show"
                " nothing: give a budget above 0 and a share between 0 and 1.",
            )
        if churn is None:
            expected = self._churn(_listed(contacts, policy.explore_share, untouched))
        else:
            expected = ListChurn(churn, "given")
        try:
            design = CampaignDesign.of_budget(
                contacts,
                policy.explore_share,
                churn=expected.rate,
                untouched_share=untouched,
                value=self._value(),
            )
            found = outlook(design, effect)
        except DataError as error:
            raise UsageError(str(error)) from None
        return WhatIfAnswer(contacts, design, expected, found)

    def expected_churn(self) -> ListChurn:
        """The churn that is expected on the contract's list without a contact.

        Raises:
            UsageError: no month was scored.
        """
        policy = self.contract.policy.contacts
        return self._churn(_listed(self._budget(), policy.explore_share, policy.untouched_share))

    def _budget(self) -> int:
        """The contract's budget in customers; a share is one of the newest scored month."""
        budget = self.contract.policy.contacts.budget
        if budget >= 1:
            return int(budget)
        for month in reversed(self.records.months("scores")):
            if (self.records.read("scores", month) or {}).get("version"):
                return max(1, round(budget * len(self.records.frame("scores", month))))
        return 1

    def _churn(self, listed: int) -> ListChurn:
        """The churn of the `listed` riskiest customers of past months, pooled over the newest
        twelve whose labels are known; without one, their mean probability in the newest month.

        Raises:
            UsageError: no month was scored.
        """
        scored = self.records.months("scores")
        churned = 0.0
        total = 0.0
        used: list[str] = []
        for month in reversed(scored):
            found = self.labels.of(month, self.now())
            if found is None or len(used) == MOST_MONTHS:
                continue
            keys = self._riskiest(month, listed).index
            keys = keys[keys.isin(found.churned.index)]
            own = found.of_customers(pd.Series(keys))
            labels = own.churned.to_numpy(dtype=float)
            weights = own.weights_of(pd.Series(keys))
            if own.correction is not None:
                weights = weights * ~own.correction.outside
            if weights.sum() > 0:
                churned += float((weights * labels).sum())
                total += float(weights.sum())
                used.append(month.isoformat())
        if total:
            return ListChurn(churned / total, "labels", tuple(reversed(used)))
        for month in reversed(scored):
            riskiest = self._riskiest(month, listed)
            if len(riskiest):
                return ListChurn(float(riskiest.mean()), "model")
        raise UsageError(
            "No month was scored yet, so the churn on a list is not known: give --churn.",
            code="MONTH_NOT_SCORED",
        )

    def _riskiest(self, month: dt.date, listed: int) -> pd.Series:
        """The probabilities of the riskiest customers of a month who could still leave, by
        customer; empty where it was not scored.
        """
        if not (self.records.read("scores", month) or {}).get("version"):
            return pd.Series(dtype=float)
        frame = self.records.frame("scores", month).set_index(self.contract.entity.column)
        return frame.loc[~frame["already_left"].astype(bool), "probability"].nlargest(listed)

    def _value(self) -> float:
        """What a saved customer is worth: the contract's number, else the mean of the newest
        plan's customers above the cut. 0 where there is no plan.
        """
        value = self.contract.policy.contacts.value
        if isinstance(value, int | float):
            return float(value)
        months = self.labels.plans.months()
        if not months:
            return 0.0
        rows = self.labels.plans.rows(months[-1])
        return float(rows.loc[rows["stratum"] >= 0, "value"].mean())


def _listed(contacts: int, explore_share: float, untouched_share: float) -> int:
    """Customers above the cut where so many are contacted."""
    return round(contacts * (1 - explore_share) / (1 - untouched_share))
