"""The retraining policy: drift and realised performance in, a retraining or a reason to skip
out.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.base.text import ended
from churn_platform.contract.model import Contract, Span
from churn_platform.features.labels import turned_over
from churn_platform.ingestion.month_warnings import refusal_sentence
from churn_platform.ledger.receipts import Receipt
from churn_platform.promotion.decision import Trigger


@dataclass(frozen=True)
class Asked:
    """A person's request for a retraining; `receipt` is its digest."""

    by: str
    reason: str
    receipt: str

    def sentence(self) -> str:
        """Who asked, and why."""
        return f"{self.by} asked for a retraining: {ended(self.reason)}"


@dataclass(frozen=True)
class Signals:
    """What is known when the policy is asked."""

    as_of: dt.date
    """The newest processed month."""
    labelled: dt.date | None
    """The newest month with matured labels."""
    snapshot_digest: str
    production_version: int | None
    production_as_of: dt.date | None
    promoted_interval: tuple[float, float] | None
    """Interval of production's AUC when it was promoted."""
    drift_alarms: tuple[str, ...]
    realised: dict[str, Any] | None
    """Production's newest performance record."""
    last_decision: dt.date | None
    """Training as_of of the newest decision."""
    left_out: tuple[str, ...] = ()
    algorithm: str | None = None
    """The algorithm that production was trained with."""
    """Why matured months later than `labelled` cannot be trained on."""
    refused: str | None = None
    """Why a training on exactly this data under this policy could not be made; None when it was
    not tried.
    """
    asked: Asked | None = None
    """A person's request for a retraining that nothing has answered yet."""


@dataclass(frozen=True)
class Verdict:
    """Retrain with this trigger, or skip; the sentence explains why either way. `key` names the
    evidence.

    `fallen` says how performance fell where that is news and still no candidate may be made.
    """

    trigger: Trigger | None
    reason: str
    key: str
    fallen: str | None = None

    @property
    def retrain(self) -> bool:
        """Whether a candidate is asked for."""
        return self.trigger is not None


def should_retrain(contract: Contract, signals: Signals) -> Verdict:
    """Ask the policy once; pure."""
    key = evidence_key(contract, signals)
    blocked = _blocked(contract, signals)
    if blocked:
        if _measured_since(signals):
            fallen = _performance_fell(signals)
        else:
            fallen = None
        said = f"{fallen} {blocked}" if fallen else blocked
        return Verdict(None, " ".join([said, *_notes(contract, signals)]), key, fallen)
    trigger, reason = _asks_for_a_model(contract, signals)
    return Verdict(
        trigger,
        " ".join([reason, *_notes(contract, signals)]) if trigger is None else reason,
        key,
    )


def training_key(dataset: str, policy: str) -> dict[str, str]:
    """What a training depends on besides code and libraries: the same is not tried again by
    itself.
    """
    return {"dataset": dataset, "policy": policy}


def open_request(receipts: Iterable[Receipt]) -> Asked | None:
    """The newest request of a person that no decision and no refused training has answered."""
    found: Asked | None = None
    for receipt in receipts:
        if receipt.act == "manual retraining requested":
            found = Asked(receipt.actor, receipt.reason, receipt.digest)
        elif receipt.act in ("decision", "training refused"):
            found = None
    return found


def evidence_key(contract: Contract, signals: Signals) -> str:
    """Names one piece of evidence: the month, its content, the production model, the policy."""
    evidence = {
        "as_of": signals.as_of.isoformat(),
        "snapshot": signals.snapshot_digest,
        "labelled": signals.labelled.isoformat() if signals.labelled else None,
        "production": signals.production_version,
        "policy": contract.policy_hash,
    }
    if signals.refused is not None:
        evidence["refused"] = signals.refused
    if signals.asked is not None:
        evidence["asked"] = signals.asked.receipt
    return digest_of(evidence)


def _asks_for_a_model(contract: Contract, signals: Signals) -> tuple[Trigger | None, str]:
    """The first trigger that applies, and the sentence why; None where nothing asks for a new
    model.
    """
    fallen = _performance_fell(signals)
    old = _too_old(contract, signals)
    found: tuple[tuple[Trigger, str | None], ...] = (
        ("manual", None if signals.asked is None else signals.asked.sentence()),
        (
            "first",
            "There is no production model yet." if signals.production_version is None else None,
        ),
        ("performance", fallen),
        ("drift", _sentence("; ".join(signals.drift_alarms)) if signals.drift_alarms else None),
        ("schedule", old),
    )
    return next(((trigger, why) for trigger, why in found if why), (None, _quiet(signals)))


def _blocked(contract: Contract, signals: Signals) -> str | None:
    """Why no candidate can be made now, whatever the figures say."""
    if signals.labelled is None and signals.left_out:
        return "No month can be trained on."
    if signals.labelled is None:
        return "No month has matured labels yet, so nothing can be trained."
    return _too_early(contract, signals, signals.labelled)


def _too_early(contract: Contract, signals: Signals, labelled: dt.date) -> str | None:
    """Why a candidate of the newest labels is not made yet; a person's request is never too
    early.
    """
    if signals.asked is not None:
        return None
    if signals.refused is not None:
        return f"{refusal_sentence(signals.refused)} It is tried again with the next labels."
    if signals.production_as_of is not None and labelled < signals.production_as_of:
        return (
            f"The newest matured month {labelled} is older than production's"
            f" {signals.production_as_of}."
        )
    if signals.last_decision is None:
        return None
    cooldown = contract.policy.retraining.cooldown_cadences
    earliest = _times(contract.step, cooldown).after(signals.last_decision)
    if labelled <= signals.last_decision:
        return f"No labels have matured since the decision on {signals.last_decision}."
    if labelled < earliest:
        return f"Cooling down until {earliest} after the decision on {signals.last_decision}."
    return None


def _measured_since(signals: Signals) -> bool:
    """Whether production was measured on a later month than the newest decision's: what is
    older was answered by it.
    """
    if signals.realised is None or signals.last_decision is None:
        return False
    return str(signals.realised["as_of"]) > signals.last_decision.isoformat()


def _performance_fell(signals: Signals) -> str | None:
    """Realised AUC below the interval at promotion, and its own interval below the AUC then."""
    if (
        signals.realised is None
        or signals.promoted_interval is None
        or signals.realised["metrics"] is None
    ):
        return None
    auc = signals.realised["metrics"]["auc"]
    interval = signals.realised["metrics"]["auc_interval"]
    low, high = signals.promoted_interval
    if turned_over(*interval):
        return None
    if not (auc < low and interval[1] < (low + high) / 2):
        return None
    repeated = signals.realised.get("warning")
    return (
        f"Realised AUC {auc:.3f} on {signals.realised['as_of']} is below the interval"
        f" [{low:.3f}, {high:.3f}] version {signals.production_version} had when it was"
        " promoted." + (f" {repeated}" if repeated else "")
    )


def _too_old(contract: Contract, signals: Signals) -> str | None:
    limit = contract.policy.retraining.max_age_cadences
    if limit is None or signals.production_as_of is None:
        return None
    due = _times(contract.step, limit).after(signals.production_as_of)
    if signals.as_of < due:
        return None
    return f"Production was trained on {signals.production_as_of}, {limit} cadences ago or more."


def _notes(contract: Contract, signals: Signals) -> list[str]:
    """What a reason to wait names too: wrong labels, and a policy that production was not
    trained under.
    """
    notes = []
    if signals.realised is not None and signals.realised.get("doubt"):
        notes.append(str(signals.realised["doubt"]))
    notes += signals.left_out
    wanted = contract.policy.training.algorithm
    if signals.algorithm not in (None, wanted):
        trained = (
            f"The policy asks for {wanted}, and production was trained with {signals.algorithm}"
        )
        notes.append(f"{trained}: `churn retrain` trains a candidate now.")
    return notes


def _quiet(signals: Signals) -> str:
    realised = ""
    if signals.realised is not None and signals.realised["metrics"] is not None:
        realised = (
            f", realised AUC {signals.realised['metrics']['auc']:.3f} on"
            f" {signals.realised['as_of']}"
        )
    return f"Nothing asks for a new model: no drift alarm{realised}."


def _times(span: Span, count: int) -> Span:
    return Span(months=span.months * count, weeks=span.weeks * count, days=span.days * count)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
