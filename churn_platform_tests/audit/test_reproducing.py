"""A version is made again bit for bit from the lake as known then, or the input that changed is named."""

import dataclasses
import json

import pytest
import yaml

from churn_platform.base import provenance
from churn_platform.base.errors import DataError, IntegrityError, UsageError
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import DECLARED, JANUARY, copied, open_home
from churn_platform_tests.system.trusted_home import edit_json, flip


@pytest.fixture
def home(sound, tmp_path):
    return copied(sound, tmp_path / "home")


def with_contract(home, **changes):
    (home.folder / "contract.yaml").write_text(
        yaml.safe_dump({**DECLARED, **changes}, sort_keys=False)
    )
    return open_home(home.folder)


def files_of(folder):
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("version", [1, 2])
def test_each_version_is_reproduced_though_january_was_corrected_since(sound, version):
    deliveries = sound.lake.deliveries(JANUARY)
    assert [delivery.kind for delivery in deliveries] == ["first", "correction"]
    found = sound.reproduction.reproduce(version)
    assert (found["reproduced"], found["changed"], found["noted"]) == (True, [], [])
    assert found["sentence"].startswith(f"Version {version} is reproduced")
    assert json.loads(json.dumps(found)) == found
    compared = {one["what"]: one for one in found["compared"]}
    assert (
        compared["training dataset"]["recorded"] == sound.registry.load(version).card.dataset_digest
    )
    assert (
        compared["version (data, months, recipe)"]["recorded"]
        == sound.registry.load(version).digest
    )
    assert {"the release's predictions", "training customers", "threshold"} < set(compared)
    assert all(one["same"] for one in found["compared"])


def test_reproducing_leaves_the_home_as_it_is(home):
    before = files_of(home.folder)
    home.reproduction.reproduce(1)
    after = files_of(home.folder)
    assert {name: after[name] for name in before if not name.startswith("mlflow.db")} == {
        name: time for name, time in before.items() if not name.startswith("mlflow.db")
    }
    assert {name for name in after if name not in before and "mlflow.db" not in name} == set()


def test_another_policy_since_is_noted_and_the_version_is_made_again_with_its_own(home):
    training = {"algorithm": "random_forest", "salt": "another", "holdout_fraction": 0.5}
    changed = with_contract(
        home, policy={**DECLARED["policy"], "training": training}, slices=["plan"]
    )
    found = changed.reproduction.reproduce(1)
    assert found["reproduced"]
    assert [said.partition(" (")[0] for said in found["noted"]] == [
        'policy.training.algorithm: "logistic_regression" -> "random_forest"',
        "policy.training.holdout_fraction: 0.25 -> 0.5",
        'policy.training.salt: "churn-platform" -> "another"',
        'slices: ["plan","town"] -> ["plan"]',
    ]


def test_features_that_the_contract_has_no_longer_are_named(home):
    views = {
        "members_fv": {"table": "members", "features": ["months", "plan"]},
        "visits_fv": {"table": "visits", "features": ["hours"]},
    }
    found = with_contract(home, feature_views=views).reproduction.reproduce(1)
    assert not found["reproduced"]
    assert "features of the contract have changed since" in found["sentence"]
    assert 'features.has_app: "boolean" -> null' in found["sentence"]


def members(home):
    return home.lake.folder / "members" / "as_of=2024-01-31" / "delivery-0001.parquet"


def without_rows(home):
    import pyarrow.parquet as pq

    table = pq.ParquetFile(members(home)).read()
    pq.write_table(table.slice(5), members(home))


LAKES = {
    "a file gone": (
        lambda home: members(home).unlink(),
        "delivery-0001.parquet is gone: members of 2024-01-31",
    ),
    "a file of other rows": (without_rows, "delivery-0001.parquet is not what was published"),
    "a file that is none": (
        lambda home: members(home).write_bytes(b"PAR1"),
        "is not what was published",
    ),
    "a delivery cut from the manifest": (
        lambda home: edit_json(
            home.lake.folder / "snapshots" / "2024-01-31.json",
            lambda found: found["deliveries"].pop(0),
        ),
        "members 2024-01-31 is not in the lake any more as it was known then",
    ),
    "a correction that claims to have been known": (
        lambda home: edit_json(
            home.lake.folder / "snapshots" / "2024-01-31.json",
            lambda found: found["deliveries"][1]["tables"]["visits"].update(
                created="2024-01-31T00:00:00+00:00"
            ),
        ),
        "visits 2024-01-31 holds other rows than then",
    ),
}


@pytest.mark.parametrize("name", LAKES)
def test_what_changed_in_the_lake_since_is_named(home, name):
    change, sentence = LAKES[name]
    change(home)
    found = open_home(home.folder).reproduction.reproduce(1)
    assert not found["reproduced"]
    assert any(sentence in said for said in found["changed"]), found


def test_a_customer_who_was_forgotten_since_is_named_by_the_receipt(home):
    from churn_platform.audit.deep_checks import STAMPS
    from churn_platform.base.files import sha256_file
    from churn_platform.lake.arrow_tables import table_digest

    without_rows(home)
    import pyarrow.parquet as pq

    table = pq.ParquetFile(members(home)).read().drop_columns(STAMPS).replace_schema_metadata(None)
    entry = {
        "sha256": sha256_file(members(home)),
        "digest": table_digest(table),
        "rows": table.num_rows,
    }
    edit_json(
        home.lake.folder / "snapshots" / "2024-01-31.json",
        lambda found: found["deliveries"][0]["tables"]["members"].update(entry),
    )
    receipt = record_act(
        home.ledger, actor="Ann", act="customer forgotten", subject="a customer", reason="Asked."
    )
    found = open_home(home.folder).reproduction.reproduce(1)
    assert f"1 customer was forgotten since (receipt {receipt.sequence})" in found["sentence"]
    assert any("members 2024-01-31 holds other rows than then" in said for said in found["changed"])


def test_another_library_that_makes_no_difference_is_noted(sound, monkeypatch):
    parts = provenance.fitting_parts()
    parts["libraries"]["numpy"] = "1.0"
    monkeypatch.setattr(provenance, "fitting_parts", lambda: parts)
    found = sound.reproduction.reproduce(1)
    assert found["reproduced"]
    [noted] = found["noted"]
    assert noted.startswith('numpy: "')
    assert noted.endswith('-> "1.0" (it made no difference)')


def test_a_changed_source_that_makes_a_difference_is_named(sound, monkeypatch):
    """Another calibration is another fit: the sentence names the source whose digest is no longer the recorded one."""
    from churn_platform.audit import reproducing

    parts = provenance.fitting_parts()
    parts["recipe"] = 0
    monkeypatch.setattr(provenance, "fitting_parts", lambda: parts)
    fit = reproducing.fit_candidate

    def other_fit(contract, dataset, *more):
        fitted = fit(contract, dataset, *more)
        classify = fitted.model.pipeline.named_steps["classify"]
        classify.intercept_ = classify.intercept_ + 1e-12
        return fitted

    monkeypatch.setattr(reproducing, "fit_candidate", other_fit)
    found = sound.reproduction.reproduce(1)
    assert not found["reproduced"]
    assert len(found["changed"]) == 1
    assert "recipe" in found["changed"][0]
    differ = [one["what"] for one in found["compared"] if not one["same"]]
    assert [what.split(" of ")[0] for what in differ] == [
        "predictions",
        "the release's predictions",
    ]


def test_a_release_that_is_not_the_registered_model_is_an_error_or_a_difference(home):
    flip(home.releases.folder / "1" / "model.skops")
    with pytest.raises(IntegrityError, match=r"release 1 was changed: model\.skops"):
        home.reproduction.reproduce(1)


def test_a_version_whose_own_files_were_changed_is_not_compared_with_anything(home):
    [model] = [
        p for p in (home.folder / "artifacts").rglob("model.skops") if _of_version(home, p, 1)
    ]
    flip(model)
    with pytest.raises(IntegrityError, match=r"model\.skops does not match the digest recorded"):
        home.reproduction.reproduce(1)


def _of_version(home, path, version):
    return path.read_bytes() == (home.releases.folder / str(version) / "model.skops").read_bytes()


def test_a_version_that_does_not_say_what_it_was_made_from_is_told_so(home, monkeypatch):
    load = home.registry.load

    def older(version):
        candidate = load(version)
        card = candidate.card.model_copy(update={"made_from": None})
        return dataclasses.replace(candidate, card=card)

    monkeypatch.setattr(home.registry, "load", older)
    with pytest.raises(DataError, match="Version 1 does not say what it was made from"):
        home.reproduction.reproduce(1)


def test_an_unknown_version_is_wrong_use(sound):
    with pytest.raises(UsageError, match="has no version 9"):
        sound.reproduction.reproduce(9)
