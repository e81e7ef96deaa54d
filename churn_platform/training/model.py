"""The model: fitted from a recipe, scores rows, gives reasons, and is stored without code."""

import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.digests import canonical_json
from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.base.text import counted
from churn_platform.contract.model import Contract, Costs
from churn_platform.contract.policy import Algorithm
from churn_platform.evaluation.costs import RowCosts
from churn_platform.evaluation.metrics import cheapest_threshold
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.training.release import FeatureSpec
from churn_platform.training.scorer import BOOSTER_FILE, FORM_FILE, Encoding, ServingForm

MIN_CLASS_ENTITIES = 10
UNSEEN = "\x00 no category is called this"

# The only types a model file may name. skops builds whatever it is told to trust, so the list is
# ours and never the file's own.
TRUSTED_TYPES = (
    "churn_platform.core.estimator.ReadRows",  # written before 0.2
    "churn_platform.core.estimator.SigmoidCalibrated",
    "churn_platform.training.estimator.ReadRows",
    "churn_platform.training.estimator.SigmoidCalibrated",
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


@dataclass(frozen=True)
class Recipe:
    """How a candidate is made: everything except the data."""

    algorithm: Algorithm
    seed: int
    features: tuple[tuple[str, str], ...]
    """(name, dtype) in the contract's order."""
    costs: Costs

    @classmethod
    def of(cls, contract: Contract) -> "Recipe":
        """The recipe that a contract asks for."""
        policy = contract.policy.training
        features = tuple((name, column.dtype) for name, column in contract.features.items())
        return cls(policy.algorithm, policy.seed, features, contract.costs)

    def fit(self, rows: pd.DataFrame, labels: pd.Series, entities: pd.Series) -> "ChurnModel":
        """Fit on training rows.

        Args:
            rows: (rows, columns) with at least the features and the columns of the costs.
            labels: (rows,) booleans.
            entities: (rows,) keys; rows of one entity stay in one calibration fold.

        Raises:
            DataError: too few customers of one class to fit and calibrate.
        """
        from churn_platform.training.estimator import build_pipeline, model_input

        # Entities are counted: all rows of one entity are in one fold, which could then have one
        # class only.
        churned = labels.astype(bool)
        churners = entities[churned].nunique()
        stayers = entities[~churned].nunique()
        if min(churners, stayers) < MIN_CLASS_ENTITIES:
            held = f"{counted(churners, 'churner')} and {counted(stayers, 'other')}"
            raise DataError(
                f"The training rows have {held}; at least {MIN_CLASS_ENTITIES} of each are"
                " needed. Older months are pooled as labels mature, up to"
                " policy.training.pooled_months.",
                code="TOO_FEW_ROWS",
            )
        pipeline = build_pipeline(self.algorithm, self.features, self.seed)
        target = labels.to_numpy(dtype=int)
        pipeline.fit(
            model_input(self.features, rows), target, classify__groups=pd.factorize(entities)[0]
        )
        classify = pipeline.named_steps["classify"]
        costs = RowCosts.of(self.costs, rows)
        classify.threshold = cheapest_threshold(
            target, classify.out_of_fold_, costs.missed, costs.needless
        )
        del classify.out_of_fold_
        return ChurnModel(pipeline, self.features)


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

    def contributions(self, rows: pd.DataFrame) -> pd.DataFrame:
        """How far each feature moves each row's log-odds (rows, features)."""
        prepare = self.pipeline.named_steps["prepare"]
        classify = self.pipeline.named_steps["classify"]
        columns = classify.contributions(prepare.transform(self.columns(rows)))
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
        summed = pd.DataFrame(columns.T).groupby(sources).sum().T
        return summed.reindex(columns=[name for name, _ in self.features], fill_value=0.0)

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


def load_model(content: bytes, features: tuple[tuple[str, str], ...]) -> ChurnModel:
    """The model in a skops file whose digest the caller has verified.

    Raises:
        IntegrityError: it is not a skops file, or names a type that is not allowed; no part of
            it was built.
    """
    import skops.io

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED_TYPES))
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
    return ChurnModel(skops.io.loads(content, trusted=list(TRUSTED_TYPES)), features)


def serving_files(model: ChurnModel) -> dict[str, bytes]:
    """The files for serving without scikit-learn; empty unless the algorithm is LightGBM."""
    booster = getattr(model.pipeline.named_steps["classify"].estimator_, "booster_", None)
    if booster is None:
        return {}
    form = serving_form(model).model_dump(mode="json")
    return {
        BOOSTER_FILE: booster.model_to_string().encode(),
        FORM_FILE: canonical_json(form).encode(),
    }


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
