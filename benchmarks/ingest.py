"""Validation and ingest against what pyarrow needs to read the same CSV and write it as Parquet.

Question: how much does a month cost before anything is learned from it? Floor: `read_csv` and `write_table` (zstd) of
the same file. Ours: `publish_drop` on a home, that is reading, validating, publishing, receipt. Each in a process of
its own with its imports done before the clock starts; medians. Goal: at most 3 x.

Usage: uv run python benchmarks/ingest.py [--quick]
"""

import argparse
import datetime as dt
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import csv

AS_OF = dt.date(2024, 1, 31)
GOAL = 3.0
PLANS = ["basic", "plus", "family", "student"]
REGIONS = [f"region {number}" for number in range(40)]
CONTRACT: dict[str, Any] = {
    "name": "benchmark",
    "model_name": "benchmark_churn",
    "entity": {"column": "customer"},
    "tables": {
        "customers": {
            "columns": {
                "plan": {"dtype": "category", "values": PLANS},
                "region": {"dtype": "category"},
                "joined": {"dtype": "date"},
                "last_paid": {"dtype": "date", "nullable": True},
                "has_app": {"dtype": "boolean", "nullable": True},
                "paperless": {"dtype": "boolean"},
                "months": {"dtype": "integer", "min": 0, "max": 1200},
                "devices": {"dtype": "integer", "min": 0, "nullable": True},
                "tickets": {"dtype": "integer", "min": 0},
                "fee": {"dtype": "float", "min": 0, "max": 1000},
                "hours": {"dtype": "float", "min": 0, "nullable": True},
                "minutes": {"dtype": "float", "min": 0},
                "balance": {"dtype": "float"},
                "score": {"dtype": "float", "min": 0, "max": 1},
            },
            "ages": {"tenure": {"of": "joined", "unit": "months"}},
        },
        "leavers": {"columns": {"left": {"dtype": "boolean"}}},
    },
    "label": {"table": "leavers", "column": "left"},
    "feature_views": {"customers_fv": {"table": "customers", "features": ["plan", "months", "fee", "hours", "tenure"]}},
}


def write_month(path: Path, rows: int, faulty: int) -> None:
    """One table of 15 columns, keys in no order; the first `faulty` rows have a fee that is no number."""
    random = np.random.default_rng(7)

    def some(values: np.ndarray, kind: pa.DataType, empty: float = 0.0) -> pa.Array:
        return pa.array(values, type=kind, mask=random.random(rows) < empty)

    day = np.datetime64("2015-01-01")
    fee = np.char.mod("%.2f", random.normal(30, 5, rows).clip(1)).astype(object)
    fee[:faulty] = "free"
    columns = {
        "customer": pa.array(np.char.add("c", np.char.zfill(random.permutation(rows).astype(str), 8))),
        "plan": pa.array(random.choice(PLANS, rows)),
        "region": pa.array(random.choice(REGIONS, rows)),
        "joined": some(day + random.integers(0, 3000, rows).astype("timedelta64[D]"), pa.date32()),
        "last_paid": some(day + random.integers(2500, 3200, rows).astype("timedelta64[D]"), pa.date32(), 0.1),
        "has_app": some(random.integers(0, 2, rows).astype(bool), pa.bool_(), 0.1),
        "paperless": some(random.integers(0, 2, rows).astype(bool), pa.bool_()),
        "months": some(random.integers(0, 120, rows), pa.int64()),
        "devices": some(random.integers(0, 9, rows), pa.int64(), 0.05),
        "tickets": some(random.poisson(0.5, rows), pa.int64()),
        "fee": pa.array(fee, pa.string()),
        "hours": some(np.round(random.gamma(2, 10, rows), 2), pa.float64(), 0.05),
        "minutes": some(np.round(random.gamma(2, 20, rows), 3), pa.float64()),
        "balance": some(np.round(random.gamma(2, 40, rows), 2), pa.float64()),
        "score": some(random.random(rows), pa.float64()),
    }
    csv.write_csv(pa.table(columns), path, csv.WriteOptions(quoting_style="needed"))


def floor(path: Path) -> float:
    """Seconds of pyarrow alone."""
    import pyarrow.parquet as pq

    started = time.perf_counter()
    pq.write_table(csv.read_csv(path), path.with_suffix(".floor.parquet"), compression="zstd")
    return time.perf_counter() - started


def ours(path: Path) -> float:
    """Seconds of `publish_drop`; a small month goes first so that every import is done."""
    from churn_platform.adapters.home import Home
    from churn_platform.adapters.ingestion import publish_drop
    from churn_platform.settings import Settings

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        home = Home(Settings(home=Path(folder) / "home"))
        home.create()
        (home.folder / "contract.yaml").write_text(yaml.safe_dump(CONTRACT))
        for as_of, source in ((dt.date(2023, 12, 31), path.with_name("small.csv")), (AS_OF, path)):
            drop = home.drops / as_of.isoformat()
            drop.mkdir()
            (drop / "customers.csv").symlink_to(source)
            started = time.perf_counter()
            publication = publish_drop(home, as_of)
            seconds = time.perf_counter() - started
        aside = sum(found["quarantined"] for found in home.lake.quarantines(AS_OF).values())
        lines = sum(1 for _ in path.open()) - 1
        if publication.rows["customers"] + aside != lines:
            raise SystemExit(f"{publication.rows} and {aside} put aside of {lines} rows: something was lost")
    return seconds


def measured(path: Path, runs: int) -> tuple[float, float]:
    """Median seconds of floor and ours, each run in a new process, by turns: a noisy machine is noisy to both."""
    found: dict[str, list[float]] = {"floor": [], "ours": []}
    for _ in range(runs):
        for what, seconds in found.items():
            command = [sys.executable, __file__, "--one", what, str(path)]
            seconds.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return statistics.median(found["floor"]), statistics.median(found["ours"])


def main() -> None:
    """Print one line a case, the worst first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one run")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print({"floor": floor, "ours": ours}[asked.one[0]](Path(asked.one[1])))
        return
    rows, runs = (100_000, 1) if asked.quick else (1_000_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        write_month(Path(folder) / "small.csv", 200, 1)
        print(f"{'rows':>9}  {'faulty':>7}  {'floor s':>8}  {'ours s':>8}  {'ratio':>6}  goal {GOAL:g}")
        lines = []
        for faulty in (rows // 200, 0):
            path = Path(folder) / f"month_{faulty}.csv"
            write_month(path, rows, faulty)
            least, own = measured(path, runs)
            lines.append((own / least, f"{rows:>9,}  {faulty:>7,}  {least:8.2f}  {own:8.2f}  {own / least:6.2f}"))
            path.unlink()
        print("\n".join(line for _, line in sorted(lines, reverse=True)))


if __name__ == "__main__":
    main()
