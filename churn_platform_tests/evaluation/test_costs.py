"""Costs by customer: one figure for all, or a column's, and what contacts cost."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.contract.model import ColumnCost, Costs
from churn_platform.evaluation.costs import RowCosts

ROWS = pd.DataFrame({"fee": pd.array([10, 20, None], dtype="Int64"), "value": [1.0, np.nan, 3.0]})


def test_one_figure_is_the_same_for_everyone():
    costs = RowCosts.of(Costs(missed_churner=5, needless_contact=0.5), ROWS)
    assert costs.missed.tolist() == [5.0] * 3
    assert costs.needless.tolist() == [0.5] * 3


def test_a_column_s_figure_is_each_customer_s_own_and_an_absent_one_is_the_mean():
    costs = RowCosts.of(
        Costs(missed_churner=ColumnCost(column="fee", times=3), needless_contact=1), ROWS
    )
    assert costs.missed.tolist() == [30.0, 60.0, 45.0]
    costs = RowCosts.of(Costs(needless_contact=ColumnCost(column="value")), ROWS)
    assert costs.needless.tolist() == [1.0, 2.0, 3.0]


def test_rows_without_any_figure_cost_nothing():
    costs = RowCosts.of(Costs(missed_churner=ColumnCost(column="fee")), ROWS.tail(1))
    assert costs.missed.tolist() == [0.0]


def test_missed_churners_and_needless_contacts_are_paid_and_nothing_else():
    costs = RowCosts(np.array([1.0, 2.0, 4.0, 8.0]), np.array([16.0, 32.0, 64.0, 128.0]))
    churned = np.array([True, True, False, False])
    contacted = np.array([True, False, True, False])
    assert costs.total(churned, contacted) == pytest.approx(2.0 + 64.0)
