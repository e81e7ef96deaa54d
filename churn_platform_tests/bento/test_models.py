"""What a request may contain follows from the contract."""

import pytest
from pydantic import TypeAdapter, ValidationError

from bento.models import models_of
from churn_platform.contract.model import Contract
from churn_platform_tests.other_businesses import NEWSPAPER
from churn_platform_tests.small_business import declared

GYM = TypeAdapter(models_of(declared()).predict_request)
NEWS = TypeAdapter(models_of(Contract.model_validate(NEWSPAPER)).predict_request)
NEWS_KEY = TypeAdapter(models_of(Contract.model_validate(NEWSPAPER)).path_key)
LARGEST = 2**63 - 1


def assumed(**features):
    return {"member": "m1", "features": features}


@pytest.mark.parametrize(
    ("adapter", "given", "read"),
    [
        (GYM, {"member": "m1"}, {"member": "m1"}),
        (NEWS, {"reader_no": 7}, {"reader_no": 7}),
        (NEWS, {"reader_no": 7.0}, {"reader_no": 7}),  # JSON has no integers
        (NEWS, {"reader_no": 2.0**53 - 1}, {"reader_no": 2**53 - 1}),
        (NEWS, {"reader_no": LARGEST}, {"reader_no": LARGEST}),
        (NEWS_KEY, "-7", -7),
        (NEWS_KEY, "1582218195625938945", 1582218195625938945),
    ],
)
def test_the_key_has_the_name_and_the_type_of_the_contract(adapter, given, read):
    assert adapter.validate_python(given) == read


@pytest.mark.parametrize(
    ("adapter", "given"),
    [
        (GYM, {"member": 7}),
        (NEWS, {"reader_no": "7"}),
        (NEWS, {"reader_no": LARGEST + 1}),
        (NEWS, {"reader_no": 1582218195625938945.0}),  # it has lost digits
        (NEWS_KEY, "seven"),
        (NEWS_KEY, str(LARGEST + 1)),
    ],
)
def test_another_key_is_refused(adapter, given):
    with pytest.raises(ValidationError):
        adapter.validate_python(given)


@pytest.mark.parametrize(
    ("feature", "good", "bad"),
    [
        ("months", [0, 10**6, LARGEST], [-1, 2.5, "3", True, None, 10**20, -(10**400)]),
        ("plan", ["basic", "plus"], ["gold", 1, None]),
        ("has_app", [True, None], ["yes", 1]),
        ("hours", [0, 2.5, None], [-0.1, "3", True, float("nan"), float("inf"), 10**400]),
    ],
)
def test_an_assumed_value_has_the_dtype_range_and_values_of_its_column(feature, good, bad):
    for value in good:
        body = assumed(**{feature: value})
        assert GYM.validate_python(body) == body
    for value in bad:
        with pytest.raises(ValidationError) as error:
            GYM.validate_python(assumed(**{feature: value}))
        assert error.value.errors()[0]["loc"][:2] == ("features", feature)


def test_a_feature_may_have_any_name_that_a_contract_allows():
    names = ("copy", "json", "model_dump", "schema", "class")
    tables = {
        "t": {"columns": {name: {"dtype": "float"} for name in names}},
        "labels": {"columns": {"left": {"dtype": "boolean"}}},
    }
    contract = declared(
        tables=tables,
        label={"table": "labels", "column": "left"},
        slices=[],
        feature_views={"v": {"table": "t", "features": list(names)}},
    )
    body = assumed(**dict.fromkeys(names, 1.5))
    assert TypeAdapter(models_of(contract).predict_request).validate_python(body) == body


def test_a_category_without_a_list_takes_any_text_of_a_reasonable_length():
    body = {"reader_no": 1, "features": {"city": "anywhere"}}
    assert NEWS.validate_python(body) == body
    with pytest.raises(ValidationError):
        NEWS.validate_python({"reader_no": 1, "features": {"city": "x" * 257}})
