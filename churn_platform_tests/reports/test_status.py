"""Answers for people and programs: true to the files, and an error with a code where there is
nothing to answer.
"""

import json

import pytest
import yaml

from churn_platform.base.errors import ContractError, IntegrityError, UsageError
from churn_platform_tests.api_client import boosted, point, publish, with_contract
from churn_platform_tests.small_business import (
    CUSTOMERS,
    DECLARED,
    FEBRUARY,
    JANUARY,
    copied,
    declared,
    deliver,
    make_home,
    month_tables,
    open_home,
    with_policy,
)


def test_the_status_of_a_finished_month(january):
    found = january.status.now()
    assert (found.home, found.contract) == (str(january.folder), "gym")
    assert found.months == ["2024-01-31"]
    assert found.next is None
    assert "2024-01-31" in found.reason
    (decision,) = found.decisions
    assert (decision.decision, decision.trigger) == ("promoted", "first")
    production = found.production
    assert (production.version, production.as_of) == (1, "2024-01-31")
    assert production.auc == decision.candidate_auc
    assert (production.stand_down, production.stand_down_reason) == (False, None)
    assert production.algorithm == "logistic_regression"
    assert production.previous_version is None
    assert json.loads(json.dumps(found.as_json())) == found.as_json()


def test_a_decision_that_was_not_carried_out_is_due_and_production_stands_down(february_decided):
    found = february_decided.status.now()
    assert [decision.as_of for decision in found.decisions] == ["2024-01-31", "2024-02-29"]
    assert (found.next.job, found.next.as_of) == ("retraining", "2024-02-29")
    assert [entry.version for entry in found.performance] == [1]
    assert (found.production.version, found.production.stand_down) == (1, True)
    assert "2024-02-29" in found.production.stand_down_reason


def test_a_new_home_has_no_month_and_no_production(tmp_path):
    home = make_home(tmp_path / "home")
    found = home.status.now()
    assert (found.production, found.next) == (None, None)
    assert found.months == found.decisions == found.performance == []
    deliver(home, JANUARY, month_tables(JANUARY, 5))
    assert home.status.now().next.job == "monthly"


def test_a_tampered_release_is_an_error_and_not_a_status(january_copy):
    path = january_copy.releases.folder / "1" / "manifest.json"
    path.write_text(path.read_text().replace('"threshold"', '"threshold" '))
    with pytest.raises(IntegrityError, match=r"release 1 was changed: manifest\.json"):
        january_copy.status.now()


def test_decisions_are_found_by_month_and_the_newest_by_default(february_decided, tmp_path):
    assert february_decided.status.decision(None).as_of == "2024-02-29"
    assert february_decided.status.decision("2024-01-31").candidate_version == 1
    with pytest.raises(UsageError, match="2024-01-31, 2024-02-29") as failed:
        february_decided.status.decision("2023-12-31")
    assert failed.value.code == "DECISION_MISSING"
    with pytest.raises(UsageError, match="none yet"):
        make_home(tmp_path).status.decision(None)


def test_one_customer_is_explained_by_the_version_that_scored_the_month(january):
    first = january.records.frame("scores", JANUARY).iloc[0]
    found = january.status.explain(first["member"], None)
    assert found.as_of == "2024-01-31"
    # One row or 1,500: BLAS rounds otherwise.
    assert found.probability == pytest.approx(first["probability"], rel=1e-12)
    assert found.prediction == 1
    assert len(found.reasons) == 3
    members = month_tables(JANUARY)["members"].set_index("member").loc[first["member"]]
    assert list(found.features) == ["months", "plan", "has_app", "hours"]
    assert found.features["months"] == members["months"]
    assert found.features["plan"] == members["plan"]
    assert found.model.as_json() == {
        "name": "gym_churn",
        "version": 1,
        "as_of": "2024-01-31",
        "algorithm": "logistic_regression",
        "stand_down": False,
    }


def test_an_explanation_is_plain_json_with_null_as_null(january):
    found = january.status.explain("m00000", "2024-01-31").as_json()  # has_app and hours are null
    assert json.loads(json.dumps(found)) == found
    assert (found["features"]["has_app"], found["features"]["hours"]) == (None, None)
    assert "expected_loss" not in found
    last = january.records.frame("scores", JANUARY).iloc[-1]
    assert january.status.explain(last["member"], None).prediction == 0


@pytest.mark.parametrize(
    ("entity", "as_of", "code", "fact"),
    [
        ("nobody", None, "CUSTOMER_UNKNOWN", "2024-01-31"),
        ("m00001", "2024-02-29", "MONTH_NOT_SCORED", "2024-01-31"),
        ("m00001", "last month", "DATE_INVALID", "'last month'"),
    ],
)
def test_an_unknown_customer_or_month_is_wrong_use(january, entity, as_of, code, fact):
    with pytest.raises(UsageError, match=fact) as failed:
        january.status.explain(entity, as_of)
    assert failed.value.code == code


def test_before_anything_is_scored_there_is_no_list(january_decided, january_decided_copy):
    with pytest.raises(UsageError) as failed:
        january_decided.status.explain("m00001", None)
    assert failed.value.code == "MONTH_NOT_SCORED"
    assert january_decided.status.production() is None
    january_decided_copy.decision_maker.carry_out()
    with pytest.raises(UsageError, match="Version 1 is in production"):
        open_home(january_decided_copy.folder).status.scores(1)


def test_the_listed_customers_are_the_top_of_the_newest_scored_month(february_decided):
    found = february_decided.status.scores(3)
    assert (found.as_of, found.record.version) == (FEBRUARY, 1)
    assert found.record.customers == CUSTOMERS
    assert [row["rank"] for row in found.rows] == [1, 2, 3]
    assert all(row["reason_1"] and row["stand_down"] for row in found.rows)
    assert len(february_decided.status.scores(5000).rows) == 20


def test_the_newest_month_s_quarantined_rows_are_shown_with_their_page(tmp_path):
    home = make_home(tmp_path / "home")
    for month, hours in ((JANUARY, "-1"), (FEBRUARY, "2")):
        tables = {name: table.astype(object) for name, table in month_tables(month, 200).items()}
        tables["visits"].loc[3, "hours"] = hours
        deliver(home, month, tables)
        home.ingestion.publish(month)
    assert home.status.now().quarantine is None
    found = home.status.quarantine(JANUARY)
    assert found.as_of == "2024-01-31"
    assert found.tables["visits"].quarantined == 1
    assert "below the minimum 0" in found.tables["visits"].reasons[0]
    assert found.page.endswith("/reports/2024-01-31/drop.html")


def test_a_candidate_that_waits_is_in_the_status_with_the_command_that_answers(february_pending):
    found = february_pending.status.now()
    waits = found.pending
    (request,) = february_pending.ledger.receipts("approval requested")
    assert (waits.version, waits.state, waits.lapsed) == (2, "pending", None)
    assert (waits.since, waits.until) == (request.time, request.evidence["until"])
    assert waits.how.startswith("`churn approve 2 --by NAME --reason TEXT`")
    states = [decision["decision"] for decision in found.as_json()["decisions"]]
    assert states == ["promoted", "promoted", "pending"]
    *earlier, newest = found.as_json()["decisions"]
    assert [decision["approval"] for decision in earlier] == [None, None]
    assert newest["approval"]["state"] == "pending"
    assert found.next is None


def test_a_request_that_lapsed_is_shown_before_a_receipt_records_it(february_pending_copy):
    found = with_policy(february_pending_copy, mode="approval", delta=0.02).status.now()
    assert found.pending.lapsed == "The policy has changed since the decision."


def test_an_override_stays_with_version_and_decision_and_a_rollback_shows_what_is_blocked(
    february_pending_copy,
):
    home = february_pending_copy
    home.approvals.reject(2, "Bob", "No.")
    home.approvals.approve(2, "Ann", "The board wants it.", override=True)
    home = open_home(home.folder)
    forced = home.status.now().production.overridden
    assert (forced.by, forced.reason) == ("Ann", "The board wants it.")
    decision = home.status.decision("2024-02-29").model_dump(mode="json")
    assert decision["overridden"]["by"] == "Ann"
    assert decision["approval"]["state"] == "rejected"
    home.rollbacks.roll_back("Bob", "I said so.")
    found = open_home(home.folder).status.now()
    assert found.production.overridden is None
    assert found.blocked[2].by == "Bob"
    assert found.decisions[-1].overridden == forced


def test_after_a_rollback_the_list_is_that_of_the_version_that_made_it(february, tmp_path):
    home = copied(february, tmp_path / "home")
    home.rollbacks.roll_back("Bob", "I said so.")
    home = open_home(home.folder)
    found = home.status.scores(3)
    assert (found.as_of, found.record.version, found.production_version) == (FEBRUARY, 2, 1)
    assert [row["version"] for row in found.rows] == [2, 2, 2]
    assert home.status.explain(found.rows[0]["member"], None).model.version == 2


def test_a_list_and_its_explanations_are_of_the_version_that_made_it(january_copy):
    """An approval of a version with other features: the month's list is by the one before it."""
    views = {"members_fv": {"table": "members", "features": ["months", "plan"]}}
    home = with_contract(january_copy, feature_views=views)
    publish(home, 2, boosted(home))
    point(home, 2)
    home = open_home(home.folder)
    found = home.status.scores(1)
    assert (found.record.version, found.production_version) == (1, 2)
    assert found.outdated == "The list is of version 1; version 2 is in production."
    assert (found.rows[0]["rank"], found.not_scored) == (1, None)
    newest = home.status.now().newest_list
    assert (newest.as_of, newest.version, newest.outdated) == ("2024-01-31", 1, found.outdated)
    before = january_copy.status.explain("m00001", None)
    explained = home.status.explain("m00001", None)
    assert explained == before
    assert list(explained.features) == ["months", "plan", "has_app", "hours"]
    home.scoring.score(JANUARY)
    home = open_home(home.folder)
    assert home.status.now().newest_list.outdated is None
    again = home.status.explain("m00001", None)
    assert (again.model.version, list(again.features)) == (2, ["months", "plan"])
    point(home, 1)
    home = open_home(home.folder)
    assert home.status.scores(1).outdated.startswith("The list is of version 2; version 1 ")


def test_a_list_under_another_key_is_shown_by_its_own(january_copy):
    changed = DECLARED | {"entity": {"column": "person", "source": "member"}}
    (january_copy.folder / "contract.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    home = open_home(january_copy.folder)
    found = home.status.scores(1)
    assert found.key == "member"
    assert found.rows[0]["member"]
    assert "'member'" in found.not_scored
    with pytest.raises(ContractError, match="Version 1 made the list") as failed:
        home.status.explain("m00001", None)
    assert failed.value.code == "CONTRACT_CHANGED"


def test_an_explanation_marks_those_who_have_left_and_training_rows(january):
    scored = january.records.frame("scores", JANUARY)
    first, last = (january.status.explain(scored["member"].iloc[place], None) for place in (0, -1))
    assert (first.rank, first.decile, first.already_left) == (1, 1, False)
    assert first.trained_on == scored["trained_on"].iloc[0]
    assert (last.rank, last.decile, last.already_left) == (None, None, True)


def test_an_explanation_of_a_month_that_an_earlier_version_scored_has_no_marks(january_copy):
    scored = january_copy.records.frame("scores", JANUARY)
    scored = scored.drop(columns=["already_left", "trained_on"])
    record = january_copy.records.read("scores", JANUARY)
    january_copy.records.write("scores", JANUARY, record, scored.assign(rank=7, decile=2))
    found = january_copy.status.explain("m00001", None)
    assert (found.rank, found.decile) == (7, 2)
    assert (found.already_left, found.trained_on) == (None, None)


def test_only_costs_that_the_version_was_trained_by_make_its_threshold_a_prediction(january_copy):
    assert not january_copy.status.explain("m00001", None).costs_given
    trained_by = january_copy.contract.costs.model_dump(mode="json")
    home = with_contract(january_copy, costs=trained_by)
    assert home.status.explain("m00001", None).costs_given
    home = with_contract(january_copy, costs={"missed_churner": 9, "needless_contact": 2})
    assert home.contract.costs_given
    assert not home.status.explain("m00001", None).costs_given
    assert not declared(costs=trained_by).threshold_given({})  # of an earlier platform


def test_features_that_the_contract_no_longer_names_stay_those_of_the_version(january_copy):
    assert january_copy.status.scores(1).not_scored is None
    views = {"members_fv": DECLARED["feature_views"]["members_fv"]}
    home = with_contract(january_copy, feature_views=views)
    found = home.status.scores(1)
    assert (found.record.version, found.outdated, found.not_scored) == (1, None, None)
    explained = home.status.explain("m00001", None)
    assert list(explained.features) == ["months", "plan", "has_app", "hours"]


def test_a_list_of_a_version_that_cannot_score_any_more_shows_why(january_copy):
    tables = {name: table for name, table in DECLARED["tables"].items() if name != "visits"}
    views = {"members_fv": DECLARED["feature_views"]["members_fv"]}
    home = with_contract(january_copy, tables=tables, feature_views=views)
    found = home.status.scores(1)
    assert found.record.version == 1
    assert "'visits'" in found.not_scored
    with pytest.raises(ContractError, match="'visits'"):
        home.status.explain("m00001", None)


def test_the_status_shows_how_the_contract_changed_and_what_is_not_recorded_yet(january_copy):
    home = january_copy
    home.run_start.complete()
    found = open_home(home.folder).status.now().contract_changes
    assert (found.changed_at, found.month, found.changes) == (None, None, [])
    assert (found.pending, found.refused, found.command) == ([], [], None)
    spring = {"dtype": "integer", "nullable": True, "since": "2024-02-29"}
    members = DECLARED["tables"]["members"]["columns"]
    tables = DECLARED["tables"] | {"members": {"columns": {**members, "spring": spring}}}
    home = with_contract(home, tables=tables)
    found = home.status.now().contract_changes
    assert (found.changed_at, found.refused) == (None, [])
    assert len(found.pending) == 1
    assert "members.spring" in found.pending[0]
    assert found.command == "churn contract update"
    home.run_start.complete()
    [*_, receipt] = home.ledger.receipts("contract changed")
    after = open_home(home.folder).status.now().contract_changes
    assert (after.changed_at, after.month) == (receipt.time, "2024-01-31")
    assert after.changes == found.pending
    assert (after.pending, after.command) == ([], None)


def test_a_refused_contract_is_in_the_status_with_the_way_that_works(january_copy):
    january_copy.run_start.complete()
    members = DECLARED["tables"]["members"]["columns"] | {"spring": {"dtype": "integer"}}
    tables = DECLARED["tables"] | {"members": {"columns": members}}
    home = with_contract(january_copy, tables=tables)
    found = home.status.now().contract_changes
    [one] = found.refused
    assert one.where == "tables.members.columns.spring"
    assert "2024-01-31" in one.change
    assert "`since:`" in one.refused
    assert (len(found.pending), found.command) == (1, "churn contract diff")
    with pytest.raises(ContractError) as failed:
        home.run_start.complete()
    assert failed.value.code == "CONTRACT_CHANGED"
