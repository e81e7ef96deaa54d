"""What the loop does next: the oldest due month first, and its retraining before any newer
month.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from churn_platform.loop.retraining import RetrainingAnswer
from churn_platform.promotion.decision import Trigger


@dataclass(frozen=True)
class MonthState:
    """How far one month has come."""

    as_of: dt.date
    drop: str | None
    """Fingerprint of the drop's files; None when only the lake has the month."""
    settled: bool
    """Whether the drop's files have stopped changing."""
    published: str | None
    """Fingerprint at the last publication."""
    processed: bool
    """Whether every monthly record was made from its inputs as they now are."""
    inputs: str | None = None
    """Digest of those inputs; None before the first publication."""
    absent_from: str = ""
    """The online store that has yet to get the newest month; empty where it has it."""

    @property
    def key(self) -> str:
        """Names what the monthly job would process: the drop's files, the inputs of its
        records, where they must go.
        """
        return f"{self.drop}:{self.inputs}:{self.absent_from}".removesuffix(":")

    @property
    def arriving(self) -> bool:
        """Whether a drop of the month is still being copied; a newer month waits for it."""
        return self.drop is not None and self.drop != self.published and not self.settled

    @property
    def due(self) -> bool:
        """Whether the monthly job has something to do."""
        changed = self.drop is not None and self.drop != self.published
        return (changed and self.settled) or (
            self.published is not None and not changed and not self.processed
        )


@dataclass(frozen=True)
class Step:
    """One thing to do. `key` names its evidence: the same key is never asked for twice."""

    kind: Literal["monthly", "retraining", "scores"]
    as_of: dt.date
    reason: str
    key: str
    trigger: Trigger | None = None


def next_step(
    months: Sequence[MonthState],
    answer: RetrainingAnswer | None,
    *,
    unfinished: Trigger | None,
    stale_scores: str,
) -> Step | None:
    """The next thing to do, or None.

    Args:
        months: every month, in any order.
        answer: the retraining policy's answer for the newest processed month; None before
            there is one.
        unfinished: trigger of the newest decision when it was never carried out (a run was
            killed).
        stale_scores: why the list of the newest processed month must be made again; empty when
            it need not.
    """
    due = sorted((month for month in months if month.due), key=lambda month: month.as_of)
    newest = max((month.as_of for month in months if month.processed), default=None)
    behind = newest is not None and any(month.as_of <= newest for month in due)
    # A month that the online store has lost is no less the newest: an older one would be scored
    # again without end.
    lost = any(month.absent_from and month.published is not None for month in due)
    if newest is not None and not behind and not lost:
        if unfinished is not None and answer is not None:
            return Step(
                "retraining",
                newest,
                "The newest decision was not carried out.",
                answer.key,
                unfinished,
            )
        if answer is not None and answer.trigger is not None:
            return Step("retraining", newest, answer.reason, answer.key, answer.trigger)
        if stale_scores:
            key = f"{newest}" if answer is None else answer.key
            return Step("scores", newest, stale_scores, key)
    if not due or any(month.arriving and month.as_of < due[0].as_of for month in months):
        return None
    month = due[0]
    why = "is not processed as it now is"
    if month.published is None:
        why = "has no snapshot yet"
    return Step("monthly", month.as_of, f"The month {month.as_of} {why}.", month.key)
