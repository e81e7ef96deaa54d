"""Sends alerts: follows the ledger, sends every channel each event once, keeps unsent ones."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from churn_platform.alerting import channels
from churn_platform.alerting.alert_state import (
    Delivered,
    Notice,
    State,
    read_state,
    write_state,
)
from churn_platform.alerting.channels import Attachment, Channel
from churn_platform.alerting.messages import (
    MOST_TRIES,
    OLDEST,
    Message,
    message_of,
    repeats,
)
from churn_platform.alerting.report_mail import NoReports, ReportsToSend
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError
from churn_platform.base.home import Home
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.store import LedgerStore


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
        self,
        home: Home,
        business: Callable[[], str],
        ledger: LedgerStore,
        records: Records,
        reports: ReportsToSend | None = None,
    ) -> None:
        self.home = home
        self.business = business
        """The contract's name; read late, because `churn doctor` also runs without a contract."""
        self.ledger = ledger
        self.records = records
        self.reports = reports or NoReports()
        self.file = home.folder / "alerts.json"

    def channels(self) -> dict[str, Channel]:
        """Names without secrets -> channels.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        return channels.named(self.home.settings.alert_receivers())

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

        def send_all(state: State, found: dict[str, Channel]) -> None:
            items = self._new_items(state, list(found))
            for name, channel in found.items():
                sending = Sending(name, channel, state, self, done, anyway=anyway)
                if sending.send_items(items):
                    sending.send_reports(channels.receives(found, name))

        self._round(send_all, done)
        return done

    def test(self) -> list[dict[str, str]]:
        """Send a test message to every channel; the error of each, empty if there is none.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        answers = []
        for name, channel in self.channels().items():
            what = "Alerts" if channel.takes_alerts else "Monthly reports"
            body = (
                f"{what} of {self.home.folder.name} arrive here. This is a test, sent by `churn"
                " alert --test`."
            )
            message = Message(f"{self.business()}: a test", body, "info")
            answers.append({"receiver": name, "error": channels.send(channel, message) or ""})
        return answers

    def seen(self, what: str, *, up: bool, sentence: str, sign: dt.datetime | None = None) -> None:
        """Notice that something has stopped or runs again, once each; the next `send` sends it.

        Args:
            what: its name, such as "The daemon".
            up: whether it runs.
            sentence: further text of the message.
            sign: its last sign of life, None for now. A sign from before it was reported as
                down proves nothing.
        """

        def keep(state: State, _: dict[str, Channel]) -> None:
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

        def keep(state: State, _: dict[str, Channel]) -> None:
            state.given_up.pop("the contract", None)

        self._round(keep, wait=5.0)

    def _notice_once(self, what: str, evidence: str, title: str, sentence: str) -> None:
        def keep(state: State, _: dict[str, Channel]) -> None:
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
            unsent: list[object] = []
            if found[name].takes_alerts:
                unsent += [item for item in items if item.message and item.is_new_to(channel)]
            unsent += self.unsent_reports(channel, channels.receives(found, name))
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
                why = self._why_performance_fell(receipt)
                message = message_of(receipt, self.business(), decision, why)
            time = dt.datetime.fromisoformat(receipt.time)
            found.append(Item(receipt.sequence, time, message, of_ledger=True))
        for notice in notices:
            message = Message(notice.title, notice.body, notice.severity)
            found.append(Item(notice.number, notice.time, message, of_ledger=False))
        return found

    def _why_performance_fell(self, receipt: Receipt) -> str:
        """What the month's record gives as the cause of a fall; empty where it gives none."""
        if receipt.act not in ("retraining requested", "retraining skipped"):
            return ""
        fields = self.records.read("performance", dt.date.fromisoformat(receipt.subject)) or {}
        for entry in fields.get("evaluated", ()):
            if entry.get("fall"):
                return str(entry["fall"]["sentence"])
        return ""

    def _round(
        self,
        work: Callable[[State, dict[str, Channel]], None],
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
                self._enter(state, found)
                work(state, found)
                if state != before:
                    write_state(self.file, state)
        except Timeout:  # another process sends
            return
        except (ChurnError, OSError) as error:
            problems.append(f"Alerts are not sent: {error}")

    def unsent_reports(self, channel: Delivered, audiences: Sequence[str]) -> list[str]:
        """The audiences whose newest report a channel was not sent; not those that it was not
        sent any before, because a channel starts at the present.
        """
        newest = self.reports.newest()
        wanted = set(audiences).intersection(self.reports.audiences())
        return [
            one for one in audiences if one in wanted and channel.reports.get(one, newest) < newest
        ]

    def _enter(self, state: State, found: dict[str, Channel]) -> None:
        """Add new channels, remove old ones, follow a ledger that was restored from a backup."""
        state.receivers = {name: state.receivers.get(name) or self._new(state) for name in found}
        head = self._head()
        newest = self.reports.newest()
        wanted = self.reports.audiences()
        for name, channel in state.receivers.items():
            channel.sequence = min(channel.sequence, head)
            if not found[name].takes_alerts:
                channel.sequence = head
                channel.notice = state.last_notice
            for audience in channels.receives(found, name):
                if audience in wanted:
                    channel.reports.setdefault(audience, newest)

    def _new(self, state: State) -> Delivered:
        return Delivered(sequence=self._head(), notice=state.last_notice)

    def _head(self) -> int:
        head = self.ledger.head()
        if head is None:
            return 0
        return head.sequence

    def _new_items(self, state: State, found: Sequence[str]) -> list[Item]:
        """Everything that is new to at least one channel."""
        known = [state.receivers[name].sequence for name in found if name in state.receivers]
        if not known:
            return []
        return self.items(min(known), state.notices)


@dataclass(frozen=True)
class Sending:
    """Sends one channel what is new to it, in one round."""

    name: str
    channel: Channel
    state: State
    alerts: Alerts
    done: Sent
    anyway: bool

    @property
    def delivered(self) -> Delivered:
        """What the channel was sent."""
        return self.state.receivers[self.name]

    def send_items(self, items: Sequence[Item]) -> bool:
        """Send the alerts up to the first failure; False if one waits."""
        now = self.alerts.home.now()
        for item in items:
            if not item.is_new_to(self.delivered):
                continue
            if item.message is not None and now - item.time > OLDEST:
                self.delivered.lost += 1
            elif item.message is not None and not self._send(item.message):
                return False
            item.mark_sent_to(self.delivered)
        return True

    def send_reports(self, audiences: Sequence[str]) -> None:
        """Send the newest report to each audience, once its month's run is complete."""
        for audience in self.alerts.unsent_reports(self.delivered, audiences):
            if self._waits():
                return
            mail = self.alerts.reports.mail(audience)
            if mail is None:
                return
            if not self._send(mail.message, mail.attachments):
                return
            self.delivered.reports[audience] = mail.as_of
            write_state(self.alerts.file, self.state)  # at once: a kill must not repeat it

    def _waits(self) -> bool:
        again = self.delivered.next_try
        return again is not None and self.alerts.home.now() < again and not self.anyway

    def _send(self, message: Message, attachments: Sequence[Attachment] = ()) -> bool:
        """Send a message, or give it up after its last try; False if it waits."""
        if self._waits():
            return False
        delivered = self.delivered
        delivered.tried = self.alerts.home.now()
        write_state(self.alerts.file, self.state)  # before: a full disk must not repeat messages
        delivered.error = channels.send(self.channel, message, attachments) or ""
        if delivered.error:
            delivered.failures += 1
            self.done.problems.append(
                f"A message did not reach {self.name}: it {delivered.error}. It is tried again"
                " later."
            )
            if delivered.failures < MOST_TRIES:
                return False
            delivered.lost += 1
        else:
            delivered.sent += 1
            self.done.sent += 1
        delivered.failures = 0
        return True
