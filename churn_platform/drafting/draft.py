"""A draft of a contract from the tables of a drop: everything that can be guessed, with what to
confirm.
"""

import datetime as dt
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import ANSWERED, Contract, Entity
from churn_platform.contract.parts import ColumnCost, Costs, FileFormat, Label
from churn_platform.contract.policy import IngestionPolicy, Policy
from churn_platform.drafting.keys import Key, Sheet, guess_key, listed
from churn_platform.drafting.label import LabelColumn, guess_label, labels_of
from churn_platform.drafting.leaks import reasons_left_out
from churn_platform.drafting.tables import (
    LeftOut,
    Parts,
    Place,
    add_table,
    one_row_a_customer,
    sheets_of,
)
from churn_platform.drafting.times import Times
from churn_platform.drafting.words import (
    description,
    free_name,
    is_needless,
    is_value,
    valid_name,
)
from churn_platform.ingestion.conversion import TEXT
from churn_platform.ingestion.faults import percent

CERTAIN = ("utf-8", "utf-8-sig", "utf-16", "ascii")
OTHER_SIGN = {".": ",", ",": "."}
"""By the thousands separator, the decimal sign of a column without fractions."""
ALIKE = ("cp1250", "cp1252")
"""The encodings of Windows that give other letters to the same bytes."""
SHOWN = 30
LOOKED_AT = 10_000
"""Rows of each column in which a letter beyond ASCII is looked for."""


def written_in(files: FileFormat, sheets: list[Sheet], key: Key, made: Parts) -> FileFormat:
    """The files' format with the decimal sign of most columns; a column of the other sign has
    its own.
    """
    signs = Counter(
        g.decimal
        for sheet in sheets
        for h, g in sheet.guesses.items()
        if g.decimal and h != key.header
    )
    if signs:
        usual = max(signs, key=lambda sign: (signs[sign], sign == "."))
    else:
        usual = files.decimal
    if usual == files.delimiter:
        usual = files.decimal
    for sheet in sheets:
        table = made.tables.get(sheet.name)
        if table is None:
            continue
        columns = {}
        for name, column in table.columns.items():
            sign = sheet.guesses[column.source or name].decimal or OTHER_SIGN.get(
                column.thousands, ""
            )
            columns[name] = (
                column.model_copy(update={"decimal": sign}) if sign not in ("", usual) else column
            )
        made.tables[sheet.name] = table.model_copy(update={"columns": columns})
    if files.encoding.lower() not in CERTAIN:
        made.doubts["files",] = _encoding_doubt(files, sheets)
    return files.model_copy(update={"decimal": usual})


def _encoding_doubt(files: FileFormat, sheets: list[Sheet]) -> str:
    """A word in which a wrong encoding shows, as it is read and as the other usual encoding
    reads it.
    """
    first = ""
    for sheet in sheets:
        for header in sheet.frame.columns:
            for word in _foreign_words(sheet.frame[header]):
                asked = f"{files.encoding} is a guess: is {word!r} in {header!r} spelled correctly?"
                first = first or asked
                for encoding, other in _other_readings(word, files.encoding).items():
                    return f"{asked} As {encoding} it would be {other!r}"
    return first or f"{files.encoding} is a guess"


def _foreign_words(values: pd.Series) -> list[str]:
    """The distinct texts with a letter beyond ASCII, cut to a readable length."""
    texts = values.head(LOOKED_AT)
    if texts.dtype != object and not isinstance(texts.dtype, pd.StringDtype):
        return []
    words = texts.astype(object).astype(TEXT).dropna().drop_duplicates()
    return [str(word)[:SHOWN] for word in words[words.str.contains(r"[^\x00-\x7f]", regex=True)]]


def _other_readings(word: str, encoding: str) -> dict[str, str]:
    """Encoding -> the word as it reads in it, for the usual encodings that read it differently."""
    found = {}
    for other in ALIKE:
        try:
            read = word.encode(encoding).decode(other)
        except UnicodeError:
            continue
        if read != word:
            found[other] = read
    return found


SLICES = 3
SLICE_VALUES = 6
SLICE_SHARE = 0.05


@dataclass(frozen=True)
class Draft:
    """A contract, and what a person should know about each guess in it."""

    contract: Contract
    doubts: Mapping[Place, str]
    """Where in the contract -> why it is to be confirmed, e.g.

    ("tables", "users", "columns", "plan").
    """
    left_out: tuple[LeftOut, ...]
    rows: Mapping[str, int]
    """By table."""
    churn_rate: float
    as_of: dt.date | None
    """The month it was drafted from."""
    costs: tuple[Costs, ...]
    """What the costs could be by columns; a suggestion, the contract has the defaults."""


def draft(
    frames: Mapping[str, pd.DataFrame],
    *,
    name: str,
    others: Sequence[Mapping[str, pd.DataFrame]] = (),
    later: Collection[str] = (),
    as_of: dt.date | None = None,
    files: FileFormat | None = None,
    times: Times | None = None,
    entity: str | None = None,
    label: str | None = None,
) -> Draft:
    """A contract that the tables of a drop keep.

    Args:
        frames: the drop's tables by file stem, values as strings or typed, column names as in
            the files.
        name: of the contract.
        others: tables of other drops, which the contract must let through, too.
        later: the file stems that a newer drop does not have yet.
        as_of: when the tables were true, if that is known.
        files: how the CSV files are written.
        times: cadence and horizon, as the dates of the drops suggest.
        entity: the key's header, if given.
        label: "table.column" of the label, if given.

    Raises:
        UsageError: no key or no label can be guessed, or nothing is left to learn from.
    """
    parts = Parts()
    times = times or Times()
    sheets = sheets_of(frames, others, parts)
    if not sheets:
        raise UsageError(f"No file has rows: {listed(frames)}.", code="DRAFT_IMPOSSIBLE")
    key = guess_key(sheets, entity)
    usable = one_row_a_customer(sheets, key, parts)
    found = guess_label(usable, key, label)
    key_name = valid_name(key.header, "key")
    key_name = free_name(
        f"customer_{key_name}" if key_name in ANSWERED else key_name, "customer", parts.taken
    )
    truth = next(labels_of(sheet, found, key) for sheet in usable if sheet.name == found.table)
    usable.sort(key=lambda sheet: sheet.name == found.table)  # the label's table last
    only_table = len(usable) == 1
    for sheet in usable:
        late = sheet.stem in later
        out = reasons_left_out(
            sheet, key, found, truth, as_of, only_table=only_table, delivered_later=late
        )
        add_table(parts, sheet, key, found, out, as_of)
    if not parts.views:
        why = [f"{out.table}.{out.column or '*'} ({out.reason})" for out in parts.left_out]
        raise UsageError(
            f"No column is left to learn from. Left out: {listed(why)}.", code="DRAFT_IMPOSSIBLE"
        )
    source = "" if key_name == key.header else key.header
    entity_part = Entity(
        column=key_name, dtype="integer" if key.integer else "string", source=source
    )
    parts.doubts["entity",] = key.doubt
    written = written_in(files or FileFormat(), usable, key, parts)
    return _completed(
        _contract(name, entity_part, found, parts, times, written),
        parts,
        usable,
        found,
        times,
        as_of,
    )


def _contract(
    name: str, entity: Entity, label: LabelColumn, parts: Parts, times: Times, files: FileFormat
) -> Contract:
    return Contract(
        name=name,
        model_name=f"{name}_churn",
        entity=entity,
        cadence=times.cadence,
        delivery_days=times.delivery_days,
        files=files,
        tables=parts.tables,
        label=Label(
            table=label.table,
            column=parts.label,
            horizon=times.horizon,
            period=times.period,
            inverted=label.inverted,
        ),
        feature_views=parts.views,
        policy=Policy(ingestion=_ingestion(_absent_share(parts))),
    )


def _absent_share(parts: Parts) -> float:
    """The largest share of the customers that one table of features lacks; labels may be of
    some customers only.
    """
    return max(parts.absent[view.table] for view in parts.views.values())


def _ingestion(absent: float) -> IngestionPolicy:
    """Tables that only some customers are in, such as support tickets, may keep lacking the
    others, and some more.
    """
    usual = IngestionPolicy()
    if absent <= usual.unmatched_share / 2:
        return usual
    return IngestionPolicy(unmatched_share=min(1.0, math.ceil(150 * absent) / 100))


def _completed(
    contract: Contract,
    parts: Parts,
    sheets: list[Sheet],
    label: LabelColumn,
    times: Times,
    as_of: dt.date | None,
) -> Draft:
    slices = _slices(contract, sheets)
    doubts = parts.doubts | {
        ("label",): "; ".join(filter(None, [label.doubt, times.horizon_doubt])),
        ("cadence",): times.cadence_doubt,
        ("delivery_days",): times.delivery_doubt,
        ("policy", "ingestion"): _absent_doubt(contract, _absent_share(parts)),
        ("slices",): "which groups to watch is a choice" if slices else "",
    }
    return Draft(
        contract=contract.model_copy(update={"slices": slices}),
        doubts={place: doubt for place, doubt in doubts.items() if doubt},
        left_out=tuple(parts.left_out),
        rows={sheet.name: len(sheet.frame) for sheet in sheets if sheet.name in contract.tables},
        churn_rate=label.rate,
        as_of=as_of,
        costs=_costs(contract),
    )


def _slices(contract: Contract, sheets: list[Sheet]) -> tuple[str, ...]:
    """Up to three categories, then booleans, of few values that are each frequent."""
    found = []
    frames = {sheet.name: sheet.frame for sheet in sheets}
    for view in contract.feature_views.values():
        for name in view.features:
            column = contract.published[view.table][name]
            if not description(name):
                continue  # nobody would know whom such a slice is about
            if column.dtype == "boolean" or (column.values and len(column.values) <= SLICE_VALUES):
                shares = frames[view.table][column.source or name].value_counts(normalize=True)
                if 1 < len(shares) <= SLICE_VALUES and shares.min() >= SLICE_SHARE:
                    found.append((column.dtype == "boolean", name))
    return tuple(name for _, name in sorted(found, key=lambda pair: pair[0])[:SLICES])


def _costs(contract: Contract) -> tuple[Costs, ...]:
    """Costs by the columns that look like what a customer is worth, or like the cost of one
    kind of mistake.
    """
    numbers = [
        name
        for name, column in contract.features.items()
        if column.dtype in ("integer", "float")
        and not column.nullable
        and column.min is not None
        and column.min >= 0
        if is_value(column.source or name)
    ]
    needless = [name for name in numbers if is_needless(name)]
    contact = ColumnCost(column=needless[0]) if needless else 1.0
    return tuple(
        Costs(missed_churner=ColumnCost(column=name), needless_contact=contact)
        for name in numbers
        if name not in needless
    )


def _absent_doubt(contract: Contract, absent: float) -> str:
    drafted = contract.policy.ingestion != IngestionPolicy()
    if drafted:
        return f"one table lacks {percent(absent)} of the customers"
    return ""
