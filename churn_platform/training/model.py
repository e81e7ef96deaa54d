"""The model: fitted from a recipe, scores rows, gives reasons, and is stored without code."""

import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import to_jsonable_python

from churn_platform.base.digests import canonical_json
from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.base.text import counted
from churn_platform.contract.model import Contract, Costs
from churn_platform.contract.recipes import Algorithm, CandidateRecipe, Parameter
from churn_platform.evaluation.costs import RowCosts
from churn_platform.evaluation.metrics import cheapest_threshold
from churn_platform.evaluation.statistics import FloatArray, IntArray
from churn_platform.training.entry_point import EstimatorError, OwnEstimator, reported
from churn_platform.training.reasons import ReasonsBy
from churn_platform.training.release import FeatureSpec
from churn_platform.training.scorer import FORM_FILE, Encoding, ServingForm
from churn_platform.training.trees import fitted_trees

MIN_CLASS_ENTITIES = 10
UNSEEN = "\x00 no category is called this"

# The only types a model file may name. skops builds whatever it is told to trust, so the list is
# ours and never the file's own.
TRUSTED_TYPES = (
    "catboost.core.CatBoostClassifier",
    "churn_platform.core.estimator.ReadRows",  # written before 0.2
    "churn_platform.core.estimator.SigmoidCalibrated",
    "churn_platform.training.estimator.ReadRows",
    "churn_platform.training.estimator.SigmoidCalibrated",
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRFClassifier",
)


@dataclass(frozen=True)
class Recipe:
    """How a candidate is made: everything except the data."""

    algorithm: Algorithm
    seed: int
    features: tuple[tuple[str, str], ...]
    """(name, dtype) in the contract's order."""
    costs: Costs
    estimator: str | None = None
    """Entry point of an estimator of the business, which takes the place of `algorithm`."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """Parameters of the algorithm or the estimator, in place of its own."""

    @classmethod
    def of(cls, contract: Contract, candidate: CandidateRecipe | None = None) -> "Recipe":
        """The recipe that a contract asks for, or that of one of its candidates, untuned."""
        policy = contract.policy.training
        if policy.candidates and candidate is None:
            raise ValueError("a contract with candidates has no single recipe")
        asked = policy if candidate is None else candidate
        features = tuple((name, column.dtype) for name, column in contract.features.items())
        return cls(
            asked.algorithm or type(policy)().algorithm,
            policy.seed,
            features,
            contract.costs,
            asked.estimator,
            asked.parameters,
        )

    def tuned(self, values: Mapping[str, Parameter]) -> "Recipe":
        """The recipe with other values of some parameters."""
        return replace(self, parameters={**self.parameters, **values})

    @property
    def fitted_by(self) -> str:
        """The entry point of the estimator, or the algorithm."""
        return self.estimator or self.algorithm

    @property
    def own_estimator(self) -> OwnEstimator | None:
        """The estimator of the business; None for an algorithm of the platform."""
        if self.estimator is None:
            return None
        return OwnEstimator(self.estimator, self.parameters, self.seed)

    def as_json(self) -> dict[str, Any]:
        """The recipe as plain values, without the fields that are not set: recipes without them
        keep their digests.
        """
        values: dict[str, Any] = to_jsonable_python(self)
        for name in ("estimator", "parameters"):
            if not values[name]:
                del values[name]
        return values

    def made_of(self) -> Mapping[str, object]:
        """What decides the fit besides the recipe and the platform's code: the sources and the
        libraries of an estimator of the business; empty without one.

        Raises:
            EstimatorError: the estimator cannot be built.
        """
        own = self.own_estimator
        return {} if own is None else {"estimator": own.record()}

    def build(self) -> Any:  # noqa: ANN401 - a pipeline
        """The unfitted pipeline.

        Raises:
            EstimatorError: the estimator or its parameters cannot be used.
        """
        from churn_platform.training.estimator import build_pipeline, built_in

        own = self.own_estimator
        if own is not None:
            return build_pipeline(None, self.features, self.seed, own.build())
        classifier = built_in(self.algorithm, self.seed, self.parameters)
        return build_pipeline(self.algorithm, self.features, self.seed, classifier)

    def fit(self, rows: pd.DataFrame, labels: pd.Series, entities: pd.Series) -> "ChurnModel":
        """Fit on training rows.

        Args:
            rows: (rows, columns) with at least the features and the columns of the costs.
            labels: (rows,) booleans.
            entities: (rows,) keys; rows of one entity stay in one calibration fold.

        Raises:
            DataError: too few customers of one class to fit and calibrate.
            EstimatorError: the estimator or its parameters cannot be used, or it fails.
        """
        from churn_platform.training.estimator import model_input

        check_classes(labels, entities)
        pipeline = self.build()
        target = labels.to_numpy(dtype=int)
        columns = model_input(self.features, rows)
        groups = pd.factorize(entities)[0]
        if self.estimator is None and not self.parameters:
            pipeline.fit(columns, target, classify__groups=groups)
        else:
            with reported(self.fitted_by):
                pipeline.fit(columns, target, classify__groups=groups)
        classify = pipeline.named_steps["classify"]
        if self.estimator is not None:
            classify.own_ = True
        costs = RowCosts.of(self.costs, rows)
        classify.threshold = cheapest_threshold(
            target, classify.out_of_fold_, costs.missed, costs.needless
        )
        del classify.out_of_fold_
        return ChurnModel(pipeline, self.features)

    def cross_validated(
        self, rows: pd.DataFrame, labels: pd.Series, entities: pd.Series
    ) -> tuple[FloatArray, IntArray]:
        """The calibrated probability of each training row by a model that has not seen its
        customer, and its fold, both (rows,). The arguments are those of `fit`.

        Categories and medians are learned from all rows: they do not depend on the labels.

        Raises:
            EstimatorError: the recipe cannot be fitted.
        """
        from churn_platform.training.estimator import model_input

        pipeline = self.build()
        with reported(self.fitted_by):
            prepared = pipeline[:-1].fit_transform(model_input(self.features, rows))
            found: tuple[FloatArray, IntArray] = pipeline[-1].cross_validated(
                prepared, labels.to_numpy(dtype=int), pd.factorize(entities)[0]
            )
        return found


def check_classes(labels: pd.Series, entities: pd.Series) -> None:
    """Raise DataError if too few customers churned or stayed to fit and calibrate a model.

    Customers are counted: all rows of one customer are in one fold, which could then have one
    class only.
    """
    churned = labels.astype(bool)
    churners = entities[churned].nunique()
    stayers = entities[~churned].nunique()
    if min(churners, stayers) < MIN_CLASS_ENTITIES:
        held = f"{counted(churners, 'churner')} and {counted(stayers, 'other')}"
        raise DataError(
            f"The training rows have {held}; at least {MIN_CLASS_ENTITIES} of each are needed."
            " Older months are pooled as labels mature, up to policy.training.pooled_months.",
            code="TOO_FEW_ROWS",
        )


@dataclass(frozen=True)
class ChurnModel:
    """A fitted pipeline and the features it reads, in order."""

    pipeline: Any
    features: tuple[tuple[str, str], ...]

    @property
    def threshold(self) -> float:
        """The probability from which a customer is predicted to churn."""
        return float(self.pipeline.named_steps["classify"].threshold)

    def probability(self, rows: pd.DataFrame) -> FloatArray:
        """Calibrated churn probability (rows,) of each row."""
        return self.of_columns(self.columns(rows))

    def columns(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows as the pipeline reads them."""
        from churn_platform.training.estimator import model_input

        return model_input(self.features, rows)

    def of_columns(self, columns: pd.DataFrame) -> FloatArray:
        """As `probability`, of rows prepared by `columns`: many versions score the same ones."""
        return np.asarray(self.pipeline.predict_proba(columns)[:, 1])

    def prepared(self, rows: pd.DataFrame) -> FloatArray:
        """What the classifier reads of each row, shape (rows, columns); NaN where a tree reads a
        missing number.
        """
        prepare = self.pipeline.named_steps["prepare"]
        return np.asarray(prepare.transform(self.columns(rows)), dtype=float)

    def scored(self, rows: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """What the classifier reads of each row, and the probabilities (rows,)."""
        prepared = self.prepared(rows)
        return prepared, self.of_prepared(prepared)

    def of_prepared(self, prepared: FloatArray) -> FloatArray:
        """As `probability`, of rows prepared by `prepared`."""
        return np.asarray(self.pipeline.named_steps["classify"].predict_proba(prepared)[:, 1])

    def contributions(self, rows: pd.DataFrame) -> pd.DataFrame:
        """How far each feature moves each row's log-odds (rows, features)."""
        prepare = self.pipeline.named_steps["prepare"]
        classify = self.pipeline.named_steps["classify"]
        # Counted, not parsed from names: "plan_type_x" may be plan = "type_x" or plan_type = "x".
        sources = [
            name
            for position, name in enumerate(self.category_names)
            for _ in range(_width(self.encoder, position))
        ]
        sources += [
            column.removeprefix("number__").removeprefix("missingindicator_")
            for column in prepare.get_feature_names_out()[len(sources) :]
        ]
        features = pd.factorize(pd.Series(sources))[0]
        columns = classify.contributions(prepare.transform(self.columns(rows)), features)
        summed = pd.DataFrame(columns.T).groupby(sources).sum().T
        return summed.reindex(columns=[name for name, _ in self.features], fill_value=0.0)

    @property
    def reasons_by(self) -> ReasonsBy:
        """How `contributions` measures."""
        found: ReasonsBy = self.pipeline.named_steps["classify"].reasons_by
        return found

    @property
    def category_names(self) -> list[str]:
        """The category features, in the order of the encoder."""
        return [name for name, dtype in self.features if dtype == "category"]

    @property
    def encoder(self) -> Any:  # noqa: ANN401 - a OneHotEncoder
        """The encoder of the categories; it is not fitted without a category."""
        return self.pipeline.named_steps["prepare"].named_transformers_["category"]

    @cached_property
    def categories(self) -> dict[str, frozenset[str]]:
        """Category feature -> the trained values, including rare ones and `(none)` for null."""
        return {
            name: frozenset(self.encoder.categories_[position])
            for position, name in enumerate(self.category_names)
        }

    def to_bytes(self) -> bytes:
        """The model as a skops file: parameters and arrays without code."""
        import skops.io

        return bytes(skops.io.dumps(self.pipeline))


def load_model(
    content: bytes, features: tuple[tuple[str, str], ...], *, imported: bool = False
) -> ChurnModel:
    """The model in a skops file whose digest the caller has verified.

    Args:
        content: the file.
        features: the features that it reads, in order.
        imported: whether it is a model of the business, whose file may name more types.

    Raises:
        IntegrityError: it is not a skops file, or names a type that is not allowed; no part of
            it was built.
    """
    if imported:
        from churn_platform.training.imported import IMPORTED_TYPES, ImportedModel

        return ImportedModel(read_skops(content, IMPORTED_TYPES), features)
    return ChurnModel(read_skops(content, TRUSTED_TYPES), features)


def read_skops(content: bytes, allowed: tuple[str, ...]) -> Any:  # noqa: ANN401 - what the file holds
    """What a skops file holds, if it names only types of this list and those of skops itself.

    Raises:
        IntegrityError: it is not a skops file, or names another type; no part of it was built.
    """
    import skops.io

    try:
        unknown = unknown_types(content, allowed)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise IntegrityError(
            f"The model file is not a skops file ({error}) and was not loaded.",
            code="MODEL_UNREADABLE",
        ) from None
    if unknown:
        raise IntegrityError(
            f"The model file names types that are not allowed ({', '.join(unknown)}): not loaded.",
            code="MODEL_UNREADABLE",
        )
    try:
        return skops.io.loads(content, trusted=list(allowed))
    except ImportError as error:
        raise IntegrityError(
            f"The model needs the package {error.name}, which is not installed: not loaded.",
            code="PACKAGE_MISSING",
        ) from None


def unknown_types(content: bytes, allowed: Collection[str] = TRUSTED_TYPES) -> list[str]:
    """The types in a skops file that are not allowed; nothing of it is built."""
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=content)) - set(allowed))


def check_storable(model: ChurnModel, rows: pd.DataFrame) -> None:
    """Check that an estimator of the business can be stored without code.

    Args:
        model: a fitted model.
        rows: (rows, features), on which the stored model must predict the same.

    Raises:
        EstimatorError: it contains a type that is not allowed, or predicts otherwise after it
            was stored.
    """
    way_out = (
        "A model is stored without code. Return a classifier of scikit-learn, LightGBM, XGBoost or"
        " CatBoost, or a pipeline of such parts, and make other features in the drop."
    )
    try:
        content = model.to_bytes()
        unknown = unknown_types(content)
    except Exception as error:  # skops has an error of its own for each kind of object
        raise EstimatorError(
            f"The fitted estimator cannot be stored ({error}). {way_out}",
            code="ESTIMATOR_NOT_STORABLE",
        ) from error
    if unknown:
        raise EstimatorError(
            f"The fitted estimator contains {', '.join(unknown)}, which cannot be stored."
            f" {way_out}",
            code="ESTIMATOR_NOT_STORABLE",
        )
    again = load_model(content, model.features).probability(rows)
    if not np.array_equal(again, model.probability(rows)):
        raise EstimatorError(
            f"The estimator predicts otherwise after it was stored. {way_out}",
            code="ESTIMATOR_NOT_STORABLE",
        )


def serving_files(model: ChurnModel) -> dict[str, bytes]:
    """The files for serving without scikit-learn; empty unless the model is boosted trees of
    LightGBM, XGBoost or CatBoost.
    """
    fitted = getattr(model.pipeline.named_steps["classify"], "estimator_", None)
    trees = None if fitted is None else fitted_trees(fitted)
    if trees is None:
        return {}
    form = serving_form(model).model_dump(mode="json")
    return {trees.file: trees.to_bytes(), FORM_FILE: canonical_json(form).encode()}


def serving_form(model: ChurnModel) -> ServingForm:
    """The preprocessing of boosted trees, whose numbers pass unchanged."""
    classify = model.pipeline.named_steps["classify"]
    return ServingForm(
        features=[FeatureSpec(name=name, dtype=dtype) for name, dtype in model.features],
        encodings=_encodings(model),
        slope=classify.slope_,
        intercept=classify.intercept_,
        threshold=model.threshold,
    )


def _encodings(model: ChurnModel) -> dict[str, Encoding]:
    """Each category's columns, found by encoding every known value and one unknown value.

    The fitted encoder is queried because how it groups rare and unknown values is internal.
    """
    found = {}
    offset = 0
    for position, name in enumerate(model.category_names):
        values = [*model.encoder.categories_[position].tolist(), UNSEEN]
        nulls = {feature: [None] * len(values) for feature, _ in model.features}
        rows = model.columns(pd.DataFrame({**nulls, name: values}))
        width = _width(model.encoder, position)
        encoded = model.pipeline.named_steps["prepare"].transform(rows)
        block = encoded[:, offset : offset + width]
        *known, other = [int(row.argmax()) if row.any() else None for row in block]
        columns = {
            value: column
            for value, column in zip(values, known, strict=False)
            if column is not None
        }
        found[name] = Encoding(width=width, columns=columns, other=other)
        offset += width
    return found


def _width(encoder: Any, position: int) -> int:  # noqa: ANN401 - a OneHotEncoder
    """How many columns the category at `position` becomes."""
    rare = encoder.infrequent_categories_[position]
    return len(encoder.categories_[position]) - (0 if rare is None else len(rare) - 1)
