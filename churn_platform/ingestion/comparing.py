"""Compares a validated drop with the months that the lake holds."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from churn_platform.base.text import EXAMPLES
from churn_platform.contract.model import Contract
from churn_platform.ingestion.delivered_file import (
    PARQUET,
    head_bytes,
    is_text,
    last_bytes,
    open_text,
    raw_bytes,
    suffix_of,
)
from churn_platform.ingestion.drop import Drop
from churn_platform.ingestion.event_counts import Keys, contact_count, log_count
from churn_platform.ingestion.faults import EXAMPLE_LENGTH, Fault, fault
from churn_platform.ingestion.month_warnings import MonthWarning, of_comparison
from churn_platform.ingestion.renames import READABLE, SAMPLE, likely_renames, likely_spelling
from churn_platform.ingestion.validation import ValidatedDrop
from churn_platform.lake.arrow_tables import table_digest, to_arrow
from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.keys import everyone, lacking
from churn_platform.lake.lake import Lake
from churn_platform.lake.month_comparison import (
    CustomerChange,
    MonthComparison,
    compare_customers,
    repeated_month,
    repeated_tables,
)
from churn_platform.lake.tables import lake_tables

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES = 10


def compared(lake: Lake, drop: Drop, found: ValidatedDrop) -> ValidatedDrop:
    """The drop with its comparison, or with the faults that the comparison shows; a drop that
    is refused already has the likely renames of values in its faults.
    """
    if found.refusals:
        return _with_likely_renames(lake, found)
    comparison = _comparison(lake, drop, found)
    faults = _faults(lake, found, comparison)
    if faults:
        return replace(found, of_the_drop=(*found.of_the_drop, *faults))
    warnings = comparison_warnings(lake, drop.as_of, comparison)
    return replace(found, comparison=comparison, warnings=tuple(warnings))


def comparison_warnings(
    lake: Lake, as_of: dt.date, comparison: MonthComparison | None
) -> list[MonthWarning]:
    """The warnings of a month's comparison, given that of the month before."""
    return of_comparison(comparison, _compared_before(lake, as_of), lake.contract.policy.ingestion)


def _comparison(lake: Lake, drop: Drop, found: ValidatedDrop) -> MonthComparison:
    as_of = drop.as_of
    features = _of_features(lake.contract, {**lake.keys(as_of), **_delivered_keys(found)})
    absent = lacking(features)
    before = lake.month_before(as_of)
    customers = None
    if before is not None and features:
        customers = _customers(lake, features, before)
    valid = {
        name: table.valid
        for name, table in found.tables.items()
        if not lake.contract.has_many_rows(name)
    }
    content = _content(
        lake, as_of, lake_tables(lake.contract, valid, as_of, known_tables(lake, as_of))
    )
    numeric = {name: _mostly_numbers(lake.contract, name) for name in content.own}
    repeated = repeated_tables(content.own, content.others, numeric)
    same_month = None
    if not content.unchanged:
        same_month = repeated_month(content.own, content.others, repeated)
    earlier = lake.compared(as_of)
    extra = {} if earlier is None else earlier.extra_columns
    extra = {**extra, **_extra_columns(lake.contract, drop)}
    made = MonthComparison(
        count=len(everyone(features)),
        customers=customers,
        lacking={name: len(keys) for name, keys in absent.items()},
        repeated=repeated,
        repeated_month=same_month,
        extra_columns=extra,
        new_columns=_new_columns(extra, _compared_before(lake, as_of)),
        without_line_end=_without_line_end(drop.files.values()),
        lacking_keys={name: tuple(map(str, keys.head(EXAMPLES))) for name, keys in absent.items()},
    )
    known = {} if earlier is None else earlier.unlisted_values
    kept = {name: columns for name, columns in known.items() if name not in found.tables}
    unlisted = kept | _unlisted_values(lake.contract.delivery(as_of), found)
    if unlisted:
        made = made.model_copy(update={"unlisted_values": unlisted})
    contacts = None if earlier is None else earlier.contacts
    declared = lake.contract.contacts
    if declared is not None and declared.table in found.tables:
        contacts = contact_count(lake, as_of, found.tables[declared.table].valid, features)
    if contacts is not None:
        made = made.model_copy(update={"contacts": contacts})
    logs = {} if earlier is None else dict(earlier.logs)
    for name in lake.contract.at(as_of).logs:
        if name in found.tables:
            logs[name] = log_count(lake, as_of, name, found.tables[name].valid, features)
    return made.model_copy(update={"logs": logs}) if logs else made


def _unlisted_values(
    contract: Contract, found: ValidatedDrop
) -> dict[str, dict[str, dict[str, int]]]:
    """Table -> column -> the most frequent values that the contract does not list, with the
    number of rows. There are some only where `policy.ingestion.new_values` accepts them.
    """
    unlisted: dict[str, dict[str, dict[str, int]]] = {}
    if contract.policy.ingestion.new_values == "refuse":
        return unlisted
    for name, table in found.tables.items():
        for own, column in contract.delivered(name).items():
            if column.values is None:
                continue
            values = table.valid[own].dropna()
            counts = values[~values.isin(column.values)].value_counts()
            if len(counts):
                shown = {str(value)[:EXAMPLE_LENGTH]: int(n) for value, n in counts.items()}
                most = dict(list(shown.items())[:MOST_VALUES])
                unlisted.setdefault(name, {})[own] = most
    return unlisted


def known_tables(lake: Lake, as_of: dt.date) -> dict[str, pd.DataFrame]:
    """The published tables of a month that consist of several files; empty for a new month."""
    parted = [name for name, table in lake.contract.at(as_of).tables.items() if table.parts]
    entries = lake.entries(as_of)
    return {
        name: lake.read_table(name, lake.path(entries[name])) for name in parted if name in entries
    }


def _with_likely_renames(lake: Lake, found: ValidatedDrop) -> ValidatedDrop:
    """The drop with a question in each fault of unlisted values that probably replace others."""
    before = lake.month_before(found.as_of)
    if before is None:
        return found
    contract = lake.contract.delivery(found.as_of)
    tables = {}
    for name, table in found.tables.items():
        faults = []
        for one in table.report.faults:
            own = contract.column_of_header(name, one.column) if one.counts else None
            then = None if own is None else _values_of(lake, before, name, own)
            if then is not None and own is not None:
                now = set(table.valid[own].dropna()) | set(one.counts)
                gone = {value: rows for value, rows in then.items() if value not in now}
                pairs = likely_renames(one.counts, gone)
                asked = " ".join(
                    f"{value!r} is new in {one.counts[value]:,} rows, {was!r} is gone: a rename?"
                    for value, was in pairs.items()
                )
                one = replace(one, question=asked)  # noqa: PLW2901
            faults.append(one)
        tables[name] = replace(table, report=replace(table.report, faults=tuple(faults)))
    return replace(found, tables=tables)


def _values_of(lake: Lake, month: dt.date, name: str, own: str) -> dict[str, int] | None:
    """The values of a column of a month, with the number of rows of each; None without it."""
    owner = lake.contract.lake_name(lake.contract.owner(name))
    entry = lake.entries(month).get(owner)
    if entry is None or own not in lake.contract.published[owner]:
        return None
    values = lake.read_table(owner, lake.path(entry), [own])[own].dropna()
    return {str(value): int(rows) for value, rows in values.value_counts().items()}


def _compared_before(lake: Lake, as_of: dt.date) -> MonthComparison | None:
    before = lake.month_before(as_of)
    return None if before is None else lake.compared(before)


def _delivered_keys(found: ValidatedDrop) -> dict[str, pd.Series]:
    return {name: table.keys for name, table in found.tables.items() if len(table.keys)}


def _of_features(contract: Contract, keys: Keys) -> dict[str, pd.Series]:
    return {name: own for name, own in keys.items() if name in contract.snapshot_tables}


def _faults(lake: Lake, found: ValidatedDrop, comparison: MonthComparison) -> list[Fault]:
    policy = lake.contract.policy.ingestion
    faults = []
    change = _delivered_customers(lake, found, comparison)
    near = None if change is None else change.near_keys
    if change and near and near.count > policy.near_key_share * change.customers:
        faults.append(
            fault(
                "keys_nearly_match",
                "",
                examples=near.examples,
                near=f"{near.count:,}",
                all=f"{change.customers:,}",
                before=change.before,
                how=near.spelling.how,
                repair=near.spelling.repair,
            )
        )
    elif policy.near_key_share < READABLE:
        faults += _other_spelling(lake, found, comparison)
    if comparison.repeated_month is not None and policy.repeated_month == "refuse":
        faults.append(fault("month_repeated", "", same=comparison.repeated_month))
    return faults


def _other_spelling(lake: Lake, found: ValidatedDrop, comparison: MonthComparison) -> list[Fault]:
    """A fault if most keys are new, and nearly all are known ones with another prefix."""
    change = comparison.customers
    delivered = _of_features(lake.contract, _delivered_keys(found))
    if change is None or not delivered or 2 * change.new <= change.customers:
        return []
    keys = everyone(delivered)
    before = everyone(lake.keys(change.before, lake.contract.feature_tables))
    spelling = likely_spelling(keys.head(SAMPLE), before)
    if spelling is None:
        return []
    keys = keys.astype(str)
    read = keys.map(spelling.read)
    shown = zip(keys.head(EXAMPLES), read.head(EXAMPLES), strict=True)
    return [
        fault(
            "keys_nearly_match",
            "",
            examples=[f"{own} for {other}" for own, other in shown],
            near=f"{int(read.isin(before.astype(str)).sum()):,}",
            all=f"{len(keys):,}",
            before=change.before,
            how="their prefix or zeros are changed",
            repair="write every key as in that month",
        )
    ]


def _delivered_customers(
    lake: Lake, found: ValidatedDrop, comparison: MonthComparison
) -> CustomerChange | None:
    """The comparison of the customers in the drop's own feature tables; a drop cannot repair
    others.
    """
    delivered = _of_features(lake.contract, _delivered_keys(found))
    customers = comparison.customers
    if customers is None or not customers.near or not delivered:
        return None
    if set(lake.entries(found.as_of)) <= set(delivered):
        return customers
    return _customers(lake, delivered, customers.before)


def _customers(lake: Lake, features: Keys, month: dt.date) -> CustomerChange:
    before = lake.keys(month, lake.contract.feature_tables)
    return compare_customers(everyone(features), everyone(before), month)


@dataclass(frozen=True)
class _Content:
    """Digests of the tables of a month and of every other month."""

    own: dict[str, str]
    others: dict[dt.date, dict[str, str]]
    unchanged: bool
    """Whether the month is published and this delivery changes none of its tables."""


def _content(lake: Lake, as_of: dt.date, tables: Mapping[str, pd.DataFrame]) -> _Content:
    """Digests without the ages, which change with the calendar, and without what is made of
    events.
    """
    others = {month: lake.entries(month) for month in lake.months() if month != as_of}
    entries = lake.entries(as_of)
    known = {n: entry for n, entry in entries.items() if not lake.contract.has_many_rows(n)}
    published = lake.contract.at(as_of).published
    own = {}
    for name, table in tables.items():
        # Only a table with as many rows can be equal, and hashing is most of the work.
        sizes = {other[name].rows for other in others.values() if name in other}
        if len(table) in sizes:
            delivered = to_arrow(table, published[name])
            own[name] = table_digest(_without_ages(lake.contract, name, delivered))
        else:
            own[name] = f"like no other {name}"
    unchanged = bool(known) and all(
        name in known and _stored_digest(lake, name, known[name]) == digest
        for name, digest in own.items()
    )
    rows = {name: len(table) for name, table in tables.items()}
    for name, entry in known.items():
        if name not in own:
            own[name] = _stored_digest(lake, name, entry)
            rows[name] = entry.rows
    stored: dict[dt.date, dict[str, str]] = {}
    for month, entries in others.items():
        stored[month] = {}
        for name, entry in entries.items():
            stored[month][name] = entry.digest
            if entry.rows == rows.get(name):
                stored[month][name] = _stored_digest(lake, name, entry)
    return _Content(own, stored, unchanged)


def _stored_digest(lake: Lake, name: str, entry: TableEntry) -> str:
    """The digest of a table of the lake; one with ages is read again without them."""
    if not _ages(lake.contract, name):
        return entry.digest
    import pyarrow.parquet as pq

    table = pq.ParquetFile(lake.path(entry)).read()
    names = [column for column in lake.contract.published[name] if column in table.column_names]
    content = table.select(names).replace_schema_metadata(None)
    return table_digest(_without_ages(lake.contract, name, content))


def _without_ages(contract: Contract, name: str, table: "pa.Table") -> "pa.Table":
    ages = _ages(contract, name)
    return table.drop_columns([column for column in table.column_names if column in ages])


def _ages(contract: Contract, name: str) -> set[str]:
    table = contract.tables.get(name)
    return set() if table is None else set(table.ages)


def _mostly_numbers(contract: Contract, name: str) -> bool:
    """Whether most columns are numbers; labels are expected to change every month, too."""
    if name == contract.label_table:
        return True
    columns = [
        spec for own, spec in contract.published[name].items() if own != contract.entity.column
    ]
    numbers = [spec for spec in columns if spec.dtype in ("integer", "float")]
    return len(numbers) > len(columns) / 2


def _extra_columns(contract: Contract, drop: Drop) -> dict[str, tuple[str, ...]]:
    """Table -> the columns of its file that the contract does not name, sorted."""
    contract = contract.delivery(drop.as_of)
    found = {}
    for name, path in drop.files.items():
        wanted = {spec.source or own for own, spec in contract.delivered(name).items()}
        named = {column for column in _header(path, contract) if column}
        found[name] = tuple(sorted(named - wanted))
    return found


def _header(path: Path, contract: Contract) -> list[str]:
    if suffix_of(path) == PARQUET:
        import pyarrow.parquet as pq

        return [str(name) for name in pq.read_schema(path).names]
    files = contract.files
    try:
        return open_text(memoryview(head_bytes(path)), files.encoding, files.delimiter).header
    except UnicodeError:  # the last character of the head is cut
        return open_text(raw_bytes(path), files.encoding, files.delimiter).header


def _without_line_end(files: Iterable[Path]) -> tuple[str, ...]:
    """The CSV files whose last row has no line end, where other CSV files of the drop have one.

    A cut file looks like a complete one: many programs write no line end
    after the last row.
    """
    texts = [path for path in files if is_text(path)]
    without = [
        path.name for path in texts if not last_bytes(path).strip(b"\0").endswith((b"\n", b"\r"))
    ]
    if len(without) == len(texts):
        return ()
    return tuple(sorted(without))


def _new_columns(
    extra: Mapping[str, tuple[str, ...]], before: MonthComparison | None
) -> dict[str, tuple[str, ...]]:
    """The extra columns that the month before did not have; none where its columns are not
    known.
    """
    if before is None:
        return {}
    known = before.extra_columns
    new = {
        table: tuple(sorted(set(names) - set(known[table])))
        for table, names in extra.items()
        if table in known
    }
    return {table: names for table, names in new.items() if names}
