"""Drafts a contract from the tables of a drop: what can be guessed, and what to confirm."""

import datetime as dt
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.text import percent
from churn_platform.contract.consistency import ANSWERED
from churn_platform.contract.model import Contract, Entity
from churn_platform.contract.outcome import ColumnCost, Costs, Label
from churn_platform.contract.parts import FileFormat
from churn_platform.contract.policy import IngestionPolicy, Policy, TrainingPolicy
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
from churn_platform.drafting.file_format import written_in
from churn_platform.drafting.inactivity import Inactivity, inactivity_among
from churn_platform.drafting.keys import KeyColumn, Sheet, listed
from churn_platform.drafting.label import LabelColumn, NoLabelError, guess_label, labels_of
from churn_platform.drafting.log_columns import LogColumns, find_key
from churn_platform.drafting.log_tables import add_logs, logs_among
from churn_platform.drafting.logs import LogDraft
from churn_platform.drafting.tables import (
    LeftOut,
    Parts,
    Place,
    add_table,
    one_row_a_customer,
    reasons_left_out,
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

SLICES = 3
SLICE_VALUES = 6
SLICE_SHARE = 0.05
SAFE_RATE = 0.85
"""A churn rate above this part of the highest allowed one may pass it in another month."""
RATE_MARGIN = 0.15


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
    inactivity: Inactivity | None = None
    """The label made from a log, where no file has one."""

    @property
    def customers(self) -> int:
        """How many customers the tables have."""
        if self.inactivity is not None and self.inactivity.window:
            return self.inactivity.customers
        return max(self._rows_of_customers)

    @property
    def _rows_of_customers(self) -> list[int]:
        return [n for table, n in self.rows.items() if not self.contract.has_many_rows(table)]

    @property
    def as_ofs(self) -> tuple[dt.date | None, ...]:
        """The months to ingest the files for, oldest first; None if that is not known."""
        complete = {log.delivery for log in self.contract.logs.values()} == {"replace"}
        if self.inactivity is not None and complete and not self._rows_of_customers:
            return self.inactivity.as_ofs(self.as_of)
        return (self.as_of,)


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
    inactivity: bool = False,
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
        inactivity: whether the label may be made from a log of events.

    Raises:
        UsageError: no key or no label can be guessed, or nothing is left to learn from.
    """
    parts = Parts()
    times = times or Times()
    drop = _sorted_files(frames, others, entity, as_of, parts)
    key = drop.key
    usable = one_row_a_customer(drop.snapshots, key, parts)
    found = _label_column(usable, key, label, from_log=inactivity, has_log=bool(drop.logs))
    entity_part = _entity(key, parts)
    _add_tables(parts, usable, key, found, as_of, later)
    logs = add_logs(parts, usable, drop.logs, key, others, times.cadence)
    if not parts.views:
        why = [f"{out.table}.{out.column or '*'} ({out.reason})" for out in parts.left_out]
        raise UsageError(
            f"No column is left to learn from. Left out: {listed(why)}.", code="DRAFT_IMPOSSIBLE"
        )
    likely = drop.contacts + sheets_elsewhere(frames, others, drop.largest)
    customers = _customers(usable, logs, others, key)
    contacts = contacts_among(likely, customers, key, times.cadence, parts)
    described = [*usable, *(log.sheet for log in logs)]
    if contacts is not None:
        described.append(contacts.sheet)
        parts.tables[contacts.table] = contacts.declared
    written = written_in(files or FileFormat(), described, key, parts)
    if contacts is not None:
        contacts = replace(contacts, declared=parts.tables.pop(contacts.table))
    inactive = None
    if found is None:
        inactive = inactivity_among(logs, usable, key, parts)
        made_label = inactive.label
        rate = inactive.rate
    else:
        rate = found.rate
        made_label = Label(
            table=found.table,
            column=parts.label,
            horizon=times.horizon,
            period=times.period,
            inverted=found.inverted,
        )
    absent = max(parts.absent.get(view.table, 0.0) for view in parts.views.values())
    contract = Contract(
        name=name,
        model_name=f"{name}_churn",
        entity=entity_part,
        cadence=times.cadence,
        delivery_days=times.delivery_days,
        files=written,
        tables=parts.tables,
        label=made_label,
        feature_views=parts.views,
        policy=_policy(absent, inactive),
    )
    contract = contract.model_copy(update={"slices": _slices(contract, usable)})
    parts.doubts |= _doubts(contract, times, absent)
    parts.doubts |= _label_doubts(found, inactive, times)
    contract, objections = _contacts_added(contract, contacts, parts)
    return Draft(
        contract=contract,
        doubts={place: doubt for place, doubt in parts.doubts.items() if doubt},
        left_out=tuple(parts.left_out),
        rows={sheet.name: len(sheet.frame) for sheet in described if sheet.name in contract.tables},
        churn_rate=rate,
        as_of=as_of,
        costs=_costs(contract),
        contacts=contacts,
        objections=objections,
        inactivity=inactive,
    )


@dataclass(frozen=True)
class _Files:
    """The files of a drop by what they hold."""

    key: KeyColumn
    snapshots: list[Sheet]
    """All that are not one of the others."""
    logs: Mapping[str, tuple[Sheet, LogColumns]]
    contacts: list[Sheet]
    """Those that may be contacts."""
    largest: int
    """Rows of the largest."""


def _sorted_files(
    frames: Mapping[str, pd.DataFrame],
    others: Sequence[Mapping[str, pd.DataFrame]],
    entity: str | None,
    as_of: dt.date | None,
    parts: Parts,
) -> _Files:
    sheets = sheets_of(frames, others, parts)
    if not sheets:
        raise UsageError(f"No file has rows: {listed(frames)}.", code="DRAFT_IMPOSSIBLE")
    largest = max(len(sheet.frame) for sheet in sheets)
    likely = [sheet for sheet in sheets if may_hold_contacts(sheet, largest)]
    if len(likely) == len(sheets):
        likely = []
    rest = [sheet for sheet in sheets if all(sheet is not other for other in likely)]
    key = find_key(rest, entity, as_of)
    rest += [sheet for sheet in likely if contact_columns(sheet, [key.header]) is None]
    logs = logs_among(rest, key, others, as_of)
    snapshots = [sheet for sheet in rest if sheet.name not in logs]
    return _Files(key, snapshots, logs, likely, largest)


def _label_column(
    usable: Sequence[Sheet], key: KeyColumn, wanted: str | None, *, from_log: bool, has_log: bool
) -> LabelColumn | None:
    """The label among the columns; None if it is to be made from a log.

    Raises:
        NoLabelError: there is none, and no log or none is to be used.
    """
    try:
        return guess_label(usable, key, wanted)
    except NoLabelError as error:
        error.has_log = has_log
        if from_log and has_log:
            return None
        raise


def _contacts_added(
    contract: Contract, contacts: ContactDraft | None, parts: Parts
) -> tuple[Contract, Objections]:
    """The contract with the table of contacts, unless the label is known at the as_of already."""
    if contacts is None:
        return contract, Objections()
    objections = objections_in(contract)
    if can_be_changed(contract.label):
        parts.doubts |= contacts.places | objections.places
        return with_contacts(contract, contacts, objections), objections
    reason = f"no contact can change a label that is known at the as_of: {HORIZON_NEEDED}"
    parts.left_out.append(LeftOut(contacts.table, "", reason))
    return contract, objections


def _add_tables(
    parts: Parts,
    usable: list[Sheet],
    key: KeyColumn,
    found: LabelColumn | None,
    as_of: dt.date | None,
    later: Collection[str],
) -> None:
    """Add the files with one row a customer; the label's table last."""
    label = found or LabelColumn("", "", math.nan)
    truth = pd.Series(dtype="boolean", index=pd.Index([], dtype=object))
    usable.sort(key=lambda sheet: sheet.name == label.table)
    if found is not None:
        truth = labels_of(usable[-1], found, key)
    for sheet in usable:
        out = reasons_left_out(
            sheet,
            key,
            label,
            truth,
            as_of,
            only_table=len(usable) == 1,
            delivered_later=sheet.stem in later,
        )
        add_table(parts, sheet, key, label, out, as_of)


def _customers(
    usable: Sequence[Sheet],
    logs: Sequence[LogDraft],
    others: Sequence[Mapping[str, pd.DataFrame]],
    key: KeyColumn,
) -> pd.Series:
    """The distinct keys of all drops, from the tables with one row a customer if there are any."""
    if usable:
        return customers_of(usable, others, key)
    keys = pd.concat([log.events["key"] for log in logs]).drop_duplicates(ignore_index=True)
    return pd.Series(keys)


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


def _policy(absent: float, inactive: Inactivity | None) -> Policy:
    """The defaults, with what the files need: inactivity is often frequent."""
    policy = Policy(ingestion=_ingestion(absent))
    if inactive is None or not inactive.rate > SAFE_RATE * policy.training.churn_rate_max:
        return policy
    highest = min(1.0, math.ceil(10 * (inactive.rate + RATE_MARGIN)) / 10)
    return Policy(ingestion=policy.ingestion, training=TrainingPolicy(churn_rate_max=highest))


def _label_doubts(
    label: LabelColumn | None, inactive: Inactivity | None, times: Times
) -> dict[Place, str]:
    if label is not None:
        return {("label",): "; ".join(filter(None, [label.doubt, times.horizon_doubt]))}
    return {} if inactive is None else dict(inactive.doubts)


def _doubts(contract: Contract, times: Times, absent: float) -> dict[Place, str]:
    doubts: dict[Place, str] = {
        ("cadence",): times.cadence_doubt,
        ("delivery_days",): times.delivery_doubt,
    }
    if contract.policy.training != TrainingPolicy():
        doubts["policy", "training"] = "a higher rate means that the label is wrong"
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
        if view.table in contract.logs:
            continue
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
