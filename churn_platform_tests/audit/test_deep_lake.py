"""Forgetting rewrites the lake: what older receipts name is followed to what it has become, and to nothing else."""

import pyarrow.parquet as pq
import pytest

from churn_platform.audit.deep_checks import STAMPS, check_lake, current
from churn_platform.base.files import sha256_file
from churn_platform.ingestion.drop import open_drop
from churn_platform.lake.arrow_tables import table_digest
from churn_platform.ledger import receipts as ledger
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import JANUARY, copied, open_home
from churn_platform_tests.system.trusted_home import edit_json, recorded_digests

ACT = {
    "time": "2024-02-29T06:00:00+00:00",
    "actor": "Ann",
    "subject": "a customer",
    "reason": "Asked for it.",
}


@pytest.fixture
def home(january, tmp_path):
    return copied(january, tmp_path / "home")


def forget(home, rows):
    """Take the first `rows` rows out of January's members; what the receipt would say of it."""
    before, path = (
        recorded_digests(home),
        home.lake.folder / "members/as_of=2024-01-31/delivery-0001.parquet",
    )
    kept = pq.ParquetFile(path).read().slice(rows)
    pq.write_table(kept, path, compression="zstd")

    def rewrite(manifest):
        entry = manifest["deliveries"][0]["tables"]["members"]
        content = table_digest(kept.drop_columns(STAMPS).replace_schema_metadata(None))
        entry.update(sha256=sha256_file(path), digest=content, rows=kept.num_rows)

    edit_json(home.lake.folder / "snapshots" / "2024-01-31.json", rewrite)
    after = recorded_digests(open_home(home.folder))
    return {before[place]: after[place] for place in before if before[place] != after[place]}


def faults(home):
    opened = open_home(home.folder)
    return [
        f.detail
        for f in check_lake(opened.lake, opened.folder, opened.ledger.receipts())
        if f.state == "broken"
    ]


def test_every_digest_that_a_receipt_names_is_among_those_recorded(home):
    [receipt] = home.ledger.receipts("drop accepted")
    recorded = recorded_digests(home)
    assert {receipt.evidence["snapshot"], receipt.evidence["delivery"]} <= set(recorded.values())
    assert (
        recorded["2024-01-31/1 members"]
        == home.lake.deliveries(JANUARY)[0].tables["members"].digest
    )


def test_a_rewritten_lake_holds_by_the_receipt_that_says_so_and_not_without_it(home):
    assert faults(home) == []
    mapping = forget(home, 1)
    assert any("is not what a receipt says was published" in fault for fault in faults(home))
    record_act(
        home.ledger,
        actor="Ann",
        act="customer forgotten",
        subject="a customer",
        reason="Asked.",
        evidence={"digests": mapping},
    )
    assert faults(home) == []


def test_a_drop_that_comes_again_in_other_files_holds_whatever_its_files_become(home):
    for _ in range(2):
        with (home.drops / "2024-01-31" / "visits.csv").open("a") as visits:
            visits.write("\n")
        assert faults(home) == []
        open_home(home.folder).ingestion.publish(JANUARY)
    with (home.drops / "2024-01-31" / "visits.csv").open("a") as visits:
        visits.write("\n")
    assert faults(home) == []


def test_a_changed_drop_that_the_lake_was_made_to_pass_over_is_found(home):
    with (home.drops / "2024-01-31" / "visits.csv").open("a") as visits:
        visits.write("\n")
    changed = open_drop(home.drops / "2024-01-31", JANUARY, home.contract)
    home.lake.acknowledge(JANUARY, changed.fingerprint)
    [fault] = faults(home)
    assert "its fingerprint is of no drop that a receipt names" in fault


def test_two_customers_forgotten_one_after_the_other_are_followed_through_both(home):
    for _ in range(2):
        evidence = {"digests": forget(home, 1)}
        fields = {
            "actor": "Ann",
            "act": "customer forgotten",
            "subject": "a customer",
            "reason": "Asked.",
        }
        record_act(home.ledger, **fields, evidence=evidence)
    assert faults(home) == []


def test_only_a_later_receipt_supersedes_a_digest():
    head, receipts = None, []
    for digests in ({"a": "b"}, {"b": "c"}):
        head = ledger.append(head, **ACT, act="customer forgotten", evidence={"digests": digests})
        receipts.append(head)
    assert current(receipts, "a", 0) == "c"
    assert current(receipts, "a", 1) == "a"
    assert current(receipts, "b", 1) == "c"
    assert current(receipts, "b", 2) == "b"
    assert current(receipts, "x", 0) == "x"
