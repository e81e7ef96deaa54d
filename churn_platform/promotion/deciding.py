"""Decides on the candidate and carries the decision out: the I/O round `promotion/decision.py`."""

import datetime as dt
from dataclasses import dataclass

from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.drift.result import DriftFigures
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.ledger.version_acts import DecisionMade
from churn_platform.promotion.approving import ask, kept_by_people, record_lapse
from churn_platform.promotion.attempts import attempt_on, holdout_name
from churn_platform.promotion.decision import Decision, Trigger, decide
from churn_platform.promotion.decisions import decisions_of, unfinished
from churn_platform.promotion.gate import gather
from churn_platform.promotion.promoting import (
    decision_digest,
    keep,
    production_candidate,
    promote,
    recover,
    restore_alias,
)
from churn_platform.services import Services
from churn_platform.training.candidate import Candidate, shuffled_refit
from churn_platform.training.registry import CANDIDATE


@dataclass(frozen=True)
class Outcome:
    """What became of a decision."""

    sentence: str
    version: int | None
    auc: float | None
    release: str | None


def decide_candidate(home: Services, as_of: dt.date, trigger: Trigger) -> Decision:
    """Judge the version behind the alias `candidate` against production; keep the decision and
    its receipt.

    A decision that approved this candidate and was cut off, or that put it into production,
    stands: once the pointer has moved, judging again would compare the version with itself and
    refuse it.
    """
    _complete(home)
    dataset = _dataset(home, as_of)
    version = _candidate_version(home)
    candidate = home.registry.load(version)
    production = production_candidate(home)
    standing = _standing(home, candidate, None if production is None else production.version)
    if standing is not None:
        return standing
    if candidate.card.dataset_digest != dataset.digest:
        raise IntegrityError(
            f"Version {version} was not trained on the training dataset of {as_of} as it now"
            " is: materialize candidate_model again."
        )
    contract = home.contract
    holdout = holdout_name(contract.policy.training, dataset.window)
    attempt = attempt_on(holdout, candidate.digest, decisions_of(home))
    evidence = gather(contract, dataset, candidate, production, attempt)
    decision = decide(
        evidence,
        shuffled_refit(contract, dataset),
        candidate_version=version,
        candidate_digest=candidate.digest,
        trigger=trigger,
        policy_hash=contract.policy_hash,
        drift=drift_figures(home, as_of),
        digests={
            "dataset": dataset.digest,
            "holdout": holdout,
            "contract": contract.model_hash,
        },
    )
    if not _made(home, decision):
        home.records.add_decision(decision.model_dump(mode="json"))
        _complete(home)
    return decision


def newest_decision(home: Services) -> Decision:
    """The newest decision.

    Raises:
        DataError: there is none.
    """
    records = home.records.decisions()
    if not records:
        raise DataError(
            "There is no decision yet: materialize promotion_decision first.",
            code="DECISION_MISSING",
        )
    return Decision.model_validate(records[-1])


def carry_out(home: Services) -> Outcome:
    """Promote exactly the version that the newest decision approves, ask for an approval, or
    keep production.
    """
    recover(home)
    decision = newest_decision(home)
    restore_alias(home)
    record_lapse(home, deep=True)
    done = home.ledger.state().carried_out.get(decision_digest(decision))
    why_not = _why_not(home, decision, None if done is None else done.time)
    kept = _kept(home)
    if why_not is not None:
        keep(home, decision, why_not)
        return _outcome(home, f"{kept}: {why_not}")
    if done is None and decision.decision == "pending":
        return _outcome(home, f"{kept}: {ask(home, decision)}")
    if done is None:
        promote(home, decision)
    return _outcome(home, f"Promoted version {decision.candidate_version}: {decision.reason}")


def _why_not(home: Services, decision: Decision, carried_out_at: str | None) -> str | None:
    """None when the decision holds for what is the candidate now, and no person has blocked it."""
    version = _candidate_version(home)
    policy = home.contract.policy_hash
    digest = home.registry.load(version).digest
    pointer = home.releases.pointer()
    if decision.passed:
        changed = decision.holds(version, digest, policy)
    else:
        changed = decision.reason
    production = None if pointer is None else pointer.version
    return (
        changed
        or decision.lapsed(production, carried_out_at)
        or (kept_by_people(home, decision) if production != version else None)
    )


def _kept(home: Services) -> str:
    pointer = home.releases.pointer()
    if pointer is None:
        return "No model is in production"
    return f"Kept version {pointer.version}"


def drift_figures(home: Services, as_of: dt.date) -> DriftFigures:
    """The result of the month's drift report; empty before there is a production model."""
    result = (home.records.read("drift_report", as_of) or {}).get("result")
    if result is None:
        return DriftFigures()
    return DriftFigures(
        drift_share=result["share"],
        drifted_columns=tuple(result["drifted_columns"]),
        target_drift=result["target_drift"],
        prediction_drift=result["prediction_drift"],
    )


def _made(home: Services, decision: Decision) -> bool:
    """Whether the newest decision is the same and was not carried out since: then nothing new
    was decided.

    After a rollback the same comparison is a decision of its own, or the version could never
    come back.
    """
    newest = home.records.decisions()[-1:]
    same = newest == [decision.model_dump(mode="json")]
    return same and decision_digest(decision) not in home.ledger.state().carried_out


def _complete(home: Services) -> None:
    """The newest decision's receipt, where it has none: a kill may have come between the
    decision's file and it.
    """
    if len(home.records.decisions()) <= len(home.ledger.state().decisions):
        return
    decision = newest_decision(home)
    home.ledger.append(
        DecisionMade(
            version=decision.candidate_version,
            before=decision.production_version,
            outcome=decision.decision,
            reason=decision.reason,
            decision=decision_digest(decision),
            trigger=decision.trigger,
            candidate=decision.candidate_digest,
            policy=decision.policy_hash,
            files=dict(home.registry.recorded(decision.candidate_version)),
            dataset=decision.evidence["dataset"],
            holdout=decision.evidence["holdout"],
            contract=decision.evidence["contract"],
        )
    )


def _standing(home: Services, candidate: Candidate, production: int | None) -> Decision | None:
    """The newest decision where it holds for this candidate, and was cut off or is what put it
    into production.
    """
    decisions = decisions_of(home)
    if not decisions or candidate.version is None:
        return None
    newest = decisions[-1]
    in_production = production == candidate.version
    if not in_production and (unfinished(home) is None or not newest.approved):
        return None
    changed = newest.holds(candidate.version, candidate.digest, home.contract.policy_hash)
    if changed is None and newest.passed and newest.lapsed(production) is None:
        return newest
    return None


def _outcome(home: Services, sentence: str) -> Outcome:
    production = home.releases.production()
    if production is None:
        return Outcome(sentence, None, None, None)
    folder = home.releases.folder / str(production.version)
    return Outcome(sentence, production.version, float(str(production.metrics["auc"])), str(folder))


def _dataset(home: Services, as_of: dt.date) -> TrainingDataset:
    dataset = home.training_datasets.load(as_of)
    if dataset is None:
        raise DataError(
            f"No labels have matured up to {as_of}: there is nothing to decide on.",
            code="LABELS_NOT_MATURED",
        )
    return dataset


def _candidate_version(home: Services) -> int:
    version = home.registry.alias(CANDIDATE)
    if version is None:
        raise DataError(
            "No version carries the alias `candidate`: materialize candidate_model first."
        )
    return version
