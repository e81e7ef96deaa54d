"""The months of one training run: which train, which are the holdout's, which the forward value is fitted on.

Belongs here: the choice of months by policy, and which months have matured. Does not: rows
(`core/training_dataset.py`).
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from churn_platform.core.contract import Contract
from churn_platform.core.policy import Policy
from churn_platform.errors import DataError


@dataclass(frozen=True)
class Window:
    """The months of one training run, each oldest first."""

    training: tuple[dt.date, ...]
    holdout: tuple[dt.date, ...]
    forward: tuple[dt.date, ...]
    """What the same recipe would have trained on one month earlier; empty for the first month."""

    @property
    def months(self) -> tuple[dt.date, ...]:
        """Every month that has to be read."""
        return tuple(sorted({*self.training, *self.holdout, *self.forward}))


def choose_window(churners: Mapping[dt.date, int], policy: Policy) -> Window:
    """The trailing months by policy, ending with the newest month whose labels have matured.

    Where churners are few, older months are pooled: the holdout reaches back until it holds enough churners to
    decide, the training rows until there is enough to learn from, neither beyond `pooled_months`.

    Args:
        churners: churners of all customers, for each month with matured labels.
        policy: the policy.

    Raises:
        DataError: no month has matured labels.
    """
    months, training = sorted(churners), policy.training
    if not months:
        raise DataError("No month has matured labels yet, so nothing can be trained: deliver the labels table.")
    # By chance a holdout gets fewer than its share; two standard deviations (of a count: its root) more will do.
    needed = policy.promotion.min_holdout_churners
    held = (needed + 2 * math.sqrt(needed)) / training.holdout_fraction
    taught = training.min_training_churners / (1 - training.holdout_fraction)

    def trailing(known: Sequence[dt.date], least: int, wanted: float) -> tuple[dt.date, ...]:
        count, found = 0, 0
        for month in reversed(known):
            if count >= least and (found >= wanted or count >= training.pooled_months):
                break
            count, found = count + 1, found + churners[month]
        return tuple(known[len(known) - count :])

    return Window(
        training=trailing(months, training.trailing_months, taught),
        holdout=trailing(months, training.holdout_months, held),
        forward=trailing(months[:-1], training.trailing_months, taught),
    )


def matured_months(
    months: Iterable[dt.date], labelled: set[dt.date], contract: Contract, cutoff: dt.date
) -> list[dt.date]:
    """Months up to `cutoff` (an as_of) that have labels which had matured by then."""
    return [m for m in months if m in labelled and m <= cutoff and contract.matures(m) <= cutoff]
