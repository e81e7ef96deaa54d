"""Tables behind the plots of one model: calibration, ROC curve and lift by group."""

import numpy as np
import pandas as pd

from churn_platform.evaluation.statistics import (
    FloatArray,
    LabelArray,
    checked_labels,
    checked_probabilities,
)

GROUPS = 10


def calibration_bins(labels: LabelArray, probabilities: FloatArray) -> pd.DataFrame:
    """Mean predicted probability, observed churn rate and number of rows, in ten bins of
    about equal size.

    Equal probabilities share a bin, so the order of the rows does not matter. Bins that are
    empty for this reason are left out.

    Args:
        labels: shape (n,), 0 or 1; one class is allowed.
        probabilities: shape (n,).

    Returns:
        Columns predicted, observed, rows; by rising predicted.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, unlike shapes, or a probability outside [0, 1].
    """
    from scipy.stats import rankdata

    churned = checked_labels(labels, two_classes=False)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    bin_of = ((rankdata(values) - 0.5) * GROUPS / churned.size).astype(np.int64)
    rows = pd.DataFrame({"predicted": values, "observed": churned, "rows": churned})
    means = rows.groupby(bin_of).agg({"predicted": "mean", "observed": "mean", "rows": "size"})
    return means.reset_index(drop=True)


def roc_curve_points(labels: LabelArray, probabilities: FloatArray) -> pd.DataFrame:
    """Corners of the ROC curve from (0, 0) to (1, 1), without those that change nothing.

    Labels and probabilities are of shape (n,), both classes present.

    Returns:
        Columns false_positive_rate, true_positive_rate; both rising. The area under them is the
        AUC.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, one class, unlike shapes, or a probability outside [0, 1].
    """
    from sklearn.metrics import roc_curve

    churned = checked_labels(labels)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    false_positive_rate, true_positive_rate, _ = roc_curve(churned, values)
    return pd.DataFrame(
        {
            "false_positive_rate": false_positive_rate,
            "true_positive_rate": true_positive_rate,
        }
    )


def lift_table(labels: LabelArray, probabilities: FloatArray) -> pd.DataFrame:
    """Churners by decile of falling probability; decile 1 holds the ceil(n / 10) most likely to
    leave.

    Equal probabilities keep the order of the rows. Fewer than ten rows give one decile a row.
    Labels and probabilities are of shape (n,), both classes present.

    Returns:
        Columns decile (from 1), lift (its churn rate over that of all rows) and
        cumulative_recall (share of all churners in this decile and those above it).

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, one class, unlike shapes, or a probability outside [0, 1].
    """
    churned = checked_labels(labels)
    values = checked_probabilities("probabilities", probabilities, churned.size)
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
