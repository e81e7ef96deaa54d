"""How often a holdout was used: the more candidates it has judged, the likelier one passes by
chance.
"""

from collections.abc import Iterable

from churn_platform.contract.policy import TrainingPolicy
from churn_platform.lake.window import Window
from churn_platform.promotion.decision import Decision


def holdout_name(policy: TrainingPolicy, window: Window) -> str:
    """Names a holdout: its customers, by salt and fraction, and its months."""
    months = ",".join(month.isoformat() for month in window.holdout)
    return f"{policy.salt}:{policy.holdout_fraction:g}:{months}"


def attempt_on(holdout: str, candidate_digest: str, decisions: Iterable[Decision]) -> int:
    """N for the nth candidate that is judged on a holdout.

    A candidate that was judged on it before is no new attempt: its result is known.
    """
    judged = {
        decision.candidate_digest
        for decision in decisions
        if decision.evidence["holdout"] == holdout
    }
    return len(judged - {candidate_digest}) + 1
