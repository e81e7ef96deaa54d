"""What each channel was sent: the content of `alerts.json`."""

import datetime as dt
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from churn_platform.alerting.messages import Message, Severity, next_try
from churn_platform.base.files import write_text

KEPT_NOTICES = 100


class Delivered(BaseModel):
    """What one channel was sent: receipts up to `sequence`, notices up to `notice`, and for each
    audience the reports up to a month.
    """

    sequence: int
    notice: int = 0
    sent: int = 0
    lost: int = 0
    failures: int = 0
    tried: AwareDatetime | None = None
    error: str = ""
    reports: dict[str, str] = {}

    @property
    def next_try(self) -> dt.datetime | None:
        """When the channel is tried again after a failure."""
        if not self.failures or not self.tried:
            return None
        return next_try(self.failures, self.tried)


class Notice(BaseModel):
    """An event without a receipt: a daemon that stopped, a run that is not tried again."""

    number: int
    time: AwareDatetime
    title: str
    body: str
    severity: Severity


class State(BaseModel):
    """The content of `alerts.json`."""

    model_config = ConfigDict(extra="ignore")

    receivers: dict[str, Delivered] = {}
    notices: list[Notice] = []
    down: dict[str, AwareDatetime] = {}
    """What was reported as down and not yet as back, and when."""
    given_up: dict[str, str] = {}
    """What was reported as given up -> the evidence it was tried on."""

    def notify(self, message: Message, now: dt.datetime) -> None:
        """Add a notice; the newest `KEPT_NOTICES` are kept."""
        new = Notice(number=self.last_notice + 1, time=now, **vars(message))
        self.notices = [*self.notices, new][-KEPT_NOTICES:]

    @property
    def last_notice(self) -> int:
        """Number of the newest notice."""
        if self.notices:
            return self.notices[-1].number
        return 0


def read_state(file: Path) -> State:
    """The state; a new one, without the past, if the file is missing or damaged."""
    try:
        return State.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return State()


def write_state(file: Path, state: State) -> None:
    """Write the state atomically."""
    write_text(file, state.model_dump_json(indent=2) + "\n")
