"""The label of a draft: which column marks who churned, or who stayed, guessed or given."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.drafting.keys import KeyColumn, Sheet, keys_of, listed, why_not_one_row
from churn_platform.drafting.texts import is_null_word
from churn_platform.drafting.words import (
    key_likeness,
    label_likeness,
    names_who_stayed,
    valid_name,
)
from churn_platform.ingestion.conversion import convert

HIGH_RATE = 0.6
SURE_KEY = 3
"""`key_likeness` of the name of a customer's key."""
MOST_VALUES = 6
"""The most values of a column that are shown when its name suits a label and its values do not."""


class NoLabelError(UsageError):
    """No label can be guessed from a drop; an older drop may have it."""

    code = "LABEL_NOT_FOUND"
    has_log = False
    """Whether the drop has a log of events, from which a label may be made."""


@dataclass(frozen=True)
class LabelColumn:
    """The label: the sheet's name, the header, the share that churned, and why to confirm it.

    `inverted` if the column marks who stayed; `missing` are the values that mean "not known".
    """

    table: str
    header: str
    rate: float
    doubt: str = ""
    inverted: bool = False
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """A column that may be the label; `score` is how much its name speaks of churn."""

    sheet: Sheet
    header: str
    score: int = 0

    @property
    def name(self) -> str:
        return f"{self.sheet.name}.{self.header}"

    @property
    def values(self) -> pd.Series:
        return self.sheet.frame[self.header]

    @property
    def is_boolean(self) -> bool:
        guess = self.sheet.guesses[self.header]
        return guess.column.dtype == "boolean" and guess.distinct > 0

    @property
    def is_empty(self) -> bool:
        """Whether a yes-or-no column has no value in this drop: the newest month's label is not
        known yet.
        """
        return self.is_boolean and not self.sheet.guesses[self.header].values.notna().any()

    def is_flag(self, *, named: bool) -> bool:
        """Whether it holds yes and no; if it is named like a label, a third value may mean "not
        known".
        """
        return self.is_boolean or (named and len(_unknown(self.values)) == 1)

    def label(self) -> LabelColumn:
        inverted = names_who_stayed(self.header if label_likeness(self.header) else self.sheet.name)
        rate = float(_churned(self.values, inverted=inverted).mean())
        missing = _unknown(self.values)
        doubts = []
        if inverted:
            doubts.append(f"{self.header!r} names who stayed, so no means churned")
        if missing:
            doubts.append(f"{missing[0]!r} is read as not known")
        if rate == 0:
            doubts.append("no customer churned")
        elif rate == 1:
            doubts.append(
                "every customer in it churned: it must also list the customers who stayed"
            )
        elif rate > HIGH_RATE:
            doubts.append(f"{rate:.0%} of the customers churned: is it the right way round?")
        return LabelColumn(self.sheet.name, self.header, rate, "; ".join(doubts), inverted, missing)


def guess_label(sheets: Iterable[Sheet], key: KeyColumn, wanted: str | None) -> LabelColumn:
    """The yes-or-no column whose name, or whose table's name, speaks most of churn.

    Args:
        sheets: the files.
        key: the key.
        wanted: "table.column" of the label, if it is given.

    Raises:
        UsageError: no label or several can be guessed, or `wanted` does not exist or holds more
            than yes and no.
    """
    candidates = [
        _Candidate(sheet, header, _label_score(sheet, header, key))
        for sheet in sheets
        if key.header in sheet.guesses and sheet.guesses[key.header].unique
        for header in sheet.guesses
        if header != key.header
    ]
    if wanted is not None:
        return _given_label(candidates, wanted)
    flags = [one for one in candidates if one.is_flag(named=one.score > 0)]
    highest = max((one.score for one in flags), default=0)
    if not highest:
        raise NoLabelError(_why_no_label(candidates, flags))
    best = [one for one in flags if one.score == highest]
    for one in best:
        if one.is_empty:
            raise NoLabelError(f"No label can be guessed: {one.name} is empty in every row.")
    found = [one.label() for one in best]
    truths = [labels_of(one.sheet, label, key) for one, label in zip(best, found, strict=True)]
    if any(not truth.equals(truths[0]) for truth in truths[1:]):
        names = listed(one.name for one in best)
        raise UsageError(
            f"No label can be guessed: pass --label with one of {names}.", code="LABEL_NOT_FOUND"
        )
    doubts = "; ".join(filter(None, ["guessed from its name", found[0].doubt]))
    return replace(found[0], doubt=doubts)


def labels_of(sheet: Sheet, label: LabelColumn, key: KeyColumn) -> pd.Series:
    """Who churned, by customer: true, false or null; sorted by the key as text."""
    truth = _churned(sheet.frame[label.header], inverted=label.inverted)
    truth.index = pd.Index(keys_of(sheet, key))
    return truth.sort_index().rename(None).rename_axis(None)


def _churned(values: pd.Series, *, inverted: bool) -> pd.Series:
    """Who churned (rows,) as nullable booleans, whichever way yes and no are written."""
    truth, _ = convert(values.astype(object), "boolean")
    return truth != inverted


def _unknown(values: pd.Series) -> tuple[str, ...]:
    """The values that are neither yes nor no, if there are both yes and no; else nothing."""
    texts, _ = convert(values.dropna(), "string")
    distinct = texts.str.strip().drop_duplicates()
    truth, _ = convert(distinct, "boolean")
    if truth.nunique() < 2:  # noqa: PLR2004 - yes and no
        return ()
    return tuple(sorted(distinct[truth.isna() & ~is_null_word(distinct)]))


def _label_score(sheet: Sheet, header: str, key: KeyColumn) -> int:
    """How much a column's name speaks of churn; the table's name counts, too.

    The table's name alone is enough if the table has no other column.
    """
    alone = set(sheet.guesses) == {key.header, header}
    own = label_likeness(header)
    table = min(label_likeness(sheet.name), 2)
    if own or (alone and table):
        return 2 * own + table + alone
    return 0


def _given_label(candidates: list[_Candidate], wanted: str) -> LabelColumn:
    for one in candidates:
        tables = (one.sheet.stem, one.sheet.name)
        columns = (one.header, valid_name(one.header))
        if wanted in {f"{table}.{column}" for table in tables for column in columns}:
            break
    else:
        names = listed(one.name for one in candidates if one.is_boolean)
        raise UsageError(
            f"--label {wanted}: there is no such column; the columns with two values are {names}.",
            code="LABEL_NOT_FOUND",
        )
    if one.is_empty:
        raise NoLabelError(f"--label {wanted}: the column is empty in every row.")
    if not one.is_flag(named=True):
        seen = one.values.dropna().astype(str).unique()
        raise UsageError(
            f"--label {wanted}: it must hold yes and no, true and false or 1 and 0, not"
            f" {listed(seen)}.",
            code="LABEL_NOT_FOUND",
        )
    return one.label()


def _why_no_label(candidates: list[_Candidate], flags: list[_Candidate]) -> str:
    """Why no label can be guessed: the first of the usual mistakes that the columns show."""
    for one in candidates:
        if not one.score:
            continue
        seen = one.values.dropna().astype(str).unique()
        if len(seen) <= MOST_VALUES:
            return (
                f"No label can be guessed: {one.name} is named like one but holds"
                f" {listed(sorted(seen))}; write yes for who churned and no for who stayed, or"
                " pass --label TABLE.COLUMN."
            )
    for one in candidates:
        if key_likeness(one.header) == SURE_KEY and not one.sheet.guesses[one.header].unique:
            return (
                f"No label can be guessed, {one.sheet.stem} may be a log of events:"
                f" {why_not_one_row(one.sheet, one.header)}."
            )
    if flags:
        return (
            "No label can be guessed: pass --label TABLE.COLUMN; the columns with two values are"
            f" {listed(one.name for one in flags)}."
        )
    pairs = [one.name for one in candidates if one.sheet.guesses[one.header].distinct == 2]  # noqa: PLR2004 - yes and no
    reason = "No label can be guessed: no column holds yes and no or 0 and 1"
    if pairs:
        reason += f"; with two other values there are {listed(pairs)}"
    return f"{reason}; write the label as yes and no."
