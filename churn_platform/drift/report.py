"""Evidently: the drift page and its JSON, with method and threshold of every column pinned to
our own.
"""

import contextlib
import json as json_text
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.files import write_json, write_text
from churn_platform.contract.model import Column, Contract
from churn_platform.contract.policy import DriftPolicy
from churn_platform.drift.columns import plain_values
from churn_platform.drift.measure import Evidence, Rows, measure
from churn_platform.drift.page import bare_page, page
from churn_platform.drift.result import DriftResult, judge

EVIDENTLY_ROWS = 20_000
"""Rows a side that Evidently is given; above, it gets a sample and our own distances decide."""

# No name of a contract holds a space, so these two meet no feature.
LABEL = "churn label"
PREDICTION = "production's probability"
RATE_DIFFERENCE = "rate_difference"


_elsewhere: ContextVar[Executor | None] = ContextVar("elsewhere", default=None)


@contextlib.contextmanager
def evidently_in(process: Executor) -> Iterator[None]:
    """Run Evidently in another process, which imports it while this one does other work."""
    process.submit(_import_evidently)
    token = _elsewhere.set(process)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def _import_evidently() -> None:
    import evidently
    import evidently.presets  # noqa: F401


@dataclass(frozen=True)
class _Answer:
    """Evidently's results: its page, its own JSON, its distance per column."""

    html: str
    report: dict[str, Any]
    values: dict[str, float]


class DriftReporter:
    """Writes a month's drift report.

    Args:
        evidently_rows: rows a side up to which Evidently sees all and its distances are the
            ones judged.
    """

    def __init__(self, evidently_rows: int = EVIDENTLY_ROWS) -> None:
        self._evidently_rows = evidently_rows

    def run(
        self,
        contract: Contract,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        *,
        month: str,
        reference_months: Sequence[str],
        html: Path,
        json: Path,
        seed: int,
        reference_labels: pd.Series | None = None,
        current_labels: pd.Series | None = None,
        reference_predictions: np.ndarray | None = None,
        current_predictions: np.ndarray | None = None,
    ) -> DriftResult:
        """Compare, write page and JSON (each atomically), return the result.

        Args:
            contract: features, and the drift policy.
            reference: the rows that production was trained on, a column a feature.
            current: this month's rows, a column a feature.
            month: this month, as people call it.
            reference_months: the months of `reference`.
            html: where the page goes.
            json: where the figures go: the result, and Evidently's own values.
            seed: of the noise floors and of the sample that Evidently is given.
            reference_labels: 0/1 or boolean, null where unknown, one per row of `reference`.
            current_labels: the same for `current`; None while no label has matured.
            reference_predictions: production's probabilities for `reference`, shape (n,).
            current_predictions: the same for `current`, shape (m,).

        Raises:
            DataError: no rows, a feature is missing or of a wrong dtype, or labels are not one
                per row.
            NotANumber: a prediction is NaN.
            ContractError: the policy names a method that does not fit its column.
        """
        policy = contract.policy.drift
        before = Rows(reference, reference_labels, reference_predictions)
        now = Rows(current, current_labels, current_predictions)
        evidence = measure(contract.features, policy, before, now, seed=seed)
        sampled = max(len(reference), len(current)) > self._evidently_rows
        rng = np.random.default_rng(seed)
        frames = [
            _frame(contract.features, _sample(rows, self._evidently_rows, rng))
            for rows in (before, now)
        ]
        process = _elsewhere.get()
        if process is None:
            answer = _ask(policy, contract.features, evidence, *frames)
        else:
            answer = process.submit(_ask, policy, contract.features, evidence, *frames).result()
        result = judge(policy, evidence, None if sampled else answer.values)
        shown = _shown(*frames) if sampled else "from all rows."
        write_text(
            html,
            page(answer.html, result, month=month, reference_months=reference_months, shown=shown),
        )
        write_json(
            json,
            {
                "month": month,
                "reference_months": list(reference_months),
                "result": result.as_dict(),
                "evidently": {"rows": shown, "values": answer.values, "report": answer.report},
            },
        )
        return result


def _frame(features: dict[str, Column], rows: Rows) -> pd.DataFrame:
    """What Evidently is given: float64 for numbers, str for all else, labels and predictions
    next to the features.
    """
    columns: dict[str, Any] = {}
    for name, column in features.items():
        values = plain_values(name, column, rows.features[name])
        columns[name] = _named(values, "True", "False") if column.dtype == "boolean" else values
    if rows.labels is not None:
        known = (
            pd.to_numeric(rows.labels.astype("boolean"))
            .astype("Float64")
            .to_numpy(float, na_value=np.nan)
        )
        columns[LABEL] = _named(known, "churned", "stayed")
    if rows.predictions is not None:
        columns[PREDICTION] = rows.predictions
    return pd.DataFrame(columns, index=range(len(rows.features)))


def _named(values: np.ndarray, one: str, zero: str) -> np.ndarray:
    names = np.where(values == 1, one, zero).astype(object)
    names[np.isnan(values)] = None
    return names


def _sample(rows: Rows, size: int, rng: np.random.Generator) -> Rows:
    """At most `size` of the rows, at random, in their order."""
    if len(rows.features) <= size:
        return rows
    chosen = np.sort(rng.choice(len(rows.features), size, replace=False))
    return Rows(
        features=rows.features.iloc[chosen],
        labels=None if rows.labels is None else rows.labels.iloc[chosen],
        predictions=None if rows.predictions is None else np.asarray(rows.predictions)[chosen],
    )


def _shown(reference: pd.DataFrame, current: pd.DataFrame) -> str:
    return (
        f"from a random sample of {len(current):,} and {len(reference):,} rows; "
        "the result above is from all rows, so a value may differ in its last figures."
    )


def _ask(
    policy: DriftPolicy,
    features: dict[str, Column],
    evidence: Evidence,
    reference: pd.DataFrame,
    current: pd.DataFrame,
) -> _Answer:
    """Evidently's report, with each column's method and the threshold that we judge by."""
    # Evidently crashes on an empty column; a sample can also lose the few values that one has.
    filled = [set(frame.columns[frame.notna().any()]) for frame in (reference, current)]
    columns = [name for name in current.columns if name in filled[0] & filled[1]]
    if not columns:
        return _Answer(bare_page(), {}, {})
    from evidently import DataDefinition, Dataset, Report

    numbers = [name for name in columns if current[name].dtype.kind == "f"]
    definition = DataDefinition(
        numerical_columns=numbers,
        categorical_columns=[name for name in columns if name not in numbers],
    )
    report = Report(
        _metrics(policy, evidence, [name for name in columns if name in features], columns)
    )
    # Evidently correlates each column with itself: 0/0 for a constant one.
    with np.errstate(divide="ignore", invalid="ignore"):
        snapshot = report.run(
            Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
        )
    # NaN is not JSON: a value that Evidently could not give is null.
    told = json_text.loads(snapshot.json(), parse_constant=lambda _: None)
    values = {
        metric["config"]["column"]: metric["value"]
        for metric in told["metrics"]
        if "column" in metric["config"]
    }
    return _Answer(
        html=snapshot.get_html_str(as_iframe=False),
        report=told,
        values={name: value for name, value in values.items() if value is not None},
    )


def _metrics(
    policy: DriftPolicy, evidence: Evidence, features: list[str], columns: list[str]
) -> list[Any]:
    from evidently.metrics import ValueDrift
    from evidently.presets import DataDriftPreset

    methods = {check.column: check.method for check in evidence.checks}
    metrics: list[Any] = []
    if features:
        preset = DataDriftPreset(
            columns=features,
            per_column_method={name: methods[name] for name in features},
            per_column_threshold={name: evidence.distances[name].threshold for name in features},
            drift_share=policy.share,
        )
        metrics.append(preset)
    if evidence.target is not None and LABEL in columns:
        _register_rate_difference()
        metrics.append(
            ValueDrift(column=LABEL, method=RATE_DIFFERENCE, threshold=evidence.target.threshold)
        )
    if evidence.prediction is not None and PREDICTION in columns:
        metrics.append(
            ValueDrift(
                column=PREDICTION, method="wasserstein", threshold=evidence.prediction.threshold
            )
        )
    return metrics


def _rate_difference(
    reference: pd.Series, current: pd.Series, _kind: object, threshold: float
) -> tuple[float, bool]:
    """Target drift as a statistic of Evidently's, so its page shows the figure that we judge."""
    value = abs(float((current == "churned").mean()) - float((reference == "churned").mean()))
    return value, value >= threshold


def _register_rate_difference() -> None:
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    test = StatTest(
        name=RATE_DIFFERENCE,
        display_name="Difference of the churn rates",
        allowed_feature_types=[ColumnType.Categorical],
        default_threshold=0.05,
    )
    register_stattest(test, _rate_difference)
