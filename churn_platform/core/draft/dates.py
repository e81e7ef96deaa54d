"""Which way of writing dates a column uses: ISO, another order, Excel's day numbers, or seconds since 1970."""

import datetime as dt
import re
from dataclasses import dataclass

import pandas as pd

from churn_platform.core.draft.words import tokens

READABLE_SHARE = 0.5
HEAD = 200
ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)? ?(Z|[+-][0-9]{2}:?([0-9]{2})?)?)?"
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
TIMES = (("", ""), (r" [0-9]{1,2}:[0-9]{2}", " %H:%M"), (r" [0-9]{1,2}:[0-9]{2}:[0-9]{2}", " %H:%M:%S"))
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
EXCEL_EPOCH = pd.Timestamp(1899, 12, 30)
FIRST_DAY, LAST_DAY = pd.Timestamp(1930, 1, 1), pd.Timestamp(2100, 1, 1)
UNNAMED_FIRST, UNNAMED_LAST = pd.Timestamp(2000, 1, 1), pd.Timestamp(2030, 1, 1)
"""Without a name that hints at dates, all numbers must be days within this much narrower range."""
FEWEST_UNNAMED = 20
ZERO_DATE = r"0{4}-?0{2}-?0{2}.*"


@dataclass(frozen=True)
class DateForm:
    """How dates are written: a column's `date_format`, empty for ISO; the dates that could be read; the doubt."""

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
    if _share(words, rows, words.str.fullmatch(f"{ISO_DATE}|{ZERO_DATE}")) >= READABLE_SHARE:
        iso = words[words.str.fullmatch(ISO_DATE)]
        return DateForm("", _read(iso.str[:10], "%Y-%m-%d"))
    if words.str.fullmatch(r"[0-9]+").mean() > READABLE_SHARE:
        digits = words[words.str.fullmatch(r"[0-9]+(?:\.0+)?")]
        return _numbered(name, digits, repeated=int(rows[digits.index].sum()) > len(digits))
    return _in_another_order(words, rows)


def _epoch(numbers: pd.Series) -> pd.Series:
    """Dates of seconds since 1970."""
    return pd.to_datetime(numbers.astype("float64"), unit="s", errors="coerce").dt.normalize().astype("datetime64[s]")


def _numbered(name: str, digits: pd.Series, *, repeated: bool) -> DateForm | None:
    """Numbers that may be dates. Without a hint in the name, a number of its own for every row may be a key."""
    if digits.empty:
        return None
    hints = set(tokens(name))
    dated, against = bool(hints & DATE_HINTS), bool(hints & NUMBER_HINTS) and not hints & {"date", "timestamp", "epoch"}
    if against or not (dated or repeated):
        return None
    if bool(digits.str.fullmatch(COMPACT).all()):
        dates = _read(digits, "%Y%m%d")
        return DateForm("%Y%m%d", dates, f"{digits.iloc[0]} read as a date") if len(dates) == len(digits) else None
    numbers = pd.to_numeric(digits)
    for form, shortest, longest in (("excel", 5, 5), ("epoch_seconds", 9, 10)):
        lengths = digits.str.split(".").str[0].str.len()
        if not lengths.between(shortest, longest).all():
            continue
        dates = _excel(numbers) if form == "excel" else _epoch(numbers)
        first, last = (FIRST_DAY, LAST_DAY) if dated else (UNNAMED_FIRST, UNNAMED_LAST)
        fits = bool(dates.notna().all() and dates.between(first, last).all())
        varied = len(digits) >= FEWEST_UNNAMED and not bool((numbers % 10 == 0).all())
        if fits and (dated or varied):
            shown = dates.iloc[0].date().isoformat()
            what = "Excel's day numbers" if form == "excel" else "seconds since 1970"
            return DateForm(form, dates, f"read as {what}: {digits.iloc[0]} is {shown}")
    return None


def _excel(numbers: pd.Series) -> pd.Series:
    return (EXCEL_EPOCH + pd.to_timedelta(numbers.astype("float64").floordiv(1), unit="D")).astype("datetime64[s]")


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
            read = {form: _read(written, form + time_form) for form in forms}
            best = max(read, key=lambda form: len(read[form]))
            if not len(read[best]):
                continue
            equal = [form for form in forms if len(read[form]) == len(read[best])]
            return DateForm(best + time_form, read[best], _order_doubt(written, best, ambiguous=len(equal) > 1))
    return None


def _order_doubt(written: pd.Series, form: str, *, ambiguous: bool) -> str:
    if ambiguous:
        return f"day or month first? no date shows it: {written.iloc[0]} read as {form}"
    return f"{written.iloc[0]} read as {form}" if re.search("%y", form) else ""


def _share(words: pd.Series, rows: pd.Series, mask: object) -> float:
    mine = rows[words.index]
    return float(mine[pd.Series(mask, index=words.index).fillna(value=False).astype(bool)].sum() / mine.sum())


def _read(texts: pd.Series, form: str) -> pd.Series:
    """The dates among texts, far ones such as 9999-12-31 too."""
    dates = pd.Series(pd.to_datetime(texts, errors="coerce", format=form).dt.normalize().astype("datetime64[s]"))
    far = texts[dates.isna()]
    if form == "%Y-%m-%d" and len(far):
        dates[far.index] = pd.Series([_far(text) for text in far], index=far.index, dtype="datetime64[s]")
    return dates.dropna()


def _far(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        return None
