"""Reasons as a person reads them."""

import numpy as np
import pytest

from churn_platform.contract.model import Column
from churn_platform.scoring.reasons import sentence, shown


@pytest.mark.parametrize(
    ("column", "value", "push", "said"),
    [
        ({"dtype": "integer", "phrase": "{value} visit{s} in 30 days"}, 3, 0.4, "3 visits in 30 days raises the risk"),
        ({"dtype": "integer", "phrase": "{value} visit{s} in 30 days"}, 1, -2, "1 visit in 30 days lowers the risk"),
        ({"dtype": "boolean", "phrase": "pays by itself: {value}"}, np.bool_(False), 1, "pays by itself: no raises the risk"),
        ({"dtype": "category", "description": "Tier"}, "plus", 1, "Tier: plus raises the risk"),
        ({"dtype": "float"}, 20.25, 1, "spent last month: 20.2 raises the risk"),
        ({"dtype": "float", "description": "Minutes {a visit}"}, 20.0, 1, "Minutes {a visit}: 20 raises the risk"),
        ({"dtype": "float", "description": "Minutes a visit"}, None, 1, "no value for minutes a visit raises the risk"),
        ({"dtype": "boolean"}, None, -1, "no value for spent last month lowers the risk"),
        ({"dtype": "integer", "phrase": "{value} visit{s}"}, 2, 0.0, "2 visits does not move the risk"),
    ],
)  # fmt: skip
def test_a_reason_is_a_sentence_with_its_value(column, value, push, said):
    assert sentence(Column(**column), "spent_last_month", value, push) == said


def test_a_value_that_the_model_never_saw_has_no_effect_on_the_risk():
    plan = Column(dtype="category", description="Plan")
    for push in (-0.5, 0.5):
        said = sentence(plan, "plan", "Monthly", push, seen=False)
        assert said.startswith("Plan: Monthly")
        assert "the risk" not in said
        assert "not in the training data" in said


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
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
