"""The label of a draft: which column marks who churned, or who stayed, guessed or given."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.drafting.keys import Key, Sheet, keys_of, listed, why_not_one_row
from churn_platform.drafting.texts import is_null_word
from churn_platform.drafting.words import (
    key_likeness,
    label_likeness,
    names_who_stayed,
    valid_name,
)
from churn_platform.ingestion.conversion import FALSE_WORDS, TEXT, TRUE_WORDS, convert

HIGH_RATE = 0.6
SURE_KEY = 3
"""What `key_likeness` gives the name of a customer's key."""
MOST_VALUES = 6
"""Of a column that is named like a label but holds something else, so many values are shown."""


class NoLabelError(UsageError):
    """No label can be guessed from a drop: an older one may have it."""

    code = "LABEL_NOT_FOUND"


@dataclass(frozen=True)
class LabelColumn:
    """The label: its sheet's name, its header, the share that churned, and why to confirm it.

    `inverted` where the column marks who stayed, `missing` the value that means "not known".
    """

    table: str
    header: str
    rate: float
    doubt: str = ""
    inverted: bool = False
    missing: tuple[str, ...] = ()


def guess_label(sheets: Iterable[Sheet], key: Key, wanted: str | None) -> LabelColumn:
    """The yes-or-no column whose name, or whose table's, shows that it is about churn; `wanted`
    is taken as given.

    Raises:
        UsageError: none or several can be guessed, or `wanted` does not exist or holds more
            than yes and no.
    """
    usable = [
        sheet
        for sheet in sheets
        if key.header in sheet.guesses and sheet.guesses[key.header].unique
    ]
    columns = [
        (sheet, header) for sheet in usable for header in sheet.guesses if header != key.header
    ]
    if wanted is not None:
        return _given(columns, wanted)
    scored = [(_label_score(sheet, header, key), sheet, header) for sheet, header in columns]
    flags = [
        (score, sheet, header)
        for score, sheet, header in scored
        if _is_flag(sheet, header, named=score > 0)
    ]
    highest = max((score for score, _, _ in flags), default=0)
    best = [(sheet, header) for score, sheet, header in flags if score == highest]
    if not highest:
        raise NoLabelError(
            _why_no_label(
                columns, [(s, h) for _, s, h in flags], [(s, h) for n, s, h in scored if n]
            )
        )
    empty = [f"{sheet.name}.{header}" for sheet, header in best if _not_known(sheet, header)]
    if empty:
        raise NoLabelError(f"No label can be guessed: {empty[0]} is empty in every row.")
    found = [_label(sheet, header) for sheet, header in best]
    truths = [labels_of(sheet, one, key) for (sheet, _), one in zip(best, found, strict=True)]
    if any(not truth.equals(truths[0]) for truth in truths[1:]):
        names = [f"{sheet.name}.{header}" for sheet, header in best]
        raise UsageError(
            f"No label can be guessed: pass --label with one of {listed(names)}.",
            code="LABEL_NOT_FOUND",
        )
    doubts = "; ".join(filter(None, ["guessed from its name", found[0].doubt]))
    return replace(found[0], doubt=doubts)


def labels_of(sheet: Sheet, label: LabelColumn, key: Key) -> pd.Series:
    """Who churned, by customer: true, false or null; sorted by the key as text."""
    truth = _churned(sheet.frame[label.header], inverted=label.inverted)
    truth.index = pd.Index(keys_of(sheet, key))
    return truth.sort_index().rename(None).rename_axis(None)


def truths(values: pd.Series) -> pd.Series:
    """A yes-or-no column (rows,) as nullable booleans, whichever way it is written."""
    words = _words(values)
    said = words.isin(TRUE_WORDS)
    return said.astype("boolean").mask(~said & ~words.isin(FALSE_WORDS).fillna(value=False))


def _words(values: pd.Series) -> pd.Series:
    return pd.Series(values.astype(object).astype(TEXT).str.strip().str.lower())


def _churned(values: pd.Series, *, inverted: bool) -> pd.Series:
    truth = truths(values)
    if inverted:
        return ~truth
    return truth


def _is_flag(sheet: Sheet, header: str, *, named: bool) -> bool:
    """Whether a column holds yes and no; where it is named like a label, a third value may mean
    "not known".
    """
    guess = sheet.guesses[header]
    if guess.column.dtype == "boolean":
        return guess.distinct > 0
    return named and len(_unknown(sheet.frame[header])) == 1


def _not_known(sheet: Sheet, header: str) -> bool:
    """Whether a yes-or-no column is empty in this drop: the label of the newest month is not
    known yet.
    """
    guess = sheet.guesses[header]
    return guess.column.dtype == "boolean" and guess.distinct > 0 and not guess.values.notna().any()


def _unknown(values: pd.Series) -> tuple[str, ...]:
    """The values that are neither yes nor no, where there are both yes and no; else nothing."""
    texts, _ = convert(values.dropna(), "string")
    distinct = texts.str.strip().drop_duplicates()
    lower = distinct.str.lower()
    if not lower.isin(TRUE_WORDS).any() or not lower.isin(FALSE_WORDS).any():
        return ()
    others = distinct[~lower.isin([*TRUE_WORDS, *FALSE_WORDS]) & ~is_null_word(distinct)]
    return tuple(sorted(others))


def _label_score(sheet: Sheet, header: str, key: Key) -> int:
    """Nothing for a column of which neither its own name nor, where it is alone in it, its
    table's speaks of churn.
    """
    alone = set(sheet.guesses) == {key.header, header}
    own = label_likeness(header)
    table = min(label_likeness(sheet.name), 2)
    if own or (alone and table):
        return 2 * own + table + alone
    return 0


def _given(columns: list[tuple[Sheet, str]], wanted: str) -> LabelColumn:
    def is_it(sheet: Sheet, header: str) -> bool:
        return wanted in {
            f"{t}.{c}" for t in (sheet.stem, sheet.name) for c in (header, valid_name(header))
        }

    found = next((column for column in columns if is_it(*column)), None)
    if found is None:
        names = [
            f"{sheet.name}.{header}"
            for sheet, header in columns
            if _is_flag(sheet, header, named=False)
        ]
        raise UsageError(
            f"--label {wanted}: there is no such column; the columns with two values are"
            f" {listed(names)}.",
            code="LABEL_NOT_FOUND",
        )
    if _not_known(*found):
        raise NoLabelError(f"--label {wanted}: the column is empty in every row.")
    if not _is_flag(*found, named=True):
        seen = found[0].frame[found[1]].dropna().astype(str).unique()
        raise UsageError(
            f"--label {wanted}: it must hold yes and no, true and false or 1 and 0, not"
            f" {listed(seen)}.",
            code="LABEL_NOT_FOUND",
        )
    return _label(*found)


def _label(sheet: Sheet, header: str) -> LabelColumn:
    inverted = names_who_stayed(header if label_likeness(header) else sheet.name)
    rate = float(_churned(sheet.frame[header], inverted=inverted).mean())
    missing = _unknown(sheet.frame[header])
    doubts = [
        f"{header!r} names who stayed, so no means churned" if inverted else "",
        f"{missing[0]!r} is read as not known" if missing else "",
        _rate_doubt(rate),
    ]
    return LabelColumn(sheet.name, header, rate, "; ".join(filter(None, doubts)), inverted, missing)


def _rate_doubt(rate: float) -> str:
    if rate == 0:
        return "nobody churned"
    if rate == 1:
        return "every customer in it churned: it must also list the customers who stayed"
    if rate > HIGH_RATE:
        return f"{rate:.0%} of the customers churned: is it the right way round?"
    return ""


def _why_no_label(
    columns: list[tuple[Sheet, str]],
    flags: list[tuple[Sheet, str]],
    named: list[tuple[Sheet, str]],
) -> str:
    """Why no label can be guessed: a column that is named like one is shown with what it holds."""
    for sheet, header in named:
        seen = sheet.frame[header].dropna().astype(str).unique()
        if len(seen) <= MOST_VALUES:
            return (
                f"No label can be guessed: {sheet.name}.{header} is named like one but holds"
                f" {listed(sorted(seen))}; write yes for who churned and no for who stayed, or"
                " pass --label TABLE.COLUMN."
            )
    for sheet, header in columns:
        if key_likeness(header) == SURE_KEY and not sheet.guesses[header].unique:
            return (
                f"No label can be guessed, {sheet.stem} may be a log of events:"
                f" {why_not_one_row(sheet, header)}."
            )
    if flags:
        hint = (
            "the columns with two values are"
            f" {listed(f'{sheet.name}.{header}' for sheet, header in flags)}"
        )
        return f"No label can be guessed: pass --label TABLE.COLUMN; {hint}."
    pairs = [f"{s.name}.{h}" for s, h in columns if s.guesses[h].distinct == 2]  # noqa: PLR2004 - yes and no
    if pairs:
        others = f"; with two other values there are {listed(pairs)}"
    else:
        others = ""
    return (
        f"No label can be guessed: no column holds yes and no or 0 and 1{others}; write the"
        " label as yes and no."
    )
