"""Window features: 10,000,000 events x 12 features for 1,000,000 customers.

Floor: the same aggregates in plain DuckDB SQL, one pass over the same Parquet, as an engineer
would write it by hand: floats are summed as floats, and ties of the last value are broken at
random.
Ours: `window_table`, the contract's expressions and exact sums included; imports are not
counted. Both answer as an Arrow table in the order of the customers.
"""

import argparse
import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import harness
from churn_platform.contract.events import EVENT_DAY
from churn_platform.contract.parts import Table
from churn_platform.events.windows import window_table
from churn_platform.lake.arrow_tables import table_digest

AS_OF = dt.date(2025, 12, 31)
MONTHS = 12
GOAL = 2.0
GOAL_MEGABYTES = 8_000
OURS = "ours"
FLOOR = "floor: DuckDB SQL, one pass"
LOG = Table.model_validate(
    {
        "kind": "events",
        "time": "paid_at",
        "columns": {
            "paid_at": {"dtype": "timestamp"},
            "amount": {"dtype": "float", "nullable": True},
            "kind": {"dtype": "category"},
        },
        "windows": {
            "n30": {"aggregate": "count", "window": "30d"},
            "n90": {"aggregate": "count", "window": "90d"},
            "sum30": {"aggregate": "sum", "of": "amount", "window": "30d"},
            "refunds90": {
                "aggregate": "sum", "of": "amount", "where": "kind = 'refund'", "window": "90d",
            },
            "mean90": {"aggregate": "mean", "of": "amount", "window": "90d"},
            "min180": {"aggregate": "min", "of": "amount", "window": "180d"},
            "max180": {"aggregate": "max", "of": "amount", "window": "180d"},
            "last": {"aggregate": "last", "of": "amount", "window": "all"},
            "kinds90": {"aggregate": "distinct", "of": "kind", "window": "90d"},
            "days": {"aggregate": "days_since_last", "window": "all"},
            "share90": {"aggregate": "share", "where": "kind = 'refund'", "window": "90d"},
            "trend60": {"aggregate": "trend", "window": "60d"},
        },
    }
)  # fmt: skip
SQL = """
WITH made AS (
  SELECT customer,
    count(*) FILTER (d > e - 30) AS n30, count(*) FILTER (d > e - 90) AS n90,
    sum(amount) FILTER (d > e - 30) AS sum30,
    sum(amount) FILTER (d > e - 90 AND kind = 'refund') AS refunds90,
    avg(amount) FILTER (d > e - 90) AS mean90,
    min(amount) FILTER (d > e - 180) AS min180, max(amount) FILTER (d > e - 180) AS max180,
    arg_max(amount, paid_at) AS last, count(DISTINCT kind) FILTER (d > e - 90) AS kinds90,
    any_value(e) - max(d) AS days,
    count(*) FILTER (d > e - 90 AND kind = 'refund') / nullif(n90, 0) AS share90,
    (n30 - count(*) FILTER (d > e - 60 AND d <= e - 30))
      / nullif(count(*) FILTER (d > e - 60), 0) AS trend60
  FROM (SELECT *, "event day" AS d, DATE '2025-12-31' AS e FROM read_parquet(?))
  WHERE d <= e GROUP BY customer
)
SELECT c.customer, coalesce(n30, 0) AS n30, coalesce(n90, 0) AS n90, coalesce(sum30, 0) AS sum30,
  coalesce(refunds90, 0) AS refunds90, mean90, min180, max180, last,
  coalesce(kinds90, 0) AS kinds90, days, share90, trend60
FROM customers c LEFT JOIN made USING (customer) ORDER BY place
"""


def _fill(folder: Path, events: int, customers: int) -> None:
    """A file a month, in the order of time; a fiftieth of the amounts is missing."""
    random = np.random.default_rng(1)
    names = pa.array([f"c{n:07d}" for n in range(customers)])
    kinds = pa.array(["payment", "refund", "visit", "call"])
    count = events // MONTHS
    for month in range(MONTHS):
        day = np.datetime64("2025-01-01") + (30 * month + np.arange(count) * 30 // count)
        moments = np.sort(day.astype("datetime64[us]") + random.integers(0, 86_400 * 10**6, count))
        amounts = np.round(random.gamma(2, 20, count), 2)
        table = pa.table(
            {
                "customer": names.take(pa.array(random.integers(0, customers, count))),
                "paid_at": pa.array(moments).cast(pa.timestamp("us", "UTC")),
                "amount": pa.array(amounts, mask=random.random(count) < 0.02),
                "kind": kinds.take(pa.array(random.integers(0, len(kinds), count))),
                EVENT_DAY: pa.array(moments.astype("datetime64[D]")),
            }
        )
        pq.write_table(table, folder / f"{month:02d}.parquet", compression="zstd")
    shuffled = names.take(pa.array(random.permutation(customers)))
    pq.write_table(pa.table({"customer": shuffled}), folder / "customers")


def _told(answer: pa.Table) -> dict[str, Any]:
    """A digest of what is exact for both, and the totals of the others."""
    exact = ["customer", "n30", "n90", "min180", "max180", "kinds90", "days"]
    others = ["sum30", "refunds90", "mean90", "last", "share90", "trend60"]
    return {
        "rows": answer.num_rows,
        "digest": table_digest(answer.select(exact)),
        "totals": [pc.sum(answer[name]).as_py() for name in others],
        "nulls": sum(column.null_count for column in answer.columns),
    }


def _ours(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    customers = pq.read_table(options.folder / "customers")["customer"].to_pandas()
    files = sorted(options.folder.glob("*.parquet"))
    with clock.running():
        answer = window_table(files, LOG, "customer", AS_OF, customers)
    return _told(answer)


def _sql(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    customers = pq.read_table(options.folder / "customers")["customer"].to_pandas()
    files = [str(path) for path in sorted(options.folder.glob("*.parquet"))]
    with clock.running(), duckdb.connect() as connection:
        connection.register(
            "customers", pd.DataFrame({"customer": customers, "place": range(len(customers))})
        )
        answer = connection.sql(SQL, params=[files]).to_arrow_table()
    return _told(answer)


CONTENDERS = {OURS: _ours, FLOOR: _sql}


def _report(options: argparse.Namespace) -> None:
    events, customers = (120_000, 12_000) if options.quick else (10_000_000, 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), events, customers)
        measures = {name: lambda name=name: harness.run(name, folder=folder) for name in CONTENDERS}
        found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    told = [found[name][0].told for name in CONTENDERS]
    print(f"{events:,} events x {len(LOG.windows)} features for {customers:,} customers: {told[0]}")
    equal = [told[0][part] == told[1][part] for part in ("rows", "digest", "nulls")]
    close = np.allclose(told[0]["totals"], told[1]["totals"], rtol=1e-9)
    if not all(equal) or not close:
        raise SystemExit(f"The answers differ: {told}")
    print("The answers are equal, sums of floats to a billionth.")
    harness.table(found, FLOOR)
    for what, field in (("wall", "seconds"), ("CPU", "cpu")):
        ratio = harness.median(found[OURS], field) / harness.median(found[FLOOR], field)
        harness.verdict(f"ours / floor, {what}", ratio, GOAL)
    harness.verdict("peak memory", harness.median(found[OURS], "megabytes"), GOAL_MEGABYTES, " MB")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
