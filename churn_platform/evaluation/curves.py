"""Tables behind the plots of one model: calibration, ROC curve and lift by group."""

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.evaluation.statistics import (
    FloatArray,
    LabelArray,
    checked_labels,
    checked_probabilities,
)


def calibration_bins(labels: LabelArray, probabilities: FloatArray, bins: int = 10) -> pd.DataFrame:
    """Mean predicted probability, observed churn rate and number of rows, in bins of about
    equal size.

    Equal probabilities share a bin, so the order of the rows does not matter. Bins that are
    empty for this reason are left out.

    Args:
        labels: shape (n,), 0 or 1; one class is allowed.
        probabilities: shape (n,).
        bins: the most rows of the table, >= 1.

    Returns:
        Columns predicted, observed, rows; by rising predicted.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, unlike shapes, a probability outside [0, 1], or no bins.
    """
    from scipy.stats import rankdata

    churned = checked_labels(labels, two_classes=False)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    _at_least_one(bins, "bins")
    bin_of = ((rankdata(values) - 0.5) * bins / churned.size).astype(np.int64)
    rows = pd.DataFrame({"predicted": values, "observed": churned, "rows": churned})
    means = rows.groupby(bin_of).agg({"predicted": "mean", "observed": "mean", "rows": "size"})
    return means.reset_index(drop=True)


def expected_calibration_error(
    labels: LabelArray, probabilities: FloatArray, bins: int = 10
) -> float:
    """Mean over rows of |predicted - observed| in the row's bin (Naeini and others 2015).

    Noise alone keeps it above 0: about 0.8 sqrt(rate (1 - rate) bins / n) for a perfect model.
    Arguments as `calibration_bins`.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, unlike shapes, a probability outside [0, 1], or no bins.
    """
    table = calibration_bins(labels, probabilities, bins)
    return float(np.average((table["predicted"] - table["observed"]).abs(), weights=table["rows"]))


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


def lift_table(labels: LabelArray, probabilities: FloatArray, groups: int = 10) -> pd.DataFrame:
    """Churners by group of falling probability; group 1 holds the ceil(n / groups) most likely
    to leave.

    Equal probabilities keep the order of the rows. Fewer rows than groups give one group a row.
    Labels and probabilities are of shape (n,), both classes present; ten groups make deciles.

    Returns:
        Columns decile (from 1), rows, churners, rate, lift (rate over the rate of all rows) and
        cumulative_recall (share of all churners in this group and those above it).

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, one class, unlike shapes, a probability outside [0, 1], or no
            groups.
    """
    churned = checked_labels(labels)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    _at_least_one(groups, "groups")
    count = min(groups, churned.size)
    rows = churned.size // count + (np.arange(count) < churned.size % count)
    ordered = churned[np.argsort(-values, kind="stable")]
    churners = np.bincount(np.repeat(np.arange(count), rows), weights=ordered, minlength=count)
    rate = churners / rows
    return pd.DataFrame(
        {
            "decile": np.arange(1, count + 1),
            "rows": rows,
            "churners": churners.astype(np.int64),
            "rate": rate,
            "lift": rate / churned.mean(),
            "cumulative_recall": churners.cumsum() / churned.sum(),
        }
    )


def _at_least_one(count: int, of: str) -> None:
    if count < 1:
        raise DataError(f"{count} {of} were asked for: ask for at least one")
