"""The estimator: a scikit-learn pipeline with all preprocessing and a sigmoid calibration."""

from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from churn_platform.base.errors import DataError
from churn_platform.contract.model import Dtype
from churn_platform.contract.policy import Algorithm
from churn_platform.evaluation.statistics import FloatArray

FOLDS = 5
NONE = "(none)"
MARGIN = 1e-6


class SigmoidCalibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier fitted on all rows, calibrated by a sigmoid of its out-of-fold log-odds.

    Platt (1999), "Probabilistic outputs for support vector machines", with 5 entity-disjoint
    folds. scikit-learn's CalibratedClassifierCV(ensemble=False) does the same, but keeps neither
    the out-of-fold scores, which the threshold needs, nor folds by entity. `predict` uses
    `threshold`.
    """

    def __init__(self, estimator: BaseEstimator, seed: int = 0, threshold: float = 0.5) -> None:
        self.estimator = estimator
        self.seed = seed
        self.threshold = threshold

    def fit(self, X: FloatArray, y: FloatArray, groups: FloatArray | None = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Fit on X (rows, columns) and y (rows,) of 0/1; rows of one group stay in one fold."""
        labels = np.asarray(y, dtype=int)
        scores = np.empty(len(labels))
        with _one_thread():
            for fit_rows, score_rows in self._folds(labels, groups):
                _check_two_classes(labels[fit_rows])
                fold = self._fitted(X[fit_rows], labels[fit_rows])
                scores[score_rows] = log_odds(fold.predict_proba(X[score_rows])[:, 1])
            sigmoid = LogisticRegression(C=1e6).fit(scores[:, None], labels)
            self.estimator_ = self._fitted(X, labels)
        self.slope_ = float(sigmoid.coef_[0, 0])
        self.intercept_ = float(sigmoid.intercept_[0])
        self.out_of_fold_ = self._probability(scores)
        filled = np.nan_to_num(X)
        known = np.maximum((~np.isnan(X)).sum(axis=0), 1)
        self.background_ = filled.sum(axis=0) / known
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X: FloatArray) -> FloatArray:  # noqa: N803
        """Calibrated probabilities (rows, 2) of staying and of churning."""
        with _one_thread():
            churn = self._probability(self._log_odds(X))
        return np.column_stack([1 - churn, churn])

    def predict(self, X: FloatArray) -> FloatArray:  # noqa: N803
        """1 where the probability reaches the threshold."""
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(int)

    def contributions(self, X: FloatArray) -> FloatArray:  # noqa: N803
        """How far each column moves the log-odds of each row (rows, columns).

        Exact SHAP values for LightGBM (its own `pred_contrib`); for the others the change in
        log-odds when the column is set to its mean over the training rows, exact for a linear
        model.
        """
        booster = getattr(self.estimator_, "booster_", None)
        if booster is not None:
            values = booster.predict(X, pred_contrib=True)[:, :-1]
        else:
            with _one_thread():  # once: it looks at every loaded library, which takes 7 ms
                base = self._log_odds(X)
                values = np.column_stack(
                    [base - self._without(X, column) for column in range(X.shape[1])]
                )
        return np.asarray(values * self.slope_)

    def _fitted(self, X: FloatArray, labels: FloatArray) -> Any:  # noqa: ANN401, N803 - whichever classifier was given
        # HistGradientBoosting cannot bin an empty column; it never splits on a constant.
        empty = np.isnan(X).all(axis=0)
        return clone(self.estimator).fit(np.where(empty, 0.0, X) if empty.any() else X, labels)

    def _without(self, X: FloatArray, column: int) -> FloatArray:  # noqa: N803
        changed = X.copy()
        changed[:, column] = self.background_[column]
        return self._log_odds(changed)

    def _log_odds(self, X: FloatArray) -> FloatArray:  # noqa: N803
        return log_odds(self.estimator_.predict_proba(X)[:, 1])

    def _probability(self, scores: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + np.exp(-(self.slope_ * scores + self.intercept_))))

    def _folds(self, labels: FloatArray, groups: FloatArray | None) -> Any:  # noqa: ANN401 - a generator of index pairs
        folds = min(FOLDS, int(labels.sum()), int((1 - labels).sum()))
        if groups is None or len(np.unique(groups)) == len(groups):
            return StratifiedKFold(folds, shuffle=True, random_state=self.seed).split(
                labels, labels
            )
        return StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed).split(
            labels, labels, groups
        )


def _check_two_classes(labels: FloatArray) -> None:
    churners = int(labels.sum())
    stayers = len(labels) - churners
    if not churners or not stayers:
        raise DataError(
            f"A fold of the training rows has {churners} churners and {stayers} others, so the"
            " model cannot be calibrated: a few customers have most rows of one class. Pool more"
            " months.",
            code="TOO_FEW_ROWS",
        )


def _one_thread() -> threadpool_limits:
    # On a busy machine OpenMP's spinning made one fit of HistGradientBoosting, which has no
    # setting for threads, take 7 s instead of 0.3 s, and BLAS's a logistic regression 4 times as
    # long.
    return threadpool_limits(1)


def log_odds(probability: FloatArray) -> FloatArray:
    """ln(p / (1 - p)), with p kept a millionth away from 0 and 1, which forests reach."""
    p = np.clip(probability, MARGIN, 1 - MARGIN)
    return np.asarray(np.log(p / (1 - p)))


class ReadRows(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The first step of a pipeline: `model_input`, so users of MLflow can pass rows as read."""

    def __init__(self, features: tuple[tuple[str, str], ...] = ()) -> None:
        self.features = features

    def fit(self, X: pd.DataFrame, y: FloatArray | None = None) -> Self:  # noqa: ARG002, N803 - scikit-learn's names
        """Learn nothing."""
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        """The columns that the next step reads."""
        return model_input(self.features, X)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def build_pipeline(
    algorithm: Algorithm, features: tuple[tuple[str, str], ...], seed: int
) -> Pipeline:
    """An unfitted pipeline: one-hot categories, prepared numbers, a calibrated classifier.

    Args:
        algorithm: one of the policy's.
        features: (name, dtype) of each.
        seed: for all random draws of the fit.
    """
    categories = [name for name, dtype in features if dtype == "category"]
    numbers = [name for name, dtype in features if dtype != "category"]
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=10,
        max_categories=30,
        sparse_output=False,
    )
    prepare = ColumnTransformer(
        [("category", encoder, categories), ("number", _numbers(algorithm), numbers)]
    )
    classify = SigmoidCalibrated(_ALGORITHMS[algorithm](seed), seed)
    return Pipeline([("read", ReadRows(features)), ("prepare", prepare), ("classify", classify)])


def _numbers(algorithm: Algorithm) -> Any:  # noqa: ANN401 - a transformer, or "passthrough"
    """Boosted trees read missing numbers themselves; the others get the median and a flag."""
    if algorithm in ("lightgbm", "hist_gradient_boosting"):
        return "passthrough"
    impute = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    if algorithm == "logistic_regression":
        return Pipeline([("impute", impute), ("scale", StandardScaler())])
    return impute


def _lightgbm(seed: int) -> BaseEstimator:
    from lightgbm import LGBMClassifier

    # The default of 100 x 31 leaves overfits 5,300 rows (AUC 0.62-0.65 against 0.65-0.67). One
    # thread: on a busy machine OpenMP's spinning made 6 small fits take 18 s instead of 1 s.
    return LGBMClassifier(
        n_estimators=120, num_leaves=8, learning_rate=0.05, min_child_samples=40, random_state=seed,
        deterministic=True, force_row_wise=True, n_jobs=1, verbose=-1,
    )  # fmt: skip


def _hist_gradient_boosting(seed: int) -> BaseEstimator:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=120,
        max_leaf_nodes=8,
        learning_rate=0.05,
        min_samples_leaf=40,
        random_state=seed,
    )


def _logistic_regression(seed: int) -> BaseEstimator:
    return LogisticRegression(max_iter=1000, random_state=seed)


def _random_forest(seed: int) -> BaseEstimator:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=300, class_weight="balanced", n_jobs=-1, random_state=seed
    )


_ALGORITHMS: dict[Algorithm, Callable[[int], BaseEstimator]] = {
    "lightgbm": _lightgbm,
    "hist_gradient_boosting": _hist_gradient_boosting,
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
}


def model_input(features: tuple[tuple[str, str], ...], rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that the pipeline reads: float64 with NaN for null, and categories as text.

    Accepts rows of the lake and rows that pandas read from a CSV file, with booleans as text or
    objects and integers with gaps as floats. Columns made by this function pass unchanged.

    Raises:
        DataError: a value cannot be read as a number or boolean.
    """
    columns: Mapping[str, Any] = {
        name: _category(rows[name]) if dtype == "category" else _number(rows[name], dtype)
        for name, dtype in features
    }
    return pd.DataFrame(columns, copy=False)


def _category(values: pd.Series) -> np.ndarray[Any, np.dtype[np.object_]]:
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values.to_numpy(dtype=object)
    if values.dtype.kind == "f" and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")  # codes with gaps: 3, not 3.0
    return values.astype(object).where(values.notna(), NONE).astype(str).to_numpy(dtype=object)


def _number(values: pd.Series, dtype: str) -> FloatArray:
    if values.dtype == np.float64:
        return values.to_numpy(dtype="float64")
    if pd.api.types.infer_dtype(values) in ("string", "mixed"):
        from churn_platform.ingestion.conversion import convert

        read, faults = convert(values, cast("Dtype", dtype))
        for unreadable in faults.values():
            first = values[unreadable].iloc[0]
            raise DataError(
                f"Column {values.name} contains {first!r}, which is not a valid {dtype}: correct"
                " it."
            )
        values = read
    return np.asarray(values.astype("Float64").to_numpy(dtype="float64", na_value=np.nan))
