"""The drift report: our result and Evidently's figures as a page and JSON, and the plot.

Evidently uses the method and the threshold of every column that we judge by.
"""

import io
import json as json_text
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.base.files import write_json, write_text
from churn_platform.base.pages import render
from churn_platform.base.text import percent
from churn_platform.contract.model import Column, Contract
from churn_platform.contract.policy import DriftPolicy
from churn_platform.drift.columns import plain_values
from churn_platform.drift.measure import DriftEvidence, Rows, measure
from churn_platform.drift.result import ColumnDrift, DriftResult, judge

EVIDENTLY_ROWS = 20_000
"""Rows per side that Evidently is given; above, it gets a sample and our own distances decide."""
# A contract's names contain no space, so these two are never a feature.
LABEL = "churn label"
PREDICTION = "production's probability"
RATE_DIFFERENCE = "rate_difference"
TEMPLATE = Path(__file__).with_name("summary.html.j2")
NO_FIGURES = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"></head><body></body></html>'
)
"""The page in place of Evidently's if no column can be given to it."""
MOVED = "#c0392b"
STILL = "#7f8c9b"
QUIET = "#27803b"
PLOTTED = 30
"""Columns in the plot: more would not be readable at 700 pixels."""


@dataclass(frozen=True)
class _Figures:
    """Evidently's page, its own JSON, and its distance for each column."""

    html: str
    report: dict[str, Any]
    values: dict[str, float]


def write_report(
    contract: Contract,
    reference: Rows,
    current: Rows,
    *,
    month: str,
    reference_months: Sequence[str],
    html: Path,
    json: Path,
    seed: int,
    not_applicable: Mapping[str, str] = MappingProxyType({}),
) -> DriftResult:
    """Compare two sides, write page and JSON (each atomically), and return the result.

    Args:
        contract: features, and the drift policy.
        reference: the rows that production was trained on.
        current: this month's rows; without labels while none has matured.
        month: this month, as people call it.
        reference_months: the months of `reference`.
        html: path of the page.
        json: path of the figures: the result, and Evidently's own values.
        seed: of the noise floors and of the sample that Evidently is given.
        not_applicable: the features that are not compared, and others to name, each with the
            reason.

    Raises:
        DataError: no rows, a feature is missing or of a wrong dtype, or labels are not one per
            row.
        NotANumber: a prediction is NaN.
        ContractError: the policy names a method that does not fit its column.
    """
    features = {n: c for n, c in contract.features.items() if n not in not_applicable}
    policy = contract.policy.drift
    methods = {name: how for name, how in policy.methods.items() if name not in not_applicable}
    policy = policy.model_copy(update={"methods": methods})
    evidence = measure(features, policy, reference, current, seed=seed)
    sampled = max(len(reference.features), len(current.features)) > EVIDENTLY_ROWS
    rng = np.random.default_rng(seed)
    before = _frame(features, _sample(reference, rng))
    now = _frame(features, _sample(current, rng))
    figures = _ask_evidently(policy, features, evidence, before, now)
    result = judge(policy, evidence, None if sampled else figures.values)
    if not_applicable:
        result = result.model_copy(update={"not_applicable": dict(not_applicable)})
    shown = "from all rows."
    if sampled:
        shown = (
            f"from a random sample of {len(now):,} and {len(before):,} rows; the result above is"
            " from all rows, so a value may differ in its last figures."
        )
    text = page(figures.html, result, month=month, reference_months=reference_months, shown=shown)
    write_text(html, text)
    write_json(
        json,
        {
            "month": month,
            "reference_months": list(reference_months),
            "result": result.as_json(),
            "evidently": {"rows": shown, "values": figures.values, "report": figures.report},
        },
    )
    return result


def page(
    evidently: str,
    result: DriftResult,
    *,
    month: str,
    reference_months: Sequence[str],
    shown: str,
) -> str:
    """Evidently's page with a title and, above its figures, a summary of the result.

    Args:
        evidently: its self-contained HTML.
        result: the result.
        month: the month in question.
        reference_months: the months that production was trained on.
        shown: which rows Evidently's figures are from.

    Raises:
        DataError: the page has no head or body to write into.
    """
    summary = render(
        TEMPLATE,
        result=result,
        month=month,
        reference_months=reference_months,
        headline=_headline(result),
        drifted=[column for column in result.columns if column.drifted],
        left_out=[column for column in result.columns if column.method is None],
        colour=MOVED if result.drift_detected else QUIET,
        shown=shown,
    )
    title = f"<title>Drift {escape(month)}</title>"
    for mark, addition in (("head", title), ("body", summary)):
        opening = re.search(rf"<{mark}[^>]*>", evidently)
        if opening is None:
            raise DataError(
                f"Evidently's page has no <{mark}>, because its template changed: the summary"
                " cannot be added."
            )
        evidently = evidently[: opening.end()] + addition + evidently[opening.end() :]
    return evidently


def drift_plot_png(result: DriftResult) -> bytes:
    """Each column's distance as a share of its threshold, drifted ones in red; PNG, 700 pixels
    wide.
    """
    from matplotlib.figure import Figure

    columns = sorted(result.columns, key=lambda column: (column.drifted, _ratio(column)))[-PLOTTED:]
    figure = Figure(figsize=(7, 1.1 + 0.27 * len(columns)), dpi=100, layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(
        [column.column for column in columns],
        [_ratio(column) for column in columns],
        color=[MOVED if column.drifted else STILL for column in columns],
    )
    axes.axvline(1, color="#222", linewidth=1, linestyle="--")
    on_white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(
        bars,
        labels=[_label(column) for column in columns],
        padding=4,
        fontsize=8,
        bbox=on_white,
    )
    axes.set_xlim(0, max([1.3, *(1.35 * _ratio(column) for column in columns)]))
    axes.set_xlabel("distance / threshold (dashed: drifted from here)", fontsize=9)
    axes.set_title(_headline(result), fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _ratio(column: ColumnDrift) -> float:
    if column.value is None:
        return 0.0
    return column.value / column.threshold


def _label(column: ColumnDrift) -> str:
    """The distance; where it is not what made the column drift, the reason in its place."""
    if column.value is None or (column.drifted and column.value < column.threshold):
        return column.reason[:60]
    return f"{column.value:.3g}"


def _headline(result: DriftResult) -> str:
    drifted = len(result.drifted_columns)
    total = len(result.columns)
    limit = percent(result.share_threshold)
    return f"{drifted} of {total} features drifted: {percent(result.share)}, allowed {limit}"


def _frame(features: dict[str, Column], rows: Rows) -> pd.DataFrame:
    """What Evidently is given: numbers as float64, everything else as str, labels and
    predictions next to the features.
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


def _sample(rows: Rows, rng: np.random.Generator) -> Rows:
    """At most EVIDENTLY_ROWS of the rows, at random, in their order."""
    if len(rows.features) <= EVIDENTLY_ROWS:
        return rows
    chosen = np.sort(rng.choice(len(rows.features), EVIDENTLY_ROWS, replace=False))
    return Rows(
        features=rows.features.iloc[chosen],
        labels=None if rows.labels is None else rows.labels.iloc[chosen],
        predictions=None if rows.predictions is None else np.asarray(rows.predictions)[chosen],
    )


def _ask_evidently(
    policy: DriftPolicy,
    features: dict[str, Column],
    evidence: DriftEvidence,
    reference: pd.DataFrame,
    current: pd.DataFrame,
) -> _Figures:
    """Evidently's report, with each column's method and the threshold that we judge by."""
    # Evidently crashes on an empty column; a sample can also lose the few values that one has.
    filled = [set(frame.columns[frame.notna().any()]) for frame in (reference, current)]
    columns = [name for name in current.columns if name in filled[0] & filled[1]]
    if not columns:
        return _Figures(NO_FIGURES, {}, {})
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
    report_json = json_text.loads(snapshot.json(), parse_constant=lambda _: None)
    values = {
        metric["config"]["column"]: metric["value"]
        for metric in report_json["metrics"]
        if "column" in metric["config"]
    }
    return _Figures(
        html=snapshot.get_html_str(as_iframe=False),
        report=report_json,
        values={name: value for name, value in values.items() if value is not None},
    )


def _metrics(
    policy: DriftPolicy, evidence: DriftEvidence, features: list[str], columns: list[str]
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
    """Target drift as a statistic in Evidently, so its page shows the figure that we judge."""
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
