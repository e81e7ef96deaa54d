"""What was answered through the API, judged: what it was worth on matured labels, and how far
it lies from what the version said of the customers it was trained on.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_platform.contract.model import Contract
from churn_platform.drift.measure import predictions_measured
from churn_platform.drift.statistics import Floats
from churn_platform.evaluation.metrics import evaluate
from churn_platform.monitoring.performance import seen_in_training
from churn_platform.training.candidate import Candidate


def review(
    contract: Contract,
    answers: pd.DataFrame,
    labels: pd.Series,
    version: Candidate,
    as_of: str,
    reference: Floats,
) -> dict[str, Any]:
    """The answers of one version about one month.

    Args:
        contract: the contract.
        answers: (customers, entity + probability + answers), one row per customer: the last
            answer.
        labels: booleans indexed by entity: the matured labels of the month.
        version: the version.
        as_of: the month whose features were answered on, ISO date.
        reference: the version's probabilities for the rows it was trained on, shape (rows,).

    Returns:
        version, as_of, customers, answers; rows (those with a label that the version did not
        learn from), metrics or the note why there are none; distance (Wasserstein, in standard
        deviations of the reference) and what it must reach to be more than chance.
    """
    key = contract.entity.column
    given = answers["probability"].to_numpy(float)
    moved = predictions_measured(
        contract.policy.drift, reference, given, seed=contract.policy.training.seed
    )
    record = _counted(answers, version.version, as_of) | {
        "distance": round(moved.value, 6),
        "distance_threshold": round(moved.threshold, 6),
        "moved": moved.value >= moved.threshold,
    }
    known = answers[answers[key].isin(labels.index)]
    known = known[~seen_in_training(known[key], version, as_of)]
    truth = labels.reindex(known[key]).to_numpy(dtype=bool)
    record["rows"] = len(known)
    if truth.all() or not truth.any():
        return record | {"note": _nothing_to_measure(len(answers), truth)}
    metrics = evaluate(truth, known["probability"].to_numpy(float), version.model.threshold)
    return record | {"metrics": metrics.as_dict()}


def unjudged(answers: pd.DataFrame, version: int, as_of: str, why: str) -> dict[str, Any]:
    """The answers of a version that cannot be read any more: `review` without figures, the note
    explains why.
    """
    return _counted(answers, version, as_of) | {"note": why}


def _counted(answers: pd.DataFrame, version: int | None, as_of: str) -> dict[str, Any]:
    counted = {"customers": len(answers), "answers": int(answers["answers"].sum()), "rows": 0}
    none = {"distance": None, "distance_threshold": None, "moved": False, "metrics": None}
    return {"version": version, "as_of": as_of, **counted, **none}


def _nothing_to_measure(customers: int, truth: NDArray[np.bool_]) -> str:
    if not len(truth):
        return (
            f"None of the {customers:,} customers asked about has a label that the version did"
            " not learn from."
        )
    return (
        f"The labels of the {len(truth):,} customers asked about hold one class only: nothing"
        " can be measured."
    )
