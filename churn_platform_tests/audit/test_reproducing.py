"""A version is made again bit for bit from the lake as known then, or the changed input is named."""

import copy
import dataclasses

import pyarrow.parquet as pq
import pytest

from churn_platform.audit import reproducing
from churn_platform.audit.lake_checks import STAMPS
from churn_platform.base import provenance
from churn_platform.base.errors import DataError, IntegrityError, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.lake.arrow_tables import table_digest
from churn_platform_tests.api_client import with_contract
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import DECLARED, JANUARY, open_home
from churn_platform_tests.system.trusted_home import edit_json, flip


@pytest.fixture
def home(sound_copy):
    return sound_copy


def times(folder):
    """The time of the last change of every file; MLflow's database notes each reading."""
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("mlflow.db")
    }


@pytest.mark.parametrize("version", [1, 2])
def test_each_version_is_reproduced_though_january_was_corrected_since(sound, version):
    deliveries = sound.lake.deliveries(JANUARY)
    assert [delivery.kind for delivery in deliveries] == ["first", "correction"]
    found = sound.reproduction.reproduce(version)
    assert (found.reproduced, found.changed, found.noted) == (True, [], [])
    compared = {one.what: one for one in found.compared}
    recorded = sound.registry.load(version)
    assert compared["training dataset"].recorded == recorded.card.dataset_digest
    assert compared["version (data, months, recipe)"].recorded == recorded.digest
    assert {"the release's predictions", "training customers", "threshold"} < set(compared)
    assert all(one.same for one in found.compared)


def test_reproducing_leaves_the_home_as_it_is(home):
    before = times(home.folder)
    home.reproduction.reproduce(1)
    assert times(home.folder) == before


def test_another_policy_since_is_noted_and_the_version_is_made_again_with_its_own(home):
    training = {"algorithm": "random_forest", "salt": "another", "holdout_fraction": 0.5}
    changed = with_contract(
        home, policy={**DECLARED["policy"], "training": training}, slices=["plan"]
    )
    found = changed.reproduction.reproduce(1)
    assert found.reproduced
    assert [noted.partition(" (")[0] for noted in found.noted] == [
        'policy.training.algorithm: "logistic_regression" -> "random_forest"',
        "policy.training.holdout_fraction: 0.25 -> 0.5",
        'policy.training.salt: "churn-platform" -> "another"',
        'slices: ["plan","town"] -> ["plan"]',
    ]


FEWER = {
    "members_fv": {"table": "members", "features": ["months", "plan"]},
    "visits_fv": {"table": "visits", "features": ["hours"]},
}


def test_a_version_is_made_again_with_features_that_the_contract_has_no_longer(home):
    changed = with_contract(home, feature_views=FEWER)
    assert "has_app" not in changed.contract.features
    found = changed.reproduction.reproduce(1)
    assert (found.reproduced, found.changed, found.noted) == (True, [], [])


def test_a_contract_that_is_recorded_nowhere_is_named(home, monkeypatch):
    tables = copy.deepcopy(DECLARED["tables"])
    del tables["members"]["columns"]["has_app"]
    changed = with_contract(home, tables=tables, feature_views=FEWER)
    load = changed.registry.load

    def of_an_earlier_platform(version):
        candidate = load(version)
        card = candidate.card.model_copy(update={"contract": None})
        return dataclasses.replace(candidate, card=card)

    monkeypatch.setattr(changed.registry, "load", of_an_earlier_platform)
    found = changed.reproduction.reproduce(1)
    assert (found.reproduced, found.compared) == (False, [])
    [reason] = found.changed
    assert "contract" in reason


def members(home):
    return home.lake.folder / "members" / "as_of=2024-01-31" / "delivery-0001.parquet"


def without_rows(home):
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
    assert not found.reproduced
    assert any(sentence in change for change in found.changed), found


def test_a_customer_who_was_forgotten_since_is_named_by_the_receipt(home):
    without_rows(home)
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
    assert f"1 customer was forgotten since (receipt {receipt.sequence})" in found.sentence
    assert any("members 2024-01-31 holds other rows" in change for change in found.changed)


def test_another_library_that_makes_no_difference_is_noted(sound, monkeypatch):
    parts = provenance.fitting_parts()
    parts["libraries"]["numpy"] = "1.0"
    monkeypatch.setattr(provenance, "fitting_parts", lambda: parts)
    found = sound.reproduction.reproduce(1)
    assert found.reproduced
    [noted] = found.noted
    assert noted.startswith('numpy: "')
    assert noted.endswith('-> "1.0" (it made no difference)')


def test_a_changed_source_that_makes_a_difference_is_named(sound, monkeypatch):
    parts = provenance.fitting_parts()
    parts["recipe"] = 0
    monkeypatch.setattr(provenance, "fitting_parts", lambda: parts)
    fit = reproducing.fit_candidate

    def other_fit(contract, dataset, *more, **given):
        fitted = fit(contract, dataset, *more, **given)
        classify = fitted.model.pipeline.named_steps["classify"]
        classify.intercept_ = classify.intercept_ + 1e-12
        return fitted

    monkeypatch.setattr(reproducing, "fit_candidate", other_fit)
    found = sound.reproduction.reproduce(1)
    assert not found.reproduced
    [changed] = found.changed
    assert "recipe" in changed
    differ = [one.what.split(" of ")[0] for one in found.compared if not one.same]
    assert differ == ["predictions", "the release's predictions"]


def test_a_release_that_is_not_the_registered_model_is_an_error_or_a_difference(home):
    flip(home.releases.folder / "1" / "model.skops")
    with pytest.raises(IntegrityError, match=r"release 1 was changed: model\.skops"):
        home.reproduction.reproduce(1)


def test_a_version_whose_own_files_were_changed_is_not_compared_with_anything(home):
    own = (home.releases.folder / "1" / "model.skops").read_bytes()
    stored = (home.folder / "artifacts").rglob("model.skops")
    [model] = [path for path in stored if path.read_bytes() == own]
    flip(model)
    with pytest.raises(IntegrityError, match=r"model\.skops does not match the digest recorded"):
        home.reproduction.reproduce(1)


def test_a_version_that_does_not_record_what_it_was_made_from_is_refused(home, monkeypatch):
    load = home.registry.load

    def older(version):
        candidate = load(version)
        card = candidate.card.model_copy(update={"made_from": None})
        return dataclasses.replace(candidate, card=card)

    monkeypatch.setattr(home.registry, "load", older)
    with pytest.raises(DataError) as failed:
        home.reproduction.reproduce(1)
    assert failed.value.code == "VERSION_NOT_REPRODUCIBLE"


def test_an_unknown_version_is_wrong_use(sound):
    with pytest.raises(UsageError, match="has no version 9"):
        sound.reproduction.reproduce(9)
