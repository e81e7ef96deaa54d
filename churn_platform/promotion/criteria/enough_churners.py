"""GATE008: the holdout has enough churners to decide anything, and enough others to rank them
against.
"""

from churn_platform.base.text import counted
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Count the entities of each class in the rows compared: repeated months of one churner add
    no proof.
    """
    wanted = evidence.policy.min_holdout_churners
    found = (
        f"The holdout has {counted(evidence.churners, f'{evidence.effective}churner')} and"
        f" {counted(evidence.stayers, f'{evidence.effective}other')}"
    )
    if min(evidence.churners, evidence.stayers) >= wanted:
        return "pass", f"{found}; at least {wanted} of each are needed."
    return (
        "fail",
        (
            f"{found}, too few to decide: {wanted} of each are needed; further months are"
            " pooled as their labels mature, up to policy.training.pooled_months."
        ),
    )


CRITERION = Criterion("GATE008", "enough_churners", "Enough churners", rule)
