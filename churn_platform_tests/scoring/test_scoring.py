"""Scoring a month: every customer, by whatever is in production, listed with reasons; never silently by a bad model."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.files import sha256_file
from churn_platform.promotion.promotions import production_candidate
from churn_platform.scoring.ranking import decile_floors
from churn_platform.serving.score_history import ScoreHistory
from churn_platform_tests.api_client import with_contract
from churn_platform_tests.small_business import (
    CUSTOMERS,
    DECLARED,
    FEBRUARY,
    JANUARY,
    copied,
    deliver,
    month_tables,
    monthly,
    open_home,
)


def test_every_customer_is_scored_by_production_most_likely_first(january):
    scored = january.records.frame("scores", JANUARY)
    assert sorted(scored["member"]) == month_tables(JANUARY)["members"]["member"].tolist()
    marks = scored[["as_of", "version", "stand_down"]].drop_duplicates()
    assert marks.to_numpy().tolist() == [["2024-01-31", 1, False]]
    wide = month_tables(JANUARY)["members"].merge(month_tables(JANUARY)["visits"], on="member")
    wide = wide.set_index("member").loc[scored["member"]].reset_index()
    expected = production_candidate(january.releases).model.probability(wide)
    np.testing.assert_array_equal(scored["probability"], expected)


def test_customers_who_are_known_to_have_left_are_marked_and_stand_in_no_list(january):
    scored = january.records.frame("scores", JANUARY).set_index("member")
    leavers = month_tables(JANUARY)["leavers"].set_index("member")["has_left"]
    assert leavers.sum() == 500
    assert scored["already_left"].astype(bool).equals(leavers[scored.index].rename("already_left"))
    assert scored.loc[scored["already_left"], ["rank", "decile"]].isna().all(axis=None)
    for name, read in (("at_risk.csv", pd.read_csv), ("at_risk.parquet", pd.read_parquet)):
        listed = read(january.reports / "2024-01-31" / name)
        assert not leavers[listed["member"]].any()
        assert listed["rank"].tolist() == list(range(1, 21))


def test_the_rows_that_the_model_was_trained_on_are_marked(january, february_decided):
    trained = set(january.training_datasets.load(JANUARY).training_rows()["member"])
    scored = january.records.frame("scores", JANUARY).set_index("member")
    assert 0 < len(trained) < CUSTOMERS
    assert set(scored.index[scored["trained_on"].astype(bool)]) == trained
    listed = pd.read_csv(january.reports / "2024-01-31" / "at_risk.csv")
    assert listed["trained_on"].tolist() == [member in trained for member in listed["member"]]
    later = february_decided.records.frame("scores", FEBRUARY)
    assert set(later["version"]) == {1}
    assert not later["trained_on"].any()


def test_the_record_says_by_whom_how_many_and_how_many_to_contact(january):
    record = january.records.read("scores", JANUARY)
    scored = january.records.frame("scores", JANUARY)
    threshold = production_candidate(january.releases).model.threshold
    at_risk = scored[~scored["already_left"]]
    contacts = int((at_risk["probability"] >= threshold).sum())
    assert 0 < contacts < CUSTOMERS - 500
    assert "already known" in record.pop("list_note")
    assert record == {
        **january.progress().made_from(JANUARY),
        "features": january.lake.feature_digest(JANUARY),
        "version": 1,
        "stand_down": None,
        "customers": CUSTOMERS,
        "contacts": contacts,
        "already_left": 500,
        "list_hash": january.contract.list_hash,
        "decile_floors": decile_floors(scored),
        "list": sha256_file(january.reports / "2024-01-31" / "at_risk.parquet"),
    }


def test_the_list_has_the_top_customers_with_three_reasons_as_csv_and_parquet(january):
    folder = january.reports / "2024-01-31"
    listed = pd.read_parquet(folder / "at_risk.parquet")
    scored = january.records.frame("scores", JANUARY)
    assert listed["member"].tolist() == scored["member"].head(20).tolist()
    reasons = listed[["reason_1", "reason_2", "reason_3"]]
    assert reasons.map(lambda said: said.endswith("the risk")).all(axis=None)
    months = month_tables(JANUARY)["members"].set_index("member")["months"]
    own = f"{months[listed['member'][0]]} months as a member"
    assert reasons.iloc[0].str.startswith(own).any()
    again = pd.read_csv(folder / "at_risk.csv")
    assert again[["member", *reasons]].equals(listed[["member", *reasons]])


def test_before_there_is_a_model_nobody_is_scored_and_the_record_says_so(january_decided_copy):
    assert january_decided_copy.scoring.score(JANUARY) is None
    record = january_decided_copy.records.read("scores", JANUARY)
    assert (record["version"], record["customers"]) == (None, 0)
    assert not (january_decided_copy.reports / "2024-01-31" / "at_risk.csv").exists()


def test_scoring_again_gives_the_same_list_byte_for_byte(january_copy):
    csv = january_copy.reports / "2024-01-31" / "at_risk.csv"
    before = csv.read_bytes()
    scored = january_copy.scoring.score(JANUARY)
    record = scored.record
    assert (record.version, record.customers, record.stand_down) == (1, CUSTOMERS, None)
    assert (scored.csv, len(scored.listed)) == (csv, 20)
    assert csv.read_bytes() == before


def test_late_labels_leave_the_list_of_an_older_month_as_it_was_and_other_features_do_not(
    february_decided, tmp_path
):

    home = copied(february_decided, tmp_path / "home")
    home.decision_maker.carry_out()
    tables = month_tables(JANUARY)
    tables["leavers"]["has_left"] = ~tables["leavers"]["has_left"]
    deliver(home, JANUARY, tables)
    home.ingestion.publish(JANUARY)
    scored = home.scoring.score(JANUARY)
    assert (scored.record.version, len(scored.listed)) == (1, 20)
    # It counts as processed.
    assert scored.record.snapshot == home.progress().made_from(JANUARY)["snapshot"]
    assert set(home.records.frame("scores", JANUARY)["version"]) == {1}
    tables["visits"]["hours"] = 1.0
    deliver(home, JANUARY, tables)
    home.ingestion.publish(JANUARY)
    assert open_home(home.folder).scoring.score(JANUARY).record.version == 2


def test_a_model_no_better_than_chance_is_never_served_silently(january_copy):
    metrics = {"auc": 0.51, "auc_interval": [0.47, 0.55]}
    record = {
        "inputs": "x",
        "evaluated": [{"version": 1, "as_of": "2024-02-29", "rows": 9, "metrics": metrics}],
    }
    january_copy.records.write("performance", FEBRUARY, record)
    scored = january_copy.scoring.score(JANUARY)
    assert "AUC 0.510 [0.470, 0.550]" in scored.record.stand_down
    assert january_copy.records.read("scores", JANUARY)["stand_down"] == scored.record.stand_down
    assert january_copy.records.frame("scores", JANUARY)["stand_down"].all()
    assert pd.read_csv(scored.csv)["stand_down"].all()


def test_a_customer_in_one_table_alone_is_scored_too(january_copy):
    tables = month_tables(JANUARY, 40)
    tables["members"] = tables["members"].iloc[1:]
    tables["visits"] = tables["visits"].iloc[:-1]
    deliver(january_copy, JANUARY, tables)
    january_copy.ingestion.publish(JANUARY)
    scored = january_copy.scoring.score(JANUARY)
    assert scored.record.customers == 40
    listed = len(tables["leavers"]) - int(tables["leavers"]["has_left"].sum())
    assert len(scored.listed) == min(20, listed)
    assert january_copy.records.frame("scores", JANUARY)["probability"].notna().all()
    assert scored.listed["rank"].tolist() == list(range(1, min(20, listed) + 1))


def without_labels(as_of):
    """The tables of a month whose labels come later."""
    return {name: table for name, table in month_tables(as_of).items() if name != "leavers"}


def test_labels_of_the_newest_month_take_its_leavers_off_the_list_when_they_come(january_copy):
    home = january_copy
    deliver(home, FEBRUARY, without_labels(FEBRUARY))
    home.ingestion.publish(FEBRUARY)
    before = home.scoring.score(FEBRUARY)
    older = (home.reports / "2024-01-31" / "at_risk.csv").read_bytes()
    assert (before.record.already_left, before.record.list_note) == (0, None)
    leavers = month_tables(FEBRUARY)["leavers"]
    some = leavers[leavers["member"].isin(before.listed["member"].head(3))].assign(
        has_left=[True, True, False]
    )
    deliver(home, FEBRUARY, without_labels(FEBRUARY) | {"leavers": some})
    home.ingestion.publish(FEBRUARY)
    after = home.scoring.score(FEBRUARY)
    gone = set(some.loc[some["has_left"], "member"])
    assert (after.record.already_left, after.record.list_note) == (2, None)
    assert after.record.customers == before.record.customers
    assert gone < set(before.listed["member"])
    assert not gone & set(after.listed["member"])
    home.scoring.score(JANUARY)
    assert (home.reports / "2024-01-31" / "at_risk.csv").read_bytes() == older


def test_other_words_in_the_contract_are_those_of_the_next_version(january_copy):
    members = DECLARED["tables"]["members"]["columns"]
    column = members["months"] | {"phrase": "{value} months with us"}
    tables = DECLARED["tables"] | {"members": {"columns": members | {"months": column}}}
    home = with_contract(january_copy, tables=tables)
    assert home.progress().next_step() is None
    before = pd.read_csv(home.reports / "2024-01-31" / "at_risk.csv")
    after = pd.read_csv(home.scoring.score(JANUARY).csv)
    assert after["reason_1"].tolist() == before["reason_1"].tolist()
    assert after["reason_1"].str.contains("months as a member").any()


def test_other_list_settings_make_the_list_again_and_a_record_without_them_does_not(january_copy):
    policy = DECLARED["policy"] | {"scoring": {"listed": 7}}
    home = with_contract(january_copy, policy=policy)
    step = home.progress().next_step()
    assert (step.kind, step.as_of) == ("scores", JANUARY)
    assert "contract have changed" in step.reason
    scored = home.scoring.score(JANUARY)
    assert (scored.record.version, len(scored.listed)) == (1, 7)
    assert home.progress().next_step() is None
    record = home.records.read("scores", JANUARY)
    del record["list_hash"]  # as an earlier version of the platform wrote it
    home.records.write("scores", JANUARY, record)
    assert home.progress().next_step() is None


def test_where_all_have_left_the_list_is_empty_and_says_so(january_copy):
    tables = month_tables(FEBRUARY, 30)
    tables["leavers"]["has_left"] = True
    deliver(january_copy, FEBRUARY, tables)
    january_copy.ingestion.publish(FEBRUARY)
    scored = january_copy.scoring.score(FEBRUARY)
    record = scored.record
    assert (record.customers, record.already_left, record.contacts) == (30, 30, 0)
    assert len(scored.listed) == 0
    assert "2024-02-29" in scored.record.list_note
    assert len(pd.read_csv(scored.csv)) == 0


def test_costs_by_customer_put_the_highest_expected_loss_first_in_every_file(january_copy):
    home = with_contract(january_copy, costs={"missed_churner": {"column": "months", "times": 10}})
    assert home.progress().next_step().kind == "scores", "other costs are another list"
    scored = home.scoring.score(JANUARY)
    listed = pd.read_csv(scored.csv)
    everyone = home.records.frame("scores", JANUARY)
    at_risk = everyone[~everyone["already_left"]]
    assert listed["expected_loss"].tolist() == pytest.approx(
        at_risk["expected_loss"].nlargest(20).tolist()
    )
    assert listed["rank"].tolist() == list(range(1, 21))
    assert not listed["probability"].is_monotonic_decreasing
    assert at_risk.groupby("decile")["probability"].min().is_monotonic_decreasing
    served = ScoreHistory(home.folder, home.contract).at_risk()
    assert [item.expected_loss for item in served] == pytest.approx(
        listed["expected_loss"].tolist()
    )
    assert [item.rank for item in served] == list(range(1, 21))


def without_visits(home):
    """The home after the feature `hours` was taken out of its contract."""
    views = {"members_fv": DECLARED["feature_views"]["members_fv"]}
    return with_contract(home, feature_views=views)


def test_a_version_scores_with_a_feature_that_was_taken_out_of_the_contract(january_copy):
    before = (january_copy.reports / "2024-01-31" / "at_risk.csv").read_bytes()
    home = without_visits(january_copy)
    assert home.progress().next_step() is None
    scored = home.scoring.score(JANUARY)
    assert (scored.record.version, scored.csv.read_bytes()) == (1, before)
    deliver(home, FEBRUARY)
    assert home.progress().next_step().kind == "monthly"
    monthly(home, FEBRUARY)
    record = home.records.read("scores", FEBRUARY)
    assert (record["version"], record["customers"]) == (1, CUSTOMERS)
    assert "not_scored" not in record
    wide = month_tables(FEBRUARY)["members"].merge(month_tables(FEBRUARY)["visits"], on="member")
    scored = home.records.frame("scores", FEBRUARY)
    wide = wide.set_index("member").loc[scored["member"]].reset_index()
    expected = production_candidate(home.releases).model.probability(wide)
    np.testing.assert_array_equal(scored["probability"], expected)


def test_a_rollback_to_a_version_with_other_features_makes_the_list_again(january_copy):
    record = january_copy.records.read("scores", JANUARY)
    january_copy.records.write("scores", JANUARY, record | {"version": 2})
    home = without_visits(january_copy)
    assert home.progress().next_step().kind == "scores"
    assert home.scoring.score(JANUARY).record.version == 1


def test_a_column_that_is_gone_from_the_contract_leaves_the_list_as_it_was(january_copy):
    before = (january_copy.reports / "2024-01-31" / "at_risk.csv").read_bytes()
    members = dict(DECLARED["tables"]["members"]["columns"])
    del members["has_app"]
    view = {"table": "members", "features": ["months", "plan"]}
    home = with_contract(
        january_copy,
        feature_views=DECLARED["feature_views"] | {"members_fv": view},
        tables=DECLARED["tables"] | {"members": {"columns": members}},
    )
    assert "members.has_app" in home.version_contracts.why_not_scored()
    assert home.progress().next_step() is None
    scored = home.scoring.score(JANUARY)
    assert (scored.record.version, scored.csv.read_bytes()) == (1, before)
