"""Sends alerts: follows the ledger, sends each receiver each event once, keeps what was not
sent.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from churn_platform.alerting import receivers
from churn_platform.alerting.alerts import (
    MOST_TRIES,
    OLDEST,
    Message,
    Severity,
    message_of,
    next_try,
    repeats,
)
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError
from churn_platform.base.files import write_text
from churn_platform.ledger.receipts import Receipt
from churn_platform.services import Services

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
    """An event that is not an act and so no receipt: a daemon that stopped, a run that is not
    tried again.
    """

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
        if self.notices:
            return self.notices[-1].number
        return 0


def read_state(file: Path) -> State:
    """The state; a new one where the file is not there or was damaged: then no one is told the
    history.
    """
    try:
        return State.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return State()


def write_state(file: Path, state: State) -> None:
    """Keep the state, atomically."""
    write_text(file, state.model_dump_json(indent=2) + "\n")


@dataclass(frozen=True)
class Item:
    """One thing to tell: a receipt or a notice."""

    number: int
    time: dt.datetime
    message: Message | None
    of_ledger: bool


def items(home: Services, since: int, notices: Sequence[Notice]) -> list[Item]:
    """The receipts after `since` in their order, then the notices in theirs.

    Raises:
        IntegrityError: one of the receipts was changed.
    """
    told = [
        Item(n.number, n.time, Message(n.title, n.body, n.severity), of_ledger=False)
        for n in notices
    ]
    return [*_of_receipts(home, home.ledger.since(since)), *told]


def after(item: Item, told: Told) -> bool:
    """Whether a receiver has not received an item."""
    return item.number > (told.sequence if item.of_ledger else told.notice)


def advance(item: Item, told: Told) -> None:
    """Move a receiver's place behind an item."""
    if item.of_ledger:
        told.sequence = item.number
    else:
        told.notice = item.number


def _of_receipts(home: Services, receipts: Sequence[Receipt]) -> list[Item]:
    wanted = {str(r.evidence["decision"]) for r in receipts if "decision" in r.evidence}
    if wanted:
        decisions = {digest_of(record): record for record in home.records.decisions()}
    else:
        decisions = {}
    refusals = any(r.act == "drop refused" for r in receipts)
    earlier = home.ledger.receipts("drop refused") if refusals else []
    found = []
    for receipt in receipts:
        told = any(
            repeats(receipt, other) for other in earlier if other.sequence < receipt.sequence
        )
        decision = decisions.get(str(receipt.evidence.get("decision")))
        if told:
            message = None
        else:
            message = message_of(receipt, home.contract.name, decision)
        found.append(
            Item(
                receipt.sequence,
                dt.datetime.fromisoformat(receipt.time),
                message,
                of_ledger=True,
            )
        )
    return found


@dataclass
class Sent:
    """What came of one round."""

    sent: int = 0
    problems: list[str] = field(default_factory=list)


class Alerter:
    """The alerts of one home; without receivers in the settings it does nothing."""

    def __init__(self, home: Services) -> None:
        self.home = home
        self.file = home.folder / "alerts.json"

    def receivers(self) -> dict[str, str]:
        """Names that give nothing away -> URLs.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        return receivers.names(self.home.settings.alert_receivers())

    def begin(self) -> None:
        """Let receivers that are new hear of what happens from now on, not of the complete
        history.
        """
        self._round(lambda *_: None)

    def send(self, *, anyway: bool = False) -> Sent:
        """Send every receiver what it has not received; one that fails is tried again later,
        and later still.

        Never raises for a receiver, a setting or the disk: the loop continues, the problem is
        in the answer.

        Args:
            anyway: also ask receivers whose time to wait is not over.
        """
        done = Sent()

        def tell(state: State, found: dict[str, str]) -> None:
            items = self._items(state, list(found))
            for name, url in found.items():
                self._tell(name, url, state, items, done, anyway=anyway)

        self._round(tell, done)
        return done

    def test(self) -> list[dict[str, str]]:
        """Send one test message to every receiver; each with why it did not arrive, empty where
        it did.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        body = (
            f"Alerts of {self.home.folder.name} arrive here. This is a test, sent by `churn"
            " alert --test`."
        )
        message = Message(f"{self.home.contract.name}: a test", body, "info")
        return [
            {"receiver": name, "error": receivers.send(url, message) or ""}
            for name, url in self.receivers().items()
        ]

    def seen(self, what: str, *, up: bool, sentence: str, sign: dt.datetime | None = None) -> None:
        """Keep a notice for the next `send` when something that runs has stopped, and when it
        is back; once each.

        Args:
            what: its name, "The daemon".
            up: whether it runs.
            sentence: further text of the message.
            sign: its last sign of life; one from before it was told to be down proves nothing.
                None: it is seen now.
        """

        def keep(state: State, _: dict[str, str]) -> None:
            since = state.down.get(what)
            if up == (since is None) or (
                up and sign is not None and since is not None and sign <= since
            ):
                return
            state.down = {other: when for other, when in state.down.items() if other != what}
            if not up:
                state.down[what] = self.home.now()
            title = (
                f"{self.home.contract.name}: {what[:1].lower()}{what[1:]}"
                f" {'runs again' if up else 'is down'}"
            )
            state.notify(Message(title, sentence, "success" if up else "failure"), self.home.now())

        self._round(keep, wait=5.0)

    def gave_up(self, what: str, evidence: str, sentence: str) -> None:
        """Keep a notice for the next `send` that something is not tried again; once for one
        piece of evidence.

        Args:
            what: what was tried, "the monthly of 2024-02-29".
            evidence: what it was tried on; another is another event.
            sentence: further text of the message.
        """

        def keep(state: State, _: dict[str, str]) -> None:
            if state.given_up.get(what) != evidence:
                state.given_up = {**state.given_up, what: evidence}
                title = f"{self.home.contract.name}: {what} failed"
                state.notify(Message(title, sentence, "failure"), self.home.now())

        self._round(keep, wait=5.0)

    def waiting(self) -> list[dict[str, Any]]:
        """Every receiver: what it was sent, what waits for it, why, and when it is asked again.
        Reads only.

        Raises:
            UsageError: the file with the URLs cannot be read.
            IntegrityError: a receipt that waits was changed.
        """
        found = self.receivers()
        state = read_state(self.file)
        items = self._items(state, list(found))
        answers = []
        for name in found:
            told = state.receivers.get(name) or self._new(state)
            unsent = [item for item in items if item.message is not None and after(item, told)]
            if told.failures and told.tried:
                again = next_try(told.failures, told.tried)
            else:
                again = None
            answers.append(
                {"receiver": name, "sent": told.sent, "unsent": len(unsent), "lost": told.lost, "error": told.error,
                 "failures": told.failures, "next_try": None if again is None else again.isoformat(timespec="seconds")}
            )  # fmt: skip
        return answers

    def _round(self, work: Any, done: Sent | None = None, wait: float = 0.0) -> None:  # noqa: ANN401
        """Do something with the state while no other process does, and keep the state; problems
        go to `done`.
        """
        from filelock import FileLock, Timeout

        problems = [] if done is None else done.problems
        try:
            found = self.receivers()
            if not found:
                return
            with FileLock(self.home.folder / "alerts.lock", timeout=wait):
                state = read_state(self.file)
                before = state.model_copy(deep=True)
                self._enter(state, list(found))
                work(state, found)
                if state != before:
                    write_state(self.file, state)
        except Timeout:  # another process is telling them
            return
        except (ChurnError, OSError) as error:
            problems.append(f"Alerts are not sent: {error}")

    def _enter(self, state: State, found: Sequence[str]) -> None:
        """Add receivers that are new, forget those that are gone, mind a ledger that was put
        back from a backup.
        """
        state.receivers = {name: state.receivers.get(name) or self._new(state) for name in found}
        head = self._head()
        for told in state.receivers.values():
            told.sequence = min(told.sequence, head)

    def _new(self, state: State) -> Told:
        return Told(sequence=self._head(), notice=state.last_notice)

    def _head(self) -> int:
        head = self.home.ledger.head()
        if head is None:
            return 0
        return head.sequence

    def _tell(
        self,
        name: str,
        url: str,
        state: State,
        items: Sequence[Item],
        done: Sent,
        *,
        anyway: bool,
    ) -> None:
        told = state.receivers[name]
        now = self.home.now()
        for item in items:
            if not after(item, told):
                continue
            if item.message is not None and now - item.time > OLDEST:
                told.lost += 1
            elif item.message is not None:
                if (
                    told.failures
                    and told.tried
                    and not anyway
                    and now < next_try(told.failures, told.tried)
                ):
                    return
                told.tried = now
                write_state(
                    self.file, state
                )  # a disk that cannot remember what was sent would have it sent again and again
                told.error = receivers.send(url, item.message) or ""
                if told.error:
                    told.failures += 1
                    done.problems.append(
                        f"An alert did not reach {name}: it {told.error}. It is tried again later."
                    )
                    if told.failures < MOST_TRIES:
                        return
                    told.lost += 1
                else:
                    told.sent += 1
                    done.sent += 1
                told.failures = 0
            advance(item, told)

    def _items(self, state: State, found: Sequence[str]) -> list[Item]:
        told = [state.receivers[name] for name in found if name in state.receivers]
        if told:
            return items(self.home, min(own.sequence for own in told), state.notices)
        return []
