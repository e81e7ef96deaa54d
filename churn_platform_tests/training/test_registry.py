"""The registry on MLflow's real SQLite store: what goes in comes out bit for bit, or not at all."""

import json
import pickletools
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import FunctionTransformer

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.provenance import code_digest, made_with
from churn_platform.training.candidate import FILES, Candidate, candidate_digest, fit_candidate
from churn_platform.training.estimator import model_input
from churn_platform.training.model import Recipe
from churn_platform.training.registry import CANDIDATE, PRODUCTION, ModelRegistry
from churn_platform_tests.small_business import FEBRUARY, JANUARY, mlflow_run


@pytest.fixture(scope="session")
def fitted(january_decided):
    """January's candidate fitted once more, as it was before it was registered."""
    return fit_candidate(
        january_decided.contract,
        january_decided.training_datasets.load(JANUARY),
        code_digest(),
        made_with(),
    )


@pytest.fixture(scope="session")
def rows(january_decided):
    """The dataset's rows, nulls and all, with one customer nobody knows anything about."""
    frame = january_decided.training_datasets.load(JANUARY).frame
    nobody = frame.iloc[:1].assign(months=pd.NA, plan=None, has_app=pd.NA, hours=np.nan)
    return pd.concat([frame, nobody.astype(frame.dtypes)], ignore_index=True)


def stored(home, version):
    """The folder in which MLflow keeps a version's model."""
    uri = home.registry._client().get_model_version_download_uri(
        home.registry.model_name, str(version)
    )
    return Path(uri.removeprefix("file://"))


def stored_file(home, version, name):
    (path,) = stored(home, version).rglob(name)
    return path


def test_a_version_is_loaded_with_the_probabilities_it_was_registered_with(
    january_decided, fitted, rows
):
    loaded = january_decided.registry.load(1)
    assert loaded.version == 1
    assert loaded.card == fitted.card
    assert loaded.model.threshold == fitted.model.threshold
    np.testing.assert_array_equal(loaded.model.probability(rows), fitted.model.probability(rows))
    np.testing.assert_array_equal(loaded.training_entities, fitted.training_entities)
    assert len(loaded.training_entities) == fitted.card.training_rows == 1129


def as_csv(rows, tmp_path):
    """The rows as pandas reads them from a CSV file: booleans with gaps are objects, whole numbers floats."""
    rows.to_csv(tmp_path / "rows.csv", index=False)
    return pd.read_csv(tmp_path / "rows.csv")


@pytest.fixture
def pyfunc(january_decided):
    """The probabilities of any rows, by the registered model as MLflow's users load it."""
    import mlflow
    import mlflow.pyfunc

    mlflow.set_tracking_uri(january_decided.registry.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/gym_churn/1")
    return lambda rows: np.asarray(model.predict(rows))


@pytest.mark.parametrize(
    "given",
    [
        lambda rows, _: rows,
        as_csv,
        lambda rows, _: rows.astype({"plan": "category"}),
        lambda rows, _: rows.assign(has_app=rows["has_app"].map({True: "Yes", False: "no"})),
        lambda rows, _: rows.assign(has_app=rows["has_app"].astype(object).where(rows["has_app"].notna(), None)),
        lambda rows, _: model_input((("months", "integer"), ("plan", "category"), ("has_app", "boolean"), ("hours", "float")), rows),
    ],
    ids=["training dataset", "csv", "categorical", "words", "objects", "ready"],
)  # fmt: skip
def test_mlflows_own_model_takes_rows_as_they_are_with_the_same_probability(
    pyfunc, fitted, rows, tmp_path, given
):
    answer = pyfunc(given(rows, tmp_path))
    assert answer.shape == (len(rows), 2)
    np.testing.assert_allclose(answer[:, 1], fitted.model.probability(rows), rtol=0, atol=1e-12)


def test_the_signature_and_the_feature_schema_name_every_feature_in_order(january_decided, fitted):
    import mlflow.models

    signature = mlflow.models.get_model_info(str(stored(january_decided, 1))).signature
    names = [feature.name for feature in fitted.card.features]
    assert [(column.name, str(column.type)) for column in signature.inputs] == [
        (name, "Any") for name in names
    ]
    assert signature.outputs.inputs[0].shape == (-1, 2)
    schema = {
        "features": [feature.model_dump() for feature in fitted.card.features],
        "contract_hash": january_decided.contract.model_hash,
    }
    assert json.loads(stored_file(january_decided, 1, "feature_schema.json").read_text()) == schema
    client = january_decided.registry._client()
    run_id = client.get_model_version("gym_churn", "1").tags["mlflow_run"]
    artifacts = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    assert json.loads((artifacts / "feature_schema.json").read_text()) == schema
    plots = sorted(path.stem for path in (artifacts / "plots").iterdir())
    assert plots == ["calibration", "lift", "roc"]


def test_the_run_carries_the_metrics_and_the_parameters(january_decided, fitted):
    client = january_decided.registry._client()
    run = client.get_run(client.get_model_version("gym_churn", "1").tags["mlflow_run"]).data
    metrics = {
        name: value for name, value in fitted.card.metrics.items() if not isinstance(value, list)
    }
    assert run.metrics == metrics
    assert run.params["algorithm"] == "logistic_regression"
    assert run.params["as_of"] == "2024-01-31"
    assert run.params["dataset_digest"] == fitted.card.dataset_digest
    assert run.params["estimator.max_iter"] == "1000"


def is_pickle(content):
    """Whether bytes are a whole pickle of any protocol."""
    try:
        return list(pickletools.genops(content))[-1][0].name == "STOP"
    except (ValueError, IndexError, UnicodeDecodeError):
        return False


def test_nothing_in_the_artifact_folder_is_a_pickle(january_decided):
    files = [path for path in (january_decided.folder / "artifacts").rglob("*") if path.is_file()]
    assert {"model.skops", "passport.json", "training_entities.npy"} <= {
        path.name for path in files
    }
    contents = {str(path): path.read_bytes() for path in files}
    for path in files:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents |= {f"{path}/{name}": archive.read(name) for name in archive.namelist()}
    assert len(contents) > len(files)
    assert [name for name, content in contents.items() if is_pickle(content)] == []
    assert [name for name in contents if name.endswith((".pkl", ".pickle", ".joblib"))] == []
    assert is_pickle(b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00]\x94.")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["one byte", "cut", "gone"])
def test_a_changed_file_is_named_and_the_version_never_loaded(january_decided_copy, name, change):
    path = stored_file(january_decided_copy, 1, name)
    content = path.read_bytes()
    if change == "gone":
        path.unlink()
    else:
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes({"cut": content[:-1], "one byte": flipped}[change])
    said = rf"Version 1 of gym_churn: {name} does not match the digest recorded when it was registered .*: not loaded"
    with pytest.raises(IntegrityError, match=said):
        january_decided_copy.registry.load(1)


@pytest.mark.parametrize("level", [0, 1], ids=["artifacts", "model"])
def test_a_version_whose_folder_is_gone_is_one_with_changed_files(january_decided_copy, level):
    shutil.rmtree(stored_file(january_decided_copy, 1, "model.skops").parents[level])
    with pytest.raises(
        IntegrityError, match=r"^Version 1 of gym_churn: .* does not match the digest recorded"
    ):
        january_decided_copy.registry.load(1)


def test_a_model_of_a_type_that_is_not_ours_is_not_built_even_with_its_digest(
    january_decided_copy, tmp_path
):
    import hashlib

    import skops.io

    home = january_decided_copy
    content = skops.io.dumps(FunctionTransformer(func=subprocess.getoutput))
    stored_file(home, 1, "model.skops").write_bytes(content)
    client = home.registry._client()
    client.set_model_version_tag(
        "gym_churn", "1", "sha256.model.skops", hashlib.sha256(content).hexdigest()
    )
    with pytest.raises(
        IntegrityError,
        match=r"types that are not allowed \(.*subprocess\.getoutput.*\): not loaded",
    ):
        home.registry.load(1)


def test_the_same_data_recipe_and_code_are_found_and_any_other_is_not(january_decided):
    dataset = january_decided.training_datasets.load(JANUARY)
    digest = candidate_digest(dataset, Recipe.of(january_decided.contract), code_digest())
    assert january_decided.registry.find(digest) == 1
    assert january_decided.registry.find(digest[::-1]) is None
    assert ModelRegistry(january_decided.folder, "other_model").find(digest) is None


def test_a_version_that_was_cut_off_before_its_digest_is_never_found(january_decided_copy, fitted):
    home = january_decided_copy
    client = home.registry._client()
    client.delete_model_version_tag("gym_churn", "1", "digest")
    assert home.registry.find(fitted.digest) is None
    client.set_model_version_tag("gym_churn", "1", "digest", fitted.digest)
    client.create_model_version("gym_churn", f"file://{stored(home, 1)}")
    assert home.registry.find(fitted.digest) == 1
    client.set_model_version_tag("gym_churn", "2", "digest", fitted.digest)
    assert home.registry.find(fitted.digest) == 1  # of two alike the first


def test_loading_asks_this_homes_store_whatever_mlflow_was_last_set_to(
    january_decided, tmp_path, monkeypatch
):
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/other.db")
    assert january_decided.registry.load(1).version == 1
    assert january_decided.registry.alias(CANDIDATE) == 1
    assert [path.name for path in tmp_path.iterdir()] == []


def test_an_alias_moves_and_an_unknown_one_is_none(january_decided_copy):
    registry = january_decided_copy.registry
    assert (registry.alias(CANDIDATE), registry.alias(PRODUCTION)) == (1, None)
    registry.set_alias(PRODUCTION, 1)
    assert registry.alias(PRODUCTION) == 1
    for _ in range(2):
        registry.remove_alias(PRODUCTION)
        assert (registry.alias(CANDIDATE), registry.alias(PRODUCTION)) == (1, None)
    assert ModelRegistry(january_decided_copy.folder, "other_model").alias(PRODUCTION) is None
    assert (registry.has(1), registry.has(2)) == (True, False)
    with pytest.raises(UsageError, match=r"^gym_churn has no version 2\.$"):
        registry.load(2)


def test_a_store_that_cannot_be_read_is_not_the_same_as_no_alias(tmp_path):
    assert ModelRegistry(tmp_path, "gym_churn").alias(PRODUCTION) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlflow.db").write_text("this was a database once")
    with pytest.raises(
        IntegrityError,
        match=r"mlflow\.db cannot be read \(.*file is not a database.*\): restore it",
    ):
        ModelRegistry(tmp_path, "gym_churn").alias(PRODUCTION)


def test_a_candidate_is_logged_to_the_run_that_is_named_and_to_no_other(
    january_decided_copy, fitted
):
    home = january_decided_copy
    sample = home.training_datasets.load(JANUARY).training_rows()
    with mlflow_run(home) as old:
        pass
    with pytest.raises(UsageError, match=f"MLflow's active run is not {old}"):
        home.registry.register(fitted, sample, {}, old)
    with mlflow_run(home), pytest.raises(UsageError, match=f"MLflow's active run is not {old}"):
        home.registry.register(fitted, sample, {}, old)
    assert len(home.registry._client().search_model_versions("name='gym_churn'")) == 1


def test_tags_and_the_ledgers_head_are_kept_beside_the_version(january_decided_copy):
    registry = january_decided_copy.registry
    client = registry._client()
    run_id = client.get_model_version("gym_churn", "1").tags["mlflow_run"]
    registry.tag_run(run_id, {"fitted": "true", "version": "1"})
    registry.anchor(1, "a" * 64)
    assert client.get_run(run_id).data.tags.items() >= {"fitted": "true", "version": "1"}.items()
    assert client.get_model_version("gym_churn", "1").tags["ledger_head"] == "a" * 64


def test_preparing_again_changes_nothing_and_artifacts_stay_in_the_home(
    january_decided_copy, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    home = january_decided_copy
    home.registry.prepare()
    client = home.registry._client()
    experiment = client.get_experiment_by_name("gym_churn")
    assert experiment.artifact_location == (home.folder / "artifacts").as_uri()
    assert len(client.search_registered_models()) == 1
    assert not (tmp_path / "mlruns").exists()


def test_february_is_another_version_of_the_same_model(february_decided):
    registry = february_decided.registry
    assert (registry.alias(CANDIDATE), registry.alias(PRODUCTION)) == (2, 1)
    assert registry.load(2).card.as_of == FEBRUARY.isoformat()
    assert isinstance(registry.load(1), Candidate)
