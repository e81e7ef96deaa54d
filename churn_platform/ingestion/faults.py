"""Every kind of fault that a drop can have, with its message and remedy."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from churn_platform.base.text import EXAMPLES

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
    Kind("not_a_date", "not a date as {form}", "fix the value, or set date_format of the column in the contract"),
    Kind(
        "date_in_another_form", "a date in another form",
        "write it as 2024-01-31, or set date_format of the column in the contract, such as %d.%m.%Y",
    ),
    Kind(
        "excel_date", "not a date: {first} looks like Excel's number for {date}",
        "save the column as text, or set date_format: excel of the column in the contract",
    ),
    Kind("decimal_comma", "with a decimal comma", 'set files.decimal: "," in the contract or write a point'),
    Kind("decimal_point", "with a decimal point", 'set files.decimal: "." in the contract or write a comma'),
    Kind(
        "thousands_separator", "with a thousands separator",
        "write the digits without one, or set thousands of the column in the contract",
    ),
    Kind("infinite", "infinite or beyond what a number can hold", "write a finite number"),
    Kind("empty", "empty", "fill them or set nullable: true in the contract"),
    Kind("empty_key", "empty", "every row needs its key"),
    Kind("unknown_category", "outside the allowed {values}", "add the value to the contract or fix the file"),
    Kind("below_min", "below the minimum {bound}", "fix the file or widen min in the contract"),
    Kind("above_max", "above the maximum {bound}", "fix the file or widen max in the contract"),
    Kind("too_long", f"longer than {TEXT_LIMIT:,} characters", "fix the file"),
    Kind("after_as_of", "after the as_of {as_of}: not known then", "deliver the values as they were at the as_of"),
    Kind("key_with_spaces", "with spaces around the key", "write the key without them"),
    Kind(
        "key_with_leading_zeros", "with leading zeros in a whole-number key",
        "set entity.dtype: string in the contract or write them without",
    ),
    Kind("key_with_fraction", "of the key with a fraction", "write the key as text or a whole number"),
    Kind(
        "key_with_lost_digits", "of the key that are too large for a floating-point number: digits are lost",
        "write the key as text or as an integer",
    ),
    Kind(
        "label_not_binary", "of the label other than 0 and 1",
        'write 1 for churned and 0 for not, or list texts that mean "not known" under missing of the column '
        'in the contract, such as missing: ["9"]',
    ),
    Kind("conflicting_key", "of a key repeated with other values", "deliver one row per customer"),
)  # fmt: skip
STRUCTURAL_KINDS = (
    Kind("missing_table", "there is no file for this table", "deliver {stem}.csv or {stem}.parquet{found}"),
    Kind("two_files", "there are two files of this table", "remove the one that is not meant"),
    Kind("empty_file", "the file is empty", "deliver it again"),
    Kind("no_rows", "the table has no rows", "deliver the month's rows"),
    Kind("excel_file", "this is an Excel file", "save the sheet as CSV"),
    Kind("html_file", "this is an HTML page", "download the data itself; a login page often comes instead"),
    Kind("other_format", "this is a {format} file", "deliver it as {suffix}"),
    Kind("unreadable", "the file cannot be read as {suffix}: {reason}", "deliver it again"),
    Kind("no_permission", "permission denied", "check its owner and mode"),
    Kind("wrong_encoding", "the text is not {encoding}{row}", "set files.encoding in the contract{likely}"),
    Kind("nul_bytes", "the text contains NUL bytes, the first in line {line}", "deliver it again"),
    Kind(
        "open_quote", "the quote that opens in line {line} is not closed in its cell",
        "close it, and double the quotes within quoted text",
    ),
    Kind(
        "wrong_delimiter", "the header is one column that contains {found}",
        'set files.delimiter: "{found}" in the contract (it is "{delimiter}")',
    ),
    Kind("no_header", "the first line names no column of the contract", "begin with a header line: {wanted}"),
    Kind("missing_column", "the column is missing", "the file has the columns {present}: rename or add it"),
    Kind("repeated_column", "the header names this column twice", "name every column once"),
    Kind("ragged_rows", "with more or fewer cells than the header", "quote cells that hold a delimiter or a line end"),
    Kind("nested_column", "the column holds {type}", "deliver one plain value per row"),
    Kind(
        "too_many_faulty_rows", "{faulty} of {rows} rows are faulty ({share}), more than the allowed {allowed}",
        "fix the file or raise policy.ingestion.quarantine_share",
    ),
    Kind(
        "unmatched_customers",
        "{absent} of the month's {all} customers ({share}) are not in it, more than the allowed {allowed}",
        "deliver every table for the same customers or raise policy.ingestion.unmatched_share",
    ),
    Kind(
        "keys_differ_between_tables",
        "{near} of its {all} keys match a key of the month's other tables only after {how}",
        "{repair}; if these are other customers, raise policy.ingestion.near_key_share",
    ),
    Kind(
        "keys_nearly_match", "{near} of the month's {all} keys match a key of {before} only after {how}",
        "{repair}; if the keys of {before} were wrong, redeliver {before} first; if these are other "
        "customers, raise policy.ingestion.near_key_share",
    ),
    Kind(
        "month_repeated", "every table is identical to the one of {same}",
        "export the month again; if nothing has changed since {same}, set policy.ingestion.repeated_month: warn",
    ),
    Kind(
        "as_of_too_close", "the as_of {as_of} is {days} from the published month {other}; the cadence is a {cadence}",
        "deliver it under {other} if it is the same {cadence}; otherwise correct the date, or set cadence in the "
        "contract",
    ),
    Kind("future", "the as_of {as_of} is more than one {cadence} ahead", "correct the date: the year is {year}"),
)  # fmt: skip
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
        count = len(self.positions)
        noun = "value" if self.of_cells else "row"
        if count:
            return f"{count:,} {noun}{'s' if count != 1 else ''} {self.says}"
        return self.says

    @property
    def where(self) -> str:
        """The file and the column."""
        table = self.file or (f"table {self.table!r}" if self.table else "the drop")
        return table + (f", column {self.column!r}" if self.column else "")

    @property
    def shown_rows(self) -> str:
        """The first row numbers."""
        shown = ", ".join(str(row) for row in (self.positions[:EXAMPLES] + 1).tolist())
        return shown + (", ..." if len(self.positions) > EXAMPLES else "")

    def sentence(self, *, examples: bool = True) -> str:
        """The fault for a person: where, what, which values (unless without `examples`), what
        to do.
        """
        if examples:
            shown = ", ".join(repr(example) for example in self.examples)
        else:
            shown = ""
        if len(self.positions):
            rows = f"in row{'s' if len(self.positions) > 1 else ''} {self.shown_rows}"
        else:
            rows = ""
        found = " ".join(part for part in (f"found {shown}" if shown else "", rows) if part)
        return f"{self.where}: {self.problem}{f' ({found})' if found else ''}; {self.remedy}."


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


def percent(share: float) -> str:
    """A share for a person: 1%, 0.25%."""
    return f"{100 * share:.3g}%"
