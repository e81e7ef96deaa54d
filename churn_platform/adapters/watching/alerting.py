"""Sends alerts: follows the ledger, sends each receiver each event once, keeps what was not sent.

Belongs here: one sender at a time, what waits, what a home notices. Does not: what there is to tell, and the words
(`adapters/watching/alert_items.py`, `core/alerts.py`), the sending itself (`adapters/watching/receivers.py`), how far
each receiver has been told (`adapters/watching/alert_state.py`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from churn_platform.adapters.home import Home
from churn_platform.adapters.watching import receivers
from churn_platform.adapters.watching.alert_items import Item, advance, after, items
from churn_platform.adapters.watching.alert_state import State, Told, read_state, write_state
from churn_platform.core.alerts import MOST_TRIES, OLDEST, Message, next_try
from churn_platform.errors import ChurnError


@dataclass
class Sent:
    """What came of one round."""

    sent: int = 0
    problems: list[str] = field(default_factory=list)


class Alerter:
    """The alerts of one home; without receivers in the settings it does nothing."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.file = home.folder / "alerts.json"

    def receivers(self) -> dict[str, str]:
        """Names that give nothing away -> URLs.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        return receivers.names(self.home.settings.alert_receivers())

    def begin(self) -> None:
        """Let receivers that are new hear of what happens from now on, not of the complete history."""
        self._round(lambda *_: None)

    def send(self, *, anyway: bool = False) -> Sent:
        """Send every receiver what it has not received; one that fails is tried again later, and later still.

        Never raises for a receiver, a setting or the disk: the loop continues, the problem is in the answer.

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
        """Send one test message to every receiver; each with why it did not arrive, empty where it did.

        Raises:
            UsageError: the file with the URLs cannot be read.
        """
        body = f"Alerts of {self.home.folder.name} arrive here. This is a test, sent by `churn alert --test`."
        message = Message(f"{self.home.contract.name}: a test", body, "info")
        return [
            {"receiver": name, "error": receivers.send(url, message) or ""} for name, url in self.receivers().items()
        ]

    def seen(self, what: str, *, up: bool, sentence: str, sign: dt.datetime | None = None) -> None:
        """Keep a notice for the next `send` when something that runs has stopped, and when it is back; once each.

        Args:
            what: its name, "The daemon".
            up: whether it runs.
            sentence: further text of the message.
            sign: its last sign of life; one from before it was told to be down proves nothing. None: it is seen now.
        """

        def keep(state: State, _: dict[str, str]) -> None:
            since = state.down.get(what)
            if up == (since is None) or (up and sign is not None and since is not None and sign <= since):
                return
            state.down = {other: when for other, when in state.down.items() if other != what}
            if not up:
                state.down[what] = self.home.now()
            title = f"{self.home.contract.name}: {what[:1].lower()}{what[1:]} {'runs again' if up else 'is down'}"
            state.notify(Message(title, sentence, "success" if up else "failure"), self.home.now())

        self._round(keep, wait=5.0)

    def gave_up(self, what: str, evidence: str, sentence: str) -> None:
        """Keep a notice for the next `send` that something is not tried again; once for one piece of evidence.

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
        """Every receiver: what it was sent, what waits for it, why, and when it is asked again. Reads only.

        Raises:
            UsageError: the file with the URLs cannot be read.
            IntegrityError: a receipt that waits was changed.
        """
        found, state = self.receivers(), read_state(self.file)
        items = self._items(state, list(found))
        answers = []
        for name in found:
            told = state.receivers.get(name) or self._new(state)
            unsent = [item for item in items if item.message is not None and after(item, told)]
            again = next_try(told.failures, told.tried) if told.failures and told.tried else None
            answers.append(
                {"receiver": name, "sent": told.sent, "unsent": len(unsent), "lost": told.lost, "error": told.error,
                 "failures": told.failures, "next_try": None if again is None else again.isoformat(timespec="seconds")}
            )  # fmt: skip
        return answers

    def _round(self, work: Any, done: Sent | None = None, wait: float = 0.0) -> None:  # noqa: ANN401
        """Do something with the state while no other process does, and keep the state; problems go to `done`."""
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
        """Add receivers that are new, forget those that are gone, mind a ledger that was put back from a backup."""
        state.receivers = {name: state.receivers.get(name) or self._new(state) for name in found}
        head = self._head()
        for told in state.receivers.values():
            told.sequence = min(told.sequence, head)

    def _new(self, state: State) -> Told:
        return Told(sequence=self._head(), notice=state.last_notice)

    def _head(self) -> int:
        head = self.home.ledger.head()
        return 0 if head is None else head.sequence

    def _tell(self, name: str, url: str, state: State, items: Sequence[Item], done: Sent, *, anyway: bool) -> None:
        told, now = state.receivers[name], self.home.now()
        for item in items:
            if not after(item, told):
                continue
            if item.message is not None and now - item.time > OLDEST:
                told.lost += 1
            elif item.message is not None:
                if told.failures and told.tried and not anyway and now < next_try(told.failures, told.tried):
                    return
                told.tried = now
                write_state(
                    self.file, state
                )  # a disk that cannot remember what was sent would have it sent again and again
                told.error = receivers.send(url, item.message) or ""
                if told.error:
                    told.failures += 1
                    done.problems.append(f"An alert did not reach {name}: it {told.error}. It is tried again later.")
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
        return items(self.home, min(own.sequence for own in told), state.notices) if told else []
