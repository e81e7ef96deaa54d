"""Months of a campaign with both potential outcomes of every listed customer, in plain numpy."""

from dataclasses import dataclass

import numpy as np

from churn_platform.contacts.assigned import AssignedMonth


@dataclass(frozen=True)
class Campaign:
    """7,000 customers, 24% churn, a score of AUC 0.81, the `listed` highest scores a month.

    `unseen` is the strength of a lasting risk that the score does not know. Whoever was listed,
    in either arm, waits `cooldown` months. `lasting` arms are drawn once, not each month.
    """

    customers: int = 7000
    months: int = 12
    listed: int = 1400
    untouched_share: float = 0.10
    reach: float = 0.7
    contamination: float = 0.02
    left_for_the_contact: float = 0.10
    works: bool = True
    unseen: float = 0.0
    cooldown: int = 1
    lasting: bool = False
    level: float = -1.60
    slope: float = 1.45


@dataclass(frozen=True)
class Run:
    """The months as the platform sees them, and the truth."""

    months: tuple[AssignedMonth, ...]
    true_effect: float
    """Mean of the outcome when untouched less that when assigned, over all listings."""
    first_month: tuple[np.ndarray, np.ndarray]
    """Scores and churn without contacts, all customers of the first month."""


def drawn(campaign: Campaign, seed: int) -> Run:
    """Play the months: churners are replaced by new customers, the others come again."""
    draw = np.random.default_rng(seed)
    size, listed = campaign.customers, campaign.listed
    score, unseen = draw.normal(size=size), draw.normal(size=size)
    key, next_key = np.arange(size), size
    untouched = draw.random(size) < campaign.untouched_share
    last = np.full(size, -99)
    months, effects, first = [], [], None
    for number in range(campaign.months):
        if number:
            score = 0.8 * score + 0.6 * draw.normal(size=size)
        if not campaign.lasting:
            untouched = draw.random(size) < campaign.untouched_share
        logit = campaign.level + campaign.slope * score + campaign.unseen * unseen
        risk = 1 / (1 + np.exp(-logit))
        leaves = draw.random(size) < risk
        first = first or (score.copy(), leaves.copy())
        free = np.flatnonzero(number - last > campaign.cooldown)
        rows = free[np.argsort(-score[free], kind="stable")[:listed]]
        last[rows] = number
        assigned = ~untouched[rows]
        saved = draw.random(listed) < np.clip(0.5 + 0.3 * (risk[rows] - 0.6), 0, 1)
        annoyed = draw.random(listed) < campaign.left_for_the_contact
        when_contacted = np.where(leaves[rows], ~saved, annoyed)
        if not campaign.works:
            when_contacted = leaves[rows]
        reached = draw.random(listed) < campaign.reach
        mailed = draw.random(listed) < campaign.contamination
        if_assigned = np.where(reached, when_contacted, leaves[rows])
        if_untouched = np.where(mailed, when_contacted, leaves[rows])
        churned = np.where(assigned, if_assigned, if_untouched)
        contacted = np.where(assigned, reached, mailed)
        effects.append(if_untouched.astype(float) - if_assigned)
        months.append(
            AssignedMonth(
                as_of=f"2024-{number + 1:02}-28",
                entities=key[rows],
                assigned=assigned,
                probability=np.full(listed, 1 - campaign.untouched_share),
                stratum=np.arange(listed) * 10 // listed,
                churned=churned,
                contacted=contacted,
                action=np.full(listed, None),
                value=np.full(listed, 100.0),
                cost=np.where(contacted, 5.0, 0.0),
            )
        )
        leaves[rows] = churned
        gone = np.flatnonzero(leaves)
        key[gone] = next_key + np.arange(gone.size)
        next_key += gone.size
        score[gone], unseen[gone] = draw.normal(size=gone.size), draw.normal(size=gone.size)
        untouched[gone] = draw.random(gone.size) < campaign.untouched_share
        last[gone] = -99
    return Run(tuple(months), float(np.concatenate(effects).mean()), first)
