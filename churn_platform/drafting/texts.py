"""How a column of texts is written: as numbers, dates or yes and no, with which signs, and with
which words for a missing value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.contract.model import Dtype
from churn_platform.drafting.dates import ZERO_DATE, guess_date_format
from churn_platform.drafting.words import is_count
from churn_platform.ingestion.conversion import (
    FALSE_WORDS,
    GAP_WORDS,
    LARGEST,
    NULL_WORDS,
    TRUE_WORDS,
)

BAD_SHARE = 0.001
"""Largest share of the rows whose value may be unreadable as the dtype of all others."""
GAP_KINDS = 3
"""The most other words that may mean "missing" among numbers."""
GAP_LENGTH = 20
FEW_NUMBERS = 5
"""A word among fewer distinct numbers may be a code of its own rather than a gap."""
READABLE_SHARE = 0.5
HEAD = 1000
MOST_WORDS = 50
LOOKED_AT = 20_000
"""Distinct texts, spread over the column, from which its signs are known."""
UNITS = r"[€$£¥₹%]|EUR|USD|GBP|CHF|PLN|SEK|NOK|DKK|CZK|HUF|zł|kr\.?|Kč|Ft|R\$"
UNIT_AROUND = rf"^([+-]?)\s*(?:{UNITS})\s*|\s*(?:{UNITS})$"
BLANKS = (" ", "\u00a0", "\u202f")
GROUP_SIGNS = (",", ".", "'", *BLANKS)
OTHER_SIGN = {".": ",", ",": "."}
"""Thousands separator -> the decimal sign of a column without fractions."""


@dataclass(frozen=True)
class Signs:
    """The signs of a column's numbers: decimal sign, thousands separator and unit, and why to
    confirm them.
    """

    decimal: str
    thousands: str
    unit: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class Form:
    """What distinct texts are.

    `values` holds each in the dtype, null where it is missing or unreadable; `unread` are the
    positions of the unreadable ones. `written` are the contract's fields for how the column is
    written; `decimal` is the sign of its fractions, empty without any.
    """

    dtype: Dtype
    values: pd.Series
    written: dict[str, Any] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    decimal: str = ""
    unread: tuple[int, ...] = ()


def guess_form(name: str, texts: pd.Series, counts: np.ndarray[Any, Any]) -> Form | None:
    """How `texts` are written, or None where they are neither numbers nor dates nor yes and no.

    Args:
        name: the header: separates a count from yes and no, and a date from a number.
        texts: the distinct values, as in the file.
        counts: the rows that each is in, (texts,).
    """
    words = texts.str.strip()
    filled = words[~is_null_word(words)]
    rows = pd.Series(counts, index=words.index)[filled.index]
    if filled.empty:
        return None
    found = _yes_and_no(name, filled) or _dates(name, filled, rows) or _numbers(filled, rows)
    if found is None:
        return None
    return replace(found, values=found.values.reindex(words.index))


def is_null_word(texts: pd.Series) -> pd.Series:
    """Whether each text (rows,) is a word that is read as missing in every column but a text."""
    return pd.Series(texts.str.strip().str.lower().isin(NULL_WORDS))


def missing_doubt(missing: Sequence[str]) -> str:
    """What is to be confirmed about words that are read as missing."""
    if missing:
        return f"{', '.join(map(repr, missing))} read as missing"
    return ""


def _yes_and_no(name: str, filled: pd.Series) -> Form | None:
    lower = filled.str.lower()
    if len(filled) > MOST_WORDS or (is_count(name) and set(lower) <= {"0", "1"}):
        return None
    true = lower.isin(TRUE_WORDS)
    false = lower.isin(FALSE_WORDS)
    gap = lower.isin(GAP_WORDS)
    if not (true | false | gap).all() or (gap.any() and not (true.any() and false.any())):
        return None
    missing = tuple(sorted(set(filled[gap])))
    return Form(
        dtype="boolean",
        values=true.astype("boolean").mask(gap),
        written=_not_default(missing=missing),
        doubts=_not_empty(missing_doubt(missing)),
    )


def _dates(name: str, filled: pd.Series, rows: pd.Series) -> Form | None:
    gaps = filled.str.lower().isin(GAP_WORDS)
    found = guess_date_format(name, filled[~gaps], rows)
    if found is None:
        return None
    left = filled[~filled.index.isin(found.dates.index)]
    missing, unread = _split(left, distinct=len(found.dates))
    if not _acceptable(rows, unread):
        return None
    return Form(
        dtype="date",
        values=found.dates,
        written=_not_default(date_format=found.form, missing=missing),
        doubts=_not_empty(
            found.doubt, missing_doubt(missing), _unread_doubt(unread, rows, "a date")
        ),
        unread=tuple(unread.index),
    )


def _numbers(filled: pd.Series, rows: pd.Series) -> Form | None:
    if len(filled) > HEAD and _signs(filled.head(HEAD), rows) is None:
        return None
    signs = _signs(filled, rows)
    if signs is None:
        return None
    bare = _without_unit(filled)
    readable = bare[_matches(bare, signs)]
    # Leading zeros belong to codes ("007").
    if readable.str.fullmatch(r"[+-]?0[0-9]+").any():
        return None
    missing, unread = _split(filled[~filled.index.isin(readable.index)], distinct=len(readable))
    numbers = _read_numbers(readable, signs)
    if numbers is None or not _acceptable(rows, unread):
        return None
    fractions = readable.str.contains(signs.decimal, regex=False).any()
    return Form(
        dtype="float" if numbers.dtype.kind == "f" else "integer",
        values=numbers,
        written=_not_default(missing=missing, thousands=signs.thousands, unit=signs.unit),
        doubts=_not_empty(
            signs.doubt,
            f"the sign {signs.unit} is removed" if signs.unit else "",
            missing_doubt(missing),
            _unread_doubt(unread, rows, "a number"),
        ),
        decimal=signs.decimal if fractions else "",
        unread=tuple(unread.index),
    )


def _not_default(**written: object) -> dict[str, Any]:
    return {name: value for name, value in written.items() if value}


def _not_empty(*doubts: str) -> tuple[str, ...]:
    return tuple(filter(None, doubts))


def _read_numbers(readable: pd.Series, signs: Signs) -> pd.Series | None:
    """Floats if a text has a fraction, else integers; None beyond 64 bits: those are keys or
    codes.
    """
    plain = readable
    if signs.thousands:
        plain = plain.str.replace(signs.thousands, "", regex=False)
    if signs.decimal == ",":
        plain = plain.str.replace(",", ".", regex=False)
    if not plain.str.fullmatch(r"[+-]?[0-9]+").all():
        return pd.to_numeric(plain).astype("float64")
    if plain.str.len().max() < len(str(LARGEST)):
        return plain.astype("int64").astype("Int64")
    numbers = [int(text) for text in plain]
    if max(map(abs, numbers)) > LARGEST:
        return None
    return pd.Series(numbers, index=plain.index, dtype="Int64")


def _signs(filled: pd.Series, rows: pd.Series) -> Signs | None:
    """The signs by which most texts are numbers; None where few are."""
    filled = filled.iloc[:: len(filled) // LOOKED_AT + 1]
    bare = _without_unit(filled)
    readable = {
        signs: int(rows[bare.index[_matches(bare, signs)]].sum()) for signs in _candidates(bare)
    }
    best = max(readable, key=lambda signs: readable[signs])
    if readable[best] < READABLE_SHARE * int(rows[filled.index].sum()):
        return None
    units = set(filled[bare != filled].str.findall(UNITS).explode().dropna())
    if len(units) > 1:
        return None  # amounts of several currencies are not comparable
    return replace(best, unit=next(iter(units), ""), doubt=_sign_doubt(bare, best))


def _candidates(bare: pd.Series) -> list[Signs]:
    """Decimal sign and thousands separator in order of preference."""
    grouped = [
        Signs(OTHER_SIGN.get(sign, "."), sign) for sign in GROUP_SIGNS if _groups(bare, sign)
    ]
    usual = [Signs(".", ""), Signs(",", ""), Signs(".", ","), Signs(",", ".")]
    others = [Signs(decimal, sign) for sign in GROUP_SIGNS[2:] for decimal in (".", ",")]
    return [*grouped, *usual, *others]


def _groups(bare: pd.Series, sign: str) -> bool:
    """Whether a sign that could be a decimal one groups digits: always three after it, and
    small numbers without it.
    """
    signed = bare[bare.str.contains(sign, regex=False)]
    group = rf"[+-]?[1-9][0-9]{{0,2}}({re.escape(sign)}[0-9]{{3}})+"
    if signed.empty or not signed.str.fullmatch(group).all():
        return False
    others = bare.drop(signed.index)
    small = others.str.fullmatch(r"[+-]?[0-9]{1,3}")
    long = others.str.fullmatch(r"[+-]?[0-9]{4,}")
    repeated = signed.str.count(re.escape(sign)) > 1
    return bool(repeated.any() or sign == "," or (small.any() and not long.any()))


def _sign_doubt(bare: pd.Series, signs: Signs) -> str:
    if signs.thousands:
        shown = bare[bare.str.contains(signs.thousands, regex=False)]
        sign = "blanks are" if signs.thousands in BLANKS else f"{signs.thousands} is"
        if shown.empty:
            return ""
        return f"{sign} read as the thousands separator, as in {shown.iloc[0]}"
    signed = bare[bare.str.contains(signs.decimal, regex=False)]
    grouped = signed.str.fullmatch(rf"[+-]?[1-9][0-9]{{0,2}}{re.escape(signs.decimal)}[0-9]{{3}}")
    if len(signed) and grouped.all():
        return f"{signed.iloc[0]} is read as a fraction, not as thousands"
    return ""


def _without_unit(words: pd.Series) -> pd.Series:
    if not words.str.contains(UNITS, regex=True).any():
        return words
    return words.str.replace(UNIT_AROUND, r"\1", regex=True)


def _matches(bare: pd.Series, signs: Signs) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which texts are numbers so written.

    An exponent needs a sign: 1E2 is a code, 1e+02 a number.
    """
    point = re.escape(signs.decimal)
    group = re.escape(signs.thousands)
    digits = "[0-9]+"
    if group:
        digits = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)"
    form = rf"[+-]?(?:{digits}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-][0-9]{{1,2}})?"
    return bare.str.fullmatch(form).fillna(value=False).to_numpy(dtype=bool)


def _split(left: pd.Series, distinct: int) -> tuple[tuple[str, ...], pd.Series]:
    """The texts that are left: those that mean a missing value, and those that cannot be read."""
    lower = left.str.lower()
    known = lower.isin(GAP_WORDS) | left.str.fullmatch(ZERO_DATE)
    others = left[~known]
    wordy = others[~others.str.contains(r"[0-9]", regex=True) & (others.str.len() <= GAP_LENGTH)]
    if not len(wordy) or lower[~known].nunique() > GAP_KINDS or distinct < FEW_NUMBERS:
        wordy = wordy.iloc[:0]
    missing = left[known | left.index.isin(wordy.index)]
    return tuple(sorted(set(missing))), left.drop(missing.index)


def _acceptable(rows: pd.Series, unread: pd.Series) -> bool:
    return int(rows[unread.index].sum()) <= BAD_SHARE * int(rows.sum())


def _unread_doubt(unread: pd.Series, rows: pd.Series, what: str) -> str:
    if unread.empty:
        return ""
    count = int(rows[unread.index].sum())
    values = "1 value is not" if count == 1 else f"{count:,} values are not"
    return f"{values} {what}, for example {str(unread.iloc[0])[:20]!r}"
