"""The rules that connect the parts of a contract: every name exists and fits where it is used."""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from churn_platform.contract.columns import Span
from churn_platform.contract.event_consistency import event_faults, inactivity_faults

if TYPE_CHECKING:
    from churn_platform.contract.contacts import Contacts
    from churn_platform.contract.model import Contract

RESERVED = ("as_of", "label", "holdout", "event_timestamp", "created_timestamp")
"""Columns that the lake and the training dataset add."""
ANSWERED = (
    "prediction", "probability", "decile", "rank", "expected_loss", "reasons",
    "contributions", "features", "features_used", "features_as_of", "stale", "what_if",
    "model", "version", "request_id", "error", "history", "current", "no_current", "time",
    "answers", "already_left", "trained_on",
)  # fmt: skip
"""Other fields of requests, answers, lists and logs: the customer's key cannot have these names."""
MODEL_DTYPES = ("category", "boolean", "integer", "float")


def faults_of(contract: "Contract") -> Iterator[str]:
    """Every fault of the names in a contract, each with its place."""
    for rule in (
        _key_faults,
        _file_faults,
        _age_faults,
        _label_faults,
        _view_faults,
        _slice_faults,
        _cost_faults,
        _part_faults,
        _contact_faults,
        event_faults,
        inactivity_faults,
    ):
        yield from rule(contract)


def month_faults(contract: "Contract") -> Iterator[str]:
    """What is wrong in the months from one date of the contract to the next; months before the
    first feature have no drop.
    """
    places = [(v.table, f) for v in contract.feature_views.values() for f in v.features]
    begun = False
    for start in (dt.date.min, *contract.boundaries):
        has_features = any(contract.has_column(table, name, start) for table, name in places)
        if begun and not has_features:
            yield f"from {start} on: no feature is left"
        begun = begun or has_features
        if not has_features:
            continue
        when = "before its first date" if start == dt.date.min else f"from {start} on"
        try:
            contract.delivery(start)
        except ValidationError as error:
            for fault in error.errors():
                yield f"{when}: {fault['msg'].removeprefix('Value error, ')}"


def _key_faults(contract: "Contract") -> list[str]:
    key = contract.entity.column
    named = [("entity.column", key)]
    faults = []
    for name, table in contract.tables.items():
        if key in table.columns:
            faults.append(
                f"tables.{name}.columns.{key}: the entity column is implied, leave it out"
            )
        named += [(f"tables.{name}.columns", column) for column in table.columns]
        named += [(f"tables.{name}.ages", age) for age in table.ages]
        named += [(f"tables.{name}.windows", window) for window in table.windows]
    faults += [
        f"{where}: {name!r} is a name of our own, rename it"
        for where, name in named
        if name in RESERVED
    ]
    if key in ANSWERED:
        faults.append(
            f"entity.column: {key!r} is a field of the API's answers, give it another name and"
            f" `source: {key}`"
        )
    return faults


def _file_faults(contract: "Contract") -> list[str]:
    faults = []
    if not contract.boundaries:  # `month_faults` looks at each month: one may replace another
        stems = [contract.file_stem(name) for name in contract.tables]
        faults = [
            f"tables: two tables are read from the file {s!r}"
            for s in sorted({*stems})
            if stems.count(s) > 1
        ]
    for name in contract.tables:
        if not contract.boundaries:
            headers = [column.source or own for own, column in contract.delivered(name).items()]
            faults += [
                f"tables.{name}: two columns are read from the header {header!r}"
                for header in sorted({*headers})
                if headers.count(header) > 1
            ]
        faults += [
            f"tables.{name}.columns.{own}.thousands: {column.thousands!r} is the decimal sign, too"
            for own, column in contract.tables[name].columns.items()
            if column.thousands and column.thousands == (column.decimal or contract.files.decimal)
        ]
    return faults


def _age_faults(contract: "Contract") -> list[str]:
    faults = []
    for name, table in contract.tables.items():
        for age, spec in table.ages.items():
            where = f"tables.{name}.ages.{age}"
            date = table.columns.get(spec.of)
            if date is None or date.dtype != "date":
                faults.append(f"{where}.of: table {name!r} has no date column {spec.of!r}")
            if age in table.columns or age == contract.entity.column:
                faults.append(f"{where}: {age!r} is a column already, name the age otherwise")
    return faults


def _label_faults(contract: "Contract") -> list[str]:
    if contract.label.no_event is not None:
        return []  # see `inactivity_faults`
    table = contract.tables.get(contract.label.table)
    if table is None:
        return [f"label.table: there is no table {contract.label.table!r}"]
    if contract.label.column not in table.columns:
        return [
            f"label.column: table {contract.label.table!r} has no column {contract.label.column!r}"
        ]
    if table.columns[contract.label.column].dtype not in ("boolean", "integer", "float"):
        return [f"label.column: {contract.label.column!r} must be boolean or 0/1"]
    if contract.wide and contract.label_table in contract.tables:
        return [
            (
                f"tables.{contract.label_table}: the name is kept for the labels of"
                f" {contract.label.table!r}, rename it"
            )
        ]
    return []


def _view_faults(contract: "Contract") -> list[str]:
    faults = []
    seen = set[str]()
    for view_name, view in contract.feature_views.items():
        where = f"feature_views.{view_name}"
        if view.table not in contract.tables:
            faults.append(f"{where}.table: there is no table {view.table!r}")
            continue
        columns = contract.columns_of(view.table)
        for feature in view.features:
            column = columns.get(feature)
            if column is None:
                faults.append(f"{where}.features: table {view.table!r} has no column {feature!r}")
            elif (view.table, feature) == (contract.label.table, contract.label.column):
                faults.append(f"{where}.features: {feature!r} is the label")
            elif column.dtype not in MODEL_DTYPES:
                remedy = ""
                if column.dtype == "date":
                    remedy = ": give it an age (tables.*.ages)"
                faults.append(
                    f"{where}.features: {feature!r} is a {column.dtype}, not a feature"
                    f" dtype{remedy}"
                )
            if feature in seen:
                faults.append(f"{where}.features: {feature!r} is in two views")
            seen.add(feature)
    return faults


def _slice_faults(contract: "Contract") -> list[str]:
    return [
        f"slices: no feature table has a column {name!r}"
        for name in contract.slices
        if contract.table_of(name) is None
    ]


def _cost_faults(contract: "Contract") -> list[str]:
    faults = []
    for name in contract.costs.columns:
        home = contract.table_of(name)
        column = None if home is None else contract.columns_of(home)[name]
        if column is None:
            faults.append(f"costs: no feature table has a column {name!r}")
        elif (
            column.dtype not in ("integer", "float")
            or column.nullable
            or (column.min is None or column.min < 0)
        ):
            faults.append(
                f"costs: {name!r} must be a number that is never empty, with a min of at least 0"
            )
        elif column.since is not None or column.until is not None:
            faults.append(f"costs: {name!r} must be in every month, without since and until")
    return faults


def _part_faults(contract: "Contract") -> list[str]:
    stems = {contract.file_stem(name) for name in contract.tables} | set(contract.tables)
    files = [part.file or stem for t in contract.tables.values() for stem, part in t.parts.items()]
    faults = [
        f"tables: two parts are read from the file {file!r}"
        for file in sorted({*files})
        if files.count(file) > 1
    ]
    for name, table in contract.tables.items():
        held = {column for part in table.parts.values() for column in part.columns}
        faults += [
            f"tables.{name}.parts.{stem}: another table has this name or file"
            for stem, part in table.parts.items()
            if {stem, part.file} & stems
        ]
        if held and held >= set(table.columns):
            faults.append(f"tables.{name}.parts: at least one column stays in the table's own file")
        if name == contract.label.table and contract.label.column in held:
            faults.append(f"tables.{name}.parts: the label stays in the table's own file")
    return faults


CONTACT_DTYPES = {
    "contacted_on": ("date",),
    "action": ("string", "category"),
    "outcome": ("string", "category"),
    "cost": ("integer", "float"),
    "assigned": ("boolean",),
}


def _contact_faults(contract: "Contract") -> list[str]:
    faults = []
    contacts = contract.contacts
    policy = contract.policy.contacts
    if contacts is not None:
        faults += _contact_table_faults(contract, contacts)
        if policy.salt == contract.policy.training.salt:
            faults.append(
                "policy.contacts.salt: it is policy.training.salt, so the untouched customers"
                " would be those of the holdout; choose another text"
            )
        if policy.budget > 1 and policy.budget != int(policy.budget):
            faults.append(
                f"policy.contacts.budget: {policy.budget:g} is neither a number of customers nor"
                " a share below 1"
            )
    if contract.do_not_contact is not None:
        faults += _named_column_faults(
            contract, "do_not_contact", contract.do_not_contact, ("boolean",)
        )
    if isinstance(policy.value, str):
        faults += _named_column_faults(
            contract, "policy.contacts.value", policy.value, ("integer", "float")
        )
    elif policy.value is not None and policy.value <= 0:
        faults.append("policy.contacts.value: it must be above 0")
    return faults


def _contact_table_faults(contract: "Contract", contacts: "Contacts") -> list[str]:
    table = contract.tables.get(contacts.table)
    if table is None:
        return [f"contacts.table: there is no table {contacts.table!r}"]
    faults = []
    readers: dict[str | None, str] = {
        view.table: f"feature_views.{name}" for name, view in contract.feature_views.items()
    }
    readers |= {contract.table_of(name): "slices" for name in contract.slices}
    readers |= {contract.table_of(name): "costs" for name in contract.costs.columns}
    readers[contract.label.table] = "label"
    if contacts.table in readers:
        faults.append(
            f"contacts.table: {readers[contacts.table]} reads {contacts.table!r}, which has"
            " several rows a customer"
        )
    if contacts.not_reached and contacts.outcome is None:
        faults.append("contacts.not_reached: name the column `outcome` that has these values")
    if contract.label.horizon == Span() or contract.label.period == "before":
        faults.append(
            "contacts: the label is known at the as_of, so no contact after it can change it;"
            " set label.horizon, and label.period to after"
        )
    for field, name in contacts.columns.items():
        column = table.columns.get(name)
        if column is None:
            faults.append(f"contacts.{field}: table {contacts.table!r} has no column {name!r}")
        elif column.dtype not in CONTACT_DTYPES[field]:
            wanted = " or ".join(CONTACT_DTYPES[field])
            faults.append(f"contacts.{field}: {name!r} is {column.dtype}, not {wanted}")
    return faults


def _named_column_faults(
    contract: "Contract", field: str, named: str, dtypes: tuple[str, ...]
) -> list[str]:
    """What is wrong with a column that is named as `table.column`."""
    table, _, name = named.partition(".")
    if table not in contract.tables or table in contract.event_tables:
        return [f"{field}: there is no table {table!r} with one row a customer"]
    column = contract.columns_of(table).get(name)
    if column is None:
        return [f"{field}: table {table!r} has no column {name!r}"]
    if column.dtype not in dtypes:
        return [f"{field}: {named!r} is {column.dtype}, not {' or '.join(dtypes)}"]
    return []
