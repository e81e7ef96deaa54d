"""Backtest: every past month run again under a policy, in memory, by the loop of `run_month`."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Policy
from churn_platform.contract.views import ended_features, for_version, lacking_features, of_version
from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.result import (
    DriftFigures,
    DriftResult,
    age_units,
    aged_reference,
    drift_alarms,
    judge,
)
from churn_platform.features.labels import with_a_rate
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.ingestion.month_warnings import refusal_sentence
from churn_platform.lake.tables import without_values
from churn_platform.loop.retraining import (
    ProductionModel,
    RetrainingAnswer,
    RetrainingInputs,
    should_retrain,
)
from churn_platform.loop.run_month import MonthRun, RefusedTraining, run_month
from churn_platform.monitoring.performance import VersionPerformance, measured
from churn_platform.promotion.decision import Decision, Trigger, decide
from churn_platform.promotion.gate import attempt_on, holdout_name
from churn_platform.replay.history import Memory, comparable
from churn_platform.training.candidate import Candidate

NEVER_AGAIN = "This policy never retrains."
OTHER_CHURN = "Not comparable: the newest labels define churn in another way than production's."


@dataclass(frozen=True)
class Alternative:
    """A policy to backtest; `contract` contains it.

    With `retrains` off the first model stays forever.
    """

    name: str
    contract: Contract
    retrains: bool = True
    watches: bool = True
    """Whether drift and realised performance can ask for a candidate. Otherwise they are not
    measured.
    """

    @classmethod
    def never(cls, contract: Contract) -> "Alternative":
        """The first model that passes, forever."""
        return cls("never retrain", contract, retrains=False, watches=False)

    @classmethod
    def always(cls, contract: Contract) -> "Alternative":
        """A candidate whenever labels have matured; the gate decides as always."""
        retraining = contract.policy.retraining.model_copy(
            update={"cooldown_cadences": 0, "max_age_cadences": 1}
        )
        policy = contract.policy.model_copy(update={"retraining": retraining})
        return cls("always retrain", with_policy(contract, policy), watches=False)


class BacktestSteps:
    """The steps of a month on the past of one business under one policy; nothing is written."""

    def __init__(self, alternative: Alternative, memory: Memory) -> None:
        self.alternative = alternative
        self.contract = alternative.contract
        self.memory = memory
        self.history = memory.history
        self.versions: dict[int, Candidate] = {}
        self.in_production: Candidate | None = None
        self.decisions: list[Decision] = []
        self.alarms: tuple[str, ...] = ()
        self.realised: VersionPerformance | None = None
        self._figures = DriftFigures()
        self._alarmed_for: int | None = None
        """The version that the newest drift report raised an alarm for."""
        self._trained: tuple[TrainingDataset, Candidate] | None = None

    def training_dataset(self, as_of: dt.date) -> None:
        """Nothing: the dataset is made when a candidate is trained."""

    def drift_report(self, as_of: dt.date) -> None:
        """Measure the month's drift, without a page."""
        self._figures = DriftFigures()
        self.alarms = ()
        production = self.in_production
        if production is None or not self.alternative.watches:
            return
        result = self._drift(production, as_of)
        hysteresis = self.contract.policy.retraining.hysteresis
        alarmed = self._alarmed_for == production.version
        self._figures = DriftFigures.of(result)
        self.alarms = drift_alarms(result, hysteresis, alarmed=alarmed)
        self._alarmed_for = production.version if self.alarms else None

    def performance(self, as_of: dt.date) -> None:
        """Measure production on the newest matured month, when that came after its training."""
        self.realised = None
        production = self.in_production
        matured = self.history.matured(self.contract, as_of)
        if production is None or not matured or not self.alternative.watches:
            return
        newest = matured[-1]
        found = self.memory.labelled(self.contract, newest, as_of)
        if found is None or newest.isoformat() <= production.card.as_of:
            return
        if not comparable(self.contract, [production], [newest.isoformat()]):
            return
        probability = self.memory.probability(production, newest)[found.known]
        self.realised = measured(
            production,
            newest.isoformat(),
            found.labelled.churned,
            probability,
            found.labelled.weights,
            self.contract.policy.promotion.min_holdout_churners,
        )

    def scores(self, as_of: dt.date) -> None:
        """Nothing: every version is scored on later months afterwards."""

    def retraining(self, as_of: dt.date) -> RetrainingAnswer:
        """Ask the retraining policy."""
        production = self.in_production
        window = self.history.window(self.contract, as_of)
        redefined = False
        if production is not None and window is not None:
            newest = window.training[-1].isoformat()
            redefined = not comparable(self.contract, [production], [newest])
        inputs = RetrainingInputs.gather(
            as_of,
            as_of.isoformat(),
            window=window,
            left_out=self.history.left_out(self.contract, as_of),
            production=None if production is None else _read(production),
            drift_alarms=self.alarms,
            performance=[] if self.realised is None else [self.realised],
            decisions=self.decisions,
            ended=self._ended(production, as_of),
            redefined=redefined,
        )
        answer = should_retrain(self.contract, inputs)
        if production is not None and not self.alternative.retrains:
            return RetrainingAnswer(None, NEVER_AGAIN, answer.key)
        return answer

    def candidate(self, as_of: dt.date) -> Candidate | RefusedTraining:
        """Train a candidate, numbered after the versions of this policy."""
        dataset = self.memory.dataset(self.contract, as_of)
        if dataset is None:
            return RefusedTraining(f"No labels have matured up to {as_of}.")
        try:
            contract = self.history.of_candidate(self.contract, as_of, dataset)
            fitted = self.memory.candidate(contract, dataset)
        except NotANumber:
            raise
        except DataError as error:
            return RefusedTraining(refusal_sentence(str(error)))
        candidate = dataclasses.replace(fitted, version=len(self.versions) + 1)
        self._trained = (dataset, candidate)
        return candidate

    def decision(self, as_of: dt.date, trigger: Trigger) -> Decision:
        """Judge the candidate.

        Nobody can be asked about the past: a candidate that passes counts as approved, unless
        its labels are in doubt. One of another definition of churn than production's counts as
        approved, too: production predicts what is no longer asked.

        Raises:
            DataError: no candidate was trained in the month.
        """
        if self._trained is None:
            raise DataError(f"No candidate was trained on {as_of}: there is nothing to decide on.")
        dataset, candidate = self._trained
        contract = self.history.of_candidate(self.contract, as_of, dataset)
        policy = contract.policy
        number = len(self.versions) + 1
        holdout = holdout_name(policy.training, dataset.window)
        attempt = attempt_on(holdout, candidate.digest, self.decisions)
        production = self.in_production
        not_comparable = ""
        if production is not None and not comparable(
            self.contract, [production], [candidate.card.as_of]
        ):
            not_comparable = OTHER_CHURN
        evidence = self.memory.evidence(
            contract,
            dataset,
            candidate,
            production,
            attempt,
            self._ended(production, as_of),
            not_comparable,
        )
        decision = decide(
            evidence,
            self.memory.refit(contract, dataset),
            candidate_version=number,
            candidate_digest=candidate.digest,
            trigger=trigger,
            policy_hash=contract.policy_hash,
            drift=self._figures,
            digests={
                "dataset": dataset.digest,
                "holdout": holdout,
                "contract": contract.model_hash,
            },
            sample=dataset.sample,
        )
        asked = not decision.doubted or bool(not_comparable)
        if decision.decision == "pending" and asked:
            decision = decision.model_copy(update={"decision": "promoted"})
        self.versions[number] = candidate
        self.decisions.append(decision)
        return decision

    def production(self) -> None:
        """Carry the newest decision out."""
        newest = self.decisions[-1]
        if newest.approved:
            self.in_production = self.versions[newest.candidate_version]

    def _ended(self, production: Candidate | None, as_of: dt.date) -> tuple[str, ...]:
        """The features of production whose columns have ended by the month."""
        if production is None or not self.contract.boundaries:
            return ()
        return ended_features(self._read_by(production), as_of)

    def _drift(self, production: Candidate, as_of: dt.date) -> DriftResult:
        """Production's features that all of these months have, compared."""
        contract = self._read_by(production)
        policy = contract.policy
        months = [dt.date.fromisoformat(month) for month in production.card.months]
        current = self._rows(production, contract, [as_of], as_of)
        reference = self._rows(production, contract, months, as_of)
        if age_units(contract):
            reference = self._aged(production, contract, reference, months, current, as_of)
        lacking = lacking_features(contract, (as_of, *months))
        features = {n: column for n, column in contract.features.items() if n not in lacking}
        if lacking:
            # Missing on both sides, or it would be drift of the predictions.
            dtypes = {name: contract.features[name].dtype for name in sorted(lacking)}
            reference = _without(production, reference, dtypes)
            current = _without(production, current, dtypes)
        evidence = measure(features, policy.drift, reference, current, seed=policy.training.seed)
        return judge(policy.drift, evidence)

    def _read_by(self, production: Candidate) -> Contract:
        """The contract with production's features."""
        if not self.contract.boundaries:
            return self.contract
        trained = dt.date.fromisoformat(production.card.as_of)
        names = [feature.name for feature in production.card.features]
        return for_version(self.contract, of_version(self.contract, trained, names))

    def _rows(
        self, production: Candidate, contract: Contract, months: list[dt.date], cutoff: dt.date
    ) -> Rows:
        rows, labels = self.history.known(contract, months, cutoff)
        features = rows[list(contract.features)]
        predictions = [self.memory.probability(production, month) for month in months]
        if comparable(self.contract, [production], [month.isoformat() for month in months]):
            churned = with_a_rate(labels.churned)
            return Rows(features, churned, np.concatenate(predictions), labels.weights)
        return Rows(features, None, np.concatenate(predictions))

    def _aged(
        self,
        production: Candidate,
        contract: Contract,
        reference: Rows,
        months: list[dt.date],
        current: Rows,
        as_of: dt.date,
    ) -> Rows:
        """The reference with the ages of today, and production's predictions on it."""
        known = [month for month in months for _ in range(len(self.history.rows(month)))]
        features = aged_reference(contract, reference.features, known, current.features, as_of)
        return dataclasses.replace(
            reference, features=features, predictions=production.model.probability(features)
        )


@dataclass(frozen=True)
class BacktestedMonth:
    """What one month came to; `production` is what was in production when it came."""

    run: MonthRun
    production: Candidate | None
    realised: VersionPerformance | None
    alarms: tuple[str, ...]


def run_past_month(steps: BacktestSteps, as_of: dt.date) -> BacktestedMonth:
    """Run one month again; ask for every month, oldest first."""
    production = steps.in_production
    run = run_month(steps, as_of)
    return BacktestedMonth(run, production, steps.realised, steps.alarms)


def with_policy(contract: Contract, policy: Policy) -> Contract:
    """The contract with another policy, built anew: a copy would keep the digests of the old
    one.
    """
    return Contract.model_validate(
        {**contract.as_mapping(), "policy": policy.model_dump(mode="json")}
    )


def _without(production: Candidate, rows: Rows, dtypes: Mapping[str, str]) -> Rows:
    """The rows without values of some features, and production's predictions on them."""
    features = without_values(rows.features, dtypes)
    probability = production.model.probability(features)
    return dataclasses.replace(rows, features=features, predictions=probability)


def _read(production: Candidate) -> ProductionModel:
    low, high = production.card.metrics["auc_interval"]
    return ProductionModel(
        version=production.version or 0,
        as_of=dt.date.fromisoformat(production.card.as_of),
        auc_interval=(float(low), float(high)),
        algorithm=production.card.algorithm,
    )
