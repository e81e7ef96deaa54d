"""The tables of a draft: which sheets it can use, and each one's columns, ages and view."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Age, Column, Table
from churn_platform.contract.parts import FeatureView
from churn_platform.drafting.columns import guess_column, repeated_rows
from churn_platform.drafting.keys import Key, Sheet, keys_of, why_not_one_row
from churn_platform.drafting.label import LabelColumn
from churn_platform.drafting.words import (
    age_name,
    counted,
    description,
    free_name,
    plain_words,
    valid_name,
)
from churn_platform.lake.keys import NearKeys, apart, everyone, near_keys, same_digits

COMMON_SHARE = 0.5
"""With fewer customers in common, measured on the smaller of two sets, tables are about
different customers.
"""
STRANGERS_SHARE = 0.01
REPAIRED_SHARE = 0.5
"""If so many of the unmatched keys match after a repair, the files have the same customers."""


def why_no_match(keys: Mapping[str, pd.Series], header: str) -> str:
    """Why the tables cannot be joined, as one sentence with the repair; empty where they can.

    Args:
        keys: by file name, the distinct keys (rows,) as texts.
        header: what the key's column is called.
    """
    if len(keys) == 1:
        return ""
    known = {file: own.dropna() for file, own in keys.items()}
    for file, own in known.items():
        others = {other: theirs for other, theirs in known.items() if other != file}
        everybody = everyone(others)
        strangers, unmatched = apart(own, everybody)
        if len(strangers) <= STRANGERS_SHARE * len(own):
            continue
        said = (
            f"{len(strangers):,} of {len(own):,} customers of {file} are not in {', '.join(others)}"
        )
        near = _mostly_near(strangers, unmatched)
        if near is not None:
            mine, theirs = near.pairs[0]
            shown = f"{header} is {mine!r} in {file}, {theirs!r} in another file"
            what = near.spelling.difference
            return f"{said}, because their keys differ by {what} ({shown}): {near.spelling.repair}."
        if len(own) - len(strangers) < COMMON_SHARE * min(len(own), len(everybody)):
            other = max(others, key=lambda name: len(others[name]))
            shown = (
                f"{header} is {strangers.iloc[0]!r} in {file}, {others[other].iloc[0]!r} in {other}"
            )
            return f"{said} ({shown}): deliver all files for the same customers, with the same key."
    return ""


def _mostly_near(strangers: pd.Series, others: pd.Series) -> NearKeys | None:
    """How most of the strangers' keys are written differently; None where they are other
    customers.
    """
    for compare in (near_keys, same_digits):
        near = compare(strangers, others)
        if near is not None and near.count >= REPAIRED_SHARE * len(strangers):
            return near
    return None


TOTALS = frozenset({
    "total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "gesamtsumme", "total general", "totale",
    "razem", "suma", "totaal", "average", "mean",
})  # fmt: skip


def why_no_customer(stem: str, frame: pd.DataFrame, header: str) -> str:
    """Which row of the file is not a customer and what to do; empty without such a row.

    Args:
        stem: the file's name.
        frame: (rows, columns) the table as read.
        header: the key's column.
    """
    keys = frame[header]
    if pd.api.types.is_numeric_dtype(keys.dtype):
        return ""
    words = keys.astype("string[pyarrow]").str.strip().reset_index(drop=True)
    totals = words.index[words.str.lower().isin(TOTALS)]
    if len(totals):
        row = totals[0]
        return f"{stem}, row {row + 1:,} is {words[row]!r}, which is not a customer: remove the row"
    return ""


LONG_DAYS = 730
"""Ages are given in months where half of them are longer."""
YEAR_DIGITS = 4
UNDATED = "no date may lie after the as_of, which is not known for these files"
Place = tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A column, or a complete table where `column` is empty, that is not a part of the
    contract, and why.
    """

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
    absent: dict[str, float] = field(default_factory=dict)
    """By table: the share of the customers that it lacks."""


def sheets_of(
    frames: Mapping[str, pd.DataFrame],
    others: Sequence[Mapping[str, pd.DataFrame]],
    made: Parts,
) -> list[Sheet]:
    """The tables with what their columns look like; one without rows is left out."""
    sheets = []
    taken = set[str]()
    for stem, frame in frames.items():
        name = free_name(valid_name(stem, "table"), "table", taken)
        if frame.empty:
            made.left_out.append(LeftOut(name, "", "the file has no rows"))
            continue
        elsewhere = [drop[stem] for drop in others if stem in drop]
        guesses = {
            str(h): guess_column(
                str(h), frame[h], [drop[h] for drop in elsewhere if h in drop.columns]
            )
            for h in frame.columns
        }
        sheets.append(Sheet(stem, name, frame, guesses))
    return sheets


def one_row_a_customer(sheets: list[Sheet], key: Key, made: Parts) -> list[Sheet]:
    """The sheets with one row for each customer; the others are left out completely.

    Raises:
        UsageError: a row is not a customer, or the sheets have different customers.
    """
    usable = []
    for sheet in sheets:
        guess = sheet.guesses.get(key.header)
        if guess is None:
            made.left_out.append(LeftOut(sheet.name, "", f"it has no column {key.header!r}"))
        elif not guess.unique:
            made.left_out.append(LeftOut(sheet.name, "", why_not_one_row(sheet, key.header)))
        else:
            usable.append(sheet)
    strange = "; ".join(
        filter(None, (why_no_customer(sheet.stem, sheet.frame, key.header) for sheet in usable))
    )
    if strange:
        raise UsageError(f"{strange}.", code="DRAFT_IMPOSSIBLE")
    distinct = {sheet.name: _distinct(sheet, key) for sheet in usable}
    keys = {sheet.name: keys_of(distinct[sheet.name], key) for sheet in usable}
    apart = why_no_match({sheet.stem: keys[sheet.name] for sheet in usable}, key.header)
    if apart:
        raise UsageError(apart, code="DRAFT_IMPOSSIBLE")
    everybody = int(pd.concat(list(keys.values())).nunique())
    for sheet in usable:
        absent = everybody - len(keys[sheet.name])
        made.absent[sheet.name] = absent / everybody
        repeated = len(sheet.frame) - len(distinct[sheet.name].frame)
        said = [
            _dated(sheet.stem),
            f"{absent:,} of {everybody:,} customers are not in it" if absent else "",
            (
                f"{repeated:,} of {len(sheet.frame):,} rows repeat or lack {key.header!r}"
                if repeated
                else ""
            ),
        ]
        made.doubts[("tables", sheet.name)] = "; ".join(filter(None, said))
    return list(distinct.values())


def _distinct(sheet: Sheet, key: Key) -> Sheet:
    """The sheet without the few rows that repeat a key or lack it."""
    repeated = repeated_rows(sheet.frame[key.header]).to_numpy()
    if not repeated.any():
        return sheet
    guesses = {
        h: replace(g, values=g.values[~repeated].reset_index(drop=True))
        for h, g in sheet.guesses.items()
    }
    return replace(sheet, frame=sheet.frame[~repeated].reset_index(drop=True), guesses=guesses)


def add_table(
    made: Parts,
    sheet: Sheet,
    key: Key,
    label: LabelColumn,
    out: Mapping[str, str],
    as_of: dt.date | None,
) -> None:
    """Add a sheet's columns, ages and view; a table of which nothing is kept is left out."""
    columns = dict[str, Column]()
    ages = dict[str, Age]()
    features = list[str]()
    for header, guess in sheet.guesses.items():
        if header == key.header:
            continue
        name = free_name(valid_name(header), sheet.name, made.taken)
        is_label = (sheet.name, header) == (label.table, label.header)
        column = _worded(guess.column, name, header, feature=not is_label)
        if header in out:
            made.left_out.append(
                LeftOut(sheet.name, name, out[header], column if header.strip() else None)
            )
            continue
        columns[name] = column
        made.doubts["tables", sheet.name, "columns", name] = guess.doubt
        if is_label:
            made.label = name
        elif column.dtype == "date":
            age, spec = _age(name, sheet, header, made, as_of)
            ages[age] = spec
            features.append(age)
            made.doubts[("tables", sheet.name, "ages", age)] = "" if as_of else UNDATED
        else:
            features.append(name)
    if made.label in columns and sheet.name == label.table:
        columns[made.label] = _label_column(columns[made.label], label, wide=bool(features))
        made.doubts["tables", sheet.name, "columns", made.label] = ""
    if columns:
        stem = "" if sheet.stem == sheet.name else sheet.stem
        made.tables[sheet.name] = Table(columns=columns, ages=ages, file=stem)
    if features:
        made.views[f"{sheet.name}_fv"] = FeatureView(table=sheet.name, features=tuple(features))


def _label_column(column: Column, label: LabelColumn, *, wide: bool) -> Column:
    """The label as yes and no; in a table of features it may be empty, as it is for customers
    of the newest month.
    """
    return Column(
        dtype="boolean",
        source=column.source,
        nullable=column.nullable or wide or bool(label.missing),
        missing=(
            tuple(sorted({*column.missing, *label.missing}))
            if column.dtype == "boolean"
            else label.missing
        ),
    )


def _worded(column: Column, name: str, header: str, *, feature: bool) -> Column:
    """The column with its header where that is not a name, and its words where it is a feature."""
    words: dict[str, str] = {"source": "" if header == name else header}
    if feature and column.dtype not in ("string", "date"):
        phrase = counted(name) if column.dtype == "integer" else ""
        words |= {"description": description(name), "phrase": phrase}
    return column.model_copy(update=words)


def _age(
    name: str, sheet: Sheet, header: str, made: Parts, as_of: dt.date | None
) -> tuple[str, Age]:
    dates = sheet.guesses[header].values
    moment = pd.Timestamp(as_of) if as_of else dates.max()
    if (moment - dates).dt.days.median() > LONG_DAYS:
        unit = "months"
    else:
        unit = "days"
    age = free_name(age_name(name, unit), sheet.name, made.taken)
    since = plain_words(age).removeprefix(f"{unit} ")
    phrase = f"{{value}} {unit.removesuffix('s')}{{s}} {since}"
    return age, Age(of=name, unit=unit, description=f"{unit.capitalize()} {since}", phrase=phrase)


def _dated(stem: str) -> str:
    """A doubt where the file's name changes from month to month."""
    digits = sum(letter.isdigit() for letter in stem)
    if digits >= YEAR_DIGITS:
        return "the file must have this name every month"
    return ""
