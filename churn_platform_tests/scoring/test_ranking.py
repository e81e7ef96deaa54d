"""The ranked list: who can still leave, ranks, deciles and reasons that a person can read."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.scoring.ranking import (
    decile_floors,
    list_note,
    outcomes,
    rank,
    reasons,
    sentence,
)

MONTH = dt.date(2024, 3, 31)


def ranking(contract, rows, model, already_left=None):
    """The rows ranked by a model."""
    return rank(contract, rows, model.probability(rows), already_left)


@pytest.fixture
def customers(month):
    return month(customers=95, seed=4)


def test_everybody_is_ranked_once_most_likely_first(gym, customers, candidate):
    ranked = ranking(gym, customers, candidate.model)
    assert ranked.columns.tolist() == ["member", "probability", "rank", "decile", "already_left"]
    assert sorted(ranked["member"]) == sorted(customers["member"])
    assert ranked["rank"].tolist() == list(range(1, 96))
    assert ranked["probability"].is_monotonic_decreasing
    own = pd.Series(candidate.model.probability(customers), index=customers["member"])
    assert ranked["probability"].tolist() == own[ranked["member"]].tolist()


@pytest.mark.parametrize(
    ("count", "sizes"), [(95, [10, 9] * 5), (10, [1] * 10), (100, [10] * 10), (3, [1, 0, 0, 1, 0, 0, 1, 0, 0, 0]), (1, [1])]
)  # fmt: skip
def test_deciles_run_from_1_at_the_highest_risk_to_10_in_even_shares(
    gym, month, candidate, count, sizes
):
    deciles = ranking(gym, month(customers=count, seed=4), candidate.model)["decile"]
    assert deciles.is_monotonic_increasing
    assert [(deciles == number + 1).sum() for number in range(len(sizes))] == sizes


def test_equal_probabilities_are_ranked_by_entity(gym, customers, candidate):
    alike = pd.concat([customers.iloc[[0]]] * 6).assign(member=["f", "b", "e", "a", "d", "c"])
    for rows in (alike, alike.iloc[::-1]):
        assert ranking(gym, rows, candidate.model)["member"].tolist() == [
            "a",
            "b",
            "c",
            "d",
            "e",
            "f",
        ]


def test_reasons_follow_the_strength_and_the_sign_of_each_contribution(gym, customers, candidate):
    pushes = candidate.model.contributions(customers).set_axis(customers.index)
    said = reasons(gym, customers, candidate.model, 2)
    assert said.index.equals(customers.index)
    names = pushes.abs().to_numpy().argsort(axis=1)[:, ::-1][:, :2]
    for row in customers.index[::8]:
        for place in (0, 1):
            name = pushes.columns[names[row, place]]
            value = customers.loc[row, name]
            assert said.iloc[row, place] == sentence(
                gym.features[name], name, value, pushes.loc[row, name]
            )


def test_a_value_that_the_model_was_not_trained_on_is_no_reason_for_a_risk(
    gym, customers, candidate
):
    (name,) = candidate.model.categories
    rows = customers.head(4).assign(**{name: "never seen"})
    said = reasons(gym, rows, candidate.model, 99)
    assert said.shape == (4, len(gym.features))
    about = [sentence for sentence in said.to_numpy().ravel() if "never seen" in sentence]
    assert len(about) == 4
    assert not [said for said in about if "the risk" in said]


def test_the_floors_of_the_deciles_tell_a_customer_s_decile_without_the_list(gym, month, candidate):
    ranked = ranking(gym, month(customers=1000, seed=4), candidate.model)
    floors = decile_floors(ranked)
    lowest = ranked.groupby("decile")["probability"].min()
    assert floors == [lowest[decile] for decile in range(9, 0, -1)] == sorted(floors)
    assert decile_floors(ranking(gym, month(customers=9, seed=4), candidate.model)) == []
    assert len(decile_floors(ranking(gym, month(customers=10, seed=4), candidate.model))) == 9


@given(st.dictionaries(st.integers(0, 30), st.sampled_from([True, False, None]), min_size=1))
@settings(max_examples=50, deadline=None)
def test_only_a_known_positive_label_of_the_scored_month_says_that_a_customer_has_left(customers):
    """Customers without a label can still leave; labels of people who are not scored do not matter."""
    known = {key: label for key, label in customers.items() if label is not None}
    labels = pd.Series(known | {99: True}, dtype=bool)
    found = outcomes(pd.Series(list(customers)), labels)
    assert found.already_left.tolist() == [label is True for label in customers.values()]
    assert found.known.tolist() == [label is not None for label in customers.values()]
    assert found.complete == (None not in customers.values())
    unlabelled = outcomes(pd.Series(list(customers)), None)
    assert not (unlabelled.already_left | unlabelled.known).any()


@pytest.mark.parametrize(
    ("labels", "period", "noted"),
    [
        ({"a": True, "b": False}, "after", "the past"),
        ({"a": True, "b": False}, "before", None),
        ({"a": True, "b": True}, "before", "has already left"),
        ({"a": True}, "after", None),
        (None, "after", None),
    ],
)
def test_a_list_of_the_past_is_noted_with_the_way_out(declare, labels, period, noted):
    contract = declare(label={"table": "leavers", "column": "has_left", "period": period})
    found = outcomes(
        pd.Series(["a", "b"]), None if labels is None else pd.Series(labels, dtype=bool)
    )
    said = list_note(contract, MONTH, found)
    assert (said is None) == (noted is None)
    if noted is not None:
        assert noted in said
        assert "2024-03-31" in said


def test_those_who_have_left_have_no_rank_and_no_decile_and_count_in_no_floor(
    gym, month, candidate
):
    rows = month(customers=200, seed=4)
    probability = candidate.model.probability(rows)
    left = probability > np.sort(probability)[-51]  # the 50 most likely to leave
    ranked = ranking(gym, rows, candidate.model, left)
    assert ranked["already_left"].sum() == 50
    assert ranked.loc[ranked["already_left"], ["rank", "decile"]].isna().all(axis=None)
    at_risk = ranked[~ranked["already_left"]]
    assert at_risk["rank"].tolist() == list(range(1, 151))
    assert at_risk["decile"].value_counts().tolist() == [15] * 10
    alone = ranking(gym, rows[~left], candidate.model)
    assert at_risk["member"].tolist() == alone["member"].tolist()
    assert decile_floors(ranked) == decile_floors(alone)
    nobody = ranking(gym, rows, candidate.model, np.ones(200, dtype=bool))
    assert nobody["rank"].isna().all()
    assert decile_floors(nobody) == []
    assert reasons(gym, rows.head(0), candidate.model, 3).shape == (0, 3)


def test_where_each_customer_has_a_cost_the_rank_is_by_expected_loss_and_the_decile_by_probability(
    declare, month, candidate
):
    contract = declare(
        costs={"missed_churner": {"column": "monthly_fee", "times": 12}, "needless_contact": 3}
    )
    rows = month(customers=95, seed=4)
    ranked = ranking(contract, rows, candidate.model)
    missed = 12 * rows.set_index("member")["monthly_fee"][ranked["member"]].to_numpy()
    assert ranked["expected_loss"].tolist() == (ranked["probability"] * missed).tolist()
    assert ranked["rank"].tolist() == list(range(1, 96))
    assert ranked["expected_loss"].is_monotonic_decreasing
    assert not ranked["probability"].is_monotonic_decreasing
    by_risk = ranking(declare(), rows, candidate.model).set_index("member")["decile"]
    assert ranked["decile"].tolist() == by_risk[ranked["member"]].tolist()
