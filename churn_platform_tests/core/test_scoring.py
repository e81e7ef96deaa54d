"""The ranked list: ranks, deciles and reasons that a person can read."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.core.contract import Column, Contract
from churn_platform.core.scoring import rank, reasons, sentence, shown


@pytest.fixture
def customers(month):
    return month(customers=95, seed=4)


def test_everybody_is_ranked_once_most_likely_first(gym, customers, candidate):
    ranked = rank(gym, customers, candidate.model)
    assert ranked.columns.tolist() == ["member", "probability", "rank", "decile"]
    assert sorted(ranked["member"]) == sorted(customers["member"])
    assert ranked["rank"].tolist() == list(range(1, 96))
    assert ranked["probability"].is_monotonic_decreasing
    own = pd.Series(candidate.model.probability(customers), index=customers["member"])
    assert ranked["probability"].tolist() == own[ranked["member"]].tolist()


@pytest.mark.parametrize(
    ("count", "sizes"), [(95, [10, 9] * 5), (10, [1] * 10), (100, [10] * 10), (3, [1, 0, 0, 1, 0, 0, 1, 0, 0, 0]), (1, [1])]
)  # fmt: skip
def test_deciles_run_from_1_at_the_highest_risk_to_10_in_even_shares(gym, month, candidate, count, sizes):
    deciles = rank(gym, month(customers=count, seed=4), candidate.model)["decile"]
    assert deciles.is_monotonic_increasing
    assert [(deciles == number + 1).sum() for number in range(len(sizes))] == sizes


def test_equal_probabilities_are_ranked_by_entity(gym, customers, candidate):
    alike = pd.concat([customers.iloc[[0]]] * 6).assign(member=["f", "b", "e", "a", "d", "c"])
    for rows in (alike, alike.iloc[::-1]):
        assert rank(gym, rows, candidate.model)["member"].tolist() == ["a", "b", "c", "d", "e", "f"]


def test_the_strongest_reasons_come_first_in_the_contract_s_words(gym, customers, candidate):
    one = customers.iloc[[0]].assign(visits=15, monthly_fee=20.25, tier="plus", autopay=None, minutes=60.0)
    said = reasons(gym, one, candidate.model, 3)
    assert said.columns.tolist() == ["reason_1", "reason_2", "reason_3"]
    assert said["reason_1"].tolist() == ["15 visits in 30 days lowers the risk"]
    assert said.loc[0, ["reason_2", "reason_3"]].str.contains("tier: plus lowers the risk").any()


def test_reasons_follow_the_strength_and_the_sign_of_each_contribution(gym, customers, candidate):
    pushes = candidate.model.contributions(customers).set_axis(customers.index)
    said = reasons(gym, customers, candidate.model, 2)
    names = pushes.abs().to_numpy().argsort(axis=1)[:, ::-1][:, :2]
    for row in customers.index[::8]:
        for place in (0, 1):
            name = pushes.columns[names[row, place]]
            value = customers.loc[row, name]
            assert said.iloc[row, place] == sentence(gym.features[name], name, value, pushes.loc[row, name])


def test_reasons_keep_the_index_of_their_rows_and_never_outnumber_the_features(gym, customers, candidate):
    chosen = customers.iloc[[7, 3]]
    said = reasons(gym, chosen, candidate.model, 99)
    assert said.index.tolist() == [7, 3]
    assert said.shape == (2, 5)
    assert said.loc[3].tolist() == reasons(gym, customers, candidate.model, 5).loc[3].tolist()


@pytest.mark.parametrize(
    ("column", "value", "push", "said"),
    [
        ({"dtype": "integer", "phrase": "{value} visit{s} in 30 days"}, 3, 0.4, "3 visits in 30 days raises the risk"),
        ({"dtype": "integer", "phrase": "{value} visit{s} in 30 days"}, 1, -2, "1 visit in 30 days lowers the risk"),
        ({"dtype": "integer", "phrase": "{value} visit{s} in 30 days"}, 0, 1, "0 visits in 30 days raises the risk"),
        ({"dtype": "boolean", "phrase": "pays by itself: {value}"}, True, -1, "pays by itself: yes lowers the risk"),
        ({"dtype": "boolean", "phrase": "pays by itself: {value}"}, np.bool_(False), 1, "pays by itself: no raises the risk"),
        ({"dtype": "category", "description": "Tier"}, "plus", 1, "Tier: plus raises the risk"),
        ({"dtype": "float"}, 20.25, 1, "spent last month: 20.2 raises the risk"),
        ({"dtype": "float", "description": "Minutes {a visit}"}, 20.0, 1, "Minutes {a visit}: 20 raises the risk"),
        ({"dtype": "float", "description": "Minutes a visit"}, None, 1, "no value for minutes a visit raises the risk"),
        ({"dtype": "boolean"}, pd.NA, -1, "no value for spent last month lowers the risk"),
        ({"dtype": "category"}, np.nan, -1, "no value for spent last month lowers the risk"),
        ({"dtype": "integer", "phrase": "{value} visit{s}"}, 2, 0.0, "2 visits does not move the risk"),
    ],
)  # fmt: skip
def test_a_reason_is_a_sentence_with_its_value(column, value, push, said):
    assert sentence(Column(**column), "spent_last_month", value, push) == said


def test_the_contract_that_ships_says_failed_payments_in_its_own_words(streamflow):
    features = Contract.model_validate(streamflow).features
    name = next(name for name in features if "failed" in name)
    assert sentence(features[name], name, 3, 0.2) == "3 failed payments in 90 days raises the risk"
    for name, column in features.items():
        value = {"boolean": True, "category": "DSL"}.get(column.dtype, 2)
        assert shown(column, value) in sentence(column, name, value, 0.2)


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("boolean", True, "yes"),
        ("boolean", 0.0, "no"),
        ("category", "Fiber optic", "Fiber optic"),
        ("integer", np.int64(7), "7"),
        ("integer", 7.0, "7"),
        ("float", 7.04, "7.0"),
        ("float", -1.25, "-1.2"),
        ("float", 1200.0, "1200"),
    ],
)
def test_a_value_is_shown_as_a_person_writes_it(dtype, value, text):
    assert shown(Column(dtype=dtype), value) == text
