"""The recipes that compete: what a list of candidates may contain, and the digests of a policy with one."""

import json

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from churn_platform.base.digests import hashed_values
from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Policy, TrainingPolicy
from churn_platform.contract.reading import read_contract, shipped_schema
from churn_platform.contract.recipes import CROSS_VALIDATION, MODEL, Tuned, fits_needed
from churn_platform.training.estimator import FOLDS

LINEAR = {"name": "linear", "algorithm": "logistic_regression"}
TREES = {"name": "trees", "algorithm": "lightgbm", "parameters": {"num_leaves": 16}}
OWN = {"name": "own", "estimator": "gym.models:build"}
TUNED = {**TREES, "name": "tuned", "tune": {"num_leaves": {"low": 4, "high": 64, "log": True}}}


def training(*candidates, **fields):
    return TrainingPolicy.model_validate({"candidates": candidates, **fields})


def test_a_list_of_candidates_is_read_as_it_is_written():
    policy = training(LINEAR, TREES, OWN, TUNED)
    assert [candidate.name for candidate in policy.candidates] == [
        "linear",
        "trees",
        "own",
        "tuned",
    ]
    assert policy.candidates[1].parameters == {"num_leaves": 16}
    assert policy.candidates[3].tune["num_leaves"] == Tuned(low=4, high=64, log=True)
    assert TrainingPolicy.model_validate(policy.model_dump(mode="json")) == policy


@pytest.mark.parametrize(
    ("candidates", "fields", "message"),
    [
        ([LINEAR, LINEAR], {}, "candidates: two recipes are named 'linear'"),
        ([{"name": "none"}], {}, "candidate none: give algorithm or estimator"),
        ([{**LINEAR, **OWN}], {}, "candidate own: give algorithm or estimator"),
        ([{**OWN, "estimator": "gym.models"}], {}, "should match pattern"),
        ([{**LINEAR, "name": "my own"}], {}, "should match pattern"),
        ([{**LINEAR, "algorithm": "neural"}], {}, "Input should be 'lightgbm'"),
        ([LINEAR], {"algorithm": "random_forest"}, "candidates and algorithm are both set"),
        ([LINEAR], {"estimator": "gym.models:build"}, "candidates and estimator are both set"),
        ([LINEAR], {"parameters": {"C": 1.0}}, "candidates and parameters are both set"),
        ([LINEAR, TREES], {"fits": 15}, "fits is 15, and these candidates need at least 16"),
        ([TUNED], {"fits": 15}, "fits is 15, and these candidates need at least 16"),
        ([LINEAR], {"fits": 0}, "greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused(candidates, fields, message):
    with pytest.raises(ValidationError, match=message):
        training(*candidates, **fields)


@pytest.mark.parametrize(
    ("tuned", "message"),
    [
        ({}, "give low and high, or choices"),
        ({"low": 1}, "give low and high, or choices"),
        ({"low": 1, "choices": [1, 2]}, "not both"),
        ({"log": True, "choices": [1, 2]}, "not both"),
        ({"choices": [1]}, "at least two different values"),
        ({"choices": ["a", "b", "a"]}, "at least two different values"),
        ({"low": 3, "high": 3}, "low 3 is not below high 3"),
        ({"low": 0, "high": 3, "log": True}, "log needs a low above 0"),
        ({"low": 0, "high": float("inf")}, "finite"),
    ],
)  # fmt: skip
def test_a_malformed_range_is_refused(tuned, message):
    with pytest.raises(ValidationError, match=message):
        Tuned.model_validate(tuned)


def test_a_fault_names_file_line_and_field_under_one_code(declared, tmp_path):
    path = tmp_path / "contract.yaml"
    policy = {"training": {"candidates": [LINEAR, {**TUNED, "tune": {"num_leaves": {"low": 4}}}]}}
    path.write_text(yaml.safe_dump({**declared, "policy": policy}))
    with pytest.raises(ContractError) as refused:
        read_contract(path)
    assert refused.value.code == "CONTRACT_INVALID"
    assert len(str(refused.value).splitlines()) == 1
    line = path.read_text().splitlines()[int(str(refused.value).split(":")[1]) - 1]
    assert "num_leaves" in line or "low" in line


def test_the_smallest_budget_measures_each_recipe_tunes_once_and_fits_the_model():
    assert (FOLDS, FOLDS + 1) == (CROSS_VALIDATION, MODEL)
    assert fits_needed(training(LINEAR, TREES).candidates) == 2 * 5 + 6
    assert fits_needed(training(LINEAR, TUNED).candidates) == 3 * 5 + 6


def test_without_candidates_a_policy_has_the_digest_of_earlier_versions(declared):
    values = hashed_values(Policy())["training"]
    assert not {"candidates", "fits"} & set(values)
    contract = Contract.model_validate(declared)
    named = {"training": {"algorithm": "logistic_regression", "candidates": [], "fits": 100}}
    assert (
        Contract.model_validate({**declared, "policy": named}).policy_hash == contract.policy_hash
    )


def test_each_part_of_a_list_is_part_of_the_policys_digest(declare):
    lists = (
        {"candidates": [LINEAR, TREES]},
        {"candidates": [TREES, LINEAR]},
        {"candidates": [LINEAR, TREES], "fits": 60},
        {"candidates": [LINEAR, {**TREES, "parameters": {"num_leaves": 17}}]},
        {"candidates": [LINEAR, {**TUNED, "name": "trees"}]},
        {"candidates": [LINEAR, {**TREES, "name": "forest"}]},
    )
    hashes = {declare(policy={"training": one}).policy_hash for one in lists}
    assert len(hashes) == len(lists)


def test_editors_accept_a_list_of_candidates(declared):
    validator = jsonschema.Draft7Validator(json.loads(shipped_schema()))
    contract = {
        **declared,
        "policy": {"training": {"candidates": [LINEAR, OWN, TUNED], "fits": 60}},
    }
    assert [error.message for error in validator.iter_errors(contract)] == []
    contract["policy"]["training"]["candidates"][0] = {"algorithm": "lightgbm"}
    assert list(validator.iter_errors(contract))
