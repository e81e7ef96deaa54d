"""Model files of a business: which are read, which run code, and what is refused with a way out."""

import os
import pickle
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from churn_platform.base.errors import UsageError
from churn_platform.training.imported import IMPORTED_TYPES, ImportedModel
from churn_platform.training.importing import Said, imported_candidate
from churn_platform.training.model import TRUSTED_TYPES, load_model
from churn_platform.training.model_files import found_model
from churn_platform_tests.business_models import READS, gym_model, gym_rows, saved
from churn_platform_tests.small_business import DECLARED, JANUARY, declared

NOBODY = np.empty(0, dtype=np.uint64)
NUMBERS = ["months", "hours"]


@pytest.fixture(scope="module")
def month():
    return gym_rows()


def made(path, month, contract=None, *, trust_code=False, **said):
    """The version that a file becomes."""
    told = Said(**{"by": "Ann", "reason": "Ours.", "customers": NOBODY, **said})
    with found_model(str(path), "") as file:
        estimator = file.estimator(trust_code=trust_code)
        return imported_candidate(
            contract or declared(),
            month[0],
            JANUARY.isoformat(),
            file,
            estimator,
            told,
            "2024-05-01",
        )


def refused(path, month, code, *facts, **options):
    with pytest.raises(UsageError) as error:
        made(path, month, **options)
    assert error.value.code == code
    for fact in facts:
        assert fact in str(error.value)


FAMILY = {
    "forest": RandomForestClassifier(5, random_state=0),
    "boosted": GradientBoostingClassifier(n_estimators=5),
    "histogram": make_pipeline(HistGradientBoostingClassifier(max_iter=5)),
    "calibrated": CalibratedClassifierCV(LogisticRegression(), cv=2),
    "searched": GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
    "voting": VotingClassifier(
        [("a", LogisticRegression()), ("b", RandomForestClassifier(3))], voting="soft"
    ),
    "chosen": make_pipeline(SelectKBest(k=2), LogisticRegression()),
    "neighbours": KNeighborsClassifier(3),
}


@pytest.mark.parametrize("name", FAMILY)
def test_scikit_learns_pipelines_score_the_same_through_the_platform(month, tmp_path, name):
    rows, left = month
    model = gym_model(FAMILY[name]).fit(rows[READS], left)
    candidate = made(saved(model, tmp_path), month)
    again = load_model(candidate.model.to_bytes(), candidate.model.features, imported=True)
    assert isinstance(again, ImportedModel)
    expected = model.predict_proba(rows[READS].assign(hours=rows["hours"].astype(float)))[:, 1]
    for own in (candidate.model, again):
        assert np.abs(own.probability(rows) - expected).max() < 1e-12
    reasons = again.contributions(rows.head(3))
    assert list(reasons) == ["months", "plan", "hours"]
    assert again.prepared(rows).shape == (len(rows), 2 + 3)


def test_shares_of_a_linear_model_add_up_to_the_difference_of_its_log_odds(month, tmp_path):
    rows, left = month
    model = made(saved(gym_model().fit(rows[READS], left), tmp_path), month).model
    typical = model.pipeline.named_steps["classify"].typical
    odds = np.log(model.probability(rows) / (1 - model.probability(rows)))
    base = model.probability(pd.DataFrame([typical]))
    found = model.contributions(rows).sum(axis=1)
    assert np.abs(found - (odds - np.log(base / (1 - base)))).max() < 1e-9


class Payload:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return exec, (
            f"import os; open({self.trace!r}, 'a').write(str(os.getpid()) + str(dict(os.environ)))",
        )


@pytest.mark.parametrize("write", [pickle.dump, joblib.dump])
def test_a_pickle_runs_no_code_by_itself(month, tmp_path, write):
    trace = tmp_path / "trace"
    path = tmp_path / "model.pkl"
    with path.open("wb") as file:
        write(Payload(trace), file)
    refused(path, month, "MODEL_RUNS_CODE", "--trust-code")
    assert not trace.exists()


@pytest.mark.slow
def test_a_trusted_pickle_runs_in_another_process_without_the_settings(
    month, tmp_path, monkeypatch
):
    trace = tmp_path / "trace"
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Payload(trace)))
    monkeypatch.setenv("CHURN_API_KEYS", "secret")
    refused(path, month, "MODEL_NOT_FITTING", "predict_proba", trust_code=True)
    assert not trace.read_text().startswith(str(os.getpid()))
    assert "secret" not in trace.read_text()


@pytest.mark.slow
def test_a_trusted_pickle_is_kept_as_skops(month, tmp_path):
    rows, left = month
    model = gym_model().fit(rows[READS], left)
    path = tmp_path / "model.joblib"
    joblib.dump(model, path, compress=3)
    candidate = made(path, month, trust_code=True)
    assert candidate.card.imported.format == "pickle"
    expected = model.predict_proba(rows[READS])[:, 1]
    assert np.abs(candidate.model.probability(rows) - expected).max() < 1e-12


def shouting(values):
    return values


@pytest.mark.parametrize(
    ("function", "name"), [(shouting, "shouting"), (os.system, "posix.system")]
)
def test_a_file_that_names_other_types_is_not_built(month, tmp_path, function, name):
    rows, left = month
    model = gym_model().fit(rows[READS], left)
    model.steps.insert(0, ("own", FunctionTransformer(function)))
    refused(
        saved(model, tmp_path), month, "MODEL_TYPES_NOT_ALLOWED", name, "policy.training.estimator"
    )


def test_the_list_of_types_is_ours_and_names_no_module(month):
    assert set(TRUSTED_TYPES) < set(IMPORTED_TYPES)
    assert not [name for name in IMPORTED_TYPES if "*" in name or "." not in name]
    roots = {name.split(".")[0] for name in IMPORTED_TYPES}
    assert roots <= {
        "builtins", "catboost", "churn_platform", "collections", "functools", "lightgbm", "numpy",
        "sklearn", "xgboost",
    }  # fmt: skip


@pytest.mark.parametrize(
    "flavor", ["sklearn", "sklearn pickle", "lightgbm", "lightgbm native", "xgboost"]
)
def test_models_that_mlflow_saved(month, tmp_path, flavor):
    import mlflow.lightgbm
    import mlflow.sklearn
    import mlflow.xgboost
    import xgboost

    rows, left = month
    numbers = rows[NUMBERS].astype(float)
    folder = tmp_path / "saved"
    if flavor.startswith("sklearn"):
        model = gym_model(reads=NUMBERS, categories=()).fit(numbers, left)
        written = "pickle" if "pickle" in flavor else "skops"
        mlflow.sklearn.save_model(
            model, folder, serialization_format=written, pip_requirements=[],
            skops_trusted_types=["numpy.dtype"],
        )  # fmt: skip
    elif flavor == "xgboost":
        model = xgboost.XGBClassifier(n_estimators=5).fit(numbers, left)
        mlflow.xgboost.save_model(model, folder, pip_requirements=[])
    else:
        model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(numbers, left)
        kept = model.booster_ if "native" in flavor else model
        mlflow.lightgbm.save_model(kept, folder, pip_requirements=[])
    if "pickle" in flavor:
        refused(folder, month, "MODEL_RUNS_CODE")
        return
    candidate = made(folder, month)
    assert (
        np.abs(candidate.model.probability(rows) - model.predict_proba(numbers)[:, 1]).max() < 1e-6
    )
    assert candidate.card.imported.reads == NUMBERS
    again = load_model(candidate.model.to_bytes(), candidate.model.features, imported=True)
    assert np.array_equal(again.probability(rows), candidate.model.probability(rows))


def test_a_folder_names_no_file_outside(month, tmp_path):
    saved(gym_model().fit(month[0][READS], month[1]), tmp_path, "outside.skops")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {sklearn: {pickled_model: ../outside.skops}}")
    refused(folder, month, "MODEL_SOURCE_UNREADABLE", "outside of the folder")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (None, "no file MLmodel"),
        ("flavors: {spark: {}}", "spark"),
        ("flavors: [", "cannot be read"),
    ],
)
def test_a_folder_that_is_no_model(month, tmp_path, content, fact):
    if content:
        (tmp_path / "MLmodel").write_text(content)
    refused(tmp_path, month, "MODEL_SOURCE_UNREADABLE", fact)


def test_a_path_without_a_model(month, tmp_path):
    refused(tmp_path / "none.skops", month, "MODEL_SOURCE_UNREADABLE", "none.skops")


def without_names(rows):
    return rows[NUMBERS].fillna(0).to_numpy(dtype=float)


def test_columns_are_matched_by_name(month, tmp_path):
    rows, left = month
    renamed = rows.rename(columns={"hours": "hour"})
    other = gym_model(reads=["hour", "plan"]).fit(renamed[["hour", "plan"]], left)
    refused(saved(other, tmp_path), month, "MODEL_NOT_FITTING", "hour, like hours", "months, plan")
    nameless = saved(
        HistGradientBoostingClassifier(max_iter=3).fit(without_names(rows), left), tmp_path
    )
    refused(nameless, month, "MODEL_NOT_FITTING", "--features")
    refused(nameless, month, "MODEL_NOT_FITTING", "names 1", features=("hours",))
    assert made(nameless, month, features=("months", "hours")).card.imported.reads == NUMBERS
    named = saved(gym_model().fit(rows[READS], left), tmp_path)
    refused(named, month, "MODEL_NOT_FITTING", "leave --features out", features=("months",))


def test_a_column_of_another_type_is_named(month, tmp_path):
    rows, left = month
    coded = rows.assign(plan=pd.factorize(rows["plan"])[0])
    numeric = gym_model(reads=READS, categories=()).fit(coded[READS], left)
    refused(saved(numeric, tmp_path), month, "MODEL_NOT_FITTING", "plan is text")
    # An encoder that ignores unknown values would score everybody as unknown, without an error.
    encoded = gym_model().fit(coded[READS], left)
    refused(saved(encoded, tmp_path), month, "MODEL_NOT_FITTING", "values of plan", "basic")


def test_two_classes_with_probabilities_are_needed(month, tmp_path):
    rows, left = month
    words = left.map({0: "stays", 1: "leaves"})
    worded = saved(gym_model().fit(rows[READS], words), tmp_path)
    refused(worded, month, "MODEL_NOT_FITTING", "leaves, stays", "--positive-class")
    leaves = made(worded, month, positive_class="leaves").model.probability(rows)
    stays = made(worded, month, positive_class="stays").model.probability(rows)
    assert np.abs(leaves + stays - 1).max() < 1e-12
    booleans = saved(gym_model().fit(rows[READS], left.astype(bool)), tmp_path, "b.skops")
    assert np.abs(made(booleans, month).model.probability(rows) - leaves).max() < 1e-9
    hinge = saved(gym_model(SGDClassifier()).fit(rows[READS], left), tmp_path, "h.skops")
    refused(hinge, month, "MODEL_NOT_FITTING", "predict_proba", "SGDClassifier")
    three = saved(gym_model().fit(rows[READS], left + (rows["months"] > 40)), tmp_path, "t.skops")
    refused(three, month, "MODEL_NOT_FITTING", "0, 1, 2")


def test_the_same_file_with_other_statements_is_another_version(month, tmp_path):
    path = saved(gym_model().fit(month[0][READS], month[1]), tmp_path)
    found = {
        made(path, month, **said).digest
        for said in (
            {},
            {"threshold": 0.3},
            {"as_of": "2023-12-31"},
            {"customers": np.arange(2, dtype=np.uint64)},
        )
    }
    assert len(found) == 4
    assert made(path, month, by="Bob", reason="Else.").digest in found


def test_the_sample_is_of_no_customer_and_has_the_contracts_types(month, tmp_path):
    card = made(saved(gym_model().fit(month[0][READS], month[1]), tmp_path), month).card
    assert len(card.imported.sample) == 5
    assert {name: type(value) for name, value in card.imported.sample[0].items()} == {
        "months": int, "plan": str, "hours": float,
    }  # fmt: skip
    assert Path(card.imported.source).name == card.imported.file == "model.skops"


@pytest.mark.parametrize(("period", "day"), [("after", "2024-05-01"), ("before", "2024-06-01")])
def test_nothing_of_a_month_had_happened_on_the_day_of_the_import(month, tmp_path, period, day):
    contract = declared(label=DECLARED["label"] | {"period": period})
    card = made(saved(gym_model().fit(month[0][READS], month[1]), tmp_path), month, contract).card
    assert card.imported.imported_on == "2024-05-01"
    assert card.as_of == day
    assert skops.io.get_untrusted_types(file=card.imported.source) is not None
