"""Drafts a contract from the tables of a drop: what can be guessed, and what to confirm."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import itemgetter
from statistics import median
from typing import Literal

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.text import percent
from churn_platform.contract.consistency import ANSWERED
from churn_platform.contract.model import Contract, Entity, Span
from churn_platform.contract.outcome import ColumnCost, Costs, Label
from churn_platform.contract.parts import FileFormat
from churn_platform.contract.policy import IngestionPolicy, Policy
from churn_platform.drafting.contact_columns import contact_columns, may_hold_contacts
from churn_platform.drafting.contacts import (
    HORIZON_NEEDED,
    ContactDraft,
    Objections,
    can_be_changed,
    contacts_among,
    customers_of,
    objections_in,
    sheets_elsewhere,
    with_contacts,
)
from churn_platform.drafting.keys import KeyColumn, Sheet, guess_key, listed
from churn_platform.drafting.label import LabelColumn, guess_label, labels_of
from churn_platform.drafting.tables import (
    LeftOut,
    Parts,
    Place,
    add_table,
    one_row_a_customer,
    reasons_left_out,
    sheets_of,
)
from churn_platform.drafting.texts import OTHER_SIGN
from churn_platform.drafting.words import (
    description,
    free_name,
    is_needless,
    is_value,
    valid_name,
)
from churn_platform.ingestion.conversion import convert

Cadence = Literal["month", "week", "day"]
DAYS: dict[Cadence, int] = {"month": 5, "week": 2, "day": 0}
"""Days in which a correction still counts, by cadence."""
USUAL_GAPS: dict[Cadence, tuple[int, int]] = {"month": (28, 31), "week": (7, 7), "day": (1, 1)}
"""Days between two drops, from and to, that leave no doubt about the cadence."""
MONTH_DAYS = range(27, 36)
PERIODS = "does it mark who left after the as_of, or before it (`period`)?"
CERTAIN = ("utf-8", "utf-8-sig", "utf-16", "ascii")
ALIKE = ("cp1250", "cp1252")
"""Windows encodings that read the same bytes as different letters."""
SHOWN = 30
LOOKED_AT = 10_000
"""Rows of each column that are searched for a letter beyond ASCII."""
SLICES = 3
SLICE_VALUES = 6
SLICE_SHARE = 0.05


@dataclass(frozen=True)
class Times:
    """Cadence, days of delivery and the label's horizon, each with the reason to confirm it."""

    cadence: Cadence = "month"
    cadence_doubt: str = "only one drop was seen"
    delivery_days: int = DAYS["month"]
    delivery_doubt: str = "a later correction does not change what its model trains on"
    horizon: Span = field(default_factory=Span)
    period: Literal["after", "before"] = "before"
    horizon_doubt: str = f"the label came with its drop; {PERIODS}"


@dataclass(frozen=True)
class Draft:
    """A contract, and what a person should know about each guess in it."""

    contract: Contract
    doubts: Mapping[Place, str]
    """Place in the contract, such as ("tables", "users", "columns", "plan") -> why to confirm
    it.
    """
    left_out: tuple[LeftOut, ...]
    rows: Mapping[str, int]
    """By table."""
    churn_rate: float
    as_of: dt.date | None
    """The month it was drafted from."""
    costs: tuple[Costs, ...]
    """What the costs could be by columns; a suggestion, the contract has the defaults."""
    contacts: ContactDraft | None = None
    """The table of contacts, if a file holds them. It is a part of the contract unless the label
    is known at the as_of already.
    """
    objections: Objections = field(default_factory=Objections)
    """Who objects to contact; looked for where there is a table of contacts."""


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
        others: tables of other drops, which the contract must accept, too.
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
    largest = max(len(sheet.frame) for sheet in sheets)
    likely = [sheet for sheet in sheets if may_hold_contacts(sheet, largest)]
    if len(likely) == len(sheets):
        likely = []
    rest = [sheet for sheet in sheets if all(sheet is not other for other in likely)]
    key = guess_key(rest, entity)
    rest += [sheet for sheet in likely if contact_columns(sheet, [key.header]) is None]
    usable = one_row_a_customer(rest, key, parts)
    found = guess_label(usable, key, label)
    entity_part = _entity(key, parts)
    usable.sort(key=lambda sheet: sheet.name == found.table)  # the label's table last
    truth = labels_of(usable[-1], found, key)
    for sheet in usable:
        out = reasons_left_out(
            sheet,
            key,
            found,
            truth,
            as_of,
            only_table=len(usable) == 1,
            delivered_later=sheet.stem in later,
        )
        add_table(parts, sheet, key, found, out, as_of)
    if not parts.views:
        why = [f"{out.table}.{out.column or '*'} ({out.reason})" for out in parts.left_out]
        raise UsageError(
            f"No column is left to learn from. Left out: {listed(why)}.", code="DRAFT_IMPOSSIBLE"
        )
    likely += sheets_elsewhere(frames, others, largest)
    customers = customers_of(usable, others, key)
    contacts = contacts_among(likely, customers, key, times.cadence, parts)
    if contacts is not None:
        parts.tables[contacts.table] = contacts.declared
    described = [*usable, contacts.sheet] if contacts is not None else usable
    written = written_in(files or FileFormat(), described, key, parts)
    if contacts is not None:
        contacts = replace(contacts, declared=parts.tables.pop(contacts.table))
    absent = max(parts.absent[view.table] for view in parts.views.values())
    contract = Contract(
        name=name,
        model_name=f"{name}_churn",
        entity=entity_part,
        cadence=times.cadence,
        delivery_days=times.delivery_days,
        files=written,
        tables=parts.tables,
        label=Label(
            table=found.table,
            column=parts.label,
            horizon=times.horizon,
            period=times.period,
            inverted=found.inverted,
        ),
        feature_views=parts.views,
        policy=Policy(ingestion=_ingestion(absent)),
    )
    contract = contract.model_copy(update={"slices": _slices(contract, usable)})
    parts.doubts |= _doubts(contract, found, times, absent)
    objections = Objections()
    if contacts is not None:
        objections = objections_in(contract)
        if can_be_changed(contract.label):
            contract = with_contacts(contract, contacts, objections)
            parts.doubts |= contacts.places | objections.places
        else:
            reason = f"no contact can change a label that is known at the as_of: {HORIZON_NEEDED}"
            parts.left_out.append(LeftOut(contacts.table, "", reason))
    return Draft(
        contract=contract,
        doubts={place: doubt for place, doubt in parts.doubts.items() if doubt},
        left_out=tuple(parts.left_out),
        rows={sheet.name: len(sheet.frame) for sheet in described if sheet.name in contract.tables},
        churn_rate=found.rate,
        as_of=as_of,
        costs=_costs(contract),
        contacts=contacts,
        objections=objections,
    )


def guess_times(as_ofs: Sequence[dt.date], labelled: dt.date | None) -> Times:
    """Cadence and horizon as the dates of the drops suggest.

    Args:
        as_ofs: the drops' dates, oldest first.
        labelled: the newest of them that has labels; None if its folder has no date.
    """
    if labelled is None or len(as_ofs) < 2:  # noqa: PLR2004 - a gap needs two
        return Times()
    gap = median((later - earlier).days for earlier, later in pairwise(as_ofs))
    cadence: Cadence = "month"
    if gap <= 3:  # noqa: PLR2004 - days
        cadence = "day"
    elif gap <= 13:  # noqa: PLR2004 - days
        cadence = "week"
    shortest, longest = USUAL_GAPS[cadence]
    usual = shortest <= gap <= longest
    waiting = sum(as_of > labelled for as_of in as_ofs)
    seen = "the newest drop has its labels"
    if waiting:
        seen = f"the newest {waiting} drop{'s have' if waiting > 1 else ' has'} no labels yet"
    return Times(
        cadence=cadence,
        cadence_doubt="" if usual else f"{gap:g} days lie between the drops",
        delivery_days=DAYS[cadence],
        horizon=_horizon(cadence, waiting),
        # A label that is known at once can only mark who has left already.
        period="after" if waiting else "before",
        horizon_doubt=f"{seen}; {PERIODS}",
    )


def written_in(files: FileFormat, sheets: list[Sheet], key: KeyColumn, parts: Parts) -> FileFormat:
    """The files' format with the decimal sign of most columns; a column with the other sign has
    its own.
    """
    signs = Counter(
        guess.decimal
        for sheet in sheets
        for header, guess in sheet.guesses.items()
        if guess.decimal and header != key.header
    )
    usual = max(signs, key=lambda sign: (signs[sign], sign == "."), default=files.decimal)
    if usual == files.delimiter:
        usual = files.decimal
    for sheet in sheets:
        table = parts.tables.get(sheet.name)
        if table is None:
            continue
        columns = dict(table.columns)
        for name, column in table.columns.items():
            guess = sheet.guesses[column.source or name]
            sign = guess.decimal or OTHER_SIGN.get(column.thousands, "")
            if sign not in ("", usual):
                columns[name] = column.model_copy(update={"decimal": sign})
        parts.tables[sheet.name] = table.model_copy(update={"columns": columns})
    if files.encoding.lower() not in CERTAIN:
        parts.doubts["files",] = _encoding_doubt(files.encoding, sheets)
    return files.model_copy(update={"decimal": usual})


def _entity(key: KeyColumn, parts: Parts) -> Entity:
    name = valid_name(key.header, "key")
    if name in ANSWERED:
        name = f"customer_{name}"
    name = free_name(name, "customer", parts.taken)
    parts.doubts["entity",] = key.doubt
    return Entity(
        column=name,
        dtype="integer" if key.integer else "string",
        source="" if name == key.header else key.header,
    )


def _ingestion(absent: float) -> IngestionPolicy:
    """A table that only some customers are in, such as support tickets, may lack half as many
    again.
    """
    usual = IngestionPolicy()
    if absent <= usual.unmatched_share / 2:
        return usual
    return IngestionPolicy(unmatched_share=min(1.0, math.ceil(150 * absent) / 100))


def _doubts(
    contract: Contract, label: LabelColumn, times: Times, absent: float
) -> dict[Place, str]:
    doubts: dict[Place, str] = {
        ("label",): "; ".join(filter(None, [label.doubt, times.horizon_doubt])),
        ("cadence",): times.cadence_doubt,
        ("delivery_days",): times.delivery_doubt,
    }
    if contract.policy.ingestion != IngestionPolicy():
        doubts["policy", "ingestion"] = f"one table lacks {percent(absent)} of the customers"
    if contract.slices:
        doubts["slices",] = "which groups to watch is a choice"
    return doubts


def _slices(contract: Contract, sheets: list[Sheet]) -> tuple[str, ...]:
    """Up to three categories, then booleans, with few values that are each frequent."""
    frames = {sheet.name: sheet.frame for sheet in sheets}
    found = list[tuple[bool, str]]()
    for view in contract.feature_views.values():
        for name in view.features:
            column = contract.published[view.table][name]
            boolean = column.dtype == "boolean"
            # Without a description nobody would know which customers such a slice is about.
            if not description(name) or not (column.values or boolean):
                continue
            shares = frames[view.table][column.source or name].value_counts(normalize=True)
            if 1 < len(shares) <= SLICE_VALUES and shares.min() >= SLICE_SHARE:
                found.append((boolean, name))
    found.sort(key=itemgetter(0))
    return tuple(name for _, name in found[:SLICES])


def _costs(contract: Contract) -> tuple[Costs, ...]:
    """Costs by the columns that look like the value of a customer, or like the cost of a
    contact.
    """
    numbers = [
        name
        for name, column in contract.features.items()
        if column.dtype in ("integer", "float")
        and not column.nullable
        and column.min is not None
        and column.min >= 0
        and is_value(column.source or name)
    ]
    needless = [name for name in numbers if is_needless(name)]
    contact: ColumnCost | float = 1.0
    if needless:
        contact = ColumnCost(column=needless[0])
    return tuple(
        Costs(missed_churner=ColumnCost(column=name), needless_contact=contact)
        for name in numbers
        if name not in needless
    )


def _horizon(cadence: Cadence, waiting: int) -> Span:
    """The span in which so many drops wait for their labels; a calendar month in place of four
    or five weeks.
    """
    if cadence == "month":
        return Span(months=waiting)
    days = waiting
    if cadence == "week":
        days = 7 * waiting
    if days in MONTH_DAYS:
        return Span(months=1)
    if days % 7 == 0:
        return Span(weeks=days // 7)
    return Span(days=days)


def _encoding_doubt(encoding: str, sheets: list[Sheet]) -> str:
    """The first word that another usual encoding reads differently, in both readings."""
    first = ""
    for sheet in sheets:
        for header in sheet.frame.columns:
            for word in _foreign_words(sheet.frame[header]):
                asked = f"{encoding} is a guess: is {word!r} in {header!r} spelled correctly?"
                first = first or asked
                for other in ALIKE:
                    with suppress(UnicodeError):
                        read = word.encode(encoding).decode(other)
                        if read != word:
                            return f"{asked} As {other} it would be {read!r}"
    return first or f"{encoding} is a guess"


def _foreign_words(values: pd.Series) -> list[str]:
    """The distinct texts with a letter beyond ASCII, cut to a readable length."""
    texts, _ = convert(values.head(LOOKED_AT), "string")
    words = texts.dropna().drop_duplicates()
    return [word[:SHOWN] for word in words if not word.isascii()]
