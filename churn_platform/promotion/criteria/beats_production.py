"""GATE001: the candidate's AUC beats production's by more than delta."""

import math

from churn_platform.base.errors import NotANumber
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence


def should_promote(new_auc: float, prod_auc: float | None, delta: float = 0.01) -> bool:
    """Whether `new_auc` beats `prod_auc` by strictly more than `delta`; True without a
    production model.

    Raises:
        NotANumber: an AUC or delta is NaN or infinite; a comparison with NaN would silently
            read as a refusal.
    """
    if not all(math.isfinite(value) for value in (new_auc, prod_auc, delta) if value is not None):
        raise NotANumber(
            f"AUCs that are not numbers cannot be compared: new {new_auc}, production's"
            f" {prod_auc}, delta {delta}."
        )
    return prod_auc is None or new_auc > prod_auc + delta


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Compare the two AUCs on the rows neither model trained on."""
    new = evidence.candidate_auc
    rows = len(evidence.y)
    if evidence.not_comparable:
        return "not_applicable", evidence.not_comparable
    if not evidence.compares:
        should_promote(new, None)
        return (
            "pass",
            (
                f"No model is in production; the candidate's AUC is {new:.4f} on {rows:,}"
                " holdout rows."
            ),
        )
    delta = evidence.policy.delta
    prod = evidence.production_auc
    if evidence.must_replace:
        worse = evidence.difference.interval.below(0)
        return (
            "fail" if worse else "pass",
            (
                f"The candidate's AUC is {new:.4f}, production's {prod:.4f} on the same {rows:,}"
                f" holdout rows. Production stands down without {', '.join(evidence.ended)}, so"
                f" the candidate need only be no worse: it is {'' if worse else 'not '}worse."
            ),
        )
    beats = should_promote(new, prod, delta)
    return (
        "pass" if beats else "fail",
        (
            f"The candidate's AUC is {new:.4f}, production's {prod:.4f} on the same {rows:,}"
            f" holdout rows: the difference {new - prod:+.4f} is"
            f" {'more' if beats else 'not more'} than the policy's {delta:g}."
        ),
    )


CRITERION = Criterion("GATE001", "beats_production", "Beats production", rule)
