"""Recognises a log of events among the files of a drop: which column is what."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.drafting.columns import Guess
from churn_platform.drafting.keys import KeyColumn, Sheet, guess_key, listed
from churn_platform.drafting.words import (
    AMOUNT_NAME,
    CUSTOMER_NAME,
    EVENT_TIME_NAME,
    KNOWN_TIME_NAME,
    MONEY_NAME,
    NO_AMOUNT_NAME,
    NO_EVENT_TIME_NAME,
    NUMBER_NAME,
    is_row_number,
    key_likeness,
    known_late,
    spoken,
    valid_name,
)
from churn_platform.ingestion.conversion import convert

FEWEST_DAYS = 5
"""Distinct days of a log, in all drops that were read."""
FEW_UNTIMED = 0.01
"""Share of the rows that may lack a time; they would be quarantined."""
FAR = dt.timedelta(days=92)
"""The newest event of a log is not so long before the as_of."""
MOST_AFTER = 0.01
"""Share of the rows that may lie after the as_of if another column has none."""
LONGEST_LAG = 31
"""Days within which half of the events are known; more is a log that was loaded at once."""
MOST_KINDS = 50
LONGEST_KIND = 40
"""Characters of a value that a window may pick."""
CLOCK = r"[0-9]{1,2}:[0-9]{2}"
MIDNIGHT = r".*[T ]0?0:00(?::00(?:\.0+)?)?(?: ?Z| ?[+-][0-9]{2}:?(?:[0-9]{2})?)?"
DAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True)
class LogColumns:
    """The headers of a log: the time of an event, when it was known, its number, and what can be
    aggregated.
    """

    time: str
    others: tuple[str, ...] = ()
    """Other columns that may be the time."""
    known_at: str = ""
    id: str = ""
    amounts: tuple[str, ...] = ()
    """Numbers to sum, the likeliest first."""
    kinds: tuple[str, ...] = ()
    """Categories with a few values."""
    flags: tuple[str, ...] = ()
    """Yes or no."""


def log_columns(
    sheet: Sheet, key: str, as_of: dt.date | None, elsewhere: Sequence[pd.DataFrame] = ()
) -> LogColumns | None:
    """The columns of a log; None if no column has the time of its rows.

    Args:
        sheet: a file with several rows a customer.
        key: the header of the customer's key.
        as_of: of the file; None if it is not known.
        elsewhere: the same file in other drops.
    """
    guesses = {h: guess for h, guess in sheet.guesses.items() if h.strip() and h != key}
    times = _times(guesses, as_of)
    if not times:
        return None
    amounts = sorted(
        (header for header, guess in guesses.items() if _is_amount(header, guess)),
        key=lambda header: (
            not MONEY_NAME.search(spoken(header)),
            not AMOUNT_NAME.search(spoken(header)),
        ),
    )
    return LogColumns(
        time=times[0],
        others=tuple(times[1:]),
        known_at=_known_at(guesses, times[0]),
        id=_id(sheet, guesses, elsewhere),
        amounts=tuple(amounts),
        kinds=tuple(
            header
            for header, guess in guesses.items()
            if guess.column.dtype == "category"
            and 1 < guess.distinct <= MOST_KINDS
            and not guess.useless
        ),
        flags=tuple(
            header
            for header, guess in guesses.items()
            if guess.column.dtype == "boolean" and guess.distinct > 1
        ),
    )


def may_be_log(sheet: Sheet, as_of: dt.date | None) -> bool:
    """Whether a file looks like a log, whichever column is the customer's key: a column that
    names a customer repeats, and no other is as likely and unique.
    """
    repeated = [h for h in sheet.guesses if _identifies(sheet, h) and not sheet.guesses[h].unique]
    unique = [h for h in sheet.guesses if _identifies(sheet, h) and sheet.guesses[h].unique]
    best = max(map(_likeness, repeated), default=0)
    if best <= max(map(_likeness, unique), default=0):
        return False
    return any(bool(_times(_without(sheet, header), as_of)) for header in repeated)


def find_key(sheets: Sequence[Sheet], wanted: str | None, as_of: dt.date | None) -> KeyColumn:
    """The customer's key: unique in most of the files that are not logs, or, where all are logs,
    the column of a log that names a customer.

    Raises:
        UsageError: no key can be guessed, or `wanted` is in no file.
    """
    logs = [sheet for sheet in sheets if may_be_log(sheet, as_of)]
    if wanted is not None:
        return _given_key(sheets, wanted, as_of)
    rest = [sheet for sheet in sheets if all(sheet is not log for log in logs)]
    if rest or not logs:
        return guess_key(rest or sheets, None)
    likeness = {
        header: _likeness(header)
        for log in logs
        for header in log.guesses
        if _identifies(log, header) and not log.guesses[header].unique
    }
    in_most = {h: n for h, n in likeness.items() if 2 * _files(logs, h) > len(logs)}
    best = [h for h, n in in_most.items() if n == max(in_most.values())]
    if len(best) != 1:
        raise UsageError(
            "No key can be guessed, because several columns of the log could name the customer:"
            f" pass --entity with one of {listed(best or likeness)}.",
            code="KEY_NOT_FOUND",
        )
    doubt = "guessed from its name; the file is a log with several rows a customer"
    return KeyColumn(best[0], _whole(logs, best[0]), doubt)


def has_clock(values: pd.Series, date_format: str) -> bool:
    """Whether a column of dates (rows,) as delivered has times of day other than midnight."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        present = values.dropna()
        return bool((present != present.dt.normalize()).any())
    texts, _ = convert(values, "string")
    texts = texts.dropna().str.strip()
    if date_format == "epoch_seconds":
        seconds = pd.to_numeric(texts, errors="coerce").astype("Float64")
        return bool((seconds % DAY_SECONDS != 0).any())
    clocks = texts[texts.str.contains(CLOCK, regex=True)]
    return bool(len(clocks)) and not bool(clocks.str.fullmatch(MIDNIGHT).all())


def named_late(name: str) -> bool:
    """Whether the name of a log suggests that it is about churning itself."""
    return known_late(name) and "refund" not in spoken(name)


def _times(guesses: Mapping[str, Guess], as_of: dt.date | None) -> list[str]:
    """The columns that may have the time of an event, the likeliest first."""
    return sorted(
        (header for header, guess in guesses.items() if _may_be_time(header, guess, as_of)),
        key=lambda header: _time_order(header, guesses[header], as_of),
    )


def _may_be_time(header: str, guess: Guess, as_of: dt.date | None) -> bool:
    if guess.column.dtype != "date" or guess.distinct < FEWEST_DAYS:
        return False
    if NO_EVENT_TIME_NAME.search(spoken(header)) or guess.values.isna().mean() > FEW_UNTIMED:
        return False
    return as_of is None or bool(guess.values.max() >= pd.Timestamp(as_of - FAR))


def _time_order(header: str, guess: Guess, as_of: dt.date | None) -> tuple[bool, bool, bool, int]:
    name = spoken(header)
    late = False
    if as_of is not None:
        late = float((guess.values > pd.Timestamp(as_of)).mean()) > MOST_AFTER
    return (
        late,
        bool(KNOWN_TIME_NAME.search(name)),
        not EVENT_TIME_NAME.search(name),
        -guess.distinct,
    )


def _known_at(guesses: Mapping[str, Guess], time: str) -> str:
    """The column with the time at which events became known: named so, never before the event,
    and usually soon after it.
    """
    happened = guesses[time].values
    for header, guess in guesses.items():
        if header == time or guess.column.dtype != "date" or guess.useless:
            continue
        lag = (guess.values - happened).dt.days.dropna()
        if not KNOWN_TIME_NAME.search(spoken(header)) or lag.empty:
            continue
        if lag.min() >= 0 and lag.median() <= LONGEST_LAG:
            return header
    return ""


def _id(sheet: Sheet, guesses: Mapping[str, Guess], elsewhere: Sequence[pd.DataFrame]) -> str:
    """The column with a number of each event: never empty, never repeated, and not begun anew in
    each drop.
    """
    for header, guess in guesses.items():
        texts, _ = convert(sheet.frame[header], "string")
        names = NUMBER_NAME.search(spoken(header)) or key_likeness(header)
        if not names or guess.column.dtype not in ("integer", "string") or is_row_number(header):
            continue
        if texts.isna().any() or texts.duplicated().any():
            continue
        if not any(_begun_anew(sheet, header, other) for other in elsewhere):
            return header
    return ""


def _begun_anew(sheet: Sheet, header: str, other: pd.DataFrame) -> bool:
    """Whether a number names another event in another drop."""
    if header not in other or set(other.columns) != set(sheet.frame.columns):
        return False
    both = pd.concat([sheet.frame, other], ignore_index=True).drop_duplicates()
    return bool(both[header].duplicated().any())


def _is_amount(header: str, guess: Guess) -> bool:
    name = spoken(header)
    if guess.column.dtype not in ("integer", "float") or guess.useless:
        return False
    if NO_AMOUNT_NAME.search(name) or is_row_number(header):
        return False
    if AMOUNT_NAME.search(name):
        return True
    return guess.column.dtype == "float" and not guess.whole and not key_likeness(header)


def _identifies(sheet: Sheet, header: str) -> bool:
    """Whether a column may name a customer or a thing."""
    guess = sheet.guesses[header]
    if not header.strip() or guess.column.dtype not in ("string", "category", "integer", "float"):
        return False
    if guess.distinct < 2 and not guess.unique:  # noqa: PLR2004 - one value names no one
        return False
    return _likeness(header) > 0 and (guess.column.dtype != "float" or guess.whole)


def _likeness(header: str) -> int:
    """How much a header looks like the customer's key: 0 not at all, 4 most."""
    name = spoken(header)
    person = bool(CUSTOMER_NAME.search(name))
    number = bool(NUMBER_NAME.search(name)) or key_likeness(header) > 1
    return 3 * person + number


def _without(sheet: Sheet, key: str) -> dict[str, Guess]:
    return {h: guess for h, guess in sheet.guesses.items() if h.strip() and h != key}


def _files(logs: Iterable[Sheet], header: str) -> int:
    return sum(header in log.guesses for log in logs)


def _whole(sheets: Iterable[Sheet], header: str) -> bool:
    return all(sheet.guesses[header].whole for sheet in sheets if header in sheet.guesses)


def _given_key(sheets: Sequence[Sheet], wanted: str, as_of: dt.date | None) -> KeyColumn:
    """The key that is given; it may repeat in all files if they are logs."""
    with_time = list(_logs_of(sheets, wanted, as_of))
    unique = [
        sheet
        for sheet in sheets
        for header, guess in sheet.guesses.items()
        if wanted in (header, valid_name(header)) and guess.unique
    ]
    if unique or not with_time:
        return guess_key(sheets, wanted)
    header = with_time[0]
    return KeyColumn(header, _whole(sheets, header))


def _logs_of(sheets: Sequence[Sheet], wanted: str, as_of: dt.date | None) -> Iterator[str]:
    """The header of the given key in each file that has times."""
    for sheet in sheets:
        for header in sheet.guesses:
            if wanted in (header, valid_name(header)) and _times(_without(sheet, header), as_of):
                yield header
