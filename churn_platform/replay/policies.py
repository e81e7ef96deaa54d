"""The loop's decisions over all past months, once more, under one policy or another; nothing is
kept.
"""

import dataclasses
import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Policy
from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.result import (
    DriftFigures,
    DriftResult,
    Thresholds,
    age_units,
    aged_reference,
    drift_alarms,
    judge,
)
from churn_platform.evaluation.comparison import auc_interval
from churn_platform.evaluation.statistics import auc
from churn_platform.features.labels import with_a_rate
from churn_platform.ingestion.month_warnings import refusal_sentence
from churn_platform.loop.retraining import Signals, Verdict, should_retrain
from churn_platform.promotion.decision import Decision, decide
from churn_platform.replay.memory import Memory
from churn_platform.training.candidate import Candidate

NEVER_AGAIN = "This policy never retrains."


@dataclass(frozen=True)
class Alternative:
    """A policy to replay; `contract` holds it.

    With `retrains` off the first model stays forever.
    """

    name: str
    contract: Contract
    retrains: bool = True
    watches: bool = True
    """Whether drift and realised performance can ask for a candidate; off, they need not be
    measured.
    """

    @classmethod
    def never(cls, contract: Contract) -> "Alternative":
        """The first model that passes, forever."""
        return cls("never retrain", contract, retrains=False, watches=False)

    @classmethod
    def always(cls, contract: Contract) -> "Alternative":
        """A candidate whenever labels have matured; the gate decides as ever."""
        retraining = contract.policy.retraining.model_copy(
            update={"cooldown_cadences": 0, "max_age_cadences": 1}
        )
        policy = contract.policy.model_copy(update={"retraining": retraining})
        return cls("always retrain", with_policy(contract, policy), watches=False)


@dataclass(frozen=True)
class Lived:
    """What happened in one month; `production` is what was in production when it came."""

    as_of: dt.date
    production: Candidate | None
    worth: dict[str, Any] | None
    """Production on the newest matured month (`as_of`, `version`, `metrics`); None when it
    trained on that month.
    """
    alarms: tuple[str, ...]
    verdict: Verdict
    decision: Decision | None


class Loop:
    """One business under one policy; ask `live` for every month, oldest first."""

    def __init__(self, alternative: Alternative, memory: Memory) -> None:
        self.alternative = alternative
        self.memory = memory
        self.history = memory.history
        self.contract = alternative.contract
        self.versions: dict[int, Candidate] = {}
        self.production: Candidate | None = None
        self.decisions: list[Decision] = []
        self._alarmed: tuple[int | None, bool] = (None, False)

    def live(self, as_of: dt.date) -> Lived:
        """Process a month and retrain where the policy asks."""
        production = self.production
        figures, alarms = self._drift(as_of)
        worth = self._worth(as_of) if self.alternative.watches else None
        verdict = self._verdict(as_of, alarms, worth)
        decision = None
        if verdict.trigger is not None:
            try:
                decision = self._decided(as_of, verdict, figures)
            except NotANumber:
                raise
            except DataError as error:  # recorded as a refused training where it happened
                verdict = Verdict(None, refusal_sentence(str(error)), verdict.key)
        return Lived(as_of, production, worth, alarms, verdict, decision)

    def _verdict(
        self, as_of: dt.date, alarms: tuple[str, ...], worth: dict[str, Any] | None
    ) -> Verdict:
        verdict = should_retrain(self.contract, self._signals(as_of, alarms, worth))
        if self.production is not None and not self.alternative.retrains:
            return Verdict(None, NEVER_AGAIN, verdict.key)
        return verdict

    def _signals(
        self, as_of: dt.date, alarms: tuple[str, ...], worth: dict[str, Any] | None
    ) -> Signals:
        window = self.history.window(self.contract, as_of)
        production = self.production
        card = None if production is None else production.card
        interval = None if card is None else card.metrics["auc_interval"]
        return Signals(
            as_of=as_of,
            labelled=window.training[-1] if window else None,
            snapshot_digest=as_of.isoformat(),
            production_version=None if production is None else production.version,
            production_as_of=None if card is None else dt.date.fromisoformat(card.as_of),
            promoted_interval=(
                None if interval is None else (float(interval[0]), float(interval[1]))
            ),
            drift_alarms=alarms,
            realised=worth,
            last_decision=(
                dt.date.fromisoformat(self.decisions[-1].as_of) if self.decisions else None
            ),
        )

    def _drift(self, as_of: dt.date) -> tuple[DriftFigures, tuple[str, ...]]:
        if self.production is None or not self.alternative.watches:
            return DriftFigures(), ()
        result = self._measured_drift(self.production, as_of)
        figures = DriftFigures.of(result)
        ease = self.contract.policy.retraining.hysteresis
        before = self._alarmed == (self.production.version, True)
        alarms = drift_alarms(figures, Thresholds.of(result), ease, alarmed=before)
        self._alarmed = self.production.version, bool(alarms)
        return figures, alarms

    def _measured_drift(self, production: Candidate, as_of: dt.date) -> DriftResult:
        policy = self.contract.policy
        months = [dt.date.fromisoformat(month) for month in production.card.months]
        current = self._side(production, [as_of], as_of)
        reference = self._aged(
            production, self._side(production, months, as_of), months, current, as_of
        )
        measured = measure(
            self.contract.features, policy.drift, reference, current, seed=policy.training.seed
        )
        return judge(policy.drift, measured)

    def _side(self, production: Candidate, months: list[dt.date], cutoff: dt.date) -> Rows:
        rows, labels = self.history.known(self.contract, months, cutoff)
        features = rows[list(self.contract.features)]
        predictions = np.concatenate(
            [self.memory.probability(production, month) for month in months]
        )
        return Rows(features, with_a_rate(labels), predictions)

    def _aged(
        self,
        production: Candidate,
        reference: Rows,
        months: list[dt.date],
        current: Rows,
        as_of: dt.date,
    ) -> Rows:
        """The reference as the calendar has aged it, with what production says of it then."""
        if not age_units(self.contract):
            return reference
        known = [month for month in months for _ in range(len(self.history.rows(month)))]
        features = aged_reference(self.contract, reference.features, known, current.features, as_of)
        return Rows(features, reference.labels, production.model.probability(features))

    def _worth(self, as_of: dt.date) -> dict[str, Any] | None:
        """Production on the newest matured month, when that came after its training: what the
        policy reads of it.
        """
        matured = self.history.matured(self.contract, as_of)
        production = self.production
        if production is None or not matured or matured[-1].isoformat() <= production.card.as_of:
            return None
        newest = matured[-1]
        found = self.memory.labelled(self.contract, newest, as_of)
        if found is None or found.churned.all() or not found.churned.any():
            return None
        truth = found.churned
        scores = self.memory.probability(production, newest)[found.known]
        figures = {
            "auc": auc(truth, scores),
            "auc_interval": auc_interval(truth, scores).as_list(),
        }
        return {"as_of": newest.isoformat(), "version": production.version, "metrics": figures}

    def _decided(self, as_of: dt.date, verdict: Verdict, figures: DriftFigures) -> Decision | None:
        dataset = self.memory.dataset(self.contract, as_of)
        if dataset is None or verdict.trigger is None:
            return None
        fitted = self.memory.candidate(self.contract, dataset)
        candidate = dataclasses.replace(fitted, version=len(self.versions) + 1)
        holdout = ",".join(month.isoformat() for month in dataset.window.holdout)
        attempt = 1 + sum(decision.evidence["holdout"] == holdout for decision in self.decisions)
        decision = decide(
            self.memory.evidence(self.contract, dataset, candidate, self.production, attempt),
            self.memory.refit(self.contract, dataset),
            candidate_version=len(self.versions) + 1,
            candidate_digest=candidate.digest,
            trigger=verdict.trigger,
            policy_hash=self.contract.policy_hash,
            drift=figures,
            digests={"dataset": dataset.digest, "holdout": holdout},
        )
        # Nobody can be asked about the past: what passed is approved, but for a candidate of
        # labels in doubt.
        if decision.decision == "pending" and not decision.doubted:
            decision = decision.model_copy(update={"decision": "promoted"})
        self.versions[decision.candidate_version] = candidate
        self.decisions.append(decision)
        if decision.approved:
            self.production = candidate
        return decision


def with_policy(contract: Contract, policy: Policy) -> Contract:
    """The contract with another policy, built anew: a copy would keep the digests of the old
    one.
    """
    return Contract.model_validate(
        {**contract.as_mapping(), "policy": policy.model_dump(mode="json")}
    )
