"""A home whose contract names an estimator of XGBoost in a module next to it: trained, released, scored, explained, reproduced."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
from mlflow import MlflowClient

from churn_platform.base.settings import prepare_environment
from churn_platform.loop.run_month import RefusedTraining
from churn_platform.training.release import PASSPORT
from churn_platform.training.release_loading import load_release
from churn_platform_tests.shared_homes import made_once
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    candidate,
    copied,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
    up_to_decision,
    up_to_scores,
)

pytestmark = pytest.mark.slow

SOURCE = """
from xgboost import XGBClassifier


def build(trees: int = 20):
    return XGBClassifier(n_estimators=trees, max_depth=3, n_jobs=1)
"""
SERVE = """
import json, sys
import lightgbm, skops.io, xgboost  # dask, which LightGBM imports, pickles its own functions
def watch(event, arguments):
    if event == "import" and arguments[0].partition(".")[0] == "gym_models":
        raise SystemExit(f"imports {arguments[0]}")
    if event == "pickle.find_class":
        raise SystemExit(f"unpickles {arguments}")
sys.addaudithook(watch)
from pathlib import Path
from churn_platform.contract.reading import read_contract
from churn_platform.training.release_loading import load_release
from churn_platform.training.releases import Releases
home = Path(sys.argv[1])
releases = Releases(home / "releases")
pointer = releases.pointer()
loaded = load_release(releases, read_contract(home / "contract.yaml"), pointer.version, pointer)
rows = [one.features for one in loaded.manifest.golden]
print(json.dumps([type(loaded.scorer).__name__, loaded.scorer.probability(rows), loaded.scorer.contributions(rows).tolist()]))
"""


def contract(entry, **parameters):
    policy = {**DECLARED["policy"], "training": {"estimator": entry, "parameters": parameters}}
    return {**DECLARED, "policy": policy}


def made(folder, entry="gym_models.churn:build", source=SOURCE, **parameters):
    """A home after January, with a version of the entry point in production."""
    home = make_home(folder, contract(entry, **parameters))
    write(home, source)
    prepare_environment(home.settings)
    home = up_to_decision(home, JANUARY, "first")
    return up_to_scores(home, JANUARY)


def write(home, source):
    models = home.folder / "gym_models"
    models.mkdir(exist_ok=True)
    (models / "churn.py").write_text(textwrap.dedent(source), encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def kept_environment():
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture(scope="module")
def xgboost_home(tmp_path_factory):
    pytest.importorskip("xgboost")
    return open_home(made_once(tmp_path_factory, "xgboost_gym", made))


@pytest.fixture
def home(xgboost_home, tmp_path):
    copy = copied(xgboost_home, tmp_path / "home")
    prepare_environment(copy.settings)
    return copy


def serve(home):
    """What a new process answers that loads the release in production."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SERVE, home.folder],
        capture_output=True, text=True, check=False, cwd="/", env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_version_records_what_it_is_made_of(xgboost_home):
    manifest = xgboost_home.releases.production()
    card = xgboost_home.releases.card(1)
    assert manifest.algorithm == card.algorithm == "gym_models.churn:build"
    assert {"booster.ubj", "serving.json", "model.skops", PASSPORT} <= {*manifest.files}
    assert card.reasons_by == "TreeSHAP"
    estimator = card.made_from.fitted_with["estimator"]
    assert [*estimator["sources"]] == ["gym_models/churn.py"]
    assert "xgboost-cpu" in card.libraries
    client = MlflowClient(xgboost_home.registry.tracking_uri)
    version = client.get_model_version("gym_churn", "1")
    parameters = client.get_run(version.run_id).data.params
    assert (parameters["estimator.n_estimators"], parameters["estimator.random_state"]) == (
        "20",
        "7",
    )


def test_a_server_needs_neither_the_module_nor_a_pickle(home):
    before = serve(home)
    shutil.rmtree(home.folder / "gym_models")
    assert serve(home) == before
    kind, probabilities, _ = before
    assert kind == "FormScorer"
    golden = home.releases.production().golden
    assert probabilities == pytest.approx([one.probability for one in golden], abs=1e-12)


def test_the_months_are_scored_explained_and_verified(home):
    scored = home.records.read("scores", JANUARY)
    assert scored["version"] == 1
    explained = home.status.explain("m00001", None).as_json()
    assert explained["model"]["reasons_by"] == "TreeSHAP"
    assert len(explained["reasons"]) == 3
    found = home.verification.verify(deep=True)
    assert [one for one in found if one.state == "broken"] == []


def test_it_is_reproduced_or_the_changed_source_is_named(home):
    assert home.reproduction.reproduce(1).reproduced
    write(home, SOURCE.replace("max_depth=3", "max_depth=2"))
    changed = home.reproduction.reproduce(1)
    assert not changed.reproduced
    assert any("gym_models/churn.py" in one for one in changed.changed)
    shutil.rmtree(home.folder / "gym_models")
    gone = home.reproduction.reproduce(1)
    assert not gone.reproduced
    assert any("gym_models.churn" in one for one in gone.changed)


def test_a_broken_estimator_refuses_the_training_until_its_source_changes(home):
    home.decision_maker.carry_out()
    deliver(home, FEBRUARY)
    monthly(home, FEBRUARY)
    write(home, "def build(trees: int = 20):\n    raise RuntimeError('no licence')\n")
    versions = home.registry.tags()
    refused = home.candidate_training.train(FEBRUARY)
    assert isinstance(refused, RefusedTraining)
    assert "no licence" in refused.reason
    assert home.registry.tags() == versions
    assert "no licence" in home.progress().refused_training(FEBRUARY)
    assert home.releases.production().version == 1
    write(home, SOURCE)
    home = open_home(home.folder)
    assert home.progress().refused_training(FEBRUARY) is None
    assert candidate(home, FEBRUARY) == 2


def test_an_estimator_without_a_format_of_its_own_is_served_from_skops(tmp_path):
    entry = "sklearn.ensemble:GradientBoostingClassifier"
    home = made(tmp_path / "home", entry, n_estimators=10)
    manifest = home.releases.production()
    assert "serving.json" not in manifest.files
    assert home.releases.card(1).reasons_by == "Shapley sampling"
    kind, probabilities, contributions = serve(home)
    assert kind == "ModelScorer"
    assert probabilities == pytest.approx([one.probability for one in manifest.golden], abs=1e-12)
    loaded = load_release(home.releases, home.contract, 1, home.releases.pointer())
    rows = [one.features for one in manifest.golden]
    assert loaded.scorer.contributions(rows).tolist() == contributions
    assert home.reproduction.reproduce(1).reproduced
    assert (
        month_tables(JANUARY)["members"].shape[0]
        == home.records.read("scores", JANUARY)["customers"]
    )
