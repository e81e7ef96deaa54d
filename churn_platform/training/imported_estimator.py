"""An estimator that was trained elsewhere, behind the columns of the contract."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from threadpoolctl import threadpool_limits

from churn_platform.evaluation.statistics import FloatArray
from churn_platform.training.estimator import NONE, log_odds
from churn_platform.training.reasons import ReasonsBy, shapley_values


class ImportedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier of the business, with what it reads and which class is churn.

    Its own preprocessing is inside it, and its probabilities are passed on as they come.

    Args:
        estimator: the fitted classifier, or a native LightGBM booster.
        reads: the features that it reads, in its order.
        categories: those that it reads as text; a missing one is NaN.
        positive: the position of churn among its classes.
        typical: each feature's typical value, which stands for "not known" in reasons.
        values: the values of each category that were there at the import.
        threshold: the probability from which a customer is predicted to churn.
    """

    def __init__(
        self,
        estimator: Any,  # noqa: ANN401 - whichever classifier the business has
        reads: Sequence[str] = (),
        categories: Sequence[str] = (),
        positive: int = 1,
        typical: Mapping[str, Any] | None = None,
        values: Mapping[str, Sequence[str]] | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.estimator = estimator
        self.reads = reads
        self.categories = categories
        self.positive = positive
        self.typical = typical
        self.values = values
        self.threshold = threshold
        self.classes_ = np.array([0, 1])

    def fit(self, X: pd.DataFrame, y: FloatArray) -> Self:  # noqa: ARG002, N803 - scikit-learn's names
        """Refuse: it was trained elsewhere."""
        raise TypeError("An imported model is not fitted again.")

    def predict_proba(self, X: pd.DataFrame) -> FloatArray:  # noqa: N803
        """Probabilities (rows, 2) of staying and of churning."""
        with threadpool_limits(1):
            churn = self._probability(self._own(X))
        return np.column_stack([1 - churn, churn])

    def predict(self, X: pd.DataFrame) -> FloatArray:  # noqa: N803
        """1 where the probability reaches the threshold."""
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(int)

    def contributions(self, X: pd.DataFrame) -> FloatArray:  # noqa: N803
        """How far each feature of `reads` moves the log-odds of each row (rows, features):
        Shapley values by sampling, against its typical value.
        """
        own = self._own(X)
        typical = self.typical or {}
        # Rows are numbers of rows, and -1 is the last value: the typical one. So texts take part.
        values = {
            name: np.append(own[name].to_numpy(), typical.get(name, np.nan)) for name in self.reads
        }
        rows = np.repeat(np.arange(len(own), dtype=float)[:, None], len(self.reads), axis=1)

        def scores(places: FloatArray) -> FloatArray:
            chosen = places.astype(int)
            columns = {name: values[name][chosen[:, j]] for j, name in enumerate(self.reads)}
            return log_odds(self._probability(pd.DataFrame(columns)))

        alone = np.arange(len(self.reads))
        with threadpool_limits(1):
            return shapley_values(scores, rows, np.full(len(self.reads), -1.0), alone)

    @property
    def reasons_by(self) -> ReasonsBy:
        """How `contributions` measures."""
        return "Shapley sampling"

    def encoded(self, X: pd.DataFrame) -> FloatArray:  # noqa: N803
        """What it reads as numbers (rows, columns): a column for each known value of a category."""
        own = self._own(X)
        columns = []
        for name in self.reads:
            if name in self.categories:
                values = (self.values or {}).get(name, ())
                columns += [(own[name] == value).to_numpy(dtype=float) for value in values]
            else:
                columns.append(own[name].to_numpy(dtype=float))
        return np.column_stack(columns)

    def _own(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        """The rows as the estimator was trained to read them."""
        own = X[list(self.reads)]
        missing = {name: own[name].where(own[name] != NONE, np.nan) for name in self.categories}
        return own.assign(**missing)

    def _probability(self, own: pd.DataFrame) -> FloatArray:
        rows = own if hasattr(self.estimator, "feature_names_in_") else own.to_numpy()
        if not hasattr(self.estimator, "predict_proba"):  # a booster of LightGBM
            return np.asarray(self.estimator.predict(rows), dtype=float)
        return np.asarray(self.estimator.predict_proba(rows), dtype=float)[:, self.positive]

    def __sklearn_is_fitted__(self) -> bool:
        return True
