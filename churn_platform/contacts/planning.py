"""Before a campaign starts: which effect it can show, after how many months, at what price."""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

from churn_platform.base.errors import DataError
from churn_platform.evaluation.statistics import quantile_of_normal

LEVEL = 0.95
POWER = 0.8
"""Probability that an effect of the stated size is shown."""
LONGEST = 24
"""Months. An answer that needs more is called hopeless: business and model change before it."""
EXPECTED_OF_A_KIND = 15
"""Churners, and stayers, to expect among the untouched. An interval needs ten of each
(`contacts/effect.py`), and chance may bring fewer than expected.
"""
LARGEST_SHARE = 0.5
"""Half the list untouched gives the smallest error; a larger share only costs."""
SHARE_STEP = 0.05


@dataclass(frozen=True)
class CampaignDesign:
    """What is known about a campaign before it starts.

    Attributes:
        listed: customers above the cut in a month, contacted and untouched.
        churn: churn rate that is expected of them without a contact.
        untouched_share: share of them that is left untouched.
        value: what a saved customer is worth.
    """

    listed: float
    churn: float
    untouched_share: float
    value: float = 0.0

    def __post_init__(self) -> None:
        if not self.listed > 0:
            raise DataError(f"{self.listed:g} customers are listed: pass a number above 0.")
        for name, share in (("churn", self.churn), ("untouched_share", self.untouched_share)):
            if not 0 < share < 1:
                raise DataError(f"{name} is {share:g}: pass a share between 0 and 1.")

    @classmethod
    def of_budget(
        cls,
        budget: float,
        explore_share: float,
        *,
        churn: float,
        untouched_share: float,
        value: float = 0.0,
    ) -> "CampaignDesign":
        """The design of a budget: what is not spent below the cut contacts `1 - untouched_share`
        of the customers above it.
        """
        listed = budget * (1 - explore_share) / (1 - untouched_share)
        return cls(listed, churn, untouched_share, value)

    def error(self, months: float, effect: float = 0.0) -> float:
        """Standard error of the effect after `months`, each with a draw of its own; strata not
        counted on.

        sqrt(p0 (1 - p0) / n0 + p1 (1 - p1) / n1) with p1 = p0 - effect for the assigned; with
        no effect the formula of Fleiss, Levin and Paik (2003, 4.2) for a small difference.
        """
        assigned_churn = min(max(self.churn - effect, 0.0), 1.0)
        rows = self.listed * months
        untouched = self.churn * (1 - self.churn) / (rows * self.untouched_share)
        assigned = assigned_churn * (1 - assigned_churn) / (rows * (1 - self.untouched_share))
        return math.sqrt(untouched + assigned)


@dataclass(frozen=True)
class CampaignOutlook:
    """What a design can show.

    Attributes:
        effect: the expected effect of assigning, as a churn rate prevented.
        smallest_effects: the smallest effect that is shown after 1, 2, ... 24 months; None
            while too few are untouched.
        months: months until the expected effect is shown; None if more than 24 (hopeless).
        price: value a month of the untouched customers who could have been saved.
        share_that_helps: smallest untouched share with an answer in 24 months, None without one.
        listed_that_helps: customers above the cut with an answer in 24 months at this share.
    """

    effect: float
    smallest_effects: tuple[float | None, ...]
    months: int | None
    price: float
    share_that_helps: float | None
    listed_that_helps: float | None

    @property
    def hopeless(self) -> bool:
        """Whether the answer needs more than 24 months."""
        return self.months is None


def outlook(design: CampaignDesign, effect: float) -> CampaignOutlook:
    """What the design can show if assigning prevents `effect` of the churn rate.

    Raises:
        DataError: the effect is not between 0 and the churn on the list.
    """
    months = months_to_answer(design, effect)
    share = None
    listed = None
    if months is None:
        share = _share_that_helps(design, effect)
        listed = design.listed * _months_needed(design, effect) / LONGEST
    return CampaignOutlook(
        effect=effect,
        smallest_effects=tuple(smallest_effect(design, month) for month in range(1, LONGEST + 1)),
        months=months,
        price=price_of_untouched(design, effect),
        share_that_helps=share,
        listed_that_helps=listed,
    )


def smallest_effect(design: CampaignDesign, months: int) -> float | None:
    """The effect that is shown after `months` with probability 0.8 at a level of 0.95.

    The e with e = (z_.975 + z_.80) error(months, e), a quadratic equation. None while
    too few untouched churners or stayers are expected.
    """
    if months < _fewest_months(design):
        return None
    rows = design.listed * months
    churn = design.churn
    untouched = rows * design.untouched_share
    assigned = rows * (1 - design.untouched_share)
    square = (quantile_of_normal(LEVEL) + NormalDist().inv_cdf(POWER)) ** 2
    # e^2 = square (p q / n0 + (p - e) (q + e) / n1)
    a = 1 + square / assigned
    b = square * (1 - 2 * churn) / assigned
    c = -square * churn * (1 - churn) * (1 / untouched + 1 / assigned)
    return (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)


def months_to_answer(design: CampaignDesign, effect: float) -> int | None:
    """Months until the effect is shown with probability 0.8; None if more than 24."""
    months = math.ceil(_months_needed(design, effect) - 1e-9)
    if months > LONGEST:
        return None
    return months


def price_of_untouched(design: CampaignDesign, effect: float) -> float:
    """Value a month of the customers who were left untouched and would have been saved."""
    return design.untouched_share * design.listed * effect * design.value


def _months_needed(design: CampaignDesign, effect: float) -> float:
    """Months that are needed to show the effect, as a fraction."""
    if not 0 < effect <= design.churn:
        raise DataError(
            f"the effect is {effect:g} at a churn of {design.churn:g} on the list: pass a"
            " prevented churn rate above 0 and at most the churn"
        )
    needed = effect / (quantile_of_normal(LEVEL) + NormalDist().inv_cdf(POWER))
    return max((design.error(1, effect) / needed) ** 2, _fewest_months(design))


def _fewest_months(design: CampaignDesign) -> float:
    """Months until enough untouched churners and stayers are expected."""
    rarer = min(design.churn, 1 - design.churn)
    return EXPECTED_OF_A_KIND / (design.listed * design.untouched_share * rarer)


def _share_that_helps(design: CampaignDesign, effect: float) -> float | None:
    """The smallest larger share, in steps of 0.05, with an answer within 24 months.

    The contacts stay as many: a larger share lengthens the list.
    """
    contacted = design.listed * (1 - design.untouched_share)
    steps = round(LARGEST_SHARE / SHARE_STEP)
    for share in (SHARE_STEP * step for step in range(1, steps + 1)):
        larger = replace(design, untouched_share=share, listed=contacted / (1 - share))
        if share > design.untouched_share and months_to_answer(larger, effect) is not None:
            return round(share, 2)
    return None
