"""Plots as PNG bytes, for MLflow and the Dagster UI."""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from churn_platform.evaluation.curves import calibration_bins, lift_table, roc_curve_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2937"
ACCENT = "#2563eb"
QUIET = "#9ca3af"
Array = np.ndarray[Any, np.dtype[Any]]


def candidate_plots(
    labels: Array, probabilities: Array, weights: Array | None = None
) -> dict[str, bytes]:
    """ROC, calibration and lift of a candidate on the holdout rows: name -> PNG."""
    return {
        "roc": _roc(labels, probabilities, weights),
        "calibration": _calibration(labels, probabilities, weights),
        "lift": _lift(labels, probabilities, weights),
    }


def markdown_image(png: bytes, alt: str) -> str:
    """A PNG inside Markdown, so the UI shows it without a file server."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})"


def _roc(labels: Array, probabilities: Array, weights: Array | None) -> bytes:
    figure, axes = _axes("False positive rate", "True positive rate")
    points = roc_curve_points(labels, probabilities, weights)
    axes.plot(points.iloc[:, 0], points.iloc[:, 1], color=ACCENT, lw=2)
    axes.plot([0, 1], [0, 1], color=QUIET, ls="--", lw=1)
    return _png(figure, "ROC on the holdout")


def _calibration(labels: Array, probabilities: Array, weights: Array | None) -> bytes:
    figure, axes = _axes("Predicted churn probability", "Observed churn rate")
    bins = calibration_bins(labels, probabilities, weights)
    top = max(float(bins["predicted"].max()), float(bins["observed"].max())) * 1.1
    axes.plot([0, top], [0, top], color=QUIET, ls="--", lw=1)
    axes.plot(bins["predicted"], bins["observed"], color=ACCENT, marker="o", lw=2)
    return _png(figure, "Calibration on the holdout")


def _lift(labels: Array, probabilities: Array, weights: Array | None) -> bytes:
    figure, axes = _axes("Decile, highest risk first", "Lift over the churn rate")
    table = lift_table(labels, probabilities, weights)
    axes.bar(table["decile"], table["lift"], color=ACCENT)
    axes.axhline(1, color=QUIET, ls="--", lw=1)
    axes.set_xticks(table["decile"])
    return _png(figure, "Lift on the holdout")


def _axes(x: str, y: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    # Fixed margins: to find the narrowest ones, each plot would be drawn twice.
    margins = {"left": 0.13, "right": 0.97, "bottom": 0.13, "top": 0.92}
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots(gridspec_kw=margins)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: "Figure", title: str) -> bytes:
    figure.axes[0].set_title(title, color=INK, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
