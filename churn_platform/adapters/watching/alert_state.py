"""What each receiver of alerts has received: `alerts.json` of the home.

Belongs here: its shape, reading and writing it, notices that are not receipts. No URL and no secret stands in it.
Does not: what is sent when (`adapters/watching/alerting.py`).
"""

import datetime as dt
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from churn_platform.adapters.files import write_text
from churn_platform.core.alerts import Message, Severity

KEPT_NOTICES = 100


class Told(BaseModel):
    """What one receiver has received: the ledger up to `sequence`, notices up to `notice`."""

    sequence: int
    notice: int = 0
    sent: int = 0
    lost: int = 0
    failures: int = 0
    tried: AwareDatetime | None = None
    error: str = ""


class Notice(BaseModel):
    """An event that is not an act and so no receipt: a daemon that stopped, a run that is not tried again."""

    number: int
    time: AwareDatetime
    title: str
    body: str
    severity: Severity


class State(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="ignore")

    receivers: dict[str, Told] = {}
    notices: list[Notice] = []
    down: dict[str, AwareDatetime] = {}
    """What was told to be down and not yet to be back, and when."""
    given_up: dict[str, str] = {}
    """What was told not to be tried again -> the evidence it was tried on."""

    def notify(self, message: Message, now: dt.datetime) -> None:
        """Add a notice; of many the newest stay."""
        new = Notice(number=self.last_notice + 1, time=now, **vars(message))
        self.notices = [*self.notices, new][-KEPT_NOTICES:]

    @property
    def last_notice(self) -> int:
        """Number of the newest notice."""
        return self.notices[-1].number if self.notices else 0


def read_state(file: Path) -> State:
    """The state; a new one where the file is not there or was damaged: then no one is told the history."""
    try:
        return State.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return State()


def write_state(file: Path, state: State) -> None:
    """Keep the state, atomically."""
    write_text(file, state.model_dump_json(indent=2) + "\n")
