"""What a request may hold follows from the contract."""

import json

import pytest

from bento.errors import Refusal
from bento.schema import body, schemas_of, value
from churn_platform.contract.model import Contract
from churn_platform_tests.other_businesses import NEWSPAPER
from churn_platform_tests.small_business import declared


def taken(adapter, request):
    return body(adapter, json.dumps(request).encode())


def test_the_entity_has_its_own_name_and_type():
    gym, newspaper = schemas_of(declared()), schemas_of(Contract.model_validate(NEWSPAPER))
    assert taken(gym.single, {"member": "m1"}) == {"member": "m1"}
    assert taken(newspaper.single, {"reader_no": 7}) == {"reader_no": 7}
    assert taken(newspaper.single, {"reader_no": 7.0}) == {"reader_no": 7}, "JSON knows no integers"
    for adapter, wrong in (
        (gym.single, {"member": 7}),
        (newspaper.single, {"reader_no": "7"}),
        (newspaper.single, {"reader_no": 2**63}),
    ):
        with pytest.raises(Refusal, match="The request has a wrong"):
            taken(adapter, wrong)


def test_a_whole_key_with_a_point_is_read_only_while_no_digit_can_be_lost():
    newspaper = schemas_of(Contract.model_validate(NEWSPAPER))
    assert taken(newspaper.single, {"reader_no": 2.0**53 - 1})["reader_no"] == 2**53 - 1
    assert (
        taken(newspaper.single, {"reader_no": 1582218195625938945})["reader_no"]
        == 1582218195625938945
    )
    assert value(newspaper.path_key, "1582218195625938945") == 1582218195625938945
    with pytest.raises(Refusal, match="a wrong reader_no"):
        taken(newspaper.single, {"reader_no": 1582218195625938945.0})


def test_an_integer_key_in_a_path_is_read_as_a_number():
    newspaper, gym = schemas_of(Contract.model_validate(NEWSPAPER)), schemas_of(declared())
    assert value(newspaper.path_key, "-7") == -7
    assert value(gym.path_key, "7") == "7"
    with pytest.raises(Refusal) as refusal:
        value(newspaper.path_key, "seven")
    assert (refusal.value.status, refusal.value.code) == (422, "malformed")


@pytest.mark.parametrize(
    ("feature", "good", "bad"),
    [("months", [0, 10**6], [-1, 2.5, "3", True, None]), ("plan", ["basic", "plus"], ["gold", 1, None]),
     ("has_app", [True, None], ["yes", 1]), ("hours", [0, 2.5, None], [-0.1, "3", True])],
)  # fmt: skip
def test_a_what_if_value_has_the_dtype_range_and_values_of_its_column(feature, good, bad):
    single = schemas_of(declared()).single
    for one in good:
        assert taken(single, {"member": "m1", "features": {feature: one}})["features"] == {
            feature: one
        }
    for one in bad:
        with pytest.raises(Refusal, match=f"a wrong features.{feature}"):
            taken(single, {"member": "m1", "features": {feature: one}})


def test_a_feature_may_have_any_name_that_a_contract_allows():
    tables = {
        "t": {
            "columns": {
                n: {"dtype": "float"} for n in ("copy", "json", "model_dump", "schema", "class")
            }
        },
        "labels": {"columns": {"left": {"dtype": "boolean"}}},
    }
    made = declared(
        tables=tables, label={"table": "labels", "column": "left"}, slices=[],
        feature_views={"v": {"table": "t", "features": list(tables["t"]["columns"])}},
    )  # fmt: skip
    given = dict.fromkeys(tables["t"]["columns"], 1.5)
    assert taken(schemas_of(made).single, {"member": "m1", "features": given})["features"] == given


def test_a_category_without_a_list_takes_any_text_of_a_decent_length():
    newspaper = schemas_of(Contract.model_validate(NEWSPAPER)).single
    assert taken(newspaper, {"reader_no": 1, "features": {"city": "anywhere"}})["features"] == {
        "city": "anywhere"
    }
    with pytest.raises(Refusal):
        taken(newspaper, {"reader_no": 1, "features": {"city": "x" * 257}})


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b'{"member": "m1", "member": "m2"}', "member"),
        (b'{"member": "m1", "features": {"months": 1, "m\\u006fnths": 2}}', "months"),
        (b'{"member": "m1", "features": {"months": 1}, "features": {}}', "features"),
        (b'{"reasons": true, "member": "a:b", "reasons": true}', "reasons"),
    ],
)
def test_a_field_that_comes_twice_is_refused_and_named(content, name):
    with pytest.raises(Refusal) as refusal:
        body(schemas_of(declared()).single, content)
    assert (refusal.value.status, refusal.value.code) == (422, "malformed")
    assert repr(name) in refusal.value.message


def test_a_colon_in_a_key_is_no_second_field():
    assert taken(schemas_of(declared()).single, {"member": "a:b:c"}) == {"member": "a:b:c"}
    assert taken(schemas_of(declared()).batch, {"keys": ["a:b", "c:d"]}) == {"keys": ["a:b", "c:d"]}


@pytest.mark.parametrize("digits", [20, 400, 4300, 5000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_whole_number_that_no_model_can_read_is_refused(digits, sign):
    number = sign + "9" * digits
    adapter = schemas_of(declared()).single
    for content in (
        f'{{"member": "m1", "features": {{"months": {number}}}}}',
        f'{{"member": "m:1", "features": {{"months": {number}}}}}',
        f'{{"member": "m1", "features": {{"months": 1, "months": {number}}}}}',
    ):
        with pytest.raises(Refusal) as refused:
            body(adapter, content.encode())
        assert (refused.value.status, refused.value.code) == (422, "malformed")
    largest = 2**63 - 1
    assert taken(adapter, {"member": "m1", "features": {"months": largest}})["features"] == {
        "months": largest
    }
