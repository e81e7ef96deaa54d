"""The churn on the list that a what-if expects, from the home's own labels."""

import datetime as dt

import numpy as np
import pytest

from churn_platform.base.errors import UsageError
from churn_platform_tests.contacts_business import BUDGET
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    deliver,
    month_tables,
    open_home,
    with_changes,
)

APRIL = dt.datetime(2024, 4, 5, tzinfo=dt.UTC)


def test_labels_of_past_months_are_used_without_the_customers_who_were_assigned(planned_copy):
    tables = month_tables(FEBRUARY)
    rows = planned_copy.contact_plans.rows(FEBRUARY).set_index("member")
    leavers = tables["leavers"].set_index("member")["has_left"]
    assigned = rows.index[rows["arm"].isin(["contact", "explore"])]
    leavers[assigned] = False  # every contact is a success
    tables["leavers"] = leavers.reset_index()
    deliver(planned_copy, FEBRUARY, tables)
    planned_copy.ingestion.publish(FEBRUARY)
    home = open_home(planned_copy.folder, lambda: APRIL)
    found = home.what_if.answer(0.1)
    assert (found.churn.source, found.churn.months) == ("labels", ("2024-02-29",))
    listed = round(BUDGET * 0.95 / 0.8)
    riskiest = rows["probability"].nlargest(listed).index.difference(assigned)
    weights = 1 / (1 - rows.loc[riskiest, "assignment_probability"])
    assert found.churn.rate == pytest.approx(np.average(leavers[riskiest], weights=weights))
    as_they_come = leavers[rows["probability"].nlargest(listed).index].mean()
    assert found.churn.rate > 2 * as_they_come


def test_a_budget_of_a_share_is_one_of_the_newest_month_that_was_scored(planned_copy):
    home = with_changes(planned_copy, {"policy.contacts.budget": 0.1})
    contacts = home.what_if.answer(effect=0.1, churn=0.2).budget
    for file in home.records.folder("scores").glob(f"{FEBRUARY}*"):
        file.unlink()
    unscored = with_changes(home, {})
    assert unscored.records.months("scores") == [JANUARY]  # recorded, without a model
    assert contacts > 1
    with pytest.raises(UsageError) as refused:
        unscored.what_if.answer(effect=0.1)
    assert refused.value.code == "MONTH_NOT_SCORED"
    assert unscored.monthly_reports.make(JANUARY) is not None


def test_without_labels_the_scores_are_used(planned):
    found = planned.what_if.answer(0.1, budget=100, untouched_share=0.5)
    listed = round(100 * 0.95 / 0.5)
    scores = planned.records.frame("scores", FEBRUARY)["probability"].nlargest(listed)
    assert found.churn.source == "model"
    assert found.churn.rate == pytest.approx(scores.mean())
    assert found.design.listed == pytest.approx(190)
