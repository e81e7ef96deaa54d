"""The drift report's words and picture: the block above Evidently's figures, and the plot for
the Dagster UI.
"""

import io
import re
from collections.abc import Sequence
from html import escape

from churn_platform.base.errors import DataError
from churn_platform.drift.columns import percent
from churn_platform.drift.result import ColumnDrift, DriftResult

MOVED = "#c0392b"
STILL = "#7f8c9b"
PLOTTED = 30
"""Columns in the plot: more would not be readable at 700 pixels."""

_STYLE = """
.drift-words{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:1.5rem auto;padding:1rem 1.5rem;
color:#222;background:#fff;border:1px solid #ddd;border-left:6px solid %s;border-radius:6px}
.drift-words h1{font-size:1.5rem;margin:0 0 .5rem}.drift-words h2{font-size:1.05rem;margin:1rem 0 .2rem}
.drift-words p{margin:.3rem 0}.drift-words ul{margin:.2rem 0 .2rem 1.2rem;padding:0}
"""


def page(
    evidently: str,
    result: DriftResult,
    *,
    month: str,
    reference_months: Sequence[str],
    shown: str,
) -> str:
    """Evidently's page with a title and, above its figures, the result in plain words.

    Args:
        evidently: its self-contained HTML.
        result: the result.
        month: the month in question.
        reference_months: the months that production was trained on.
        shown: which rows Evidently's figures are from.

    Raises:
        DataError: the page has no head or body to write into.
    """
    words = _words(result, month, reference_months, shown)
    title = f"<title>Drift {escape(month)}</title>"
    for mark, addition in (("head", title), ("body", words)):
        opening = re.search(rf"<{mark}[^>]*>", evidently)
        if opening is None:
            raise DataError(
                f"Evidently's page has no <{mark}>; its template changed, so the words have no"
                " place."
            )
        evidently = evidently[: opening.end()] + addition + evidently[opening.end() :]
    return evidently


def bare_page() -> str:
    """A page for `page` to write into when no column can be given to Evidently."""
    return '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"></head><body></body></html>'


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
    axes.set_xlim(0, max(1.3, 1.35 * max(_ratio(column) for column in columns)))
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
    told_elsewhere = column.value is None or (column.drifted and column.value < column.threshold)
    if told_elsewhere:
        return column.reason[:60]
    return f"{column.value:.3g}"


def _headline(result: DriftResult) -> str:
    drifted = len(result.drifted_columns)
    total = len(result.columns)
    limit = percent(result.share_threshold)
    return f"{drifted} of {total} features drifted: {percent(result.share)}, allowed {limit}"


def _words(result: DriftResult, month: str, reference_months: Sequence[str], shown: str) -> str:
    colour = MOVED if result.drift_detected else "#27803b"
    verdict = "drift detected" if result.drift_detected else "no drift"
    drifted = [column for column in result.columns if column.drifted]
    left_out = [column for column in result.columns if column.method is None]
    compared = (
        f"{result.rows_current:,} rows of {escape(month)} against {result.rows_reference:,}"
        f" rows of {escape(', '.join(reference_months))}, which the production model was"
        " trained on."
    )
    parts = [
        f"<h1>{escape(month)}: {verdict}</h1>",
        f"<p>{compared}</p>",
        f"<p><strong>{_headline(result)}.</strong></p>",
        _list("Drifted features", drifted),
        "<h2>Churn rate and predictions</h2>",
        _moved(
            "Target drift (difference of the churn rates)",
            result.target_drift,
            result.target_threshold,
        ),
        _moved(
            "Prediction drift (normed Wasserstein of production's probabilities)",
            result.prediction_drift,
            result.prediction_threshold,
        ),
        _list("Left out of the figures below, because one side has no value", left_out),
        f"<p>Below: Evidently's figures, {escape(shown)}</p>",
    ]
    return (
        f'<style>{_STYLE % colour}</style><section class="drift-words">{"".join(parts)}</section>'
    )


def _list(heading: str, columns: Sequence[ColumnDrift]) -> str:
    if not columns:
        return ""
    items = "".join(
        f"<li><strong>{escape(column.column)}</strong>: {escape(column.reason)}</li>"
        for column in columns
    )
    return f"<h2>{heading}</h2><ul>{items}</ul>"


def _moved(what: str, value: float | None, threshold: float) -> str:
    if value is None:
        return f"<p>{what}: not measured, one side has none.</p>"
    judged = "reaches" if value >= threshold else "is below"
    return f"<p>{what}: {value:.3g} {judged} its threshold of {threshold:.3g}.</p>"
