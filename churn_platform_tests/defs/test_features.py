"""Feature views, training dataset and its four checks, as the UI shows them."""

import dagster as dg
import pytest

from churn_platform.base.digests import frame_digest
from churn_platform.defs.features import feature_views, training_dataset, training_dataset_checks
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
)

CHECKS = [
    "no_feature_from_after_its_moment",
    "no_holdout_entity_in_training",
    "labels_plausible",
    "no_feature_tells_the_label",
]


@pytest.fixture
def checks(checked):
    """The results of the four checks on a month, by name."""
    return lambda home, month: checked(home, month, training_dataset_checks)


@pytest.fixture
def unlabelled(tmp_path):
    """A home whose only month has no matured labels: they mature a month later."""
    late = {"table": "leavers", "column": "has_left", "horizon": {"months": 1}}
    home = make_home(tmp_path / "home", {**DECLARED, "label": late})
    tables = month_tables(JANUARY)
    del tables["leavers"]
    deliver(home, JANUARY, tables)
    monthly(home, JANUARY)
    return open_home(home.folder)


def test_the_feature_views_show_what_feast_holds(january_copy, shown):
    values = shown(january_copy, JANUARY, feature_views)
    assert values["feature views"] == "members_fv, visits_fv"
    assert values["features"] == 4
    assert values["online store"] == "holds 2024-01-31"
    assert values["repository"] == str(january_copy.folder / "feast")


def test_an_older_month_leaves_the_online_store_alone(february_decided_copy, shown):
    values = shown(february_decided_copy, JANUARY, feature_views)
    assert values["online store"] == "holds 2024-02-29; 2024-01-31 is older and stayed out"


def test_the_training_dataset_shows_its_rows_by_part(january_copy, shown):
    values = shown(january_copy, JANUARY, training_dataset)
    frame = january_copy.records.frame("training_dataset", JANUARY)
    holdout = int(frame["holdout"].sum())
    assert holdout == 371
    assert f"| training | {1500 - holdout:,} | " in values["rows"]
    assert f"| holdout | {holdout:,} | " in values["rows"]
    assert values["dagster/row_count"] == 1500
    assert values["churn rate"] == pytest.approx(frame.loc[~frame["holdout"], "label"].mean())
    assert values["months one cadence earlier (forward value)"] == "none"
    assert values["digest"] == january_copy.records.read("training_dataset", JANUARY)["digest"]


def test_without_matured_labels_the_dataset_says_so_and_its_checks_pass(unlabelled, shown, checks):
    assert shown(unlabelled, JANUARY, training_dataset) == {
        "note": "No labels have matured yet: nothing to train on."
    }
    found = checks(unlabelled, JANUARY)
    assert list(found) == CHECKS
    assert all(result.passed for result in found.values())
    assert {result.metadata["note"].value for result in found.values()} == {"no matured labels yet"}


def test_a_sound_dataset_passes_with_the_figures_that_were_compared(january_copy, checks):
    found = checks(january_copy, JANUARY)
    assert {name: result.passed for name, result in found.items()} == dict.fromkeys(CHECKS, True)
    assert found[CHECKS[0]].metadata["rows compared"].value == 1500
    assert found[CHECKS[0]].metadata["cells that differ"].value == 0
    assert found[CHECKS[1]].metadata["customers in both"].value == 0
    assert found[CHECKS[2]].description == "Nothing looks wrong."
    assert found[CHECKS[3]].description == "No feature alone predicts churn."
    assert {result.metadata["as_of"].value for result in found.values()} == {"2024-01-31"}


def tampered(home, change):
    """Change the published dataset of January and its digest, as a fault in the join would."""
    frame = home.records.frame("training_dataset", JANUARY)
    record = home.records.read("training_dataset", JANUARY)
    change(frame)
    home.records.write("training_dataset", JANUARY, record, frame)
    kinds = {"label": bool, "holdout": bool, "plan": "category", "town": "category"}
    read = home.records.frame("training_dataset", JANUARY)
    from churn_platform.lake.tables import canonical_dtypes

    read = read.astype({**canonical_dtypes(home.contract)}).astype(
        {n: k for n, k in kinds.items() if k is bool}
    )
    home.records.write("training_dataset", JANUARY, record | {"digest": frame_digest(read)}, frame)


def test_a_feature_that_the_lake_did_not_know_then_fails_the_first_check(january_copy, checks):
    tampered(january_copy, lambda frame: frame.__setitem__("months", frame["months"] + 1))
    found = checks(january_copy, JANUARY)
    assert [result.passed for result in found.values()] == [False, True, True, True]
    assert found[CHECKS[0]].metadata["cells that differ"].value == 1500
    assert found[CHECKS[0]].severity == dg.AssetCheckSeverity.ERROR


def test_a_holdout_customer_among_the_training_rows_fails_the_second_check(january_copy, checks):
    def leak(frame):
        frame.loc[frame.index[frame["holdout"]][0], "member"] = frame.loc[
            ~frame["holdout"], "member"
        ].iloc[0]

    tampered(january_copy, leak)
    found = checks(january_copy, JANUARY)
    assert not found[CHECKS[1]].passed
    assert found[CHECKS[1]].metadata["customers in both"].value == 1


def test_a_feature_that_tells_the_label_warns_with_its_name_and_the_figures(january_copy, checks):
    tampered(
        january_copy,
        lambda frame: frame.__setitem__("hours", frame["label"].map({True: 1.5, False: None})),
    )
    found = checks(january_copy, JANUARY)[CHECKS[3]]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "Known only after churning? hours (AUC 1.000)"
    assert found.metadata["alone"].value.splitlines()[2] == "| hours | 1.000 |"
    assert found.metadata["limit"].value == 0.95 < found.metadata["beyond luck above"].value < 0.97


def test_labels_that_do_not_look_like_churn_warn_with_their_figures(january_copy, checks, shown):
    tables = month_tables(FEBRUARY)
    tables["leavers"]["has_left"] = [number % 10 != 0 for number in range(1500)]
    deliver(january_copy, FEBRUARY, tables)
    january_copy.ingestion.publish(FEBRUARY)
    shown(january_copy, FEBRUARY, feature_views)
    shown(january_copy, FEBRUARY, training_dataset)
    found = checks(january_copy, FEBRUARY)[CHECKS[2]]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description.startswith("The churn rate of 90.0% lies outside 0.5% to 60%.")
    assert found.metadata["churners"].value == 1350
    assert found.metadata["churn rate"].value == 0.9


def test_the_label_check_shows_what_the_record_says_whatever_the_policy_is_now(
    january_copy, checks
):
    record = january_copy.records.read("training_dataset", JANUARY)
    labels = record["labels"] | {"warnings": ["Recorded then."], "churn_rate": 0.125}
    frame = january_copy.records.frame("training_dataset", JANUARY)
    january_copy.records.write("training_dataset", JANUARY, record | {"labels": labels}, frame)
    found = checks(january_copy, JANUARY)[CHECKS[2]]
    assert (found.passed, found.description) == (False, "Recorded then.")
    assert found.metadata["churn rate"].value == 0.125
    older = {name: value for name, value in record.items() if name != "labels"}
    january_copy.records.write("training_dataset", JANUARY, older, frame)
    assert checks(january_copy, JANUARY)[CHECKS[2]].passed
