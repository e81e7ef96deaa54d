"""A command, the point it dies at, and what has become of a home so far: the values that the driver works with."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from churn_platform.services import Services
from churn_platform_tests.small_business import FEBRUARY, JANUARY
from churn_platform_tests.system.trust_look import Files
from churn_platform_tests.system.trust_model import Facts, Trust

MONTHS = (JANUARY, FEBRUARY, dt.date(2024, 3, 31), dt.date(2024, 4, 30))
BROKEN, HALF = "broken", "half taken in"
Predict = Callable[[Trust, Facts], Trust | None]
Drop = tuple[int, frozenset[str]] | str
"""Which content lies in `drops/` and which customers were forgotten in it since; or a word for what is no content."""
COMPLETES = {"run", "retrain", "approve", "reject", "roll back", "unblock", "repair"}
"""Commands that begin with completing a move that was cut off."""
PEOPLE = {"approve", "reject", "roll back", "unblock"}
"""Of these nothing else than a move can be cut off."""


@dataclass(frozen=True)
class Death:
    """Where on its way a command dies (in thousandths), and whether the same comes again."""

    at: int
    again: bool


@dataclass(frozen=True)
class Command:
    """What somebody does, how many points it passes at most, and what it must come to.

    Attributes:
        predict: None where that depends on data: the rules of the receipts and the checks afterwards say what may be.
        lapses: whether it lets a request lapse before it is refused.
        forgets: the customer it forgets.
    """

    name: str
    act: Callable[[Services], object]
    points: int
    predict: Predict | None = None
    lapses: bool = False
    forgets: str = ""


@dataclass
class Course:
    """What has become of one home so far."""

    home: Path
    trust: Trust = field(default_factory=Trust)
    files: Files | None = None
    said: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, Drop] = field(default_factory=dict)
    """What each month of the lake holds."""
    drops: dict[str, Drop] = field(default_factory=dict)
    days: int = 0
    forgetting: list[str] = field(default_factory=list)
    """Customers whose forgetting was begun and has no receipt."""
    forgotten: list[str] = field(default_factory=list)
    returned: bool = False
    """Whether a drop came since the newest of them was forgotten: it may hold the customer again."""
    cut: str = ""
    """The command that was killed and not completed since."""
    died: bool = False
    verified: bool = False
    """Whether the product verified every digest of the home as it is."""

    def copy(self, home: Path) -> "Course":
        """The same course for a copy of the home."""
        lists = {name: list(getattr(self, name)) for name in ("forgetting", "forgotten")}
        return replace(
            self, home=home, contents=dict(self.contents), drops=dict(self.drops), **lists
        )

    def month(self, back: int) -> dt.date:
        """The newest month with a drop, or the one before."""
        return MONTHS[max(0, len(self.drops) - 1 - back)]

    @property
    def next_month(self) -> dt.date | None:
        """The month that comes next; None after the last."""
        return next((month for month in MONTHS if str(month) not in self.drops), None)

    @property
    def wrong_month(self) -> dt.date | None:
        """The oldest month whose drop is broken or half taken in."""
        return next(
            (month for month in MONTHS if self.drops.get(str(month)) in (BROKEN, HALF)), None
        )

    @property
    def may_retrain(self) -> bool:
        """Whether every month is processed as it now is, so that a candidate can be made."""
        return self.said["due"] in (None, "retraining", "scores")

    def version(self, which: str) -> int:
        """A version by what it is; one that there is not where it is nothing."""
        trust, files = self.trust, self.files
        before = dict(trust.promoted).get(trust.production or 0)
        found = {
            "pending": trust.request and trust.request.version,
            "newest": max(files.versions, default=None),
            "before": before,
            "oldest": min(files.versions, default=None),
            "blocked": max(trust.blocked, default=None),
            "rejected": max(trust.rejected, default=None),
            "production": trust.production,
        }
        return found.get(which) or 99
