"""GATE006: the candidate's probabilities are not clearly worse than production's (paired Brier
difference).
"""

from churn_platform.evaluation.comparison import paired_brier_difference
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Fail when the interval of the Brier difference (candidate - production) is entirely above
    zero.
    """
    found = paired_brier_difference(
        evidence.y,
        evidence.ours,
        evidence.theirs,
        evidence.policy.level,
        evidence.keys,
        evidence.w,
    )
    worse = found.interval.above(0)
    figures = (
        f"The candidate's Brier score is {found.candidate_brier:.4f}, production's"
        f" {found.production_brier:.4f} (lower is better): the difference"
        f" {found.difference:+.4f}, {evidence.policy.level:.0%} interval"
        f" [{found.interval.low:+.4f}, {found.interval.high:+.4f}]"
    )
    if worse:
        return (
            "fail",
            f"{figures}, is entirely above 0, so the candidate's probabilities are worse.",
        )
    return "pass", f"{figures}, does not show that the candidate's probabilities are worse."


CRITERION = Criterion("GATE006", "calibration_not_worse", "Calibration", rule, needs="production")
