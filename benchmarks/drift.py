"""Drift at 1,000,000 rows x 15 columns a side: 14 features and the model's probabilities, some
of them moved.

Peer and floor: Evidently on all rows, by the methods and thresholds that we pin, page and JSON
included. Ours: the drift report as the loop makes it, checks, distances on all rows, noise
floors and Evidently's page from a stated sample. Compared are the verdict of every column and
its distance (within 1%). Imports are not counted.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import harness
from benchmarks.business import tables_of
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drift import report as drift_report
from churn_platform.drift.measure import Rows, measure
from churn_platform.lake.tables import feature_frame

ROWS = 1_000_000
QUICK_ROWS = 30_000
GOAL = 0.15
TOLERANCE = 0.01
SEED = 1
OURS = "ours"
FLOOR = "floor: Evidently on all rows"


def _sides(rows: int) -> tuple[Contract, Rows, Rows]:
    """Two months; every third feature of the second has moved by up to 0.4 standard deviations."""
    contract = read_contract(default_contract_path())
    rng = np.random.default_rng(0)
    names = list(contract.features)
    sides = []
    quiet, moved = (
        feature_frame(contract, tables_of(contract, int(rows / 0.96), 2, far))[names]
        for far in (0, 0.4)
    )
    second = quiet.assign(**{name: moved[name] for name in names[::3]})
    for frame, skew in (
        (feature_frame(contract, tables_of(contract, int(rows / 0.96), 1))[names], 6.0),
        (second, 5.5),
    ):
        taken = frame.head(rows)
        labels = pd.Series(rng.random(len(taken)) < 0.2, dtype="boolean")
        sides.append(Rows(taken, labels, rng.beta(2, skew, len(taken))))
    return contract, sides[0], sides[1]


def _ours(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    _import_evidently()
    contract, before, now = _sides(options.rows)
    with tempfile.TemporaryDirectory() as folder, clock.running():
        result = drift_report.write_report(
            contract, before, now, month="now", reference_months=["before"],
            html=Path(folder) / "drift.html", json=Path(folder) / "drift.json", seed=SEED,
        )  # fmt: skip
    values = {column.column: column.value for column in result.columns}
    drifted = {column.column: column.drifted for column in result.columns}
    values[drift_report.PREDICTION] = result.prediction_drift
    drifted[drift_report.PREDICTION] = result.prediction_exceeded
    return {
        "rows": [result.rows_reference, result.rows_current],
        "values": values,
        "drifted": drifted,
    }


def _evidently(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    _import_evidently()
    contract, before, now = _sides(options.rows)
    policy = contract.policy.drift
    evidence = measure(contract.features, policy, before, now, seed=SEED)
    frames = [drift_report._frame(contract.features, side) for side in (before, now)]
    with clock.running():
        answer = drift_report._ask_evidently(policy, contract.features, evidence, *frames)
    limits = {name: found.threshold for name, found in evidence.distances.items()}
    limits[drift_report.PREDICTION] = evidence.prediction.threshold if evidence.prediction else 0.0
    drifted = {name: bool(answer.values[name] >= limit) for name, limit in limits.items()}
    values = {name: value for name, value in answer.values.items() if name in limits}
    return {"rows": [len(frame) for frame in frames], "values": values, "drifted": drifted}


def _import_evidently() -> None:
    from evidently import DataDefinition, Dataset, Report  # noqa: F401
    from evidently.metrics import ValueDrift  # noqa: F401
    from evidently.presets import DataDriftPreset  # noqa: F401


CONTENDERS = {OURS: _ours, FLOOR: _evidently}


def _report(options: argparse.Namespace) -> None:
    rows = QUICK_ROWS if options.quick else ROWS
    measures = {name: lambda name=name: harness.run(name, rows=rows) for name in CONTENDERS}
    found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    ours, theirs = (found[name][0].told for name in (OURS, FLOOR))
    moved = sorted(name for name, drifted in ours["drifted"].items() if drifted)
    print(f"rows {ours['rows']}, {len(ours['values'])} columns, drifted: {moved}")
    differ = [
        name for name, drifted in theirs["drifted"].items() if ours["drifted"][name] != drifted
    ]
    furthest = max(abs(ours["values"][n] / v - 1) for n, v in theirs["values"].items() if v > 1e-6)
    print(f"verdicts that differ: {differ or 'none'}")
    harness.table(found, FLOOR)
    harness.verdict(
        "ours / Evidently", harness.median(found[OURS]) / harness.median(found[FLOOR]), GOAL
    )
    harness.verdict("furthest value from Evidently's", furthest, TOLERANCE)
    if differ:
        raise SystemExit("The verdicts differ.")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
