"""Who is in which arm of a contact plan, as properties of any list of customers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError
from churn_platform.contacts.plan import (
    ARM,
    ASSIGNED,
    BELOW,
    CONTACT,
    EXPLORE,
    PROBABILITY,
    UNTOUCHED,
    ContactPlan,
    plan,
    plan_digest,
)
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.features.training_dataset import in_holdout

KEY = "customer"


def customers(count: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            KEY: [f"C{number}" for number in range(count)],
            "probability": random.random(count),
            "value": random.integers(1, 5, count).astype(float),
        }
    )


def planned(
    people: pd.DataFrame, excluded: pd.Series | None = None, **policy: object
) -> ContactPlan:
    nobody = pd.Series(None, index=people.index, dtype=object)
    chosen = ContactPolicy.model_validate({"budget": 100, **policy})
    return plan(chosen, "2026-01-31", KEY, people, nobody if excluded is None else excluded)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 600),
    seed=st.integers(0, 99),
    budget=st.integers(1, 300),
    untouched=st.sampled_from([0.0, 0.1, 0.3]),
    explored=st.sampled_from([0.0, 0.05, 0.4]),
)
def test_the_list_holds_the_budget_or_everybody_who_may_be_on_it(
    count: int, seed: int, budget: int, untouched: float, explored: float
) -> None:
    people = customers(count, seed)
    made = planned(people, budget=budget, untouched_share=untouched, explore_share=explored)
    rows = made.rows
    assert sorted(rows[KEY]) == sorted(people[KEY])
    assert rows["rank"].tolist() == list(range(1, count + 1))
    expected = (rows["probability"] * rows["value"]).to_numpy()
    assert (np.diff(expected) <= 0).all()
    above = rows[rows[ARM].isin([CONTACT, UNTOUCHED])]
    below = rows[rows[ARM].isin([EXPLORE, BELOW])]
    assert above["rank"].max() < below["rank"].min() or above.empty or below.empty
    assert (above[PROBABILITY] == 1 - untouched).all()
    if len(below):
        assert made.count(CONTACT) == budget - round(budget * explored)
        assert (below[PROBABILITY] == made.count(EXPLORE) / len(below)).all()
        assert made.count(EXPLORE) == min(round(budget * explored), len(below))
    else:
        assert made.count(CONTACT) <= budget
    assert set(rows.loc[rows[ARM] == CONTACT, "stratum"]) <= set(range(10))
    assert (below["stratum"] == -1).all()


@given(seed=st.integers(0, 99), lower=st.floats(0, 0.5), higher=st.floats(0, 0.5))
@settings(max_examples=40, deadline=None)
def test_raising_the_untouched_share_moves_only_new_keys(
    seed: int, lower: float, higher: float
) -> None:
    lower, higher = sorted((lower, higher))
    people = customers(400, seed)
    before = planned(people, untouched_share=lower).rows.set_index(KEY)[ARM]
    after = planned(people, untouched_share=higher).rows.set_index(KEY)[ARM]
    stayed = before[before == UNTOUCHED].index
    assert (after[stayed] == UNTOUCHED).all()


def test_raising_the_explored_share_keeps_those_who_are_explored() -> None:
    people = customers(2000)
    some = planned(people, budget=200, explore_share=0.1).rows.set_index(KEY)[ARM]
    more = planned(people, budget=200, explore_share=0.2).rows.set_index(KEY)[ARM]
    assert set(more[some[some == EXPLORE].index]) <= {EXPLORE, *ASSIGNED}


def test_arms_do_not_depend_on_the_order_of_the_rows_or_the_other_customers() -> None:
    people = customers(800)
    straight = planned(people, budget=300).rows
    turned = planned(people.iloc[::-1].reset_index(drop=True), budget=300).rows
    pd.testing.assert_frame_equal(straight, turned)
    fewer = planned(people.iloc[:700], budget=300).rows.set_index(KEY)
    both = fewer.join(straight.set_index(KEY), rsuffix="_all")
    above = both[both[ARM].isin([CONTACT, UNTOUCHED]) & both["arm_all"].isin([CONTACT, UNTOUCHED])]
    assert len(above) > 200
    assert (above[ARM] == above["arm_all"]).all()


def test_customers_of_equal_rank_are_in_the_order_of_risk_then_key() -> None:
    people = customers(300).sample(frac=1, random_state=1, ignore_index=True)
    people["probability"] = np.where(people.index % 3 == 0, 0.5, 0.25)
    people["value"] = np.where(people.index % 2 == 0, 0.5, 0.25) / people["probability"]
    rows = planned(people).rows
    expected = rows["probability"] * rows["value"]
    order = list(zip(-expected, -rows["probability"], rows[KEY], strict=True))
    assert order == sorted(order)
    assert len({(one, two) for one, two, _ in order}) == 4


def test_excluded_customers_are_in_no_arm_and_counted() -> None:
    people = customers(300)
    why = pd.Series(None, index=people.index, dtype=object)
    why.iloc[:20] = "objects to contact"
    why.iloc[20:50] = "on a recent list"
    made = planned(people, why)
    assert made.excluded == {"objects to contact": 20, "on a recent list": 30}
    assert not set(made.rows[KEY]) & set(people[KEY].iloc[:50])
    assert made.count(*ASSIGNED) == 100


def test_the_draw_is_of_the_wanted_size_and_independent_of_risk_holdout_and_experiment() -> None:
    people = customers(40_000)
    rows = planned(people, budget=40_000, untouched_share=0.2, explore_share=0).rows
    untouched = (rows[ARM] == UNTOUCHED).to_numpy()
    assert untouched.mean() == pytest.approx(0.2, abs=0.008)
    assert np.corrcoef(untouched, rows["probability"])[0, 1] == pytest.approx(0, abs=0.02)
    held = in_holdout(rows[KEY], "churn-platform", 0.25)
    assert np.corrcoef(untouched, held)[0, 1] == pytest.approx(0, abs=0.02)
    nobody = pd.Series(None, index=people.index, dtype=object)
    policy = ContactPolicy(budget=40_000, untouched_share=0.2, explore_share=0)
    again = plan(policy, "2027-01-31", KEY, people, nobody).rows.set_index(KEY)[ARM]
    other = (again[rows[KEY]] == UNTOUCHED).to_numpy()
    assert np.corrcoef(untouched, other)[0, 1] == pytest.approx(0, abs=0.02)


def test_a_share_as_budget_is_a_share_of_the_customers() -> None:
    assert planned(customers(500), budget=0.2).count(*ASSIGNED) == 100


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf])
def test_a_customer_without_a_value_is_an_error(value: float) -> None:
    people = customers(10)
    people.loc[3, "value"] = value
    with pytest.raises(DataError) as refused:
        planned(people)
    assert refused.value.code == "CONTACT_VALUE"


def test_the_digest_finds_two_swapped_customers_and_not_another_dtype() -> None:
    rows = planned(customers(300)).rows
    digest = plan_digest(rows, KEY)
    assert plan_digest(rows.convert_dtypes(dtype_backend="pyarrow"), KEY) == digest
    swapped = rows.copy()
    first = swapped.index[swapped[ARM] == CONTACT][0]
    second = swapped.index[swapped[ARM] == UNTOUCHED][0]
    swapped.loc[[first, second], ARM] = [UNTOUCHED, CONTACT]
    assert plan_digest(swapped, KEY) != digest
    moved = rows.copy()
    moved.loc[first, PROBABILITY] += 1e-9
    assert plan_digest(moved, KEY) != digest
