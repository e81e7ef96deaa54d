"""The four algorithms as models: calibrated, deterministic, robust to nulls, explained, and safe as bytes."""

import importlib
import io
import os
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
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
    probability, churned = model.probability(test), test["label"].to_numpy(dtype=float)
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
    assert np.array_equal(
        again.contributions(test[:9]).to_numpy(), model.contributions(test[:9]).to_numpy()
    )


def test_the_order_of_columns_and_of_rows_does_not_matter(model, rows):
    test = rows(60, 6)
    probability = model.probability(test)
    assert np.array_equal(model.probability(test[test.columns[::-1]]), probability)
    assert np.allclose(model.probability(test.iloc[::-1]), probability[::-1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_rows_and_seed_make_the_same_model(fit, rows, algorithm):
    small = FEATURES[1:4]
    first, again = (fit(algorithm, customers=120, features=small) for _ in range(2))
    test = rows(100, 8)
    assert np.array_equal(first.probability(test), again.probability(test))
    assert first.threshold == again.threshold


def test_another_seed_makes_another_model(fit, logistic, rows):
    test = rows(50, 8)
    assert not np.array_equal(
        fit("logistic_regression", recipe_seed=8).probability(test), logistic.probability(test)
    )


def test_signal_is_found_and_ranks_the_reasons(model, rows):
    strength = model.contributions(rows(80, 9)).abs().mean()
    assert strength["visits"] > 1.5 * strength["autopay"]
    assert strength["visits"] > 1.2 * strength["minutes"]
    assert strength["nothing"] == 0


@pytest.mark.parametrize("algorithm", ["lightgbm", "logistic_regression"])
def test_contributions_sum_to_the_log_odds_up_to_one_constant(fit, rows, algorithm):
    model, test = fit(algorithm), rows(100, 9)
    probability = model.probability(test)
    pushes = model.contributions(test)
    assert pushes.columns.tolist() == [name for name, _ in FEATURES]
    rest = np.log(probability / (1 - probability)) - pushes.sum(axis=1).to_numpy()
    assert np.ptp(rest) < 1e-9
    assert np.ptp(probability) > 0.3


def test_a_more_expensive_fee_raises_and_more_visits_lower_the_risk(logistic, rows):
    one = rows(1, 1)
    many = pd.concat(
        [one.assign(monthly_fee=10.0, visits=5), one.assign(monthly_fee=30.0, visits=15)]
    )
    pushes = logistic.contributions(many)
    assert (np.sign(pushes["monthly_fee"]) == [-1, 1]).all()
    assert pushes["visits"].iloc[1] < -1


def test_a_category_that_reads_like_another_feature_keeps_its_contribution():
    random = np.random.default_rng(0)
    plan, plan_type = random.choice(["type_x", "other"], 600), random.choice(["x", "y"], 600)
    frame = pd.DataFrame(
        {"plan": plan, "plan_type": plan_type, "plan_other": random.normal(size=600)}, dtype=object
    )
    churned = pd.Series(random.random(600) < np.where(plan == "type_x", 0.6, 0.2))
    features = (("plan_other", "float"), ("plan", "category"), ("plan_type", "category"))
    entities = pd.Series(np.arange(600))
    strength = (
        Recipe("logistic_regression", 7, features, Costs())
        .fit(frame, churned, entities)
        .contributions(frame)
        .abs()
    )
    assert strength["plan"].mean() > 0.5
    assert strength[["plan_type", "plan_other"]].mean().max() < 0.2


def test_a_model_of_categories_alone_or_of_numbers_alone_is_explained(fit, rows):
    for features in (FEATURES[:1], FEATURES[1:5]):
        model = fit("logistic_regression", features=features)
        assert model.contributions(rows(5, 2)).columns.tolist() == [name for name, _ in features]


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
    cheap = train.assign(value=0.5)
    assert own.fit(cheap, cheap["label"], cheap["member"]).threshold > thresholds[0] + 0.1


def test_the_rows_of_one_entity_never_calibrate_a_model_that_saw_it(fit, rows):
    train = rows(300, 1)
    twice = pd.concat([train, train], ignore_index=True)
    recipe = Recipe("lightgbm", 7, FEATURES[2:4], Costs())
    grouped = recipe.fit(twice, twice["label"], twice["member"])
    split = recipe.fit(twice, twice["label"], pd.Series(range(600)))
    assert split.pipeline[-1].slope_ > 1.2 * grouped.pipeline[-1].slope_


@pytest.mark.parametrize(("churners", "others"), [(9, 200), (200, 9), (0, 50)])
def test_too_few_customers_of_one_class_are_an_error_that_says_how_many(rows, churners, others):
    train = rows(churners + others, 1)
    labels = pd.Series([True] * churners + [False] * others)
    with pytest.raises(DataError, match=f"{churners} churners and {others} others; at least 10"):
        Recipe("logistic_regression", 7, FEATURES, Costs()).fit(train, labels, train["member"])


def test_many_rows_of_one_churner_are_one_churner(rows):
    train = rows(300, 1)
    labels = pd.Series([True] * 100 + [False] * 200)
    entities = train["member"].where(~labels, "the one")
    with pytest.raises(DataError, match="1 churner and 200 others"):
        Recipe("logistic_regression", 7, FEATURES, Costs()).fit(train, labels, entities)


def test_ten_customers_of_each_class_are_enough(rows):
    train = rows(20, 1)
    labels = pd.Series([True] * 10 + [False] * 10)
    model = Recipe("logistic_regression", 7, FEATURES[1:4], Costs()).fit(
        train, labels, train["member"]
    )
    assert np.isfinite(model.probability(train)).all()


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


def test_the_foreign_type_would_have_been_built_by_a_loader_that_trusts_the_file():
    hidden = skops.io.dumps(Foreign())
    BUILT.clear()
    skops.io.loads(hidden, trusted=skops.io.get_untrusted_types(data=hidden))
    assert len(BUILT) == 1


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


def test_a_fault_of_the_code_is_no_word_about_the_data(fit, monkeypatch):
    def broken(*_, **__):
        raise ValueError("shapes (3,) and (4,) are not aligned")

    monkeypatch.setattr(estimator.SigmoidCalibrated, "fit", broken)
    with pytest.raises(ValueError, match="not aligned"):
        fit("logistic_regression")
