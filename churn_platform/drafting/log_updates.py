"""What a month's files change in a contract about logs: a new log, or columns of a known one."""

import datetime as dt
from typing import Any

import pandas as pd

from churn_platform.contract.columns import Column
from churn_platform.contract.model import Contract
from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.contact_updates import sheet_of
from churn_platform.drafting.keys import KeyColumn
from churn_platform.drafting.log_columns import has_clock, log_columns
from churn_platform.drafting.log_tables import rows_doubt
from churn_platform.drafting.logs import log_draft
from churn_platform.drafting.yaml_edits import Edit

NO_LOG = "it has several rows for a customer"
UNUSED = "no window is made of it yet: add one to learn from it"


def new_log(
    contract: Contract,
    stem: str,
    name: str,
    frame: pd.DataFrame,
    as_of: dt.date,
    taken: set[str],
) -> tuple[Edit, ...] | str:
    """The edits for a new file with several rows a customer, or why there are none.

    Args:
        contract: the contract in use.
        stem: of the file.
        name: of the table.
        frame: the file.
        as_of: the month.
        taken: names of columns that are in use; those of the table are added.
    """
    header = contract.key.source or contract.entity.column
    sheet = sheet_of(stem, name, frame)
    found = log_columns(sheet, header, as_of)
    if found is None:
        return NO_LOG
    key = KeyColumn(header, contract.entity.dtype == "integer")
    made = log_draft(sheet, key, found, (), contract.cadence, taken)
    table: dict[str, Any] = made.declared.model_dump(
        exclude_defaults=True, exclude={"columns", "windows"}
    )
    table["since"] = as_of
    table["columns"] = dict(made.declared.columns)
    table["windows"] = {
        window: spec.model_dump(exclude_defaults=True)
        for window, spec in made.declared.windows.items()
    }
    doubts = [rows_doubt(made)]
    doubts += [f"{place[-1]}: {doubt}" for place, doubt in made.doubts.items() if doubt]
    return (
        Edit(("tables", name), table, "; ".join(doubts)),
        Edit(
            ("feature_views", f"{name}_fv"),
            {"table": name, "features": list(made.declared.windows)},
        ),
    )


def new_column_of_log(column: Column, values: pd.Series, doubt: str) -> tuple[Column, str]:
    """A new column of a known log, and what to confirm about it."""
    made: dict[str, object] = {"values": None, "description": "", "phrase": ""}
    if column.dtype == "date" and has_clock(values, column.date_format):
        made["dtype"] = "timestamp"
    return column.model_copy(update=made), f"{doubt}; {UNUSED}" if doubt else UNUSED


def why_needed(contract: Contract, table: str, own: str, header: str) -> str:
    """Why a column of a log that is gone cannot just end; empty if it can."""
    log = contract.logs.get(table)
    if log is None:
        return ""
    for field in ("time", "known_at", "id"):
        if getattr(log, field) == own:
            return f"tables.{table}.{field}: {header!r} is not in the file; deliver it"
    return ""


def form_of(header: str, values: pd.Series) -> str:
    """How the values of a new header are read, a timestamp as a date."""
    return as_read(guess_column(header, values).column.dtype)


def as_read(dtype: str) -> str:
    """A dtype without what differs from delivery to delivery: whole numbers or not, times of day
    or not.
    """
    return {"timestamp": "date", "integer": "float", "string": "category"}.get(dtype, dtype)
