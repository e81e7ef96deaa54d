"""GATE003: the candidate is worth something by itself, whatever production is worth."""

from churn_platform.evaluation.weights import weighted_mean
from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence

CHANCE = 0.5


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """The AUC interval lies above 0.5 and the Brier score beats predicting the churn rate for
    everyone.
    """
    interval = evidence.candidate_interval
    rate = evidence.churn_rate
    brier = weighted_mean((evidence.ours - evidence.y) ** 2, evidence.w)
    baseline = rate * (1 - rate)
    ranks = interval.above(CHANCE)
    calibrated = brier < baseline
    ranking = (
        f"The candidate's AUC is {evidence.candidate_auc:.3f}, its {evidence.policy.level:.0%}"
        f" interval [{interval.low:.3f}, {interval.high:.3f}]"
        f" {'lies' if ranks else 'does not lie'} above 0.5 (chance)"
    )
    scoring = (
        f"its Brier score {brier:.4f} (lower is better)"
        f" {'beats' if calibrated else 'does not beat'} the {baseline:.4f} of predicting the"
        " churn rate for everyone"
    )
    return "pass" if ranks and calibrated else "fail", f"{ranking}; {scoring}."


CRITERION = Criterion("GATE003", "stands_on_its_own", "Stands on its own", rule)
