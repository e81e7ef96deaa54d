"""The timestamps of a log, however its file writes them, as instants."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from churn_platform.ingestion.faults import Mask
from churn_platform.lake.instants import instants

if TYPE_CHECKING:
    import pyarrow as pa

TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
ZONE = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
PLAIN = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{TIME}{ZONE}?)?"
"""What Arrow reads."""
ZONED = rf".*[T ]{TIME}{ZONE}"
OTHER_ISO = re.compile(
    r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})"
    r"(?:[T ]([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?)?"
    r" ?(UTC|GMT|[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
"""Without signs between the numbers, with a comma, with more digits than microseconds have, with
a blank before the zone, or with its name.
"""
EXCEL_EPOCH = np.datetime64("1899-12-30", "ms")
MILLISECONDS = 86_400_000
"""Of a day."""
LAST_EXCEL_DAY = 2_958_466
FIRST = np.datetime64("0001-01-01", "s")
LAST = np.datetime64("9999-12-31T23:59:59", "s")

Times = np.ndarray[Any, np.dtype[np.datetime64]]


def read_timestamps(text: pd.Series, date_format: str, zone: str) -> pd.Series:
    """The instants (rows,) that texts mean, in UTC and whole microseconds; null where a text is
    not a timestamp.

    ISO 8601 with or without a zone, also mixed, and dates, which mean midnight. Times without a
    zone are those of the clocks of `zone`: `lake.instants` says what the changes in spring and
    autumn mean. The zone of the machine plays no part.

    Args:
        text: the texts, without blanks around them.
        date_format: `excel`, `epoch_seconds` or a format of `strptime`; empty for ISO 8601.
        zone: the zone of times without one.
    """
    if date_format == "epoch_seconds":
        return _of_seconds(text)
    if date_format == "excel":
        return instants(_of_excel(text), zone)
    if date_format:
        return _formatted(text, date_format, zone)
    return _iso(text, zone)


def of_typed(values: pd.Series, zone: str) -> pd.Series:
    """The instants (rows,) of timestamps or dates that a file holds as such; null outside the
    years 1 to 9999.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        utc = values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        return _instants(_within_years(utc), values.index)
    return instants(pd.Series(_within_years(values.to_numpy()), index=values.index), zone)


def _within_years(times: Times) -> Times:
    """The times (rows,) in microseconds, rounded down; null outside the years 1 to 9999."""
    seconds = times.astype("datetime64[s]")
    with np.errstate(over="ignore"):
        micros = times.astype("datetime64[us]")
    micros[(seconds < FIRST) | (seconds > LAST)] = np.datetime64("NaT")
    return micros


def _numbers(text: pd.Series) -> "np.ndarray[Any, np.dtype[np.floating[Any]]]":
    numbers = pd.to_numeric(text, errors="coerce").astype("Float64")
    return numbers.to_numpy(dtype=float, na_value=np.nan)


def _of_seconds(text: pd.Series) -> pd.Series:
    """Seconds since 1970, which are in UTC."""
    seconds = _numbers(text)
    inside = (seconds >= FIRST.astype(int)) & (seconds <= LAST.astype(int))
    micros = np.full(len(text), np.datetime64("NaT"), dtype="datetime64[us]")
    micros[inside] = np.round(seconds[inside] * 1e6).astype(np.int64).view("datetime64[us]")
    return _instants(micros, text.index)


def _of_excel(text: pd.Series) -> pd.Series:
    """Days since Excel's first one, to the millisecond; without a zone."""
    day = _numbers(text)
    inside = (day >= 1) & (day < LAST_EXCEL_DAY)
    times = np.full(len(text), np.datetime64("NaT"), dtype="datetime64[us]")
    milliseconds = np.round(day[inside] * MILLISECONDS).astype("timedelta64[ms]")
    times[inside] = EXCEL_EPOCH + milliseconds
    return pd.Series(times, index=text.index)


def _formatted(text: pd.Series, date_format: str, zone: str) -> pd.Series:
    """Texts in a format of `strptime`; a Z at its end is the zone."""
    date_format = re.sub(r"(?<!%)Z$", "%z", date_format)
    zoned = "%z" in date_format or "%Z" in date_format
    # Pandas reads "now" as the clock of the machine.
    numbered = text.where(text.str.contains("[0-9]").fillna(value=False).astype(bool), None)
    read = pd.to_datetime(numbered, format=date_format, errors="coerce", utc=zoned)
    found: Times = of_typed(read, zone).dt.tz_localize(None).to_numpy(copy=True)
    left = np.isnat(found) & numbered.notna().to_numpy()
    if left.any() and not zoned:  # beyond the nanoseconds of pandas, as 9999-12-31
        words = numbered[left]
        known = {word: _strptime(word, date_format) for word in words.unique()}
        far = np.array([known[word] for word in words], dtype="datetime64[us]")
        found[left] = _in_utc(far, zone)
    return _instants(found, text.index)


def _strptime(word: str, date_format: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(word, date_format)
    except ValueError:
        return None


def _iso(text: pd.Series, zone: str) -> pd.Series:
    import pyarrow as pa

    plain = _matches(text, PLAIN)
    others = text[~plain & text.notna().to_numpy()]
    if len(others):
        text = text.copy()
        forms = {word: _as_plain(word) for word in others.unique()}
        text[others.index] = others.map(forms).astype(text.dtype)
    zoned = _matches(text, ZONED)
    read = np.full(len(text), np.datetime64("NaT"), dtype="datetime64[us]")
    if zoned.any():
        read[zoned] = _cast(text[zoned], pa.timestamp("us", tz="UTC"))
    left = text.notna().to_numpy() & ~zoned
    if left.any():
        read[left] = _in_utc(_cast(text[left], pa.timestamp("us")), zone)
    return _instants(read, text.index)


def _in_utc(local: Times, zone: str) -> Times:
    times: Times = instants(pd.Series(local), zone).dt.tz_localize(None).to_numpy()
    return times


def _instants(utc: Times, index: pd.Index) -> pd.Series:
    found: pd.Series = pd.Series(utc, index=index).dt.tz_localize("UTC")
    return found


def _matches(text: pd.Series, form: str) -> Mask:
    found: Mask = text.str.fullmatch(form).fillna(value=False).to_numpy(dtype=bool)
    return found


def _as_plain(word: str) -> str | None:
    """Another form of ISO 8601 in the one that Arrow reads; None for other texts."""
    found = OTHER_ISO.fullmatch(word)
    if found is None:
        return None
    year, _, month, day, hour, minute, second, fraction, zone = found.groups()
    plain = f"{year}-{month}-{day}"
    if hour is None:
        return plain
    plain += f" {hour}:{minute or '00'}:{second or '00'}"
    if fraction:
        plain += f".{fraction[:6]}"
    if zone is None:
        return plain
    return plain + ("Z" if zone[0] not in "+-" else zone)


def _cast(text: pd.Series, kind: "pa.DataType") -> Times:
    """The times (rows,) that texts in the form of Arrow mean; null for those of days and hours
    that no calendar has.
    """
    import pyarrow as pa

    words = pa.array(text, pa.string())
    try:
        times = words.cast(kind)
    except pa.ArrowInvalid:
        times = pa.array([_exact(word, kind) for word in words], kind)
    return _within_years(times.to_numpy(zero_copy_only=False))


def _exact(word: "pa.Scalar", kind: "pa.DataType") -> "pa.Scalar | None":
    import pyarrow as pa

    try:
        return word.cast(kind)
    except pa.ArrowInvalid:
        return None
