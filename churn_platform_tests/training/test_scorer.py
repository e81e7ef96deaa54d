"""Scoring plain rows for serving: the same probabilities and contributions as the model itself, whatever the row holds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import IntegrityError
from churn_platform.contract.model import Costs
from churn_platform.training.model import Recipe, serving_files
from churn_platform.training.release import GoldenPrediction
from churn_platform.training.release_loading import LightGBMBooster
from churn_platform.training.scorer import (
    BOOSTER_FILE,
    FORM_FILE,
    FormScorer,
    ModelScorer,
    ServingForm,
    check_golden,
    seen,
)

FEATURES = (
    ("monthly_fee", "float"), ("tier", "category"), ("autopay", "boolean"), ("visits", "integer"), ("city", "category"),
    ("minutes", "float"),
)  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "monthly_fee": st.none() | st.floats(-1e6, 1e6),
            "tier": st.sampled_from(["basic", "plus", "(none)", "never seen", ""]) | st.none(),
            "autopay": st.none() | st.booleans(),
            "visits": st.none() | st.integers(-5, 10**9),
            "city": st.none() | st.integers(1, 60).map("c{}".format) | st.text(max_size=5),
            "minutes": st.none() | st.floats(0, 1e4),
        }
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def fit(month):
    """Fits an algorithm on rows in which a category has many rare values and every column but one has nulls."""

    def fitted(algorithm):
        rows = month(customers=900, seed=1)
        city = np.random.default_rng(1).geometric(0.1, len(rows))
        rows["city"] = pd.Series([f"c{n}" for n in city], dtype=object).mask(city == 3)
        recipe = Recipe(algorithm, 7, FEATURES, Costs())
        return recipe.fit(rows, rows["label"], rows["member"])

    return fitted


@pytest.fixture(scope="module")
def boosted(fit):
    """A LightGBM model and the scorer of its serving form."""
    model = fit("lightgbm")
    files = serving_files(model)
    form = ServingForm.model_validate_json(files[FORM_FILE])
    return model, FormScorer(form, LightGBMBooster(files[BOOSTER_FILE]))


@pytest.fixture(scope="module")
def linear(fit):
    """A logistic regression and its scorer."""
    model = fit("logistic_regression")
    return model, ModelScorer(model)


def frame(rows):
    """The rows as the model reads them: the lake's dtypes."""
    dtypes = {"category": object, "boolean": "boolean", "integer": "Int64", "float": "float64"}
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=dtypes[d]) for name, d in FEATURES}
    )


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_a_scorer_answers_as_the_model_does_with_nulls_and_unseen_categories(boosted, linear, rows):
    for model, scorer in (boosted, linear):
        expected = model.probability(frame(rows))
        assert scorer.probability(rows) == pytest.approx(expected, rel=0, abs=1e-12)
        assert scorer.probability(rows[:1]) == pytest.approx(expected[:1], rel=0, abs=1e-12)
        pushes = model.contributions(frame(rows)).to_numpy()
        assert scorer.contributions(rows) == pytest.approx(pushes, rel=0, abs=1e-12)


def test_a_value_is_seen_exactly_when_the_model_was_trained_on_it(boosted, linear):
    for model, scorer in (boosted, linear):
        assert {name: set(known) for name, known in scorer.categories.items()} == model.categories
        assert seen(scorer.categories.get("tier"), "plus")
        assert seen(scorer.categories.get("city"), None)
        assert not seen(scorer.categories.get("city"), "never seen")
        assert seen(scorer.categories.get("visits"), 10**9)


def test_features_and_threshold_are_those_of_the_model(boosted, linear):
    for model, scorer in (boosted, linear):
        assert scorer.features == FEATURES
        assert scorer.threshold == model.threshold


def golden(scorer, shift=0.0):
    row = dict(zip(dict(FEATURES), (20.0, "plus", None, 3, "c1", None), strict=True))
    return [GoldenPrediction(features=row, probability=scorer.probability([row])[0] + shift)]


def test_a_golden_prediction_that_differs_is_refused_with_both_figures(boosted, linear):
    for _, scorer in (boosted, linear):
        check_golden(scorer, golden(scorer))
        for shift in (1e-9, -1e-9):
            [expected] = golden(scorer, shift)
            with pytest.raises(IntegrityError, match=rf"is 0\.\d+ .* {expected.probability!r}"):
                check_golden(scorer, [expected])

    class Broken:
        def probability(self, rows):
            return [float("nan")] * len(rows)

    with pytest.raises(IntegrityError, match="golden prediction 1 is nan"):
        check_golden(Broken(), golden(boosted[1]))


def test_a_release_without_golden_predictions_is_refused(boosted):
    with pytest.raises(IntegrityError, match="has no golden predictions"):
        check_golden(boosted[1], [])
