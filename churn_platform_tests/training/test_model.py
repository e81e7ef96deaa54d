"""The four algorithms as models: calibrated, deterministic, robust to nulls, explained, and safe as bytes."""

import importlib
import io
import os
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.preprocessing import FunctionTransformer

from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.contract.model import ColumnCost, Costs
from churn_platform.training import estimator
from churn_platform.training.estimator import model_input
from churn_platform.training.model import ChurnModel, Recipe, load_model

ALGORITHMS = ("lightgbm", "hist_gradient_boosting", "logistic_regression", "random_forest")
FEATURES = (
    ("tier", "category"), ("autopay", "boolean"), ("monthly_fee", "float"), ("visits", "integer"), ("minutes", "float"),
    ("city", "category"), ("nothing", "float"),
)  # fmt: skip
BUILT = []


class Foreign(BaseEstimator):
    """A type that no model file may name; it tells when it is built."""

    def __setstate__(self, state):
        BUILT.append(state)


@pytest.fixture(scope="module")
def rows(month):
    """Draws rows of a month, with a category of many rare values and a column that is empty."""

    def draw(customers, seed):
        city = np.random.default_rng(seed).geometric(0.1, customers)
        return month(customers=customers, seed=seed).assign(
            city=[f"c{n}" for n in city], nothing=np.nan
        )

    return draw


@pytest.fixture(scope="module", autouse=True)
def small_forest():
    """The forest with 20 trees: 300 take 13 s to fit six times and 13 s to write, and show nothing more."""
    forest = estimator._ALGORITHMS["random_forest"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            estimator._ALGORITHMS,
            "random_forest",
            lambda seed: forest(seed).set_params(n_estimators=20),
        )
        yield


@pytest.fixture(scope="module")
def fit(rows):
    """Fits an algorithm on drawn rows."""

    def fitted(algorithm, customers=600, seed=1, recipe_seed=7, features=FEATURES, missed=5.0):
        train = rows(customers, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return Recipe(algorithm, recipe_seed, features, Costs(missed_churner=missed)).fit(
                train, train["label"], train["member"]
            )

    return fitted


@pytest.fixture(scope="module", params=ALGORITHMS)
def model(request, fit):
    """Each algorithm, fitted once without a warning."""
    return fit(request.param)


@pytest.fixture(scope="module")
def logistic(fit):
    return fit("logistic_regression")


def test_the_recipe_is_what_the_contract_asks_for(declare, gym):
    contract = declare(
        costs={"missed_churner": 9, "needless_contact": 2}, policy={"training": {"seed": 3}}
    )
    assert Recipe.of(contract) == Recipe(
        "lightgbm", 3, Recipe.of(gym).features, Costs(missed_churner=9, needless_contact=2)
    )
    assert Recipe.of(gym).features == (
        ("monthly_fee", "float"), ("tier", "category"), ("autopay", "boolean"), ("visits", "integer"),
        ("minutes", "float"),
    )  # fmt: skip


def test_every_algorithm_is_calibrated_and_beats_the_churn_rate_on_new_customers(model, rows):
    test = rows(1500, 2)
    probability = model.probability(test)
    churned = test["label"].to_numpy(dtype=float)
    rate = churned.mean()
    assert probability.shape == (1500,)
    assert ((probability > 0) & (probability < 1)).all()
    assert probability.mean() == pytest.approx(rate, abs=0.04)
    assert ((probability - churned) ** 2).mean() < 0.93 * rate * (1 - rate)


def test_nulls_and_unseen_categories_are_scored_by_every_algorithm(model, rows):
    strange = rows(4, 3).assign(
        tier=["gold", None, "basic", "plus"],
        city=[None, "nowhere", "c1", "c1"],
        autopay=pd.array([None] * 4, dtype="boolean"),
        visits=pd.array([None, 3, None, 4], dtype="Int64"),
        minutes=np.nan,
        monthly_fee=[np.nan, 1e9, -1e9, np.nan],
        nothing=[1.0, np.nan, 2.0, 3.0],
    )
    assert np.isfinite(model.probability(strange)).all()
    assert np.isfinite(model.contributions(strange).to_numpy()).all()


def test_a_model_written_and_read_again_is_the_same_bit_for_bit(model, rows):
    test = rows(200, 5)
    again = load_model(model.to_bytes(), model.features)
    assert np.array_equal(again.probability(test), model.probability(test))
    assert again.threshold == model.threshold


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_rows_and_seed_make_the_same_model_and_another_seed_another(fit, rows, algorithm):
    test = rows(100, 8)
    first, again, other = (
        fit(algorithm, customers=120, features=FEATURES[1:4], recipe_seed=seed)
        for seed in (7, 7, 8)
    )
    assert np.array_equal(first.probability(test), again.probability(test))
    assert first.threshold == again.threshold
    assert not np.array_equal(first.probability(test), other.probability(test))


@pytest.mark.parametrize("algorithm", ["lightgbm", "logistic_regression"])
def test_contributions_sum_to_the_log_odds_up_to_one_constant(fit, rows, algorithm):
    model = fit(algorithm)
    test = rows(100, 9)
    probability = model.probability(test)
    pushes = model.contributions(test)
    assert pushes.columns.tolist() == [name for name, _ in FEATURES]
    rest = np.log(probability / (1 - probability)) - pushes.sum(axis=1).to_numpy()
    assert np.ptp(rest) < 1e-9
    assert np.ptp(probability) > 0.3


def test_the_threshold_follows_the_costs(fit, logistic, rows):
    assert 0.08 < logistic.threshold < 0.3
    assert fit("logistic_regression", missed=1.0).threshold > logistic.threshold + 0.1
    test = rows(300, 4)
    answers = logistic.pipeline.predict(model_input(logistic.features, test))
    assert (
        answers.tolist() == (logistic.probability(test) >= logistic.threshold).astype(int).tolist()
    )


def test_the_threshold_follows_each_customer_s_own_cost(rows):
    train = rows(600, 1).assign(value=0.5)
    train.loc[train["label"], "value"] = 9.0  # the churners are the ones that are worth keeping
    own = Recipe(
        "logistic_regression", 7, FEATURES, Costs(missed_churner=ColumnCost(column="value"))
    )
    same = Recipe("logistic_regression", 7, FEATURES, Costs(missed_churner=9.0))
    thresholds = [
        recipe.fit(train, train["label"], train["member"]).threshold for recipe in (own, same)
    ]
    assert thresholds[0] == pytest.approx(thresholds[1])


def test_the_rows_of_one_entity_never_calibrate_a_model_that_saw_it(fit, rows):
    train = rows(300, 1)
    twice = pd.concat([train, train], ignore_index=True)
    recipe = Recipe("lightgbm", 7, FEATURES[2:4], Costs())
    grouped = recipe.fit(twice, twice["label"], twice["member"])
    split = recipe.fit(twice, twice["label"], pd.Series(range(600)))
    assert split.pipeline[-1].slope_ > 1.2 * grouped.pipeline[-1].slope_


@pytest.mark.parametrize(
    ("churners", "others", "counted"),
    [(9, 200, "9 churners and 200"), (200, 9, "200 churners and 9 "), (0, 50, "0 churners and 50")],
)
def test_ten_customers_of_each_class_are_needed_however_many_rows_they_have(
    rows, churners, others, counted
):
    recipe = Recipe("logistic_regression", 7, FEATURES[1:4], Costs())
    train = rows(churners + others + 2, 1)
    labels = pd.Series([True] * (churners + 1) + [False] * (others + 1))
    entities = train["member"].copy()
    with pytest.raises(DataError, match=counted) as caught:
        recipe.fit(train[1:-1], labels[1:-1], entities[1:-1])
    assert caught.value.code == "TOO_FEW_ROWS"
    entities.iloc[[0, -1]] = entities.iloc[[1, -2]].to_numpy()
    if churners:
        with pytest.raises(DataError, match=counted):
            recipe.fit(train, labels, entities)
        # One more customer of each class is enough.
        model = recipe.fit(train, labels, train["member"])
        assert np.isfinite(model.probability(train)).all()


def test_a_category_named_like_another_feature_keeps_its_contribution(rows):
    train = rows(600, 1)
    train = train.assign(plan=train["tier"].map({"basic": "type_x", "plus": "other"}))
    train = train.assign(plan_type=np.tile(["x", "y"], 300), plan_other=np.arange(600.0) % 7)
    often = np.arange(600) % 3 > 0
    seldom = np.arange(600) % 5 == 0
    labels = pd.Series(np.where(train["plan"] == "type_x", often, seldom))
    features = (("plan_other", "float"), ("plan", "category"), ("plan_type", "category"))
    for chosen in (features, features[:1], features[1:]):
        recipe = Recipe("logistic_regression", 7, chosen, Costs())
        pushes = recipe.fit(train, labels, train["member"]).contributions(train).abs()
        assert pushes.columns.tolist() == [name for name, _ in chosen]
        if len(chosen) > 1:
            assert pushes["plan"].mean() > 0.5
            assert pushes["plan_type"].mean() < 0.2


def test_a_pipeline_reads_numbers_as_floats_and_a_null_category_as_a_word(rows):
    given = pd.DataFrame(
        {
            "visits": pd.array([3, None], dtype="Int64"),
            "autopay": pd.array([True, None], dtype="boolean"),
            "tier": pd.Series(["plus", None], dtype="string"),
            "more": [1, 2],
        }
    )
    found = model_input(
        (("tier", "category"), ("autopay", "boolean"), ("visits", "integer")), given
    )
    assert found.columns.tolist() == ["tier", "autopay", "visits"]
    assert found["tier"].tolist() == ["plus", "(none)"]
    assert [str(dtype) for dtype in found.dtypes] == ["object", "float64", "float64"]
    assert found["autopay"].isna().tolist() == [False, True]
    assert found["visits"].iloc[0] == 3.0


@pytest.mark.parametrize(
    ("foreign", "name"), [(Foreign(), "Foreign"), (FunctionTransformer(os.system), "posix.system")]
)
def test_a_file_that_names_a_foreign_type_is_refused_and_nothing_of_it_is_built(
    logistic, foreign, name
):
    hidden = ChurnModel([logistic.pipeline, foreign], FEATURES).to_bytes()
    BUILT.clear()
    with pytest.raises(
        IntegrityError, match=rf"types that are not allowed \([^)]*{name}[^)]*\): not loaded"
    ):
        load_model(hidden, FEATURES)
    assert BUILT == []


def test_a_pickle_is_no_model_and_is_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    content = importlib.import_module("pickle").dumps(Bomb())
    with pytest.raises(IntegrityError, match="not a skops file"):
        load_model(content, FEATURES)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_or_foreign_archive_is_no_model(logistic):
    content = logistic.to_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("readme.txt", "no model")
    for wrong in (content[: len(content) // 2], archive.getvalue(), b""):
        with pytest.raises(IntegrityError, match="not a skops file"):
            load_model(wrong, FEATURES)
