"""GATE010: a candidate trained on an older month than production's never replaces it."""

import datetime as dt

from churn_platform.promotion.criteria.base import Criterion, Outcome
from churn_platform.promotion.evidence import Evidence


def rule(evidence: Evidence) -> tuple[Outcome, str]:
    """Compare the training months; the same month may be decided again, with another recipe."""
    if evidence.production_version is None:
        return "not_applicable", "There is no production model to be newer than."
    ours = evidence.as_of
    theirs = evidence.production_as_of
    if theirs is None and evidence.imported:
        return (
            "warn",
            (
                "Production was imported without the month that it was trained on, so nothing"
                " shows that the candidate is newer."
            ),
        )
    if theirs is None:
        return (
            "fail",
            (
                "The month that production was trained on is unknown, so nothing shows that"
                " this one is newer."
            ),
        )
    months = f"The candidate was trained on {ours}, production on {theirs}"
    if dt.date.fromisoformat(ours) < dt.date.fromisoformat(theirs):
        return "fail", f"{months}: a promotion never goes back in time."
    return "pass", f"{months}."


CRITERION = Criterion(
    "GATE010", "newer_than_production", "Newer than production", rule, needs="nothing"
)
