"""The steps of a month on a home."""

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.loop.retraining import RetrainingAnswer
from churn_platform.loop.run_month import RefusedTraining
from churn_platform.loop.training import CandidateTraining, TrainedCandidate
from churn_platform.monitoring.drift import DriftMonitor, DriftOutcome
from churn_platform.monitoring.performance import PerformanceRecord
from churn_platform.monitoring.performance_monitor import PerformanceMonitor
from churn_platform.promotion.decision import Decision, Trigger
from churn_platform.scoring.scoring import ScoredMonth, Scoring

if TYPE_CHECKING:
    from churn_platform.promotion.deciding import Outcome
    from churn_platform.training.registry import ModelRegistry


class HomeMonth:
    """The steps of a month on one home.

    Args:
        build_dataset: joins and publishes the training dataset of a month.
        decide: judges the candidate of a month.
        carry_out: carries the newest decision out.
        ask_policy: the retraining policy's answer for a processed month.
    """

    def __init__(
        self,
        drift: DriftMonitor,
        performance: PerformanceMonitor,
        training: CandidateTraining,
        scoring: Scoring,
        registry: "ModelRegistry",
        *,
        build_dataset: Callable[[dt.date], TrainingDataset | None],
        decide: Callable[[dt.date, Trigger], Decision],
        carry_out: Callable[[], "Outcome"],
        ask_policy: Callable[[dt.date], RetrainingAnswer],
    ) -> None:
        self._drift = drift
        self._performance = performance
        self._training = training
        self._scoring = scoring
        self._registry = registry
        self._build_dataset = build_dataset
        self._decide = decide
        self._carry_out = carry_out
        self._ask_policy = ask_policy

    def training_dataset(self, as_of: dt.date) -> TrainingDataset | None:
        """Join and publish the training dataset; None without matured labels."""
        return self._build_dataset(as_of)

    def drift_report(self, as_of: dt.date) -> DriftOutcome:
        """Report the month's drift."""
        return self._drift.report(as_of)

    def performance(self, as_of: dt.date) -> PerformanceRecord:
        """Measure versions and served predictions."""
        return self._performance.measure(as_of)

    def scores(self, as_of: dt.date) -> ScoredMonth | None:
        """Rank the month's customers; None where no version can."""
        return self._scoring.score(as_of)

    def retraining(self, as_of: dt.date) -> RetrainingAnswer:
        """Ask the retraining policy."""
        return self._ask_policy(as_of)

    def candidate(
        self, as_of: dt.date, run_id: str | None = None
    ) -> TrainedCandidate | RefusedTraining:
        """Train and register the candidate, in the MLflow run `run_id` or in one of its own."""
        if run_id is not None:
            return self._training.train(as_of, run_id)
        with self._registry.run() as own:
            return self._training.train(as_of, own)

    def decision(self, as_of: dt.date, trigger: Trigger) -> Decision:
        """Judge the candidate against production."""
        return self._decide(as_of, trigger)

    def production(self) -> "Outcome":
        """Carry the newest decision out."""
        return self._carry_out()
