"""From values as delivered to the contract's dtypes, with the kind of fault of every value that
cannot be read.

Text is held by Arrow: a million Python strings would cost more than everything else.
"""

import datetime as dt
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from churn_platform.contract.columns import Column, Dtype
from churn_platform.contract.parts import FileFormat
from churn_platform.ingestion.faults import Mask
from churn_platform.ingestion.timestamps import of_typed, read_timestamps

NULL_WORDS = ("", "null", "none", "nan", "-nan", "+nan", "-nan(ind)", "na", "n/a")
"""In lower case. Read as missing in every column but a text."""
GAP_WORDS = frozenset({
    "-", "--", "---", "?", ".", "*", "\\n", "#n/a", "#n/v", "#na", "#value!", "#div/0!",
    "#ref!", "<na>", "<null>", "(null)", "(blank)", "n.a.", "n.v.", "k.a.", "nil", "nat",
    "unknown", "unbekannt", "missing", "not available", "tbd",
})  # fmt: skip
"""In lower case. What tools and people write where a number or a date is missing, next to
`NULL_WORDS`.
"""


TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0")
TEXT: Final = "string[pyarrow]"
DATE: Final = "datetime64[s]"
EXACT_FLOAT32 = 2**24
EXACT_FLOAT = 2**53
"""From here on a float32, a float64 cannot distinguish neighbouring integers."""
LARGEST = 2**63 - 1
ISO_DATE = r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}(?:[T ].*)?"
OFFSET = r"([T ][0-9]{2}:[0-9]{2}.*?) ?(?:Z|[+-][0-9]{2}:?(?:[0-9]{2})?)$"
INFINITE = r"(?i)[+-]?(?:inf|infinity|[0-9.]+e\+?[0-9]{3,})"
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
HEXADECIMAL = r"0[xX][0-9a-fA-F]{1,15}"
"""Read because pyarrow reads it: a value must not depend on whether its file could be read
typed.
"""
SPACE = "[ \u00a0\u202f]"
EPOCH = dt.datetime(1970, 1, 1)
EXCEL_EPOCH = dt.date(1899, 12, 30)
EXCEL_NUMBER = r"[2-7][0-9]{4}(?:\.0*)?"
"""20000 to 79999: 1954 to 2119."""
EXCEL_TIME = r"[2-7][0-9]{4}(?:\.[0-9]*)?"
OTHER_DATE = r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}"

Masks = dict[str, Mask]
"""Code of a kind -> the values (rows,) that have it."""


def spellings(words: Collection[str]) -> list[str]:
    """The words as pyarrow needs them; another mix of cases is read by the slower way."""
    cases = [
        spelling
        for word in words
        for spelling in (word, word.upper(), word.capitalize(), word.title())
    ]
    return list(dict.fromkeys([*cases, *(word.replace("nan", "NaN") for word in words)]))


@dataclass(frozen=True)
class Writing:
    """How the values of one column are written in its file."""

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    date_format: str = ""
    missing: tuple[str, ...] = ()
    """Texts that mean no value, in addition to `NULL_WORDS` of all dtypes but text."""
    renamed: tuple[tuple[str, str], ...] = ()
    """New names of a category -> the names that the lake keeps."""
    time_zone: str = "UTC"
    """Of timestamps without a zone."""

    @classmethod
    def of(cls, files: FileFormat, column: Column, time_zone: str = "UTC") -> "Writing":
        """As the contract describes it; a word that is one of the column's `values` is a value."""
        words = [word for word in files.missing if word not in (column.values or ())]
        decimal = column.decimal or files.decimal
        return cls(
            decimal=decimal,
            thousands=column.thousands or (files.thousands if files.thousands != decimal else ""),
            unit=column.unit,
            date_format=column.date_format,
            missing=(*words, *column.missing),
            renamed=tuple(column.names_kept(dt.date.max).items()),
            time_zone=time_zone,
        )


def convert(
    values: pd.Series, dtype: Dtype, writing: Writing | None = None
) -> tuple[pd.Series, Masks]:
    """The values (rows,) in the contract's dtype, null where they cannot be read, and why they
    cannot.

    Args:
        values: text as it was in a file, or values typed already.
        dtype: the contract's.
        writing: how text is written, and which values are missing.

    Returns:
        The typed values (text: `string[pyarrow]`, whole numbers: `Int64`, numbers: `float64`,
        booleans: `boolean`, dates: `datetime64[s]`, timestamps: `datetime64[us, UTC]`), and a
        mask for each kind of fault that occurs; no value has two.
    """
    writing = writing or Writing()
    if dtype in ("string", "category"):
        text = _text(values)
        if writing.missing:
            text = text.mask(text.str.strip().isin(writing.missing), None)
        if writing.renamed:
            text = text.replace(dict(writing.renamed))
        return text, {}
    converted, masks = _converted(values, dtype, writing)
    if not writing.missing:
        return converted, masks
    # By value as well: -1 is also written -1.0, and a typed value has no text.
    words, _ = _converted(
        pd.Series(writing.missing, dtype=TEXT), dtype, replace(writing, missing=())
    )
    absent = _text(values).isin(writing.missing).to_numpy(dtype=bool)
    masks = {code: mask & ~absent for code, mask in masks.items() if (mask & ~absent).any()}
    return converted.mask(converted.isin(words.dropna()), None), masks


def _converted(values: pd.Series, dtype: Dtype, writing: Writing) -> tuple[pd.Series, Masks]:
    if values.dtype == object or isinstance(values.dtype, pd.StringDtype):
        return _from_text(values.astype(TEXT).str.strip(), dtype, writing)
    if isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind == "M":
        if dtype == "date":
            return _midnight(values), {}
        if dtype == "timestamp":
            missing = values.isna().to_numpy()
            return _with_mask(of_typed(values, writing.time_zone), missing, "not_a_timestamp")
        return _from_text(values.astype(TEXT), dtype, writing)
    if dtype in ("date", "timestamp"):  # numbers
        return _from_text(_text(values), dtype, writing)
    return _from_numbers(values, dtype)


def excel_day(number: str) -> dt.date:
    """The date that Excel means by a number."""
    return EXCEL_EPOCH + dt.timedelta(days=int(float(number)))


def _text(values: pd.Series) -> pd.Series:
    text: pd.Series = values.astype(TEXT)
    if values.dtype.kind == "f":
        numbers = _floats(values)
        whole = np.isfinite(numbers) & (np.trunc(numbers) == numbers)
        text[whole] = pd.Series(
            [str(int(number)) for number in numbers[whole]], dtype=TEXT
        ).to_numpy()
    if (text == "").any():
        return text.mask(text == "", None)
    return text


def _from_text(text: pd.Series, dtype: Dtype, writing: Writing) -> tuple[pd.Series, Masks]:
    """Read everything at once; only what was not read is looked at more closely."""
    read, classify = _READERS[dtype]
    if writing.missing:
        text = text.mask(text.isin(writing.missing), None)
    wrong_sign = pd.Series(data=False, index=text.index)
    plain = text
    if dtype == "boolean" and writing.decimal == ",":
        plain = text.str.replace(",", ".", regex=False)  # 1,0 and 0,0
    if dtype in ("integer", "float"):
        plain = _without_signs(text, writing)
        if writing.decimal == ",":
            wrong_sign = (
                plain.str.fullmatch(r"[+-]?[0-9]*\.[0-9]+").fillna(value=False).astype(bool)
            )
            plain = plain.mask(wrong_sign, None).str.replace(",", ".", regex=False)
    if dtype == "timestamp":
        converted = read_timestamps(plain, writing.date_format, writing.time_zone)
    elif writing.date_format:
        converted = _formatted_dates(plain, writing.date_format)
    else:
        converted = read(plain)
    left = text[converted.isna().to_numpy() & text.notna().to_numpy()]
    left = left[~left.str.lower().isin(NULL_WORDS)]
    if left.empty:
        return converted, {}
    codes = classify(left)
    if writing.date_format:
        codes[:] = f"not_a_{dtype}"
    codes = codes.mask(wrong_sign[left.index], "decimal_point")
    return converted, {
        str(code): text.index.isin(codes.index[codes == code]) for code in codes.unique()
    }


def _without_signs(text: pd.Series, writing: Writing) -> pd.Series:
    """Numbers without the unit and, where the groups of three digits are right, without their
    separators.
    """
    if writing.unit:
        unit = re.escape(writing.unit)
        text = text.str.replace(rf"^([+-]?){SPACE}*{unit}{SPACE}*", r"\1", regex=True)
        text = text.str.replace(rf"{SPACE}*{unit}$", "", regex=True)
    if writing.thousands:
        separator = SPACE if writing.thousands in SPACE else re.escape(writing.thousands)
        grouped = text.str.fullmatch(
            rf"[+-]?[0-9]{{1,3}}({separator}[0-9]{{3}})+({re.escape(writing.decimal)}[0-9]*)?"
        )
        text = text.where(
            ~grouped.fillna(value=False).astype(bool),
            text.str.replace(separator, "", regex=True),
        )
    return text


def _from_numbers(values: pd.Series, dtype: Dtype) -> tuple[pd.Series, Masks]:
    """Numbers and booleans typed already; each keeps its exact value or is a fault."""
    missing = values.isna().to_numpy()
    if dtype == "boolean" and values.dtype.kind == "b":
        return values.astype("boolean"), {}
    if dtype == "boolean":
        truth = pd.Series(pd.NA, index=values.index, dtype="boolean")
        truth = truth.mask((values == 1).fillna(value=False), other=True)
        truth = truth.mask((values == 0).fillna(value=False), other=False)
        return _with_mask(truth, missing, "not_a_boolean")
    if dtype == "integer" and values.dtype.kind in "biu":
        if values.dtype.kind == "u":
            values = values.astype("UInt64").where(values <= LARGEST)
        return _with_mask(values.astype("Int64"), missing, "not_a_whole_number")
    numbers = _floats(values)
    infinite = np.isinf(numbers)
    if infinite.any():
        numbers = np.where(infinite, np.nan, numbers)
    if dtype == "float":
        return pd.Series(numbers, index=values.index), _kind("infinite", infinite)
    whole, masks = _with_mask(
        _whole(pd.Series(numbers, index=values.index)), missing | infinite, "not_a_whole_number"
    )
    return whole, masks | _kind("infinite", infinite)


def _floats(values: pd.Series) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
    if isinstance(values.dtype, np.dtype):
        return values.to_numpy(dtype=float)
    return values.astype("Float64").to_numpy(dtype=float, na_value=np.nan)


def _with_mask(converted: pd.Series, missing: Mask, code: str) -> tuple[pd.Series, Masks]:
    return converted, _kind(code, converted.isna().to_numpy() & ~missing)


def _kind(code: str, mask: Mask) -> Masks:
    """The mask under its code; nothing where no value has the fault."""
    if mask.any():
        return {code: mask}
    return {}


def _read_booleans(text: pd.Series) -> pd.Series:
    words = text.str.lower()
    truth = pd.Series(pd.NA, index=text.index, dtype="boolean")
    return truth.mask(words.isin(TRUE_WORDS), other=True).mask(words.isin(FALSE_WORDS), other=False)


def _read_numbers(text: pd.Series) -> pd.Series:
    """As pyarrow reads them in a column without a fault: `to_numeric` has another last
    digit in a third of all numbers of 17 digits.
    """
    plain = text.str.fullmatch(NUMBER).fillna(value=False).astype(bool)
    numbers = _floats(text.where(plain, None))
    return pd.Series(np.where(np.isinf(numbers), np.nan, numbers), index=text.index)


def _read_integers(text: pd.Series) -> pd.Series:
    """Int64, exact: a key of 18 digits read through a float would silently become its
    neighbour.
    """
    whole = _whole(_read_numbers(text))
    for form, base in ((r"[+-]?[0-9]{16,19}", 10), (HEXADECIMAL, 16)):
        digits = text.str.fullmatch(form).fillna(value=False).to_numpy(dtype=bool)
        read = [int(number, base) for number in text[digits]]
        whole[digits] = pd.array(
            [n if -(2**63) <= n < 2**63 else pd.NA for n in read], dtype="Int64"
        )
    return whole


def _whole(numbers: pd.Series) -> pd.Series:
    exact = (numbers % 1 == 0) & (numbers.abs() < EXACT_FLOAT)
    return numbers.where(exact).astype("Int64")


def _read_dates(text: pd.Series) -> pd.Series:
    """Midnight of the date as written; a time zone is cut off, it would move the date."""
    iso = text.where(text.str.fullmatch(ISO_DATE).fillna(value=False).astype(bool), None)
    timed = (iso.str.len() > len("2024-01-31")).fillna(value=False).astype(bool)
    if timed.any():
        iso[timed] = iso[timed].str.replace(OFFSET, r"\1", regex=True)
    dates = _midnight(pd.to_datetime(iso, errors="coerce", format="ISO8601"))
    far = iso[dates.isna() & iso.notna()]  # beyond the nanoseconds of pandas, as 9999-12-31
    if len(far):
        known = {word: _far_date(word) for word in far.unique()}
        dates[far.index] = far.map(known).to_numpy(dtype=DATE)
    return dates


def _formatted_dates(text: pd.Series, date_format: str) -> pd.Series:
    known = {word: _formatted_date(word, date_format) for word in text.dropna().unique()}
    if known:
        return text.map(known).astype(DATE)
    return pd.Series(pd.NaT, index=text.index, dtype=DATE)


def _formatted_date(word: str, date_format: str) -> np.datetime64:
    try:
        if date_format == "excel":
            return np.datetime64(excel_day(word), "s")
        if date_format == "epoch_seconds":
            return np.datetime64((EPOCH + dt.timedelta(seconds=float(word))).date(), "s")
        return np.datetime64(dt.datetime.strptime(word, date_format).date(), "s")
    except (ValueError, OverflowError):
        return np.datetime64("NaT", "s")


def _far_date(word: str) -> np.datetime64:
    try:
        return np.datetime64(dt.date.fromisoformat(word[:10]), "s")
    except ValueError:
        return np.datetime64("NaT", "s")


def _midnight(dates: pd.Series) -> pd.Series:
    # One unit: the same dates in Parquet of another unit are no correction.
    midnight: pd.Series = dates.dt.tz_localize(None).dt.normalize().astype(DATE)
    return midnight


def _number_codes(left: pd.Series, otherwise: str) -> pd.Series:
    codes = pd.Series(otherwise, index=left.index)
    for code, form in (
        ("decimal_comma", r"[+-]?[0-9]*,[0-9]+"),
        (
            "thousands_separator",
            r"[+-]?[0-9]{1,3}(?:[,. '\x{00a0}\x{202f}][0-9]{3})+(?:[.,][0-9]+)?",
        ),
        ("infinite", INFINITE),
    ):
        codes[left.str.fullmatch(form).to_numpy(dtype=bool)] = code
    return codes


def _timestamp_codes(left: pd.Series) -> pd.Series:
    codes = pd.Series("not_a_timestamp", index=left.index)
    codes[left.str.fullmatch(EXCEL_TIME).to_numpy(dtype=bool)] = "excel_date"
    return codes


def _date_codes(left: pd.Series) -> pd.Series:
    codes = pd.Series("not_a_date", index=left.index)
    other = left.str.fullmatch(OTHER_DATE) & ~left.str.fullmatch(ISO_DATE)
    codes[other.to_numpy(dtype=bool)] = "date_in_another_form"
    codes[left.str.fullmatch(EXCEL_NUMBER).to_numpy(dtype=bool)] = "excel_date"
    return codes


_READERS: dict[Dtype, tuple[Callable[[pd.Series], pd.Series], Callable[[pd.Series], pd.Series]]] = {
    "boolean": (_read_booleans, lambda left: pd.Series("not_a_boolean", index=left.index)),
    "integer": (_read_integers, lambda left: _number_codes(left, "not_a_whole_number")),
    "float": (_read_numbers, lambda left: _number_codes(left, "not_a_number")),
    "date": (_read_dates, _date_codes),
    "timestamp": (partial(read_timestamps, date_format="", zone="UTC"), _timestamp_codes),
}
