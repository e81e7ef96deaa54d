"""Deep verification: break any file that anything rests on, and it is named."""

import hashlib
import json
import shutil

import pytest

from churn_platform_tests.small_business import FEBRUARY, copied, open_home
from churn_platform_tests.system.trusted_home import (
    assert_told,
    edit_json,
    exchange_model,
    flip,
    swap,
    verification,
)


@pytest.fixture
def home(sound, tmp_path):
    return copied(sound, tmp_path / "home")


def verified(home):
    return verification(home, deep=True)


def test_a_sound_home_holds_in_every_depth(sound):
    found = verified(sound)
    assert found["breaks"] == []
    held = {
        finding["check"]: finding["count"]
        for finding in found["findings"]
        if finding["state"] == "holds"
    }
    assert set(held) == {
        "chain",
        "anchors",
        "production",
        "decisions",
        "releases",
        "MLflow",
        "lake",
        "records",
    }
    assert (held["decisions"], held["MLflow"], held["records"]) == (2, 8, 8)
    # six tables of two months, one corrected, one file of quarantined rows
    assert held["lake"] == 8


def test_a_home_that_forgot_customers_one_after_the_other_still_holds(home):

    for customer in ("m00007", "m00003"):  # the second is among the quarantined rows
        open_home(home.folder).erasure.erase(customer, "Ann", "Asked for it.")
        assert verified(home)["breaks"] == []
    flip(home.folder / KINDS["corrected delivery"])
    assert not verified(home)["verified"]


KINDS = {
    "decision": "ledger/decisions/000001.json",
    "model of a release": "releases/2/model.skops",
    "passport of a release": "releases/1/passport.json",
    "manifest of a release": "releases/1/manifest.json",
    "digest of a manifest": "releases/2/manifest.sha256",
    "customers a model has seen": "releases/1/training_entities.npy",
    "first delivery": "lake/members/as_of=2024-01-31/delivery-0001.parquet",
    "corrected delivery": "lake/visits/as_of=2024-01-31/delivery-0002.parquet",
    "labels": "lake/leavers/as_of=2024-02-29/delivery-0001.parquet",
    "manifest of a month": "lake/snapshots/2024-01-31.json",
    "quarantined rows": "quarantine/2024-01-31/2/visits.csv",
    "training dataset": "lake/derived/training_dataset/2024-02-29.parquet",
    "scores": "lake/derived/scores/2024-02-29.parquet",
    "record of scores": "lake/derived/scores/2024-02-29.json",
    "record of drift": "lake/derived/drift_report/2024-01-31.json",
    "record of performance": "lake/derived/performance/2024-02-29.json",
    "record of a dataset": "lake/derived/training_dataset/2024-01-31.json",
    "ranked list": "reports/2024-02-29/at_risk.parquet",
    "ranked list for people": "reports/2024-01-31/at_risk.csv",
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_of_any_file_is_found_and_the_file_named(home, kind):
    path = home.folder / KINDS[kind]
    flip(path)
    found = verified(home)
    assert not found["verified"]
    number = path.parent.name
    named = (str(path), path.name, f"release {number}", f"version {number}")
    assert any(any(name in fault for name in named) for fault in found["breaks"]), found["breaks"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "record of" not in kind])
def test_a_deleted_file_of_any_kind_is_found(home, kind):
    (home.folder / KINDS[kind]).unlink()
    assert not verified(home)["verified"]


def changed_content(home):
    """A forger who writes another table with its digests into the manifest: only the receipt tells."""
    path = home.folder / "lake" / "snapshots" / "2024-02-29.json"
    edit_json(
        path, lambda found: found["deliveries"][0]["tables"]["members"].update(digest="a" * 64)
    )


def forged_release(home):
    """A manifest that was changed together with the digest beside it."""
    folder = home.folder / "releases" / "2"
    edit_json(folder / "manifest.json", lambda found: found.update(threshold=0.01))
    (folder / "manifest.sha256").write_text(
        hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    )


def set_tag(home, version, name, value):
    home.registry._client().set_model_version_tag("gym_churn", str(version), name, value)


def manifest(change):
    return lambda home: edit_json(home.folder / "lake" / "snapshots" / "2024-01-31.json", change)


def decisions(home, *names):
    return [home.folder / "ledger" / "decisions" / f"{name:06d}.json" for name in names]


FORGERIES = {
    "a table of another digest": (changed_content, "delivery 1 is not what a receipt says was published"),
    "a later knowledge time": (
        manifest(lambda found: found["deliveries"][1]["tables"]["visits"].update(created="2024-02-01T00:00:00+00:00")),
        "delivery 2 is not what a receipt says",
    ),
    "a correction cut from a month": (
        manifest(lambda found: found["deliveries"].pop()), "says was published is not in it: it was changed or cut"
    ),
    "two deliveries in another order": (manifest(lambda found: found["deliveries"].reverse()), "not what a receipt says"),
    "a delivery twice": (
        manifest(lambda found: found["deliveries"].append(found["deliveries"][1] | {"number": 3})),
        "delivery 3 is not what a receipt says",
    ),
    "another fingerprint": (manifest(lambda found: found.update(fingerprint="f" * 64)), "its fingerprint is of no drop"),
    "a month gone": (
        lambda home: (home.folder / "lake" / "snapshots" / "2024-02-29.json").unlink(),
        "the manifest of 2024-02-29 is gone",
    ),
    "two months exchanged": (
        lambda home: swap(
            home.folder / "lake/members/as_of=2024-01-31/delivery-0001.parquet",
            home.folder / "lake/members/as_of=2024-02-29/delivery-0001.parquet",
        ),
        "is not what was published",
    ),
    "a release and its digest changed": (forged_release, "manifest.json is not what receipt"),
    "a release gone": (lambda home: shutil.rmtree(home.folder / "releases" / "1"), "releases/1 is gone"),
    "a file added to a release": (
        lambda home: (home.folder / "releases" / "1" / "more.txt").write_text("more"), "more.txt should be no file"
    ),
    "a release that nobody published": (
        lambda home: shutil.copytree(home.folder / "releases" / "1", home.folder / "releases" / "7"), "release 7"
    ),
    "another model in MLflow, with its tag": (
        lambda home: exchange_model(home, 2, 1), "model.skops of version 2 is not the file that was judged"
    ),
    "another digest of a version": (lambda home: set_tag(home, 1, "digest", "f" * 64), "not the candidate that was judged"),
    "a version gone from MLflow": (
        lambda home: home.registry._client().delete_model_version("gym_churn", "1"), "version 1, judged in receipt"
    ),
    "two decisions exchanged": (lambda home: swap(*decisions(home, 1, 2)), "2 records"),
    "a decision twice": (
        lambda home: shutil.copyfile(*decisions(home, 1, 3)), "in another order than their 2 receipts, or not as often"
    ),
    "a decision added": (
        lambda home: decisions(home, 3)[0].write_text(json.dumps({"as_of": "2024-03-31", "decision": "promoted"})),
        "000003.json is not a decision that a receipt records",
    ),
}  # fmt: skip


def test_a_record_that_is_gone_is_named_when_a_receipt_was_written_after_it_and_no_repair_removed_it(
    february_copy,
):
    home = february_copy
    home.progress().record_retraining()
    written = home.ledger.head().sequence
    for kind in ("scores", "drift_report"):
        home.records.path(kind, FEBRUARY, ".json").write_text("{")
    assert {one.what for one in open_home(home.folder).repairs.run()} == {"record"}
    assert verified(home)["breaks"] == []
    home.records.path("performance", FEBRUARY, ".json").unlink()
    assert_told(
        verified(home),
        f"performance/{FEBRUARY}.json is gone: receipt {written} was written after it",
    )


def test_the_list_that_people_read_says_what_the_list_of_the_record_says(home):
    path = home.reports / str(FEBRUARY) / "at_risk.csv"
    first, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, *rows[1:]]))
    assert_told(verified(home), f"{path} does not say what at_risk.parquet beside it says")


@pytest.mark.parametrize("name", FORGERIES)
def test_whatever_a_forger_does_is_found_and_named(home, name):
    change, sentence = FORGERIES[name]
    change(home)
    assert_told(verified(home), sentence)


def test_every_break_is_told_and_the_first_check_first(home):
    flip(home.folder / KINDS["labels"])
    flip(home.folder / KINDS["decision"])
    flip(home.folder / KINDS["scores"])
    found = verified(home)
    assert len(found["breaks"]) >= 3
    assert "000001.json" in found["first_break"]
