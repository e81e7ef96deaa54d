"""The scores of a home as serving shows them: deciles, stand-down, at-risk list, history.

The server imports this module, so it imports pyarrow only where it reads a Parquet file, and
never pandas.
"""

import datetime as dt
import time
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from churn_platform.base.errors import ChurnError
from churn_platform.base.files import read_json
from churn_platform.contract.model import Contract

LOOK_SECONDS = 1.0
SCORES = Path("lake", "derived", "scores")
PLANS = Path("lake", "derived", "contact_plan")
RANKED = "at_risk.parquet"
TO_CONTACT = "contact_list.parquet"
NOT_PLANNED = "The contacts of this month are not planned yet."


@dataclass(frozen=True)
class ScoresSummary:
    """The newest scored month.

    Attributes:
        as_of: The month; None before the first.
        version: The version that scored it.
        canary: The version that scored the arm of a canary; None without one.
        stand_down: Why that version must stand down; None if it need not.
        floors: The lowest probability of deciles 9 to 1, ascending; empty if fewer than ten
            customers were scored.
        customers: How many were scored.
        left: How many of them are known to have left; they have no rank and no decile.
        already_left: Their keys; None if unknown, as in a bundle without customers.
        list_note: A sentence for readers of the list; None for an ordinary list.
    """

    as_of: dt.date | None = None
    version: int | None = None
    canary: int | None = None
    stand_down: str | None = None
    floors: tuple[float, ...] = ()
    customers: int = 0
    left: int = 0
    already_left: frozenset[str | int] | None = frozenset()
    list_note: str | None = None

    def decile(self, version: int, probability: float) -> int | None:
        """1 (highest risk) to 10 in the month's list, which this version has made; or None."""
        if version not in (self.version, self.canary) or not self.floors:
            return None
        return 10 - bisect_right(self.floors, probability)

    def has_left(self, key: str | int, as_of: dt.date | None) -> bool | None:
        """Whether a customer is known to have left; None if that is unknown here.

        Args:
            key: the customer.
            as_of: the month of the features; None if the request gave all features.
        """
        if as_of not in (None, self.as_of):
            return False
        if self.already_left is None:
            return None
        return key in self.already_left

    def decile_of(
        self, key: str | int, as_of: dt.date | None, version: int, probability: float
    ) -> int | None:
        """A customer's decile; None for a customer who has left or may have left.

        If the request gave all features and it is unknown who has left, it is the decile of a
        customer who can still leave.
        """
        left = self.has_left(key, as_of)
        if left or (left is None and as_of is not None):
            return None
        return self.decile(version, probability)


class ListedCustomer(BaseModel):
    """A customer of the at-risk list.

    Attributes:
        expected_loss: None where all customers cost the same.
        trained_on: None in a list of an earlier version.
        version: The version that scored the customer; None unless a canary ran.
        arm: Its arm; None unless a canary ran.
    """

    model_config = ConfigDict(frozen=True)

    key: str | int
    rank: int
    probability: float
    decile: int
    expected_loss: float | None = None
    trained_on: bool | None = None
    version: int | None = None
    arm: str | None = None
    reasons: list[str]

    def as_json(self, key_name: str) -> dict[str, Any]:
        """The customer as the API answers, without what is None."""
        return {key_name: self.key, **self.model_dump(exclude={"key"}, exclude_none=True)}


class CustomerMonth(BaseModel):
    """One month in which a customer was scored; early versions recorded fewer fields."""

    model_config = ConfigDict(frozen=True)

    as_of: str
    probability: float
    rank: int | None = None
    decile: int | None = None
    version: int | None = None
    already_left: bool | None = None
    trained_on: bool | None = None


class ScoreHistory:
    """The scores of one home."""

    def __init__(self, home: Path, contract: Contract) -> None:
        self._home = home
        self._key = contract.entity
        self._looked = 0.0
        self._seen = (0, 0)
        self._standing = ScoresSummary()
        self._plans_contacts = contract.contacts is not None
        self._listed: dict[str, tuple[tuple[int, int], list[ListedCustomer]]] = {}
        self._to_contact: tuple[list[ListedCustomer], frozenset[str | int]] = ([], frozenset())

    def standing(self) -> ScoresSummary:
        """The newest scored month, looked up at most once per second.

        If it cannot be read, the last known month stays.
        """
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            try:
                self._refresh()
            except (ChurnError, OSError, KeyError, TypeError, ValueError):
                return self._standing
        return self._standing

    def at_risk(self) -> list[ListedCustomer]:
        """The list of the newest scored month with reasons, highest risk first: the customers
        to contact where contacts are planned, else the ranked list.
        """
        if self._plans_contacts:
            return self._list(TO_CONTACT) or []
        return self.ranked()

    def ranked(self) -> list[ListedCustomer]:
        """The ranked list of the newest scored month."""
        return self._list(RANKED) or []

    def to_contact(self, key: str | int) -> bool | None:
        """Whether a customer is on the list of who to contact; None without a list.

        It does not tell why a customer is not: left untouched, excluded or below the cut.
        """
        listed = self._list(TO_CONTACT)
        if listed is None:
            return None
        if self._to_contact[0] is not listed:
            self._to_contact = (listed, frozenset(customer.key for customer in listed))
        return key in self._to_contact[1]

    def list_note(self) -> str | None:
        """A sentence for readers of the list: of a list of the past, or why there is no list of
        who to contact.
        """
        standing = self.standing()
        if standing.as_of is None or not self._plans_contacts or self._list(TO_CONTACT) is not None:
            return standing.list_note
        path = self._home / PLANS / f"{standing.as_of}.json"
        try:
            note = read_json(path).get("note")
        except (ChurnError, OSError):
            note = None
        return note or standing.list_note or NOT_PLANNED

    def _list(self, name: str) -> list[ListedCustomer] | None:
        """A list of the newest scored month; None where there is none."""
        import pyarrow.parquet as pq

        standing = self.standing()
        if standing.as_of is None:
            return None
        path = self._home / "reports" / standing.as_of.isoformat() / name
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        seen = (found.st_mtime_ns, found.st_ino)
        known = self._listed.get(name)
        if known is None or known[0] != seen:
            rows = pq.ParquetFile(path).read().to_pylist()
            known = (seen, [_listed(row, self._key.column) for row in rows])
            self._listed[name] = known
        return known[1]

    def customer(self, key: str | int) -> list[CustomerMonth]:
        """Every month in which a customer was scored, oldest first."""
        import pyarrow.parquet as pq

        found = []
        for path in sorted((self._home / SCORES).glob("[0-9]*.parquet")):
            table = pq.read_table(path, filters=[(self._key.column, "==", key)])
            found += [
                CustomerMonth.model_validate(row | {"as_of": path.stem})
                for row in table.to_pylist()
            ]
        return found

    def _already_left(self, scores: Path) -> frozenset[str | int] | None:
        """The customers of a scored month who had left; None if its rows are missing."""
        import pyarrow.parquet as pq

        if not scores.exists():
            return None
        table = pq.read_table(
            scores, columns=[self._key.column], filters=[("already_left", "==", True)]
        )
        return frozenset(table[self._key.column].to_pylist())

    def _refresh(self) -> None:
        paths = sorted((self._home / SCORES).glob("[0-9]*.json"), reverse=True)
        for path in paths:
            found = path.stat()
            seen = (found.st_mtime_ns, found.st_ino)
            if seen == self._seen:
                return
            record = read_json(path)
            if record.get("version") is None:  # before the first model
                continue
            left = record.get("already_left") or 0  # earlier versions did not record it
            self._standing = ScoresSummary(
                as_of=dt.date.fromisoformat(path.stem),
                version=int(record["version"]),
                canary=(record.get("canary") or {}).get("version"),
                stand_down=record["stand_down"],
                floors=tuple(record.get("decile_floors", ())),
                customers=int(record["customers"]),
                left=left,
                already_left=(
                    self._already_left(path.with_suffix(".parquet")) if left else frozenset()
                ),
                list_note=record.get("list_note"),
            )
            self._seen = seen
            return


def _listed(row: dict[str, Any], key: str) -> ListedCustomer:
    reasons = [row[name] for name in sorted(row) if name.startswith("reason_")]
    if row.get("arm") is None:
        row = row | {"version": None}
    return ListedCustomer.model_validate(
        row | {"key": row[key], "reasons": [reason for reason in reasons if reason is not None]}
    )
