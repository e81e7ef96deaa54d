"""Deep verification: change any file that anything rests on, and it is named."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from churn_platform.audit.lake_checks import STAMPS, check_lake
from churn_platform.base.files import sha256_file
from churn_platform.ingestion.drop import open_drop
from churn_platform.lake.arrow_tables import table_digest
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.erasures import current
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import FEBRUARY, JANUARY, open_home
from churn_platform_tests.system.trusted_home import (
    assert_told,
    edit_json,
    exchange_model,
    flip,
    recorded_digests,
    swap,
    verification,
)


@pytest.fixture
def home(sound_copy):
    return sound_copy


def verified(home):
    return verification(home, deep=True)


def test_a_valid_home_holds_in_every_check(sound):
    found = verified(sound)
    assert found["breaks"] == []
    held = {one["check"]: one["count"] for one in found["findings"] if one["state"] == "holds"}
    assert set(held) == {"chain", "anchors", "production", "decisions", "releases", "MLflow", "contract", "lake", "records"}  # fmt: skip
    assert (held["decisions"], held["MLflow"], held["records"]) == (2, 8, 8)
    # Six tables of two months, one corrected, one file of quarantined rows.
    assert held["lake"] == 8


def test_a_home_that_erased_customers_one_after_the_other_still_holds(home):
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
    named = (str(path), path.name, f"release {path.parent.name}")
    assert any(any(name in fault for name in named) for fault in found["breaks"]), found["breaks"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "record of" not in kind])
def test_a_deleted_file_of_any_kind_is_found(home, kind):
    (home.folder / KINDS[kind]).unlink()
    assert not verified(home)["verified"]


def forged_release(home):
    """A manifest that was changed together with the digest next to it."""
    folder = home.folder / "releases" / "2"
    edit_json(folder / "manifest.json", lambda found: found.update(threshold=0.01))
    digest = sha256_file(folder / "manifest.json")
    (folder / "manifest.sha256").write_text(digest)


def set_tag(home, version, name, value):
    home.registry._client().set_model_version_tag("gym_churn", str(version), name, value)


def manifest(change, month=JANUARY):
    return lambda home: edit_json(home.folder / "lake" / "snapshots" / f"{month}.json", change)


def table(number, name, **fields):
    """Change what a manifest records of a table of its delivery."""
    return lambda found: found["deliveries"][number]["tables"][name].update(fields)


def decisions(home, *names):
    return [home.folder / "ledger" / "decisions" / f"{name:06d}.json" for name in names]


FORGERIES = {
    "a table of another digest": (manifest(table(0, "members", digest="a" * 64), FEBRUARY), "2024-02-29.json: no receipt published delivery 1"),
    "a later knowledge time": (manifest(table(1, "visits", created="2024-02-01T00:00:00+00:00")), "no receipt published delivery 2"),
    "a correction removed from a month": (manifest(lambda found: found["deliveries"].pop()), "is not in it"),
    "two deliveries in another order": (manifest(lambda found: found["deliveries"].reverse()), "no receipt published"),
    "a delivery twice": (
        manifest(lambda found: found["deliveries"].append(found["deliveries"][1] | {"number": 3})), "no receipt published delivery 3"
    ),
    "another fingerprint": (manifest(lambda found: found.update(fingerprint="f" * 64)), "names a drop of its fingerprint"),
    "a month gone": (lambda home: (home.folder / f"lake/snapshots/{FEBRUARY}.json").unlink(), "manifest of 2024-02-29 is gone"),
    "two months exchanged": (
        lambda home: swap(*(home.folder / f"lake/members/as_of={month}/delivery-0001.parquet" for month in (JANUARY, FEBRUARY))),
        "is not what was published",
    ),
    "a release and its digest changed": (forged_release, "manifest.json is not what receipt"),
    "a release gone": (lambda home: shutil.rmtree(home.folder / "releases" / "1"), "releases/1 is gone"),
    "a file added to a release": (lambda home: (home.folder / "releases/1/more.txt").write_text("more"), "more.txt should be no file"),
    "a release that nobody published": (
        lambda home: shutil.copytree(home.folder / "releases" / "1", home.folder / "releases" / "7"), "release 7"
    ),
    "another model in MLflow, with its tag": (lambda home: exchange_model(home, 2, 1), "model.skops of version 2 is not the file"),
    "another digest of a version": (lambda home: set_tag(home, 1, "digest", "f" * 64), "not the candidate that was judged"),
    "a version gone from MLflow": (
        lambda home: home.registry._client().delete_model_version("gym_churn", "1"), "version 1, judged in receipt"
    ),
    "two decisions exchanged": (lambda home: swap(*decisions(home, 1, 2)), "2 records"),
    "a decision twice": (lambda home: shutil.copyfile(*decisions(home, 1, 3)), "in another order than their 2 receipts"),
    "a decision added": (
        lambda home: decisions(home, 3)[0].write_text(json.dumps({"as_of": "2024-03-31"})), "000003.json is not a decision"
    ),
    "another list for people": (
        lambda home: (home.reports / f"{FEBRUARY}/at_risk.csv").write_text("rank"), "at_risk.csv has other rows"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_whatever_a_forger_does_is_found_and_named(home, name):
    change, fact = FORGERIES[name]
    change(home)
    assert_told(verified(home), fact)


def test_a_record_that_is_gone_is_named_if_a_receipt_follows_it_and_no_repair_removed_it(
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
    assert_told(verified(home), f"performance/{FEBRUARY}.json is gone: receipt {written}")


def test_every_break_is_reported_and_the_first_check_first(home):
    for kind in ("labels", "decision", "scores"):
        flip(home.folder / KINDS[kind])
    found = verified(home)
    assert len(found["breaks"]) >= 3
    assert "000001.json" in found["first_break"]


def without_members(home, rows):
    """Remove the first rows of January's members as an erasure does; old digest -> new one."""
    before = recorded_digests(home)
    path = home.lake.folder / "members/as_of=2024-01-31/delivery-0001.parquet"
    kept = pq.ParquetFile(path).read().slice(rows)
    pq.write_table(kept, path, compression="zstd")
    content = table_digest(kept.drop_columns(STAMPS).replace_schema_metadata(None))
    manifest(table(0, "members", sha256=sha256_file(path), digest=content, rows=kept.num_rows))(
        home
    )
    after = recorded_digests(open_home(home.folder))
    return {before[place]: after[place] for place in before if before[place] != after[place]}


def erased(home, digests):
    return record_act(
        home.ledger,
        actor="Ann",
        act="customer forgotten",
        subject="a customer",
        reason="Asked.",
        evidence={"digests": digests},
    )


def lake_faults(home):
    opened = open_home(home.folder)
    found = check_lake(opened.lake, opened.folder, opened.ledger.receipts())
    return [one.detail for one in found if one.state == "broken"]


def test_a_rewritten_lake_holds_by_the_receipts_of_the_erasures_and_not_without_them(january_copy):
    home = january_copy
    assert lake_faults(home) == []
    first = without_members(home, 1)
    assert any("no receipt published" in fault for fault in lake_faults(home))
    erased(home, first)
    assert lake_faults(home) == []
    erased(home, without_members(home, 1))
    assert lake_faults(home) == []


def changed_drop(home):
    """January's drop once more in another file; its fingerprint."""
    with (home.drops / "2024-01-31" / "visits.csv").open("a") as visits:
        visits.write("\n")
    return open_drop(home.drops / "2024-01-31", JANUARY, home.contract).fingerprint


def test_a_changed_drop_is_found_only_if_the_lake_was_made_to_ignore_it(january_copy):
    home = january_copy
    changed_drop(home)
    open_home(home.folder).ingestion.publish(JANUARY)
    changed = changed_drop(home)
    assert lake_faults(home) == []
    home.lake.acknowledge(JANUARY, changed)
    [fault] = lake_faults(home)
    assert "names a drop of its fingerprint" in fault


def test_only_a_later_receipt_supersedes_a_digest():
    head, receipts = None, []
    for digests in ({"a": "b"}, {"b": "c"}):
        head = ledger.append(
            head,
            time="2024-02-29T06:00:00+00:00",
            actor="Ann",
            act="customer forgotten",
            subject="a customer",
            reason="Asked.",
            evidence={"digests": digests},
        )
        receipts.append(head)
    found = [
        current(receipts, *asked) for asked in (("a", 0), ("a", 1), ("b", 1), ("b", 2), ("x", 0))
    ]
    assert found == ["c", "a", "c", "b", "x"]
