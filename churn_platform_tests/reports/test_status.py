"""Answers for people and programs: true to the files, and a sentence where there is nothing to answer."""

import json

import pytest
import yaml

from churn_platform.base.errors import ContractError, IntegrityError, UsageError
from churn_platform.base.text import parse_as_of
from churn_platform.promotion.promotions import production_candidate
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
    assert (found["home"], found["contract"]) == (str(january.folder), "gym")
    assert found["months"] == ["2024-01-31"]
    assert found["next"] is None
    assert found["reason"] == "No labels have matured since the decision on 2024-01-31."
    (decision,) = found["decisions"]
    assert (decision["decision"], decision["trigger"], decision["candidate_version"]) == (
        "promoted",
        "first",
        1,
    )
    assert (
        found["production"].items()
        >= {
            "version": 1,
            "as_of": "2024-01-31",
            "auc": decision["candidate_auc"],
            "stand_down": False,
            "stand_down_reason": None,
            "algorithm": "logistic_regression",
            "previous_version": None,
        }.items()
    )
    assert json.loads(json.dumps(found)) == found


def test_each_decision_of_the_status_has_what_a_program_reads(february_decided):
    found = february_decided.status.now()
    assert [decision["as_of"] for decision in found["decisions"]] == ["2024-01-31", "2024-02-29"]
    assert found["decisions"][1].keys() >= {
        "as_of",
        "candidate_version",
        "production_version",
        "decision",
        "trigger",
        "candidate_auc",
        "production_auc",
        "difference_interval",
        "detectable_gain",
        "forward_auc",
        "drift_share",
        "drifted_columns",
        "target_drift",
        "findings",
    }
    assert found["decisions"][1]["findings"][0].keys() >= {"code", "title", "outcome", "detail"}
    assert found["next"] == {
        "job": "retraining",
        "as_of": "2024-02-29",
        "reason": "The newest decision was not carried out.",
    }
    assert [entry["version"] for entry in found["performance"]] == [1]


def test_production_that_stands_down_says_so_and_why(february_decided):
    found = february_decided.status.now()["production"]
    assert (found["version"], found["stand_down"]) == (1, True)
    assert found["stand_down_reason"].startswith(
        "Version 1 is no better than chance on the matured labels of 2024-02-29"
    )


def test_a_new_home_has_no_month_no_production_and_says_so(tmp_path):
    home = make_home(tmp_path / "home")
    found = home.status.now()
    assert (found["months"], found["production"], found["decisions"], found["performance"]) == (
        [],
        None,
        [],
        [],
    )
    assert (found["next"], found["reason"]) == (None, "No drop has arrived yet.")
    deliver(home, JANUARY, month_tables(JANUARY, 5))
    assert home.status.now()["next"]["job"] == "monthly"


def test_a_tampered_release_is_an_error_and_not_a_status(january_copy):
    path = january_copy.releases.folder / "1" / "manifest.json"
    path.write_text(path.read_text().replace('"threshold"', '"threshold" '))
    with pytest.raises(IntegrityError, match=r"release 1 was changed: manifest\.json"):
        january_copy.status.now()


def test_decisions_are_found_by_month_and_the_newest_by_default(february_decided):
    assert february_decided.status.decision(None)["as_of"] == "2024-02-29"
    assert february_decided.status.decision("2024-01-31")["candidate_version"] == 1
    with pytest.raises(
        UsageError,
        match=r"^There is no decision of 2023-12-31; decisions so far: 2024-01-31, 2024-02-29\.$",
    ):
        february_decided.status.decision("2023-12-31")


def test_without_a_decision_there_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"^There is no decision; decisions so far: none yet\.$"):
        make_home(tmp_path).status.decision(None)


def test_one_customer_is_explained_by_the_version_that_scored_the_month(january):
    scored = january.records.frame("scores", JANUARY)
    first = scored.iloc[0]
    found = january.status.explain(first["member"], None)
    assert found["member"] == first["member"]
    assert found["as_of"] == "2024-01-31"
    assert found["probability"] == pytest.approx(
        first["probability"], rel=1e-12
    )  # one row or 1,500: BLAS rounds otherwise
    assert found["prediction"] == 1
    assert found["prediction"] == int(
        first["probability"] >= production_candidate(january.releases).model.threshold
    )
    assert len(found["reasons"]) == 3
    known = {
        name: table.set_index("member").loc[first["member"]]
        for name, table in month_tables(JANUARY).items()
    }
    assert found["features"]["months"] == known["members"]["months"]
    assert found["features"]["plan"] == known["members"]["plan"]
    assert list(found["features"]) == ["months", "plan", "has_app", "hours"]
    assert found["model"] == {
        "name": "gym_churn",
        "version": 1,
        "as_of": "2024-01-31",
        "algorithm": "logistic_regression",
        "stand_down": False,
    }


def test_an_explanation_is_plain_json_with_null_as_null(january):
    found = january.status.explain("m00000", "2024-01-31")  # number 0: has_app and hours are null
    again = json.loads(json.dumps(found))
    assert again == found
    assert (again["features"]["has_app"], again["features"]["hours"]) == (None, None)
    assert any(reason.startswith("no value for ") for reason in found["reasons"])
    last = january.records.frame("scores", JANUARY).iloc[-1]
    assert january.status.explain(last["member"], None)["prediction"] == 0


def test_an_unknown_customer_or_month_is_wrong_use_with_a_sentence(january):
    with pytest.raises(
        UsageError,
        match=r"^There is no customer 'nobody' in the snapshot of 2024-01-31: check the member\.$",
    ):
        january.status.explain("nobody", None)
    with pytest.raises(
        UsageError, match=r"^The month 2024-02-29 was not scored; scored months: 2024-01-31\.$"
    ):
        january.status.explain("m00001", "2024-02-29")
    with pytest.raises(UsageError, match="'last month'"):
        january.status.explain("m00001", "last month")


def test_before_anything_is_scored_lists_and_explanations_say_so(january_decided):
    for ask in (
        lambda: january_decided.status.scores(5),
        lambda: january_decided.status.explain("m00001", None),
    ):
        with pytest.raises(
            UsageError,
            match=r"^No month has been scored yet: `churn run` scores once a model is in prod",
        ):
            ask()


def test_the_listed_customers_are_the_top_of_the_newest_scored_month(february_decided):
    month, record, rows = february_decided.status.scores(3)
    assert month == FEBRUARY
    assert (record["version"], record["customers"]) == (1, CUSTOMERS)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert all(row["reason_1"] and row["stand_down"] for row in rows)
    assert len(february_decided.status.scores(5000)[2]) == 20


def test_production_is_none_before_the_first_promotion(january_decided):
    assert january_decided.status.production() is None


def test_dates_are_read_as_people_write_them():
    assert parse_as_of("2024-01-31") == JANUARY
    for wrong in ("31.01.2024", "2024-02-30", ""):
        with pytest.raises(UsageError, match="2024-01-31"):
            parse_as_of(wrong)


def test_the_newest_month_s_rows_put_aside_are_said_with_their_page(tmp_path):
    home = make_home(tmp_path / "home")
    for month, hours in ((JANUARY, "-1"), (FEBRUARY, "2")):
        tables = {name: table.astype(object) for name, table in month_tables(month, 200).items()}
        tables["visits"].loc[3, "hours"] = hours
        deliver(home, month, tables)
        home.ingestion.publish(month)
    assert home.status.now()["quarantine"] is None
    found = home.status.quarantine(JANUARY)
    assert (found["as_of"], found["sentence"]) == ("2024-01-31", "1 row quarantined: visits 1.")
    assert found["tables"]["visits"]["reasons"][0].startswith(
        "visits.csv, column 'hours': 1 value below the minimum 0"
    )
    assert found["page"].endswith("/reports/2024-01-31/drop.html")


def test_a_candidate_that_waits_is_in_the_status_with_the_command_that_answers(february_pending):
    found = february_pending.status.now()
    waits = found["pending"]
    (request,) = february_pending.ledger.receipts("approval requested")
    assert (waits["version"], waits["state"], waits["since"], waits["until"], waits["lapsed"]) == (
        2, "pending", request.time, request.evidence["until"], None,
    )  # fmt: skip
    assert waits["how"].startswith("`churn approve 2 --by NAME --reason TEXT`")
    assert [decision["decision"] for decision in found["decisions"]] == [
        "promoted",
        "promoted",
        "pending",
    ]
    assert [decision["approval"] and decision["approval"]["state"] for decision in found["decisions"]] == [
        None, None, "pending",
    ]  # fmt: skip
    assert found["next"] is None
    assert february_pending.ledger.head().act == "approval requested"


def test_a_request_that_lapsed_is_told_before_anybody_recorded_it(february_pending_copy):
    found = with_policy(february_pending_copy, mode="approval", delta=0.02).status.now()
    assert found["pending"]["lapsed"] == "The policy has changed since the decision."


def test_an_override_stays_with_version_and_decision_and_a_rollback_shows_what_is_blocked(
    february_pending_copy,
):
    home = february_pending_copy
    home.approvals.reject(2, "Bob", "No.")
    home.approvals.approve(2, "Ann", "The board wants it.", override=True)
    home = open_home(home.folder)
    forced = home.status.now()["production"]["overridden"]
    assert (forced["by"], forced["reason"]) == ("Ann", "The board wants it.")
    decision = home.status.decision("2024-02-29")
    assert (decision["overridden"], decision["approval"]["state"]) == (forced, "rejected")
    home.rollbacks.roll_back("Bob", "I said so.")
    found = open_home(home.folder).status.now()
    assert found["production"]["overridden"] is None
    assert found["blocked"][2]["by"] == "Bob"
    assert found["decisions"][-1]["overridden"] == forced


def test_after_a_rollback_the_list_is_that_of_the_version_that_made_it(february, tmp_path):
    home = copied(february, tmp_path / "home")
    home.rollbacks.roll_back("Bob", "I said so.")
    home = open_home(home.folder)
    month, record, rows = home.status.scores(3)
    assert (month, record["version"], record["production_version"]) == (FEBRUARY, 2, 1)
    assert [row["version"] for row in rows] == [2, 2, 2]
    assert home.status.explain(rows[0]["member"], None)["model"]["version"] == 2


def test_a_version_of_another_contract_in_production_leaves_the_list_readable(january_copy):
    """An approval of a version with other features: the month's list is by the version before it."""
    home, features = january_copy, ["months", "plan"]
    declared = DECLARED | {
        "feature_views": {"members_fv": {"table": "members", "features": features}}
    }
    (home.folder / "contract.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    home = open_home(home.folder)
    publish(home, 2, boosted(home))
    point(home, 2)
    home = open_home(home.folder)
    _, record, rows = home.status.scores(1)
    assert (record["version"], record["production_version"], rows[0]["rank"]) == (1, 2, 1)
    with pytest.raises(ContractError, match=r"version 2 is in production now\. Type `churn run`"):
        home.status.explain("m00001", None)


def test_a_list_under_another_key_is_refused_with_both_files(january_copy):
    declared = DECLARED | {"entity": {"column": "person", "source": "member"}}
    (january_copy.folder / "contract.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    with pytest.raises(
        ContractError, match=r"at_risk\.parquet has no column 'person': .*contract\.yaml"
    ):
        open_home(january_copy.folder).status.scores(1)


def test_a_first_version_that_was_approved_and_has_scored_nothing_is_named(january_decided_copy):

    january_decided_copy.decision_maker.carry_out()
    with pytest.raises(
        UsageError,
        match=r"^No month has been scored yet\. Version 1 is in production: .*`churn run`",
    ):
        open_home(january_decided_copy.folder).status.scores(1)


def test_an_explanation_marks_those_who_have_left_and_training_rows(january):
    scored = january.records.frame("scores", JANUARY)
    first, last = (january.status.explain(scored["member"].iloc[place], None) for place in (0, -1))
    assert (first["rank"], first["decile"], first["already_left"]) == (1, 1, False)
    assert first["trained_on"] == scored["trained_on"].iloc[0]
    assert (last["rank"], last["decile"], last["already_left"]) == (None, None, True)
    assert "expected_loss" not in first
    assert json.loads(json.dumps([first, last])) == [first, last]


def test_an_explanation_of_a_month_that_an_earlier_version_scored_has_no_marks(january_copy):
    scored = january_copy.records.frame("scores", JANUARY).drop(
        columns=["already_left", "trained_on"]
    )
    record = january_copy.records.read("scores", JANUARY)
    january_copy.records.write("scores", JANUARY, record, scored.assign(rank=7, decile=2))
    found = january_copy.status.explain("m00001", None)
    assert [found[name] for name in ("rank", "decile", "already_left", "trained_on")] == [
        7,
        2,
        None,
        None,
    ]


def test_only_costs_of_the_author_make_the_threshold_a_prediction_in_words(january_copy):
    assert january_copy.status.explain("m00001", None)["costs_given"] is False
    trained_by = january_copy.contract.costs.model_dump(mode="json")
    home = with_contract(january_copy, costs=trained_by)
    assert home.status.explain("m00001", None)["costs_given"] is True


def test_costs_that_came_after_the_training_say_nothing_about_the_threshold(january_copy):
    """Version 1 chose its threshold by the default costs."""
    home = with_contract(january_copy, costs={"missed_churner": 9, "needless_contact": 2})
    assert home.contract.costs_given
    assert home.status.explain("m00001", None)["costs_given"] is False


def test_a_passport_says_by_which_costs_the_threshold_was_chosen(january):
    costs = {"missed_churner": 9, "needless_contact": 2}
    given = declared(costs=costs)
    passport = {"made_from": {"recipe": {"costs": costs}}}
    assert given.threshold_given(passport)
    assert not declared().threshold_given(passport)
    assert not declared(costs=costs | {"missed_churner": 8}).threshold_given(passport)
    assert not given.threshold_given({})  # of an earlier platform
    assert "costs" in production_candidate(january.releases).card.made_from.recipe


def test_a_list_of_a_version_that_cannot_score_any_more_says_so(january_copy):
    assert january_copy.status.scores(1)[1]["not_scored"] is None
    home = with_contract(
        january_copy, feature_views={"members_fv": DECLARED["feature_views"]["members_fv"]}
    )
    _, record, _ = home.status.scores(1)
    assert record["version"] == 1
    assert "another contract" in record["not_scored"]
    with pytest.raises(ContractError, match="churn retrain"):
        home.status.explain("m00001", None)
