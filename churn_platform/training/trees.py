"""Boosted trees of three libraries: log-odds, TreeSHAP and a file in the library's own format.

No format here can execute code.
"""

from typing import Any, Protocol

import numpy as np

from churn_platform.base.errors import IntegrityError
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.training.scorer import BOOSTER_FILE

XGBOOST_FILE = "booster.ubj"
CATBOOST_FILE = "booster.cbm"
TINY = 1e-300


class FittedTrees(Protocol):
    """A fitted classifier of boosted trees."""

    file: str
    """Its name in a release."""

    def probability(self, matrix: FloatArray) -> FloatArray:
        """Uncalibrated probability (rows,) of each row of (rows, columns)."""
        ...

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """TreeSHAP of each column for each row (rows, columns), in log-odds."""
        ...

    def to_bytes(self) -> bytes:
        """The trees in the library's own format."""
        ...


class LightGBMTrees:
    """A fitted `LGBMClassifier`."""

    file = BOOSTER_FILE

    def __init__(self, classifier: Any) -> None:  # noqa: ANN401 - an LGBMClassifier
        self._classifier = classifier

    def probability(self, matrix: FloatArray) -> FloatArray:
        """Uncalibrated probability of each row."""
        return np.asarray(self._classifier.predict_proba(matrix)[:, 1])

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """TreeSHAP of each row."""
        return np.asarray(self._classifier.booster_.predict(matrix, pred_contrib=True)[:, :-1])

    def to_bytes(self) -> bytes:
        """The booster as text."""
        return bytes(self._classifier.booster_.model_to_string().encode())


class XGBoostTrees:
    """A booster of XGBoost with the objective `binary:logistic`.

    XGBoost gives single precision. Its margin is read instead of its probability, which has only
    four digits of log-odds left near 0 and 1.
    """

    file = XGBOOST_FILE

    def __init__(self, booster: Any) -> None:  # noqa: ANN401 - an xgboost.Booster
        self._booster = booster

    @classmethod
    def load(cls, content: bytes) -> "XGBoostTrees":
        """The trees of a file, for one thread.

        Raises:
            IntegrityError: XGBoost is not installed, or refuses the file.
        """
        try:
            import xgboost
        except ImportError:
            raise _not_installed("XGBoost", "xgboost") from None
        booster = xgboost.Booster({"nthread": 1})
        if not content.startswith(b"{"):  # an empty file ends the process
            raise _refused("XGBoost", "not UBJSON")
        try:
            booster.load_model(bytearray(content))
        except xgboost.core.XGBoostError as error:
            raise _refused("XGBoost", error) from None
        return cls(booster)

    def probability(self, matrix: FloatArray) -> FloatArray:
        """Uncalibrated probability of each row."""
        # Without a DMatrix: 150 instead of 240 microseconds a row.
        margin = self._booster.inplace_predict(
            matrix, predict_type="margin", validate_features=False
        )
        return _sigmoid(margin)

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """TreeSHAP of each row.

        Rounding leaves a difference to the margin of a few millionths, which is shared out by
        size.
        """
        rows = _xgboost_rows(matrix)
        margin = self._booster.predict(rows, output_margin=True).astype(float)
        values = self._booster.predict(rows, pred_contribs=True).astype(float)
        sizes = np.abs(values[:, :-1])
        rest = (margin - values.sum(axis=1)) / np.maximum(sizes.sum(axis=1), TINY)
        return np.asarray(values[:, :-1] + sizes * rest[:, None])

    def to_bytes(self) -> bytes:
        """The booster as UBJSON."""
        return bytes(self._booster.save_raw("ubj"))


class CatBoostTrees:
    """A model of CatBoost with the loss `Logloss`."""

    file = CATBOOST_FILE

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a catboost model
        self._model = model

    @classmethod
    def load(cls, content: bytes) -> "CatBoostTrees":
        """The trees of a file.

        Raises:
            IntegrityError: CatBoost is not installed, or refuses the file.
        """
        try:
            import catboost
        except ImportError:
            raise _not_installed("CatBoost", "catboost") from None
        model = catboost.CatBoost()
        try:
            model.load_model(blob=content)
        except catboost.CatBoostError as error:
            raise _refused("CatBoost", error) from None
        return cls(model)

    def probability(self, matrix: FloatArray) -> FloatArray:
        """Uncalibrated probability of each row."""
        raw = self._model.predict(matrix, prediction_type="RawFormulaVal", thread_count=1)
        return _sigmoid(raw)

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """TreeSHAP of each row."""
        import catboost

        values = self._model.get_feature_importance(
            catboost.Pool(matrix), type="ShapValues", thread_count=1
        )
        return np.asarray(values[:, :-1], dtype=float)

    def to_bytes(self) -> bytes:
        """The model in CatBoost's binary format."""
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / CATBOOST_FILE
            self._model.save_model(str(path), format="cbm")
            return path.read_bytes()


def fitted_trees(classifier: Any) -> FittedTrees | None:  # noqa: ANN401 - any fitted classifier
    """The trees of a fitted classifier; None where their margin is not the log-odds of churn, and
    for all other classifiers.
    """
    kind = f"{type(classifier).__module__}.{type(classifier).__name__}"
    if getattr(classifier, "booster_", None) is not None:
        return LightGBMTrees(classifier)
    if kind in ("xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRFClassifier"):
        plain = np.isnan(classifier.missing) and classifier.booster in (None, "gbtree", "dart")
        if plain and classifier.objective == "binary:logistic":
            return XGBoostTrees(classifier.get_booster())
        return None
    if kind == "catboost.core.CatBoostClassifier":
        plain = classifier.get_all_params().get("loss_function") == "Logloss"
        return CatBoostTrees(classifier) if plain else None
    return None


def _xgboost_rows(matrix: FloatArray) -> Any:  # noqa: ANN401 - an xgboost.DMatrix
    import xgboost

    return xgboost.DMatrix(matrix, nthread=1)


def _sigmoid(margin: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(margin, dtype=float))))


def _not_installed(name: str, extra: str) -> IntegrityError:
    return IntegrityError(
        f"The model is one of {name}, which is not installed: install churn-platform[{extra}].",
        code="PACKAGE_MISSING",
    )


def _refused(name: str, error: Exception | str) -> IntegrityError:
    said = " ".join(str(error).split())
    return IntegrityError(
        f"{name} refused the booster ({said[:200]}): not loaded.", code="MODEL_UNREADABLE"
    )
