"""Validation of one table of a drop: raw values in, valid typed rows and all faults out."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from churn_platform.base.text import EXAMPLES
from churn_platform.contract.model import Column, Contract
from churn_platform.ingestion.conversion import (
    EXACT_FLOAT,
    EXACT_FLOAT32,
    Masks,
    Writing,
    convert,
    excel_day,
)
from churn_platform.ingestion.faults import TEXT_LIMIT, Fault, Mask, Positions, fault
from churn_platform.lake.arrow_tables import row_order
from churn_platform.lake.instants import days

if TYPE_CHECKING:
    import pandera.pandas as pa

FORMS = {"date": "2024-01-31", "timestamp": "2024-01-31 08:30:00"}
"""How a file writes a time where the contract has no `date_format`."""

Rule = Callable[[pd.Series], pd.Series]
"""Typed values (rows,) -> whether each breaks the rule; null breaks only the rule that forbids
it.
"""


def broken_rules(
    contract: Contract, table: str, frame: pd.DataFrame, as_of: dt.date | None
) -> dict[tuple[str, str], Mask]:
    """(column, code of the kind) -> the rows (rows,) that break that rule; rules that hold are
    left out.

    Args:
        contract: the contract.
        table: the table.
        frame: (rows, columns) typed values, null where a value is absent or could not be read.
        as_of: the month; None leaves dates after it alone.
    """
    import pandera.errors

    try:
        # Without a copy: nothing is coerced.
        schema(contract, table, as_of).validate(frame, lazy=True, inplace=True)
    except pandera.errors.SchemaErrors as found:
        return {
            (e.schema.name, e.check.name): ~e.check_output.to_numpy(dtype=bool)
            for e in found.schema_errors
        }
    return {}


def schema(contract: Contract, table: str, as_of: dt.date | None = None) -> "pa.DataFrameSchema":
    """The Pandera schema of one table of typed values; each check is named by the code of its
    kind of fault.
    """
    import pandera.pandas as pa

    def check(code: str, breaks: Rule) -> "pa.Check":
        # The whole mask is in the error; assembling a case a row would cost seconds on a bad
        # file.
        return pa.Check(
            lambda values: ~breaks(values), name=code, ignore_na=False, n_failure_cases=1
        )

    columns = {}
    for name, spec in contract.delivered(table).items():
        checks = [check(code, rule) for code, rule in _rules(contract, table, name, spec, as_of)]
        columns[name] = pa.Column(checks=checks, nullable=True)
    return pa.DataFrameSchema(columns)


def _rules(
    contract: Contract, table: str, name: str, spec: Column, as_of: dt.date | None
) -> Iterator[tuple[str, Rule]]:
    if spec.values is not None and contract.policy.ingestion.new_values == "refuse":
        allowed = list(spec.values)
        yield "unknown_category", lambda values: values.notna() & ~values.isin(allowed)
    if spec.min is not None:
        least = spec.min
        yield "below_min", lambda values: (values < least).fillna(value=False)
    if spec.max is not None:
        most = spec.max
        yield "above_max", lambda values: (values > most).fillna(value=False)
    text = spec.dtype in ("string", "category")
    if text:
        yield "too_long", lambda values: (values.str.len() > TEXT_LIMIT).fillna(value=False)
    if name == contract.entity.column:
        yield "empty_key", lambda values: values.isna()
        if text:
            yield (
                "key_with_spaces",
                lambda values: (values.str.strip() != values).fillna(value=False),
            )
    elif not spec.nullable:
        yield "empty", lambda values: values.isna()
    if name == contract.label.column and table in (contract.label.table, contract.label_table):
        yield "label_not_binary", lambda values: values.notna() & ~values.isin([0, 1])
    if as_of is not None:
        yield from _time_rules(contract, table, name, as_of)


def _time_rules(
    contract: Contract, table: str, name: str, as_of: dt.date
) -> Iterator[tuple[str, Rule]]:
    """What may not lie after the as_of: dates with an age, and new events."""
    moment = pd.Timestamp(as_of)
    ages = contract.tables[table].ages.values() if table in contract.tables else ()
    if name in {age.of for age in ages}:
        yield "after_as_of", lambda values: values > moment
    log = contract.logs.get(table)
    if log is not None and name == log.time and log.delivery == "append":
        zone = log.time_zone
        yield "after_as_of", lambda values: days(values, zone) > moment


Broken = dict[tuple[str, str], Mask]
"""(column, code of the kind) -> the rows (rows,) that have that fault."""


def missing_tables(
    contract: Contract, present: set[str], found: tuple[str, ...] = ()
) -> list[Fault]:
    """A fault for each feature table that a first delivery lacks; labels may come later.

    Args:
        contract: the contract.
        present: the tables that have a file.
        found: the names of all files that are there, to show one that is misnamed.
    """
    others = f"; the folder holds {', '.join(found)}" if found else ""
    return [
        fault("missing_table", name, stem=contract.file_stem(name), found=others)
        for name in contract.feature_tables
        if name not in present
    ]


def header_faults(contract: Contract, name: str, header: list[str], file: str = "") -> list[Fault]:
    """Columns that a header lacks or names twice, in the file's own words.

    A label column that may be empty may be absent from a wide table: labels come later.
    """
    wanted = {own: spec.source or own for own, spec in contract.delivered(name).items()}
    if _label_may_come_later(contract, name):
        del wanted[contract.label.column]
    if header and not set(header) & set(wanted.values()):
        return [
            fault(
                "no_header",
                name,
                file=file,
                wanted=", ".join(wanted.values()),
                examples=[", ".join(header)],
            )
        ]
    repeated = sorted({column for column in header if header.count(column) > 1})
    absent = [column for column in wanted.values() if column not in header]
    return [
        *(fault("repeated_column", name, column, file=file) for column in repeated),
        *(
            fault("missing_column", name, column, file=file, present=", ".join(header))
            for column in absent
        ),
    ]


def conform(
    contract: Contract,
    name: str,
    raw: pd.DataFrame,
    *,
    as_of: dt.date | None = None,
    file: str = "",
) -> tuple[pd.DataFrame, list[Fault]]:
    """Convert `raw` to the contract's columns and dtypes and check every rule.

    Args:
        contract: the contract.
        name: the table.
        raw: (rows, columns), strings as read or values already typed.
        as_of: the month; a date after it in a column that has an age is a fault, and so is an
            event after it in a log of new events.
        file: the file's name, for the sentences.

    Returns:
        The rows without a fault: typed, sorted by entity (events by all columns), columns in
        the contract's order, of exact duplicates the first one. And all faults; a fault of the
        file leaves the table as it came. What is in neither was an exact duplicate.
    """
    columns = contract.delivered(name)
    header = header_faults(contract, name, [str(column) for column in raw.columns], file)
    if header:
        return raw, header
    log = contract.logs.get(name)
    events = contract.has_many_rows(name)
    if raw.empty and not events:
        return raw, [fault("no_rows", name, file=file)]
    values = _by_own_names(raw, columns)
    key = contract.entity.column
    values[key] = read_keys(contract, name, values[key])
    frame, broken = _converted(contract, name, values)
    unreadable = {
        own: np.logical_or.reduce([m for (c, _), m in broken.items() if c == own])
        for own, _ in broken
    }
    with ThreadPoolExecutor(1) as thread:  # sorting does not hold the interpreter
        sorting = thread.submit(row_order if log else _order_of_keys, frame, key)
        broken |= _readable_that_break_rules(broken_rules(contract, name, frame, as_of), unreadable)
    order = sorting.result()
    if log is None:
        extra, conflicting = _repeated_keys(key, frame, order, unreadable)
    else:
        extra, conflicting = _repeated_events(log.id, frame, order, unreadable)
    if events and log is None:
        conflicting[:] = False
        order = frame.sort_values(list(frame.columns), kind="stable").index.to_numpy()
    extra |= _repeated_headers(contract, name, raw)
    if conflicting.any() and log is not None:
        broken[log.id or key, "conflicting_id"] = conflicting
    elif conflicting.any():
        broken[key, "conflicting_key"] = conflicting
    faults = [
        _cell_fault(name, column, values[column], columns[column], code, mask & ~extra, file, as_of)
        for (column, code), mask in broken.items()
        if (mask & ~extra).any()
    ]
    left_out = np.logical_or.reduce([extra, *broken.values()])
    valid = frame.take(order[~left_out[order]])
    valid.index = pd.RangeIndex(len(valid))
    return valid, faults


def read_keys(contract: Contract, name: str, keys: pd.Series) -> pd.Series:
    """The keys (rows,) of a month's file in the spelling of the months before."""
    table = contract.tables.get(name if name in contract.tables else contract.label.table)
    if table is None or not table.key_spellings:
        return keys
    [spelling] = table.key_spellings
    text, _ = convert(keys, "string")
    return text.map(spelling.read, na_action="ignore")


def _label_may_come_later(contract: Contract, name: str) -> bool:
    label = contract.label
    return (
        contract.wide
        and name == label.table
        and contract.tables[name].columns[label.column].nullable
    )


def _by_own_names(raw: pd.DataFrame, columns: Mapping[str, Column]) -> dict[str, pd.Series]:
    """The contract's columns of a table under the contract's names, rows counted from 0; an
    absent label is empty.
    """
    # Columns alone: a frame in between would move a million rows about.
    absent = pd.Series(None, index=raw.index, dtype=object)
    found = {
        own: raw.get(spec.source or own, absent).copy(deep=False) for own, spec in columns.items()
    }
    for values in found.values():
        values.index = pd.RangeIndex(len(raw))
    return found


def _converted(
    contract: Contract, name: str, raw: Mapping[str, pd.Series]
) -> tuple[pd.DataFrame, Broken]:
    typed = {}
    broken = Broken()
    columns = contract.delivered(name)
    zone = contract.logs[name].time_zone if name in contract.logs else "UTC"
    for column, spec in columns.items():
        writing = Writing.of(contract.files, spec, zone)
        typed[column], masks = convert(raw[column], spec.dtype, writing)
        broken |= {(column, code): mask for code, mask in masks.items()}
    key = contract.entity.column
    if raw[key].dtype.kind == "f":
        for code in ("not_a_whole_number", "infinite"):
            broken.pop((key, code), None)
        broken |= {(key, code): mask for code, mask in _float_key_faults(raw[key]).items()}
    if columns[key].dtype == "integer" and raw[key].dtype in (object, "string"):
        text = raw[key].astype("string[pyarrow]")
        for code, form in (
            ("key_with_spaces", r"\s+\S*\s*|\S+\s+"),
            ("key_with_leading_zeros", r"\s*[+-]?0+[0-9]+\s*"),
        ):
            mask = text.str.fullmatch(form).fillna(value=False).to_numpy(dtype=bool)
            if mask.any():
                broken[key, code] = mask
    return pd.DataFrame(typed, copy=False), broken


def _float_key_faults(key: pd.Series) -> Masks:
    """Keys that a file holds as floating-point numbers: a fraction is not a key, and large ones
    have lost digits.
    """
    numbers = key.to_numpy(dtype=float, na_value=np.nan)
    fraction = ~np.isnan(numbers) & (np.isinf(numbers) | (np.trunc(numbers) != numbers))
    lost = ~fraction & (
        np.abs(numbers) >= (EXACT_FLOAT32 if key.dtype == np.float32 else EXACT_FLOAT)
    )
    found = {"key_with_fraction": fraction, "key_with_lost_digits": lost}
    return {code: mask for code, mask in found.items() if mask.any()}


def _readable_that_break_rules(broken: Broken, unreadable: Mapping[str, Mask]) -> Broken:
    """Broken rules without the values that could not be read: they are not empty ones."""
    found = {}
    for (column, code), mask in broken.items():
        absent = code in ("empty", "empty_key") and column in unreadable
        seen = mask & ~unreadable[column] if absent else mask
        if seen.any():
            found[column, code] = seen
    return found


def _repeated_keys(
    key: str, frame: pd.DataFrame, order: Positions, unreadable: Mapping[str, Mask]
) -> tuple[Mask, Mask]:
    """Rows that repeat an earlier one exactly, and all rows of a key whose rows differ; empty
    keys are neither.
    """
    extra = np.zeros(len(frame), dtype=bool)
    ordered = frame[key].array.take(order)  # neighbours are cheaper to compare than to hash
    if not (ordered[1:] == ordered[:-1]).any():
        return extra, extra
    repeated = (frame[key].duplicated(keep=False) & frame[key].notna()).to_numpy()
    readable = ~np.logical_or.reduce([np.zeros(len(frame), dtype=bool), *unreadable.values()])
    candidates = frame[repeated & readable]
    extra[candidates.index[candidates.duplicated()]] = True
    left = frame.loc[repeated & ~extra, key]
    conflicting = np.zeros(len(frame), dtype=bool)
    conflicting[left.index[left.duplicated(keep=False)]] = True
    return extra, conflicting


def _order_of_keys(frame: pd.DataFrame, key: str) -> Positions:
    return np.asarray(frame[key].array.argsort())


def _repeated_events(
    id_: str | None, frame: pd.DataFrame, order: Positions, unreadable: Mapping[str, Mask]
) -> tuple[Mask, Mask]:
    """Rows that repeat an earlier one exactly, and all rows of an id whose rows differ."""
    faulty = np.logical_or.reduce([np.zeros(len(frame), dtype=bool), *unreadable.values()])
    candidates = order[~faulty[order]]  # equal rows are neighbours
    equal = np.ones(max(len(candidates) - 1, 0), dtype=bool)
    # Text last: it is the slowest to compare, and few rows are left by then.
    ordered = sorted(frame.columns, key=lambda name: isinstance(frame[name].dtype, pd.StringDtype))
    for column in ordered if len(equal) else ():
        values = frame[column].array.take(candidates[np.r_[equal, False]])
        following = frame[column].array.take(candidates[np.r_[False, equal]])
        missing = values.isna()
        same = pd.Series(values == following).fillna(value=False).to_numpy(dtype=bool)
        equal[equal] = (same & ~missing) | (missing & following.isna())
    extra = np.zeros(len(frame), dtype=bool)
    extra[candidates[1:][equal]] = True
    conflicting = np.zeros(len(frame), dtype=bool)
    if id_ is not None:
        ids = frame.loc[~extra, id_].dropna()
        conflicting[ids.index[ids.duplicated(keep=False)]] = True
    return extra, conflicting


def _repeated_headers(contract: Contract, name: str, raw: pd.DataFrame) -> Mask:
    """Rows that repeat the header, as in files that were put one after the other: they are not
    customers.
    """
    headers = [
        spec.source or own
        for own, spec in contract.delivered(name).items()
        if (spec.source or own) in raw
    ]
    texts = {header: raw[header] for header in headers if raw[header].dtype in (object, "string")}
    repeated = np.full(len(raw), len(texts) == len(headers))
    for header, values in texts.items():
        if repeated.any():
            repeated &= (values == header).fillna(value=False).to_numpy(dtype=bool)
    return repeated


def _cell_fault(
    table: str,
    column: str,
    raw: pd.Series,
    spec: Column,
    code: str,
    mask: Mask,
    file: str,
    as_of: dt.date | None,
) -> Fault:
    positions = np.flatnonzero(mask)
    seen = []
    if code not in ("empty", "empty_key"):
        seen = [str(value) for value in raw.iloc[positions[:EXAMPLES]].tolist()]
    details: dict[str, object] = {
        "as_of": as_of,
        "values": ", ".join(spec.values or ()),
        "form": spec.date_format or FORMS.get(spec.dtype, ""),
    }
    bound = {"below_min": spec.min, "above_max": spec.max}.get(code)
    if bound is not None:
        details["bound"] = f"{bound:g}"
    if code == "excel_date":
        details |= {"first": seen[0], "date": excel_day(seen[0])}
    made = fault(
        code,
        table,
        spec.source or column,
        file=file,
        positions=positions,
        examples=seen,
        **details,
    )
    if code != "unknown_category":
        return made
    counts = raw.iloc[positions].astype(str).value_counts()
    return replace(made, counts={str(value): int(rows) for value, rows in counts.items()})
