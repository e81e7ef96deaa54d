"""An event table drafted from a log: its columns, how it is delivered, and a few windows."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from churn_platform.base.text import counted, percent
from churn_platform.contract.columns import Column
from churn_platform.contract.events import WindowFeature
from churn_platform.contract.expressions import (
    ColumnValue,
    ComparedValues,
    NumberValue,
    TextValue,
    written,
)
from churn_platform.contract.parts import Table
from churn_platform.drafting.columns import Guess
from churn_platform.drafting.contact_columns import keys_as_text
from churn_platform.drafting.keys import KeyColumn, Sheet, listed
from churn_platform.drafting.log_columns import LONGEST_KIND, LogColumns, has_clock
from churn_platform.drafting.tables import Place
from churn_platform.drafting.words import (
    free_name,
    is_personal,
    is_row_number,
    key_likeness,
    tokens,
    valid_name,
)
from churn_platform.ingestion.conversion import Writing, convert

CADENCE_DAYS = {"month": 31, "week": 7, "day": 1}
ONE_DELIVERY = 1.6
"""A file that covers more cadences than this is a complete log."""
SAME_START = 0.1
"""Two complete logs begin within this share of the days that the shorter one covers."""
LENGTHS = ("30d", "90d", "60d")
"""Of a short and a long window, and of a trend."""
SLOW_LENGTHS = ("90d", "365d", "180d")
"""The same where customers have an event every few months."""
SLOW_GAP = 21
"""Usual days between two events of a customer, from which on the longer windows are proposed."""
SHARES = (0.1, 0.95)
"""From and to which share of the events a commonest value is useful."""
FAR_AHEAD = dt.timedelta(days=31)
NEARLY_ALL = 0.999


@dataclass(frozen=True)
class LogDraft:
    """A log as an event table, each part with what to confirm."""

    sheet: Sheet
    declared: Table
    events: pd.DataFrame
    """The events of all drops that were read: `key` as text, `day`, and whether one counts as
    `active`.
    """
    end: pd.Timestamp
    """The newest day of the log, without mistyped years."""
    activity: str
    """Expression that picks the events of an active customer; empty for all."""
    left_out: Mapping[str, str]
    """Header -> why it is not used."""
    doubts: Mapping[Place, str] = field(default_factory=dict)
    """Place in the contract -> what to confirm."""

    @property
    def table(self) -> str:
        """The table's name."""
        return self.sheet.name


def log_draft(
    sheet: Sheet,
    key: KeyColumn,
    found: LogColumns,
    others: Sequence[pd.DataFrame],
    cadence: str,
    taken: set[str],
) -> LogDraft:
    """The event table of a log.

    Args:
        sheet: the log.
        key: the customer's key.
        found: which column is what.
        others: the same file in other drops.
        cadence: of the contract.
        taken: names of columns that are in use; those of the table are added.
    """
    names, columns, left_out = _columns(sheet, key.header, found, taken)
    place = ("tables", sheet.name)
    doubts: dict[Place, str] = {
        (*place, "columns", own): sheet.guesses[header].doubt for header, own in names.items()
    }
    delivery, why = _delivery(sheet, found, others, cadence)
    activity = _activity(sheet, found, names)
    events = _events(sheet, key, found, others, found.amounts[0] if activity else "")
    windows = _Windows(sheet, found, names, events, taken)
    declared = Table(
        kind="events",
        time=names[found.time],
        known_at=names.get(found.known_at),
        id=names.get(found.id),
        delivery=delivery,
        columns=columns,
        windows=windows.made,
        file="" if sheet.stem == sheet.name else sheet.stem,
    )
    doubts[*place, "time"] = _time_doubt(found, columns[names[found.time]])
    doubts[*place, "known_at"] = "when an event became known; leave it out if it is something else"
    doubts[*place, "id"] = "an event that comes again with this number is a correction"
    doubts[*place, "delivery"] = why
    doubts |= {(*place, "windows", name): doubt for name, doubt in windows.doubts.items()}
    return LogDraft(
        sheet=sheet,
        declared=declared,
        events=events,
        end=_end(events["day"]),
        activity=activity,
        left_out=left_out,
        doubts=doubts,
    )


def _columns(
    sheet: Sheet, key: str, found: LogColumns, taken: set[str]
) -> tuple[dict[str, str], dict[str, Column], dict[str, str]]:
    """Header -> name and name -> column of what is kept, and why the other headers are not."""
    names = dict[str, str]()
    columns = dict[str, Column]()
    left_out = dict[str, str]()
    for header, guess in sheet.guesses.items():
        if header == key:
            continue
        reason = _why_left_out(header, guess, found)
        if reason:
            left_out[header] = reason
            continue
        name = free_name(valid_name(header), sheet.name, taken)
        names[header] = name
        columns[name] = _column(sheet, header, name, found)
    return names, columns, left_out


def _why_left_out(header: str, guess: Guess, found: LogColumns) -> str:
    if not header.strip():
        return "it has no name; pandas and R write an index this way"
    if header in (found.time, found.known_at, found.id):
        return ""
    if guess.useless:
        return guess.useless
    if guess.column.dtype == "date":
        return f"not needed: the time of an event is {found.time!r}"
    if guess.unique and (is_row_number(header) or key_likeness(header)):
        return "another number of each event"
    if guess.column.dtype == "category" and is_personal(header):
        return "personal: it identifies a person"
    return "free text" if guess.column.dtype == "string" else ""


def _column(sheet: Sheet, header: str, name: str, found: LogColumns) -> Column:
    """The column without a list of values: the next delivery may have other kinds of events."""
    guess = sheet.guesses[header]
    made: dict[str, object] = {"source": "" if header == name else header, "values": None}
    if header in (found.time, found.known_at):
        made["nullable"] = header != found.time and guess.column.nullable
        if has_clock(sheet.frame[header], guess.column.date_format):
            made["dtype"] = "timestamp"
    if header == found.id:
        made |= {"nullable": False, "min": None, "max": None}
    return guess.column.model_copy(update=made)


def _time_doubt(found: LogColumns, column: Column) -> str:
    doubt = "when an event happened"
    if found.others:
        doubt += f"; it may be {listed(found.others)}"
    if column.dtype == "timestamp":
        doubt += "; a time without a zone is read as UTC, or set time_zone"
    return doubt


def _delivery(
    sheet: Sheet, found: LogColumns, others: Sequence[pd.DataFrame], cadence: str
) -> tuple[str, str]:
    """`append` or `replace`, and why."""
    days = sheet.guesses[found.time].values.dropna()
    first = days.min()
    covered = (days.max() - first).days + 1
    shown = f"the file covers {counted(covered, 'day')}, from {first.date()} to {days.max().date()}"
    starts = [
        other.min()
        for frame in others
        if found.time in frame and len(other := _days(sheet, found.time, frame).dropna())
    ]
    if starts:
        same = [start for start in starts if abs((start - first).days) <= SAME_START * covered]
        if 2 * len(same) > len(starts) and covered > ONE_DELIVERY * CADENCE_DAYS[cadence]:
            return "replace", f"{shown}; each drop holds the complete log"
        return "append", f"{shown}; a drop holds the events since the drop before"
    if covered > ONE_DELIVERY * CADENCE_DAYS[cadence]:
        return "replace", f"{shown}; append if later drops hold only the events since the last one"
    return "append", f"{shown}; replace if every drop holds the complete log"


def _days(sheet: Sheet, header: str, frame: pd.DataFrame) -> pd.Series:
    """The days (rows,) of a date column in a file of the same form."""
    column = sheet.guesses[header].column
    writing = Writing(date_format=column.date_format, missing=column.missing)
    return convert(frame[header], "date", writing)[0]


def _activity(sheet: Sheet, found: LogColumns, names: Mapping[str, str]) -> str:
    """Refunds are not activity: where the amount may be negative, positive ones are picked."""
    if not found.amounts or not (sheet.guesses[found.amounts[0]].values < 0).any():
        return ""
    amount = ColumnValue(names[found.amounts[0]], "number")
    return written(ComparedValues(">", amount, NumberValue(0.0)))


def _events(
    sheet: Sheet,
    key: KeyColumn,
    found: LogColumns,
    others: Sequence[pd.DataFrame],
    amount: str,
) -> pd.DataFrame:
    """Key, day and whether an event is activity, of all drops, without rows that lack one.

    Args:
        sheet: the log.
        key: the customer's key.
        found: which column is what.
        others: the same file in other drops.
        amount: the header of the number that is positive for activity; empty for all events.
    """
    frames = []
    for frame in (sheet.frame, *others):
        if not {key.header, found.time} <= set(map(str, frame.columns)):
            continue
        active = pd.Series(data=True, index=frame.index)
        if amount and frame is sheet.frame:
            active = sheet.guesses[amount].values.astype("Float64").gt(0).fillna(value=False)
        elif amount in frame:
            column = sheet.guesses[amount].column
            written_so = Writing(
                sheet.guesses[amount].decimal or ".",
                column.thousands,
                column.unit,
                missing=column.missing,
            )
            active = convert(frame[amount], "float", written_so)[0] > 0
        frames.append(
            pd.DataFrame(
                {
                    "key": keys_as_text(frame[key.header], integer=key.integer).to_numpy(),
                    "day": _days(sheet, found.time, frame).to_numpy(),
                    "active": active.to_numpy(dtype=bool),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).dropna().drop_duplicates(ignore_index=True)


def _end(days: pd.Series) -> pd.Timestamp:
    """The newest day, without the few that a mistyped year puts far ahead."""
    usual = pd.Timestamp(days.sort_values().iloc[int(NEARLY_ALL * (len(days) - 1))])
    return pd.Timestamp(days[days <= usual + FAR_AHEAD].max())


def usual_gap(events: pd.DataFrame) -> float:
    """The median of the days between two days with events of a customer; 0 without any."""
    days = events[["key", "day"]].drop_duplicates().sort_values(["key", "day"])
    gaps = days["day"].diff().dt.days[days["key"].eq(days["key"].shift())]
    return float(gaps.median()) if len(gaps) else 0.0


class _Windows:
    """Few windows of a log: recency, frequency, amount, trend, kinds; each with what to confirm."""

    def __init__(
        self,
        sheet: Sheet,
        found: LogColumns,
        names: Mapping[str, str],
        events: pd.DataFrame,
        taken: set[str],
    ) -> None:
        self._sheet = sheet
        self._found = found
        self._names = names
        self._taken = taken
        covered = (events["day"].max() - events["day"].min()).days + 1
        slow = usual_gap(events) >= SLOW_GAP and covered >= int(SLOW_LENGTHS[1][:-1])
        self._short, self._long, self._trend = SLOW_LENGTHS if slow else LENGTHS
        self._cut = ""
        if covered < int(self._long[:-1]):
            self._cut = f"; the files cover only {counted(covered, 'day')}"
        self.made = dict[str, WindowFeature]()
        self.doubts = dict[str, str]()
        for name, window, doubt in self._proposals():
            free = free_name(name, sheet.name, taken)
            self.made[free] = window
            self.doubts[free] = doubt

    def _proposals(self) -> Iterator[tuple[str, WindowFeature, str]]:
        table = self._sheet.name.lower()
        yield (
            f"days_since_{table}",
            WindowFeature(aggregate="days_since_last", window="all"),
            "recency: days since the newest event",
        )
        for window in (self._short, self._long):
            count = WindowFeature(aggregate="count", window=window)
            doubt = f"frequency{self._cut}" if window == self._long else "frequency"
            yield f"{table}_{window}", count, doubt
        if self._found.amounts:
            yield from self._amounts(self._found.amounts[0])
        trend = "the newer half of the days against the older one, from -1 to 1"
        halves = WindowFeature(aggregate="trend", window=self._trend)
        yield f"{table}_trend_{self._trend}", halves, trend
        yield from self._kinds()

    def _amounts(self, header: str) -> Iterator[tuple[str, WindowFeature, str]]:
        own = self._names[header]
        others = listed(self._found.amounts[1:])
        doubt = f"amount; there is also {others}" if others else "amount"
        yield (
            f"{own}_sum_{self._long}",
            WindowFeature(aggregate="sum", of=own, window=self._long),
            doubt,
        )
        yield (
            f"{own}_mean_{self._long}",
            WindowFeature(aggregate="mean", of=own, window=self._long),
            doubt,
        )

    def _kinds(self) -> Iterator[tuple[str, WindowFeature, str]]:
        """The number of different kinds, and the share of the commonest one or of a yes."""
        shared = False
        for header in [one for one in self._found.kinds if one in self._names][:1]:
            own = self._names[header]
            guess = self._sheet.guesses[header]
            distinct = WindowFeature(aggregate="distinct", of=own, window=self._long)
            yield f"different_{own}_{self._long}", distinct, f"{own} has {guess.distinct} values"
            shares = guess.values.value_counts(normalize=True)
            value = str(shares.index[0]) if len(shares) else ""
            if len(shares) and _useful(float(shares.iloc[0])) and _can_be_picked(value):
                where = written(ComparedValues("=", ColumnValue(own, "text"), TextValue(value)))
                said = f"{value!r} is the commonest {own}, {percent(shares.iloc[0])} of the rows"
                shared = True
                yield (
                    "_".join([own, *tokens(value), f"share_{self._long}"]),
                    WindowFeature(aggregate="share", where=where, window=self._long),
                    said,
                )
        for header in [one for one in self._found.flags if one in self._names][:1]:
            own = self._names[header]
            share = float(self._sheet.guesses[header].values.astype("Float64").mean())
            if not shared and (_useful(share) or _useful(1 - share)):
                where = written(ColumnValue(own, "truth"))
                yield (
                    f"{own}_share_{self._long}",
                    WindowFeature(aggregate="share", where=where, window=self._long),
                    f"{own} is yes in {percent(share)} of the rows",
                )


def _useful(share: float) -> bool:
    return SHARES[0] <= share <= SHARES[1]


def _can_be_picked(value: str) -> bool:
    plain = value == value.strip() and value.isprintable()
    return 0 < len(value) <= LONGEST_KIND and plain and bool(tokens(value))
