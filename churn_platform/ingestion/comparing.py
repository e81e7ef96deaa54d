"""Compares a validated drop with the months that the lake holds."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from churn_platform.ingestion.faults import Fault, fault
from churn_platform.ingestion.month_warnings import MonthWarning, of_comparison
from churn_platform.ingestion.validation import ValidatedDrop
from churn_platform.lake.arrow_tables import table_digest, to_arrow
from churn_platform.lake.keys import everyone, lacking
from churn_platform.lake.lake import Lake
from churn_platform.lake.month_comparison import (
    CustomerChange,
    Lacking,
    MonthComparison,
    compare_customers,
    repeated_month,
    repeated_tables,
)
from churn_platform.lake.tables import lake_tables

if TYPE_CHECKING:
    import pyarrow as pa


def compared(lake: Lake, drop: Drop, found: ValidatedDrop) -> ValidatedDrop:
    """The drop with its comparison, and with the faults that the comparison shows; a refused
    drop as it is.
    """
    if found.refusals:
        return found
    comparison = _comparison(lake, drop, found)
    faults = _faults(lake, found, comparison)
    if faults:
        return replace(found, of_the_drop=(*found.of_the_drop, *faults))
    warnings = comparison_warnings(lake, drop.as_of, comparison.as_dict())
    return replace(found, comparison=comparison, warnings=tuple(warnings))


def comparison_warnings(
    lake: Lake, as_of: dt.date, comparison: Mapping[str, Any] | None
) -> list[MonthWarning]:
    """The warnings of a month's comparison, next to that of the month before."""
    before = lake.month_before(as_of)
    return of_comparison(
        comparison,
        None if before is None else lake.compared(before),
        lake.contract.policy.ingestion,
    )


def _comparison(lake: Lake, drop: Drop, found: ValidatedDrop) -> MonthComparison:
    as_of = drop.as_of
    months = lake.months()
    known = lake.keys(as_of) if as_of in months else {}
    delivered = {name: table.keys for name, table in found.tables.items() if len(table.keys)}
    features = {
        n: keys for n, keys in {**known, **delivered}.items() if n in lake.contract.feature_tables
    }
    before = lake.month_before(as_of)
    tables = lake_tables(
        lake.contract, {name: table.sound for name, table in found.tables.items()}, as_of
    )
    content = _Content(lake, as_of, tables)
    repeated = repeated_tables(content.own, content.others, content.numeric)
    extra = {
        **((lake.compared(as_of) or {}).get("extra_columns") or {}),
        **_extra_columns(lake.contract, drop),
    }
    return MonthComparison(
        count=len(everyone(features)) if features else 0,
        customers=(_customers(lake, features, before) if before is not None and features else None),
        lacking=_lacking(features),
        repeated=repeated,
        repeated_month=(
            None if content.unchanged else repeated_month(content.own, content.others, repeated)
        ),
        extra_columns=extra,
        new_columns=_new_columns(extra, None if before is None else lake.compared(before)),
        without_line_end=_without_line_end(drop),
    )


def _lacking(features: Mapping[str, pd.Series]) -> dict[str, Lacking]:
    found = lacking(features) if features else {}
    return {
        name: Lacking(len(keys), tuple(map(str, keys.head(EXAMPLES))))
        for name, keys in found.items()
    }


def _faults(lake: Lake, found: ValidatedDrop, comparison: MonthComparison) -> list[Fault]:
    policy = lake.contract.policy.ingestion
    faults = []
    change = _delivered_customers(lake, found, comparison)
    if (
        change is not None
        and change.near is not None
        and change.near.count > policy.near_key_share * change.customers
    ):
        words: dict[str, Any] = {
            "near": f"{change.near.count:,}",
            "all": f"{change.customers:,}",
        }
        words |= {
            "before": change.before,
            "how": change.near.spelling.how,
            "repair": change.near.spelling.repair,
        }
        faults.append(fault("keys_nearly_match", "", examples=change.near.examples, **words))
    if comparison.repeated_month is not None and policy.repeated_month == "refuse":
        faults.append(fault("month_repeated", "", same=comparison.repeated_month))
    return faults


def _delivered_customers(
    lake: Lake, found: ValidatedDrop, comparison: MonthComparison
) -> CustomerChange | None:
    """The comparison of the customers in the drop's own feature tables; a drop cannot repair
    others.
    """
    if found.as_of in lake.months():
        known = set(lake.keys(found.as_of))
    else:
        known = set()
    delivered = {
        n: t.keys
        for n, t in found.tables.items()
        if n in lake.contract.feature_tables and len(t.keys)
    }
    if comparison.customers is None or comparison.customers.near is None or not delivered:
        return None
    if known <= set(delivered):
        return comparison.customers
    return _customers(lake, delivered, comparison.customers.before)


def _customers(lake: Lake, features: Mapping[str, pd.Series], month: dt.date) -> CustomerChange:
    before = lake.keys(month, lake.contract.feature_tables)
    return compare_customers(everyone(features), everyone(before), month)


class _Content:
    """Digests of the tables of a month and of every other month, without the ages: those change
    by the calendar.
    """

    def __init__(self, lake: Lake, as_of: dt.date, tables: Mapping[str, pd.DataFrame]) -> None:
        self._lake = lake
        self._ages = {
            name: set(table.ages) for name, table in lake.contract.tables.items() if table.ages
        }
        others = {month: lake.entries(month) for month in lake.months() if month != as_of}
        known = lake.entries(as_of)
        self.own = {
            name: self._delivered(name, table)
            for name, table in tables.items()
            # Only a table with as many rows can be equal, and hashing is most of the work.
            if any(name in other and other[name]["rows"] == len(table) for other in others.values())
        }
        self.own = {name: self.own.get(name, f"like no other {name}") for name in tables}
        self.unchanged = bool(known) and all(
            name in known and self._stored(name, known[name]) == digest
            for name, digest in self.own.items()
        )
        rows = {name: len(table) for name, table in tables.items()}
        for name, entry in known.items():
            if name not in self.own:
                self.own[name] = self._stored(name, entry)
                rows[name] = entry["rows"]
        self.others = {
            month: {
                name: (
                    self._stored(name, entry)
                    if entry["rows"] == rows.get(name)
                    else entry["digest"]
                )
                for name, entry in entries.items()
            }
            for month, entries in others.items()
        }
        self.numeric = {name: self._mostly_numbers(name) for name in self.own}

    def _delivered(self, name: str, table: pd.DataFrame) -> str:
        return table_digest(
            self._without_ages(name, to_arrow(table, self._lake.contract.published[name]))
        )

    def _stored(self, name: str, entry: Mapping[str, Any]) -> str:
        """The digest of a table of the lake; one with ages is read again without them."""
        if name not in self._ages:
            return str(entry["digest"])
        import pyarrow.parquet as pq

        table = pq.ParquetFile(self._lake.folder / entry["file"]).read()
        names = [
            column for column in self._lake.contract.published[name] if column in table.column_names
        ]
        return table_digest(
            self._without_ages(name, table.select(names).replace_schema_metadata(None))
        )

    def _without_ages(self, name: str, table: "pa.Table") -> "pa.Table":
        return table.drop_columns(
            [column for column in table.column_names if column in self._ages.get(name, ())]
        )

    def _mostly_numbers(self, name: str) -> bool:
        """Whether most columns are numbers; labels are expected to change every month, too."""
        contract = self._lake.contract
        if name == contract.label_table:
            return True
        columns = [
            spec for own, spec in contract.published[name].items() if own != contract.entity.column
        ]
        numbers = [spec for spec in columns if spec.dtype in ("integer", "float")]
        return len(numbers) > len(columns) / 2


def _extra_columns(contract: Contract, drop: Drop) -> dict[str, list[str]]:
    """Table -> the columns of its file that the contract does not name, sorted."""
    found = {}
    for name, path in drop.files.items():
        wanted = {spec.source or own for own, spec in contract.delivered(name).items()}
        found[name] = sorted({column for column in _header(path, contract) if column} - wanted)
    return found


def _header(path: Path, contract: Contract) -> list[str]:
    if suffix_of(path) == PARQUET:
        import pyarrow.parquet as pq

        return [str(name) for name in pq.read_schema(path).names]
    try:
        return open_text(
            memoryview(head_bytes(path)), contract.files.encoding, contract.files.delimiter
        ).header
    except UnicodeError:  # the last character of the head is cut
        return open_text(raw_bytes(path), contract.files.encoding, contract.files.delimiter).header


def _without_line_end(drop: Drop) -> tuple[str, ...]:
    """The files of the drop whose last row has no line end, where other CSV files of the drop
    end with one.

    A cut file cannot be told from a complete one by itself: many programs write no line end
    after the last row.
    """
    texts = [path for path in drop.files.values() if is_text(path)]
    without = [
        path.name for path in texts if not last_bytes(path).strip(b"\0").endswith((b"\n", b"\r"))
    ]
    if len(without) == len(texts):
        return ()
    return tuple(sorted(without))


def _new_columns(
    extra: Mapping[str, list[str]], before: Mapping[str, Any] | None
) -> dict[str, list[str]]:
    """The extra columns that the month before did not have; none where its columns are not
    known.
    """
    known = (before or {}).get("extra_columns") or {}
    new = {
        table: sorted(set(names) - set(known[table]))
        for table, names in extra.items()
        if table in known
    }
    return {table: names for table, names in new.items() if names}
