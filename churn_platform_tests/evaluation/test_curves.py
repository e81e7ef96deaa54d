"""The tables behind the plots, against sums that must come out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import NotANumber
from churn_platform.evaluation.curves import calibration_bins, lift_table, roc_curve_points
from churn_platform.evaluation.statistics import auc

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def arrays(rows):
    labels, eighths = zip(*rows, strict=True)
    return np.array(labels), np.array(eighths) / 8


def test_bins_of_distinct_probabilities_hold_equally_many_rows():
    labels = np.tile([0, 0, 1, 0], 25)
    table = calibration_bins(labels, np.arange(100) / 100)
    assert table["rows"].tolist() == [10] * 10
    assert table["predicted"].tolist() == pytest.approx(np.arange(0.045, 1, 0.1))
    assert table["observed"].tolist()[::2] == pytest.approx([0.2] * 5)


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_bins_lose_no_row_and_no_churner_and_keep_equal_probabilities_together(rows):
    labels, values = arrays(rows)
    table = calibration_bins(labels, values)
    assert table["rows"].sum() == labels.size
    assert len(table) <= 10
    assert (table["observed"] * table["rows"]).sum() == pytest.approx(labels.sum())
    assert (table["predicted"] * table["rows"]).sum() == pytest.approx(values.sum())
    assert table["predicted"].is_monotonic_increasing
    mixed = np.random.default_rng(0).permutation(labels.size)
    assert np.allclose(calibration_bins(labels[mixed], values[mixed]), table)


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_the_area_under_the_roc_points_is_the_auc(rows):
    labels, values = arrays(rows)
    table = roc_curve_points(labels, values)
    area = np.trapezoid(table["true_positive_rate"], table["false_positive_rate"])
    assert area == pytest.approx(auc(labels, values))
    assert table.iloc[[0, -1]].to_numpy().tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_the_lift_table_counts_churners_from_the_most_likely_down():
    labels = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0])
    table = lift_table(labels.repeat(2), np.arange(20, 0, -1) / 20)
    assert table["decile"].tolist() == list(range(1, 11))
    assert table["lift"].tolist() == pytest.approx(labels / 0.3)
    assert table["cumulative_recall"].tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3] + [1] * 7)


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_deciles_hold_equally_many_rows_and_lose_no_churner(rows):
    labels, values = arrays(rows)
    table = lift_table(labels, values)
    assert len(table) == min(10, labels.size)
    recall = np.diff(table["cumulative_recall"], prepend=0.0)
    known = table["lift"] > 0
    shares = recall[known] / table["lift"][known]  # of all rows, in each decile with a churner
    assert shares.max() * labels.size <= math.ceil(labels.size / len(table)) + 1e-9
    assert shares.min() * labels.size >= labels.size // len(table) - 1e-9
    assert recall.sum() == pytest.approx(1.0)


def test_equal_probabilities_keep_the_order_of_the_rows():
    labels = np.arange(100) < 10
    assert lift_table(labels, np.full(100, 0.5))["lift"].tolist() == [10] + [0] * 9
    assert lift_table(labels[::-1], np.full(100, 0.5))["lift"].tolist() == [0] * 9 + [10]


@pytest.mark.parametrize("table", [calibration_bins, roc_curve_points, lift_table])
@pytest.mark.parametrize("spoiled", [0, 1])
def test_a_nan_label_or_probability_stops_every_table(table, spoiled):
    arguments = [np.array([0.0, 1.0, 0.0]), np.array([0.2, 0.7, 0.4])]
    arguments[spoiled][1] = math.nan
    with pytest.raises(NotANumber, match="1 of 3"):
        table(*arguments)
