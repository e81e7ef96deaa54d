"""What a column's values suggest: its dtype, how it is written, whether it may be empty, its
range or categories.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.contract.model import Column, Dtype
from churn_platform.drafting.texts import Form, guess_form, is_null_word, missing_doubt
from churn_platform.drafting.words import is_count, is_row_number
from churn_platform.ingestion.conversion import TEXT

LOW = (-1.0, *(-float("9" * digits) for digits in range(1, 8)))
HIGH = tuple(float("9" * digits) for digits in range(2, 11))
FAR = 3
"""A high one is so many times the largest other number."""
FEWEST_OTHERS = 3
DAYS = pd.to_datetime(
    pd.Series(
        [
            "1753-01-01",
            "1899-12-30",
            "1899-12-31",
            "1900-01-01",
            "1901-01-01",
            "1970-01-01",
            "2099-12-31",
        ]
    )
).astype("datetime64[s]")
LAST_YEARS = (1, 2999, 9999)
LONELY_DAYS = 10 * 365
"""No other date is so near to one that stands for a missing value."""


def number_sentinels(numbers: pd.Series) -> pd.Series:
    """Which of the distinct numbers stand for a missing value, as a mask.

    A negative one is the only kind below 0. A high one lies far above all others.
    """
    values = numbers.astype("Float64").astype("float64")
    low = values.isin(LOW)
    others = values[~low & values.notna()]
    if not low.any() or others.nunique() < FEWEST_OTHERS or others.min() < 0:
        low = values.isin([])
    rest = values[~low]
    high = values.isin(HIGH) & ~low
    usual = rest[~rest.isin(HIGH)]
    if not len(usual) or usual.nunique() < FEWEST_OTHERS or usual.max() <= 0:
        return low
    return low | (high & (values / FAR > usual.max()))


def date_sentinels(dates: pd.Series) -> pd.Series:
    """Which of the distinct dates stand for a missing value, as a mask: usual ones, years away
    from all others.
    """
    usual = dates.isin(DAYS) | dates.dt.year.isin(LAST_YEARS)
    others = dates[~usual].dropna()
    if others.empty:
        return pd.Series(data=False, index=dates.index)
    first = others.min()
    last = others.max()
    lonely = pd.Timedelta(days=LONELY_DAYS).to_timedelta64().astype("timedelta64[s]")
    return pd.Series(usual & ((dates < first - lonely) | (dates > last + lonely)))


LISTED = 20
OFTEN = 10
"""A category whose every value occurs so often has hardly more values than those seen."""
UNIQUE_SHARE = 0.5
LONG_TEXT = 60
SHOWN = 4
NUMBER_LIKE = r"\(?[+-]?(?:[€$£¥]\s*)?[0-9]+(?:[,.' ][0-9]+)+\s*(?:[€$£¥%]|[A-Za-z]{0,3})\)?-?"
MARGIN = 5
SAFE_BOUND = 1e15
SMALLEST = 1e-6
FEW_EMPTY = 0.01
REPEATED_SHARE = 0.01
"""Up to this share of the rows may repeat a key or lack it: they would be quarantined."""


Counts = np.ndarray[Any, np.dtype[np.integer[Any]]]


@dataclass(frozen=True)
class Guess:
    """A column as its values look; `doubt` is why to confirm it, `useless` why it can be no
    feature, else empty.
    """

    column: Column
    distinct: int
    unique: bool
    """Whether nearly every row has a value of its own."""
    values: pd.Series
    """The newest drop's (rows,), in the dtype, null where missing or unreadable."""
    doubt: str = ""
    useless: str = ""
    decimal: str = ""
    """The sign of its fractions as written; empty without any."""
    whole: bool = False
    """Whether all numbers are whole, however they are written."""


@dataclass(frozen=True)
class Read:
    """A column's values as read from all drops: the form of the distinct ones, and the rows
    that each is in.
    """

    form: Form
    counts: Counts
    typed: pd.Series
    """The values (rows,) in the form's dtype."""

    @property
    def present(self) -> pd.Series:
        """The distinct values that are not missing and can be read."""
        return self.form.values.dropna()

    @property
    def kinds(self) -> int:
        """How many different values there are."""
        return int(self.form.values.nunique())

    @property
    def empty(self) -> int:
        """The rows without a value; a value that cannot be read is not empty."""
        unread = int(self.counts[list(self.form.unread)].sum())
        return int(self.typed.isna().sum()) - unread


def guess_column(name: str, values: pd.Series, others: Sequence[pd.Series] = ()) -> Guess:
    """The column's dtype and rules, as its values (rows,) suggest.

    Args:
        name: the header: separates a count that was only 0 and 1 so far from yes and no, and a
            date from a number.
        values: strings as read, or typed; a null word is empty except in a text.
        others: the same column in other drops, which the rules must let through, too.
    """
    rows = len(values)
    read = _read(name, pd.concat([values, *others], ignore_index=True) if others else values)
    return Guess(
        column=_rules(read),
        distinct=read.kinds,
        unique=int(repeated_rows(values).sum()) <= REPEATED_SHARE * rows,
        values=read.typed.iloc[:rows],
        doubt="; ".join(_doubts(read)),
        useless=_why_useless(name, values, read),
        decimal=read.form.decimal,
        whole=_are_whole(read),
    )


def _read(name: str, values: pd.Series) -> Read:
    codes, distinct = pd.factorize(_plain(values))
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    form = _form(name, pd.Series(distinct), counts)
    return Read(form, counts, form.values.reindex(codes).reset_index(drop=True))


def _rules(read: Read) -> Column:
    form = read.form
    least, most = _bounds(form.dtype, read.present)
    listed = _categories(read) if form.dtype == "category" else None
    return Column(
        dtype=form.dtype,
        nullable=read.empty > 0,
        min=least,
        max=most,
        values=listed,
        **form.written,
    )


def _doubts(read: Read) -> list[str]:
    doubts = list(read.form.doubts)
    if read.form.dtype == "category":
        doubts += _alike(read.form.values)
    if 0 < read.empty <= FEW_EMPTY * len(read.typed):
        doubts.append(f"{read.empty:,} of {len(read.typed):,} empty")
    return doubts


def _why_useless(name: str, values: pd.Series, read: Read) -> str:
    if _are_row_numbers(name, values):
        return "row numbers"
    constant = _constant(read.kinds, read.empty)
    if constant or read.form.dtype != "string":
        return constant
    return _useless_text(read.present, read.counts)


def _are_whole(read: Read) -> bool:
    if read.form.dtype == "float":
        return bool((read.present % 1 == 0).all())
    return read.form.dtype == "integer"


def repeated_rows(values: pd.Series) -> pd.Series:
    """Whether each value (rows,) is empty, or repeats an earlier one."""
    texts = values.astype(object).astype(TEXT)
    return pd.Series(texts.isna() | (texts == "").fillna(value=True) | texts.duplicated())


def round_up(number: float) -> float:
    """The next 1, 2 or 5 times a power of ten at or above a positive number."""
    power = 10.0 ** math.floor(math.log10(number))
    return float(
        next(step * power for step in (1, 2, 5, 10) if step * power >= number * (1 - 1e-12))
    )


def _are_row_numbers(name: str, values: pd.Series) -> bool:
    """Whether an index was written as a column: the rows are counted, and the name names no
    one.
    """
    if not is_row_number(name):
        return False
    numbers = pd.to_numeric(values, errors="coerce").astype("Float64")
    return bool(numbers.notna().all() and (numbers.diff().dropna() == 1).all())


def _plain(values: pd.Series) -> pd.Series:
    """Whole numbers as texts, dates as midnight, texts without empty ones: what `_form` knows."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean")
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            local = values.dt.tz_localize(None)
        else:
            local = values
        return pd.Series(local.dt.normalize().astype("datetime64[s]"))
    if pd.api.types.is_float_dtype(values.dtype):
        return values.astype("float64")
    texts = values.astype(object).astype(TEXT)
    return texts.mask(texts == "", None)


def _form(name: str, distinct: pd.Series, counts: Counts) -> Form:
    """The form of distinct values, those that stand for a missing one taken out."""
    if pd.api.types.is_bool_dtype(distinct.dtype):
        return Form("boolean", distinct)
    if pd.api.types.is_datetime64_any_dtype(distinct.dtype):
        return _without_sentinels(Form("date", distinct), distinct)
    if pd.api.types.is_float_dtype(distinct.dtype):
        return _form_of_floats(name, distinct, counts)
    texts = distinct.astype(TEXT)
    found = guess_form(name, texts, counts)
    if found is not None:
        return _without_sentinels(found, texts)
    missing = is_null_word(texts)
    present = texts[~missing]
    useless = present.empty or _useless_text(present, counts)
    if useless:
        return Form("string", texts.mask(missing, None))
    return Form("category", texts)


def _form_of_floats(name: str, distinct: pd.Series, counts: Counts) -> Form:
    if bool(distinct.dropna().isin([0, 1]).all()) and not is_count(name):
        return Form("boolean", distinct.astype("Float64").astype("boolean"))
    infinite = np.isinf(distinct)
    said: tuple[str, ...] = ()
    if infinite.any():
        said = (f"{int(counts[infinite].sum()):,} infinite",)
    form = Form(
        "float", distinct.mask(infinite), doubts=said, unread=tuple(np.flatnonzero(infinite))
    )
    return _without_sentinels(form, distinct)


def _without_sentinels(form: Form, distinct: pd.Series) -> Form:
    if form.dtype not in ("integer", "float", "date"):
        return form
    if form.dtype == "date":
        mask = date_sentinels(form.values)
    else:
        mask = number_sentinels(form.values)
    mask = mask.fillna(value=False).astype(bool)
    if not mask.any():
        return form
    found = distinct[mask]
    if pd.api.types.is_datetime64_any_dtype(found.dtype):
        texts = found.dt.strftime("%Y-%m-%d")
    else:
        texts = found.astype(str)
    words = tuple(sorted({*form.written.get("missing", ()), *texts.str.strip()}))
    others = tuple(
        doubt for doubt in form.doubts if doubt != missing_doubt(form.written.get("missing", ()))
    )
    return replace(
        form,
        values=form.values.mask(mask),
        written=form.written | {"missing": words},
        doubts=(*others, missing_doubt(words)),
    )


def _useless_text(texts: pd.Series, counts: Counts) -> str:
    rows = counts[texts.index]
    numeric = texts.str.strip().str.fullmatch(NUMBER_LIKE)
    if len(texts) and rows[numeric.to_numpy(dtype=bool)].sum() > UNIQUE_SHARE * rows.sum():
        return f"numbers that cannot be read, for example {texts[numeric].iloc[0]!r}"
    if len(texts) > max(LISTED, UNIQUE_SHARE * rows.sum()):
        return "nearly every text differs"
    if np.average(texts.str.len(), weights=rows) > LONG_TEXT:
        return "long texts"
    return ""


def _constant(kinds: int, empty: int) -> str:
    if not kinds:
        return "always empty"
    if kinds > 1:
        return ""
    if not empty:
        return "the same value everywhere"
    return "the same value wherever it is not empty"


def _bounds(dtype: Dtype, numbers: pd.Series) -> tuple[float | None, float | None]:
    """Round bounds well outside of what was seen; 0 stays a bound where nothing is negative."""
    if dtype not in ("integer", "float") or numbers.empty:
        return None, None
    least = float(numbers.min())
    most = float(numbers.max())
    if max(-least, most) > SAFE_BOUND:
        return (0.0 if least >= 0 else None), None
    upper = round_up(max(MARGIN * most, SMALLEST)) if most > 0 else None
    if least >= 0:
        lower = 0.0
    else:
        lower = -round_up(max(-MARGIN * least, SMALLEST))
    return lower, upper


def _categories(read: Read) -> tuple[str, ...] | None:
    """All values, if they are few and each is frequent; else more may come."""
    words = read.present
    if not len(words) or len(words) > LISTED or read.counts[words.index].min() < OFTEN:
        return None
    return tuple(sorted(words))


def _alike(distinct: pd.Series) -> list[str]:
    """A doubt for categories that differ by case or blanks only."""
    texts = distinct.dropna()
    folded = texts.str.strip().str.casefold().str.replace(r"\s+", " ", regex=True)
    twins = folded[folded.duplicated()].head(1)
    if twins.empty:
        return []
    words = sorted(texts[folded == twins.iloc[0]].head(SHOWN))
    return [f"{', '.join(map(repr, words))} differ by case or blanks only: one value?"]
