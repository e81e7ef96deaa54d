"""Tables behind the plots of one model: calibration, ROC curve and lift by group."""

import numpy as np
import pandas as pd

from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    LabelArray,
    checked_labels,
    checked_probabilities,
)
from churn_platform.evaluation.weights import ROUNDING, rows_with_weight, weight_below

GROUPS = 10


def calibration_bins(
    labels: LabelArray, probabilities: FloatArray, weights: FloatArray | None = None
) -> pd.DataFrame:
    """Mean predicted probability, observed churn rate and number of rows, in ten bins of
    about equal size; with weights, of about equal weight.

    Equal probabilities share a bin, so the order of the rows does not matter. Bins that are
    empty for this reason are left out.

    Args:
        labels: shape (n,), 0 or 1; one class is allowed.
        probabilities: shape (n,).
        weights: shape (n,), finite and >= 0; rows of weight 0 are left out. None: all alike.

    Returns:
        Columns predicted, observed, rows; by rising predicted.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, unlike shapes, or a probability outside [0, 1].
    """
    from scipy.stats import rankdata

    if weights is not None:
        labels, probabilities, weights = rows_with_weight(weights, labels, probabilities)
    churned = checked_labels(labels, two_classes=False)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    if weights is not None:
        return _weighted_calibration(churned, values, weights)
    bin_of = ((rankdata(values) - 0.5) * GROUPS / churned.size).astype(np.int64)
    rows = pd.DataFrame({"predicted": values, "observed": churned, "rows": churned})
    means = rows.groupby(bin_of).agg({"predicted": "mean", "observed": "mean", "rows": "size"})
    return means.reset_index(drop=True)


def _weighted_calibration(
    churned: BoolArray, values: FloatArray, weights: FloatArray
) -> pd.DataFrame:
    place = weight_below(values, weights, values) * GROUPS / weights.sum()
    bin_of = np.minimum((place + ROUNDING).astype(np.int64), GROUPS - 1)
    rows = np.bincount(bin_of, minlength=GROUPS)
    filled = rows > 0
    weight = np.bincount(bin_of, weights, GROUPS)[filled]
    return pd.DataFrame(
        {
            "predicted": np.bincount(bin_of, weights * values, GROUPS)[filled] / weight,
            "observed": np.bincount(bin_of, weights * churned, GROUPS)[filled] / weight,
            "rows": rows[filled],
        }
    )


def roc_curve_points(
    labels: LabelArray, probabilities: FloatArray, weights: FloatArray | None = None
) -> pd.DataFrame:
    """Corners of the ROC curve from (0, 0) to (1, 1), without those that change nothing.

    Labels, probabilities and weights are of shape (n,), both classes present.

    Returns:
        Columns false_positive_rate, true_positive_rate; both rising. The area under them is the
        AUC.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, one class, unlike shapes, or a probability outside [0, 1].
    """
    from sklearn.metrics import roc_curve

    if weights is not None:
        labels, probabilities, weights = rows_with_weight(weights, labels, probabilities)
    churned = checked_labels(labels)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    false_positive_rate, true_positive_rate, _ = roc_curve(churned, values, sample_weight=weights)
    return pd.DataFrame(
        {
            "false_positive_rate": false_positive_rate,
            "true_positive_rate": true_positive_rate,
        }
    )


def lift_table(
    labels: LabelArray, probabilities: FloatArray, weights: FloatArray | None = None
) -> pd.DataFrame:
    """Churners by decile of falling probability; decile 1 holds the ceil(n / 10) most likely to
    leave.

    Equal probabilities keep the order of the rows. Fewer than ten rows give one decile a row.
    Labels, probabilities and weights are of shape (n,), both classes present. With weights each
    decile holds exactly a tenth of the weight: a row on the border counts in part for both.

    Returns:
        Columns decile (from 1), lift (its churn rate over that of all rows) and
        cumulative_recall (share of all churners in this decile and those above it).

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, one class, unlike shapes, or a probability outside [0, 1].
    """
    if weights is not None:
        labels, probabilities, weights = rows_with_weight(weights, labels, probabilities)
    churned = checked_labels(labels)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    if weights is not None:
        return _weighted_lift(churned, values, weights)
    count = min(GROUPS, churned.size)
    rows = churned.size // count + (np.arange(count) < churned.size % count)
    ordered = churned[np.argsort(-values, kind="stable")]
    churners = np.bincount(np.repeat(np.arange(count), rows), weights=ordered, minlength=count)
    return pd.DataFrame(
        {
            "decile": np.arange(1, count + 1),
            "lift": churners / rows / churned.mean(),
            "cumulative_recall": churners.cumsum() / churned.sum(),
        }
    )


def _weighted_lift(churned: BoolArray, values: FloatArray, weights: FloatArray) -> pd.DataFrame:
    order = np.argsort(-values, kind="stable")
    weight = np.concatenate(([0.0], np.cumsum(weights[order])))
    churn = np.concatenate(([0.0], np.cumsum((weights * churned)[order])))
    borders = np.arange(GROUPS + 1) / GROUPS
    recall = np.interp(borders, weight / weight[-1], churn / churn[-1])
    return pd.DataFrame(
        {
            "decile": np.arange(1, GROUPS + 1),
            "lift": np.diff(recall) * GROUPS,
            "cumulative_recall": recall[1:],
        }
    )
