"""The tables of a draft: which files it uses, which columns are left out and why, and what is
kept of the others.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.columns import AgeUnit
from churn_platform.contract.model import Age, Column, Table
from churn_platform.contract.parts import FeatureView
from churn_platform.contract.policy import TrainingPolicy
from churn_platform.drafting.columns import Guess, guess_column
from churn_platform.drafting.keys import (
    KeyColumn,
    Sheet,
    keys_of,
    why_no_customer,
    why_no_match,
    why_not_one_row,
    without_repeated,
)
from churn_platform.drafting.label import LabelColumn
from churn_platform.drafting.words import (
    age_name,
    counted,
    description,
    free_name,
    is_personal,
    key_likeness,
    known_late,
    label_likeness,
    plain_words,
    valid_name,
)
from churn_platform.evaluation.leaks import MOST_ROWS, leaks, single_feature_aucs

LIMIT = TrainingPolicy().leak_auc
FEWEST_FILLED = 5
"""A column that fewer churners have filled may be filled for them by chance alone."""
LONG_DAYS = 730
"""Ages are given in months if half of them are longer."""
YEAR_DIGITS = 4
UNDATED = "no date may lie after the as_of, which is not known for these files"
Place = tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A column, or a complete table if `column` is empty, that is not part of the contract, and
    why.
    """

    table: str
    column: str
    reason: str
    spec: Column | None = None


@dataclass
class Parts:
    """The parts of a contract while it is put together."""

    tables: dict[str, Table] = field(default_factory=dict)
    views: dict[str, FeatureView] = field(default_factory=dict)
    doubts: dict[Place, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    label: str = ""
    absent: dict[str, float] = field(default_factory=dict)
    """By table: the share of the customers that it lacks."""


def sheets_of(
    frames: Mapping[str, pd.DataFrame],
    others: Sequence[Mapping[str, pd.DataFrame]],
    parts: Parts,
) -> list[Sheet]:
    """The files with what their columns look like; one without rows is left out."""
    sheets = []
    taken = set[str]()
    for stem, frame in frames.items():
        name = free_name(valid_name(stem, "table"), "table", taken)
        if frame.empty:
            parts.left_out.append(LeftOut(name, "", "the file has no rows"))
            continue
        elsewhere = [drop[stem] for drop in others if stem in drop]
        guesses = {
            str(header): guess_column(
                str(header),
                frame[header],
                [other[header] for other in elsewhere if header in other.columns],
            )
            for header in frame.columns
        }
        sheets.append(Sheet(stem, name, frame, guesses))
    return sheets


def one_row_a_customer(sheets: list[Sheet], key: KeyColumn, parts: Parts) -> list[Sheet]:
    """The files with one row for each customer; the others are left out completely.

    Raises:
        UsageError: a row is not a customer, or the files have different customers.
    """
    usable = []
    for sheet in sheets:
        guess = sheet.guesses.get(key.header)
        if guess is None:
            parts.left_out.append(LeftOut(sheet.name, "", f"it has no column {key.header!r}"))
        elif not guess.unique:
            parts.left_out.append(LeftOut(sheet.name, "", why_not_one_row(sheet, key.header)))
        else:
            usable.append(sheet)
    if not usable:
        return []
    strange = [why_no_customer(sheet, key.header) for sheet in usable]
    if any(strange):
        raise UsageError(f"{'; '.join(filter(None, strange))}.", code="DRAFT_IMPOSSIBLE")
    distinct = [without_repeated(sheet, key) for sheet in usable]
    keys = [keys_of(sheet, key) for sheet in distinct]
    stems = [sheet.stem for sheet in usable]
    mismatch = why_no_match(dict(zip(stems, keys, strict=True)), key.header)
    if mismatch:
        raise UsageError(mismatch, code="DRAFT_IMPOSSIBLE")
    customers = int(pd.concat(keys).nunique())
    for sheet, own in zip(usable, keys, strict=True):
        absent = customers - len(own)
        parts.absent[sheet.name] = absent / customers
        parts.doubts["tables", sheet.name] = _table_doubt(sheet, key, len(own), customers)
    return distinct


def _table_doubt(sheet: Sheet, key: KeyColumn, kept: int, customers: int) -> str:
    rows = len(sheet.frame)
    doubts = []
    if sum(letter.isdigit() for letter in sheet.stem) >= YEAR_DIGITS:
        doubts.append("the file must have this name every month")
    if kept < customers:
        doubts.append(f"{customers - kept:,} of {customers:,} customers are not in it")
    if kept < rows:
        doubts.append(f"{rows - kept:,} of {rows:,} rows repeat or lack {key.header!r}")
    return "; ".join(doubts)


def reasons_left_out(
    sheet: Sheet,
    key: KeyColumn,
    label: LabelColumn,
    labels: pd.Series,
    as_of: dt.date | None,
    *,
    only_table: bool,
    delivered_later: bool = False,
) -> dict[str, str]:
    """Header -> why it is left out, for the columns that are; never the key or the label.

    Args:
        sheet: one row per customer.
        key: the key.
        label: the label.
        labels: true, false or null by customer, the key as text.
        as_of: when the tables were true; None if that is not known.
        only_table: whether no other table could hold features.
        delivered_later: whether a newer drop has other tables but not yet this one.
    """
    late_table = ""
    if not only_table:
        late_table = _why_late(sheet, label, delivered_later=delivered_later)
    found = {
        header: _why_left_out(header, guess, late_table, as_of)
        for header, guess in sheet.guesses.items()
        if header != key.header and (sheet.name, header) != (label.table, label.header)
    }
    kept = [header for header, reason in found.items() if not reason]
    found |= _known_from_churn(sheet, key, labels, kept)
    return {header: reason for header, reason in found.items() if reason}


def _why_left_out(header: str, guess: Guess, late_table: str, as_of: dt.date | None) -> str:
    """The first rule that excludes a column, whoever churned; empty if none does."""
    dtype = guess.column.dtype
    if not header.strip():
        return "it has no name; pandas and R write an index this way"
    if guess.useless:
        return guess.useless
    if guess.unique and dtype in ("integer", "string") and key_likeness(header):
        return "another key: every customer has a different value"
    if dtype == "category" and is_personal(header):
        return "personal: it identifies a person"
    if late_table:
        return late_table
    if known_late(header):
        return "its name suggests that it is known only after churning"
    if dtype == "date" and as_of is not None:
        return _why_after(guess.values, as_of)
    return ""


def _why_late(sheet: Sheet, label: LabelColumn, *, delivered_later: bool) -> str:
    """Why all columns of a table are known too late; empty if they are not."""
    late = known_late(sheet.name)
    likeness = label_likeness(sheet.name)
    if sheet.name == label.table and (delivered_later or late or likeness):
        return "delivered with the label"
    if late or likeness > 1:
        return "the table's name suggests that it is known only after churning"
    return ""


def _why_after(dates: pd.Series, as_of: dt.date) -> str:
    after = float((dates > pd.Timestamp(as_of)).sum() / max(dates.notna().sum(), 1))
    if not after:
        return ""
    shown = f"{after:.0%}" if after >= 0.01 else "under 1%"  # noqa: PLR2004 - what %.0f shows as 0
    return f"{shown} of its dates lie after {as_of}"


def _known_from_churn(
    sheet: Sheet, key: KeyColumn, labels: pd.Series, headers: list[str]
) -> dict[str, str]:
    """The columns that only churners have filled, and those that predict churn on their own."""
    known = labels.dropna().astype(bool)
    place = known.index.get_indexer(pd.Index(keys_of(sheet, key)))
    rows = np.flatnonzero(place >= 0)
    if len(rows) > MOST_ROWS:
        rows = np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False)
    churned = known.iloc[place[rows]].set_axis(rows)
    if not headers or churned.nunique() < 2:  # noqa: PLR2004 - both classes
        return {}
    typed = pd.DataFrame({header: sheet.guesses[header].values for header in headers}).loc[rows]
    reasons = {}
    for header in headers:
        filled = typed[header].notna()
        if (filled & churned).sum() >= FEWEST_FILLED and not (filled & ~churned).any():
            reasons[header] = "filled for churners only"
    columns = {h: sheet.guesses[h].column for h in headers if h not in reasons}
    aucs = leaks(single_feature_aucs(typed, columns, churned), LIMIT)
    return reasons | {h: f"alone predicts churn, AUC {auc:.2f}" for h, auc in aucs.items()}


def add_table(
    parts: Parts,
    sheet: Sheet,
    key: KeyColumn,
    label: LabelColumn,
    out: Mapping[str, str],
    as_of: dt.date | None,
) -> None:
    """Add a sheet's columns, ages and view; a table of which nothing is kept is left out."""
    columns = dict[str, Column]()
    ages = dict[str, Age]()
    features = list[str]()
    label_name = ""
    for header, guess in sheet.guesses.items():
        if header == key.header:
            continue
        name = free_name(valid_name(header), sheet.name, parts.taken)
        is_label = (sheet.name, header) == (label.table, label.header)
        column = _worded(guess.column, name, header, feature=not is_label)
        if header in out:
            spec = column if header.strip() else None
            parts.left_out.append(LeftOut(sheet.name, name, out[header], spec))
            continue
        columns[name] = column
        parts.doubts["tables", sheet.name, "columns", name] = guess.doubt
        if is_label:
            label_name = name
        elif column.dtype == "date":
            age, spec_of_age = _age(name, sheet, header, parts, as_of)
            ages[age] = spec_of_age
            features.append(age)
            parts.doubts["tables", sheet.name, "ages", age] = "" if as_of else UNDATED
        else:
            features.append(name)
    if label_name:
        parts.label = label_name
        columns[label_name] = _label_column(columns[label_name], label, wide=bool(features))
        parts.doubts["tables", sheet.name, "columns", label_name] = ""
    if columns:
        stem = "" if sheet.stem == sheet.name else sheet.stem
        parts.tables[sheet.name] = Table(columns=columns, ages=ages, file=stem)
    if features:
        view = FeatureView(table=sheet.name, features=tuple(features))
        parts.views[f"{sheet.name}_fv"] = view


def _label_column(column: Column, label: LabelColumn, *, wide: bool) -> Column:
    """The label as yes and no; in a table of features it may be empty, as it is for customers
    of the newest month.
    """
    missing = label.missing
    if column.dtype == "boolean":
        missing = tuple(sorted({*column.missing, *label.missing}))
    return Column(
        dtype="boolean",
        source=column.source,
        nullable=column.nullable or wide or bool(label.missing),
        missing=missing,
    )


def _worded(column: Column, name: str, header: str, *, feature: bool) -> Column:
    """The column with its header if that is not a name, and its words if it is a feature."""
    words = {}
    if header != name:
        words["source"] = header
    if feature and column.dtype not in ("string", "date"):
        words["description"] = description(name)
    if feature and column.dtype == "integer":
        words["phrase"] = counted(name)
    return column.model_copy(update=words)


def _age(
    name: str, sheet: Sheet, header: str, parts: Parts, as_of: dt.date | None
) -> tuple[str, Age]:
    dates = sheet.guesses[header].values
    moment = pd.Timestamp(as_of) if as_of else dates.max()
    long = (moment - dates).dt.days.median() > LONG_DAYS
    unit: AgeUnit = "months" if long else "days"
    age = free_name(age_name(name, unit), sheet.name, parts.taken)
    since = plain_words(age).removeprefix(f"{unit} ")
    phrase = f"{{value}} {unit.removesuffix('s')}{{s}} {since}"
    return age, Age(of=name, unit=unit, description=f"{unit.capitalize()} {since}", phrase=phrase)
