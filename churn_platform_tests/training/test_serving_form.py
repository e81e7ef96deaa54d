"""The serving form: the encoder's own answer for every category, and nothing for algorithms that have no form."""

import json

import numpy as np
import pandas as pd
import pytest

from churn_platform.contract.model import Costs
from churn_platform.training.model import Recipe, serving_files, serving_form
from churn_platform.training.scorer import BOOSTER_FILE, FORM_FILE


@pytest.fixture(scope="module")
def fit(month):
    """Fits an algorithm on given features of drawn rows."""

    def fitted(features, algorithm="lightgbm", **columns):
        rows = month(customers=600, seed=1).assign(**columns)
        return Recipe(algorithm, 7, features, Costs()).fit(rows, rows["label"], rows["member"])

    return fitted


def test_each_frequent_value_has_a_column_and_rare_and_unknown_ones_share_the_last(fit):
    city = np.repeat(["a", "b", "c", "d"], [300, 290, 6, 4])
    form = serving_form(fit((("city", "category"), ("visits", "integer")), city=city))
    assert form.encodings["city"].model_dump() == {
        "width": 3, "columns": {"a": 0, "b": 1, "c": 2, "d": 2}, "other": 2,
    }  # fmt: skip


def test_without_rare_values_an_unknown_one_has_no_column_and_a_trained_null_has_one(fit):
    features = (("tier", "category"), ("visits", "integer"))
    assert serving_form(fit(features)).encodings["tier"].model_dump() == {
        "width": 2, "columns": {"basic": 0, "plus": 1}, "other": None,
    }  # fmt: skip
    tier = pd.Series(["basic", None] * 300, dtype=object)
    form = serving_form(fit(features, tier=tier))
    assert form.encodings["tier"].columns == {"(none)": 0, "basic": 1}


def test_two_categories_are_told_apart_where_their_names_would_meet(fit):
    features = (("plan", "category"), ("visits", "integer"), ("plan_type", "category"))
    values = {"plan": np.repeat(["type_x", "y"], 300), "plan_type": np.tile(["x", "y", "z"], 200)}
    form = serving_form(fit(features, **values))
    assert form.encodings["plan"].columns == {"type_x": 0, "y": 1}
    assert form.encodings["plan_type"].columns == {"x": 0, "y": 1, "z": 2}
    assert [feature.name for feature in form.features] == ["plan", "visits", "plan_type"]


def test_features_without_a_category_have_no_encodings(fit):
    assert serving_form(fit((("visits", "integer"), ("autopay", "boolean")))).encodings == {}


def test_the_files_are_the_boosters_own_text_and_canonical_json_and_the_same_on_every_run(fit):
    model = fit((("tier", "category"), ("visits", "integer")))
    files = serving_files(model)
    assert files == serving_files(model)
    classify = model.pipeline.named_steps["classify"]
    assert files[BOOSTER_FILE].decode() == classify.estimator_.booster_.model_to_string()
    form = json.loads(files[FORM_FILE])
    assert (form["slope"], form["intercept"], form["threshold"]) == (
        classify.slope_, classify.intercept_, model.threshold,
    )  # fmt: skip


@pytest.mark.parametrize("algorithm", ["logistic_regression", "hist_gradient_boosting"])
def test_other_algorithms_have_no_serving_form(fit, algorithm):
    assert serving_files(fit((("tier", "category"), ("visits", "integer")), algorithm)) == {}
