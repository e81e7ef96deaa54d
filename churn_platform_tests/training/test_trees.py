"""Boosted trees of XGBoost and CatBoost: stored in their own formats and explained exactly.

CatBoost is not in the development environment (268 MB): `uv run --extra catboost pytest ...` runs its tests, too.
"""

import numpy as np
import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.contract.model import Costs
from churn_platform.training.estimator import log_odds
from churn_platform.training.model import Recipe, check_storable, load_model, serving_files
from churn_platform.training.release_loading import BOOSTERS
from churn_platform.training.scorer import FORM_FILE, FormScorer, ServingForm
from churn_platform.training.trees import (
    CATBOOST_FILE,
    XGBOOST_FILE,
    CatBoostTrees,
    XGBoostTrees,
    fitted_trees,
)

FEATURES = (
    ("tier", "category"), ("autopay", "boolean"), ("monthly_fee", "float"), ("visits", "integer"), ("minutes", "float"),
)  # fmt: skip
LIBRARIES = {
    "xgboost": ("xgboost:XGBClassifier", {"n_estimators": 20, "max_depth": 3}, XGBOOST_FILE),
    "catboost": (
        "catboost:CatBoostClassifier",
        {"iterations": 20, "depth": 3, "verbose": 0, "allow_writing_files": False},
        CATBOOST_FILE,
    ),
}


@pytest.fixture(scope="module")
def rows(month):
    return month(customers=600, seed=1).assign(
        minutes=lambda m: m["minutes"].where(m["visits"] > 3)
    )


@pytest.fixture(scope="module", params=LIBRARIES)
def fitted(request, rows):
    """A model of each library, and the name of its file."""
    pytest.importorskip(request.param)
    entry, parameters, file = LIBRARIES[request.param]
    recipe = Recipe("lightgbm", 7, FEATURES, Costs(), entry, parameters)
    return recipe.fit(rows, rows["label"], rows["member"]), file


@pytest.fixture
def scorer(fitted):
    model, file = fitted
    files = serving_files(model)
    assert {*files} == {file, FORM_FILE}
    return FormScorer(
        ServingForm.model_validate_json(files[FORM_FILE]), BOOSTERS[file](files[file])
    )


def plain(rows):
    return (
        rows[[name for name, _ in FEATURES]]
        .astype(object)
        .where(rows.notna(), None)
        .to_dict("records")
    )


def test_it_is_stored_without_code_and_is_the_same_bit_for_bit(fitted, rows):
    model, _ = fitted
    check_storable(model, rows)
    again = load_model(model.to_bytes(), FEATURES)
    assert again.probability(rows).tolist() == model.probability(rows).tolist()
    assert again.reasons_by == "TreeSHAP"


def test_missing_numbers_reach_the_trees(fitted, rows):
    assert np.isnan(fitted[0].prepared(rows)).any()


def test_the_serving_form_answers_as_the_model_does(fitted, scorer, rows):
    model, _ = fitted
    some = rows.head(50)
    assert scorer.probability(plain(some)) == pytest.approx(
        model.probability(some).tolist(), abs=1e-12
    )
    pushes = model.contributions(some).to_numpy()
    assert scorer.contributions(plain(some)) == pytest.approx(pushes, abs=1e-12)
    one = scorer.probability(plain(some.head(1)))
    assert one == pytest.approx(model.probability(some.head(1)).tolist(), abs=1e-12)


def test_reasons_add_up_to_the_log_odds(fitted, rows):
    model, _ = fitted
    base = log_odds(model.probability(rows)) - model.contributions(rows).sum(axis=1)
    assert base.max() - base.min() < 1e-6


def test_a_margin_that_is_not_the_log_odds_is_not_read(rows):
    xgboost = pytest.importorskip("xgboost")
    for given in ({"objective": "binary:hinge"}, {"missing": 0.0}, {"booster": "gblinear"}):
        numbers = rows[["visits", "minutes"]].to_numpy(dtype=float, na_value=np.nan)
        model = xgboost.XGBClassifier(n_estimators=2, **given).fit(numbers, rows["label"])
        assert fitted_trees(model) is None


@pytest.mark.parametrize("load", [XGBoostTrees.load, CatBoostTrees.load])
@pytest.mark.parametrize("content", [b"", b"junk", b"{}"])
def test_what_is_no_booster_is_refused(load, content):
    with pytest.raises(IntegrityError) as raised:
        load(content)
    assert raised.value.code in ("MODEL_UNREADABLE", "PACKAGE_MISSING")
