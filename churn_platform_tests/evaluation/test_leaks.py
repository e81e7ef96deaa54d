"""How well a column alone tells the label: what leaks is seen whatever its shape, what is only good is not."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.contract.model import Column
from churn_platform.evaluation.leaks import (
    MOST_ROWS,
    beyond_luck,
    judge_alone,
    leaks,
    single_feature_aucs,
)
from churn_platform.evaluation.statistics import auc

ROWS = 2000
RANDOM = np.random.default_rng(1)
CHURNED = RANDOM.random(ROWS) < 0.25
NOISE = RANDOM.normal(size=ROWS)


def alone(values, dtype="float", churned=CHURNED):
    """The AUC of one column."""
    frame = pd.DataFrame({"x": values})
    return single_feature_aucs(frame, {"x": Column(dtype=dtype, nullable=True)}, churned)["x"]


def test_a_number_is_worth_its_auc_either_way_round():
    score = NOISE + CHURNED
    assert alone(score) == auc(CHURNED, score)
    assert alone(-score) == pytest.approx(auc(CHURNED, score), abs=1e-12)


def test_what_has_nothing_to_do_with_churn_is_near_one_half_in_every_dtype():
    found = {
        "float": alone(NOISE),
        "integer": alone(pd.Series(RANDOM.integers(0, 9, ROWS), dtype="Int64"), "integer"),
        "boolean": alone(
            pd.Series(RANDOM.random(ROWS) < 0.5, dtype="boolean").mask(NOISE > 1), "boolean"
        ),
        "category": alone(RANDOM.choice(list("abc"), ROWS), "category"),
        "date": alone(
            pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(NOISE * 9, unit="D")), "date"
        ),
    }
    assert max(found.values()) < 0.56
    assert min(found.values()) > 0.45


def test_the_churn_rates_are_told_from_other_rows():
    many = np.array([f"town {i % 700}" for i in range(ROWS)], dtype=object)  # three rows a town
    in_sample = pd.Series(CHURNED).groupby(many).transform("mean")
    assert auc(CHURNED, in_sample.to_numpy()) > 0.8
    assert alone(many, "category") < 0.55


@pytest.mark.parametrize("filled", [CHURNED, ~CHURNED], ids=["for churners", "for those who stay"])
def test_an_amount_or_a_date_that_only_one_kind_of_customer_has_leaks_through_its_emptiness(filled):
    assert alone(pd.Series(NOISE).where(filled)) == 1.0
    days = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(np.round(NOISE * 9), unit="D"))
    assert alone(days.where(filled), "date") == 1.0
    assert alone(pd.Series(np.where(filled, "left", None), dtype=object), "category") == 1.0


def test_emptiness_and_value_add_up():
    half = CHURNED & (NOISE > 0)
    told = pd.Series(np.where(CHURNED, 5.0, 0.0) + 0.1 * NOISE).mask(half)
    assert alone(told) == 1.0


def test_a_code_in_the_middle_of_the_others_leaks_although_the_order_says_nothing():
    code = np.where(CHURNED, 3, RANDOM.choice([1, 2, 4, 5], ROWS))
    assert auc(CHURNED, code.astype(float)) < 0.6
    assert alone(code, "integer") > 0.99


def test_a_constant_an_empty_column_and_infinities_are_judged_like_any_other():
    assert alone(np.ones(ROWS)) == 0.5
    assert alone(pd.Series([None] * ROWS, dtype="Float64")) == 0.5
    assert alone([None] * ROWS, "category") == pytest.approx(0.5, abs=0.01)
    assert alone(np.where(CHURNED, np.inf, -np.inf)) == 1.0


def test_above_the_most_rows_a_sample_tells_the_same_and_always_the_same():
    rows = MOST_ROWS + 50_000
    random = np.random.default_rng(2)
    churned = random.random(rows) < 0.1
    score = random.normal(size=rows) + 2 * churned
    found = alone(score, churned=churned)
    assert found == pytest.approx(auc(churned, score), abs=0.004)
    assert found != auc(churned, score)
    assert found == alone(score, churned=churned)


def test_labels_must_be_known_and_of_both_classes():
    with pytest.raises(DataError, match="both classes are needed"):
        alone(NOISE, churned=np.zeros(ROWS, dtype=bool))
    with pytest.raises(NotANumber):
        alone(NOISE, churned=np.where(CHURNED, np.nan, 0.0))


@pytest.mark.parametrize(("churners", "stayers"), [(10, 30), (50, 175), (1200, 4000)])
def test_a_column_worth_the_limit_exceeds_it_beyond_luck_as_seldom_as_the_level_says(
    churners, stayers
):
    random = np.random.default_rng(3)
    labels = np.repeat([True, False], [churners, stayers])
    shift = 2.326  # two normal distributions so far apart give an AUC of 0.95
    drawn = [auc(labels, random.normal(size=labels.size) + shift * labels) for _ in range(400)]
    limit = beyond_luck(0.95, churners, stayers, 0.95)
    assert np.mean(drawn) == pytest.approx(0.95, abs=0.005)
    assert np.mean(np.array(drawn) > limit) <= 0.06


def test_a_perfect_column_is_a_leak_at_any_size_and_a_limit_of_one_switches_the_rule_off():
    assert beyond_luck(0.95, 10, 20, 0.95) == 0.999
    assert beyond_luck(1.0, 10, 20, 0.95) == 1.0
    assert leaks({"x": 1.0}, 1.0) == {}
    assert list(leaks({"a": 0.96, "b": 0.95, "c": 0.99}, 0.95)) == ["c", "a"]


def test_the_contract_says_which_columns_are_judged_and_where_the_limit_is(
    gym, declare, two_months
):
    rows = two_months.training_rows()
    rows["minutes"] = rows["minutes"].fillna(1.0).where(rows["label"])
    found = judge_alone(gym, rows, rows["label"])
    assert list(found.aucs) == list(gym.features)
    assert found.limit == 0.95 < found.certain < 0.98
    assert found.leaks == {"minutes": found.aucs["minutes"]}
    lenient = declare(policy={"training": {"algorithm": "logistic_regression", "leak_auc": 1}})
    assert judge_alone(lenient, rows, rows["label"]).leaks == {}
    assert judge_alone(gym, rows, rows["label"] & False).aucs == {}
