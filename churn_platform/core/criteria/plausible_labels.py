"""GATE012: labels that look wrong, or turned over, are looked at by a person before anything is promoted on them.

A month whose label column held who stayed promoted an upside-down model: its AUC read 0.82, production's 0.18.
"""

from churn_platform.core.criteria.base import Criterion, Outcome
from churn_platform.core.evidence import Evidence
from churn_platform.core.labels import below_chance

WAY_OUT = (
    "check what the label column means; deliver the month's labels again if they are wrong, approve the version if "
    "they are right"
)


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Warn, which asks for an approval, when the labels are implausible or production ranks the wrong way round."""
    doubts = list(evidence.label_doubts)
    if evidence.compares and evidence.comparable:
        interval = evidence.production_interval
        if below_chance(interval.low, interval.high):
            doubts.append(
                f"Production's AUC is {evidence.production_auc:.3f}, its interval [{interval.low:.3f}, "
                f"{interval.high:.3f}] lies below 0.5, which is chance: the labels may be turned over."
            )
    if not doubts:
        return "pass", "The labels look like churn, and production does not rank the wrong way round."
    return "warn", f"{' '.join(doubts)} No automatic promotion: {WAY_OUT}."


CRITERION = Criterion(
    "GATE012", "plausible_labels", "Plausible labels", rule, needs="nothing", warning_needs_approval=True
)
