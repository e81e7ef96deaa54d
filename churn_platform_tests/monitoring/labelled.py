"""Labels of a month as the monitors take them, from plain series."""

import numpy as np
import pandas as pd

from churn_platform.contacts.correction import Correction
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.monitoring import performance
from churn_platform.monitoring.performance import VersionPerformance
from churn_platform.training.candidate import Candidate


def month_labels(labels: pd.Series, weights: pd.Series | None = None) -> MonthLabels:
    """Labels by customer, with how many customers each stands for."""
    if weights is None:
        return MonthLabels(labels)
    own = weights.reindex(labels.index).to_numpy(dtype=float)
    nobody = np.zeros(len(labels), dtype=bool)
    return MonthLabels(labels, Correction(own, own == 0, nobody, nobody))


def realised(
    contract: Contract,
    rows: pd.DataFrame,
    labels: pd.Series,
    version: Candidate,
    as_of: str,
    weights: pd.Series | None = None,
) -> VersionPerformance:
    """As the product's, of plain series."""
    return performance.realised(contract, rows, month_labels(labels, weights), version, as_of)
