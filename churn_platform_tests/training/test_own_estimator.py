"""Estimators of a business: found by their entry point, built with the contract's parameters, fitted as ours are."""

import os
import py_compile
import sys
import textwrap

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.contract.model import Costs
from churn_platform.contract.policy import TrainingPolicy
from churn_platform.training.candidate import candidate_digest
from churn_platform.training.entry_point import EstimatorError, OwnEstimator
from churn_platform.training.estimator import log_odds
from churn_platform.training.model import ChurnModel, Recipe, check_storable, load_model

FEATURES = (
    ("tier", "category"), ("autopay", "boolean"), ("monthly_fee", "float"), ("visits", "integer"), ("minutes", "float"),
)  # fmt: skip
GOOD = """
    from sklearn.ensemble import GradientBoostingClassifier

    def build(trees: int = 20, learning_rate: float = 0.1):
        return GradientBoostingClassifier(n_estimators=trees, learning_rate=learning_rate)
"""
CLASS = """
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Broken(ClassifierMixin, BaseEstimator):
        def __init__(self, rate=0.2):
            self.rate = rate
        def fit(self, X, y):
            {fit}
            return self
        def predict_proba(self, X):
            churn = np.full(len(X), self.rate)
            return {proba}
"""
BOTH = "np.column_stack([1 - churn, churn])"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes `my_models/churn.py` into the current folder; the recipe that names it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHURN_HOME", str(tmp_path / "home"))

    def write(source, entry="my_models.churn:build", /, **parameters):
        folder = tmp_path / "my_models"
        folder.mkdir(exist_ok=True)
        (folder / "churn.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return Recipe("lightgbm", 7, FEATURES, Costs(), entry, parameters)

    yield write
    for name in [m for m in sys.modules if m.partition(".")[0] in ("my_models", "lonely")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def rows(month):
    return month(customers=300, seed=1)


def fit(recipe, rows):
    return recipe.fit(rows, rows["label"], rows["member"])


def test_an_entry_point_is_built_with_its_parameters_and_seeded(own, rows):
    recipe = own(GOOD, trees=5)
    classifier = recipe.build().named_steps["classify"].estimator
    assert type(classifier) is GradientBoostingClassifier
    assert (classifier.n_estimators, classifier.learning_rate, classifier.random_state) == (
        5,
        0.1,
        7,
    )
    model = fit(recipe, rows)
    again = fit(recipe, rows)
    assert (model.probability(rows) == again.probability(rows)).all()
    # It does not read missing numbers: they are filled and flagged.
    assert not np.isnan(model.prepared(rows.assign(minutes=np.nan))).any()


def test_a_class_is_an_entry_point_and_a_seed_of_the_contract_stays(own):
    recipe = Recipe(
        "lightgbm", 7, FEATURES, Costs(), "sklearn.tree:DecisionTreeClassifier", {"random_state": 3}
    )
    built = recipe.build()
    assert built.named_steps["classify"].estimator.random_state == 3
    # A decision tree reads missing numbers and says so.
    steps = {name: step for name, step, _ in built.named_steps["prepare"].transformers}
    assert steps["number"] == "passthrough"


def test_the_folder_of_the_contract_is_searched(own, tmp_path, monkeypatch):
    recipe = own(GOOD)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(EstimatorError, match="elsewhere") as raised:
        recipe.build()
    assert raised.value.code == "ESTIMATOR_NOT_FOUND"
    (tmp_path / "contract.yaml").touch()
    monkeypatch.setenv("CHURN_CONTRACT", str(tmp_path / "contract.yaml"))
    recipe.build()
    assert [*recipe.own_estimator.sources()] == ["my_models/churn.py"]


def test_a_changed_source_is_imported_again_and_is_another_version(own, gym, two_months):
    recipe = own(GOOD)
    first = recipe.build().named_steps["classify"].estimator
    digest = candidate_digest(two_months, recipe, "code")
    assert candidate_digest(two_months, recipe, "code") == digest
    recipe = own(GOOD.replace("trees: int = 20", "trees: int = 30"))
    assert candidate_digest(two_months, recipe, "code") != digest
    second = recipe.build().named_steps["classify"].estimator
    assert (first.n_estimators, second.n_estimators) == (20, 30)


@pytest.mark.parametrize("in_this_process", [True, False])
def test_an_edit_within_the_same_second_is_trained(own, tmp_path, in_this_process):
    """Its file has the size and the time of the one before, and bytecode of that one is there."""
    recipe = own(GOOD)
    file = tmp_path / "my_models" / "churn.py"
    os.utime(file, (1_700_000_000, 1_700_000_000))
    if in_this_process:
        recipe.build()
    py_compile.compile(str(file))
    recipe = own(GOOD.replace("trees: int = 20", "trees: int = 30"))
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert recipe.build().named_steps["classify"].estimator.n_estimators == 30


def test_the_record_names_sources_and_libraries(own):
    record = own(GOOD).made_of()["estimator"]
    assert [*record["sources"]] == ["my_models/churn.py"]
    assert "scikit-learn" in record["libraries"]
    assert Recipe("lightgbm", 7, FEATURES, Costs()).made_of() == {}


@pytest.mark.parametrize(
    ("source", "entry", "parameters", "code", "fact"),
    [
        (GOOD, "my_models.nothing:build", {}, "ESTIMATOR_NOT_FOUND", "my_models.nothing"),
        (GOOD, "no_such_package:build", {}, "ESTIMATOR_NOT_FOUND", "no_such_package"),
        (GOOD, "my_models.churn:make", {}, "ESTIMATOR_NOT_FOUND", "'make'"),
        ("build = 3", "my_models.churn:build", {}, "ESTIMATOR_INVALID", "int"),
        ("import nothing_such", "my_models.churn:build", {}, "ESTIMATOR_FAILED", "nothing_such"),
        ("def build(:", "my_models.churn:build", {}, "ESTIMATOR_FAILED", "SyntaxError"),
        ("def build(): 1 / 0", "my_models.churn:build", {}, "ESTIMATOR_FAILED", "division by zero"),
        ("def build(): return 'a'", "my_models.churn:build", {}, "ESTIMATOR_INVALID", "predict_proba"),
        ("from sklearn.svm import LinearSVC\ndef build(): return LinearSVC()", "my_models.churn:build", {},
         "ESTIMATOR_INVALID", "predict_proba"),
        ("from sklearn.svm import SVC\ndef build(): return SVC", "my_models.churn:build", {}, "ESTIMATOR_INVALID",
         "class"),
        (GOOD, "my_models.churn:build", {"tres": 5}, "ESTIMATOR_PARAMETER_UNKNOWN", "'trees'"),
        (CLASS.format(fit="pass", proba=BOTH).replace("self.rate = rate", "self.rate = rate + 0.0001"),
         "my_models.churn:Broken", {"rate": 0.3}, "ESTIMATOR_INVALID", "cloned"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_one_sentence_with_a_code(
    own, source, entry, parameters, code, fact
):
    recipe = own(source, entry, **parameters)
    with pytest.raises(EstimatorError) as raised:
        recipe.build()
    assert (raised.value.code, "\n" in str(raised.value)) == (code, False)
    assert fact in str(raised.value)


@pytest.mark.parametrize(
    ("source", "fact"),
    [
        (CLASS.format(fit="raise RuntimeError('no GPU')", proba=BOTH), "no GPU"),
        (CLASS.format(fit="pass", proba="churn"), "shape"),
        (CLASS.format(fit="pass", proba="np.column_stack([churn, churn, churn])"), "shape"),
        (CLASS.format(fit="pass", proba=BOTH).replace("self.rate)", "np.nan)"), "nan"),
        (CLASS.format(fit="pass", proba=BOTH).replace("self.rate)", "1.5)"), "1.5"),
    ],
)
def test_a_fit_that_fails_refuses_the_training(own, rows, source, fact):
    with pytest.raises(DataError, match=fact) as raised:
        fit(own(source, "my_models.churn:Broken"), rows)
    assert raised.value.code == "ESTIMATOR_FAILED"
    assert "my_models.churn:Broken" in str(raised.value)


def test_parameters_of_an_algorithm_replace_its_own(rows):
    recipe = Recipe("lightgbm", 7, FEATURES, Costs(), parameters={"n_estimators": 5})
    model = fit(recipe, rows)
    assert model.pipeline.named_steps["classify"].estimator_.booster_.num_trees() == 5
    with pytest.raises(EstimatorError, match="'n_estimators'") as raised:
        Recipe("lightgbm", 7, FEATURES, Costs(), parameters={"n_estimator": 5}).build()
    assert raised.value.code == "ESTIMATOR_PARAMETER_UNKNOWN"
    with pytest.raises(EstimatorError, match="lightgbm"):
        fit(Recipe("lightgbm", 7, FEATURES, Costs(), parameters={"num_leaves": -3}), rows)


@pytest.mark.parametrize(
    ("source", "entry", "fact"),
    [
        (CLASS.format(fit="pass", proba=BOTH), "my_models.churn:Broken", "my_models.churn.Broken"),
        (
            """
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import FunctionTransformer
            from sklearn.naive_bayes import GaussianNB
            def build(): return make_pipeline(FunctionTransformer(lambda X: X), GaussianNB())
            """,
            "my_models.churn:build",
            "lambda",
        ),
    ],
)
def test_what_cannot_be_stored_is_said_at_training_with_the_way_out(own, rows, source, entry, fact):
    model = fit(own(source, entry), rows)
    with pytest.raises(EstimatorError) as raised:
        check_storable(model, rows)
    assert raised.value.code == "ESTIMATOR_NOT_STORABLE"
    assert fact in str(raised.value)
    assert "XGBoost" in str(raised.value)


def test_a_foreign_object_in_a_fitted_estimator_is_refused(own, rows):
    model = fit(own(GOOD), rows)
    model.pipeline.named_steps["classify"].estimator_.extra_ = EstimatorError
    with pytest.raises(EstimatorError, match="EstimatorError") as raised:
        check_storable(model, rows)
    assert raised.value.code == "ESTIMATOR_NOT_STORABLE"


def test_a_file_that_names_a_function_to_call_is_refused_and_calls_nothing(
    own, rows, tmp_path, monkeypatch
):
    model = fit(own(GOOD), rows)
    crafted = make_pipeline(FunctionTransformer(os.system), model.pipeline)
    content = ChurnModel(crafted, FEATURES).to_bytes()
    called = []
    monkeypatch.setattr(os, "system", called.append)
    with pytest.raises(IntegrityError, match=r"posix\.system") as raised:
        load_model(content, FEATURES)
    assert (raised.value.code, called) == ("MODEL_UNREADABLE", [])


def test_other_estimators_have_shapley_reasons_and_algorithms_keep_theirs(own, rows):
    model = fit(own(GOOD), rows)
    assert model.reasons_by == "Shapley sampling"
    again = load_model(model.to_bytes(), FEATURES)
    pushes = again.contributions(rows)
    assert pushes.equals(model.contributions(rows))
    base = log_odds(model.probability(rows)) - pushes.sum(axis=1)
    assert base.max() - base.min() < 1e-9
    forest = fit(Recipe("logistic_regression", 7, FEATURES, Costs()), rows)
    assert forest.reasons_by == "mean replacement"


def test_recipes_without_an_estimator_are_recorded_as_before(gym):
    assert set(Recipe.of(gym).as_json()) == {"algorithm", "seed", "features", "costs"}
    assert OwnEstimator("a.b:c", {}, 7).module == "a.b"


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"estimator": "my_models.churn"}, "estimator"),
        ({"estimator": "my_models.churn:build", "algorithm": "random_forest"}, "exclude"),
        ({"parameters": {"learning_rate": "1e-3"}}, "0.001"),
        ({"parameters": {"learning_rate": float("nan")}}, "finite"),
        ({"parameters": {"learning_rate": [0.1, 0.2]}}, "parameters"),
    ],
)
def test_a_wrong_entry_point_or_parameter_is_a_fault_of_the_contract(given, fact):
    with pytest.raises(ValueError, match=fact):
        TrainingPolicy.model_validate(given)
