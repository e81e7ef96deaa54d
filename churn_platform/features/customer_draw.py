"""Draws the sample of customers that a training dataset is made of, by a hash of their keys.

A customer is in the sample if the hash is below a limit. The limit is the smallest hash that
would be one row too many, so a larger `max_rows` only adds customers. Training customers and
holdout customers have a limit each. All months of a customer come or go together.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.base.digests import distinct_key_hashes
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.policy import TrainingPolicy
from churn_platform.features.customer_sample import CustomerSample, SampledRows
from churn_platform.features.training_dataset import Hashes, Mask, in_holdout, label_counts
from churn_platform.lake.window import Window

SECOND_SALT = ":sample:"
"""Follows the salt of the holdout, so the sample does not depend on who is in the holdout."""

LabelsOf = Callable[[dt.date], MonthLabels]


@dataclass(frozen=True)
class Drawn:
    """The labels of the sampled customers, by month; `sample` is None without a limit."""

    labels_of: LabelsOf
    sample: CustomerSample | None = None


class SmallestHashes:
    """The smallest hashes of rows: as many as there may be rows, and one more."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self._hashes: Hashes = np.empty(0, dtype=np.uint64)

    def add(self, hashes: Hashes) -> None:
        """Add one hash for each row, shape (rows,)."""
        found = np.concatenate([self._hashes, hashes])
        if len(found) > self.max_rows:
            found = np.partition(found, self.max_rows)[: self.max_rows + 1]
        self._hashes = found

    def below_limit(self, hashes: Hashes) -> Mask:
        """Which of the hashes (rows,) are in the sample: all while the rows fit."""
        if len(self._hashes) <= self.max_rows:
            return np.ones(len(hashes), dtype=bool)
        below: Mask = hashes < self._hashes.max()
        return below


@dataclass(frozen=True, eq=False)
class _LabelledMonth:
    """The labels of some customers of a month; `held` and `hashes` are (customers,)."""

    labels: MonthLabels
    held: Mask
    hashes: Hashes

    @classmethod
    def of(cls, labels: MonthLabels, policy: TrainingPolicy) -> "_LabelledMonth":
        keys = pd.Series(labels.churned.index)
        held = in_holdout(keys, policy.salt, policy.holdout_fraction)
        return cls(labels, held, distinct_key_hashes(keys, policy.salt + SECOND_SALT))

    def only(self, kept: Mask) -> "_LabelledMonth":
        if kept.all():
            return self
        return _LabelledMonth(self.labels.only(kept), self.held[kept], self.hashes[kept])

    def rows(self, *, holdout: bool) -> int:
        """How many of the labels train, or are the holdout."""
        chosen = self.held == holdout
        correction = self.labels.correction
        if correction is not None:
            chosen &= label_counts(correction.weights, correction.outside, holdout=holdout)
        return int(chosen.sum())


class _Draw:
    """The limits of one window, while its months are read."""

    def __init__(self, window: Window, max_rows: int) -> None:
        self.window = window
        self.training = SmallestHashes(max_rows)
        self.forward = SmallestHashes(max_rows)
        self.holdout = SmallestHashes(max_rows)

    def add(self, month: dt.date, found: _LabelledMonth) -> None:
        if month in self.window.training:
            self.training.add(found.hashes[~found.held])
        if month in self.window.forward:
            self.forward.add(found.hashes[~found.held])
        if month in self.window.holdout:
            self.holdout.add(found.hashes[found.held])

    def sampled(self, found: _LabelledMonth) -> _LabelledMonth:
        hashes = found.hashes
        train = self.training.below_limit(hashes) & self.forward.below_limit(hashes)
        return found.only(np.where(found.held, self.holdout.below_limit(hashes), train))


def draw(policy: TrainingPolicy, window: Window, labels_of: LabelsOf) -> Drawn:
    """Draw the customers of a window by the policy's `max_rows`; all of them without a limit.

    The draw depends on the keys alone: not on their order, on labels, or on anything that an
    engine computes.

    Args:
        policy: the training policy.
        window: the months.
        labels_of: reads the labels of a month. Each month is read once, and cut to the sample
            before the next one is read.
    """
    if policy.max_rows is None:
        return Drawn(labels_of)
    draw = _Draw(window, policy.max_rows)
    read: dict[dt.date, _LabelledMonth] = {}
    labelled: dict[str, int] = {}
    training = 0
    holdout = 0
    # The newest month is in every part of a window, so there is a limit from the first month on.
    for month in reversed(window.months):
        found = _LabelledMonth.of(labels_of(month), policy)
        labelled[month.isoformat()] = len(found.hashes)
        training += found.rows(holdout=False) if month in window.training else 0
        holdout += found.rows(holdout=True) if month in window.holdout else 0
        draw.add(month, found)
        read[month] = draw.sampled(found)
    drawn = {month: draw.sampled(found) for month, found in read.items()}
    kept = sum(drawn[month].rows(holdout=False) for month in window.training)
    held = sum(drawn[month].rows(holdout=True) for month in window.holdout)
    sample = CustomerSample(
        max_rows=policy.max_rows,
        training=SampledRows(rows=kept, of=training),
        holdout=SampledRows(rows=held, of=holdout),
        labelled=dict(sorted(labelled.items())),
    )
    return Drawn(lambda month: drawn[month].labels, sample)
