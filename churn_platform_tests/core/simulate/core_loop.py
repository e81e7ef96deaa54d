"""The loop over simulated months by the real rules, without files, Feast, MLflow and Dagster: seconds a business.

Belongs here: the order of the steps and what each month was worth. Does not: any rule, any assertion.
"""

import dataclasses
import datetime as dt
from dataclasses import dataclass

import pandas as pd

from churn_platform.core.candidate import Candidate, fit_candidate, shuffled_refit
from churn_platform.core.contract import Contract
from churn_platform.core.drift import judge
from churn_platform.core.drift_measure import Rows, measure
from churn_platform.core.gate import gather
from churn_platform.core.performance import realised
from churn_platform.core.promotion import Decision, DriftFigures, decide
from churn_platform.core.retraining import Signals, Thresholds, Verdict, drift_alarms, should_retrain
from churn_platform.core.simulate import SimulatedMonth, best_auc
from churn_platform.core.snapshot import conform, feature_frame
from churn_platform.core.training_dataset import AS_OF, LABEL, TrainingDataset, assemble
from churn_platform.core.window import choose_window, matured_months


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
    verdict: Verdict
    decision: Decision | None
    candidate_best: float | None
    """Best possible AUC on the holdout rows that the decision compared on."""

    @property
    def promoted(self) -> bool:
        """Whether a candidate was promoted this month."""
        return self.decision is not None and self.decision.approved


class CoreLoop:
    """One business; `live` is called once a month, oldest first."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.key = contract.entity.column
        self.months: dict[dt.date, SimulatedMonth] = {}
        self.rows: dict[dt.date, pd.DataFrame] = {}
        self.labels: dict[dt.date, pd.Series] = {}
        self.versions: list[Candidate] = []
        self.production: Candidate | None = None
        self.decisions: list[Decision] = []
        self.alarmed: tuple[int | None, bool] = (None, False)

    def live(self, month: SimulatedMonth) -> Lived:
        """Process a month and retrain where the policy asks."""
        as_of, production = month.as_of, self.production
        tables = {name: conform(self.contract, name, frame)[0] for name, frame in month.tables.items()}
        label = self.contract.label
        self.months[as_of] = month
        self.rows[as_of] = feature_frame(self.contract, tables)
        self.labels[as_of] = tables[label.table].set_index(self.key)[label.column].astype(bool)
        figures, alarms = self._drift(as_of)
        worth = self._realised(as_of)
        verdict = should_retrain(self.contract, self._signals(as_of, alarms, worth))
        decision = self._decided(as_of, verdict, figures) if verdict.trigger is not None else None
        known = worth is not None and production is not None and worth["as_of"] > production.passport["as_of"]
        measured = self.months[dt.date.fromisoformat(worth["as_of"])] if known else None
        return Lived(
            as_of=as_of,
            best=month.truth.best_auc,
            realised=worth["metrics"]["auc"] if known else None,
            realised_best=measured.truth.best_auc if measured else None,
            alarms=alarms,
            verdict=verdict,
            decision=decision,
            candidate_best=self._best_on_holdout(decision),
        )

    def _matured(self, as_of: dt.date) -> list[dt.date]:
        return matured_months(sorted(self.rows), set(self.rows), self.contract, as_of)

    def _all_rows(self, months: list[str]) -> tuple[pd.DataFrame, pd.Series]:
        days = [dt.date.fromisoformat(month) for month in months]
        rows = pd.concat([self.rows[day] for day in days], ignore_index=True)
        labels = pd.concat([self.rows[day][self.key].map(self.labels[day]) for day in days], ignore_index=True)
        return rows, labels.astype("boolean")

    def _side(self, months: list[str], *, labelled: bool) -> Rows:
        rows, labels = self._all_rows(months)
        features = rows[list(self.contract.features)]
        return Rows(features, labels if labelled else None, self.production.model.probability(rows))

    def _drift(self, as_of: dt.date) -> tuple[DriftFigures, tuple[str, ...]]:
        if self.production is None:
            return DriftFigures(), ()
        policy = self.contract.policy
        reference = self._side(self.production.passport["months"], labelled=True)
        current = self._side([as_of.isoformat()], labelled=as_of in self._matured(as_of))
        evidence = measure(self.contract.features, policy.drift, reference, current, seed=policy.training.seed)
        result = judge(policy.drift, evidence)
        figures, limits = DriftFigures.of(result), Thresholds.of(result)
        before = self.alarmed == (self.production.version, True)
        alarms = drift_alarms(figures, limits, policy.retraining.hysteresis, alarmed=before)
        self.alarmed = self.production.version, bool(alarms)
        return figures, alarms

    def _realised(self, as_of: dt.date) -> dict | None:
        matured = self._matured(as_of)
        if self.production is None or not matured or matured[-1].isoformat() < self.production.passport["as_of"]:
            return None
        newest = matured[-1]
        return realised(self.contract, self.rows[newest], self.labels[newest], self.production, newest.isoformat())

    def _signals(self, as_of: dt.date, alarms: tuple[str, ...], worth: dict | None) -> Signals:
        matured, production = self._matured(as_of), self.production
        newer = worth is not None and production is not None and worth["as_of"] > production.passport["as_of"]
        return Signals(
            as_of=as_of,
            labelled=matured[-1] if matured else None,
            snapshot_digest=as_of.isoformat(),
            production_version=None if production is None else production.version,
            production_as_of=None if production is None else dt.date.fromisoformat(production.passport["as_of"]),
            promoted_interval=None if production is None else tuple(production.passport["metrics"]["auc_interval"]),
            drift_alarms=alarms,
            realised=worth if newer else None,
            last_decision=dt.date.fromisoformat(self.decisions[-1].as_of) if self.decisions else None,
        )

    def dataset(self, as_of: dt.date) -> TrainingDataset:
        """The training dataset of a month."""
        churners = {month: int(self.labels[month].sum()) for month in self._matured(as_of)}
        window = choose_window(churners, self.contract.policy)
        spines, joined = [], []
        for month in window.months:
            rows = self.rows[month].assign(**{AS_OF: month.isoformat()})
            spines.append(
                rows[[self.key, AS_OF, *self.contract.carried]].assign(
                    **{LABEL: rows[self.key].map(self.labels[month])}
                )
            )
            joined.append(rows[[self.key, AS_OF, *self.contract.features]])
        return assemble(
            self.contract, pd.concat(spines, ignore_index=True), pd.concat(joined, ignore_index=True), window
        )

    def _decided(self, as_of: dt.date, verdict: Verdict, figures: DriftFigures) -> Decision:
        dataset = self.dataset(as_of)
        version = len(self.versions) + 1
        candidate = dataclasses.replace(fit_candidate(self.contract, dataset, "code"), version=version)
        self.versions.append(candidate)
        decision = decide(
            gather(self.contract, dataset, candidate, self.production, 1),
            shuffled_refit(self.contract, dataset),
            candidate_version=version,
            candidate_digest=candidate.digest,
            trigger=verdict.trigger,
            policy_hash=self.contract.policy_hash,
            drift=figures,
            digests={},
        )
        self.decisions.append(decision)
        if decision.approved:
            self.production = candidate
        return decision

    def _best_on_holdout(self, decision: Decision | None) -> float | None:
        """What the true probabilities are worth on the holdout of a decision."""
        if decision is None:
            return None
        month = self.months[dt.date.fromisoformat(decision.as_of)]
        rows = self.dataset(month.as_of if not self.contract.label.horizon.months else max(self.rows)).holdout_rows()
        chances = pd.concat(
            {as_of: self.months[dt.date.fromisoformat(as_of)].chances for as_of in rows[AS_OF].unique()}
        )
        truth = chances[pd.MultiIndex.from_frame(rows[[AS_OF, self.key]])]
        return best_auc(rows[LABEL].to_numpy(dtype=bool), truth.to_numpy())
