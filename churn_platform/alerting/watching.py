"""What a watcher wants to know of a home at a glance, folded from receipts one by one."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from churn_platform.ingestion.month_warnings import RAISED, recorded
from churn_platform.ledger.receipts import DELIVERED, Receipt

DAEMON_SILENT_SECONDS = 180.0
"""A daemon reports every 30 seconds; after this long without a report it counts as dead."""
ANSWERS = ("approval", "rejection", "approval lapsed", "promotion done")


@dataclass
class Standing:
    """What the receipts so far leave standing."""

    receipts: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Act -> how many receipts."""
    last: dict[str, dt.datetime] = field(default_factory=dict)
    """Act -> the time of its newest receipt."""
    waiting: str | None = None
    """The version that waits for an approval; a newer request takes the place of an older one.
    """
    waiting_since: dt.datetime | None = None
    stands_down: str | None = None
    """The version that stands down."""
    month: str = ""
    """The newest published month."""
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """Month -> the codes of its warnings."""

    def take(self, receipt: Receipt) -> None:
        """Fold one more receipt, in the ledger's order."""
        time = dt.datetime.fromisoformat(receipt.time)
        self.receipts = receipt.sequence
        self.counts[receipt.act] = self.counts.get(receipt.act, 0) + 1
        self.last[receipt.act] = time
        if receipt.act in DELIVERED:
            self.month = max(self.month, receipt.subject)
        elif receipt.act in RAISED:
            self.warnings[receipt.subject] = [str(one["code"]) for one in recorded(receipt)]
        elif receipt.act == "approval requested":
            self.waiting = receipt.subject
            self.waiting_since = time
        elif receipt.act in ANSWERS and receipt.subject == self.waiting:
            self.waiting = None
            self.waiting_since = None
        elif receipt.act == "stand-down began":
            self.stands_down = receipt.subject
        elif receipt.act == "stand-down ended":
            self.stands_down = None


@dataclass(frozen=True)
class JobState:
    """When a job's newest runs ended, in seconds since the epoch; None: never."""

    success: float | None
    failure: float | None


@dataclass(frozen=True)
class DagsterState:
    """What Dagster's storage says: the last sign of life of each daemon (seconds since the
    epoch), and of each job.
    """

    heartbeats: Mapping[str, float]
    jobs: Mapping[str, JobState]

    def daemon_alive(self, now: float) -> bool | None:
        """Whether a daemon works on the home; None where none ever did."""
        if not self.heartbeats:
            return None
        return now - max(self.heartbeats.values()) <= DAEMON_SILENT_SECONDS

    @property
    def last_sign(self) -> dt.datetime | None:
        """The newest sign of life of a daemon; None where none ever worked."""
        newest = max(self.heartbeats.values(), default=None)
        if newest is None:
            return None
        return dt.datetime.fromtimestamp(newest, dt.UTC)
