"""Scoring a month: every customer, by whatever is in production, listed with reasons; never silently by a bad model."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.adapters.files import sha256_file
from churn_platform.adapters.progress import Progress
from churn_platform.adapters.promotion.promoting import production_candidate
from churn_platform.adapters.scoring import score_month
from churn_platform.core.scoring import decile_floors
from churn_platform_tests.small_business import CUSTOMERS, FEBRUARY, JANUARY, month_tables


def test_every_customer_is_scored_by_production_most_likely_first(january):
    scored = january.records.frame("scores", JANUARY)
    assert sorted(scored["member"]) == month_tables(JANUARY)["members"]["member"].tolist()
    assert scored["rank"].tolist() == list(range(1, CUSTOMERS + 1))
    assert (np.diff(scored["probability"]) <= 0).all()
    assert scored["decile"].value_counts().to_dict() == dict.fromkeys(range(1, 11), CUSTOMERS // 10)
    assert scored["as_of"].unique().tolist() == ["2024-01-31"]
    assert scored["version"].unique().tolist() == [1]
    assert not scored["stand_down"].any()
    wide = month_tables(JANUARY)["members"].merge(month_tables(JANUARY)["visits"], on="member")
    wide = wide.set_index("member").loc[scored["member"]].reset_index()
    expected = production_candidate(january).model.probability(wide)
    np.testing.assert_array_equal(scored["probability"], expected)


def test_the_record_says_by_whom_how_many_and_how_many_to_contact(january):
    record = january.records.read("scores", JANUARY)
    scored, threshold = january.records.frame("scores", JANUARY), production_candidate(january).model.threshold
    contacts = int((scored["probability"] >= threshold).sum())
    assert 0 < contacts < CUSTOMERS
    assert record == {
        **Progress(january).made_from(JANUARY),
        "features": january.lake.feature_digest(JANUARY),
        "version": 1,
        "stand_down": None,
        "customers": CUSTOMERS,
        "contacts": contacts,
        "decile_floors": decile_floors(scored),
        "list": sha256_file(january.reports / "2024-01-31" / "at_risk.parquet"),
    }


def test_the_list_has_the_top_customers_with_three_reasons_as_csv_and_parquet(january):
    folder = january.reports / "2024-01-31"
    listed, scored = pd.read_parquet(folder / "at_risk.parquet"), january.records.frame("scores", JANUARY)
    assert listed["member"].tolist() == scored["member"].head(20).tolist()
    reasons = listed[["reason_1", "reason_2", "reason_3"]]
    assert reasons.map(lambda said: said.endswith(("raises the risk", "lowers the risk"))).all(axis=None)
    assert reasons.iloc[0].str.contains(" months as a member raises the risk").any()
    again = pd.read_csv(folder / "at_risk.csv")
    assert again["member"].tolist() == listed["member"].tolist()
    assert again["reason_3"].tolist() == listed["reason_3"].tolist()


def test_a_reason_speaks_of_the_customers_own_value(january):
    listed = pd.read_parquet(january.reports / "2024-01-31" / "at_risk.parquet")
    months = month_tables(JANUARY)["members"].set_index("member")["months"]
    for _, row in listed.iterrows():
        said = " ".join(row[["reason_1", "reason_2", "reason_3"]])
        if "months as a member" in said:
            assert f"{months[row['member']]} months as a member" in said


def test_before_there_is_a_model_nobody_is_scored_and_the_record_says_so(january_decided_copy):
    assert score_month(january_decided_copy, JANUARY) is None
    record = january_decided_copy.records.read("scores", JANUARY)
    assert (record["version"], record["customers"]) == (None, 0)
    assert not (january_decided_copy.reports / "2024-01-31" / "at_risk.csv").exists()


def test_scoring_again_gives_the_same_list_byte_for_byte(january_copy):
    csv = january_copy.reports / "2024-01-31" / "at_risk.csv"
    before = csv.read_bytes()
    scored = score_month(january_copy, JANUARY)
    assert (scored.csv, scored.version, scored.customers, scored.stand_down) == (csv, 1, CUSTOMERS, None)
    assert len(scored.listed) == 20
    assert csv.read_bytes() == before


def test_late_labels_leave_the_list_of_an_older_month_as_it_was_and_other_features_do_not(february_decided, tmp_path):
    from churn_platform.adapters.drops.ingestion import publish_drop
    from churn_platform.adapters.promotion.deciding import carry_out
    from churn_platform_tests.small_business import copied, deliver, open_home

    home = copied(february_decided, tmp_path / "home")
    carry_out(home)
    tables = month_tables(JANUARY)
    tables["leavers"]["has_left"] = ~tables["leavers"]["has_left"]
    deliver(home, JANUARY, tables)
    publish_drop(home, JANUARY)
    scored, record = score_month(home, JANUARY), home.records.read("scores", JANUARY)
    assert (scored.version, scored.customers, len(scored.listed)) == (1, CUSTOMERS, 20)
    assert record["snapshot"] == Progress(home).made_from(JANUARY)["snapshot"], "it counts as processed"
    assert set(home.records.frame("scores", JANUARY)["version"]) == {1}

    tables["visits"]["hours"] = 1.0
    deliver(home, JANUARY, tables)
    publish_drop(home, JANUARY)
    assert score_month(open_home(home.folder), JANUARY).version == 2


def test_a_model_no_better_than_chance_is_never_served_silently(january_copy):
    metrics = {"auc": 0.51, "auc_interval": [0.47, 0.55]}
    record = {"inputs": "x", "evaluated": [{"version": 1, "as_of": "2024-02-29", "rows": 9, "metrics": metrics}]}
    january_copy.records.write("performance", FEBRUARY, record)
    scored = score_month(january_copy, JANUARY)
    assert scored.stand_down == (
        "Version 1 is no better than chance on the matured labels of 2024-02-29: AUC 0.510 [0.470, 0.550]."
    )
    assert january_copy.records.read("scores", JANUARY)["stand_down"] == scored.stand_down
    assert january_copy.records.frame("scores", JANUARY)["stand_down"].all()
    assert pd.read_csv(scored.csv)["stand_down"].all()


def test_a_customer_in_one_table_alone_is_scored_too(january_copy):
    from churn_platform.adapters.drops.ingestion import publish_drop
    from churn_platform_tests.small_business import deliver

    tables = month_tables(JANUARY, 40)
    tables["members"], tables["visits"] = tables["members"].iloc[1:], tables["visits"].iloc[:-1]
    deliver(january_copy, JANUARY, tables)
    publish_drop(january_copy, JANUARY)
    scored = score_month(january_copy, JANUARY)
    assert scored.customers == 40
    assert january_copy.records.frame("scores", JANUARY)["probability"].notna().all()
    assert pytest.approx(sorted(scored.listed["rank"])) == list(range(1, 21))
