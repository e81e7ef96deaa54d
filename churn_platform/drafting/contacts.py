"""The part of a contract about contacts, drafted from a table of contacts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from churn_platform.base.text import counted
from churn_platform.contract.contacts import ContactPolicy, Contacts
from churn_platform.contract.model import Column, Contract, Span, Table
from churn_platform.contract.outcome import Label
from churn_platform.contract.policy import Policy
from churn_platform.drafting.columns import Guess
from churn_platform.drafting.contact_columns import (
    UNREADABLE,
    ContactColumns,
    best_contacts,
    contact_columns,
    keys_as_text,
    may_hold_contacts,
    not_reached_in,
    why_no_contacts,
)
from churn_platform.drafting.keys import KeyColumn, Sheet, keys_of, listed
from churn_platform.drafting.tables import LeftOut, Parts, sheets_of
from churn_platform.drafting.words import free_name, key_likeness, speaks_of_objection, valid_name
from churn_platform.lake.keys import everyone

FREQUENCIES = {"month": "M", "week": "W", "day": "D"}
SHARE_OF_ALL = 0.5
"""No drafted budget is a larger share of the customers."""
HORIZON_NEEDED = (
    "set label.horizon to the time after the as_of in which the label's churn happens, and"
    " label.period to after"
)


@dataclass(frozen=True)
class ContactDraft:
    """The parts of a contract about contacts, each with what to confirm."""

    sheet: Sheet
    declared: Table
    contacts: Contacts
    budget: int
    left_out: Mapping[str, str]
    """Columns of the file that are not used -> why."""
    doubts: Mapping[str, str]
    """Field of `contacts`, or `budget` -> what to confirm."""
    column_doubts: Mapping[str, str]
    """Column of the table -> what to confirm."""

    @property
    def table(self) -> str:
        """The table's name."""
        return self.sheet.name

    @property
    def places(self) -> dict[tuple[str, ...], str]:
        """Place in the contract -> what to confirm."""
        places: dict[tuple[str, ...], str] = {}
        for name, why in self.doubts.items():
            place = ("policy", "contacts") if name == "budget" else ("contacts", name)
            places[place] = why
        for name, why in self.column_doubts.items():
            places["tables", self.table, "columns", name] = why
        return places


@dataclass(frozen=True)
class Objections:
    """Which column marks customers who object to being contacted."""

    column: str = ""
    """As `table.column`; empty without one."""
    others: tuple[str, ...] = ()
    inverted: tuple[str, ...] = ()
    """Columns that mark who agrees, which the contract cannot read the other way round."""

    @property
    def places(self) -> dict[tuple[str, ...], str]:
        """Place in the contract -> what to confirm."""
        return {("do_not_contact",): self.doubt} if self.column else {}

    @property
    def doubt(self) -> str:
        """What to confirm of the column."""
        text = "a yes means that the customer must not be contacted"
        if self.others:
            text += f"; so may {listed(self.others)}"
        return text

    @property
    def remedy(self) -> str:
        """What to do about columns that mark who agrees; empty without one."""
        if not self.inverted:
            return ""
        return (
            f"{listed(self.inverted)} marks who agrees to contact. do_not_contact needs a column"
            " that is true for customers who object: deliver one with the opposite of it"
        )


def sheets_elsewhere(
    frames: Mapping[str, pd.DataFrame],
    others: Sequence[Mapping[str, pd.DataFrame]],
    largest: int,
) -> list[Sheet]:
    """Files of other drops alone that may hold contacts: a business contacts customers before
    or after the month whose labels are known.
    """
    only = {stem: frame for drop in others for stem, frame in drop.items() if stem not in frames}
    sheets = sheets_of(only, others, Parts())
    return [sheet for sheet in sheets if may_hold_contacts(sheet, largest)]


def customers_of(
    usable: Sequence[Sheet], others: Sequence[Mapping[str, pd.DataFrame]], key: KeyColumn
) -> pd.Series:
    """The distinct keys of all drops: who was contacted may have left since."""
    keys = {sheet.name: keys_of(sheet, key) for sheet in usable}
    for number, drop in enumerate(others):
        for sheet in usable:
            frame = drop.get(sheet.stem)
            if frame is not None and key.header in frame:
                found = keys_as_text(frame[key.header], integer=key.integer)
                keys[f"{sheet.name} {number}"] = found.dropna().drop_duplicates()
    return everyone(keys)


def contacts_among(
    likely: Sequence[Sheet], customers: pd.Series, key: KeyColumn, cadence: str, parts: Parts
) -> ContactDraft | None:
    """The table of contacts among the files that may be one; the others are left out."""
    keys = dict[str, pd.Series]()
    found = []
    for sheet in likely:
        columns = contact_columns(sheet, [key.header])
        if columns is None:
            continue
        if key.header not in sheet.guesses:
            parts.left_out.append(LeftOut(sheet.name, "", f"it has no column {key.header!r}"))
            continue
        keys[sheet.name] = keys_as_text(sheet.frame[key.header], integer=key.integer)
        reason = why_no_contacts(keys[sheet.name], customers)
        if reason:
            parts.left_out.append(LeftOut(sheet.name, "", f"it looks like contacts, but {reason}"))
        else:
            found.append((sheet, columns))
    if not found:
        return None
    chosen, columns = best_contacts(found)
    for sheet, _ in found:
        if sheet is not chosen:
            reason = f"the contract names one table of contacts, {chosen.name}: put all into it"
            parts.left_out.append(LeftOut(sheet.name, "", reason))
    made = contact_draft(
        chosen, key.header, columns, keys[chosen.name], customers, cadence, parts.taken
    )
    for header, reason in made.left_out.items():
        name = valid_name(header)
        spec = chosen.guesses[header].column.model_copy(update={"values": None, "nullable": True})
        if name != header:
            spec = spec.model_copy(update={"source": header})
        parts.left_out.append(LeftOut(chosen.name, name, reason, spec if header.strip() else None))
    return made


def contact_draft(
    sheet: Sheet,
    key: str,
    found: ContactColumns,
    keys: pd.Series,
    customers: pd.Series,
    cadence: str,
    taken: set[str],
) -> ContactDraft:
    """The contract's table of contacts and its `contacts`.

    Args:
        sheet: the file.
        key: the header of the customer's key.
        found: which column is what.
        keys: of its rows (rows,), as texts.
        customers: the distinct keys of all other files.
        cadence: of the contract.
        taken: names of columns that are in use; those of the table are added.
    """
    columns = dict[str, Column]()
    named = dict[str, str]()
    left_out = dict[str, str]()
    doubts = dict[str, str]()
    used = {header: own_field for own_field, header in found.fields.items()}
    for header, guess in sheet.guesses.items():
        if header == key:
            continue
        own_field = used.get(header, "")
        number = _is_contact_number(header, guess)
        if not own_field and not number:
            left_out[header] = "not needed: it is neither the day, the action nor the outcome"
            continue
        name = free_name(valid_name(header), sheet.name, taken)
        columns[name] = _column(guess, own_field, name, header)
        doubts[name] = guess.doubt
        if own_field:
            named[own_field] = name
        else:
            doubts[name] = "it distinguishes contacts on the same day"
    not_reached = not_reached_in(sheet, found.outcome) if found.outcome else ()
    stem = "" if sheet.stem == sheet.name else sheet.stem
    budget, shown = _budget(sheet, found, keys, customers, cadence)
    why = {name: doubt for name, doubt in found.why.items() if name in named}
    why["table"] = (
        f"{counted(len(sheet.frame), 'row')} of {counted(keys.nunique(), 'customer')};"
        " a row must be a contact that took place"
    )
    if not_reached:
        why["not_reached"] = "the outcomes of customers who were not reached"
    why["budget"] = shown
    return ContactDraft(
        sheet=sheet,
        declared=Table(columns=columns, file=stem),
        contacts=Contacts.model_validate(
            {"table": sheet.name, **named, "not_reached": not_reached}
        ),
        budget=budget,
        left_out=left_out,
        doubts=why,
        column_doubts={name: doubt for name, doubt in doubts.items() if doubt},
    )


def can_be_changed(label: Label) -> bool:
    """Whether a contact after the as_of can change the label, as `contacts` needs."""
    return label.horizon != Span() and label.period == "after"


def with_contacts(contract: Contract, made: ContactDraft, objections: Objections) -> Contract:
    """The contract with the table of contacts and what belongs to it."""
    policy = contract.policy
    return contract.changed(
        tables={**contract.tables, made.table: made.declared},
        contacts=made.contacts,
        do_not_contact=objections.column or None,
        policy=Policy(
            **{
                **{name: getattr(policy, name) for name in policy.model_fields_set},
                "contacts": ContactPolicy(budget=made.budget),
            }
        ),
    )


def objections_in(contract: Contract) -> Objections:
    """The boolean columns of a contract's customers whose names speak of objection or consent."""
    objecting = list[str]()
    agreeing = list[str]()
    for table, declared in contract.tables.items():
        for name, column in declared.columns.items():
            is_label = (table, name) == (contract.label.table, contract.label.column)
            if column.dtype != "boolean" or is_label or table in contract.event_tables:
                continue
            objects = speaks_of_objection(column.source or name)
            if objects is not None:
                (objecting if objects else agreeing).append(f"{table}.{name}")
    first = objecting[0] if objecting else ""
    return Objections(first, tuple(objecting[1:]), tuple(agreeing))


def _is_contact_number(header: str, guess: Guess) -> bool:
    """Whether a column has a number of its own for each contact."""
    text = guess.column.dtype in ("integer", "string") and guess.useless != "row numbers"
    return guess.unique and text and key_likeness(header) > 0


def _column(guess: Guess, own_field: str, name: str, header: str) -> Column:
    """The column without a list of values or an upper bound: the next campaign has others."""
    column = guess.column
    made: dict[str, object] = {
        "source": "" if header == name else header,
        "values": None,
        "max": None,
    }
    if own_field == "outcome" and column.dtype == "boolean":
        made |= {"dtype": "category", "missing": ()}
    if own_field not in ("contacted_on", "action") or not _rarely_empty(guess):
        made["nullable"] = True
    else:
        made["nullable"] = False
    return column.model_copy(update=made)


def _rarely_empty(guess: Guess) -> bool:
    return float(guess.values.isna().mean()) <= UNREADABLE


def _budget(
    sheet: Sheet,
    found: ContactColumns,
    keys: pd.Series,
    customers: pd.Series,
    cadence: str,
) -> tuple[int, str]:
    """The customers contacted in a usual month, week or day of the file, and in words."""
    days = sheet.guesses[found.contacted_on].values
    known = pd.DataFrame({"key": keys.to_numpy(), "day": days.to_numpy()}).dropna()
    if known.empty:
        return 1, "no contact has a day and a customer"
    period = known["day"].dt.to_period(FREQUENCIES[cadence])
    usual = float(known.groupby(period)["key"].nunique().median())
    most = max(1, math.floor(SHARE_OF_ALL * len(customers)))
    budget = min(most, max(1, _two_digits(usual)))
    return budget, f"customers to contact in a {cadence}; the file shows about {usual:,.0f}"


def _two_digits(number: float) -> int:
    """The number rounded to two digits."""
    digits = math.floor(math.log10(max(number, 1))) + 1
    return int(round(number, min(0, 2 - digits)))
