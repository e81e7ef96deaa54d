"""The retraining policy: drift and realised performance in, a retraining or a reason to skip
out.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from churn_platform.base.digests import digest_of
from churn_platform.base.text import ended
from churn_platform.contract.model import Contract, Span
from churn_platform.ingestion.month_warnings import refusal_sentence
from churn_platform.lake.window import Window
from churn_platform.ledger.state import ProductionState
from churn_platform.monitoring.performance import VersionPerformance, fell_below
from churn_platform.promotion.decision import Decision, Trigger


@dataclass(frozen=True)
class ManualRequest:
    """A person's request for a retraining; `receipt` is its digest."""

    by: str
    reason: str
    receipt: str

    @classmethod
    def open_in(cls, state: ProductionState) -> "ManualRequest | None":
        """The request that no decision and no refused training has answered."""
        receipt = state.retraining_request
        if receipt is None:
            return None
        return cls(receipt.actor, receipt.reason, receipt.digest)

    def sentence(self) -> str:
        """Who asked, and why."""
        return f"{self.by} asked for a retraining: {ended(self.reason)}"


@dataclass(frozen=True)
class ProductionModel:
    """What the policy reads of the version in production."""

    version: int
    as_of: dt.date | None
    """The month it was trained on; None if that is unknown."""
    auc_interval: tuple[float, float] | None
    """Of its AUC when it was promoted; of an imported one when a candidate was last compared
    with it, None before.
    """
    algorithm: str | None = None
    imported: bool = False

    @property
    def never_compared(self) -> bool:
        """Whether it was imported and no decision has measured it."""
        return self.imported and self.auc_interval is None


@dataclass(frozen=True)
class RetrainingInputs:
    """What is known when the policy is asked."""

    as_of: dt.date
    """The newest processed month."""
    inputs: str
    """Digest of the month's snapshots."""
    labelled: dt.date | None = None
    """The newest month with matured labels that can be trained on."""
    left_out: tuple[str, ...] = ()
    """Why matured months later than `labelled` cannot be trained on."""
    production: ProductionModel | None = None
    drift_alarms: tuple[str, ...] = ()
    realised: VersionPerformance | None = None
    """Production's performance on the newest month after its training."""
    last_decision: dt.date | None = None
    """Training as_of of the newest decision."""
    refused: str | None = None
    """Why a training on exactly this data under this policy could not be made; None when it was
    not tried.
    """
    request: ManualRequest | None = None
    """A person's request for a retraining that is still unanswered."""
    ended: tuple[str, ...] = ()
    """Features of production that the month no longer has, while no decision on the newest
    labels was about a candidate without them.
    """
    redefined: bool = False
    """Whether the newest labels define churn in another way than those that trained production.
    """
    untried: tuple[str, ...] = ()
    """Features that a candidate would learn from now, that production does not read, and that no
    decided candidate has read.
    """

    @classmethod
    def gather(
        cls,
        as_of: dt.date,
        inputs: str,
        *,
        window: Window | None,
        left_out: Mapping[str, str],
        production: ProductionModel | None,
        drift_alarms: Sequence[str],
        performance: Iterable[VersionPerformance],
        decisions: Sequence[Decision],
        refused: str | None = None,
        request: ManualRequest | None = None,
        ended: Sequence[str] = (),
        redefined: bool = False,
        added: Sequence[str] = (),
    ) -> "RetrainingInputs":
        """Gather the inputs of a month, of a home or of a backtest.

        Args:
            as_of: the month.
            inputs: digest of its snapshots.
            window: the months a candidate would be made from; None without one.
            left_out: the matured months that cannot be trained on, each with the reason.
            production: the version in production; None before the first.
            drift_alarms: of the month.
            performance: what was measured so far, of any version, oldest run first.
            decisions: every decision, oldest first.
            refused: why this training was refused before.
            request: a person's unanswered request.
            ended: the features of production that the month no longer has.
            redefined: whether the newest labels define churn in another way than production.
            added: the features that a candidate would learn from and production does not read.
        """
        labelled = None
        newest = ""
        if window is not None:
            labelled = window.training[-1]
            newest = labelled.isoformat()
        later: list[VersionPerformance] = []
        if production is not None:
            trained = "" if production.as_of is None else production.as_of.isoformat()
            later = [
                entry
                for entry in performance
                if entry.version == production.version and entry.as_of > trained
            ]
        if production is not None and production.auc_interval is None:
            production = replace(production, auc_interval=_compared(production, decisions))
        return cls(
            as_of=as_of,
            inputs=inputs,
            labelled=labelled,
            left_out=tuple(why for month, why in left_out.items() if month > newest),
            production=production,
            drift_alarms=tuple(drift_alarms),
            # Of one month the last measurement counts: its labels may have been corrected.
            realised=max(reversed(later), key=lambda entry: entry.as_of, default=None),
            last_decision=dt.date.fromisoformat(decisions[-1].as_of) if decisions else None,
            refused=refused,
            request=request,
            ended=() if _decided_without(ended, newest, decisions) else tuple(ended),
            redefined=redefined,
            untried=_untried(added, decisions),
        )


def _compared(
    production: ProductionModel, decisions: Sequence[Decision]
) -> tuple[float, float] | None:
    """The interval of production's AUC in the newest decision that compared it."""
    own = [one for one in decisions if one.production_version == production.version]
    found = [one.production_interval for one in own if one.production_interval is not None]
    return found[-1] if found else None


def _untried(added: Sequence[str], decisions: Sequence[Decision]) -> tuple[str, ...]:
    """Those of the features that no decided candidate has read."""
    tried = {name for decision in decisions for name in decision.candidate_features or ()}
    return tuple(name for name in added if name not in tried)


def _decided_without(ended: Sequence[str], labelled: str, decisions: Sequence[Decision]) -> bool:
    """Whether the newest decision was on these labels about a candidate without the features."""
    if not decisions or decisions[-1].as_of != labelled:
        return False
    features = decisions[-1].candidate_features
    return features is not None and not set(ended) & set(features)


@dataclass(frozen=True)
class RetrainingAnswer:
    """Retrain with this trigger, or skip; the reason explains either. `key` names the evidence.

    `fallen` describes how performance fell where that is new and no candidate can be made yet.
    """

    trigger: Trigger | None
    reason: str
    key: str
    fallen: str | None = None

    @property
    def retrain(self) -> bool:
        """Whether a candidate is asked for."""
        return self.trigger is not None


def should_retrain(contract: Contract, inputs: RetrainingInputs) -> RetrainingAnswer:
    """Ask the policy once; pure."""
    key = evidence_key(contract, inputs)
    blocked = _blocked(contract, inputs)
    if blocked is not None:
        reasons = [blocked, *_notes(contract, inputs)]
        fallen = None
        if _measured_since(inputs) and (fallen := _performance_fell(inputs)) is not None:
            reasons.insert(0, fallen)
        return RetrainingAnswer(None, " ".join(reasons), key, fallen)
    trigger, reason = _asks_for_a_model(contract, inputs)
    if trigger is None:
        reason = " ".join([reason, *_notes(contract, inputs)])
    return RetrainingAnswer(trigger, reason, key)


def training_key(dataset: str, policy: str, estimator: str = "") -> dict[str, str]:
    """What a training depends on besides code and libraries: the same is not tried again by
    itself.

    Args:
        dataset: digest of the training dataset.
        policy: digest of the policy.
        estimator: digest of the sources of the contract's own estimator; empty without one.
    """
    key = {"dataset": dataset, "policy": policy}
    if estimator:
        key["estimator"] = estimator
    return key


def evidence_key(contract: Contract, inputs: RetrainingInputs) -> str:
    """Names one piece of evidence: the month, its content, the production model, the policy."""
    evidence = {
        "as_of": inputs.as_of.isoformat(),
        "snapshot": inputs.inputs,
        "labelled": inputs.labelled and inputs.labelled.isoformat(),
        "production": inputs.production and inputs.production.version,
        "policy": contract.policy_hash,
    }
    if inputs.refused is not None:
        evidence["refused"] = inputs.refused
    if inputs.request is not None:
        evidence["asked"] = inputs.request.receipt
    if inputs.ended:
        evidence["ended"] = ",".join(inputs.ended)
    if inputs.redefined:
        evidence["redefined"] = "label"
    if inputs.untried:
        evidence["untried"] = ",".join(inputs.untried)
    return digest_of(evidence)


def _asks_for_a_model(contract: Contract, inputs: RetrainingInputs) -> tuple[Trigger | None, str]:
    """The first trigger that applies, and the sentence why; None where nothing asks for a new
    model.
    """
    if inputs.request is not None:
        return "manual", inputs.request.sentence()
    if inputs.production is None or inputs.production.never_compared:
        return "first", _no_model(inputs.production)
    changed = _contract_changed(inputs, inputs.production)
    if changed is not None:
        return "contract", changed
    fallen = _performance_fell(inputs)
    if fallen is not None:
        return "performance", fallen
    if inputs.drift_alarms:
        alarms = "; ".join(inputs.drift_alarms)
        return "drift", f"{alarms[:1].upper()}{alarms[1:]}."
    old = _too_old(contract, inputs)
    if old is not None:
        return "schedule", old
    if inputs.untried:
        names = ", ".join(inputs.untried)
        return "contract", f"A candidate can learn from {names}, which production does not read."
    measured = ""
    if inputs.realised is not None and inputs.realised.metrics is not None:
        measured = f", realised AUC {inputs.realised.metrics.auc:.3f} on {inputs.realised.as_of}"
    return None, f"Nothing asks for a new model: no drift alarm{measured}."


def _no_model(production: ProductionModel | None) -> str:
    """Why a first candidate is asked for."""
    if production is None:
        return "There is no production model yet."
    return f"Version {production.version} was imported, and no candidate was compared with it yet."


def _contract_changed(inputs: RetrainingInputs, production: ProductionModel) -> str | None:
    """How production no longer fits the months; None if it does."""
    reasons = []
    if inputs.ended:
        names = ", ".join(inputs.ended)
        reasons.append(
            f"Version {production.version} reads {names}, which {inputs.as_of} no longer has."
        )
    if inputs.redefined:
        reasons.append(
            f"The labels of {inputs.labelled} define churn in another way than those that version"
            f" {production.version} was trained on."
        )
    return " ".join(reasons) or None


def _blocked(contract: Contract, inputs: RetrainingInputs) -> str | None:
    """Why no candidate can be made now, whatever the figures say."""
    if inputs.labelled is None and inputs.left_out:
        return "No month can be trained on."
    if inputs.labelled is None:
        return "No month has matured labels yet, so nothing can be trained."
    return _too_early(contract, inputs, inputs.labelled)


def _too_early(contract: Contract, inputs: RetrainingInputs, labelled: dt.date) -> str | None:
    """Why a candidate of the newest labels is not made yet; a person's request is never too
    early.
    """
    if inputs.request is not None:
        return None
    if inputs.refused is not None:
        return f"{refusal_sentence(inputs.refused)} It is tried again with the next labels."
    production = inputs.production
    trained = None if production is None else production.as_of
    if production is not None and trained is not None and labelled < trained:
        return f"The newest matured month {labelled} is older than production's {production.as_of}."
    if inputs.last_decision is None or inputs.ended:
        return None
    cooldown = contract.policy.retraining.cooldown_cadences
    earliest = _times(contract.step, cooldown).after(inputs.last_decision)
    if labelled <= inputs.last_decision:
        return f"No labels have matured since the decision on {inputs.last_decision}."
    if labelled < earliest and not inputs.redefined:
        return f"Cooling down until {earliest} after the decision on {inputs.last_decision}."
    return None


def _measured_since(inputs: RetrainingInputs) -> bool:
    """Whether production was measured on a later month than the newest decision's: what is
    older was answered by it.
    """
    if inputs.realised is None or inputs.last_decision is None:
        return False
    return inputs.realised.as_of > inputs.last_decision.isoformat()


def _performance_fell(inputs: RetrainingInputs) -> str | None:
    """Realised AUC below the interval at promotion, and its own interval below the AUC then; of
    labels corrected for contacts its own interval, too, below the interval at promotion.
    """
    realised = inputs.realised
    production = inputs.production
    metrics = None if realised is None else realised.judged
    if realised is None or metrics is None or production is None:
        return None
    if production.auc_interval is None:
        return None
    low, high = production.auc_interval
    corrected = realised.contacts is not None
    fell = fell_below(metrics.auc, metrics.auc_interval, (low, high), corrected=corrected)
    if metrics.inverted or not fell:
        return None
    return (
        f"Realised AUC {metrics.auc:.3f} on {realised.as_of} is below the interval"
        f" [{low:.3f}, {high:.3f}] version {production.version} had when it was promoted."
        f" {realised.warning or ''}"
    ).rstrip()


def _too_old(contract: Contract, inputs: RetrainingInputs) -> str | None:
    limit = contract.policy.retraining.max_age_cadences
    production = inputs.production
    if limit is None or production is None or production.as_of is None:
        return None
    due = _times(contract.step, limit).after(production.as_of)
    if inputs.as_of < due:
        return None
    return f"Production was trained on {production.as_of}, {limit} cadences ago or more."


def _notes(contract: Contract, inputs: RetrainingInputs) -> list[str]:
    """What a reason to wait names too: wrong labels, and a policy that production was not
    trained under.
    """
    notes = []
    if inputs.realised is not None and inputs.realised.doubt:
        notes.append(inputs.realised.doubt)
    notes += inputs.left_out
    trained = inputs.production and inputs.production.algorithm
    wanted = contract.policy.training.fitted_by
    if trained not in (None, *wanted):
        notes.append(
            f"The policy asks for {' or '.join(wanted)}, and production was trained with {trained}:"
            " `churn retrain` trains a candidate now."
        )
    return notes


def _times(span: Span, count: int) -> Span:
    return Span(months=span.months * count, weeks=span.weeks * count, days=span.days * count)
