"""GATE009: what the same recipe, fitted one month earlier, is worth on the newest holdout.
Warns, never refuses.

The newest month flatters whoever trained on it; what counts tomorrow is what carries from one
month to the next.
"""

from churn_platform.evaluation.comparison import paired_auc_difference
from churn_platform.evaluation.statistics import auc
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence


def forward_auc(evidence: Evidence) -> float | None:
    """AUC of the month-older recipe on the valid rows; None for the first month or without a
    valid comparison.
    """
    if evidence.forward is None or not evidence.comparable:
        return None
    return auc(evidence.y, evidence.forward[evidence.sound_rows], evidence.w)


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Warn when the candidate is better than its month-older twin by more than delta and beyond
    noise.
    """
    older = forward_auc(evidence)
    if evidence.forward is None or older is None:
        return "not_applicable", "There is no earlier month to fit the recipe on."
    scores = evidence.forward[evidence.sound_rows]
    gap = paired_auc_difference(
        evidence.y, evidence.ours, scores, evidence.policy.level, evidence.keys, evidence.w
    )
    figures = (
        f"On this holdout the same recipe fitted one month earlier has AUC {older:.3f}, the"
        f" candidate {gap.candidate_auc:.3f}"
    )
    if gap.interval.above(0) and gap.difference > evidence.policy.delta:
        return (
            "warn",
            (
                f"{figures}: what it learns may not last, so tomorrow's value of today's model"
                " is in doubt."
            ),
        )
    return "pass", f"{figures}: no loss from one month to the next is seen."


CRITERION = Criterion("GATE009", "forward_value", "Forward value", rule)
