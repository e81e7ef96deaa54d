"""GATE002: the paired interval of the AUC difference lies above zero.

Two fits of one recipe differ by more than 0.01 in half of the tries, so a point difference
alone proves nothing.
"""

from churn_platform.evaluation.statistics import detectable_difference
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence


def detectable_gain(evidence: Evidence) -> float | None:
    """The true gain in AUC, at most 1, that this holdout shows with the policy's power.

    None where the two models rank alike, so there is no noise to measure it by.
    """
    error = evidence.difference.standard_error
    if error == 0:
        return None
    return min(1.0, detectable_difference(error, evidence.policy.power, evidence.policy.level))


def luck(level: float, attempts: int) -> float:
    """Upper chance that one of so many worthless candidates has an interval above zero."""
    return 1 - (1 - (1 - level) / 2) ** attempts


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Judge the paired interval (DeLong; bootstrap over entities where months are pooled)."""
    interval = evidence.difference.interval
    level = evidence.policy.level
    verdict = "does not lie above 0: it may be noise"
    if interval.above(0):
        verdict = "lies above 0: more than noise"
    elif interval.below(0):
        verdict = "lies below 0: the candidate ranks worse"
    passes = interval.above(0) or (evidence.must_replace and not interval.below(0))
    return (
        "pass" if passes else "fail",
        (
            f"The {level:.0%} interval of the difference, [{interval.low:+.3f},"
            f" {interval.high:+.3f}], {verdict}. {_power(evidence)}{_attempts(evidence)}"
        ),
    )


def _power(evidence: Evidence) -> str:
    gain = detectable_gain(evidence)
    if gain is None:
        return "The two models rank the customers alike."
    return (
        f"A true gain under {gain:.3f} cannot be seen reliably with {evidence.churners:,}"
        f" {evidence.effective}churners ({evidence.policy.power:.0%} power)."
    )


def _attempts(evidence: Evidence) -> str:
    if evidence.attempt == 1:
        return ""
    chance = luck(evidence.policy.level, evidence.attempt)
    return (
        f" This is attempt {evidence.attempt} on this holdout: by now luck alone would pass one"
        f" that is no better up to {chance:.0%} of the time."
    )


CRITERION = Criterion(
    "GATE002", "interval_above_zero", "Interval above zero", rule, needs="production"
)
