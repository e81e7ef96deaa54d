"""Other businesses go through the whole loop with a contract and no code: the newspaper and the phone company."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.evaluation.costs import RowCosts
from churn_platform.promotion.promotions import released
from churn_platform_tests.loop_steps import run
from churn_platform_tests.other_businesses import (
    MONTHS,
    NEWSPAPER,
    PHONE,
    READERS,
    WEEKS,
    deliver_lines,
    deliver_week,
    lines,
)
from churn_platform_tests.real_months import run_all
from churn_platform_tests.small_business import copied, make_home, open_home
from churn_platform_tests.stores import online

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def six_weeks(tmp_path_factory):
    """The newspaper after six weeks without a label: nothing could be trained."""
    home = make_home(tmp_path_factory.mktemp("newspaper") / "home", NEWSPAPER)
    for week in WEEKS[:6]:
        deliver_week(home.drops, week, labels=False)
    run(home)
    return open_home(home.folder)


@pytest.fixture(scope="module")
def eight_weeks(six_weeks, tmp_path_factory):
    """The newspaper when the labels of three weeks have come, each when it had matured; and what ran after each."""
    home, ran = copied(six_weeks, tmp_path_factory.mktemp("labels") / "home"), []
    for matured, week in zip(WEEKS[:3], WEEKS[5:], strict=True):
        if week != WEEKS[5]:
            deliver_week(home.drops, week, labels=False)
            run(open_home(home.folder))
        deliver_week(home.drops, matured, labels=True)
        ran.append(run(open_home(home.folder)))
    home = open_home(home.folder)
    home.drift_monitor.report(WEEKS[7])
    return home, ran


def test_weeks_without_labels_are_taken_in_and_nobody_is_scored_before_there_is_a_model(six_weeks):
    found = six_weeks.status.now()
    assert found.months == [week.isoformat() for week in WEEKS[:6]]
    assert (found.production, found.decisions, found.next) == (None, [], None)
    assert found.reason == "No month has matured labels yet, so nothing can be trained."
    assert six_weeks.records.read("scores", WEEKS[5])["version"] is None


def test_labels_that_arrive_alone_process_their_week_and_train_on_the_newest(eight_weeks):
    _, ran = eight_weeks
    assert ran[0] == ["monthly 2024-01-07", "monthly 2024-02-11", "retraining 2024-02-11"]
    assert ran[1] == ["monthly 2024-01-14", "monthly 2024-02-18", "retraining 2024-02-18"]
    # The model is as good as when it was promoted.
    assert ran[2] == ["monthly 2024-01-21", "monthly 2024-02-25"]


def test_too_few_churners_are_told_in_plain_words_and_pooled_until_there_are_enough(eight_weeks):
    home, _ = eight_weeks
    refused, promoted = home.status.now().decisions
    assert (refused.as_of, refused.decision) == ("2024-01-07", "refused")
    assert refused.trigger == "first"
    assert "too few to decide: 40 of each are needed" in refused.reason
    assert (promoted.as_of, promoted.decision) == ("2024-01-14", "promoted")
    window = home.training_datasets.load(WEEKS[6]).window
    assert window.holdout == tuple(WEEKS[:2]), "one week's churners are too few"


def test_a_week_without_labels_is_scored_and_its_drift_known_once_there_is_a_model(eight_weeks):
    home, _ = eight_weeks
    drift = home.records.read("drift_report", WEEKS[7])["result"]
    assert drift["target_drift"] is None
    assert drift["prediction_drift"] is not None
    assert not drift["drift_detected"]
    assert len(home.records.frame("scores", WEEKS[7])) == READERS


def test_realised_performance_is_that_of_the_week_whose_labels_came(eight_weeks):
    home, _ = eight_weeks
    newest = home.records.read("performance", WEEKS[7])["evaluated"]
    assert {entry["as_of"] for entry in newest} == {WEEKS[2].isoformat()}
    worth = {
        entry["version"]: entry["metrics"]["auc"]
        for entry in newest
        if entry["metrics"] is not None
    }
    assert worth[2] > 0.65


def test_an_integer_key_an_age_and_a_category_of_many_values_reach_the_model(eight_weeks):
    home, _ = eight_weeks
    dataset = home.training_datasets.load(WEEKS[6])
    assert dataset.frame["reader_no"].min() >= 10_000_000_000
    assert dataset.frame["weeks_subscribed"].between(0, 299).all()
    assert dataset.frame["city"].nunique() > 150
    found = home.status.explain("10000000007", None)
    assert set(found.features) == {"weeks_subscribed", "city", "late_papers"}
    assert (
        online(home.feature_store, 10_000_000_007)["late_papers"] == found.features["late_papers"]
    )


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """The phone company after two months."""
    home = make_home(tmp_path_factory.mktemp("phone") / "home", PHONE)
    for month in MONTHS:
        deliver_lines(home.drops, month)
        run(open_home(home.folder))
    return open_home(home.folder)


def test_one_wide_table_is_enough(phone):
    decisions = [(d.as_of, d.trigger, d.decision) for d in phone.status.now().decisions]
    assert decisions == [
        ("2024-01-31", "first", "promoted"),
        ("2024-02-29", "performance", "promoted"),
    ]
    assert phone.releases.pointer().version == 2


def test_the_labels_of_a_wide_table_are_kept_apart_from_its_features(phone):
    tables = phone.lake.tables(MONTHS[0])
    assert set(tables) == {"lines", "lines_label"}
    assert "churn" not in tables["lines"]
    assert tables["lines"]["line"].str.startswith("049").all(), "keys keep their leading zero"
    truth = lines(MONTHS[0])
    assert phone.lake.classes(MONTHS[0]).churners == int(truth["churn"].sum())
    assert len(phone.lake.labels(MONTHS[0], phone.now())) == int(truth["churn"].notna().sum())
    assert len(phone.records.frame("scores", MONTHS[1])) == len(truth), (
        "customers without a label are scored too"
    )


def test_the_threshold_is_the_cheapest_by_each_customer_s_own_cost(phone):
    dataset = phone.training_datasets.load(MONTHS[1])
    assert "yearly_value" in dataset.frame
    assert "yearly_value" not in dict(released(phone.releases, 2).model.features)
    rows, model = dataset.holdout_rows(), released(phone.releases, 2).model
    costs = RowCosts.of(phone.contract.costs, rows)
    churned, probability = rows["label"].to_numpy(dtype=bool), model.probability(rows)

    def cost(threshold):
        return costs.total(churned, probability >= threshold)

    nobody = np.full(len(rows), fill_value=False)
    assert cost(model.threshold) < 0.8 * costs.total(churned, nobody)
    assert cost(model.threshold) < 1.1 * min(cost(t) for t in np.linspace(0.01, 0.9, 60))


def test_the_list_says_what_each_customer_s_leaving_would_cost(phone):
    listed = pd.read_csv(phone.reports / "2024-02-29" / "at_risk.csv", dtype={"line": str})
    value = lines(MONTHS[1]).set_index("line")["yearly_value"].reindex(listed["line"]).to_numpy()
    np.testing.assert_allclose(
        listed["expected_loss"], listed["probability"] * value * 0.5, rtol=1e-9
    )


def test_dagster_runs_the_same_steps(tmp_path):
    newspaper = make_home(tmp_path / "newspaper", NEWSPAPER)
    for week in WEEKS[:6]:
        deliver_week(newspaper.drops, week, labels=False)
    months = [("monthly", week.isoformat()) for week in WEEKS[:6]]
    assert run_all(newspaper) == months
    deliver_week(newspaper.drops, WEEKS[0], labels=True)
    assert run_all(open_home(newspaper.folder)) == [
        months[0],
        months[5],
        ("retraining", months[5][1]),
    ]
    phone = make_home(tmp_path / "phone", PHONE)
    deliver_lines(phone.drops, MONTHS[0])
    assert run_all(phone) == [("monthly", "2024-01-31"), ("retraining", "2024-01-31")]
    assert open_home(phone.folder).releases.pointer().version == 1
