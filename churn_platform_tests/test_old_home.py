"""A home written by version 0.1.0 keeps working: opened, verified, answered, run, served, rolled back, restored.

The archive holds a gym of 700 members after three months: version 1 is in production again after a rollback from
version 2, one member was forgotten, one row is quarantined, and version 3 waits for an approval.
"""

import datetime as dt
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from churn_platform.lake.contract_history import FIRST
from churn_platform_tests.api_client import running
from churn_platform_tests.changing_business import write_contract
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import copied, deliver, month_tables, open_home
from churn_platform_tests.system.trusted_home import verification

ARCHIVE = Path(__file__).parent / "homes" / "gym-0.1.0.tar.xz"
WRITTEN = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
"""A day after the home was written: version 3 still waits."""
APRIL = dt.date(2024, 4, 30)
MAY = dt.date(2024, 5, 31)
MEMBERS = 700
LEDGER = "ledger/receipts.jsonl"


def opened(folder):
    return open_home(folder, lambda: WRITTEN)


def unpacked(folder):
    """The home as it was written, times of files included."""
    subprocess.run(["tar", "-xJf", ARCHIVE, "-C", folder], check=True)
    return opened(folder / "gym_home")


@pytest.fixture
def old(tmp_path):
    """The home, to change."""
    return unpacked(tmp_path)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """The ledger of the home as it was written."""
    return (unpacked(tmp_path_factory.mktemp("written")).folder / LEDGER).read_bytes()


@pytest.fixture(scope="module")
def in_april(tmp_path_factory):
    """The home after its next month, and the steps of that. Read only."""
    home = unpacked(tmp_path_factory.mktemp("april"))
    deliver(home, APRIL, month_tables(APRIL, MEMBERS))
    return opened(home.folder), run(opened(home.folder))


def test_it_opens_with_what_it_knew_and_nothing_is_due(old):

    before = (old.folder / LEDGER).read_bytes()
    found = old.status.now()
    assert found.months == ["2024-01-31", "2024-02-29", "2024-03-31"]
    assert found.production.version == 1
    assert (found.pending.version, found.pending.lapsed) == (3, None)
    assert set(found.blocked) == {2}
    assert [decision.decision for decision in found.decisions] == [
        "promoted",
        "promoted",
        "pending",
    ]
    assert found.next is None
    # An interval wholly below 0.4 is now evidence of turned-over labels, not of a worthless model.
    assert not found.production.stand_down
    listed = old.status.scores(5)
    assert (listed.as_of.isoformat(), listed.record.version) == ("2024-03-31", 1)
    assert len(listed.rows) == 5
    first = listed.rows[0]
    assert old.status.explain(first["member"], None).probability == first["probability"]
    assert (old.folder / LEDGER).read_bytes() == before


def test_it_verifies_deeply_and_opening_changes_no_receipt(old):
    before = (old.folder / LEDGER).read_bytes()
    found = verification(old, deep=True)
    assert found["verified"], found["breaks"]
    assert (old.folder / LEDGER).read_bytes() == before


def test_the_approval_that_waits_is_given_and_rolled_back(old):

    old.approvals.approve(3, "Ann", "Checked with the team.")
    assert opened(old.folder).releases.pointer().version == 3
    opened(old.folder).rollbacks.roll_back("Bob", "Back again.")
    assert opened(old.folder).releases.pointer().version == 1
    assert verification(opened(old.folder))["verified"]


def test_its_next_month_is_run(in_april, known):
    home, ran = in_april
    assert [step for step in ran if step.startswith("monthly")] == ["monthly 2024-04-30"]
    [contract] = home.ledger.receipts("contract changed")
    assert (contract.before, contract.reason) == (None, FIRST)
    assert home.contract_history.recorded().written() == home.contract.written()
    assert home.records.read("scores", APRIL)["version"] == 1
    assert (home.folder / LEDGER).read_bytes().startswith(known)
    found = verification(home, deep=True)
    assert found["verified"], found["breaks"]


def test_its_contract_changes_and_it_takes_the_months_after(in_april, known, tmp_path):
    folder = copied(in_april[0], tmp_path / "home").folder
    home = opened(folder)
    [first] = home.ledger.receipts("contract changed")
    assert first.before is None
    contract = yaml.safe_load((folder / "contract.yaml").read_text())
    contract["tables"]["members"]["columns"]["guests"] = {"dtype": "integer", "since": MAY}
    contract["feature_views"]["members_fv"]["features"].append("guests")
    contract["policy"]["promotion"]["mode"] = "automatic"
    write_contract(home, contract)
    may = month_tables(MAY, MEMBERS)
    may["members"]["guests"] = may["members"]["months"] % 4
    deliver(home, MAY, may)
    run(opened(folder))
    home = opened(folder)
    second = home.ledger.receipts("contract changed")[-1]
    assert second.before == first.after
    newest = max(home.registry.tags())
    assert "guests" in {feature.name for feature in home.registry.load(newest).card.features}
    assert home.records.read("scores", MAY)["version"] in (1, newest)
    assert (folder / LEDGER).read_bytes().startswith(known)
    found = verification(home, deep=True)
    assert found["verified"], found["breaks"]
    reproduced = home.reproduction.reproduce(newest)
    assert reproduced.reproduced, reproduced.sentence
    home.rollbacks.roll_back("Bob", "Back.", to=2)
    assert opened(folder).releases.pointer().version == 2
    run(opened(folder))
    assert verification(opened(folder), deep=True)["verified"]


def test_a_copy_that_lost_the_times_of_its_files_is_recognised_by_content(old):
    for path in old.drops.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    recognised = []
    while (month := opened(old.folder).ingestion.recognise()) is not None:
        recognised.append(month.isoformat())
    assert recognised == ["2024-01-31", "2024-02-29", "2024-03-31"]
    assert opened(old.folder).progress().next_step() is None
    assert verification(opened(old.folder), deep=True)["verified"]


def test_it_is_served_with_the_same_probabilities(old):
    import asyncio

    from churn_platform_tests.api_client import client

    expected = old.records.frame("scores", dt.date(2024, 3, 31)).set_index("member")["probability"]

    async def ask(front, member):
        async with client(front) as made:
            return await made.request("POST", "/predict", json={"member": member})

    with running(old) as front:
        answer = asyncio.run(ask(front, "m00011")).json()
        assert (answer["probability"], answer["model"]["version"]) == (
            pytest.approx(expected["m00011"]),
            1,
        )
        assert asyncio.run(ask(front, "m09999")).status_code == 404


def test_it_is_restored_from_a_backup_elsewhere(old, tmp_path):

    known = (old.folder / LEDGER).read_bytes()
    old.backup.write(tmp_path / "backup.zip")
    target = opened(tmp_path / "restored")
    said = target.backup.restore(tmp_path / "backup.zip")
    opened(target.folder).backup.verify(said)
    assert (target.folder / LEDGER).read_bytes().startswith(known)
    assert verification(opened(target.folder), deep=True)["verified"]
