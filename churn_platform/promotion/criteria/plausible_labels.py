"""GATE012: labels that look wrong or inverted need a person's approval before a model is
promoted on them.

A month whose label column held who stayed promoted an upside-down model: its AUC read 0.82,
production's 0.18.
"""

from churn_platform.features.labels import below_chance
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence

WAY_OUT = (
    "Check the labels. If they are wrong, deliver them again; if you accept them, approve the"
    " version"
)


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Warn, which asks for an approval, when the labels are implausible or production's ranking
    is inverted.
    """
    doubts = list(evidence.label_doubts)
    # Without its ended columns production may rank in any order.
    if evidence.compares and evidence.comparable and not evidence.ended:
        interval = evidence.production_interval
        if below_chance(interval.low, interval.high):
            doubts.append(
                f"Production's AUC is {evidence.production_auc:.3f}. Its interval"
                f" [{interval.low:.3f}, {interval.high:.3f}] is below 0.5. The labels may be"
                " inverted (1 for customers who stayed)."
            )
    if not doubts:
        return "pass", "The labels look like churn, and production's ranking is not inverted."
    return "warn", f"{' '.join(doubts)} Promotion needs approval. {WAY_OUT}."


CRITERION = Criterion(
    "GATE012",
    "plausible_labels",
    "Plausible labels",
    rule,
    needs="nothing",
    warning_needs_approval=True,
)
