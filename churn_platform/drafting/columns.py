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
from churn_platform.drafting.texts import Form, guess_form, is_null_word
from churn_platform.drafting.words import (
    counted,
    description,
    is_count,
    is_personal,
    is_row_number,
    known_late,
)
from churn_platform.ingestion.conversion import TEXT, convert

LOW_STAND_INS = (-1.0, *(-float("9" * digits) for digits in range(1, 8)))
HIGH_STAND_INS = tuple(float("9" * digits) for digits in range(2, 11))
FAR = 3
"""A high stand-in is more than this many times the largest other number."""
FEWEST_OTHERS = 3
DATE_STAND_INS = pd.to_datetime(
    [
        "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1901-01-01", "1970-01-01",
        "2099-12-31",
    ]
).astype("datetime64[s]")  # fmt: skip
LAST_YEARS = (1, 2999, 9999)
LONELY = pd.Timedelta(days=10 * 365).to_timedelta64().astype("timedelta64[s]")
"""No other date is so near to one that stands for a missing value."""
LISTED = 20
OFTEN = 10
"""If every category occurs so often, there are hardly more categories than those seen."""
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
    """What a column's values look like.

    `doubt` is why to confirm it, `useless` why it cannot be a feature; both may be empty.
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
    """Whether all numbers are integers, however they are written."""


def guess_column(name: str, values: pd.Series, others: Sequence[pd.Series] = ()) -> Guess:
    """The column's dtype and rules, as its values (rows,) suggest.

    Args:
        name: the header: distinguishes a count that was only 0 and 1 so far from yes and no,
            and a date from a number.
        values: strings as read, or typed; a null word is empty except in a text.
        others: the same column in other drops, which the rules must accept, too.
    """
    codes, unique = pd.factorize(_plain(pd.concat([values, *others], ignore_index=True)))
    counts = np.bincount(codes[codes >= 0], minlength=len(unique))
    form = _form(name, pd.Series(unique), counts)
    typed = form.values.reindex(codes).reset_index(drop=True)
    # A value that cannot be read is not empty.
    empty = int(typed.isna().sum()) - int(counts[list(form.unread)].sum())
    present = form.values.dropna()
    kinds = int(present.nunique())
    doubts = [form.doubt]
    if form.column.missing:
        doubts.append(f"{', '.join(map(repr, form.column.missing))} read as missing")
    doubts.append(form.unread_doubt)
    dtype = form.column.dtype
    least, most = _bounds(dtype, present)
    rules: dict[str, object] = {"nullable": empty > 0, "min": least, "max": most}
    if dtype == "category":
        rules["values"] = _categories(present, counts)
        doubts.append(_alike(present))
    if 0 < empty <= FEW_EMPTY * len(typed):
        doubts.append(f"{empty:,} of {len(typed):,} empty")
    useless = _constant(kinds, empty)
    if _are_row_numbers(name, values):
        useless = "row numbers"
    elif not useless and dtype == "string":
        useless = _useless_text(present, counts)
    return Guess(
        column=form.column.model_copy(update=rules),
        distinct=kinds,
        unique=int(repeated_rows(values).sum()) <= REPEATED_SHARE * len(values),
        values=typed.iloc[: len(values)],
        doubt="; ".join(filter(None, doubts)),
        useless=useless,
        decimal=form.decimal,
        whole=dtype == "integer" or (dtype == "float" and bool((present % 1 == 0).all())),
    )


def new_column(header: str, own: str, values: pd.Series) -> tuple[Column | None, str]:
    """A new column in words, and why to confirm it; None if nothing can be learned from it, and
    why.
    """
    guess = guess_column(header, values)
    column = guess.column
    if guess.useless or column.dtype == "string":
        return None, guess.useless or "free text"
    if is_personal(header) and guess.unique:
        return None, "personal"
    words = {"source": "" if header == own else header}
    if column.dtype != "date":
        phrase = counted(own) if column.dtype == "integer" else ""
        words |= {"description": description(own), "phrase": phrase}
    doubt = guess.doubt
    if known_late(header):
        doubt = "its name suggests that it is known only after churning"
    return column.model_copy(update=words), doubt


def repeated_rows(values: pd.Series) -> pd.Series:
    """Whether each value (rows,) is empty, or repeats an earlier one."""
    texts, _ = convert(values, "string")
    return pd.Series(texts.isna() | texts.duplicated())


def round_up(number: float) -> float:
    """The next 1, 2 or 5 times a power of ten at or above a positive number."""
    power = 10.0 ** math.floor(math.log10(number))
    return float(
        next(step * power for step in (1, 2, 5, 10) if step * power >= number * (1 - 1e-12))
    )


def _are_row_numbers(name: str, values: pd.Series) -> bool:
    """Whether an index was written as a column: the rows are counted, and the name is not that
    of a key.
    """
    if not is_row_number(name):
        return False
    numbers = pd.to_numeric(values, errors="coerce").astype("Float64")
    return bool(numbers.notna().all() and (numbers.diff().dropna() == 1).all())


def _plain(values: pd.Series) -> pd.Series:
    """The values as `_form` expects them: integers as texts, dates at midnight, no empty texts."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean")
    if pd.api.types.is_float_dtype(values.dtype):
        return values.astype("float64")
    dated = pd.api.types.is_datetime64_any_dtype(values.dtype)
    plain, _ = convert(values, "date" if dated else "string")
    return plain


def _form(name: str, distinct: pd.Series, counts: Counts) -> Form:
    """The form of distinct values, those that stand for a missing one taken out."""
    if pd.api.types.is_bool_dtype(distinct.dtype):
        return Form(Column(dtype="boolean"), distinct)
    if pd.api.types.is_datetime64_any_dtype(distinct.dtype):
        return _without_sentinels(Form(Column(dtype="date"), distinct), distinct)
    if pd.api.types.is_float_dtype(distinct.dtype):
        return _form_of_floats(name, distinct, counts)
    texts = distinct.astype(TEXT)
    found = guess_form(name, texts, counts)
    if found is not None:
        return _without_sentinels(found, texts)
    missing = is_null_word(texts)
    present = texts[~missing]
    if present.empty or _useless_text(present, counts):
        return Form(Column(dtype="string"), texts.mask(missing, None))
    return Form(Column(dtype="category"), texts)


def _form_of_floats(name: str, distinct: pd.Series, counts: Counts) -> Form:
    if bool(distinct.dropna().isin([0, 1]).all()) and not is_count(name):
        return Form(Column(dtype="boolean"), distinct.astype("Float64").astype("boolean"))
    infinite = np.isinf(distinct)
    form = Form(Column(dtype="float"), distinct.mask(infinite))
    if infinite.any():
        doubt = f"{int(counts[infinite].sum()):,} infinite"
        form = replace(form, unread=tuple(np.flatnonzero(infinite)), unread_doubt=doubt)
    return _without_sentinels(form, distinct)


def _without_sentinels(form: Form, distinct: pd.Series) -> Form:
    """The form with the values that stand for a missing one taken out and named."""
    if form.column.dtype == "date":
        mask = _date_sentinels(form.values)
    elif form.column.dtype in ("integer", "float"):
        mask = _number_sentinels(form.values)
    else:
        return form
    mask = mask.fillna(value=False).astype(bool)
    found = distinct[mask]
    if pd.api.types.is_datetime64_any_dtype(found.dtype):
        texts = found.dt.strftime("%Y-%m-%d")
    else:
        texts = found.astype(str)
    missing = tuple(sorted({*form.column.missing, *texts.str.strip()}))
    column = form.column.model_copy(update={"missing": missing})
    return replace(form, values=form.values.mask(mask), column=column)


def _number_sentinels(numbers: pd.Series) -> pd.Series:
    """Which of the distinct numbers stand for a missing value, as a mask.

    A negative one is the only kind below 0. A high one lies far above all others.
    """
    values = numbers.astype("Float64").astype("float64")
    low = values.isin(LOW_STAND_INS)
    others = values[~low & values.notna()]
    if not low.any() or others.nunique() < FEWEST_OTHERS or others.min() < 0:
        low = values.isin([])
    high = values.isin(HIGH_STAND_INS) & ~low
    usual = values[~low & ~high]
    if usual.nunique() < FEWEST_OTHERS or usual.max() <= 0:
        return low
    return low | (high & (values / FAR > usual.max()))


def _date_sentinels(dates: pd.Series) -> pd.Series:
    """Which of the distinct dates stand for a missing value, as a mask: usual ones, years away
    from all others.
    """
    usual = dates.isin(DATE_STAND_INS) | dates.dt.year.isin(LAST_YEARS)
    others = dates[~usual].dropna()
    if others.empty:
        return pd.Series(data=False, index=dates.index)
    lonely = (dates < others.min() - LONELY) | (dates > others.max() + LONELY)
    return pd.Series(usual & lonely)


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
    if kinds > 1:
        return ""
    if kinds == 0:
        return "always empty"
    if empty:
        return "the same value wherever it is not empty"
    return "the same value everywhere"


def _bounds(dtype: Dtype, numbers: pd.Series) -> tuple[float | None, float | None]:
    """Round bounds well outside of what was seen; 0 stays a bound where nothing is negative."""
    if dtype not in ("integer", "float") or numbers.empty:
        return None, None
    least = float(numbers.min())
    most = float(numbers.max())
    lower: float | None = 0.0
    upper: float | None = None
    safe = max(-least, most) <= SAFE_BOUND
    if least < 0:
        lower = -round_up(max(-MARGIN * least, SMALLEST)) if safe else None
    if most > 0 and safe:
        upper = round_up(max(MARGIN * most, SMALLEST))
    return lower, upper


def _categories(words: pd.Series, counts: Counts) -> tuple[str, ...] | None:
    """All values, if they are few and each is frequent; otherwise more may come."""
    if words.empty or len(words) > LISTED or counts[words.index].min() < OFTEN:
        return None
    return tuple(sorted(words))


def _alike(texts: pd.Series) -> str:
    """A doubt for categories that differ by case or blanks only."""
    folded = texts.str.strip().str.casefold().str.replace(r"\s+", " ", regex=True)
    twins = folded[folded.duplicated()]
    if twins.empty:
        return ""
    words = sorted(texts[folded == twins.iloc[0]].head(SHOWN))
    return f"{', '.join(map(repr, words))} differ by case or blanks only: one value?"
