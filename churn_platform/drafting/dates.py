"""Which way of writing dates a column uses: ISO, another order, Excel's day numbers, or seconds
since 1970.
"""

import re
from dataclasses import dataclass

import pandas as pd

from churn_platform.drafting.words import tokens
from churn_platform.ingestion.conversion import TEXT, Writing, convert

READABLE_SHARE = 0.5
HEAD = 200
DASHED = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?"
COMPACT = r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
FORMS = (
    (r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}", ("%d.%m.%Y",)),
    (r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{2}", ("%d.%m.%y",)),
    (r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}", ("%d/%m/%y", "%m/%d/%y")),
    (r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}", ("%d-%m-%Y", "%m-%d-%Y")),
    (r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}", ("%Y/%m/%d",)),
    (r"[0-9]{4}\.[0-9]{1,2}\.[0-9]{1,2}", ("%Y.%m.%d",)),
    (r"[0-9]{1,2}-[A-Za-z]{3}-[0-9]{4}", ("%d-%b-%Y",)),
    (r"[0-9]{1,2}-[A-Za-z]{3}-[0-9]{2}", ("%d-%b-%y",)),
    (r"[0-9]{1,2} [A-Za-z]{3} [0-9]{4}", ("%d %b %Y",)),
    (r"[A-Za-z]{3} [0-9]{1,2}, [0-9]{4}", ("%b %d, %Y",)),
)
CLOCK = " (?:[01]?[0-9]|2[0-3]):[0-5][0-9]"
TIMES = (("", ""), (CLOCK, " %H:%M"), (f"{CLOCK}:[0-5][0-9]", " %H:%M:%S"))
DATE_HINTS = frozenset({
    "date", "day", "dt", "at", "on", "since", "joined", "start", "started", "begin", "created", "opened", "signup",
    "registered", "registration", "birth", "birthday", "born", "dob", "renewal", "renewed", "updated", "upgraded",
    "activated", "subscribed", "timestamp", "ts", "epoch", "excel", "expires", "expiry",
})  # fmt: skip
NUMBER_HINTS = frozenset({
    "id", "key", "zip", "zipcode", "postal", "postcode", "plz", "code", "phone", "mobile", "salary", "income", "wage",
    "amount", "balance", "price", "revenue", "spend", "fee", "cost", "total", "count", "number", "nr", "no", "points",
    "views", "steps", "days", "km", "miles", "mileage", "credit", "limit", "bytes", "value", "sum", "sales", "turnover",
})  # fmt: skip
DATE_NAMES = frozenset({"date", "timestamp", "epoch"})
"""Words that make a date of a column whatever else its name says."""
DAY_SECONDS = 24 * 60 * 60
EXCEL_NUMBER = r"[0-9]{5}(?:\.0+)?"
EPOCH_NUMBER = r"[0-9]{9,10}(?:\.0+)?"
FIRST_DAY = pd.Timestamp(1930, 1, 1)
LAST_DAY = pd.Timestamp(2100, 1, 1)
UNNAMED_FIRST = pd.Timestamp(2000, 1, 1)
UNNAMED_LAST = pd.Timestamp(2030, 1, 1)
"""Without a name that hints at dates, all numbers must be days within this much narrower range.
"""
FEWEST_UNNAMED = 20
ZERO_DATE = r"0{4}-?0{2}-?0{2}.*"


@dataclass(frozen=True)
class DateForm:
    """How dates are written: a column's `date_format`, empty for ISO; the dates that could be
    read; the doubt.
    """

    form: str
    dates: pd.Series
    doubt: str = ""


def guess_date_format(name: str, words: pd.Series, rows: pd.Series) -> DateForm | None:
    """The form in which most of `words` (distinct texts) are dates; None where few are.

    Args:
        name: the header, for numbers that may be days or seconds.
        words: stripped texts, without those that mean "missing".
        rows: the rows of each.
    """
    if words.empty:
        return None
    if _share(words, rows, words.str.fullmatch(f"{DASHED}|{ZERO_DATE}")) >= READABLE_SHARE:
        return DateForm("", _read(words[words.str.fullmatch(DASHED)], ""))
    if words.str.fullmatch(r"[0-9]+").mean() > READABLE_SHARE:
        digits = words[words.str.fullmatch(r"[0-9]+(?:\.0+)?")]
        return _numbered(name, digits, repeated=int(rows[digits.index].sum()) > len(digits))
    return _in_another_order(words, rows)


def _numbered(name: str, digits: pd.Series, *, repeated: bool) -> DateForm | None:
    """Numbers that may be dates.

    Without a hint in the name, a number of its own for every row may be a key.
    """
    if digits.empty:
        return None
    hints = set(tokens(name))
    dated = bool(hints & DATE_HINTS)
    if hints & NUMBER_HINTS and not hints & DATE_NAMES:
        return None
    if not (dated or repeated):
        return None
    if bool(digits.str.fullmatch(COMPACT).all()):
        return _compact(digits)
    return _excel_days(digits, dated=dated) or _epoch_seconds(digits, dated=dated)


def _compact(digits: pd.Series) -> DateForm | None:
    dates = _read(digits, "%Y%m%d")
    if len(dates) < len(digits):
        return None
    return DateForm("%Y%m%d", dates, f"{digits.iloc[0]} read as a date")


def _excel_days(digits: pd.Series, *, dated: bool) -> DateForm | None:
    if not digits.str.fullmatch(EXCEL_NUMBER).all() or not (dated or _varied(digits)):
        return None
    dates = _read(digits, "excel")
    if len(dates) < len(digits) or not _plausible(dates, dated=dated):
        return None
    return DateForm(
        "excel", dates, f"read as Excel's day numbers: {digits.iloc[0]} is {_shown(dates)}"
    )


def _epoch_seconds(digits: pd.Series, *, dated: bool) -> DateForm | None:
    if not digits.str.fullmatch(EPOCH_NUMBER).all() or not (dated or _varied(digits)):
        return None
    midnights = (
        pd.to_numeric(digits) // DAY_SECONDS * DAY_SECONDS
    )  # few: each distinct text is read by itself
    dates = _read(midnights.astype("int64").astype(TEXT), "epoch_seconds")
    if len(dates) < len(digits) or not _plausible(dates, dated=dated):
        return None
    return DateForm(
        "epoch_seconds",
        dates,
        f"read as seconds since 1970: {digits.iloc[0]} is {_shown(dates)}",
    )


def _varied(numbers: pd.Series) -> bool:
    """Whether there are many numbers, which are not all rounded to tens as amounts often are."""
    return len(numbers) >= FEWEST_UNNAMED and not bool((pd.to_numeric(numbers) % 10 == 0).all())


def _plausible(dates: pd.Series, *, dated: bool) -> bool:
    first = FIRST_DAY if dated else UNNAMED_FIRST
    last = LAST_DAY if dated else UNNAMED_LAST
    return bool(dates.between(first, last).all())


def _shown(dates: pd.Series) -> str:
    return str(dates.iloc[0].date().isoformat())


def _in_another_order(words: pd.Series, rows: pd.Series) -> DateForm | None:
    head = words.head(HEAD)
    for pattern, forms in FORMS:
        for time_pattern, time_form in TIMES:
            whole = pattern + time_pattern
            if head.str.fullmatch(whole).mean() < READABLE_SHARE:
                continue
            written = words[words.str.fullmatch(whole)]
            if _share(words, rows, words.index.isin(written.index)) < READABLE_SHARE:
                continue
            if time_pattern:
                days = written.str.replace(f"{time_pattern}$", "", regex=True)
            else:
                days = written
            read = {form: _read(days, form) for form in forms}
            best = max(read, key=lambda form: len(read[form]))
            if not len(read[best]):
                continue
            equal = [form for form in forms if len(read[form]) == len(read[best])]
            return DateForm(
                best + time_form,
                read[best],
                _order_doubt(written, best, ambiguous=len(equal) > 1),
            )
    return None


def _order_doubt(written: pd.Series, form: str, *, ambiguous: bool) -> str:
    if ambiguous:
        return f"day or month first? no date shows it: {written.iloc[0]} read as {form}"
    if re.search("%y", form):
        return f"{written.iloc[0]} read as {form}"
    return ""


def _share(words: pd.Series, rows: pd.Series, mask: object) -> float:
    mine = rows[words.index]
    return float(
        mine[pd.Series(mask, index=words.index).fillna(value=False).astype(bool)].sum() / mine.sum()
    )


def _read(texts: pd.Series, form: str) -> pd.Series:
    """The dates among texts, read as ingestion reads them by a `date_format`; ISO where `form`
    is empty.
    """
    dates, _ = convert(texts, "date", Writing(date_format=form))
    return dates.dropna()
