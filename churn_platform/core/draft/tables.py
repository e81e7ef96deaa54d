"""The tables of a draft: which sheets it can use, and each one's columns, ages and view.

Belongs here: one table after the other. Does not: the whole (`core/draft`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from churn_platform.core.contract import Age, Column, Table
from churn_platform.core.contract_parts import FeatureView
from churn_platform.core.draft.columns import guess_column
from churn_platform.core.draft.keys import Key, LabelColumn, Sheet
from churn_platform.core.draft.leaks import as_dates
from churn_platform.core.draft.words import age_name, counted, description, free_name, plain_words, valid_name

LONG_DAYS = 730
"""Ages are told in months where half of them are longer."""
YEAR_DIGITS = 4
UNDATED = "no date may lie after the as_of, which is not known here"
Place = tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A column, or a whole table where `column` is empty, that is no part of the contract, and why."""

    table: str
    column: str
    reason: str
    spec: Column | None = None


@dataclass
class Parts:
    """What is being put together."""

    tables: dict[str, Table] = field(default_factory=dict)
    views: dict[str, FeatureView] = field(default_factory=dict)
    doubts: dict[Place, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    label: str = ""
    absent_share: float = 0.0
    """The largest share of the customers that one table lacks."""


def sheets_of(
    frames: Mapping[str, pd.DataFrame], older: Sequence[Mapping[str, pd.DataFrame]], made: Parts
) -> list[Sheet]:
    """The tables with what their columns look like; one without rows or with the key alone is left out."""
    sheets, taken = [], set[str]()
    for stem, frame in frames.items():
        name = free_name(valid_name(stem, "table"), "table", taken)
        if frame.empty:
            made.left_out.append(LeftOut(name, "", "the file has no rows"))
            continue
        before = [drop[stem] for drop in older if stem in drop]
        guesses = {
            str(h): guess_column(str(h), frame[h], [drop[h] for drop in before if h in drop.columns])
            for h in frame.columns
        }
        sheets.append(Sheet(stem, name, frame, guesses))
    return sheets


def one_row_a_customer(sheets: list[Sheet], key: Key, made: Parts) -> list[Sheet]:
    """The sheets in which no customer is repeated; the others are left out whole."""
    usable, everybody = [], _everybody(sheets, key)
    for sheet in sheets:
        guess = sheet.guesses.get(key.header)
        if guess is None:
            made.left_out.append(LeftOut(sheet.name, "", f"it has no column {key.header!r}"))
        elif not guess.unique:
            reason = f"{key.header!r} repeats or is empty: bring it to one row a customer first"
            made.left_out.append(LeftOut(sheet.name, "", reason))
        else:
            usable.append(sheet)
            absent = everybody - len(sheet.frame)
            said = f"{absent:,} of {everybody:,} customers are not in it" if absent else ""
            made.absent_share = max(made.absent_share, absent / everybody)
            made.doubts[("tables", sheet.name)] = "; ".join(filter(None, [_dated(sheet.stem), said]))
    return usable


def _everybody(sheets: list[Sheet], key: Key) -> int:
    """How many customers there are in all tables that have one row for each."""
    keys = [s.frame[key.header].astype(str) for s in sheets if key.header in s.guesses and s.guesses[key.header].unique]
    return int(pd.concat(keys).nunique())


def add_table(
    made: Parts, sheet: Sheet, key: Key, label: LabelColumn, out: Mapping[str, str], as_of: dt.date | None
) -> None:
    """Add a sheet's columns, ages and view; a table of which nothing is kept is left out whole."""
    columns, ages, features = dict[str, Column](), dict[str, Age](), list[str]()
    for header, guess in sheet.guesses.items():
        if header == key.header:
            continue
        name = free_name(valid_name(header), sheet.name, made.taken)
        is_label = (sheet.name, header) == (label.table, label.header)
        column = _worded(guess.column, name, header, feature=not is_label)
        if header in out:
            made.left_out.append(LeftOut(sheet.name, name, out[header], column))
            continue
        columns[name], place = column, ("tables", sheet.name, "columns", name)
        made.doubts[place] = guess.doubt
        if is_label:
            made.label = name
        elif column.dtype == "date":
            age, spec = _age(name, sheet, header, made, as_of)
            ages[age], features = spec, [*features, age]
            made.doubts[("tables", sheet.name, "ages", age)] = "" if as_of else UNDATED
        else:
            features.append(name)
    if columns:
        stem = "" if sheet.stem == sheet.name else sheet.stem
        made.tables[sheet.name] = Table(columns=columns, ages=ages, file=stem)
    if features:
        made.views[f"{sheet.name}_fv"] = FeatureView(table=sheet.name, features=tuple(features))


def _worded(column: Column, name: str, header: str, *, feature: bool) -> Column:
    """The column with its header where that is no name, and its words where it is a feature."""
    words: dict[str, str] = {"source": "" if header == name else header}
    if feature and column.dtype not in ("string", "date"):
        phrase = counted(name) if column.dtype == "integer" else ""
        words |= {"description": description(name), "phrase": phrase}
    return column.model_copy(update=words)


def _age(name: str, sheet: Sheet, header: str, made: Parts, as_of: dt.date | None) -> tuple[str, Age]:
    dates = as_dates(sheet.frame[header])
    moment = pd.Timestamp(as_of) if as_of else dates.max()
    unit = "months" if (moment - dates).dt.days.median() > LONG_DAYS else "days"
    age = free_name(age_name(name, unit), sheet.name, made.taken)
    since = plain_words(age).removeprefix(f"{unit} ")
    phrase = f"{{value}} {unit.removesuffix('s')}{{s}} {since}"
    return age, Age(of=name, unit=unit, description=f"{unit.capitalize()} {since}", phrase=phrase)


def _dated(stem: str) -> str:
    """A doubt where the file's name changes from month to month."""
    digits = sum(letter.isdigit() for letter in stem)
    return "the file must have this name every month" if digits >= YEAR_DIGITS else ""
