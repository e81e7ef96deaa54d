"""Validation and ingest of 1,000,000 rows x 15 columns: what a month costs before anything is
learned from it.

Floor: pyarrow reads the same CSV and writes it as Parquet (zstd). Ours: `Ingestion.publish` on a
home, that is reading, validating, publishing, receipt; once on sound rows, once with 0.5% of
them quarantined. Imports are not counted.
"""

import argparse
import datetime as dt
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import csv

from benchmarks import harness

ROWS = 1_000_000
QUICK_ROWS = 100_000
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
    "feature_views": {
        "customers_fv": {
            "table": "customers",
            "features": ["plan", "months", "fee", "hours", "tenure"],
        }
    },
}


def write_month(path: Path, rows: int, faulty: int) -> None:
    """One table of 15 columns, keys in no order; the first `faulty` rows have a fee that is no
    number.
    """
    random = np.random.default_rng(7)

    def some(values: np.ndarray, kind: pa.DataType, empty: float = 0.0) -> pa.Array:
        return pa.array(values, type=kind, mask=random.random(rows) < empty)

    day = np.datetime64("2015-01-01")
    fee = np.char.mod("%.2f", random.normal(30, 5, rows).clip(1)).astype(object)
    fee[:faulty] = "free"
    columns = {
        "customer": pa.array(
            np.char.add("c", np.char.zfill(random.permutation(rows).astype(str), 8))
        ),
        "plan": pa.array(random.choice(PLANS, rows)),
        "region": pa.array(random.choice(REGIONS, rows)),
        "joined": some(day + random.integers(0, 3000, rows).astype("timedelta64[D]"), pa.date32()),
        "last_paid": some(
            day + random.integers(2500, 3200, rows).astype("timedelta64[D]"), pa.date32(), 0.1
        ),
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


def _floor(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    import pyarrow.parquet as pq

    path = Path(options.file)
    with clock.running():
        pq.write_table(csv.read_csv(path), path.with_suffix(".floor.parquet"), compression="zstd")
    return {}


def _ours(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    """A small month goes first, so that every import is done."""
    from churn_platform.base.settings import Settings
    from churn_platform.services import Services

    path = Path(options.file)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        home = Services(Settings(home=Path(folder) / "home"))
        home.create()
        (home.folder / "contract.yaml").write_text(yaml.safe_dump(CONTRACT))
        _delivered(home, dt.date(2023, 12, 31), path.with_name("small.csv"))
        home.ingestion.publish(dt.date(2023, 12, 31))
        _delivered(home, AS_OF, path)
        with clock.running():
            publication = home.ingestion.publish(AS_OF)
        aside = sum(found.quarantined for found in home.lake.quarantines(AS_OF).values())
    return {"published": publication.rows["customers"], "quarantined": aside}


def _delivered(home: Any, as_of: dt.date, source: Path) -> None:  # noqa: ANN401 - a Home
    drop = home.drops / as_of.isoformat()
    drop.mkdir()
    (drop / "customers.csv").symlink_to(source)


FLOOR = "floor: pyarrow"
SOUND = "ours, sound rows"
FAULTY = "ours, 0.5% quarantined"
CONTENDERS = {FLOOR: _floor, SOUND: _ours, FAULTY: _ours}


def _report(options: argparse.Namespace) -> None:
    rows = QUICK_ROWS if options.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{place}.csv" for place, name in enumerate(CONTENDERS)}
        write_month(Path(folder) / "small.csv", 200, 1)
        write_month(files[SOUND], rows, 0)
        write_month(files[FAULTY], rows, rows // 200)
        files[FLOOR].symlink_to(files[SOUND])
        measures: dict[str, Callable[[], harness.Measured]] = {
            name: lambda name=name: harness.run(name, file=files[name]) for name in CONTENDERS
        }
        found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    harness.table(found, FLOOR)
    for name in (FAULTY, SOUND):
        told = found[name][0].told
        if told["published"] + told["quarantined"] != rows:
            raise SystemExit(f"{told} of {rows} rows: something was lost")
        harness.verdict(
            f"{name} / pyarrow",
            harness.median(found[name]) / harness.median(found[FLOOR]),
            GOAL,
        )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
