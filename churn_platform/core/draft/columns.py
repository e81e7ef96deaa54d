"""What a column's values suggest: its dtype, how it is written, whether it may be empty, its range or categories."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.core.contract import Column, Dtype
from churn_platform.core.conversion import TEXT
from churn_platform.core.draft.sentinels import date_sentinels, number_sentinels
from churn_platform.core.draft.texts import Form, guess_form, is_null_word, missing_doubt
from churn_platform.core.draft.words import is_count, is_row_number

LISTED = 20
OFTEN = 10
"""A category whose every value occurs so often has hardly more values than those seen."""
UNIQUE_SHARE = 0.5
LONG_TEXT = 60
SHOWN = 4
NUMBER_LIKE = r"\(?[+-]?(?:[€$£¥]\s*)?[0-9]+(?:[,.' ][0-9]+)+\s*(?:[€$£¥%]|[A-Za-z]{0,3})\)?-?"
MARGIN = 5
SAFE_BOUND, SMALLEST = 1e15, 1e-6
FEW_EMPTY = 0.01
REPEATED_SHARE = 0.01
"""Up to this share of the rows may repeat a key or lack it: they would be quarantined."""


Counts = np.ndarray[Any, np.dtype[np.integer[Any]]]


@dataclass(frozen=True)
class Guess:
    """A column as its values look; `doubt` is why to confirm it, `useless` why it can be no feature, else empty."""

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


def guess_column(name: str, values: pd.Series, others: Sequence[pd.Series] = ()) -> Guess:
    """The column's dtype and rules, as its values (rows,) suggest.

    Args:
        name: the header: separates a count that was only 0 and 1 so far from yes and no, and a date from a number.
        values: strings as read, or typed; a null word is empty except in a text.
        others: the same column in other drops, which the rules must let through, too.
    """
    rows, repeated = len(values), int(repeated_rows(values).sum())
    numbered = _are_row_numbers(name, values)
    if others:
        values = pd.concat([values, *others], ignore_index=True)
    codes, distinct = pd.factorize(_plain(values))
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    form = _form(name, pd.Series(distinct), counts)
    typed = form.values.reindex(codes).reset_index(drop=True)
    present, kinds = typed.dropna(), int(form.values.nunique())
    unread = int(counts[list(form.unread)].sum())
    empty = len(values) - len(present) - unread
    doubts = [*form.doubts, *(_alike(form.values) if form.dtype == "category" else ())]
    if 0 < empty <= FEW_EMPTY * len(values):
        doubts.append(f"{empty:,} of {len(values):,} empty")
    least, most = _bounds(form.dtype, form.values.dropna())
    listed = _categories(present) if form.dtype == "category" else None
    column = Column(dtype=form.dtype, nullable=empty > 0, min=least, max=most, values=listed, **form.written)
    return Guess(
        column=column,
        distinct=kinds,
        unique=repeated <= REPEATED_SHARE * rows,
        values=typed.iloc[:rows],
        doubt="; ".join(doubts),
        useless="row numbers" if numbered else _constant(kinds, empty) or _useless(form, counts),
        decimal=form.decimal,
        whole=form.dtype == "integer" or (form.dtype == "float" and bool((form.values.dropna() % 1 == 0).all())),
    )


def repeated_rows(values: pd.Series) -> pd.Series:
    """Whether each value (rows,) is empty, or repeats an earlier one."""
    texts = values.astype(object).astype(TEXT)
    return pd.Series(texts.isna() | (texts == "").fillna(value=True) | texts.duplicated())


def round_up(number: float) -> float:
    """The next 1, 2 or 5 times a power of ten at or above a positive number."""
    power = 10.0 ** math.floor(math.log10(number))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= number * (1 - 1e-12)))


def _are_row_numbers(name: str, values: pd.Series) -> bool:
    """Whether an index was written as a column: the rows are counted, and the name names no one."""
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
        local = values.dt.tz_localize(None) if isinstance(values.dtype, pd.DatetimeTZDtype) else values
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
    return Form("string", texts.mask(missing, None)) if useless else Form("category", texts)


def _form_of_floats(name: str, distinct: pd.Series, counts: Counts) -> Form:
    if bool(distinct.dropna().isin([0, 1]).all()) and not is_count(name):
        return Form("boolean", distinct.astype("Float64").astype("boolean"))
    infinite = np.isinf(distinct)
    said = (f"{int(counts[infinite].sum()):,} infinite",) if infinite.any() else ()
    form = Form("float", distinct.mask(infinite), doubts=said, unread=tuple(np.flatnonzero(infinite)))
    return _without_sentinels(form, distinct)


def _without_sentinels(form: Form, distinct: pd.Series) -> Form:
    if form.dtype not in ("integer", "float", "date"):
        return form
    mask = (date_sentinels if form.dtype == "date" else number_sentinels)(form.values)
    mask = mask.fillna(value=False).astype(bool)
    if not mask.any():
        return form
    found = distinct[mask]
    texts = found.dt.strftime("%Y-%m-%d") if pd.api.types.is_datetime64_any_dtype(found.dtype) else found.astype(str)
    words = tuple(sorted({*form.written.get("missing", ()), *texts.str.strip()}))
    others = tuple(doubt for doubt in form.doubts if doubt != missing_doubt(form.written.get("missing", ())))
    return replace(
        form,
        values=form.values.mask(mask),
        written=form.written | {"missing": words},
        doubts=(*others, missing_doubt(words)),
    )


def _useless(form: Form, counts: Counts) -> str:
    return _useless_text(form.values.dropna(), counts) if form.dtype == "string" else ""


def _useless_text(texts: pd.Series, counts: Counts) -> str:
    rows = counts[texts.index]
    numeric = texts.str.strip().str.fullmatch(NUMBER_LIKE)
    if len(texts) and rows[numeric.to_numpy(dtype=bool)].sum() > UNIQUE_SHARE * rows.sum():
        return f"numbers in a form that cannot be read, as {texts[numeric].iloc[0]!r}"
    if len(texts) > max(LISTED, UNIQUE_SHARE * rows.sum()):
        return "nearly every text differs"
    return "long texts" if np.average(texts.str.len(), weights=rows) > LONG_TEXT else ""


def _constant(kinds: int, empty: int) -> str:
    if not kinds:
        return "always empty"
    if kinds > 1:
        return ""
    return "the same value everywhere" if not empty else "the same value wherever it is not empty"


def _bounds(dtype: Dtype, numbers: pd.Series) -> tuple[float | None, float | None]:
    """Round bounds well outside of what was seen; 0 stays a bound where nothing is negative."""
    if dtype not in ("integer", "float") or numbers.empty:
        return None, None
    least, most = float(numbers.min()), float(numbers.max())
    if max(-least, most) > SAFE_BOUND:
        return (0.0 if least >= 0 else None), None
    upper = round_up(max(MARGIN * most, SMALLEST)) if most > 0 else None
    lower = 0.0 if least >= 0 else -round_up(max(-MARGIN * least, SMALLEST))
    return lower, upper


def _categories(present: pd.Series) -> tuple[str, ...] | None:
    counts = present.value_counts()
    return tuple(sorted(counts.index)) if len(counts) <= LISTED and counts.min() >= OFTEN else None


def _alike(distinct: pd.Series) -> list[str]:
    """A doubt for categories that differ by case or blanks only."""
    texts = distinct.dropna()
    folded = texts.str.strip().str.casefold().str.replace(r"\s+", " ", regex=True)
    twins = folded[folded.duplicated()].head(1)
    if twins.empty:
        return []
    words = sorted(texts[folded == twins.iloc[0]].head(SHOWN))
    return [f"{', '.join(map(repr, words))} differ by case or blanks only: one value?"]
