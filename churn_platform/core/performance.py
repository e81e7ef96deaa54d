"""Realised performance: what a version was worth on labels that have matured, and when it must stand down.

Belongs here: which rows count, the record, the stand-down rule. Does not: when it runs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.core.candidate import Candidate
from churn_platform.core.contract import Contract
from churn_platform.core.curves import calibration_bins
from churn_platform.core.evaluation import evaluate
from churn_platform.core.training_dataset import trained_on

CHANCE = 0.5


def realised(
    contract: Contract, rows: pd.DataFrame, labels: pd.Series, version: Candidate, as_of: str
) -> dict[str, Any]:
    """One version's performance on one month.

    A month it was trained on counts only with customers it was not trained on; a later month with all customers,
    as it is used.

    Args:
        contract: the contract.
        rows: (customers, entity + features) of the month.
        labels: (customers,) booleans indexed by entity.
        version: the version.
        as_of: the month, ISO date.

    Returns:
        version, as_of, rows, and either the metrics with calibration bins or the sentence why there are none.
    """
    key = contract.entity.column
    known = rows[rows[key].isin(labels.index)]
    record: dict[str, Any] = {"version": version.version, "as_of": as_of, "rows": 0, "metrics": None}
    if as_of <= str(version.passport["as_of"]):
        if not len(version.training_entities):
            return record | {
                "note": f"Version {version.version} does not say which customers of {as_of} it trained on."
            }
        known = known[~trained_on(known[key], version.training_entities)]
    truth = labels.reindex(known[key]).to_numpy(dtype=bool)
    record["rows"] = len(known)
    if truth.all() or not truth.any():
        only = "churners" if len(truth) and truth.all() else "churners missing"
        return record | {"note": f"The labels of {as_of} hold one class only ({only}): nothing can be measured."}
    probability = version.model.probability(known)
    metrics = evaluate(truth, probability, version.model.threshold)
    bins = calibration_bins(truth, probability).to_dict("records")
    return record | {"metrics": metrics.as_dict(), "calibration": [_plain(row) for row in bins]}


def stand_down_reason(records: Sequence[dict[str, Any]], version: int) -> str | None:
    """Why a version must stand down: its newest realised AUC is no better than chance; None when it need not."""
    own = [r for r in records if r["version"] == version and r["metrics"] is not None]
    if not own:
        return None
    newest = max(own, key=lambda record: str(record["as_of"]))
    low, high = newest["metrics"]["auc_interval"]
    if low > CHANCE:
        return None
    return (
        f"Version {version} is no better than chance on the matured labels of {newest['as_of']}: "
        f"AUC {newest['metrics']['auc']:.3f} [{low:.3f}, {high:.3f}]."
    )


def _plain(row: dict[Any, Any]) -> dict[str, float]:
    return {str(name): float(np.round(value, 6)) for name, value in row.items()}
