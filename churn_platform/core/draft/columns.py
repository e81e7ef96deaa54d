"""What a column's values give away: its dtype, whether it may be empty, its range or its categories.

Belongs here: one column at a time, values as read from a file or typed. Does not: names (`core/draft/words.py`), keys
and labels (`core/draft/keys.py`), what is a leak (`core/draft/leaks.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from churn_platform.core.contract import Column, Dtype
from churn_platform.core.conversion import FALSE_WORDS, NULL_WORDS, TRUE_WORDS
from churn_platform.core.draft.words import is_count

TEXT: Final = "string[pyarrow]"
"""Texts that Arrow works on: several times as fast as Python's, which counts at a million rows."""
BAD_SHARE = 0.001
"""Up to this share of values may be unreadable as the dtype of all others; at least one in a thousand rows."""
LISTED = 20
OFTEN = 10
"""A category whose every value occurs so often has hardly more values than those seen."""
UNIQUE_SHARE = 0.5
LONG_TEXT = 60
MARGIN = 5
SAFE_BOUND, SMALLEST = 1e15, 1e-6
FEW_EMPTY = 0.01
HEAD = 1000
ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)? ?(Z|[+-][0-9]{2}:?([0-9]{2})?)?)?"
OTHER_DATE = r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}( .*)?"


@dataclass(frozen=True)
class Guess:
    """A column as its values look; `doubt` is why to confirm it, `useless` why it can be no feature, else empty."""

    column: Column
    distinct: int
    unique: bool
    """Whether every row has a value of its own."""
    doubt: str = ""
    useless: str = ""


@dataclass(frozen=True)
class _Read:
    dtype: Dtype
    values: pd.Series
    """Without the empty ones and those that cannot be read, in the dtype where that is a number."""
    unread: int = 0
    doubt: str = ""
    useless: str = ""


def guess_column(name: str, values: pd.Series, older: Sequence[pd.Series] = ()) -> Guess:
    """The column's dtype and rules, as its values (rows,) suggest.

    Args:
        name: tells a count that was only 0 and 1 so far from a yes or no.
        values: strings as read, or typed; a null word is empty except in a text.
        older: the same column in older drops, which the rules must let through, too.
    """
    texts = values.astype(object).astype(TEXT)
    unique = bool(texts.notna().all() and texts.is_unique and not (texts == "").any())
    if older:
        values = pd.concat([values, *older], ignore_index=True)
    read = _read(name, values)
    empty, distinct = len(values) - len(read.values) - read.unread, int(read.values.nunique())
    doubts = [read.doubt]
    if 0 < empty <= FEW_EMPTY * len(values):
        doubts.append(f"{empty:,} of {len(values):,} empty")
    useless = read.useless
    if not len(read.values):
        useless = "always empty"
    elif distinct == 1:
        useless = "the same value everywhere" if not empty else "the same value wherever it is not empty"
    least, most = _bounds(read)
    column = Column(dtype=read.dtype, nullable=empty > 0, min=least, max=most, values=_categories(read))
    doubt = "; ".join(filter(None, doubts))
    return Guess(column, distinct, unique, doubt, useless)


def round_up(number: float) -> float:
    """The next 1, 2 or 5 times a power of ten at or above a positive number."""
    power = 10.0 ** math.floor(math.log10(number))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= number * (1 - 1e-12)))


def _read(name: str, values: pd.Series) -> _Read:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    present = values.dropna()
    if pd.api.types.is_bool_dtype(values.dtype):
        return _Read("boolean", present)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _Read("date", present)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _typed_numbers(name, present)
    return _texts(name, present)


def _typed_numbers(name: str, present: pd.Series) -> _Read:
    if bool(present.isin([0, 1]).all()) and not is_count(name):
        return _Read("boolean", present)
    if pd.api.types.is_integer_dtype(present.dtype):
        return _Read("integer", present)
    finite = present[np.isfinite(present.to_numpy(dtype=float))]
    infinite = len(present) - len(finite)
    return _Read("float", finite, infinite, f"{infinite:,} infinite" if infinite else "")


def _texts(name: str, present: pd.Series) -> _Read:
    """Numbers, dates, yes and no where nearly all texts are; else a category, or free text."""
    texts = present.astype(TEXT)
    texts = texts[texts != ""]
    words = texts.str.strip()
    filled = words[~words.str.lower().isin(NULL_WORDS)]
    if filled.empty:
        return _Read("string", texts)
    if set(filled.str.lower().unique()) <= {*TRUE_WORDS, *FALSE_WORDS}:
        digits = set(filled.unique()) <= {"0", "1"}
        return _Read("integer", pd.to_numeric(filled)) if digits and is_count(name) else _Read("boolean", filled)
    numbers = _numbers(filled)
    if _nearly(len(numbers), len(filled)) and not filled.str.fullmatch(r"[+-]?0[0-9]+").any():
        whole = bool(filled.loc[numbers.index].str.fullmatch(r"[+-]?[0-9]{1,18}").all())
        return _Read("integer" if whole else "float", numbers, *_strangers(filled.drop(numbers.index), "no number"))
    dates = pd.to_datetime(filled[filled.str.fullmatch(ISO_DATE)].str[:10], errors="coerce", format="%Y-%m-%d").dropna()
    if _nearly(len(dates), len(filled)):
        return _Read("date", dates, *_strangers(filled.drop(dates.index), "no date"))
    useless = _useless_text(texts)
    return _Read("string" if useless else "category", texts, useless=useless)


def _numbers(filled: pd.Series) -> pd.Series:
    """The finite numbers among texts; none where hardly any of the first is one, for trying a million takes long."""
    if len(filled) > HEAD and len(_numbers(filled.head(HEAD))) < HEAD / 2:
        return pd.Series(dtype="float64")
    numbers = pd.to_numeric(filled, errors="coerce").astype("Float64").astype("float64")
    return numbers[np.isfinite(numbers)]


def _useless_text(texts: pd.Series) -> str:
    if texts.str.fullmatch(OTHER_DATE).mean() > UNIQUE_SHARE:
        return "a date that is not written as 2024-01-31"
    if texts.nunique() > max(LISTED, UNIQUE_SHARE * len(texts)):
        return "nearly every text differs"
    return "long texts" if texts.str.len().mean() > LONG_TEXT else ""


def _nearly(readable: int, of: int) -> bool:
    return readable > 0 and of - readable <= BAD_SHARE * of


def _strangers(bad: pd.Series, what: str) -> tuple[int, str]:
    """How many values are unlike the others, and the doubt for them."""
    if bad.empty:
        return 0, ""
    return len(bad), f"{len(bad):,} {'is' if len(bad) == 1 else 'are'} {what}, as {str(bad.iloc[0])[:20]!r}"


def _bounds(read: _Read) -> tuple[float | None, float | None]:
    """Round bounds well outside of what was seen; 0 stays a bound where nothing is negative."""
    if read.dtype not in ("integer", "float") or read.values.empty:
        return None, None
    least, most = float(read.values.min()), float(read.values.max())
    if max(-least, most) > SAFE_BOUND:
        return (0.0 if least >= 0 else None), None
    upper = round_up(max(MARGIN * most, SMALLEST)) if most > 0 else None
    lower = 0.0 if least >= 0 else -round_up(max(-MARGIN * least, SMALLEST))
    return lower, upper


def _categories(read: _Read) -> tuple[str, ...] | None:
    if read.dtype != "category":
        return None
    counts = read.values.value_counts()
    return tuple(sorted(counts.index)) if len(counts) <= LISTED and counts.min() >= OFTEN else None
