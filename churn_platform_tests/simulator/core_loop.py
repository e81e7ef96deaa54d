"""The loop over simulated months by the replay's own steps, without files, Feast, MLflow and Dagster: seconds a business."""

import datetime as dt
from dataclasses import dataclass

import pandas as pd

from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.features.training_dataset import AS_OF, LABEL, TrainingDataset
from churn_platform.ingestion.rules import conform
from churn_platform.lake.tables import feature_frame
from churn_platform.loop.retraining import RetrainingAnswer
from churn_platform.promotion.decision import Decision
from churn_platform.replay.backtest import Alternative, BacktestSteps, run_past_month
from churn_platform.replay.history import Memory, PastMonth, PastMonths
from churn_platform.simulator import SimulatedMonth, best_auc


@dataclass(frozen=True)
class Lived:
    """What became of one month: figures are None where there was nothing to measure."""

    as_of: dt.date
    best: float
    """Best possible AUC on all customers."""
    realised: float | None
    """AUC of the model in production when the month came, on the newest matured month, if it did not train on it."""
    realised_best: float | None
    """Best possible AUC of that month."""
    alarms: tuple[str, ...]
    answer: RetrainingAnswer
    decision: Decision | None
    candidate_best: float | None
    """Best possible AUC on the holdout rows that the decision compared on."""

    @property
    def promoted(self) -> bool:
        """Whether a candidate was promoted this month."""
        return self.decision is not None and self.decision.approved


def lived_month(contract: Contract, month: SimulatedMonth) -> PastMonth:
    """A simulated month as a replay reads it; its labels are known at once, and mature by the contract."""
    tables = {name: conform(contract, name, frame)[0] for name, frame in month.tables.items()}
    label = contract.label
    labels = tables[label.table].set_index(contract.entity.column)[label.column].astype(bool)
    return PastMonth(feature_frame(contract, tables), ((month.as_of, MonthLabels(labels)),))


class CoreLoop:
    """One business; `live` is called once a month, oldest first."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.months: dict[dt.date, SimulatedMonth] = {}
        self.history = PastMonths({})
        self.loop = BacktestSteps(Alternative("this", contract), Memory(self.history, "code"))

    def live(self, month: SimulatedMonth) -> Lived:
        """Process a month and retrain where the policy asks."""
        as_of = month.as_of
        self.months[as_of] = month
        self.history.months[as_of] = lived_month(self.contract, month)
        lived = run_past_month(self.loop, as_of)
        realised = lived.realised
        if realised is not None and realised.metrics is None:
            realised = None
        measured = None if realised is None else self.months[dt.date.fromisoformat(realised.as_of)]
        return Lived(
            as_of=as_of,
            best=month.truth.best_auc,
            realised=None if realised is None else realised.metrics.auc,
            realised_best=measured.truth.best_auc if measured else None,
            alarms=lived.alarms,
            answer=lived.run.answer,
            decision=lived.run.decision,
            candidate_best=self._best_on_holdout(lived.run.decision),
        )

    def dataset(self, as_of: dt.date) -> TrainingDataset:
        """The training dataset of a month."""
        return self.history.dataset(self.contract, as_of)

    def _best_on_holdout(self, decision: Decision | None) -> float | None:
        """What the true probabilities are worth on the holdout of a decision."""
        if decision is None:
            return None
        month = self.months[dt.date.fromisoformat(decision.as_of)]
        late = self.contract.label.horizon.months
        rows = self.dataset(month.as_of if not late else max(self.months)).holdout_rows()
        chances = pd.concat(
            {
                as_of: self.months[dt.date.fromisoformat(as_of)].chances
                for as_of in rows[AS_OF].unique()
            }
        )
        truth = chances[pd.MultiIndex.from_frame(rows[[AS_OF, self.contract.entity.column]])]
        return best_auc(rows[LABEL].to_numpy(dtype=bool), truth.to_numpy())
