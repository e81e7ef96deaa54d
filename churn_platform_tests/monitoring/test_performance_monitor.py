"""Versions that are not in production are followed on a real home; one that turns out better is proposed."""

import datetime as dt
import json

import pytest
import yaml

from bento.production_record import ProductionRecords
from churn_platform.lake.lake import instant
from churn_platform.monitoring.challengers import adjusted_level
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    copied,
    month_tables,
    open_home,
    up_to_scores,
)

MARCH = dt.date(2024, 3, 31)


def march(home, *, like_january=False):
    """March published: those who come often leave, as in February; or again the new ones, as in January."""
    tables = month_tables(MARCH)
    if like_january:
        tables["leavers"] = tables["leavers"].assign(has_left=tables["members"]["months"] < 20)
    home.lake.publish(MARCH, tables, instant(MARCH), "march")
    return open_home(home.folder)


@pytest.fixture(scope="module")
def overtaken(february_decided, tmp_path_factory):
    """Version 1 in production, version 2 never; in March version 2 would have been the better one. Read only."""
    home = march(copied(february_decided, tmp_path_factory.mktemp("overtaken") / "home"))
    home.performance_monitor.measure(MARCH)
    return open_home(home.folder)


@pytest.fixture
def overtaken_copy(overtaken, tmp_path):
    return copied(overtaken, tmp_path / "home")


def test_a_version_that_never_served_and_beats_production_later_is_proposed_for_promotion(
    overtaken,
):
    record = overtaken.records.read("performance", MARCH)
    (compared,) = record["verdict"]["compared"]
    proposal = record["verdict"]["proposal"]
    assert (proposal["act"], proposal["version"], proposal["production"]) == (
        "promotion proposed",
        2,
        1,
    )
    assert proposal["months"] == ["2024-03-31"]
    assert compared["difference"] == proposal["difference"] > 0.25
    assert compared["level"] == adjusted_level(0.95, 1, 12)
    assert compared["interval"][0] > 0
    assert json.loads(json.dumps(record)) == record


def test_every_followed_version_has_its_entry_and_production_stands_last(overtaken):
    entries = overtaken.records.read("performance", MARCH)["evaluated"]
    assert [(entry["version"], entry["state"]) for entry in entries] == [
        (2, "refused"),
        (1, "production"),
    ]
    assert entries[0]["metrics"]["auc"] > 0.7
    assert 0.4 < entries[1]["metrics"]["auc"] < 0.6


def test_the_proposal_has_one_receipt_for_each_piece_of_evidence(overtaken_copy):
    (receipt,) = overtaken_copy.ledger.receipts("promotion proposed")
    assert (receipt.subject, receipt.before, receipt.after) == (
        "version 2",
        "version 1",
        "version 1",
    )
    assert "A promotion of version 2 is proposed" in receipt.reason
    figures = {"key", "months", "difference", "interval", "level"}
    assert set(receipt.evidence) == figures | {"code", "lock"}
    overtaken_copy.performance_monitor.measure(MARCH)
    assert len(overtaken_copy.ledger.receipts("promotion proposed")) == 1
    corrected = month_tables(MARCH)["members"].assign(town="north")
    overtaken_copy.lake.publish(
        MARCH, month_tables(MARCH) | {"members": corrected}, overtaken_copy.now(), "again"
    )
    overtaken_copy.performance_monitor.measure(MARCH)
    assert len(overtaken_copy.ledger.receipts("promotion proposed")) == 2


def test_nothing_moves_by_itself(overtaken):
    assert overtaken.releases.pointer().version == 1
    assert overtaken.contract.policy.verdict.automatic is False


def test_status_shows_it_with_the_command_that_carries_it_out(overtaken):
    found = overtaken.status.now()["proposal"]
    assert found == overtaken.status.proposal()
    assert found["command"] == "churn approve 2 --override --by NAME --reason TEXT"
    assert found["version"] == 2


def test_the_api_says_it_of_the_version_in_production(overtaken):
    found = overtaken.status.proposal()
    told = ProductionRecords(overtaken.folder).of
    assert told(1)["proposal"] == {name: found[name] for name in ("version", "sentence", "command")}
    assert told(2)["proposal"] is None


def test_a_proposal_lapses_when_production_has_changed_or_people_do_not_want_the_version(
    overtaken_copy, february_decided
):
    home = overtaken_copy
    home.ledger.write(
        actor="Ada", act="version blocked", subject="version 2", reason="It was wrong."
    )
    assert home.status.proposal() is None
    home.ledger.write(
        actor="Ada", act="version unblocked", subject="version 2", reason="It was not."
    )
    assert home.status.proposal() is not None
    home = up_to_scores(home, FEBRUARY)
    assert home.releases.pointer().version == 2
    assert home.status.proposal() is None
    assert february_decided.status.proposal() is None


def test_a_blocked_version_is_compared_and_never_proposed(overtaken_copy):
    overtaken_copy.ledger.write(
        actor="Ada", act="version blocked", subject="version 2", reason="It was wrong."
    )
    overtaken_copy.performance_monitor.measure(MARCH)
    verdict = overtaken_copy.records.read("performance", MARCH)["verdict"]
    assert verdict["proposal"] is None
    assert verdict["compared"][0]["blocked"]


def test_a_retired_version_that_is_better_again_is_proposed_for_a_rollback(
    february_decided, tmp_path
):
    home = up_to_scores(copied(february_decided, tmp_path / "home"), FEBRUARY)
    home = march(home, like_january=True)
    home.performance_monitor.measure(MARCH)
    made = home.records.read("performance", MARCH)["verdict"]["proposal"]
    assert (made["act"], made["version"], made["production"]) == ("rollback proposed", 1, 2)
    assert home.ledger.receipts("rollback proposed")[0].subject == "version 1"
    assert home.status.proposal()["command"] == "churn rollback --to 1 --by NAME --reason TEXT"
    states = [entry["state"] for entry in home.records.read("performance", MARCH)["evaluated"]]
    assert states == ["retired", "production"]


def test_a_policy_that_follows_nobody_compares_nothing(overtaken_copy):
    path = overtaken_copy.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["policy"]["verdict"] = {"followed_versions": 0}
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    home = open_home(overtaken_copy.folder)
    assert [entry.version for entry in home.performance_monitor.measure(MARCH).evaluated] == [1]
    assert home.records.read("performance", MARCH)["verdict"] == {"compared": [], "proposal": None}


def by_itself(home):
    """The home with a policy that carries proposals out."""
    path = home.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["policy"]["verdict"] = {"automatic": True}
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return open_home(home.folder)


def test_with_an_automatic_policy_a_promotion_is_carried_out_and_signed_by_the_policy(
    overtaken_copy,
):
    home = by_itself(overtaken_copy)
    home.performance_monitor.measure(MARCH)
    assert home.releases.pointer().version == 2
    done = home.ledger.receipts("promotion done")[-1]
    assert (done.actor, done.subject) == ("policy.verdict.automatic", "version 2")
    assert "A promotion of version 2 is proposed" in done.reason
    assert home.status.proposal() is None
    home.performance_monitor.measure(MARCH)
    assert home.releases.pointer().version == 2


def test_with_an_automatic_policy_a_rollback_is_carried_out_and_what_was_left_is_blocked(
    february_decided, tmp_path
):
    home = march(
        up_to_scores(copied(february_decided, tmp_path / "home"), FEBRUARY), like_january=True
    )
    home = by_itself(home)
    home.performance_monitor.measure(MARCH)
    assert home.releases.pointer().version == 1
    assert home.ledger.receipts("rollback done")[-1].actor == "policy.verdict.automatic"
    home.performance_monitor.measure(MARCH)
    assert home.releases.pointer().version == 1
    assert home.records.read("performance", MARCH)["verdict"]["compared"][0]["blocked"]


def test_a_refused_version_that_was_changed_does_not_stop_the_month(overtaken_copy):
    (model,) = [
        path
        for path in (overtaken_copy.folder / "artifacts").rglob("passport.json")
        if '"2024-02-29"' in path.read_text()
    ]
    model.write_bytes(model.read_bytes() + b" ")
    broken, production = overtaken_copy.performance_monitor.measure(MARCH).evaluated
    assert (broken.version, broken.metrics, production.version) == (2, None, 1)
    assert "does not match the digest" in broken.note
    assert overtaken_copy.records.read("performance", MARCH)["verdict"]["proposal"] is None


def test_before_the_first_promotion_nobody_is_followed(january_decided_copy):
    assert january_decided_copy.performance_monitor.measure(JANUARY).evaluated == ()
    assert january_decided_copy.records.read("performance", JANUARY)["verdict"]["compared"] == []


def test_a_month_of_turned_over_labels_proposes_nothing(february_decided, tmp_path):
    home = up_to_scores(copied(february_decided, tmp_path / "home"), FEBRUARY)
    tables = month_tables(MARCH)
    tables["leavers"] = tables["leavers"].assign(has_left=~tables["leavers"]["has_left"])
    home.lake.publish(MARCH, tables, instant(MARCH), "march")
    home = open_home(home.folder)
    home.performance_monitor.measure(MARCH)
    record = home.records.read("performance", MARCH)
    assert record["verdict"]["proposal"] is None
    assert record["verdict"]["compared"][0]["difference"] is None
    production = record["evaluated"][-1]
    assert production["metrics"]["auc_interval"][1] < 0.3
    assert "inverted" in production["doubt"]
    assert home.status.now()["production"]["stand_down"] is False
