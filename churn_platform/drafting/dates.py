"""How a column writes dates: ISO, another order, Excel's day numbers, or seconds since 1970."""

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
    "date", "day", "dt", "at", "on", "since", "joined", "start", "started", "begin",
    "created", "opened", "signup", "registered", "registration", "birth", "birthday",
    "born", "dob", "renewal", "renewed", "updated", "upgraded", "activated", "subscribed",
    "timestamp", "ts", "epoch", "excel", "expires", "expiry",
})  # fmt: skip
NUMBER_HINTS = frozenset({
    "id", "key", "zip", "zipcode", "postal", "postcode", "plz", "code", "phone", "mobile",
    "salary", "income", "wage", "amount", "balance", "price", "revenue", "spend", "fee",
    "cost", "total", "count", "number", "nr", "no", "points", "views", "steps", "days",
    "km", "miles", "mileage", "credit", "limit", "bytes", "value", "sum", "sales",
    "turnover",
})  # fmt: skip
DATE_NAMES = frozenset({"date", "timestamp", "epoch"})
"""Words that show a date, whatever else the name suggests."""
DAY_SECONDS = 24 * 60 * 60
NUMBER_FORMS = (
    ("excel", r"[0-9]{5}(?:\.0+)?", "Excel's day numbers"),
    ("epoch_seconds", r"[0-9]{9,10}(?:\.0+)?", "seconds since 1970"),
)
"""`date_format`, pattern of the digits, and the words for it."""
FIRST_DAY = pd.Timestamp(1930, 1, 1)
LAST_DAY = pd.Timestamp(2100, 1, 1)
UNNAMED_FIRST = pd.Timestamp(2000, 1, 1)
UNNAMED_LAST = pd.Timestamp(2030, 1, 1)
"""Without a name that hints at dates, all numbers must be days in this narrower range."""
FEWEST_UNNAMED = 20
ZERO_DATE = r"0{4}-?0{2}-?0{2}.*"


@dataclass(frozen=True)
class DateForm:
    """How dates are written: the column's `date_format` (empty for ISO), the dates that could be
    read, and the doubt.
    """

    form: str
    dates: pd.Series
    doubt: str = ""


def guess_date_format(name: str, words: pd.Series, rows: pd.Series) -> DateForm | None:
    """The form in which most of `words` (distinct texts) are dates; None if few are.

    Args:
        name: the header, for numbers that may be days or seconds.
        words: stripped texts, without those that mean "missing".
        rows: the rows of each.
    """
    if words.empty:
        return None
    if _share(words.str.fullmatch(f"{DASHED}|{ZERO_DATE}"), rows) >= READABLE_SHARE:
        return DateForm("", _read(words[words.str.fullmatch(DASHED)], ""))
    if words.str.fullmatch(r"[0-9]+").mean() > READABLE_SHARE:
        digits = words[words.str.fullmatch(r"[0-9]+(?:\.0+)?")]
        return _numbered(name, digits, repeated=int(rows[digits.index].sum()) > len(digits))
    return _in_another_order(words, rows)


def _numbered(name: str, digits: pd.Series, *, repeated: bool) -> DateForm | None:
    """Numbers that may be dates.

    Without a hint in the name, a number that differs in every row may be a key.
    """
    hints = set(tokens(name))
    dated = bool(hints & DATE_HINTS)
    if digits.empty or (hints & NUMBER_HINTS and not hints & DATE_NAMES):
        return None
    if not dated and not repeated:
        return None
    if bool(digits.str.fullmatch(COMPACT).all()):
        dates = _read(digits, "%Y%m%d")
        doubt = f"{digits.iloc[0]} read as a date"
        return DateForm("%Y%m%d", dates, doubt) if len(dates) == len(digits) else None
    first = FIRST_DAY if dated else UNNAMED_FIRST
    last = LAST_DAY if dated else UNNAMED_LAST
    # Amounts are often few, or rounded to tens.
    varied = len(digits) >= FEWEST_UNNAMED and not (pd.to_numeric(digits) % 10 == 0).all()
    if not dated and not varied:
        return None
    for form, pattern, what in NUMBER_FORMS:
        if not digits.str.fullmatch(pattern).all():
            continue
        dates = _read_numbers(digits, form)
        if len(dates) == len(digits) and dates.between(first, last).all():
            shown = dates.iloc[0].date().isoformat()
            return DateForm(form, dates, f"read as {what}: {digits.iloc[0]} is {shown}")
    return None


def _in_another_order(words: pd.Series, rows: pd.Series) -> DateForm | None:
    """Texts with a day, a month and a year in one of the usual orders."""
    head = words.head(HEAD)
    for pattern, forms in FORMS:
        for time_pattern, time_form in TIMES:
            matching = pattern + time_pattern
            if head.str.fullmatch(matching).mean() < READABLE_SHARE:
                continue
            mask = words.str.fullmatch(matching)
            if _share(mask, rows) < READABLE_SHARE:
                continue
            written = words[mask]
            days = written.str.replace(f"{time_pattern}$", "", regex=True)
            read = {form: _read(days, form) for form in forms}
            most = max(len(dates) for dates in read.values())
            best, *others = [form for form in forms if len(read[form]) == most]
            if most:
                doubt = ""
                if others:
                    doubt = (
                        f"day or month first? no date shows it: {written.iloc[0]} read as {best}"
                    )
                elif "%y" in best:
                    doubt = f"{written.iloc[0]} read as {best}"
                return DateForm(best + time_form, read[best], doubt)
    return None


def _share(mask: pd.Series, rows: pd.Series) -> float:
    """The share of the rows whose text is in `mask`."""
    own = rows[mask.index]
    return float(own[mask.fillna(value=False).astype(bool)].sum() / own.sum())


def _read_numbers(digits: pd.Series, form: str) -> pd.Series:
    if form == "epoch_seconds":
        # Midnights are few, and each distinct text is read by itself.
        midnights = pd.to_numeric(digits) // DAY_SECONDS * DAY_SECONDS
        digits = midnights.astype("int64").astype(TEXT)
    return _read(digits, form)


def _read(texts: pd.Series, form: str) -> pd.Series:
    """The dates among texts, read as ingestion reads them by a `date_format`; ISO if `form` is
    empty.
    """
    dates, _ = convert(texts, "date", Writing(date_format=form))
    return dates.dropna()
