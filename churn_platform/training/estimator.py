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
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from churn_platform.base.errors import DataError
from churn_platform.contract.model import Dtype
from churn_platform.contract.recipes import Algorithm, Parameter
from churn_platform.evaluation.statistics import FloatArray, IntArray
from churn_platform.training.entry_point import EstimatorError, check_names
from churn_platform.training.reasons import ReasonsBy, shapley_values
from churn_platform.training.trees import fitted_trees

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
        with _one_thread():
            scores, _ = self._out_of_fold(X, labels, groups)
            sigmoid = _sigmoid_of(scores, labels)
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

    def cross_validated(
        self,
        X: FloatArray,  # noqa: N803
        y: FloatArray,
        groups: FloatArray | None = None,
    ) -> tuple[FloatArray, IntArray]:
        """The calibrated probability of each row (rows,) by a classifier that has not seen its
        group, and its fold (rows,). The sigmoid is fitted to the scores of the other folds.
        """
        labels = np.asarray(y, dtype=int)
        probability = np.empty(len(labels))
        with _one_thread():
            scores, folds = self._out_of_fold(X, labels, groups)
            for fold in np.unique(folds):
                own = folds == fold
                sigmoid = _sigmoid_of(scores[~own], labels[~own])
                probability[own] = sigmoid.predict_proba(scores[own][:, None])[:, 1]
        return probability, folds

    def predict_proba(self, X: FloatArray) -> FloatArray:  # noqa: N803
        """Calibrated probabilities (rows, 2) of staying and of churning."""
        with _one_thread():
            churn = self._probability(self._log_odds(X))
        return np.column_stack([1 - churn, churn])

    def predict(self, X: FloatArray) -> FloatArray:  # noqa: N803
        """1 where the probability reaches the threshold."""
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(int)

    @property
    def reasons_by(self) -> ReasonsBy:
        """How `contributions` measures."""
        if fitted_trees(self.estimator_) is not None:
            return "TreeSHAP"
        if getattr(self, "own_", False):
            return "Shapley sampling"
        return "mean replacement"

    def contributions(self, X: FloatArray, features: IntArray | None = None) -> FloatArray:  # noqa: N803
        """How far each column moves the log-odds of each row (rows, columns).

        TreeSHAP where the library has it. For the other algorithms of the platform the change
        in log-odds when the column is set to its mean over the training rows, exact for a linear
        model. For estimators of the business Shapley values by sampling, by feature: its first
        column has the value of all its columns.

        Args:
            X: prepared rows (rows, columns).
            features: the number of the feature that each column belongs to (columns,).
        """
        trees = fitted_trees(self.estimator_)
        if trees is not None:
            values = trees.contributions(X)
        elif self.reasons_by == "Shapley sampling" and features is not None:
            with _one_thread():
                values = shapley_values(self._log_odds, X, self.background_, features)
        else:
            with _one_thread():  # once: it looks at every loaded library, which takes 7 ms
                base = self._log_odds(X)
                values = np.column_stack(
                    [base - self._without(X, column) for column in range(X.shape[1])]
                )
        return np.asarray(values * self.slope_)

    def _out_of_fold(
        self,
        X: FloatArray,  # noqa: N803
        labels: IntArray,
        groups: FloatArray | None,
    ) -> tuple[FloatArray, IntArray]:
        """The log-odds of each row (rows,) by a classifier that has not seen its group, and its
        fold (rows,).
        """
        scores = np.empty(len(labels))
        folds = np.empty(len(labels), dtype=np.int64)
        for fold, (fit_rows, score_rows) in enumerate(self._folds(labels, groups)):
            _check_two_classes(labels[fit_rows])
            fitted = self._fitted(X[fit_rows], labels[fit_rows])
            scores[score_rows] = _raw_scores(fitted, X[score_rows])
            folds[score_rows] = fold
        return scores, folds

    def _fitted(self, X: FloatArray, labels: FloatArray) -> Any:  # noqa: ANN401, N803 - whichever classifier was given
        # HistGradientBoosting cannot bin an empty column; it never splits on a constant.
        empty = np.isnan(X).all(axis=0)
        return clone(self.estimator).fit(np.where(empty, 0.0, X) if empty.any() else X, labels)

    def _without(self, X: FloatArray, column: int) -> FloatArray:  # noqa: N803
        changed = X.copy()
        changed[:, column] = self.background_[column]
        return self._log_odds(changed)

    def _log_odds(self, X: FloatArray) -> FloatArray:  # noqa: N803
        return _raw_scores(self.estimator_, X)

    def _probability(self, scores: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + np.exp(-(self.slope_ * scores + self.intercept_))))

    def _folds(self, labels: IntArray, groups: FloatArray | None) -> Any:  # noqa: ANN401 - a generator of index pairs
        folds = min(FOLDS, int(labels.sum()), int((1 - labels).sum()))
        if groups is None or len(np.unique(groups)) == len(groups):
            return StratifiedKFold(folds, shuffle=True, random_state=self.seed).split(
                labels, labels
            )
        return StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed).split(
            labels, labels, groups
        )


def _raw_scores(fitted: Any, X: FloatArray) -> FloatArray:  # noqa: ANN401, N803 - any classifier
    """Uncalibrated log-odds (rows,) of a fitted classifier."""
    trees = fitted_trees(fitted)
    if trees is not None:
        return log_odds(trees.probability(X))
    return log_odds(_checked(fitted.predict_proba(X), X))


def _checked(probabilities: Any, X: FloatArray) -> FloatArray:  # noqa: ANN401, N803
    """The probability of churn (rows,) in what `predict_proba` returned for X (rows, columns).

    Raises:
        EstimatorError: it is not one probability of each class for each row.
    """
    found = np.asarray(probabilities)
    if found.shape != (len(X), 2):
        raise EstimatorError(
            f"predict_proba returned the shape {found.shape} for {len(X)} rows. It must return"
            f" {(len(X), 2)}: the probabilities of class 0 and of class 1.",
            code="ESTIMATOR_FAILED",
        )
    churn = np.asarray(found[:, 1], dtype=float)
    valid = np.isfinite(churn) & (churn >= 0) & (churn <= 1)
    if not valid.all():
        raise EstimatorError(
            f"predict_proba returned {churn[~valid][0]} for {int((~valid).sum())} of {len(X)}"
            " rows, which is not a probability.",
            code="ESTIMATOR_FAILED",
        )
    return churn


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


def _sigmoid_of(scores: FloatArray, labels: IntArray) -> LogisticRegression:
    """Platt's sigmoid of log-odds (rows,)."""
    return LogisticRegression(C=1e6).fit(scores[:, None], labels)


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
    algorithm: Algorithm | None,
    features: tuple[tuple[str, str], ...],
    seed: int,
    classifier: Any = None,  # noqa: ANN401 - any classifier of scikit-learn's kind
) -> Pipeline:
    """An unfitted pipeline: one-hot categories, prepared numbers, a calibrated classifier.

    Args:
        algorithm: one of the policy's; None for an estimator of the business.
        features: (name, dtype) of each.
        seed: for all random draws of the fit.
        classifier: the classifier; by default the algorithm with its own parameters.
    """
    categories = [name for name, dtype in features if dtype == "category"]
    numbers = [name for name, dtype in features if dtype != "category"]
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=10,
        max_categories=30,
        sparse_output=False,
    )
    if classifier is None and algorithm is not None:
        classifier = built_in(algorithm, seed)
    prepare = ColumnTransformer(
        [("category", encoder, categories), ("number", _numbers(algorithm, classifier), numbers)]
    )
    classify = SigmoidCalibrated(classifier, seed)
    return Pipeline([("read", ReadRows(features)), ("prepare", prepare), ("classify", classify)])


def built_in(
    algorithm: Algorithm, seed: int, parameters: Mapping[str, Parameter] | None = None
) -> BaseEstimator:
    """An algorithm of the policy, with parameters of the contract in place of its own.

    Raises:
        EstimatorError: it has no such parameter.
    """
    made = _ALGORITHMS[algorithm](seed)
    if parameters:
        check_names(parameters, made.get_params(), algorithm)
        made.set_params(**parameters)
    return made


def _numbers(algorithm: Algorithm | None, classifier: Any) -> Any:  # noqa: ANN401 - a transformer, or "passthrough"
    """Boosted trees read missing numbers themselves; the others get the median and a flag."""
    if algorithm is None:
        reads_missing = _allows_nan(classifier)
    else:
        reads_missing = algorithm in ("lightgbm", "hist_gradient_boosting")
    if reads_missing:
        return "passthrough"
    impute = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    if algorithm == "logistic_regression":
        return Pipeline([("impute", impute), ("scale", StandardScaler())])
    return impute


def _allows_nan(classifier: Any) -> bool:  # noqa: ANN401 - any classifier
    """Whether a classifier says, by scikit-learn's tags, that it reads missing numbers."""
    try:
        return bool(get_tags(classifier).input_tags.allow_nan)
    except (AttributeError, TypeError):  # it has no tags
        return False


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
