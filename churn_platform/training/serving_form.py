"""Makes the serving form of a fitted model: the booster's own text and the preprocessing as
plain values.
"""

from typing import Any

import pandas as pd

from churn_platform.base.digests import canonical_json
from churn_platform.training.model import ChurnModel, model_input
from churn_platform.training.release import FeatureSpec
from churn_platform.training.scorer import BOOSTER_FILE, FORM_FILE, Encoding, ServingForm

UNSEEN = "\x00 no category is called this"


def serving_files(model: ChurnModel) -> dict[str, bytes]:
    """The files that let serving answer without scikit-learn; none for an algorithm other than
    LightGBM.
    """
    booster = getattr(model.pipeline.named_steps["classify"].estimator_, "booster_", None)
    if booster is None:
        return {}
    form = serving_form(model).model_dump(mode="json")
    return {
        BOOSTER_FILE: booster.model_to_string().encode(),
        FORM_FILE: canonical_json(form).encode(),
    }


def serving_form(model: ChurnModel) -> ServingForm:
    """The preprocessing of a model whose numbers pass as they are (boosted trees)."""
    classify = model.pipeline.named_steps["classify"]
    return ServingForm(
        features=[FeatureSpec(name=name, dtype=dtype) for name, dtype in model.features],
        encodings=_encodings(model),
        slope=classify.slope_,
        intercept=classify.intercept_,
        threshold=model.threshold,
    )


def _encodings(model: ChurnModel) -> dict[str, Encoding]:
    """Each category's columns, found by encoding every known value and one that is surely
    unknown.

    Asked of the fitted encoder, not read from its attributes: how it folds rare and unknown
    values together is its own.
    """
    names = [name for name, dtype in model.features if dtype == "category"]
    if not names:
        return {}
    prepare = model.pipeline.named_steps["prepare"]
    known = prepare.named_transformers_["category"].categories_
    found = {}
    offset = 0
    for position, name in enumerate(names):
        values = [*known[position].tolist(), UNSEEN]
        encoded = prepare.transform(_rows(model, name, values))
        width = _width(prepare, position)
        block = encoded[:, offset : offset + width]
        places = [int(row.argmax()) if row.any() else None for row in block]
        columns = {
            value: place
            for value, place in zip(values[:-1], places, strict=False)
            if place is not None
        }
        found[name] = Encoding(width=width, columns=columns, other=places[-1])
        offset += width
    return found


def _rows(model: ChurnModel, varied: str, values: list[Any]) -> pd.DataFrame:
    """Rows in which one category takes `values` and every other feature is null."""
    columns = {
        name: values if name == varied else [None] * len(values) for name, _ in model.features
    }
    return model_input(model.features, pd.DataFrame(columns))


def _width(prepare: Any, position: int) -> int:  # noqa: ANN401 - a ColumnTransformer
    """How many columns the category at `position` becomes."""
    encoder = prepare.named_transformers_["category"]
    rare = encoder.infrequent_categories_[position]
    return len(encoder.categories_[position]) - (0 if rare is None else len(rare) - 1)
