"""The predictions that the API served: what they were worth on matured labels, and how far they
lie from the version's predictions on the customers it was trained on.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.drift.measure import predictions_measured
from churn_platform.drift.statistics import Floats
from churn_platform.evaluation.metrics import evaluate
from churn_platform.evaluation.weights import checked_weights
from churn_platform.monitoring.performance import (
    ContactsInLabels,
    MeasuredMetrics,
    ServedPerformance,
    contacts_in_labels,
    seen_in_training,
    why_not_measurable,
)
from churn_platform.training.candidate import Candidate


def review(
    contract: Contract,
    served: pd.DataFrame,
    labels: pd.Series,
    version: Candidate,
    as_of: str,
    reference: Floats,
    weights: pd.Series | None = None,
) -> ServedPerformance:
    """The served predictions of one version for one month.

    Args:
        contract: the contract.
        served: (customers, entity + probability + answers), the last prediction per customer.
        labels: booleans indexed by entity: the matured labels of the month.
        version: the version.
        as_of: the month of the features, ISO date.
        reference: the version's probabilities for the rows it was trained on, shape (rows,).
        weights: (customers,) indexed by entity, with every entity of `labels`: how many
            customers each represents, 0 where a contact may have changed the label. None: all
            alike.
    """
    key = contract.entity.column
    policy = contract.policy
    probability = served["probability"].to_numpy(float)
    moved = predictions_measured(policy.drift, reference, probability, seed=policy.training.seed)
    known = served[served[key].isin(labels.index)]
    known = known[~seen_in_training(known[key], version, as_of)]
    own = None
    if weights is not None:
        own = weights.reindex(known[key]).to_numpy(dtype=np.float64)
        kept = checked_weights(own, own.shape) > 0
        known = known[kept]
        own = own[kept]
    truth = labels.reindex(known[key]).to_numpy(dtype=bool)
    found = ServedPerformance(
        version=version.version,
        as_of=as_of,
        customers=len(served),
        answers=int(served["answers"].sum()),
        rows=len(known),
        distance=round(moved.value, 6),
        distance_threshold=round(moved.threshold, 6),
        moved=moved.reached,
        metrics=None,
    )
    if truth.all() or not truth.any():
        return found.model_copy(update={"note": _nothing_to_measure(len(served), truth)})
    why_not = why_not_measurable(as_of, truth, own, policy.promotion.min_holdout_churners)
    if why_not is not None:
        return found.model_copy(update={"note": why_not})
    metrics = evaluate(
        truth, known["probability"].to_numpy(float), version.model.threshold, weights=own
    )
    return found.model_copy(update={"metrics": MeasuredMetrics.of(metrics)})


def contacts_of_served(
    contract: Contract, served: pd.DataFrame, labels: MonthLabels, version: Candidate, as_of: str
) -> ContactsInLabels | None:
    """How contacts may have changed the labels of the customers asked about; None where the
    contract names no contacts. Arguments as `review`.
    """
    if labels.correction is None:
        return None
    key = contract.entity.column
    known = served[served[key].isin(labels.churned.index)]
    known = known[~seen_in_training(known[key], version, as_of)]
    own = labels.of_customers(known[key])
    if own.correction is None or not len(known):
        return ContactsInLabels()
    truth = own.churned.to_numpy(dtype=bool)
    return contacts_in_labels(truth, known["probability"].to_numpy(float), own.correction)


def not_reviewed(served: pd.DataFrame, version: int, as_of: str, why: str) -> ServedPerformance:
    """The served predictions of a version that can no longer be read, without figures."""
    return ServedPerformance(
        version=version, as_of=as_of, customers=len(served),
        answers=int(served["answers"].sum()), rows=0, distance=None, distance_threshold=None,
        moved=False, metrics=None, note=why,
    )  # fmt: skip


def _nothing_to_measure(customers: int, truth: NDArray[np.bool_]) -> str:
    if not len(truth):
        return (
            f"None of the {customers:,} customers asked about has a label that the version did"
            " not learn from."
        )
    return (
        f"The labels of the {len(truth):,} customers asked about contain one class only: nothing"
        " can be measured."
    )
