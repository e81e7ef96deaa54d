"""The months of one training run: which train, which are the holdout's, which the forward value
is fitted on.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Policy


@dataclass(frozen=True)
class LabelCount:
    """How many customers of a month have a label, and how many there are."""

    labelled: int
    customers: int

    @property
    def partial(self) -> bool:
        """Whether some customers have no label."""
        return self.labelled < self.customers


@dataclass(frozen=True)
class Classes:
    """How many labelled customers of a month churned, and how many stayed."""

    churners: int
    stayers: int

    def why_not_trained(self, month: dt.date) -> str | None:
        """None when the month can take part in a training; else the sentence why it is left
        out.

        A month without churners is a quiet month of a small business. One without stayers is a
        list of cancellations.
        """
        if self.stayers:
            return None
        if not self.churners:
            return (
                f"No row of the labels of {month} says who churned, so the month is left out of"
                " training: deliver its labels again with the outcome of every customer."
            )
        return (
            f"All {self.churners:,} labels of {month} are churners, so the month is left out of"
            " training: deliver its labels again with the customers who stayed."
        )


@dataclass(frozen=True)
class Window:
    """The months of one training run, each oldest first."""

    training: tuple[dt.date, ...]
    holdout: tuple[dt.date, ...]
    forward: tuple[dt.date, ...]
    """What the same recipe would have trained on one month earlier; empty for the first month.
    """

    @property
    def months(self) -> tuple[dt.date, ...]:
        """Every month that has to be read."""
        return tuple(sorted({*self.training, *self.holdout, *self.forward}))


def choose_window(classes: Mapping[dt.date, Classes], policy: Policy) -> Window | None:
    """The trailing months by policy, ending with the newest month that can be trained on; None
    without one.

    Where churners or stayers are few, older months are pooled: the holdout reaches back until
    it holds enough of each to decide, the training rows until there is enough to learn from,
    neither beyond `pooled_months`.

    Args:
        classes: the labelled customers of each month with matured labels, by class.
        policy: the policy.
    """
    months = sorted(
        month for month, found in classes.items() if found.why_not_trained(month) is None
    )
    training = policy.training
    if not months:
        return None
    # By chance a holdout gets fewer than its share; two standard deviations (of a count: its
    # root) more will do.
    needed = policy.promotion.min_holdout_churners
    held = (needed + 2 * math.sqrt(needed)) / training.holdout_fraction
    taught = training.min_training_churners / (1 - training.holdout_fraction)

    def trailing(known: Sequence[dt.date], least: int, wanted: float) -> tuple[dt.date, ...]:
        count = 0
        churners = 0
        stayers = 0
        for month in reversed(known):
            enough = min(churners, stayers) >= wanted
            if count >= least and (enough or count >= training.pooled_months):
                break
            count += 1
            churners += classes[month].churners
            stayers += classes[month].stayers
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
