"""The logs among the files of a drop: which there are, and the parts of the contract for them."""

import datetime as dt
from collections.abc import Mapping, Sequence

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted
from churn_platform.contract.parts import FeatureView
from churn_platform.drafting.contact_columns import keys_as_text, why_no_contacts
from churn_platform.drafting.contacts import customers_of
from churn_platform.drafting.keys import KeyColumn, Sheet, why_no_customer
from churn_platform.drafting.log_columns import LogColumns, log_columns, named_late
from churn_platform.drafting.logs import LogDraft, log_draft
from churn_platform.drafting.tables import LeftOut, Parts
from churn_platform.drafting.words import valid_name

LATE_LOG = "the table's name suggests that it is known only after churning"


def logs_among(
    sheets: Sequence[Sheet],
    key: KeyColumn,
    others: Sequence[Mapping[str, pd.DataFrame]],
    as_of: dt.date | None,
) -> dict[str, tuple[Sheet, LogColumns]]:
    """The files that are logs of events by the names of their tables: several rows a customer,
    and the time of each.
    """
    found = {}
    for sheet in sheets:
        guess = sheet.guesses.get(key.header)
        if guess is None or guess.unique:
            continue
        elsewhere = [drop[sheet.stem] for drop in others if sheet.stem in drop]
        columns = log_columns(sheet, key.header, as_of, elsewhere)
        if columns is not None:
            found[sheet.name] = sheet, columns
    return found


def add_logs(
    parts: Parts,
    usable: Sequence[Sheet],
    logs: Mapping[str, tuple[Sheet, LogColumns]],
    key: KeyColumn,
    others: Sequence[Mapping[str, pd.DataFrame]],
    cadence: str,
) -> list[LogDraft]:
    """Add each log as an event table, and its windows as a view; one of other customers is left
    out.
    """
    made = []
    everybody = customers_of(usable, others, key) if usable else None
    for name, (sheet, columns) in logs.items():
        reason = _why_no_log(sheet, key, everybody, alone=len(logs) == 1)
        if reason:
            parts.left_out.append(LeftOut(name, "", reason))
            continue
        elsewhere = [drop[sheet.stem] for drop in others if sheet.stem in drop]
        log = log_draft(sheet, key, columns, elsewhere, cadence, parts.taken)
        parts.tables[name] = log.declared
        view = FeatureView(table=name, features=tuple(log.declared.windows))
        parts.views[f"{name}_fv"] = view
        parts.doubts |= log.doubts
        parts.doubts["tables", name] = rows_doubt(log)
        for header, why in log.left_out.items():
            parts.left_out.append(LeftOut(name, valid_name(header), why))
        made.append(log)
    return made


def rows_doubt(log: LogDraft) -> str:
    """What to confirm about the rows of a log as a whole."""
    text = f"{len(log.sheet.frame):,} rows are events of a log"
    repeated = int(log.sheet.frame.duplicated().sum())
    if log.declared.id is None and repeated:
        rows = counted(repeated, "repeated row")
        text += f"; {rows} left out, because no column names an event"
    return text


def _why_no_log(sheet: Sheet, key: KeyColumn, customers: pd.Series | None, *, alone: bool) -> str:
    """Why a log cannot be used as it is; empty if it can.

    Raises:
        UsageError: a row is a total.
    """
    strange = why_no_customer(sheet, key.header)
    if strange:
        raise UsageError(f"{strange}.", code="DRAFT_IMPOSSIBLE")
    if customers is None:
        if named_late(sheet.name) and not alone:
            return LATE_LOG
        return ""
    if named_late(sheet.name):
        return LATE_LOG
    keys = keys_as_text(sheet.frame[key.header], integer=key.integer)
    reason = why_no_contacts(keys, customers)
    return f"it looks like a log of events, but {reason}" if reason else ""
