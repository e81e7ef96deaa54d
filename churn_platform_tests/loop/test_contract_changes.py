"""The contract changes on a home in its second month: columns that end or appear, another definition of churn."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import yaml

from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import (
    CUSTOMERS,
    DECLARED,
    FEBRUARY,
    copied,
    deliver,
    month_tables,
    monthly,
    open_home,
)

MARCH = dt.date(2024, 3, 31)
AFTER_FEBRUARY = dt.datetime(2024, 3, 10, tzinfo=dt.UTC)


def changed(home, **parts):
    """The home with some top-level parts of its contract replaced."""
    text = yaml.safe_dump({**DECLARED, **parts}, sort_keys=False)
    (home.folder / "contract.yaml").write_text(text, encoding="utf-8")
    return open_home(home.folder)


def with_columns(table, **columns):
    """The gym's tables with some columns of one replaced or added."""
    own = DECLARED["tables"][table]["columns"]
    return DECLARED["tables"] | {table: {"columns": own | columns}}


def policy(**parts):
    return DECLARED["policy"] | parts


def without_months(home, **parts):
    """Months as a member, which version 1 learned from, end in February."""
    column = DECLARED["tables"]["members"]["columns"]["months"] | {"until": FEBRUARY}
    home = changed(home, tables=with_columns("members", months=column), **parts)
    deliver(home, FEBRUARY, february_without_months())
    return home


def february_without_months():
    tables = month_tables(FEBRUARY)
    return tables | {"members": tables["members"].drop(columns="months")}


def test_production_stands_down_when_a_column_of_it_ends_and_a_version_without_it_follows(
    january_copy,
):
    home = without_months(january_copy, policy=policy(retraining={"cooldown_cadences": 3}))
    monthly(home, FEBRUARY)
    record = home.records.read("scores", FEBRUARY)
    assert (record["version"], record["customers"]) == (1, CUSTOMERS)
    assert "months" in record["stand_down"]
    assert home.records.frame("scores", FEBRUARY)["stand_down"].all()
    assert home.status.now().production.stand_down_reason == record["stand_down"]
    home = open_home(home.folder)
    answer = home.progress().retraining(FEBRUARY)
    assert (answer.trigger, "months" in answer.reason) == ("contract", True)
    assert run(home)[-1] == "retraining 2024-02-29"
    home = open_home(home.folder)
    decision = home.decisions.newest()
    assert (decision.trigger, decision.decision) == ("contract", "promoted")
    assert set(decision.production_features) - set(decision.candidate_features) == {"months"}
    assert "Production was scored with missing values of months." in decision.findings[3].detail
    assert home.releases.pointer().version == 2
    assert home.records.read("scores", FEBRUARY)["stand_down"] is None
    acts = [receipt.act for receipt in home.ledger.receipts()]
    assert acts.count("stand-down began") == acts.count("stand-down ended") == 1


def test_by_the_policy_production_continues_with_missing_values(january_copy):
    home = without_months(
        january_copy, policy=policy(scoring={"listed": 20, "ended_columns": "missing"})
    )
    monthly(home, FEBRUARY)
    assert home.records.read("scores", FEBRUARY)["stand_down"] is None
    scored = home.records.frame("scores", FEBRUARY).set_index("member")["probability"]
    wide = february_without_months()["members"].assign(months=pd.NA)
    wide = wide.merge(month_tables(FEBRUARY)["visits"], on="member")
    wide["months"] = wide["months"].astype("Int64")
    expected = home.versions().production().model.probability(wide)
    np.testing.assert_array_equal(scored.loc[wide["member"]], expected)
    assert open_home(home.folder).progress().retraining(FEBRUARY).trigger == "contract"


def test_a_refused_candidate_without_the_column_is_not_asked_for_again_on_the_same_evidence(
    january_copy,
):
    home = without_months(january_copy)
    tables = february_without_months()
    random = np.random.default_rng(1)
    tables["leavers"]["has_left"] = random.random(CUSTOMERS) < 0.3
    deliver(home, FEBRUARY, tables)
    assert [step.split()[0] for step in run(home)].count("retraining") == 1
    home = open_home(home.folder)
    assert home.decisions.newest().decision == "refused"
    assert home.progress().next_step() is None
    assert home.stand_down.reason() is not None


def redefined(home, **parts):
    """From February on `gone` marks who churned."""
    tables = with_columns(
        "leavers",
        has_left={"dtype": "boolean", "until": FEBRUARY},
        gone={"dtype": "boolean", "since": FEBRUARY},
    )
    label = {
        "table": "leavers",
        "column": "gone",
        "since": FEBRUARY,
        "earlier": [{"column": "has_left"}],
    }
    home = changed(home, tables=tables, label=label, **parts)
    for month in (FEBRUARY, MARCH):
        tables = month_tables(month)
        deliver(
            home,
            month,
            tables | {"leavers": tables["leavers"].rename(columns={"has_left": "gone"})},
        )
    (home.drops / MARCH.isoformat()).rename(home.folder / "march")
    return home


@pytest.fixture(scope="module")
def waiting(january, tmp_path_factory):
    """A candidate by another definition of churn waits for an approval, in mode automatic."""
    home = redefined(copied(january, tmp_path_factory.mktemp("redefined") / "home"))
    run(home)
    return open_home(home.folder)


def test_labels_of_another_definition_do_not_judge_production_and_ask_for_a_retraining(waiting):
    (entry,) = waiting.performance_history.measured_by(FEBRUARY)
    assert (entry.version, entry.metrics) == (1, None)
    assert "2024-02-29" in entry.note
    assert waiting.stand_down.reason() is None
    decision = waiting.decisions.newest()
    assert (decision.trigger, decision.decision) == ("contract", "pending")
    found = {finding.name: finding for finding in decision.findings}
    assert (found["comparable"].outcome, found["comparable"].refuses) == ("not_applicable", False)
    assert "version 1" in found["comparable"].detail
    assert found["beats_production"].outcome == "not_applicable"
    assert found["stands_on_its_own"].outcome == "pass"
    assert (decision.production_version, decision.production_auc) == (1, None)
    assert decision.candidate_features is None
    assert waiting.releases.pointer().version == 1
    assert waiting.ledger.state().pending.version == 2


def test_an_approval_promotes_across_definitions_and_a_rollback_goes_back(waiting, tmp_path):
    home = copied(waiting, tmp_path / "home")
    home.approvals.approve(2, "Ann", "Churn is defined in another way.")
    home = open_home(home.folder)
    assert home.releases.pointer().version == 2
    run(home)
    home = open_home(home.folder)
    assert home.records.read("scores", FEBRUARY)["version"] == 2
    assert not home.progress().retraining(FEBRUARY).retrain
    home.rollbacks.roll_back("Ann", "The old definition after all.")
    assert open_home(home.folder).releases.pointer().version == 1


def test_a_rejection_keeps_production_and_the_next_labels_ask_again(waiting, tmp_path):
    home = copied(waiting, tmp_path / "home")
    home.approvals.reject(2, "Ann", "Not yet.")
    home = open_home(home.folder)
    assert (home.releases.pointer().version, home.progress().next_step()) == (1, None)
    (home.folder / "march").rename(home.drops / MARCH.isoformat())
    run(home)
    home = open_home(home.folder)
    assert home.ledger.state().pending.version == 3
    compared = home.records.read("performance", MARCH)["verdict"]
    assert compared["proposal"] is None
    assert compared["compared"][0]["months"] == []


def test_a_real_drift_report_leaves_another_definition_out(waiting, tmp_path):
    home = copied(waiting, tmp_path / "home")
    outcome = home.drift_monitor.report(FEBRUARY)
    assert outcome.result.target_drift is None
    assert list(outcome.result.not_applicable) == ["churn label"]
    assert "churn label" in outcome.note


def calls(home, month, *, informative=True, tables=None):
    """A month in which the new members leave, as in January, and those with many calls."""
    tables = tables or month_tables(month)
    random = np.random.default_rng(month.toordinal() + 1)
    number = random.poisson(3, CUSTOMERS)
    pull = (30 - tables["members"]["months"]) / 12 - 1 + informative * 1.2 * (number - 3)
    tables["leavers"]["has_left"] = random.random(CUSTOMERS) < 1 / (1 + np.exp(-pull))
    return tables, number


def with_calls(home):
    """The contract with `calls`, a feature that months have from February on."""
    column = {"dtype": "integer", "min": 0, "since": FEBRUARY}
    views = DECLARED["feature_views"] | {
        "visits_fv": {"table": "visits", "features": ["hours", "calls"]}
    }
    return changed(home, tables=with_columns("visits", calls=column), feature_views=views)


@pytest.fixture
def home_with_calls(january_copy):
    home = with_calls(january_copy)
    tables, number = calls(home, FEBRUARY)
    deliver(home, FEBRUARY, tables | {"visits": tables["visits"].assign(calls=number)})
    return home


def test_a_candidate_with_an_informative_new_column_beats_production_on_the_same_rows(
    home_with_calls,
):
    home = home_with_calls
    monthly(home, FEBRUARY)
    outcome = home.drift_monitor.report(FEBRUARY)
    assert list(outcome.result.not_applicable) == ["calls"]
    assert "calls" not in [column.column for column in outcome.result.columns]
    assert home.records.read("drift_report", FEBRUARY)["result"]["not_applicable"].keys() == {
        "calls"
    }
    assert home.records.read("scores", FEBRUARY)["stand_down"] is None
    home = open_home(home.folder)
    answer = home.progress().retraining(FEBRUARY)
    assert answer.retrain
    run(home)
    home = open_home(home.folder)
    decision = home.decisions.newest()
    assert decision.decision == "promoted"
    assert set(decision.candidate_features) - set(decision.production_features) == {"calls"}
    assert decision.candidate_auc - decision.production_auc > 0.03
    assert decision.difference_interval[0] > 0
    assert "only candidate reads calls" in decision.findings[3].detail
    assert home.releases.pointer().version == 2


def test_without_the_column_the_same_month_promotes_nothing(january_copy):
    home = january_copy
    tables, _ = calls(home, FEBRUARY)
    deliver(home, FEBRUARY, tables)
    monthly(home, FEBRUARY)
    open_home(home.folder).retraining_requests.request("Ann", "Another try.")
    run(open_home(home.folder))
    decision = open_home(home.folder).decisions.newest()
    assert (decision.decision, decision.candidate_features) == ("refused", None)
    assert "candidate_features" not in decision.model_dump(mode="json")


def test_a_new_column_that_is_known_only_after_churning_is_a_leak(january_copy):
    home = with_calls(january_copy)
    tables, number = calls(home, FEBRUARY)
    number = np.where(tables["leavers"]["has_left"], 9, 0)
    deliver(home, FEBRUARY, tables | {"visits": tables["visits"].assign(calls=number)})
    monthly(home, FEBRUARY)
    open_home(home.folder).retraining_requests.request("Ann", "There is a new column.")
    run(open_home(home.folder))
    decision = open_home(home.folder).decisions.newest()
    assert decision.decision == "refused"
    leak = next(finding for finding in decision.findings if finding.name == "no_leak")
    assert (leak.outcome, "calls" in leak.detail) == ("fail", True)


def test_a_column_that_ends_is_named_by_the_drift_report_and_raises_no_alarm(january_copy):
    home = without_months(
        january_copy, policy=policy(scoring={"listed": 20, "ended_columns": "missing"})
    )
    tables = february_without_months()
    random = np.random.default_rng(3)
    tables["leavers"]["has_left"] = random.permutation(tables["leavers"]["has_left"])
    deliver(home, FEBRUARY, tables)
    monthly(home, FEBRUARY)
    outcome = home.drift_monitor.report(FEBRUARY)
    assert list(outcome.result.not_applicable) == ["months"]
    assert outcome.alarms == ()
    assert outcome.result.prediction_drift < 0.05
    assert "months" in outcome.html.read_text(encoding="utf-8")


def test_a_worthless_new_column_is_tried_once(january_copy):
    home = with_calls(january_copy)
    tables, _ = calls(home, FEBRUARY, informative=False)
    noise = np.random.default_rng(5).poisson(3, CUSTOMERS)
    deliver(home, FEBRUARY, tables | {"visits": tables["visits"].assign(calls=noise)})
    assert run(home) == ["monthly 2024-02-29", "retraining 2024-02-29"]
    home = open_home(home.folder)
    decision = home.decisions.newest()
    assert (decision.trigger, decision.decision) == ("contract", "refused")
    assert "calls" in decision.candidate_features
    tables, _ = calls(home, MARCH, informative=False)
    deliver(home, MARCH, tables | {"visits": tables["visits"].assign(calls=noise)})
    assert run(home) == ["monthly 2024-03-31"]
