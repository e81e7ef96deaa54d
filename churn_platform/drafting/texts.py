"""How a column of texts is written: as numbers, dates or yes and no, with which signs, and with
which words for a missing value.
"""

import re
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import pandas as pd

from churn_platform.contract.model import Column
from churn_platform.drafting.words import is_count, is_number, may_be_date
from churn_platform.ingestion.conversion import (
    FALSE_WORDS,
    GAP_WORDS,
    NULL_WORDS,
    TEXT,
    TRUE_WORDS,
    Writing,
    convert,
)

BAD_SHARE = 0.001
"""Largest share of the rows whose value may be unreadable as the dtype of all others."""
GAP_KINDS = 3
"""The most other words that may mean "missing" among numbers."""
GAP_LENGTH = 20
FEW_NUMBERS = 5
"""A word among fewer distinct numbers may be a code of its own rather than a gap."""
READABLE_SHARE = 0.5
MOST_WORDS = 50
LOOKED_AT = 20_000
"""Distinct texts, spread over the column, from which its signs are known."""
UNITS = r"[€$£¥₹%]|EUR|USD|GBP|CHF|PLN|SEK|NOK|DKK|CZK|HUF|zł|kr\.?|Kč|Ft|R\$"
UNIT_AROUND = rf"^([+-]?)\s*(?:{UNITS})\s*|\s*(?:{UNITS})$"
BLANKS = (" ", "\u00a0", "\u202f")
GROUP_SIGNS = (",", ".", "'", *BLANKS)
OTHER_SIGN = {".": ",", ",": "."}
"""Thousands separator -> the decimal sign of a column without fractions."""

ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?"
ZERO_DATE = r"0{4}-?0{2}-?0{2}.*"
COMPACT = r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
DATE_FORMATS = (
    "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y",
    "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y",
)  # fmt: skip
"""Formats of the same pattern are neighbours."""
TIME_FORMATS = ("", " %H:%M", " %H:%M:%S")
PATTERNS = {
    "%d": "[0-9]{1,2}", "%m": "[0-9]{1,2}", "%y": "[0-9]{2}", "%Y": "[0-9]{4}",
    "%b": "[A-Za-z]{3}", "%H": "(?:[01]?[0-9]|2[0-3])", "%M": "[0-5][0-9]",
    "%S": "[0-5][0-9]", ".": r"\.",
}  # fmt: skip
HEAD = 200
"""Texts that show whether a format is worth trying on all."""
DAY_SECONDS = 24 * 60 * 60
NUMBER_FORMS = (
    ("excel", r"[0-9]{5}(?:\.0+)?", "Excel's day numbers"),
    ("epoch_seconds", r"[0-9]{9,10}(?:\.0+)?", "seconds since 1970"),
)
"""`date_format`, pattern of the digits, and the words for it."""
DAYS = (pd.Timestamp(1930, 1, 1), pd.Timestamp(2100, 1, 1))
UNNAMED_DAYS = (pd.Timestamp(2000, 1, 1), pd.Timestamp(2030, 1, 1))
"""Without a name that hints at dates, all numbers must be days in this narrower range."""
FEWEST_UNNAMED = 20


@dataclass(frozen=True)
class Form:
    """What distinct texts are.

    `column` has the dtype and how the column is written. `values` holds each text in the dtype,
    null where it is missing or unreadable; `unread` are the positions of the unreadable ones.
    `decimal` is the sign of the fractions, empty without any.
    """

    column: Column
    values: pd.Series
    doubt: str = ""
    decimal: str = ""
    unread: tuple[int, ...] = ()
    unread_doubt: str = ""


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
    found = _yes_and_no(name, filled)
    if found is None:
        form = _dates(name, filled, rows) or _numbers(filled, rows)
        found = form and _with_the_others(form, filled, rows)
    return found and replace(found, values=found.values.reindex(words.index))


def is_null_word(texts: pd.Series) -> pd.Series:
    """Whether each text (rows,) is a word that is read as missing in every column but a text."""
    return pd.Series(texts.str.strip().str.lower().isin(NULL_WORDS))


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
    return Form(Column(dtype="boolean", missing=missing), true.astype("boolean").mask(gap))


def _with_the_others(form: Form, filled: pd.Series, rows: pd.Series) -> Form | None:
    """The form of most texts with the others as missing or unreadable ones; None if too many
    rows are unreadable.
    """
    others = filled[~filled.index.isin(form.values.index)]
    missing = others[_are_gaps(others, distinct=len(form.values))]
    unread = others.drop(missing.index)
    count = int(rows[unread.index].sum())
    if count > BAD_SHARE * int(rows.sum()):
        return None
    doubt = ""
    if count:
        values = "1 value is not" if count == 1 else f"{count:,} values are not"
        what = "a date" if form.column.dtype == "date" else "a number"
        doubt = f"{values} {what}, for example {str(unread.iloc[0])[:20]!r}"
    column = form.column.model_copy(update={"missing": tuple(sorted(set(missing)))})
    return replace(form, column=column, unread=tuple(unread.index), unread_doubt=doubt)


def _are_gaps(others: pd.Series, distinct: int) -> pd.Series:
    """Which of the texts that cannot be read mean a missing value: known words, and a few words
    among many `distinct` values.
    """
    lower = others.str.lower()
    known = lower.isin(GAP_WORDS) | others.str.fullmatch(ZERO_DATE)
    if distinct < FEW_NUMBERS or lower[~known].nunique() > GAP_KINDS:
        return known
    return known | (~others.str.contains(r"[0-9]", regex=True) & (others.str.len() <= GAP_LENGTH))


def _dates(name: str, filled: pd.Series, rows: pd.Series) -> Form | None:
    """The form in which most of the words are dates; None if few are."""
    words = filled[~filled.str.lower().isin(GAP_WORDS)]
    if words.empty:
        return None
    if _share(words.str.fullmatch(f"{ISO}|{ZERO_DATE}"), rows) >= READABLE_SHARE:
        return _dates_written(words[words.str.fullmatch(ISO)], "")
    if words.str.fullmatch(r"[0-9]+").mean() > READABLE_SHARE:
        digits = words[words.str.fullmatch(r"[0-9]+(?:\.0+)?")]
        return _numbered(name, digits, repeated=int(rows[digits.index].sum()) > len(digits))
    return _in_another_order(words, rows)


def _dates_written(texts: pd.Series, date_format: str, doubt: str = "") -> Form:
    """The dates among texts, read as ingestion reads them by a `date_format`; ISO if it is
    empty.
    """
    dates, _ = convert(texts, "date", Writing(date_format=date_format))
    return Form(Column(dtype="date", date_format=date_format), dates.dropna(), doubt)


def _numbered(name: str, digits: pd.Series, *, repeated: bool) -> Form | None:
    """Numbers that may be dates.

    Without a hint in the name, a number that differs in every row may be a key.
    """
    dated = may_be_date(name)
    if digits.empty or is_number(name) or not (dated or repeated):
        return None
    if bool(digits.str.fullmatch(COMPACT).all()):
        form = _dates_written(digits, "%Y%m%d", f"{digits.iloc[0]} read as a date")
        if len(form.values) < len(digits):
            return None
        return form
    # Amounts are often few, or rounded to tens.
    if not dated and (len(digits) < FEWEST_UNNAMED or (pd.to_numeric(digits) % 10 == 0).all()):
        return None
    for date_format, pattern, what in NUMBER_FORMS:
        if not digits.str.fullmatch(pattern).all():
            continue
        texts = digits
        if date_format == "epoch_seconds":
            # Midnights are few, and each distinct text is read by itself.
            midnights = pd.to_numeric(digits) // DAY_SECONDS * DAY_SECONDS
            texts = midnights.astype("int64").astype(TEXT)
        form = _dates_written(texts, date_format)
        usual = form.values.between(*(DAYS if dated else UNNAMED_DAYS))
        if len(usual) == len(digits) and usual.all():
            shown = form.values.iloc[0].date().isoformat()
            return replace(form, doubt=f"read as {what}: {digits.iloc[0]} is {shown}")
    return None


def _in_another_order(words: pd.Series, rows: pd.Series) -> Form | None:
    """Texts with a day, a month and a year in one of the usual orders."""
    head = words.head(HEAD)
    for pattern, same in groupby(DATE_FORMATS, key=_pattern):
        formats = list(same)
        for time_format in TIME_FORMATS:
            time = _pattern(time_format)
            if head.str.fullmatch(pattern + time).mean() < READABLE_SHARE:
                continue
            mask = words.str.fullmatch(pattern + time)
            if _share(mask, rows) < READABLE_SHARE:
                continue
            days = words[mask].str.replace(f"{time}$", "", regex=True)
            read = [_dates_written(days, date_format) for date_format in formats]
            most = max(len(form.values) for form in read)
            best, *others = [form for form in read if len(form.values) == most]
            if not most:
                continue
            written = best.column.date_format
            doubt = ""
            if others or "%y" in written:
                doubt = f"{words[mask].iloc[0]} read as {written}"
            if others:
                doubt = f"day or month first? no date shows it: {doubt}"
            column = best.column.model_copy(update={"date_format": written + time_format})
            return replace(best, column=column, doubt=doubt)
    return None


def _pattern(date_format: str) -> str:
    """The texts that a format may fit."""
    return re.sub(r"%[A-Za-z]|\.", lambda part: PATTERNS[part[0]], date_format)


def _share(mask: pd.Series, rows: pd.Series) -> float:
    """The share of the rows whose text is in `mask`."""
    own = rows[mask.index]
    return float(own[mask.fillna(value=False).astype(bool)].sum() / own.sum())


def _numbers(filled: pd.Series, rows: pd.Series) -> Form | None:
    writing = _signs(filled, rows)
    if writing is None:
        return None
    bare = _without_unit(filled)
    readable = bare[_matches(bare, writing)]
    # Leading zeros belong to codes ("007").
    if readable.str.fullmatch(r"[+-]?0[0-9]+").any():
        return None
    whole = readable.str.fullmatch(rf"[+-]?[0-9{re.escape(writing.thousands)}]+").all()
    dtype: Literal["integer", "float"] = "integer" if whole else "float"
    values, _ = convert(readable, dtype, writing)
    # Integers beyond 64 bits are keys or codes.
    if values.isna().any():
        return None
    doubts = [_sign_doubt(bare, writing)]
    if writing.unit:
        doubts.append(f"the sign {writing.unit} is removed")
    fractions = readable.str.contains(writing.decimal, regex=False).any()
    return Form(
        Column(dtype=dtype, thousands=writing.thousands, unit=writing.unit),
        values,
        doubt="; ".join(filter(None, doubts)),
        decimal=writing.decimal if fractions else "",
    )


def _signs(filled: pd.Series, rows: pd.Series) -> Writing | None:
    """The decimal sign, thousands separator and unit by which most texts are numbers; None
    where few are.
    """
    filled = filled.iloc[:: len(filled) // LOOKED_AT + 1]
    bare = _without_unit(filled)
    here = rows[filled.index].to_numpy()
    best = Writing()
    most = -1
    for writing in _candidates(bare):
        readable = int(here[_matches(bare, writing)].sum())
        if readable > most:
            best = writing
            most = readable
        if readable == here.sum():
            break
    if most < READABLE_SHARE * int(here.sum()):
        return None
    units = set(filled[bare != filled].str.findall(UNITS).explode().dropna())
    if len(units) > 1:
        return None  # amounts of several currencies are not comparable
    return replace(best, unit=next(iter(units), ""))


def _candidates(bare: pd.Series) -> list[Writing]:
    """Decimal sign and thousands separator in order of preference; a separator that no text has
    reads nothing more than none.
    """
    signs = [sign for sign in GROUP_SIGNS if bare.str.contains(sign, regex=False).any()]
    grouped = [Writing(OTHER_SIGN.get(sign, "."), sign) for sign in signs if _groups(bare, sign)]
    others = [
        Writing(decimal, sign) for sign in ("", *signs) for decimal in (".", ",") if decimal != sign
    ]
    return [*grouped, *others]


def _groups(bare: pd.Series, sign: str) -> bool:
    """Whether a sign that could be a decimal one groups digits: always three after it, and
    small numbers without it.
    """
    signed = bare[bare.str.contains(sign, regex=False)]
    if signed.empty or not signed.str.fullmatch(_grouped(sign)).all():
        return False
    others = bare.drop(signed.index)
    small = others.str.fullmatch(r"[+-]?[0-9]{1,3}")
    long = others.str.fullmatch(r"[+-]?[0-9]{4,}")
    repeated = signed.str.count(re.escape(sign)) > 1
    return bool(repeated.any() or sign == "," or (small.any() and not long.any()))


def _grouped(sign: str) -> str:
    """The pattern of a number whose digits a sign groups."""
    return rf"[+-]?[1-9][0-9]{{0,2}}({re.escape(sign)}[0-9]{{3}})+"


def _sign_doubt(bare: pd.Series, writing: Writing) -> str:
    shown = bare[bare.str.contains(writing.thousands or writing.decimal, regex=False)]
    if shown.empty:
        return ""
    if writing.thousands:
        sign = "blanks are" if writing.thousands in BLANKS else f"{writing.thousands} is"
        return f"{sign} read as the thousands separator, as in {shown.iloc[0]}"
    if shown.str.fullmatch(_grouped(writing.decimal)).all():
        return f"{shown.iloc[0]} is read as a fraction, not as thousands"
    return ""


def _without_unit(words: pd.Series) -> pd.Series:
    if not words.str.contains(UNITS, regex=True).any():
        return words
    return words.str.replace(UNIT_AROUND, r"\1", regex=True)


def _matches(bare: pd.Series, writing: Writing) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which texts are numbers so written.

    An exponent needs a sign: 1E2 is a code, 1e+02 a number.
    """
    point = re.escape(writing.decimal)
    group = re.escape(writing.thousands)
    digits = "[0-9]+"
    if group:
        digits = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)"
    form = rf"[+-]?(?:{digits}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-][0-9]{{1,2}})?"
    return bare.str.fullmatch(form).fillna(value=False).to_numpy(dtype=bool)
