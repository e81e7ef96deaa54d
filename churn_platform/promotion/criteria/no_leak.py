"""GATE011: no feature alone predicts the label, as one that is known only after churning does.

Such a feature makes every figure of the candidate shine, on the holdout too, and is worth
nothing on the day it is
needed: then it is not filled yet.
"""

from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence

WAY_OUT = (
    "leave it out of its feature view, or fix its extraction to give the value as it was at the"
    " as_of"
)


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Fail when a feature's AUC alone lies above the limit beyond luck, on the newest rows the
    candidate trained on.
    """
    alone = evidence.alone
    if alone is None or not alone.aucs:
        return "not_applicable", "No feature was judged by itself."
    limit = f"the limit is {alone.limit:g}, {alone.certain:.3f} with the luck of so few churners"
    if alone.leaks:
        names = ", ".join(f"{name} (AUC {auc:.3f})" for name, auc in alone.leaks.items())
        one = len(alone.leaks) == 1
        return (
            "fail",
            (
                f"{names} alone predict{'s' * one} churn ({limit}):"
                f" {'it is' if one else 'they are'} probably known only after churning;"
                f" {WAY_OUT}."
            ),
        )
    best = max(alone.aucs, key=lambda name: alone.aucs[name])
    return (
        "pass",
        (
            f"No feature alone predicts churn; the best is {best} with AUC"
            f" {alone.aucs[best]:.3f} ({limit})."
        ),
    )


CRITERION = Criterion("GATE011", "no_leak", "No leak", rule, needs="nothing")
