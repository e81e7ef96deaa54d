"""Every kind of fault that a drop can have, with its message and remedy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from churn_platform.base.text import EXAMPLES, counted

EXAMPLE_LENGTH = 60
TEXT_LIMIT = 1000
"""Characters; a longer text is not a name or category, but a file in a cell."""
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Positions = np.ndarray[Any, np.dtype[np.integer[Any]]]


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `says` follows the number of values, or is used alone if the fault has
    no rows.
    """

    code: str
    says: str
    remedy: str


CELL_KINDS = (
    Kind("not_a_number", "not a number", "fix the value"),
    Kind("not_a_whole_number", "not a whole number", "fix the value"),
    Kind("not_a_boolean", "not true or false", "fix the value"),
    Kind(
        "not_a_date",
        "not a date as {form}",
        "fix the value, or set date_format of the column in the contract",
    ),
    Kind(
        "not_a_timestamp",
        "not a timestamp as {form}",
        "fix the value, or set date_format of the column in the contract, such as %d.%m.%Y %H:%M",
    ),
    Kind(
        "date_in_another_form",
        "a date in another form",
        "write it as 2024-01-31, or set date_format of the column in the contract, such "
        "as %d.%m.%Y",
    ),
    Kind(
        "excel_date",
        "not a date: {first} is probably Excel's number for {date}",
        "save the column as text, or set date_format: excel of the column in the contract",
    ),
    Kind(
        "decimal_comma",
        "written with a decimal comma",
        'write a decimal point, or set files.decimal: "," in the contract',
    ),
    Kind(
        "decimal_point",
        "written with a decimal point",
        'write a decimal comma, or set files.decimal: "." in the contract',
    ),
    Kind(
        "thousands_separator",
        "written with a thousands separator",
        "write the digits without it, or set thousands of the column in the contract",
    ),
    Kind("infinite", "infinite or too large for a number", "write a finite number"),
    Kind("empty", "empty", "fill in the value, or set nullable: true in the contract"),
    Kind("empty_key", "empty", "give every row a key"),
    Kind(
        "unknown_category",
        "outside the allowed {values}",
        "fix the file, or add the value to the contract",
    ),
    Kind("below_min", "below the minimum {bound}", "fix the file, or lower min in the contract"),
    Kind("above_max", "above the maximum {bound}", "fix the file, or raise max in the contract"),
    Kind("too_long", f"longer than {TEXT_LIMIT:,} characters", "fix the file"),
    Kind("after_as_of", "after the as_of {as_of}", "deliver what was known at the as_of"),
    Kind("key_with_spaces", "with spaces around the key", "write the key without spaces"),
    Kind(
        "key_with_leading_zeros",
        "with leading zeros in a whole-number key",
        "set entity.dtype: string in the contract, or write the key without the zeros",
    ),
    Kind(
        "key_with_fraction",
        "not a whole number in the key",
        "write the key as text or as a whole number",
    ),
    Kind(
        "key_with_lost_digits",
        "too large for a key in floating point, which has lost digits",
        "write the key as text or as an integer",
    ),
    Kind(
        "label_not_binary",
        "other than 0 and 1 in the label",
        'write 1 for churned and 0 for not, or list texts that mean "not known" '
        "under missing of the column "
        'in the contract, such as missing: ["9"]',
    ),
    Kind(
        "conflicting_key",
        "of a key that is repeated with different values",
        "deliver one row per customer",
    ),
    Kind(
        "conflicting_id",
        "of an event that is repeated with different values",
        "deliver each event once, with its newest values",
    ),
)
STRUCTURAL_KINDS = (
    Kind(
        "missing_table",
        "there is no file for this table",
        "deliver {stem}.csv or {stem}.parquet{found}",
    ),
    Kind("two_files", "this table has two files", "remove the outdated file"),
    Kind("empty_file", "the file is empty", "deliver it again"),
    Kind("no_rows", "the table has no rows", "deliver the month's rows"),
    Kind("excel_file", "this is an Excel file", "save the sheet as CSV"),
    Kind("html_file", "this is an HTML page", "sign in again and download the file"),
    Kind("other_format", "this is a {format} file", "deliver it as {suffix}"),
    Kind("unreadable", "the file cannot be read as {suffix}: {reason}", "deliver it again"),
    Kind("no_permission", "permission denied", "check the owner and the mode of the file"),
    Kind(
        "wrong_encoding",
        "the text is not {encoding}{row}",
        "set files.encoding in the contract{likely}",
    ),
    Kind("nul_bytes", "the text contains NUL bytes, the first in line {line}", "deliver it again"),
    Kind(
        "open_quote",
        "the quote that opens in line {line} is not closed in its cell",
        "close it, and double the quotes within quoted text",
    ),
    Kind(
        "wrong_delimiter",
        "the header is one column that contains {found}",
        'set files.delimiter: "{found}" in the contract (it is "{delimiter}")',
    ),
    Kind(
        "no_header",
        "the first line contains no column of the contract",
        "begin the file with the header {wanted}",
    ),
    Kind(
        "missing_column",
        "the column is missing",
        "the file has the columns {present}: rename or add it",
    ),
    Kind("repeated_column", "two columns have this name", "give every column its own name"),
    Kind(
        "ragged_rows",
        "with more or fewer cells than the header",
        "quote cells that contain a delimiter or a line end",
    ),
    Kind("nested_column", "the column contains {type}", "deliver one plain value per row"),
    Kind(
        "too_many_faulty_rows",
        "{faulty} of {rows} rows are faulty ({share}), more than the allowed {allowed}",
        "fix the file, or raise policy.ingestion.quarantine_share",
    ),
    Kind(
        "unmatched_customers",
        "{absent} of the month's {all} customers ({share}) are missing from it, more than"
        " the allowed {allowed}",
        "deliver every table for the same customers, or raise policy.ingestion.unmatched_share",
    ),
    Kind(
        "keys_differ_between_tables",
        "{near} of its {all} keys match a key of the month's other tables only after {how}",
        "{repair}; if these are other customers, raise policy.ingestion.near_key_share",
    ),
    Kind(
        "keys_nearly_match",
        "{near} of the month's {all} keys match a key of {before} only after {how}",
        "{repair}; if the keys of {before} were wrong, redeliver {before} first; "
        "if these are other "
        "customers, raise policy.ingestion.near_key_share",
    ),
    Kind(
        "month_repeated",
        "every table is identical to the one of {same}",
        "export the month again; if nothing has changed since {same}, set "
        "policy.ingestion.repeated_month: warn",
    ),
    Kind(
        "as_of_too_close",
        "the as_of {as_of} is {days} from the published month {other}; the cadence is a {cadence}",
        "deliver it under {other} if it is the same {cadence}; otherwise correct the date, "
        "or set cadence in the "
        "contract",
    ),
    Kind(
        "future",
        "the as_of {as_of} is more than one {cadence} in the future",
        "correct the date; its year is {year}",
    ),
)
KINDS = {kind.code: kind for kind in (*CELL_KINDS, *STRUCTURAL_KINDS)}
CELL_CODES = frozenset(kind.code for kind in CELL_KINDS)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a drop, a table of it, or one column of one table."""

    code: str
    table: str
    column: str
    """The header as in the file; empty when the fault is the file's."""
    says: str
    remedy: str
    examples: tuple[str, ...] = ()
    file: str = ""
    positions: Positions = field(
        default_factory=lambda: np.zeros(0, dtype=np.int64), compare=False, repr=False
    )
    """The rows, counted from 0."""
    counts: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    """Of values that the contract does not list: each with its number of rows."""
    question: str = ""
    """What probably changed in the files; contains values of theirs."""

    @property
    def of_cells(self) -> bool:
        """Whether it quarantines single rows; otherwise it refuses the drop."""
        return self.code in CELL_CODES

    @property
    def rows(self) -> tuple[int, ...]:
        """The data rows, counted from 1, the header not counted."""
        return tuple((self.positions + 1).tolist())

    @property
    def problem(self) -> str:
        """How many values, and what is wrong with them."""
        if not len(self.positions):
            return self.says
        noun = "value" if self.of_cells else "row"
        return f"{counted(len(self.positions), noun)} {self.says}"

    @property
    def where(self) -> str:
        """The file and the column."""
        if self.file:
            place = self.file
        elif self.table:
            place = f"table {self.table!r}"
        else:
            place = "the drop"
        if self.column:
            return f"{place}, column {self.column!r}"
        return place

    @property
    def shown_rows(self) -> str:
        """The first row numbers."""
        shown = [str(row) for row in (self.positions[:EXAMPLES] + 1).tolist()]
        if len(self.positions) > EXAMPLES:
            shown.append("...")
        return ", ".join(shown)

    def sentence(self, *, examples: bool = True) -> str:
        """The fault for a person: where, what, which values (unless without `examples`), what
        to do.
        """
        found = []
        if examples and self.examples:
            found.append(f"found {', '.join(map(repr, self.examples))}")
        if len(self.positions) == 1:
            found.append(f"in row {self.shown_rows}")
        elif len(self.positions):
            found.append(f"in rows {self.shown_rows}")
        said = f"{self.where}: {self.problem}"
        if found:
            said += f" ({' '.join(found)})"
        said = f"{said}; {self.remedy}."
        if examples and self.question:
            return f"{said} {self.question}"
        return said


def fault(
    code: str,
    table: str,
    column: str = "",
    *,
    file: str = "",
    positions: Positions | None = None,
    examples: Iterable[object] = (),
    **details: object,
) -> Fault:
    """A fault of a kind; `details` fill the words of the kind, `examples` are cut to what a
    person reads.
    """
    kind = KINDS[code]
    shown = tuple(str(example)[:EXAMPLE_LENGTH] for example in list(examples)[:EXAMPLES])
    says = kind.says.format(**details)
    remedy = kind.remedy.format(**details)
    made = Fault(code, table, column, says, remedy, shown, file)
    if positions is None:
        return made
    return replace(made, positions=positions)
