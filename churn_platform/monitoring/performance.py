"""Realised performance: what a version was worth on labels that have matured, and when it must
stand down.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_platform.contract.model import Contract
from churn_platform.evaluation.curves import calibration_bins
from churn_platform.evaluation.metrics import evaluate
from churn_platform.features.labels import turned_over
from churn_platform.features.training_dataset import trained_on
from churn_platform.training.candidate import Candidate

CHANCE = 0.5


def realised(
    contract: Contract, rows: pd.DataFrame, labels: pd.Series, version: Candidate, as_of: str
) -> dict[str, Any]:
    """One version's performance on one month.

    A month it was trained on counts only with customers it was not trained on; a later month
    with all customers, as it is used.

    Args:
        contract: the contract.
        rows: (customers, entity + features) of the month.
        labels: (customers,) booleans indexed by entity.
        version: the version.
        as_of: the month, ISO date.

    Returns:
        version, as_of, rows, and either the metrics with calibration bins or the sentence why
        there are none.
    """
    key = contract.entity.column
    known = rows[rows[key].isin(labels.index)]
    record: dict[str, Any] = {
        "version": version.version,
        "as_of": as_of,
        "rows": 0,
        "metrics": None,
    }
    if as_of <= version.card.as_of:
        if not len(version.training_entities):
            return record | {
                "note": (
                    f"Version {version.version} does not say which customers of {as_of} it"
                    " trained on."
                )
            }
        known = known[~seen_in_training(known[key], version, as_of)]
    truth = labels.reindex(known[key]).to_numpy(dtype=bool)
    record["rows"] = len(known)
    if truth.all() or not truth.any():
        if len(truth) and truth.all():
            only = "churners"
        else:
            only = "churners missing"
        return record | {
            "note": (
                f"The labels of {as_of} hold one class only ({only}): nothing can be measured."
            )
        }
    probability = version.model.probability(known)
    metrics = evaluate(truth, probability, version.model.threshold)
    bins = calibration_bins(truth, probability).to_dict("records")
    if turned_over(metrics.auc_interval.low, metrics.auc_interval.high):
        record["doubt"] = turned_over_sentence(version.version, as_of, metrics.as_dict())
    return record | {"metrics": metrics.as_dict(), "calibration": [_plain(row) for row in bins]}


def turned_over_sentence(version: int | None, as_of: str, metrics: Mapping[str, Any]) -> str:
    """What an interval that is entirely below 0.5 means for the labels, and what to do."""
    low, high = metrics["auc_interval"]
    return (
        f"Version {version} has AUC {metrics['auc']:.3f} [{low:.3f}, {high:.3f}] on the labels"
        f" of {as_of}, below 0.5. The labels look inverted. Check the label column, and deliver"
        f" {as_of} again if they are wrong."
    )


def seen_in_training(keys: pd.Series, version: Candidate, as_of: str) -> NDArray[np.bool_]:
    """Which of these customers a version may have learnt this month's labels from, shape
    (customers,).

    None of them in a month after its training; all of them where a version does not say whom it
    was trained on.
    """
    if as_of > version.card.as_of:
        return np.zeros(len(keys), dtype=bool)
    if not len(version.training_entities):
        return np.ones(len(keys), dtype=bool)
    return trained_on(keys, version.training_entities)


def measured(records: Sequence[dict[str, Any]], version: int) -> bool:
    """Whether a version's realised performance is known at all."""
    return any(record["version"] == version and record["metrics"] is not None for record in records)


def stand_down_reason(
    records: Sequence[dict[str, Any]], version: int, churners: int = 0
) -> str | None:
    """Why a version must stand down: its newest realised AUC is no better than chance; None
    when it need not.

    A month whose interval is entirely below 0.5 is left out: its labels are probably inverted.

    Args:
        records: performance records in any order; of one month the last counts.
        version: the version.
        churners: a newest month with fewer says little, so older ones are pooled with it until
            there are so many: the mean of their AUCs, weighted by churners, with the months
            taken as independent.
    """
    own = {
        str(r["as_of"]): r["metrics"]
        for r in records
        if r["version"] == version and r["metrics"] is not None
    }
    own = {
        as_of: metrics
        for as_of, metrics in own.items()
        if not turned_over(*metrics["auc_interval"])
    }
    if not own:
        return None
    pooled: list[str] = []
    for as_of in sorted(own, reverse=True):
        pooled.append(as_of)
        if sum(own[month].get("churners", churners) for month in pooled) >= churners:
            break
    auc, low, high = _pooled([own[month] for month in pooled])
    if low > CHANCE:
        return None
    repeated = sorted(
        {
            str(r["warning"])
            for r in records
            if r["version"] == version and r.get("warning") and str(r["as_of"]) in pooled
        }
    )
    if len(pooled) == 1:
        months = pooled[0]
    else:
        months = f"{pooled[-1]} to {pooled[0]}"
    return (
        f"Version {version} is no better than chance on the matured labels of {months}: "
        f"AUC {auc:.3f} [{low:.3f}, {high:.3f}]." + "".join(f" {sentence}" for sentence in repeated)
    )


def _pooled(metrics: Sequence[dict[str, Any]]) -> tuple[float, float, float]:
    """AUC and interval of several months; of a single one its own."""
    if len(metrics) == 1:
        low, high = metrics[0]["auc_interval"]
        return metrics[0]["auc"], low, high
    weights = np.array([found["churners"] for found in metrics], dtype=float)
    weights /= weights.sum()
    auc = float(weights @ np.array([found["auc"] for found in metrics]))
    halves = np.array(
        [(found["auc_interval"][1] - found["auc_interval"][0]) / 2 for found in metrics]
    )
    half = float(np.sqrt((weights**2) @ (halves**2)))
    return auc, auc - half, auc + half


def _plain(row: dict[Any, Any]) -> dict[str, float]:
    return {str(name): float(np.round(value, 6)) for name, value in row.items()}
