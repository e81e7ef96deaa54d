"""All metrics of one model on given rows, and the threshold of least cost."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.comparison import auc_interval
from churn_platform.evaluation.curves import lift_table
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    Interval,
    KeyArray,
    LabelArray,
    auc,
    checked_labels,
    checked_probabilities,
)
from churn_platform.evaluation.weights import effective_count, rows_with_weight, weighted_mean


@dataclass(frozen=True)
class Metrics:
    """One model on one set of rows.

    `pr_auc` is average precision; `log_loss` is in nats; `lift_at_10` and `recall_at_10` are of
    the ceil(n / 10) rows with the highest probability, equal ones in the order of the rows;
    `baseline_brier` is the Brier score of predicting the churn rate of these rows for everyone.

    With weights, `rows` counts those of weight above 0, `churners` is their effective number,
    rounded down, and the top tenth is a tenth of the weight.
    """

    rows: int
    churners: int
    auc: float
    auc_interval: Interval
    pr_auc: float
    f1: float
    accuracy: float
    brier: float
    baseline_brier: float
    log_loss: float
    lift_at_10: float
    recall_at_10: float

    def as_dict(self) -> dict[str, int | float | list[float]]:
        """Plain values for JSON, the interval as [low, high]."""
        return asdict(self) | {"auc_interval": self.auc_interval.as_list()}


def evaluate(
    labels: LabelArray,
    probabilities: FloatArray,
    threshold: float,
    entities: KeyArray | None = None,
    weights: FloatArray | None = None,
) -> Metrics:
    """Every metric of one model on these rows.

    Args:
        labels: shape (n,), 0 or 1, both classes present.
        probabilities: shape (n,), of churn.
        threshold: contact at or above it, in [0, 1]; moves f1 and accuracy only.
        entities: shape (n,), the key of each row where months are pooled; widens the interval
            of the AUC.
        weights: shape (n,), finite and >= 0; rows of weight 0 are left out. None: all alike.

    Raises:
        NotANumber: a label, a probability, a weight or the threshold is NaN.
        DataError: no rows, one class, unlike shapes, a probability or a threshold outside [0,
            1], or a weight that is negative or infinite.
    """
    from sklearn.metrics import average_precision_score, f1_score, log_loss

    if weights is not None:
        labels, probabilities, entities, weights = rows_with_weight(
            weights, labels, probabilities, entities
        )
    churned = checked_labels(labels)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    contacted = values >= checked_probabilities("thresholds", np.array([threshold]), 1)[0]
    top = lift_table(churned, values, weights).iloc[0]
    rate = weighted_mean(churned, weights)
    if weights is None:
        churners = int(churned.sum())
    else:
        churners = effective_count(weights[churned])
    return Metrics(
        rows=churned.size,
        churners=churners,
        auc=auc(churned, values, weights),
        auc_interval=auc_interval(churned, values, entities=entities, weights=weights),
        pr_auc=float(average_precision_score(churned, values, sample_weight=weights)),
        f1=float(f1_score(churned, contacted, zero_division=0.0, sample_weight=weights)),
        accuracy=weighted_mean(contacted == churned, weights),
        brier=weighted_mean((values - churned) ** 2, weights),
        baseline_brier=rate * (1 - rate),
        log_loss=float(log_loss(churned, values, labels=[False, True], sample_weight=weights)),
        lift_at_10=float(top["lift"]),
        recall_at_10=float(top["cumulative_recall"]),
    )


def cheapest_threshold(
    labels: LabelArray,
    probabilities: FloatArray,
    missed_churner: float | FloatArray,
    needless_contact: float | FloatArray,
    weights: FloatArray | None = None,
) -> float:
    """The threshold of least total cost on these rows; of equally cheap ones the largest.

    Args:
        labels: shape (n,), 0 or 1; one class is allowed.
        probabilities: shape (n,).
        missed_churner: cost of each churner below the threshold, >= 0, in any unit; one for
            all, or shape (n,).
        needless_contact: cost of each stayer at or above it, likewise, in the same unit.
        weights: shape (n,), finite and >= 0, by which the costs of a row count; rows of weight
            0 are left out. None: all alike.

    Returns:
        0, 1, or the middle between two neighbouring probabilities.

    Raises:
        NotANumber: a label, a probability, a cost or a weight is NaN.
        DataError: no rows, unlike shapes, a probability outside [0, 1], a negative or infinite
            cost or weight.
    """
    if weights is not None:
        labels, probabilities, missed_churner, needless_contact, weights = rows_with_weight(
            weights, labels, probabilities, missed_churner, needless_contact
        )
    churned = checked_labels(labels, two_classes=False)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    missing = _checked_costs("a missed churner", missed_churner, churned)
    contacting = _checked_costs("a needless contact", needless_contact, ~churned)
    if weights is not None:
        missing = missing * weights
        contacting = contacting * weights
    distinct = np.unique(values)
    middle = (distinct[:-1] + distinct[1:]) / 2
    # The middle of two neighbouring floats rounds to one of them, and the lower one would not
    # part them.
    inner = np.where(middle > distinct[:-1], middle, distinct[1:])
    thresholds = np.concatenate(([0.0], inner, [1.0]))
    order = np.argsort(values)
    left_alone = np.searchsorted(values[order], thresholds, side="left")
    missed = np.concatenate(([0.0], np.cumsum(missing[order])))[left_alone]
    saved = np.concatenate(([0.0], np.cumsum(contacting[order])))
    costs = missed + (saved[-1] - saved[left_alone])
    # Sums of figures such as 0.1 differ in the last bit where they are equal.
    return float(
        thresholds[costs <= costs.min() + 1e-12 * (missing.sum() + contacting.sum())].max()
    )


def _checked_costs(of: str, cost: float | FloatArray, incurred: BoolArray) -> FloatArray:
    """The cost of each row (n,) where it is incurred, else 0."""
    if np.ndim(cost) and np.shape(cost) != incurred.shape:
        raise DataError(
            f"there are {np.size(cost):,} costs of {of} for {incurred.size:,} rows: pass one per"
            " row"
        )
    costs = np.broadcast_to(np.asarray(cost, dtype=float), incurred.shape)
    if np.isnan(costs).any():
        raise NotANumber(f"the cost of {of} is NaN: set it in the contract")
    wrong = costs[~((costs >= 0) & (costs < math.inf))]
    if wrong.size:
        raise DataError(f"the cost of {of} is {wrong[0]:g}: costs are finite and not negative")
    return np.where(incurred, costs, 0.0)
