"""Tables behind the plots of one model: calibration, ROC curve and lift by group."""

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.evaluation.statistics import (
    FloatArray,
    LabelArray,
    checked_labels,
    checked_probabilities,
    midranks,
)


def calibration_bins(labels: LabelArray, probabilities: FloatArray, bins: int = 10) -> pd.DataFrame:
    """Mean predicted probability, observed churn rate and number of rows by bins of about equal
    count.

    Equal probabilities share a bin, so the order of the rows does not matter; bins that this
    leaves empty are not listed.

    Args:
        labels: shape (n,), 0 or 1; one class is allowed.
        probabilities: shape (n,).
        bins: at most so many rows in the table, >= 1.

    Returns:
        Columns predicted, observed, rows; by rising predicted.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, unlike shapes, a probability outside [0, 1], or no bins.
    """
    churned = checked_labels(labels, two_classes=False)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    _at_least_one(bins, "bins")
    bin_of = ((midranks(values) - 0.5) * bins / churned.size).astype(np.int64)
    rows = np.bincount(bin_of, minlength=bins)
    used = rows > 0
    sums = (np.bincount(bin_of, weights=of, minlength=bins) for of in (values, churned))
    predicted, observed = (of[used] / rows[used] for of in sums)
    return pd.DataFrame({"predicted": predicted, "observed": observed, "rows": rows[used]})


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
    """Corners of the ROC curve from (0, 0) to (1, 1); points on a straight line between others
    are left out.

    Labels and probabilities are of shape (n,), both classes present.

    Returns:
        Columns false_positive_rate, true_positive_rate; both rising. The area under them is the
        AUC.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, one class, unlike shapes, or a probability outside [0, 1].
    """
    churned = checked_labels(labels)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    order = np.argsort(-values)
    ends = np.append(np.flatnonzero(np.diff(values[order])), churned.size - 1)
    contacted = np.concatenate(([0], ends + 1))
    hits = np.concatenate(([0], np.cumsum(churned[order])[ends]))
    needless = contacted - hits
    # A million rows have 300,000 corners even so: thin them out before a browser draws them.
    bends = np.diff(hits)[1:] * np.diff(needless)[:-1] != np.diff(hits)[:-1] * np.diff(needless)[1:]
    kept = np.concatenate(([True], bends, [True]))
    return pd.DataFrame(
        {
            "false_positive_rate": needless[kept] / needless[-1],
            "true_positive_rate": hits[kept] / hits[-1],
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
