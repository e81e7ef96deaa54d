"""Who is contacted in a month in which two lists are tested, as properties of any customers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError
from churn_platform.contacts.correction import RegisteredPlan, correct
from churn_platform.contacts.plan import (
    ARM,
    ASSIGNED,
    BELOW,
    CONTACT,
    EXPLORE,
    LIST,
    PROBABILITY,
    UNTOUCHED,
    plan,
)
from churn_platform.contacts.tested_plan import (
    A_ONLY,
    B_ONLY,
    BOTH,
    NEITHER,
    STRATUM_A,
    STRATUM_B,
    plan_with_test,
)
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.ledger.acts import PlannedTest

KEY = "customer"
MONTH = "2026-01-31"
SEED_WITH_THREE = 5


def customers(count, seed=0, alike=0.5):
    """Customers whose two scores are alike to some degree."""
    random = np.random.default_rng(seed)
    shared = random.random(count)
    score_a = alike * shared + (1 - alike) * random.random(count)
    score_b = alike * shared + (1 - alike) * random.random(count)
    return pd.DataFrame(
        {
            KEY: [f"C{number}" for number in range(count)],
            "probability": score_a,
            "value": random.integers(1, 5, count).astype(float),
            "probability_a": score_a,
            "probability_b": score_b,
        }
    )


def named(budget=100, salt="s", name="test 1"):
    return PlannedTest(name=name, version_a=3, version_b=2, salt=salt, budget=budget)


def planned(people, excluded=None, test=None, month=MONTH, **policy):
    nobody = pd.Series(None, index=people.index, dtype=object)
    chosen = ContactPolicy.model_validate({"budget": 100, **policy})
    test = test or named(chosen.budget)
    excluded = nobody if excluded is None else excluded
    return plan_with_test(chosen, test, month, KEY, people, excluded)


def best(people, probability, count):
    """The keys of the best customers by one version, as a plan without a test ranks them."""
    own = people.assign(probability=people[probability])[[KEY, "probability", "value"]]
    nobody = pd.Series(None, index=own.index, dtype=object)
    policy = ContactPolicy(budget=1, untouched_share=0, explore_share=0)
    return set(plan(policy, MONTH, KEY, own, nobody).rows[KEY].iloc[:count])


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 500),
    seed=st.integers(0, 99),
    budget=st.integers(1, 250),
    alike=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    untouched=st.sampled_from([0.0, 0.1, 0.5]),
    explored=st.sampled_from([0.0, 0.05, 0.4]),
)
def test_chance_decides_only_where_the_lists_disagree_and_the_budget_stays(
    count, seed, budget, alike, untouched, explored
):
    people = customers(count, seed, alike)
    made = planned(people, budget=budget, untouched_share=untouched, explore_share=explored)
    rows = made.rows
    assert sorted(rows[KEY]) == sorted(people[KEY])
    assert rows["rank"].tolist() == list(range(1, count + 1))
    arms = {name: rows.loc[rows[LIST] == name, ARM] for name in (BOTH, A_ONLY, B_ONLY, NEITHER)}
    length = len(arms[BOTH]) + len(arms[A_ONLY])
    assert set(rows.loc[rows[LIST].isin([BOTH, A_ONLY]), KEY]) == best(
        people, "probability_a", length
    )
    assert set(rows.loc[rows[LIST].isin([BOTH, B_ONLY]), KEY]) == best(
        people, "probability_b", length
    )
    listed = budget - round(budget * explored)
    if made.count(BELOW, EXPLORE):
        assert made.count(CONTACT) == listed
        assert made.count(EXPLORE) == min(round(budget * explored), len(arms[NEITHER]))
    else:
        assert made.count(CONTACT) <= listed
    contacted = [int((arms[name] == CONTACT).sum()) for name in (A_ONLY, B_ONLY)]
    assert abs(contacted[0] - contacted[1]) <= 1
    assert sum(contacted) == len(arms[A_ONLY])
    assert (rows.loc[rows[LIST] == BOTH, PROBABILITY] == 1 - untouched).all()
    assert (rows.loc[rows[LIST].isin([A_ONLY, B_ONLY]), PROBABILITY] == 0.5).all()
    assert set(rows.loc[rows[LIST] == A_ONLY, "stratum"]) <= {STRATUM_A}
    assert set(rows.loc[rows[LIST] == B_ONLY, "stratum"]) <= {STRATUM_B}
    assert set(rows.loc[rows[LIST] == BOTH, "stratum"]) <= set(range(10))
    assert set(rows.loc[rows[LIST] == NEITHER, "stratum"]) <= {-1}


def test_equal_lists_are_planned_as_without_a_test():
    people = customers(900).assign(probability_b=lambda rows: rows["probability_a"])
    policy = ContactPolicy(budget=200)
    nobody = pd.Series(None, index=people.index, dtype=object)
    usual = plan(policy, MONTH, KEY, people[[KEY, "probability", "value"]], nobody).rows
    tested = planned(people, budget=200).rows
    assert set(tested[LIST]) == {BOTH, NEITHER}
    pd.testing.assert_frame_equal(tested[usual.columns], usual)


def test_every_customer_on_one_list_has_the_chance_one_half():
    """200 salts and three customers on each list alone: an odd number has one contact over."""
    people = customers(40, seed=SEED_WITH_THREE, alike=0.4)
    share = dict.fromkeys(people[KEY], 0)
    salts = 200
    for salt in range(salts):
        test = named(8, salt=str(salt))
        rows = planned(people, test=test, budget=8, explore_share=0, untouched_share=0).rows
        for key in rows.loc[rows[ARM] == CONTACT, KEY]:
            share[key] += 1
    lists = rows.set_index(KEY)[LIST]
    alone = lists.index[lists.isin([A_ONLY, B_ONLY])]
    assert len(alone) == 6
    for key in alone:
        assert share[key] / salts == pytest.approx(0.5, abs=0.12)


def test_the_draw_does_not_depend_on_the_order_of_the_rows():
    people = customers(700)
    turned = people.iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(planned(people).rows, planned(turned).rows)


@pytest.mark.parametrize(
    "other",
    [{"month": "2026-02-28"}, {"test": named(salt="other")}, {"test": named(name="test 2")}],
)
def test_every_month_and_test_draws_anew(other):
    people = customers(4000, alike=0.3)
    first = planned(people, explore_share=0).rows.set_index(KEY)
    second = planned(people, explore_share=0, **other).rows.set_index(KEY)
    alone = first.index[first[LIST].isin([A_ONLY, B_ONLY])]
    alone = alone[second.loc[alone, LIST].isin([A_ONLY, B_ONLY])]
    same = (first.loc[alone, ARM] == second.loc[alone, ARM]).mean()
    assert same == pytest.approx(0.5, abs=0.2)


def test_customers_in_no_arm_are_counted_and_on_no_list():
    people = customers(300)
    why = pd.Series(None, index=people.index, dtype=object)
    why.iloc[:20] = "objects to contact"
    made = planned(people, why)
    assert made.excluded == {"objects to contact": 20}
    assert len(made.rows) == 280
    assert made.count(*ASSIGNED) == 100


def test_a_customer_without_both_scores_is_refused():
    people = customers(300)
    people.loc[7, "probability_b"] = np.nan
    with pytest.raises(DataError) as refused:
        planned(people)
    assert refused.value.code == "MODEL_TEST_SCORES"


def test_corrected_labels_are_right_for_every_customer_of_a_tested_plan():
    """The weighted churn rate over many draws is that of all customers without contacts."""
    people = customers(600, alike=0.4)
    left = np.random.default_rng(5).random(len(people)) < people["probability"]
    rates = []
    for salt in range(100):
        test = named(150, salt=str(salt))
        made = planned(people, test=test, budget=150, untouched_share=0.3, salt=f"c{salt}")
        registered = RegisteredPlan(MONTH, made.rows.set_index(KEY))
        correction = correct(people[KEY], [registered], set())
        assert correction.measurable
        assert (correction.weights[correction.assigned] == 0).all()
        rates.append(float(correction.weights @ left) / len(people))
    assert np.mean(rates) == pytest.approx(left.mean(), abs=3 * np.std(rates) / np.sqrt(100))


def test_untouched_customers_of_one_list_alone_stand_for_two():
    made = planned(customers(600, alike=0.3), explore_share=0)
    registered = RegisteredPlan(MONTH, made.rows.set_index(KEY))
    rows = made.rows
    correction = correct(rows[KEY], [registered], set())
    alone = rows[LIST].isin([A_ONLY, B_ONLY]).to_numpy()
    untouched = (rows[ARM] == UNTOUCHED).to_numpy()
    assert alone.sum() > 20
    assert (correction.weights[alone & untouched] == 2).all()
