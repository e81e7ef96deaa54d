"""Performance on matured labels: its records, how it is measured, and when a model must stand
down.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from churn_platform.base.stored import Stored
from churn_platform.base.text import counted
from churn_platform.contacts.correction import Correction
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.evaluation.bounds import auc_bounds
from churn_platform.evaluation.curves import calibration_bins
from churn_platform.evaluation.metrics import Metrics, evaluate
from churn_platform.evaluation.statistics import BoolArray, FloatArray, auc
from churn_platform.evaluation.weights import effective_count, rows_with_weight
from churn_platform.features.labels import turned_over
from churn_platform.features.training_dataset import trained_on
from churn_platform.monitoring.challengers import ChallengerEvaluation
from churn_platform.monitoring.estimated_month import EstimatedMonth, FallExplained
from churn_platform.training.candidate import Candidate

CHANCE = 0.5
VersionState = Literal["production", "retired", "refused"]


class MeasuredMetrics(Stored):
    """The metrics of one version on one month. Early versions recorded fewer of them."""

    rows: int | None = None
    churners: int | None = None
    auc: float
    auc_interval: tuple[float, float]
    pr_auc: float | None = None
    f1: float | None = None
    accuracy: float | None = None
    brier: float | None = None
    baseline_brier: float | None = None
    log_loss: float | None = None
    lift_at_10: float | None = None
    recall_at_10: float | None = None

    @classmethod
    def of(cls, metrics: Metrics) -> "MeasuredMetrics":
        """As recorded."""
        return cls.model_validate(metrics.as_dict())

    @property
    def inverted(self) -> bool:
        """Whether the AUC is so far below 0.5 that the labels look inverted."""
        return turned_over(*self.auc_interval)


class ContactsInLabels(Stored):
    """How contacts may have changed the labels of a month, for the customers of a measurement."""

    assigned: int = 0
    """Customers who were assigned to be contacted; they are not measured."""
    untouched: int = 0
    """Customers who stand for them."""
    outside: int = 0
    """Customers who were contacted without a plan that knew them."""
    naive_auc: float | None = None
    """AUC on all labels as they arrived."""
    bounds: tuple[float, float] | None = None
    """Smallest and largest AUC that any labels of the `outside` customers would give."""


class VersionPerformance(Stored):
    """The realised performance of one version on one month."""

    version: int | None
    as_of: str
    rows: int = 0
    """How many customers it was measured on."""
    metrics: MeasuredMetrics | None
    """By labels that are corrected for contacts, if the contract names them."""
    contacts: ContactsInLabels | None = None
    """Only if the contract names contacts."""
    doubt: str | None = None
    """Why the labels of the month look inverted."""
    calibration: tuple[dict[str, float], ...] | None = None
    note: str | None = None
    """Why there are no metrics."""
    state: VersionState | None = None
    warning: str | None = None
    """Why the data of the month is in doubt."""
    fall: FallExplained | None = None
    """Only of production, if its performance fell since it was promoted."""

    @property
    def judged(self) -> MeasuredMetrics | None:
        """The metrics that may stand a version down or ask for a retraining: as good as they can
        be if the labels of customers contacted outside a plan were known.
        """
        if self.metrics is None or self.contacts is None or self.contacts.bounds is None:
            return self.metrics
        better = max(self.contacts.bounds[1] - self.metrics.auc, 0.0)
        low, high = self.metrics.auc_interval
        update = {
            "auc": self.metrics.auc + better,
            "auc_interval": (low + better, min(high + better, 1.0)),
        }
        return self.metrics.model_copy(update=update)


class ServedPerformance(Stored):
    """The predictions that the API served for one month by one version."""

    version: int | None
    as_of: str
    customers: int
    answers: int
    rows: int
    """How many of the customers have a label that the version did not learn from."""
    distance: float | None
    """Wasserstein distance from the predictions on the training rows, in standard deviations."""
    distance_threshold: float | None
    moved: bool
    """Whether the distance is more than chance."""
    metrics: MeasuredMetrics | None
    contacts: ContactsInLabels | None = None
    """Only if the contract names contacts; `metrics` are corrected for them."""
    note: str | None = None
    """Why there are no metrics."""


class PerformanceRecord(Stored):
    """What one run measured: the record of the step `performance`."""

    snapshot: str = ""
    inputs: str = ""
    evaluated: tuple[VersionPerformance, ...] = ()
    challengers: ChallengerEvaluation = Field(ChallengerEvaluation(), alias="verdict")
    served: tuple[ServedPerformance, ...] = Field((), alias="answered")
    estimated: EstimatedMonth | None = None
    """Of production on the run's own month, if its labels had not arrived. Only shown: nothing
    is decided by it.
    """


def realised(
    contract: Contract,
    rows: pd.DataFrame,
    labels: MonthLabels,
    version: Candidate,
    as_of: str,
) -> VersionPerformance:
    """One version's performance on one month.

    A month it was trained on counts only with customers it was not trained on; a later month
    with all customers, as it is used.

    Args:
        contract: the contract.
        rows: (customers, entity + features) of the month.
        labels: of the customers who have one.
        version: the version.
        as_of: the month, ISO date.
    """
    key = contract.entity.column
    known = rows[rows[key].isin(labels.churned.index)]
    if as_of <= version.card.as_of:
        if not len(version.training_entities):
            note = (
                f"Version {version.version} does not record which customers of {as_of} it was"
                " trained on."
            )
            return VersionPerformance(
                version=version.version, as_of=as_of, rows=0, metrics=None, note=note
            )
        known = known[~seen_in_training(known[key], version, as_of)]
    own = labels.of_customers(known[key])
    truth = own.churned.to_numpy(dtype=bool)
    probability = version.model.probability(known) if len(known) else np.array([])
    if own.correction is None:
        return measured(version, as_of, truth, probability)
    fewest = contract.policy.promotion.min_holdout_churners
    found = measured(version, as_of, truth, probability, own.correction.weights, fewest)
    if not own.correction.measurable:
        found = found.model_copy(update={"metrics": None, "note": nobody_untouched(as_of)})
    contacts = contacts_in_labels(truth, probability, own.correction)
    return found.model_copy(update={"contacts": contacts})


def nobody_untouched(as_of: str) -> str:
    """Why a month cannot be measured whose plan left nobody untouched."""
    return (
        f"Not measurable: the plans whose contacts may have changed the labels of {as_of} left"
        " nobody untouched (policy.contacts.untouched_share)."
    )


def contacts_in_labels(
    truth: BoolArray, probability: FloatArray, correction: Correction
) -> ContactsInLabels:
    """How contacts may have changed labels, and how much that can matter.

    Args:
        truth: (customers,) who churned.
        probability: (customers,) of churn, by the version.
        correction: of the same customers.
    """
    weights = correction.weights
    found: dict[str, object] = {
        "assigned": int(correction.assigned.sum()),
        "untouched": int(correction.untouched.sum()),
        "outside": int(correction.outside.sum()),
    }
    if len(truth) and not truth.all() and truth.any():
        found["naive_auc"] = auc(truth, probability)
    kept = truth[weights > 0]
    if correction.outside.any() and len(kept) and not kept.all() and kept.any():
        bounds = auc_bounds(truth, probability, correction.outside, weights)
        found["bounds"] = (bounds.low, bounds.high)
    return ContactsInLabels.model_validate(found)


def measured(
    version: Candidate,
    as_of: str,
    truth: BoolArray,
    probability: FloatArray,
    weights: FloatArray | None = None,
    fewest: int = 0,
) -> VersionPerformance:
    """One version's performance on customers that it was not trained on.

    With weights and too few effective churners or others there are no metrics: those of the
    labels as they arrived would mistake contacts for errors of the model.

    Args:
        version: the version.
        as_of: the month, ISO date.
        truth: (customers,) who churned.
        probability: (customers,) of churn, by the version.
        weights: (customers,) how many customers each represents, 0 where a contact may have
            changed the label. None: all alike.
        fewest: effective churners and others that are needed where there are weights.
    """
    if weights is not None:
        truth, probability, weights = rows_with_weight(weights, truth, probability)
    entry = VersionPerformance(version=version.version, as_of=as_of, rows=len(truth), metrics=None)
    if truth.all() or not truth.any():
        only = "churners" if len(truth) and truth.all() else "churners missing"
        note = f"The labels of {as_of} contain one class only ({only}): nothing can be measured."
        return entry.model_copy(update={"note": note})
    why_not = why_not_measurable(as_of, truth, weights, fewest)
    if why_not is not None:
        return entry.model_copy(update={"note": why_not})
    found_metrics = evaluate(truth, probability, version.model.threshold, weights=weights)
    metrics = MeasuredMetrics.of(found_metrics)
    bins = calibration_bins(truth, probability, weights).astype(float).round(6)
    found: dict[str, object] = {
        "metrics": metrics,
        "calibration": tuple(bins.to_dict("records")),
    }
    if metrics.inverted:
        found["doubt"] = inverted_sentence(version.version, as_of, metrics)
    return entry.model_copy(update=found)


def why_not_measurable(
    as_of: str, truth: BoolArray, weights: FloatArray | None, fewest: int
) -> str | None:
    """Why weighted rows of a month measure nothing, and what helps; None where they do.

    Args:
        as_of: the month, ISO date.
        truth: (customers,) who churned.
        weights: (customers,) all > 0; None: all alike, which is always measurable.
        fewest: effective churners and others that are needed.
    """
    if weights is None:
        return None
    churners = effective_count(weights[truth])
    others = effective_count(weights[~truth])
    if min(churners, others) >= fewest:
        return None
    return (
        f"Not measurable: without the customers assigned to contact, {as_of} has"
        f" {counted(churners, 'effective churner')} and {counted(others, 'effective other')};"
        f" {fewest} of each are needed. Leave more customers untouched"
        " (policy.contacts.untouched_share)."
    )


def inverted_sentence(version: int | None, as_of: str, metrics: MeasuredMetrics) -> str:
    """What an interval that is entirely below 0.5 means for the labels, and what to do."""
    low, high = metrics.auc_interval
    return (
        f"Version {version} has AUC {metrics.auc:.3f} [{low:.3f}, {high:.3f}] on the labels"
        f" of {as_of}, below 0.5. The labels look inverted. Check the label column, and deliver"
        f" {as_of} again if they are wrong."
    )


def fell_below(
    auc: float,
    interval: tuple[float, float],
    promoted: tuple[float, float],
    *,
    corrected: bool,
) -> bool:
    """Whether an AUC fell since promotion: it is below the interval at promotion, and its own
    interval below the AUC then.

    Args:
        auc: of a later month.
        interval: its own.
        promoted: of the AUC at promotion.
        corrected: whether labels are corrected for contacts. Its own interval must then lie
            below the interval at promotion: such a figure is of fewer customers, and a quiet
            business would alarm more often because of its contacts.
    """
    low, high = promoted
    if corrected:
        return interval[1] < low
    return auc < low and interval[1] < (low + high) / 2


def seen_in_training(keys: pd.Series, version: Candidate, as_of: str) -> NDArray[np.bool_]:
    """Which of these customers a version may have learnt this month's labels from, shape
    (customers,).

    None of them in a month after its training; every one where a version does not record whom
    it was trained on.
    """
    if as_of > version.card.as_of:
        return np.zeros(len(keys), dtype=bool)
    if not len(version.training_entities):
        return np.ones(len(keys), dtype=bool)
    return trained_on(keys, version.training_entities)


def stand_down_reason(
    history: Sequence[VersionPerformance], version: int, churners: int = 0
) -> str | None:
    """Why a version must stand down: its newest realised AUC is no better than chance; None
    when it need not.

    A month whose interval is far below 0.5 is left out: its labels are probably inverted.

    Args:
        history: measurements in any order; of one month the last counts.
        version: the version.
        churners: a newest month with fewer is too small, so older ones are pooled with it
            until there are as many: the mean of their AUCs, weighted by churners, with the months
            taken as independent.
    """
    own = [entry for entry in history if entry.version == version and entry.metrics is not None]
    by_month = {entry.as_of: judged for entry in own if (judged := entry.judged) is not None}
    by_month = {month: metrics for month, metrics in by_month.items() if not metrics.inverted}
    if not by_month:
        return None
    pooled: list[str] = []
    count = 0
    for as_of in sorted(by_month, reverse=True):
        pooled.append(as_of)
        known = by_month[as_of].churners
        count += churners if known is None else known
        if count >= churners:
            break
    auc, low, high = _pooled([by_month[month] for month in pooled])
    if low > CHANCE:
        return None
    months = pooled[0] if len(pooled) == 1 else f"{pooled[-1]} to {pooled[0]}"
    warnings = sorted({entry.warning for entry in own if entry.warning and entry.as_of in pooled})
    sentence = (
        f"Version {version} is no better than chance on the matured labels of {months}:"
        f" AUC {auc:.3f} [{low:.3f}, {high:.3f}]."
    )
    return " ".join([sentence, *warnings])


def _pooled(metrics: Sequence[MeasuredMetrics]) -> tuple[float, float, float]:
    """AUC and interval of several months; of a single one its own."""
    if len(metrics) == 1:
        return metrics[0].auc, *metrics[0].auc_interval
    weights = np.array([found.churners for found in metrics], dtype=float)
    weights /= weights.sum()
    auc = float(weights @ np.array([found.auc for found in metrics]))
    intervals = np.array([found.auc_interval for found in metrics])
    halves = (intervals[:, 1] - intervals[:, 0]) / 2
    half = float(np.sqrt((weights**2) @ (halves**2)))
    return auc, auc - half, auc + half
