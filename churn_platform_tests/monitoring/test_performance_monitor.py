"""Performance of versions and served predictions on a home; a version that is better is proposed."""

import datetime as dt

import pytest
import yaml

from bento.production_record import ProductionRecords
from churn_platform.lake.lake import instant
from churn_platform.monitoring.challengers import adjusted_level
from churn_platform.monitoring.prediction_log import PredictionLog, ServedPrediction
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import (
    CUSTOMERS,
    FEBRUARY,
    JANUARY,
    copied,
    month_tables,
    open_home,
    up_to_scores,
)
from churn_platform_tests.system.trusted_home import flip

MARCH = dt.date(2024, 3, 31)
APRIL = dt.date(2024, 4, 30)


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
    assert (proposal["act"], proposal["version"]) == ("promotion proposed", 2)
    assert (proposal["production"], proposal["months"]) == (1, ["2024-03-31"])
    assert compared["difference"] == proposal["difference"] > 0.25
    assert compared["level"] == adjusted_level(0.95, 1, 12)
    assert compared["interval"][0] > 0
    refused, production = record["evaluated"]
    assert (refused["version"], refused["state"]) == (2, "refused")
    assert (production["version"], production["state"]) == (1, "production")
    assert refused["metrics"]["auc"] > 0.7
    assert 0.4 < production["metrics"]["auc"] < 0.6
    assert overtaken.releases.pointer().version == 1  # nothing moves by itself


def test_status_and_api_show_the_proposal(overtaken):
    found = overtaken.status.now().as_json()["proposal"]
    assert found == overtaken.status.proposal().as_json()
    assert found["command"] == "churn approve 2 --override --by NAME --reason TEXT"
    told = ProductionRecords(overtaken.folder).of
    assert told(1)["proposal"] == {name: found[name] for name in ("version", "sentence", "command")}
    assert told(2)["proposal"] is None


def test_the_proposal_has_one_receipt_for_each_piece_of_evidence(overtaken_copy):
    (receipt,) = overtaken_copy.ledger.receipts("promotion proposed")
    assert receipt.subject == "version 2"
    assert receipt.before == receipt.after == "version 1"
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


def test_a_proposal_lapses_when_production_has_changed_or_people_do_not_want_the_version(
    overtaken_copy, february_decided
):
    home = overtaken_copy
    record_act(
        home.ledger, actor="Ada", act="version blocked", subject="version 2", reason="It was wrong."
    )
    assert home.status.proposal() is None
    home.performance_monitor.measure(MARCH)
    verdict = home.records.read("performance", MARCH)["verdict"]
    assert (verdict["proposal"], verdict["compared"][0]["blocked"]) == (None, True)
    record_act(
        home.ledger, actor="Ada", act="version unblocked", subject="version 2", reason="It was not."
    )
    home.performance_monitor.measure(MARCH)
    assert home.status.proposal() is not None
    home = up_to_scores(home, FEBRUARY)
    assert home.releases.pointer().version == 2
    assert home.status.proposal() is None
    assert february_decided.status.proposal() is None


def with_verdict(home, **verdict):
    """The home with another policy of challenger evaluation."""
    path = home.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["policy"]["verdict"] = verdict
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return open_home(home.folder)


def test_with_an_automatic_policy_a_promotion_is_carried_out_and_signed_by_the_policy(
    overtaken_copy,
):
    home = with_verdict(overtaken_copy, automatic=True)
    home.performance_monitor.measure(MARCH)
    assert home.releases.pointer().version == 2
    done = home.ledger.receipts("promotion done")[-1]
    assert (done.actor, done.subject) == ("policy.verdict.automatic", "version 2")
    assert "A promotion of version 2 is proposed" in done.reason
    assert home.status.proposal() is None
    home.performance_monitor.measure(MARCH)
    assert home.releases.pointer().version == 2


@pytest.mark.parametrize(
    ("months", "newest"), [(1, ["2024-04-30"]), (3, ["2024-03-31", "2024-04-30"])]
)
def test_versions_are_compared_on_as_many_recent_months_as_the_policy_says(
    overtaken_copy, months, newest
):
    overtaken_copy.lake.publish(APRIL, month_tables(APRIL), instant(APRIL), "april")
    home = with_verdict(overtaken_copy, months=months)
    home.performance_monitor.measure(APRIL)
    (compared,) = home.records.read("performance", APRIL)["verdict"]["compared"]
    assert compared["months"] == newest


def test_a_retired_version_that_is_better_again_is_proposed_and_rolled_back_to_by_an_automatic_policy(
    february_decided, tmp_path
):
    home = up_to_scores(copied(february_decided, tmp_path / "home"), FEBRUARY)
    home = march(home, like_january=True)
    home.performance_monitor.measure(MARCH)
    record = home.records.read("performance", MARCH)
    made = record["verdict"]["proposal"]
    assert (made["act"], made["version"], made["production"]) == ("rollback proposed", 1, 2)
    assert home.ledger.receipts("rollback proposed")[0].subject == "version 1"
    assert home.status.proposal().command == "churn rollback --to 1 --by NAME --reason TEXT"
    assert [entry["state"] for entry in record["evaluated"]] == ["retired", "production"]
    home = with_verdict(home, automatic=True)
    for _ in range(2):
        home.performance_monitor.measure(MARCH)
        assert home.releases.pointer().version == 1
    assert home.ledger.receipts("rollback done")[-1].actor == "policy.verdict.automatic"
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
    assert home.status.now().production.stand_down is False


def test_a_version_is_judged_on_the_newest_matured_month_with_all_its_customers(
    february_decided_copy,
):
    (entry,) = february_decided_copy.performance_monitor.measure(FEBRUARY).evaluated
    assert (entry.version, entry.as_of, entry.rows) == (1, "2024-02-29", CUSTOMERS)
    low, high = entry.metrics.auc_interval
    assert 0.4 < low < entry.metrics.auc < high < 0.55
    record = february_decided_copy.records.read("performance", FEBRUARY)
    assert entry.state == "production"
    waiting = {"version": 2, "blocked": False, "level": record["verdict"]["compared"][0]["level"]}
    nothing_later = waiting | {"months": [], "difference": None, "interval": None}
    assert record == {
        **february_decided_copy.progress().made_from(FEBRUARY),
        "evaluated": [entry.as_json()],
        "verdict": {"compared": [nothing_later], "proposal": None},
        "answered": [],
    }


def test_without_labels_or_without_a_version_nothing_is_measured(january_decided_copy):
    assert january_decided_copy.performance_monitor.measure(JANUARY).evaluated == ()
    record = january_decided_copy.records.read("performance", JANUARY)
    assert (record["evaluated"], record["verdict"]["compared"]) == ([], [])


def answer(home, as_of, keys, version=1, days_ago=0):
    """Log answers by the API about a month."""
    scores = home.records.frame("scores", JANUARY).set_index("member")["probability"]
    moment = home.now().timestamp() - 86_400 * days_ago
    PredictionLog(home.predictions, "member").write(
        [
            ServedPrediction(
                moment, key, version, as_of, scores[key], {}, what_if=False, stale=False
            )
            for key in keys
        ]
    )


def test_what_the_api_answered_is_judged_on_the_labels_of_the_month_that_it_answered_about(
    february_decided_copy,
):
    home = february_decided_copy
    everybody = [f"m{number:05d}" for number in range(CUSTOMERS)]
    answer(home, JANUARY, everybody)
    answer(home, FEBRUARY, everybody[:200])
    answer(home, FEBRUARY, everybody[:200], version=9)  # of no release
    home.performance_monitor.measure(FEBRUARY)
    january, february = home.records.read("performance", FEBRUARY)["answered"]
    assert (january["version"], january["as_of"]) == (1, "2024-01-31")
    assert (january["customers"], january["rows"]) == (1500, 371)
    known = home.releases.manifest(1).metrics["auc"]
    assert january["metrics"]["auc"] == pytest.approx(known, abs=1e-12)
    assert (february["as_of"], february["customers"], february["rows"]) == ("2024-02-29", 200, 200)
    assert [entry.as_json() for entry in home.performance_history.served()] == [january, february]
    assert not january["moved"]


def test_a_retired_release_that_was_damaged_does_not_stop_the_month(february_copy):
    home = february_copy
    assert home.releases.pointer().version == 2
    answer(home, FEBRUARY, ["m00001", "m00002"])
    flip(home.releases.path(1, "model.skops"))
    home.performance_monitor.measure(FEBRUARY)
    record = home.records.read("performance", FEBRUARY)
    [answered] = record["answered"]
    assert (answered["version"], answered["customers"], answered["metrics"]) == (1, 2, None)
    assert "model.skops" in answered["note"]
    assert "model.skops" in record["evaluated"][0]["note"]


def test_the_prediction_log_is_tidied_by_the_run_and_kept_as_long_as_the_policy_says(january_copy):
    answer(january_copy, JANUARY, ["m00001", "m00002"], days_ago=10)
    answer(january_copy, JANUARY, ["m00001"], days_ago=10)
    answer(january_copy, JANUARY, ["m00001"], days_ago=401)
    january_copy.performance_monitor.measure(JANUARY)
    day = (january_copy.now() - dt.timedelta(days=10)).date()
    assert [path.name for path in january_copy.predictions.iterdir()] == [f"{day}.parquet"]
    [answered] = january_copy.records.read("performance", JANUARY)["answered"]
    assert (answered["customers"], answered["answers"]) == (2, 3)
