"""A model that was trained elsewhere: which types its file may name, how it scores, and which
months it cannot have seen.
"""

import datetime as dt

import numpy as np
import pandas as pd

from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.training.model import TRUSTED_TYPES, ChurnModel
from churn_platform.training.release import ModelCard

# What scikit-learn's estimators hold besides estimators, arrays and numbers. skops itself allows
# scikit-learn's public estimators. Each of these is data, or a function of scikit-learn that
# reads its arguments: none opens a file, runs a process or imports a name.
IMPORTED_TYPES = (
    *TRUSTED_TYPES,
    "builtins.object",  # make_column_selector(dtype_include=object)
    "churn_platform.training.imported_estimator.ImportedClassifier",
    "functools.partial",  # HistGradientBoostingClassifier; what it calls must be allowed, too
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.utils.validation.check_array",
)


class ImportedModel(ChurnModel):
    """A model of the business with its own preprocessing."""

    @property
    def categories(self) -> dict[str, frozenset[str]]:
        """Empty: which values it was trained on is unknown."""
        return {}

    def prepared(self, rows: pd.DataFrame) -> FloatArray:
        """What it reads of each row as numbers, shape (rows, columns)."""
        return np.asarray(self._classify.encoded(self.columns(rows)))

    def scored(self, rows: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """What it reads of each row as numbers, and the probabilities (rows,)."""
        return self.prepared(rows), self.probability(rows)

    def contributions(self, rows: pd.DataFrame) -> pd.DataFrame:
        """How far each feature moves each row's log-odds (rows, features)."""
        found = pd.DataFrame(
            self._classify.contributions(self.columns(rows)), columns=list(self._classify.reads)
        )
        return found.reindex(columns=[name for name, _ in self.features], fill_value=0.0)

    @property
    def _classify(self):  # type: ignore[no-untyped-def] # noqa: ANN202 - imported where it is loaded
        return self.pipeline.named_steps["classify"]


def unseen_from(contract: Contract, card: ModelCard) -> dt.date:
    """The first month whose rows an imported version cannot have been trained on, whoever they
    are of.

    It existed on the day of its import, and before `policy.promotion.incumbent_trained_before`
    if the contract says so.
    """
    imported = dt.date.fromisoformat(card.as_of) + dt.timedelta(days=1)
    said = contract.policy.promotion.incumbent_trained_before
    if said is None:
        return imported
    if card.trained_as_of is not None:
        # It has seen that month, and was trained when the month's labels were known.
        newest = dt.date.fromisoformat(card.trained_as_of)
        said = max(said, newest + dt.timedelta(days=1), contract.matures(newest))
    return min(first_unseen(contract, said), imported)


def first_unseen(contract: Contract, trained_before: dt.date) -> dt.date:
    """The first month of which nothing had happened when a model was trained before a day:
    neither its features nor a part of the time in which churn counts.
    """
    periods = {contract.label.period, *(one.period for one in contract.label.earlier)}
    if "before" in periods:
        return contract.step.after(trained_before)
    return trained_before
