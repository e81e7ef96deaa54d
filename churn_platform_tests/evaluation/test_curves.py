"""The tables behind the plots, against sums that must come out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.curves import (
    calibration_bins,
    expected_calibration_error,
    lift_table,
    roc_curve_points,
)
from churn_platform.evaluation.statistics import auc

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)
TABLES = [calibration_bins, expected_calibration_error, roc_curve_points, lift_table]


def arrays(rows):
    labels, eighths = zip(*rows, strict=True)
    return np.array(labels), np.array(eighths) / 8


def test_bins_of_distinct_probabilities_hold_equally_many_rows():
    labels = np.tile([0, 0, 1, 0], 25)
    table = calibration_bins(labels, np.arange(100) / 100, bins=5)
    assert table["rows"].tolist() == [20] * 5
    assert table["predicted"].tolist() == pytest.approx([0.095, 0.295, 0.495, 0.695, 0.895])
    assert table["observed"].tolist() == pytest.approx([0.25] * 5)


@given(ROWS, st.integers(1, 15))
@settings(deadline=None, max_examples=60)
def test_bins_lose_no_row_and_no_churner_and_keep_equal_probabilities_together(rows, bins):
    labels, values = arrays(rows)
    table = calibration_bins(labels, values, bins)
    assert table["rows"].sum() == labels.size
    assert len(table) <= bins
    assert (table["observed"] * table["rows"]).sum() == pytest.approx(labels.sum())
    assert (table["predicted"] * table["rows"]).sum() == pytest.approx(values.sum())
    assert table["predicted"].is_monotonic_increasing
    mixed = np.random.default_rng(0).permutation(labels.size)
    assert calibration_bins(labels[mixed], values[mixed], bins)[
        "observed"
    ].tolist() == pytest.approx(table["observed"].tolist())


def test_a_constant_prediction_at_the_churn_rate_is_perfectly_calibrated():
    labels = np.arange(100) < 30
    assert len(calibration_bins(labels, np.full(100, 0.3))) == 1
    assert expected_calibration_error(labels, np.full(100, 0.3)) == pytest.approx(0.0, abs=1e-12)
    assert expected_calibration_error(labels, np.full(100, 0.75)) == pytest.approx(0.45)


def test_the_calibration_error_weighs_bins_by_their_rows():
    labels = np.array([0] * 30 + [1] * 10)
    values = np.array([0.2] * 30 + [0.9] * 10)
    assert expected_calibration_error(labels, values, bins=4) == pytest.approx(
        0.75 * 0.2 + 0.25 * 0.1
    )


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_the_area_under_the_roc_points_is_the_auc(rows):
    labels, values = arrays(rows)
    table = roc_curve_points(labels, values)
    area = np.trapezoid(table["true_positive_rate"], table["false_positive_rate"])
    assert area == pytest.approx(auc(labels, values))
    assert table.iloc[0].tolist() == [0.0, 0.0]
    assert table.iloc[-1].tolist() == [1.0, 1.0]


def test_points_on_a_straight_line_are_left_out():
    even = roc_curve_points(np.array([0, 1] * 50), np.repeat(np.arange(50) / 50, 2))
    perfect = roc_curve_points(np.arange(100) >= 80, np.arange(100) / 100)
    assert len(even) == 3
    assert len(perfect) == 4
    assert (0.0, 1.0) in set(perfect.itertuples(index=False, name=None))


def test_the_lift_table_counts_churners_from_the_most_likely_down():
    labels = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0])
    table = lift_table(labels, np.arange(10, 0, -1) / 10, groups=5)
    assert table["decile"].tolist() == [1, 2, 3, 4, 5]
    assert table["rows"].tolist() == [2] * 5
    assert table["churners"].tolist() == [2, 1, 0, 0, 0]
    assert table["rate"].tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert table["lift"].tolist() == pytest.approx([1 / 0.3, 0.5 / 0.3, 0, 0, 0])
    assert table["cumulative_recall"].tolist() == pytest.approx([2 / 3, 1, 1, 1, 1])


@given(ROWS, st.integers(1, 15))
@settings(deadline=None, max_examples=60)
def test_lift_groups_lose_no_row_and_the_first_is_the_largest(rows, groups):
    labels, values = arrays(rows)
    table = lift_table(labels, values, groups)
    assert len(table) == min(groups, labels.size)
    assert table["rows"].sum() == labels.size
    assert table["rows"].iloc[0] == math.ceil(labels.size / len(table))
    assert table["rows"].max() - table["rows"].min() <= 1
    assert table["churners"].sum() == labels.sum()
    assert table["cumulative_recall"].iloc[-1] == 1.0


def test_equal_probabilities_keep_the_order_of_the_rows():
    labels = np.zeros(100)
    labels[:10] = 1
    assert lift_table(labels, np.full(100, 0.5))["churners"].tolist() == [10] + [0] * 9
    assert lift_table(labels[::-1], np.full(100, 0.5))["churners"].tolist() == [0] * 9 + [10]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("spoiled", [0, 1])
def test_a_nan_label_or_probability_stops_every_table(table, spoiled):
    arguments = [np.array([0.0, 1.0, 0.0]), np.array([0.2, 0.7, 0.4])]
    arguments[spoiled][1] = math.nan
    with pytest.raises(NotANumber, match="1 of 3"):
        table(*arguments)


@pytest.mark.parametrize("table", TABLES)
def test_a_probability_above_one_stops_every_table(table):
    with pytest.raises(DataError, match=r"outside 0 to 1, the first is 1\.5"):
        table(np.array([0.0, 1.0]), np.array([0.2, 1.5]))


@pytest.mark.parametrize("table", [calibration_bins, expected_calibration_error, lift_table])
def test_a_table_of_no_groups_is_refused(table):
    with pytest.raises(DataError, match=r"0 (bins|groups) were asked for"):
        table(np.array([0.0, 1.0]), np.array([0.2, 0.5]), 0)


@pytest.mark.parametrize("table", [roc_curve_points, lift_table])
def test_curves_that_compare_classes_refuse_a_single_one(table):
    with pytest.raises(DataError, match="all 2 labels are 1"):
        table(np.array([1.0, 1.0]), np.array([0.2, 0.5]))


def test_one_class_can_still_be_compared_with_its_predictions():
    assert expected_calibration_error(np.zeros(4), np.full(4, 0.25)) == pytest.approx(0.25)
