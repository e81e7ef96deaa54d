"""The sequence of a month: one loop for a home and for a backtest.

Dagster runs the same steps on a home, one asset each, in the same order.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from churn_platform.loop.retraining import RetrainingAnswer
from churn_platform.promotion.decision import Decision, Trigger


@dataclass(frozen=True)
class RefusedTraining:
    """A training that the data cannot support: a normal outcome."""

    reason: str


class MonthSteps(Protocol):
    """The steps of a month. Each reads what the steps before it left."""

    def training_dataset(self, as_of: dt.date, /) -> object:
        """Join what the month can be trained on."""

    def drift_report(self, as_of: dt.date, /) -> object:
        """Compare the month with what production was trained on."""

    def performance(self, as_of: dt.date, /) -> object:
        """Measure versions on the newest matured labels."""

    def scores(self, as_of: dt.date, /) -> object:
        """Rank the customers of the month."""

    def retraining(self, as_of: dt.date, /) -> RetrainingAnswer:
        """Ask the retraining policy."""

    def candidate(self, as_of: dt.date, /) -> object:
        """Train a candidate; a `RefusedTraining` where the data cannot support one."""

    def decision(self, as_of: dt.date, trigger: Trigger, /) -> Decision:
        """Judge the candidate against production."""

    def production(self) -> object:
        """Carry the newest decision out."""


@dataclass(frozen=True)
class MonthRun:
    """What one month came to."""

    as_of: dt.date
    answer: RetrainingAnswer
    decision: Decision | None = None
    refused: RefusedTraining | None = None
    """Why no candidate could be trained although one was asked for."""


def run_month(steps: MonthSteps, as_of: dt.date) -> MonthRun:
    """Process a month, and retrain where the policy asks for it."""
    process_month(steps, as_of)
    answer = steps.retraining(as_of)
    if answer.trigger is None:
        return MonthRun(as_of, answer)
    outcome = retrain(steps, as_of, answer.trigger)
    if isinstance(outcome, RefusedTraining):
        return MonthRun(as_of, answer, refused=outcome)
    return MonthRun(as_of, answer, decision=outcome)


def process_month(steps: MonthSteps, as_of: dt.date) -> None:
    """The job `monthly`, from the training dataset on."""
    steps.training_dataset(as_of)
    steps.drift_report(as_of)
    steps.performance(as_of)
    steps.scores(as_of)


def retrain(steps: MonthSteps, as_of: dt.date, trigger: Trigger) -> Decision | RefusedTraining:
    """The job `retraining`."""
    candidate = steps.candidate(as_of)
    if isinstance(candidate, RefusedTraining):
        return candidate
    decision = steps.decision(as_of, trigger)
    steps.production()
    steps.scores(as_of)
    return decision
