"""GATE003: the candidate is worth something by itself, whatever production is worth."""

from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence

CHANCE = 0.5


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """The AUC interval lies above 0.5 and the Brier score beats predicting the churn rate for everyone."""
    interval, rate = evidence.candidate_interval, float(evidence.y.mean())
    brier, baseline = float(((evidence.ours - evidence.y) ** 2).mean()), rate * (1 - rate)
    ranks, calibrated = interval.above(CHANCE), brier < baseline
    ranking = (
        f"The candidate's AUC is {evidence.candidate_auc:.3f}, its {evidence.policy.level:.0%} interval "
        f"[{interval.low:.3f}, {interval.high:.3f}] {'lies' if ranks else 'does not lie'} above 0.5 (chance)"
    )
    scoring = (
        f"its Brier score {brier:.4f} (lower is better) {'beats' if calibrated else 'does not beat'} the "
        f"{baseline:.4f} of predicting the churn rate for everyone"
    )
    return "pass" if ranks and calibrated else "fail", f"{ranking}; {scoring}."


CRITERION = Criterion("GATE003", "stands_on_its_own", "Stands on its own", rule)
