"""Tests of two versions on a home: refused, registered, planned, looked at, ended, verified."""

import json

import numpy as np
import pandas as pd
import pytest

from churn_platform.alerting.messages import message_of
from churn_platform.audit.contact_plans import PlanChecks
from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.contacts.plan import ARM, ASSIGNED, CONTACT, LIST, UNTOUCHED
from churn_platform.contacts.tested_plan import A_ONLY, B_ONLY, BOTH
from churn_platform.defs.experiments import model_test_metadata
from churn_platform.experiments import model_tests
from churn_platform.experiments.model_tests import ModelTests
from churn_platform.ledger.acts import ContactPlanRegistered, PlannedTest
from churn_platform.ledger.experiment_acts import ModelTestEnded, ModelTestRegistered
from churn_platform_tests.contacts.contacted_gym import calls, tables
from churn_platform_tests.experiments.tested_months import (
    ANN,
    BUDGET,
    JUNE,
    MAY,
    labelled_month,
    planned_month,
    reopened,
)
from churn_platform_tests.small_business import (
    APRIL,
    MARCH,
    deliver,
    make_home,
    month_tables,
    with_changes,
)


@pytest.fixture
def home(contacted_copy):
    """Version 2 is in production and knows who leaves, version 1 lists the wrong members."""
    return with_changes(contacted_copy, {"policy.contacts.budget": BUDGET})


def code_of(act, *arguments, **options):
    with pytest.raises(UsageError) as refused:
        act(*arguments, **options)
    return refused.value.code


def acts(home, name):
    return [receipt for receipt in home.ledger.receipts() if receipt.act == name]


def ending(home):
    """How the newest test ended."""
    return ModelTestEnded.of(acts(home, "test ended")[-1])


@pytest.mark.parametrize(
    ("versions", "options", "code"),
    [
        ((2, 2), {}, "MODEL_TEST_SAME_VERSION"),
        ((2, 9), {}, "VERSION_UNKNOWN"),
        ((2, 1), {"budget": 101}, "MODEL_TEST_BUDGET"),
        ((2, 1), {"budget": 0}, "MODEL_TEST_BUDGET"),
        ((2, 1), {"months": 0}, "MODEL_TEST_MONTHS"),
        ((2, 1), {"months": 25}, "MODEL_TEST_MONTHS"),
        ((2, 1), {"difference": 0.0}, "MODEL_TEST_MONTHS"),
    ],
)
def test_a_test_that_cannot_be_is_refused(contacted, versions, options, code):
    assert code_of(contacted.model_tests.forecasts.forecast, *versions, **options) == code


def test_without_contacts_nobody_is_contacted_by_a_list(tmp_path):
    assert (
        code_of(make_home(tmp_path / "home").model_tests.forecasts.forecast, 2, 1)
        == "CONTACTS_NOT_DECLARED"
    )


def test_the_forecast_is_of_the_lists_of_the_newest_month(contacted):
    found = contacted.model_tests.forecasts.forecast(2, 1)
    assert (found.production, found.month, found.budget) == (2, MARCH, 100)
    assert found.listed == 90  # ten contacts are made below the cut
    assert found.only > 80
    assert not found.save_rate.measured
    churn = max(found.churn_a, found.churn_b)
    assert found.outlook.possible == pytest.approx(found.only * churn * 0.3)
    assert found.outlook.months == 7
    assert json.dumps(found.as_json())


def test_a_hopeless_test_needs_anyway(home):
    small = {"budget": 60, "months": 2}
    before = len(home.ledger.receipts())
    assert code_of(home.model_tests.start, 2, 1, *ANN, **small) == "MODEL_TEST_HOPELESS"
    assert len(home.ledger.receipts()) == before
    home.model_tests.start(2, 1, *ANN, **small, anyway=True)
    registered = ModelTestRegistered.of(acts(home, "test registered")[0])
    assert (registered.anyway, registered.budget, registered.months) == (True, 60, 2)


def test_what_decides_is_registered_and_one_test_runs_at_a_time(home):
    found = home.model_tests.start(2, 1, *ANN, months=12)
    registered = ModelTestRegistered.of(acts(home, "test registered")[0])
    assert registered.boundaries == found.outlook.boundaries
    assert registered.customers == 2 * 12 * found.only
    assert registered.difference == found.outlook.planned
    assert registered.policy["untouched_share"] == 0.2
    assert registered.manifest_a != registered.manifest_b
    assert code_of(home.model_tests.start, 2, 1, *ANN) == "EXPERIMENT_RUNNING"
    assert "Ann" in home.model_tests.end("Bob", "Enough.") or ending(home).actor == "Bob"
    assert (ending(home).outcome, ending(home).better) == ("cancelled", None)
    assert code_of(home.model_tests.end, *ANN) == "EXPERIMENT_UNKNOWN"
    home.model_tests.start(1, 2, *ANN)
    first, second = (ModelTestRegistered.of(one) for one in acts(home, "test registered"))
    assert (first.subject, second.subject) == ("test 1", "test 2")
    assert first.salt != second.salt


def test_equal_lists_cannot_be_tested(home, monkeypatch):
    monkeypatch.setattr(
        type(home.contact_planning),
        "_probabilities",
        lambda _self, _as_of, _version, scored: scored["probability"].to_numpy(dtype=float),
    )
    assert code_of(home.model_tests.forecasts.forecast, 2, 1) == "MODEL_TEST_LISTS_AGREE"


def test_the_plan_of_a_month_belongs_to_the_test_and_is_verified(home):
    home.model_tests.start(2, 1, *ANN, months=6)
    usual = set(home.contact_plans.rows(MARCH).columns)
    home, rows = planned_month(home, APRIL)
    assert set(rows.columns) - usual == {LIST, "probability_a", "probability_b"}
    receipt = home.contact_plans.registration(APRIL)
    named = ContactPlanRegistered.of(receipt).test
    assert (named.name, named.version_a, named.version_b) == ("test 1", 2, 1)
    assert home.contact_plans.record(APRIL).test == "test 1"
    assert home.contact_statuses.of(APRIL).as_json()["test"] == "test 1"
    assert "test" not in home.contact_statuses.of(MARCH).as_json()
    for name in (A_ONLY, B_ONLY):
        arms = rows.loc[rows[LIST] == name, ARM]
        assert abs((arms == CONTACT).sum() - (arms == UNTOUCHED).sum()) <= 1
    assert rows[ARM].isin(ASSIGNED).sum() == BUDGET
    registered = [
        ContactPlanRegistered.of(one) for one in acts(home, "contact plan registered")[:-1]
    ]
    assert all("test" not in one.model_fields_set for one in registered)

    checks = PlanChecks(home.contact_planning, home.ledger.receipts(), lambda: True)
    states = [one.state for one in (*checks.registered(), *checks.drawn_again())]
    assert states == ["holds", "holds"]
    turned = rows.assign(**{LIST: rows[LIST].replace({A_ONLY: B_ONLY, B_ONLY: A_ONLY})})
    for changed in (turned, rows.assign(stratum=rows["stratum"] + 1)):
        home.records.write_rows("contact_plan", APRIL, changed)
        home = reopened(home)
        with pytest.raises(IntegrityError):
            home.contact_plans.rows(APRIL)
    home.repairs.run()
    pd.testing.assert_frame_equal(reopened(home).contact_plans.rows(APRIL), rows)


@pytest.mark.slow
def test_a_forgotten_customer_leaves_the_plan_of_a_test(home):
    home.model_tests.start(2, 1, *ANN)
    home, rows = planned_month(home, APRIL)
    member = rows.loc[rows[LIST] == A_ONLY, "member"].iloc[0]
    home.erasure.erase(member, "Ann", "Asked.")
    home = reopened(home)
    left = home.contact_plans.rows(APRIL)
    assert len(left) == len(rows) - 1
    assert member not in set(left["member"])
    checks = PlanChecks(home.contact_planning, home.ledger.receipts(), lambda: True)
    assert "broken" not in [one.state for one in (*checks.registered(), *checks.drawn_again())]
    home = labelled_month(home, APRIL, {A_ONLY: 0.5, BOTH: 0.5, B_ONLY: 0.5})
    home, _ = planned_month(home, MAY, APRIL)
    assert len(home.model_tests.statuses()[0].test.looks) == 1


def test_the_better_list_is_shown_and_proposed(home):
    """Version 1 lists members who stay anyway. Production is better: there is nothing to do."""
    home.model_tests.start(2, 1, *ANN, months=4)
    home, rows = planned_month(home, APRIL)
    churned = month_tables(APRIL)["leavers"].set_index("member")["has_left"]
    by_list = {
        name: churned[rows.loc[rows[LIST] == name, "member"]].mean() for name in (BOTH, "A", "B")
    }
    assert by_list["A"] > by_list["B"]  # by churn of the lists, version 1 would win
    home = labelled_month(home, APRIL, {A_ONLY: 0.9, BOTH: 0.9, B_ONLY: 0.0})
    home, after = planned_month(home, MAY, APRIL)
    (look,) = acts(home, "test looked")
    assert (look.evidence["look"], look.evidence["outcome"]) == (1, "A better")
    assert look.evidence["interval"][0] > 0
    assert (ending(home).outcome, ending(home).better) == ("A better", 2)
    assert not acts(home, "promotion proposed") + acts(home, "rollback proposed")
    assert LIST not in after  # the look comes before the plan
    assert home.model_tests.statuses()[0].command is None


@pytest.mark.slow
def test_a_better_version_that_does_not_serve_is_proposed_once(home, monkeypatch):
    """Contacts drive members of list A away. A kill before the end repeats nothing."""
    home.model_tests.start(2, 1, *ANN, months=4)
    home, _ = planned_month(home, APRIL)
    home = labelled_month(home, APRIL, {A_ONLY: -1.0, BOTH: 0.5, B_ONLY: 1.0})
    deliver(home, MAY, tables(MAY, calls(home, APRIL)))
    home.ingestion.publish(MAY)
    home = reopened(home)

    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ModelTests, "_end", killed)
        with pytest.raises(KeyboardInterrupt):
            home.model_tests.look(MAY)
    assert not acts(home, "test ended")
    home = reopened(home)
    for _ in range(2):
        home.model_tests.settle()
        home.model_tests.look(MAY)
    (proposal,) = acts(home, "rollback proposed")
    assert (proposal.subject, proposal.after) == ("version 1", "version 2")
    assert proposal.evidence["interval"][0] > 0
    assert (ending(home).outcome, ending(home).better) == ("B better", 1)
    assert len(acts(home, "test looked")) == len(acts(home, "test ended")) == 1
    assert home.releases.pointer().version == 2  # a person decides
    assert message_of(proposal, "gym", None).severity == "info"
    assert home.model_tests.statuses()[0].command.startswith("churn rollback --to 1 ")
    home.rollbacks.roll_back("Ann", "The test has shown it.", 1)
    assert reopened(home).model_tests.statuses()[0].command is None


@pytest.mark.slow
def test_a_test_without_a_difference_ends_with_its_last_month(home, monkeypatch):
    monkeypatch.setattr(model_tests, "digest_of", lambda _: 64 * "0")  # always the same draw
    home.model_tests.start(2, 1, *ANN, months=2, anyway=True)
    home, _ = planned_month(home, APRIL)
    home = labelled_month(home, APRIL, {A_ONLY: 0.02, BOTH: 0.0, B_ONLY: 0.02})
    home, _ = planned_month(home, MAY, APRIL)
    status = home.model_tests.statuses()[0]
    assert (status.planned, len(status.test.looks), status.test.ended) == ((APRIL, MAY), 1, None)
    home, rows = planned_month(home, JUNE, MAY)
    assert LIST not in rows  # both months are planned, the labels of the second are missing
    home = labelled_month(home, MAY, {A_ONLY: 0.02, BOTH: 0.0, B_ONLY: 0.02})
    home.month.campaign_effect(JUNE)
    looks = home.model_tests.statuses()[0].test.looks
    assert [one.outcome for one in looks] == [None, "no difference shown"]
    assert looks[0].information < looks[1].information
    assert ending(home).outcome == "no difference shown"
    assert json.dumps(home.model_tests.statuses()[0].as_json())
    record = home.month.experiments(JUNE)
    assert record.test["outcome"] == "no difference shown"
    assert len(record.test["looks"]) == 2
    shown = model_test_metadata(record.test)
    assert shown["test"] == home.model_tests.statuses()[0].sentence
    table = shown["looks of the test"].value
    for look in looks:
        assert f"{look.difference:+.1f} [{look.interval[0]:+.1f}, {look.interval[1]:+.1f}]" in table
    assert "proposed" not in shown
    assert home.month.experiments(MARCH) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"policy.contacts.untouched_share": 0.3}, "policy.contacts.untouched_share"),
        ({"policy.contacts.budget": 300}, "policy.contacts.budget"),
        ({"policy.contacts.value": 70}, "policy.contacts.value"),
    ],
)
def test_a_changed_policy_ends_the_test(home, changed, field):
    home.model_tests.start(2, 1, *ANN)
    home = with_changes(home, changed)
    home.model_tests.settle()
    assert ending(home).outcome == "cancelled"
    assert ending(home).reason.startswith(field)
    home, rows = planned_month(home, APRIL)
    assert LIST not in rows


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["raises", "answers nothing"])
def test_a_version_that_cannot_score_ends_the_test_and_not_the_plan(home, monkeypatch, fault):
    home.model_tests.start(2, 1, *ANN)
    scores = type(home.contact_planning)._probabilities

    def broken(self, as_of, version, scored):
        if version == 1 and fault == "raises":
            raise ValueError("cannot score")
        return scores(self, as_of, version, scored) * (np.nan if version == 1 else 1)

    monkeypatch.setattr(type(home.contact_planning), "_probabilities", broken)
    home, rows = planned_month(home, APRIL)
    assert LIST not in rows
    assert rows[ARM].isin(ASSIGNED).sum() == BUDGET
    assert ending(home).outcome == "cancelled"


def test_a_version_ranks_by_its_own_scores_where_a_canary_has_scored_some(home):
    planned = PlannedTest(name="test 1", version_a=2, version_b=1, salt="s", budget=BUDGET)
    drawn_from = home.contact_planning.drawn_from
    before = drawn_from(MARCH, home.now(), planned).customers
    record = home.records.read("scores", MARCH)
    frame = home.records.frame("scores", MARCH)
    canary = {"experiment": "canary", "salt": "s", "version": 1, "share": 0.5, "customers": 750}
    scored = frame.assign(probability=frame["probability"] / 2)
    home.records.write("scores", MARCH, record | {"canary": canary}, scored)
    after = drawn_from(MARCH, home.now(), planned).customers
    assert after["probability"].to_numpy() == pytest.approx(before["probability"].to_numpy() / 2)
    for name in ("probability_a", "probability_b"):
        assert after[name].to_numpy() == pytest.approx(before[name].to_numpy())


def test_a_policy_that_does_not_decide_who_is_contacted_may_change(home):
    home.model_tests.start(2, 1, *ANN)
    home = with_changes(home, {"policy.contacts.contact_cost": 3.0})
    home.model_tests.settle()
    assert not acts(home, "test ended")


def test_a_rollback_ends_the_test(home):
    home.model_tests.start(2, 1, *ANN)
    home.rollbacks.roll_back("Bob", "Wrong model.", 1)
    home = reopened(home)
    home.model_tests.settle()
    assert ending(home).outcome == "cancelled"
    assert "Version 2" in ending(home).reason


def test_another_release_ends_the_test(home):
    home.model_tests.start(2, 1, *ANN)
    path = home.releases.folder / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "created_at": "2020-01-01T00:00:00+00:00"}))
    home = reopened(home)
    home.model_tests.settle()
    assert ending(home).outcome == "cancelled"
    assert "version 1" in ending(home).reason
