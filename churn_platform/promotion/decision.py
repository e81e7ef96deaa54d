"""The promotion decision: every criterion on one body of evidence, bound to one candidate and
one policy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from churn_platform.base.digests import digest_of
from churn_platform.drift.result import DriftFigures
from churn_platform.features.customer_sample import CustomerSample
from churn_platform.features.labels import turned_over
from churn_platform.ledger.receipts import model_named, named
from churn_platform.promotion.contact_value import BudgetTerms, ContactValue, contact_value
from churn_platform.promotion.criteria import CRITERIA, CriterionResult, comparable
from churn_platform.promotion.criteria.forward_value import forward_auc
from churn_platform.promotion.criteria.interval_above_zero import detectable_gain
from churn_platform.promotion.criteria.self_test import judge as judge_self
from churn_platform.promotion.evidence import Evidence
from churn_platform.training.candidate import ShuffledRefit
from churn_platform.training.release import ChosenFrom

Trigger = Literal["first", "contract", "performance", "drift", "schedule", "manual"]
CHANCE = 0.5
NEED_APPROVAL = {criterion.code for criterion in CRITERIA if criterion.warning_needs_approval}


def _is_none(value: object) -> bool:
    return value is None


class Decision(BaseModel):
    """Promoted, refused, or pending a person's approval, with everything that led there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str
    candidate_version: int
    candidate_digest: str
    production_version: int | None
    decision: Literal["promoted", "refused", "pending"]
    trigger: Trigger
    reason: str
    candidate_auc: float | None
    candidate_interval: tuple[float, float] | None
    production_auc: float | None
    production_interval: tuple[float, float] | None
    difference_interval: tuple[float, float] | None
    detectable_gain: float | None
    forward_auc: float | None
    drift_share: float | None
    drifted_columns: tuple[str, ...]
    target_drift: float | None
    prediction_drift: float | None
    findings: tuple[CriterionResult, ...]
    stand_down: bool
    attempt: int
    policy_hash: str
    evidence: dict[str, str]
    candidate_features: tuple[str, ...] | None = Field(default=None, exclude_if=_is_none)
    """What the candidate reads; recorded if production reads other features."""
    production_features: tuple[str, ...] | None = Field(default=None, exclude_if=_is_none)
    """What production reads; recorded if the candidate reads other features."""
    contact_value: ContactValue | None = Field(default=None, exclude_if=_is_none)
    """What their contacts would be worth; recorded where the contract names contacts."""
    shadow: str | None = Field(default=None, exclude_if=_is_none)
    """What the candidate showed as a shadow; recorded if it was one."""
    chosen_from: ChosenFrom | None = Field(default=None, exclude_if=_is_none)
    """The recipes that competed for the candidate; recorded if there were several."""
    sample: CustomerSample | None = Field(default=None, exclude_if=_is_none)
    """The sample of customers that it rests on; recorded if the policy limits the rows."""

    @property
    def digest(self) -> str:
        """The digest by which receipts name it."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def passed(self) -> bool:
        """Whether every criterion let the candidate pass."""
        return self.decision != "refused"

    @property
    def doubted(self) -> bool:
        """Whether a criterion asks for a person's approval, whatever the policy's mode."""
        return any(map(_doubts, self.findings))

    @property
    def approved(self) -> bool:
        """Whether the candidate is promoted without a person's approval."""
        return self.decision == "promoted"

    def allows(self, version: int, digest: str, policy_hash: str) -> str | None:
        """None when this decision promotes exactly this candidate under this policy, else the
        sentence why not.
        """
        if self.decision == "pending":
            return f"Version {self.candidate_version} passed and needs an approval."
        if not self.approved:
            return self.reason
        return self.holds(version, digest, policy_hash)

    def holds(self, version: int, digest: str, policy_hash: str) -> str | None:
        """None when this decision, whatever its outcome, is about exactly this candidate and
        policy; else why not.
        """
        if version != self.candidate_version:
            return f"The decision approved version {self.candidate_version}, not version {version}."
        if digest != self.candidate_digest:
            return (
                f"Version {version} is no longer what the decision approved: its digest has"
                " changed."
            )
        if policy_hash != self.policy_hash:
            return "The policy has changed since the decision: decide again."
        return None

    def lapsed(self, production_version: int | None, carried_out: str | None = None) -> str | None:
        """None while production is what this decision compared with, or what it approved; else
        why it lapsed.

        Without it a decision of an earlier month, carried out once more, would take production
        back in time, and one that was rolled back would come back by itself.

        Args:
            production_version: what is in production now.
            carried_out: when the decision was carried out; None when it was not.
        """
        if production_version == self.candidate_version:
            return None
        now = named(production_version) or "none"
        if carried_out is not None:
            return (
                f"The decision was carried out at {carried_out}, and {now} is in production"
                " since: decide again."
            )
        if production_version == self.production_version:
            return None
        then = model_named(self.production_version)
        return f"The decision was made with {then} in production, now it is {now}: decide again."


def newest_value(decisions: Sequence[Decision], version: int) -> ContactValue | None:
    """The newest value at the budget that a decision recorded of a version; None without one.

    Args:
        decisions: oldest first.
        version: as candidate or in production.
    """
    for decision in reversed(decisions):
        value = decision.contact_value
        if value is not None and value.of_version(version) is not None:
            return value
    return None


def judge(evidence: Evidence) -> Iterator[CriterionResult]:
    """Every criterion but the self-test, in order."""
    return (criterion.judge(evidence) for criterion in CRITERIA if criterion.name != "self_test")


def passes(evidence: Evidence) -> bool:
    """Whether no criterion but the self-test refuses; stops at the first that does."""
    return not any(result.refuses for result in judge(evidence))


def decide(
    evidence: Evidence,
    refit: ShuffledRefit,
    *,
    candidate_version: int,
    candidate_digest: str,
    trigger: Trigger,
    policy_hash: str,
    drift: DriftFigures,
    digests: dict[str, str],
    budget: BudgetTerms | None = None,
    shadow: str | None = None,
    chosen_from: ChosenFrom | None = None,
    sample: CustomerSample | None = None,
) -> Decision:
    """The complete decision.

    Scores that are not probabilities fail closed, with no figure at all. With `budget` the
    decision also holds what the versions' contacts would be worth, with `shadow` what the
    candidate showed as a shadow, with `chosen_from` which recipes competed for it, with `sample`
    how many of the rows it rests on; no criterion reads them.
    """
    valued = None
    unsound = evidence.unsound_scores()
    if unsound:
        results = _unsound_results(unsound)
        figures = Figures()
    else:
        # The candidate's digest fixes the seed, so a decision can be replayed.
        results = _results(evidence, refit, int(digest_of(candidate_digest)[:8], 16))
        figures = Figures.of(evidence)
        if budget is not None:
            valued = contact_value(evidence, candidate_version, budget)
    refusals = [result for result in results if result.refuses]
    doubted = list(filter(_doubts, results))
    asks = bool(doubted) or evidence.policy.mode == "approval"
    passed: Literal["promoted", "pending"] = "pending" if asks else "promoted"
    return Decision(
        as_of=evidence.as_of,
        candidate_version=candidate_version,
        candidate_digest=candidate_digest,
        production_version=evidence.production_version,
        decision="refused" if refusals else passed,
        trigger=trigger,
        reason=" ".join(result.detail for result in refusals or doubted) or results[0].detail,
        **vars(figures),
        **drift.model_dump(),
        findings=tuple(results),
        stand_down=figures.at_chance and (bool(refusals) or asks),
        attempt=evidence.attempt,
        policy_hash=policy_hash,
        evidence=digests,
        candidate_features=evidence.candidate_features if evidence.other_features else None,
        production_features=evidence.production_features if evidence.other_features else None,
        contact_value=valued,
        shadow=shadow,
        chosen_from=chosen_from,
        sample=sample,
    )


def _doubts(result: CriterionResult) -> bool:
    """Whether the result asks for a person's approval: also where these labels do not judge
    production.
    """
    if result.code == comparable.CRITERION.code:
        return result.outcome == "not_applicable" and not result.refuses
    return result.code in NEED_APPROVAL and result.outcome == "warn"


def _results(evidence: Evidence, refit: ShuffledRefit, seed: int) -> list[CriterionResult]:
    """All results in the order of the criteria."""
    by_name = {result.name: result for result in judge(evidence)}
    by_name["self_test"] = judge_self(evidence, passes, refit, seed)
    return [by_name[criterion.name] for criterion in CRITERIA]


def _unsound_results(sentence: str) -> list[CriterionResult]:
    results = {
        criterion.name: criterion.result(
            "not_applicable", "The scores are invalid, so nothing was compared."
        )
        for criterion in CRITERIA
    }
    results["comparable"] = comparable.CRITERION.result("fail", sentence, unsound=True)
    return list(results.values())


@dataclass(frozen=True)
class Figures:
    """The figures of a decision; all None without a valid comparison."""

    candidate_auc: float | None = None
    candidate_interval: tuple[float, float] | None = None
    production_auc: float | None = None
    production_interval: tuple[float, float] | None = None
    difference_interval: tuple[float, float] | None = None
    detectable_gain: float | None = None
    forward_auc: float | None = None

    @property
    def at_chance(self) -> bool:
        """Whether production's interval reaches 0.5, and its ranking is not inverted."""
        if self.production_interval is None:
            return False
        return self.production_interval[0] <= CHANCE and not turned_over(*self.production_interval)

    @classmethod
    def of(cls, evidence: Evidence) -> "Figures":
        """The figures of the valid rows."""
        if not evidence.comparable:
            return cls()
        alone = cls(
            candidate_auc=evidence.candidate_auc,
            candidate_interval=astuple(evidence.candidate_interval),
            forward_auc=forward_auc(evidence),
        )
        if not evidence.compares:
            return alone
        return replace(
            alone,
            production_auc=evidence.difference.production_auc,
            production_interval=astuple(evidence.production_interval),
            difference_interval=astuple(evidence.difference.interval),
            detectable_gain=detectable_gain(evidence),
        )
