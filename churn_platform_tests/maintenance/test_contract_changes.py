"""Erasure, backup and restore of a home whose months have different contracts."""

import pandas as pd
import pytest

from churn_platform.contract.parts import KeySpelling
from churn_platform.maintenance.customer_rows import Key
from churn_platform_tests.changing_business import JUNE, MAY, MONTHS, contract_of, write_contract
from churn_platform_tests.loop_steps import run
from churn_platform_tests.maintenance.test_erasure import erase, places
from churn_platform_tests.small_business import JANUARY, copied, open_home
from churn_platform_tests.system.trusted_home import verification

KEY = "m00012"


@pytest.fixture
def home(changed_copy):
    """Six months of different contracts."""
    return changed_copy


def test_a_customer_is_erased_from_months_of_every_contract(home):
    counts = {month: home.lake.classes(month) for month in MONTHS}
    left = {month: home.lake.labels(month, home.now())[KEY] for month in MONTHS}
    named = places(home, KEY)
    assert any("calls" in place for place in named), "a table that has ended"
    assert any("plans" in place for place in named), "a part of a table"
    erase(home, KEY)
    assert places(home, KEY) == []
    home = open_home(home.folder)
    for month in MONTHS:
        found = home.lake.classes(month)
        assert found.churners == counts[month].churners - left[month]
        assert found.stayers == counts[month].stayers - (not left[month])
        assert all(KEY not in set(t["member"]) for t in home.lake.tables(month).values())
    found = verification(home, deep=True)
    assert found["verified"], found["breaks"]
    assert run(home) == []


def test_a_key_that_the_newest_files_spell_in_another_way_is_erased_from_them(home):
    drop = home.drops / JUNE.isoformat() / "visits.csv"
    assert f"X-{KEY}," in drop.read_text()
    rows = drop.read_text().count("\n")
    erase(home, KEY)
    assert f"X-{KEY}," not in drop.read_text()
    assert drop.read_text().count("\n") == rows - 1


def test_a_spelled_key_is_compared_as_validation_reads_it():
    spelling = KeySpelling(since=JUNE, remove_prefix="X-", digits=4, add_prefix="m")
    keys = pd.Series(["X-12", "X-0012", "m0012", "X-13", None], dtype="string")
    key = Key("m0012", ["member"], spelling=spelling)
    assert key.named_by(keys).tolist() == [True, True, False, False, False]


def test_versions_trained_on_an_erased_customer_are_named_and_the_others_reproduced(home):
    gone = next(
        one for one in home.lake.labels(MAY, home.now()).index if one in _seen(home, 1, JANUARY)
    )
    found = erase(home, gone)
    assert 1 in found.versions
    again = open_home(home.folder).reproduction.reproduce(1)
    assert not again.reproduced
    assert "forgotten since" in again.sentence
    assert "contract" not in again.sentence


def _seen(home, version, month):
    frame = home.training_datasets.load(month).training_rows()
    assert home.registry.load(version).card.months == [month.isoformat()]
    return set(frame["member"])


def test_a_home_is_restored_with_its_contracts_and_pending_changes(home, tmp_path):
    pending = contract_of(JUNE)
    pending["tables"]["visits"]["description"] = "One row per member."
    home = write_contract(home, pending)
    home.backup.write(tmp_path / "backup.zip")
    target = open_home(tmp_path / "restored")
    said = target.backup.restore(tmp_path / "backup.zip")
    restored = open_home(target.folder)
    restored.backup.verify(said)
    assert (restored.folder / "contract.yaml").read_bytes() == (
        home.folder / "contract.yaml"
    ).read_bytes()
    assert (
        restored.contract_history.recorded().written() == home.contract_history.recorded().written()
    )
    assert [one.where for one in restored.contract_history.pending()] == [
        "tables.visits.description"
    ]
    found = verification(restored, deep=True)
    assert found["verified"], found["breaks"]
    for version in (1, 4, 6):
        assert restored.reproduction.reproduce(version).reproduced
    run(restored)
    assert open_home(target.folder).contract_history.pending() == []


def test_production_is_rolled_back_across_contracts_and_scores(home):
    assert home.releases.pointer().version != 1
    home.rollbacks.roll_back("ann", "back", to=1)
    run(open_home(home.folder))
    home = open_home(home.folder)
    assert home.releases.pointer().version == 1
    assert home.records.read("scores", JUNE)["version"] == 1
    assert verification(home, deep=True)["verified"]
    assert copied(home, home.folder.with_name("other")).status.now().production.version == 1
