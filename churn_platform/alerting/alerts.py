"""Sends alerts: follows the ledger, sends every channel each event once, keeps unsent ones."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from churn_platform.alerting import channels
from churn_platform.alerting.messages import (
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
from churn_platform.base.home import Home
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.store import LedgerStore

KEPT_NOTICES = 100


class Delivered(BaseModel):
    """What one channel was sent: receipts up to `sequence`, notices up to `notice`."""

    sequence: int
    notice: int = 0
    sent: int = 0
    lost: int = 0
    failures: int = 0
    tried: AwareDatetime | None = None
    error: str = ""

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


@dataclass(frozen=True)
class Item:
    """A receipt or a notice; without a message if it needs no alert."""

    number: int
    time: dt.datetime
    message: Message | None
    of_ledger: bool

    def is_new_to(self, channel: Delivered) -> bool:
        """Whether the channel was not sent the item."""
        if self.of_ledger:
            return self.number > channel.sequence
        return self.number > channel.notice

    def mark_sent_to(self, channel: Delivered) -> None:
        """Let the channel continue behind the item."""
        if self.of_ledger:
            channel.sequence = self.number
        else:
            channel.notice = self.number


@dataclass(frozen=True)
class ChannelStatus:
    """What a channel was sent, what waits for it, why, and its next try."""

    receiver: str
    sent: int = 0
    unsent: int = 0
    lost: int = 0
    error: str = ""
    failures: int = 0
    next_try: str | None = None


@dataclass
class Sent:
    """The result of one round."""

    sent: int = 0
    problems: list[str] = field(default_factory=list)


class Alerts:
    """The alerts of one home; without channels in the settings it does nothing."""

    def __init__(
        self, home: Home, business: Callable[[], str], ledger: LedgerStore, records: Records
    ) -> None:
        self.home = home
        self.business = business
        """The contract's name; read late, because `churn doctor` also runs without a contract."""
        self.ledger = ledger
        self.records = records
        self.file = home.folder / "alerts.json"

    def channels(self) -> dict[str, str]:
        """Names without secrets -> URLs.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        return channels.names(self.home.settings.alert_receivers())

    def begin(self) -> None:
        """Start new channels at the present, without the past."""
        self._round(lambda *_: None)

    def send(self, *, anyway: bool = False) -> Sent:
        """Send every channel what is new to it; one that fails is tried again later.

        Never raises for a channel, a setting or the disk: the loop continues, and the problem
        is part of the result.

        Args:
            anyway: also try channels that wait after a failure.
        """
        done = Sent()

        def send_all(state: State, found: dict[str, str]) -> None:
            items = self._new_items(state, list(found))
            for name, url in found.items():
                self._send(name, url, state, items, done, anyway=anyway)

        self._round(send_all, done)
        return done

    def test(self) -> list[dict[str, str]]:
        """Send a test message to every channel; the error of each, empty if there is none.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        body = (
            f"Alerts of {self.home.folder.name} arrive here. This is a test, sent by `churn"
            " alert --test`."
        )
        message = Message(f"{self.business()}: a test", body, "info")
        return [
            {"receiver": name, "error": channels.send(url, message) or ""}
            for name, url in self.channels().items()
        ]

    def seen(self, what: str, *, up: bool, sentence: str, sign: dt.datetime | None = None) -> None:
        """Notice that something has stopped or runs again, once each; the next `send` sends it.

        Args:
            what: its name, such as "The daemon".
            up: whether it runs.
            sentence: further text of the message.
            sign: its last sign of life, None for now. A sign from before it was reported as
                down proves nothing.
        """

        def keep(state: State, _: dict[str, str]) -> None:
            since = state.down.get(what)
            stale = up and sign is not None and since is not None and sign <= since
            if up == (since is None) or stale:
                return
            state.down = {other: when for other, when in state.down.items() if other != what}
            title = f"{self.business()}: {what[:1].lower()}{what[1:]}"
            if up:
                message = Message(f"{title} runs again", sentence, "success")
            else:
                message = Message(f"{title} is down", sentence, "failure")
                state.down[what] = self.home.now()
            state.notify(message, self.home.now())

        self._round(keep, wait=5.0)

    def gave_up(self, what: str, evidence: str, sentence: str) -> None:
        """Notice that something is not tried again; once for the same evidence.

        Args:
            what: what was tried, such as "the monthly of 2024-02-29".
            evidence: what it was tried on.
            sentence: further text of the message.
        """
        self._notice_once(what, evidence, f"{what} failed", sentence)

    def contract_refused(self, sentence: str) -> None:
        """Notice that no run can start with the contract in use; once for the same reason."""
        self._notice_once("the contract", sentence, "the contract is refused", sentence)

    def contract_accepted(self) -> None:
        """Let the next refusal of the contract be noticed, whatever its reason."""
        if "the contract" not in read_state(self.file).given_up:
            return

        def keep(state: State, _: dict[str, str]) -> None:
            state.given_up.pop("the contract", None)

        self._round(keep, wait=5.0)

    def _notice_once(self, what: str, evidence: str, title: str, sentence: str) -> None:
        def keep(state: State, _: dict[str, str]) -> None:
            if state.given_up.get(what) != evidence:
                state.given_up = {**state.given_up, what: evidence}
                message = Message(f"{self.business()}: {title}", sentence, "failure")
                state.notify(message, self.home.now())

        self._round(keep, wait=5.0)

    def waiting(self) -> list[ChannelStatus]:
        """The status of every channel.

        Raises:
            UsageError: the file with the URLs cannot be read.
            IntegrityError: a receipt that waits was changed.
        """
        found = self.channels()
        state = read_state(self.file)
        items = self._new_items(state, list(found))
        answers = []
        for name in found:
            channel = state.receivers.get(name) or self._new(state)
            unsent = [item for item in items if item.message and item.is_new_to(channel)]
            again = channel.next_try
            answers.append(
                ChannelStatus(
                    receiver=name,
                    sent=channel.sent,
                    unsent=len(unsent),
                    lost=channel.lost,
                    error=channel.error,
                    failures=channel.failures,
                    next_try=again.isoformat(timespec="seconds") if again else None,
                )
            )
        return answers

    def items(self, since: int, notices: Sequence[Notice]) -> list[Item]:
        """The receipts after `since` in their order, then the notices in theirs.

        Raises:
            IntegrityError: one of the receipts was changed.
        """
        receipts = self.ledger.since(since)
        decisions = {}
        if any("decision" in receipt.evidence for receipt in receipts):
            decisions = {digest_of(record): record for record in self.records.decisions()}
        refused: list[Receipt] = []
        if any(receipt.act == "drop refused" for receipt in receipts):
            refused = self.ledger.receipts("drop refused")
        found = []
        for receipt in receipts:
            message = None
            if not any(
                repeats(receipt, other) for other in refused if other.sequence < receipt.sequence
            ):
                decision = decisions.get(str(receipt.evidence.get("decision")))
                message = message_of(receipt, self.business(), decision)
            time = dt.datetime.fromisoformat(receipt.time)
            found.append(Item(receipt.sequence, time, message, of_ledger=True))
        for notice in notices:
            message = Message(notice.title, notice.body, notice.severity)
            found.append(Item(notice.number, notice.time, message, of_ledger=False))
        return found

    def _round(
        self,
        work: Callable[[State, dict[str, str]], None],
        done: Sent | None = None,
        wait: float = 0.0,
    ) -> None:
        """Read, change and write the state while no other process does; add problems to `done`."""
        from filelock import FileLock, Timeout

        problems = [] if done is None else done.problems
        try:
            found = self.channels()
            if not found:
                return
            with FileLock(self.home.folder / "alerts.lock", timeout=wait):
                state = read_state(self.file)
                before = state.model_copy(deep=True)
                self._enter(state, list(found))
                work(state, found)
                if state != before:
                    write_state(self.file, state)
        except Timeout:  # another process sends
            return
        except (ChurnError, OSError) as error:
            problems.append(f"Alerts are not sent: {error}")

    def _enter(self, state: State, found: Sequence[str]) -> None:
        """Add new channels, remove old ones, follow a ledger that was restored from a backup."""
        state.receivers = {name: state.receivers.get(name) or self._new(state) for name in found}
        head = self._head()
        for channel in state.receivers.values():
            channel.sequence = min(channel.sequence, head)

    def _new(self, state: State) -> Delivered:
        return Delivered(sequence=self._head(), notice=state.last_notice)

    def _head(self) -> int:
        head = self.ledger.head()
        if head is None:
            return 0
        return head.sequence

    def _send(
        self,
        name: str,
        url: str,
        state: State,
        items: Sequence[Item],
        done: Sent,
        *,
        anyway: bool,
    ) -> None:
        """Send one channel what is new to it, up to the first failure."""
        channel = state.receivers[name]
        now = self.home.now()
        for item in items:
            if not item.is_new_to(channel):
                continue
            if item.message is not None and now - item.time > OLDEST:
                channel.lost += 1
            elif item.message is not None:
                again = channel.next_try
                if again is not None and now < again and not anyway:
                    return
                channel.tried = now
                write_state(self.file, state)  # before: a full disk must not repeat messages
                channel.error = channels.send(url, item.message) or ""
                if channel.error:
                    channel.failures += 1
                    done.problems.append(
                        f"An alert did not reach {name}: it {channel.error}. It is tried again"
                        " later."
                    )
                    if channel.failures < MOST_TRIES:
                        return
                    channel.lost += 1
                else:
                    channel.sent += 1
                    done.sent += 1
                channel.failures = 0
            item.mark_sent_to(channel)

    def _new_items(self, state: State, found: Sequence[str]) -> list[Item]:
        """Everything that is new to at least one channel."""
        known = [state.receivers[name].sequence for name in found if name in state.receivers]
        if not known:
            return []
        return self.items(min(known), state.notices)
