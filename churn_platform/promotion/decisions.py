"""The decisions of a home, and whether the newest one was carried out."""

from churn_platform.base.digests import digest_of
from churn_platform.promotion.decision import Decision, Trigger
from churn_platform.services import Services


def decisions_of(home: Services) -> list[Decision]:
    """Every decision, oldest first."""
    return [Decision.model_validate(record) for record in home.records.decisions()]


def unfinished(home: Services) -> Trigger | None:
    """The newest decision's trigger when no receipt shows that it was carried out."""
    decisions = decisions_of(home)
    if not decisions:
        return None
    newest = decisions[-1]
    if digest_of(newest.model_dump(mode="json")) in home.ledger.state().settled:
        return None
    return newest.trigger
