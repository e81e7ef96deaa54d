"""Which published months a record is made from, and which months a candidate trains on."""

import datetime as dt
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from churn_platform.base.digests import digest_of
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Policy, TrainingPolicy

if TYPE_CHECKING:
    from churn_platform.lake.lake import Lake


DRAWS_CUSTOMERS = {"salt", "holdout_fraction", "max_rows"}
"""Fields of the training policy. A changed one is another dataset of the same snapshots."""


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
                f"The labels of {month} contain no outcome, so the month is left out of training:"
                " deliver its labels again with the outcome of every customer."
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


class Months:
    """The published months of one lake at one moment; make a new one after every step."""

    def __init__(
        self,
        lake: "Lake",
        contract: Contract,
        count: Callable[[dt.date], Classes] | None = None,
    ) -> None:
        """Read what is published.

        Args:
            lake: the lake.
            contract: the contract.
            count: counts the labelled customers of a month whose labels count; all by default.
        """
        self.lake = lake
        self.contract = contract
        self._count = functools.cache(count or lake.classes)
        self.published = lake.months()
        self.labelled = lake.labelled()

    def window(self, as_of: dt.date) -> Window | None:
        """The months a candidate of this month is made from; None while no labels have matured."""
        return choose_window(self._classes(as_of), self.contract.policy)

    def left_out(self, as_of: dt.date) -> dict[str, str]:
        """The matured months that no candidate of this month is made from, each with the
        reason.
        """
        reasons = {
            month: classes.why_not_trained(month) for month, classes in self._classes(as_of).items()
        }
        return {month.isoformat(): why for month, why in reasons.items() if why is not None}

    def matured(self, as_of: dt.date) -> list[dt.date]:
        """Months up to `as_of` whose labels have been delivered and had matured by the newest
        published month.
        """
        newest = self.published[-1] if self.published else as_of
        known = matured_months(self.published, self.labelled, self.contract, newest)
        return [month for month in known if month <= as_of]

    def inputs(self, as_of: dt.date) -> str:
        """Digest of every snapshot that the month's records are made from, and of what draws the
        customers of its training dataset.
        """
        snapshots = {month: self.lake.digest(month) for month in self.input_months(as_of)}
        return inputs_digest(snapshots, self.contract.policy.training)

    def input_months(self, as_of: dt.date) -> list[dt.date]:
        """The published months that the month's records are made from."""
        window = self.window(as_of)
        months = {as_of, *(window.months if window else ())}
        return [month for month in sorted(months) if month in self.published]

    def made_from(self, as_of: dt.date) -> dict[str, str]:
        """What a record of the month was made from: its own snapshot, and all of its inputs."""
        return {"snapshot": self.lake.digest(as_of), "inputs": self.inputs(as_of)}

    def _classes(self, as_of: dt.date) -> dict[dt.date, Classes]:
        """The matured months that define churn as the newest of them does."""
        matured = self.matured(as_of)
        return {
            month: self._count(month)
            for month in matured
            if self.contract.label.at(month) == self.contract.label.at(matured[-1])
        }


def inputs_digest(snapshots: Mapping[dt.date, str], training: TrainingPolicy) -> str:
    """Digest of what records are made from.

    Args:
        snapshots: month -> digest of its snapshot.
        training: its salt, share of the holdout and limit draw the customers of a dataset; a
            default is left out, so digests of earlier versions stay.
    """
    drawn = training.model_dump(include=DRAWS_CUSTOMERS, exclude_defaults=True)
    return digest_of({month.isoformat(): one for month, one in snapshots.items()} | drawn)
