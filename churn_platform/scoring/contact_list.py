"""The list for the team: who to contact and why, with empty columns for what came of it.

It shows neither who is left untouched nor who was drawn below the cut, so the team treats all
customers on it alike.
"""

import csv
import datetime as dt
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from churn_platform.base.cells import safe
from churn_platform.base.files import replacing, write_text
from churn_platform.contacts.plan import ARM, ASSIGNED
from churn_platform.contract.columns import Column
from churn_platform.contract.model import Contract

if TYPE_CHECKING:
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

POSITION: Final = "position"
RISK: Final = "risk_percent"
VALUE: Final = "value"
LIST_STEM: Final = "contact_list"
FILES: Final = (".csv", ".xlsx", ".parquet")
EXCEL_ROWS: Final = 1_048_576
"""Rows of an Excel sheet, the header among them."""
LONGEST_CHOICE: Final = 255
"""Characters of the values of a list to choose from; Excel refuses a longer one."""
EXACT_IN_EXCEL: Final = 10**15
"""From here on Excel's numbers lose digits."""
WIDEST: Final = 60
DAY: Final = "yyyy-mm-dd"
BYTE_ORDER_MARK: Final = "\ufeff"
"""Excel reads a CSV file as UTF-8 only behind it."""


@dataclass(frozen=True)
class ContactList:
    """The list of one month.

    Attributes:
        as_of: the month.
        rows: (customers,) position, key, risk_percent, value and reasons under their headers,
            in the order in which the team works.
        fill_in: header -> column of the contact table that the team fills in.
        delimiter: between the cells of the CSV file.
        decimal: sign of its numbers.
    """

    as_of: dt.date
    rows: pd.DataFrame
    fill_in: dict[str, Column]
    delimiter: str = ","
    decimal: str = "."

    @classmethod
    def of(cls, contract: Contract, as_of: dt.date, planned: pd.DataFrame) -> "ContactList":
        """The list of a plan.

        Args:
            contract: the contract.
            as_of: the month.
            planned: the rows of the plan with the reasons as columns reason_1, ...
        """
        month = contract.at(as_of)
        key = contract.entity.column
        listed = _listed(planned)
        reasons = [name for name in planned.columns if name.startswith("reason_")]
        # Not the rank: a gap in it would show that a customer is left untouched.
        shown = {
            POSITION: pd.Series(range(1, len(listed) + 1), dtype="int64"),
            contract.key.source or key: listed[key],
            RISK: (listed["probability"] * 100).round().astype("int64"),
            VALUE: listed["value"].astype(float).round(2),
            **{name: listed[name] for name in reasons},
        }
        fill_in = fill_in_columns(month)
        # A header of the contact table is the contract's; ours makes room.
        named = {f"list_{name}" if name in fill_in else name: own for name, own in shown.items()}
        return cls(
            as_of, pd.DataFrame(named), fill_in, contract.files.delimiter, contract.files.decimal
        )

    def csv(self) -> str:
        """The list as CSV: the same bytes for the same list."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        empty = [""] * len(self.fill_in)
        writer.writerow(map(safe, [*self.rows.columns, *self.fill_in]))
        for row in self.rows.itertuples(index=False):
            writer.writerow([*map(self._cell, row), *empty])
        return BYTE_ORDER_MARK + text.getvalue()

    def _cell(self, value: Any) -> str:  # noqa: ANN401 - whatever a frame holds
        if isinstance(value, str):
            return safe(value)
        if value is None or pd.isna(value):
            return ""
        if isinstance(value, float):
            return f"{value:.2f}".replace(".", self.decimal)
        return str(value)

    def excel(self) -> bytes:
        """The list as an Excel file: the same bytes for the same list."""
        from xlsxwriter.workbook import Workbook

        content = io.BytesIO()
        with Workbook(content, {"in_memory": True}) as book:
            # A time of writing would make other bytes each time.
            book.set_properties({"created": dt.datetime.combine(self.as_of, dt.time())})
            sheet = book.add_worksheet("contacts")
            self._write_shown(book, sheet)
            self._write_fill_in(book, sheet)
            sheet.freeze_panes(1, 0)
            sheet.autofilter(0, 0, len(self.rows), len(self.rows.columns) + len(self.fill_in) - 1)
        return content.getvalue()

    def _write_shown(self, book: "Workbook", sheet: "Worksheet") -> None:
        header = book.add_format({"bold": True, "bottom": 1})
        text = book.add_format({"num_format": "@"})
        for place, name in enumerate(self.rows.columns):
            sheet.write_string(0, place, name, header)
            values = self.rows[name].tolist()
            for row, value in enumerate(values, start=1):
                if isinstance(value, str) or (isinstance(value, int) and value >= EXACT_IN_EXCEL):
                    sheet.write_string(row, place, str(value), text)
                elif not pd.isna(value):
                    sheet.write_number(row, place, value)
            longest = max((len(str(value)) for value in values), default=0)
            sheet.set_column(place, place, min(max(longest, len(name)) + 2, WIDEST))

    def _write_fill_in(self, book: "Workbook", sheet: "Worksheet") -> None:
        header = book.add_format({"bold": True, "bottom": 1, "bg_color": "#FFF2CC"})
        forms = {
            "date": book.add_format({"num_format": DAY}),
            "category": book.add_format({"num_format": "@"}),
            "string": book.add_format({"num_format": "@"}),
        }
        first = len(self.rows.columns)
        for place, (name, column) in enumerate(self.fill_in.items(), start=first):
            sheet.write_string(0, place, name, header)
            sheet.set_column(place, place, max(len(name), len(DAY)) + 4, forms.get(column.dtype))
            checked = _validation(book, column, place)
            if checked is not None and len(self.rows):
                sheet.data_validation(1, place, len(self.rows), place, checked)


def fill_in_columns(month: Contract) -> dict[str, Column]:
    """Header -> column of the contact table that the team fills in: what the contract's
    `contacts` names first, then the other columns of the table. The key and `assigned` are known.
    """
    contacts = month.contacts
    if contacts is None:
        return {}
    columns = month.delivered(contacts.table)
    named = [own for field, own in contacts.columns.items() if field != "assigned"]
    known = {month.entity.column, contacts.assigned}
    ordered = dict.fromkeys([*named, *(own for own in columns if own not in known)])
    return {columns[own].source or own: columns[own] for own in ordered}


def write_contact_list(
    reports: Path, contract: Contract, as_of: dt.date, planned: pd.DataFrame
) -> Path:
    """Write the list of a plan for the team as CSV and, where a sheet has enough rows, as Excel;
    and as Parquet for serving. The path of the CSV file.
    """
    path = contact_list(reports, as_of)
    made = ContactList.of(contract, as_of, planned)
    with replacing(path.with_suffix(".parquet")) as temporary:
        served_rows(contract, planned).to_parquet(temporary, index=False)
    if len(made.rows) < EXCEL_ROWS:
        with replacing(path.with_suffix(".xlsx")) as temporary:
            temporary.write_bytes(made.excel())
    write_text(path, made.csv())
    return path


def served_rows(contract: Contract, planned: pd.DataFrame) -> pd.DataFrame:
    """The list as the API answers it, with the fields of the ranked list; its ranks are the
    positions on the list.
    """
    listed = _listed(planned)
    reasons = [name for name in planned.columns if name.startswith("reason_")]
    fields = ["probability", "decile", "expected_loss", "trained_on", *reasons]
    key = contract.entity.column
    rows = listed[[key, *(field for field in fields if field in listed)]].assign(
        rank=range(1, len(listed) + 1)
    )
    return rows.astype({"decile": "int64", "trained_on": "bool"})


def _listed(planned: pd.DataFrame) -> pd.DataFrame:
    """The customers on the list for the team, in its order."""
    return planned[planned[ARM].isin(ASSIGNED)].sort_values("rank", ignore_index=True)


def contact_list(reports: Path, as_of: dt.date) -> Path:
    """The month's list of customers to contact, as CSV; the Excel file is next to it."""
    return reports / as_of.isoformat() / f"{LIST_STEM}.csv"


def _validation(book: "Workbook", column: Column, place: int) -> dict[str, Any] | None:
    """What Excel lets a person type into a column; None for anything."""
    optional = {"ignore_blank": True}
    if column.values and len(",".join(column.values)) > LONGEST_CHOICE:
        choices = book.add_worksheet(f"choices {place}")
        choices.hide()
        for row, value in enumerate(column.values):
            choices.write_string(row, 0, value)
        source: Any = f"='choices {place}'!$A$1:$A${len(column.values)}"
        return {"validate": "list", "source": source, **optional}
    if column.values and not any("," in value for value in column.values):
        return {"validate": "list", "source": list(column.values), **optional}
    if column.values:
        return None
    if column.dtype == "boolean":
        return {"validate": "list", "source": ["true", "false"], **optional}
    if column.dtype == "date" and not column.date_format:
        earliest = dt.date(2000, 1, 1)
        return {"validate": "date", "criteria": ">=", "value": earliest, **optional}
    if column.dtype in ("integer", "float"):
        least = -1e15 if column.min is None else column.min
        most = 1e15 if column.max is None else column.max
        kind = "integer" if column.dtype == "integer" else "decimal"
        limits = {"criteria": "between", "minimum": least, "maximum": most}
        return {"validate": kind, **limits, **optional}
    return None
