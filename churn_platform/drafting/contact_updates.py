"""What a month's files change in a contract about contacts: a new table of them, or a column of
theirs under another header.
"""

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from churn_platform.contract.model import Contract
from churn_platform.contract.parts import KeySpelling
from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.contact_columns import (
    contact_columns,
    keys_as_text,
    may_hold_contacts,
    why_no_contacts,
)
from churn_platform.drafting.contacts import (
    HORIZON_NEEDED,
    can_be_changed,
    contact_draft,
    objections_in,
)
from churn_platform.drafting.keys import Sheet
from churn_platform.drafting.yaml_edits import Edit


@dataclass(frozen=True)
class ContactUpdate:
    """The edits of a contract for a new file of contacts, or why there are none."""

    edits: tuple[Edit, ...] = ()
    left_out: tuple[str, ...] = ()


def new_contacts(
    contract: Contract,
    sheet: Sheet,
    key: str,
    keys: pd.Series,
    customers: pd.Series,
    taken: set[str],
    spelling: KeySpelling | None,
) -> ContactUpdate | None:
    """The edits for a file that looks like one of contacts; None if it does not.

    Args:
        contract: the contract in use.
        sheet: the new file.
        key: the header of the customer's key.
        keys: of the file's rows (rows,), as the months before write them.
        customers: the distinct keys of the feature tables.
        taken: names of columns that are in use; those of the table are added.
        spelling: how the file writes its keys, if it is another way than before.
    """
    found = contact_columns(sheet, [key])
    if found is None or not may_hold_contacts(sheet, len(customers)):
        return None
    integer = contract.entity.dtype == "integer"
    texts = keys_as_text(keys, integer=integer)
    known = keys_as_text(customers, integer=integer)
    reason = why_no_contacts(texts, known)
    if contract.contacts is not None:
        reason = f"the contract has a table of contacts, {contract.contacts.table}: put all into it"
    elif not can_be_changed(contract.label):
        reason = f"no contact can change a label that is known at the as_of: {HORIZON_NEEDED}"
    if reason:
        return ContactUpdate(left_out=(f"{sheet.stem}: it looks like contacts, but {reason}",))
    made = contact_draft(sheet, key, found, texts, known, contract.cadence, taken)
    table: dict[str, Any] = {"columns": dict(made.declared.columns)}
    if made.declared.file:
        table["file"] = made.declared.file
    if spelling is not None:
        table["key_spellings"] = [spelling]
    doubts = [f"{name}: {doubt}" for name, doubt in made.column_doubts.items()]
    edits = [Edit(("tables", made.table), table, "; ".join(doubts))]
    for name, value in made.contacts.model_dump(mode="json", exclude_defaults=True).items():
        edits.append(Edit(("contacts", name), value, made.doubts[name]))
    left_out = [f"{sheet.stem}.{header}: {why}" for header, why in made.left_out.items()]
    objections = objections_in(contract)
    if contract.do_not_contact is None and objections.column:
        edits.append(Edit(("do_not_contact",), objections.column, objections.doubt))
    elif contract.do_not_contact is None and objections.remedy:
        left_out.append(f"do_not_contact: {objections.remedy}")
    edits.append(Edit(("policy", "contacts", "budget"), made.budget, made.doubts["budget"]))
    return ContactUpdate(tuple(edits), tuple(left_out))


def sheet_of(stem: str, name: str, frame: pd.DataFrame) -> Sheet:
    """A file of a drop with what its columns look like."""
    guesses = {str(header): guess_column(str(header), frame[header]) for header in frame.columns}
    return Sheet(stem, name, frame, guesses)


def renamed_contact_headers(
    contract: Contract, sheet: Sheet, key: str, gone: Collection[str], new: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Columns of the table of contacts whose header is gone, each with the new header that has
    its part: the values differ from month to month, so they show no rename.
    """
    found = contact_columns(sheet, [key])
    if contract.contacts is None or found is None:
        return
    headers = found.fields
    for name, own in contract.contacts.columns.items():
        if own in gone and headers.get(name) in new:
            yield own, headers[name]


def why_not_ended(contract: Contract, own: str, header: str, as_of: dt.date) -> str:
    """Why a column of the table of contacts that is gone cannot just end; empty if it can."""
    contacts = contract.contacts
    named = {} if contacts is None else contacts.columns
    for name, column in named.items():
        if column == own:
            return (
                f"contacts.{name}: {header!r} is not in the file of {as_of}; deliver it, or"
                f" remove {name} from contacts if no month will have it again"
            )
    return ""
