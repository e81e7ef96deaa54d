"""Label plausibility: do this month's labels look like churn?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.contract.policy import TrainingPolicy

CHANCE = 0.5
TURNED_OVER = 0.4
"""An AUC whose interval is below this ranks well, but in reverse."""
INDEPENDENT_P = 0.001
"""Below this p-value, the labels of two months count as related."""


@dataclass(frozen=True)
class LabelPlausibility:
    """Figures about a month's labels, with a warning for everything that looks wrong."""

    rows: int
    churners: int
    churn_rate: float
    returned: int | None
    """Entities labelled churned in the month before and not churned now; None without one."""
    churned_before: int | None
    agreement: float | None
    chance: float | None
    """Agreement of two independent label sets with these churn rates."""
    warnings: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    """The warnings that block an automatic promotion.

    Churners who return, and months that do not predict each other, are normal in some
    businesses.
    """


def judge_labels(
    current: pd.Series,
    previous: pd.Series | None,
    policy: TrainingPolicy,
    *,
    may_return: bool = False,
) -> LabelPlausibility:
    """Judge a month's labels alone and against the month before.

    Args:
        current: (entities,) booleans indexed by entity.
        previous: the same of the month before, or None.
        policy: the plausible range of the churn rate.
        may_return: whether a churner may be a customer again, as one who was only inactive.
    """
    rate = float(current.mean())
    warnings = []
    doubts = []
    if not policy.churn_rate_min <= rate <= policy.churn_rate_max:
        bounds = f"{policy.churn_rate_min:.1%} to {policy.churn_rate_max:.0%}"
        doubts.append(f"The churn rate of {rate:.1%} lies outside {bounds}.")
        warnings.append(doubts[-1])
    returned = before = None
    agreement = chance = None
    if previous is not None:
        both = pd.concat({"now": current, "then": previous}, axis=1, join="inner").astype(bool)
        churned = both[both["then"]]
        returned = int((~churned["now"]).sum())
        before = int(previous.sum())
        if returned and not may_return:
            warnings.append(
                f"{returned:,} of {before:,} customers labelled churned in the month before are"
                " labelled as staying now: churn here is not final, or the labels are wrong."
            )
        agreement, chance, independent = _agreement(both)
        if independent and agreement is not None and chance is not None:
            warnings.append(
                f"The labels agree with those of the month before on {agreement:.1%} of"
                f" {len(both):,} customers, by chance they would on {chance:.1%}: what drove"
                " churn then does not predict churn now."
            )
    return LabelPlausibility(
        len(current),
        int(current.sum()),
        rate,
        returned,
        before,
        agreement,
        chance,
        tuple(warnings),
        tuple(doubts),
    )


def with_a_rate(labels: pd.Series | None) -> pd.Series | None:
    """The labels (rows,), or None if all are churners: cancellations alone have no churn rate."""
    if labels is None or bool(labels.dropna().all()):
        return None
    return labels


def below_chance(low: float, high: float) -> bool:
    """Whether the interval of a model's AUC on later labels is below 0.5.

    A model that has become useless has 0.5. Below it, the labels may mark who stayed.
    """
    return low <= high < CHANCE


def turned_over(low: float, high: float) -> bool:
    """Whether the AUC is so far below 0.5 that the labels must be inverted.

    A useless model may be significantly below 0.5 by chance correlations (0.465 was seen). A good
    model on inverted labels is at 0.2.
    """
    return low <= high < TURNED_OVER


def _agreement(both: pd.DataFrame) -> tuple[float | None, float | None, bool]:
    """Observed agreement, agreement by chance, and independence (chi-square, 1 df)."""
    now = both["now"].to_numpy()
    then = both["then"].to_numpy()
    if not len(both) or now.all() or not now.any() or then.all() or not then.any():
        return None, None, False
    p = now.mean()
    q = then.mean()
    agreement = float((now == then).mean())
    chance = float(p * q + (1 - p) * (1 - q))
    correlation = float(np.corrcoef(now, then)[0, 1])
    from scipy.stats import chi2

    return agreement, chance, bool(chi2.sf(len(both) * correlation**2, 1) > INDEPENDENT_P)
