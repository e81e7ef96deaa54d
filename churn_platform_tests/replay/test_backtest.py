"""The loop lived through again: the same rules, other policies, and nothing fitted twice."""

import datetime as dt

import pytest

from churn_platform.contract.policy import Policy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.replay.backtest import (
    Alternative,
    BacktestSteps,
    run_past_month,
    with_policy,
)
from churn_platform.replay.history import Memory, PastMonths
from churn_platform.simulator import SCENARIOS, simulate
from churn_platform_tests.simulator.core_loop import lived_month

STREAMFLOW = read_contract(default_contract_path())
SHIFT = SCENARIOS["sudden-shift"]


@pytest.fixture(scope="module")
def contract():
    """StreamFlow with a recipe that fits in no time."""
    policy = STREAMFLOW.policy.model_dump(mode="json")
    policy["training"]["algorithm"] = "logistic_regression"
    return with_policy(SHIFT.contract(STREAMFLOW), Policy.model_validate(policy))


@pytest.fixture(scope="module")
def shifted(contract):
    """Five months of 2,000 customers; from the third on others leave."""
    months = simulate(contract, 2_000, 5, 1, scenario=SHIFT)
    return PastMonths({month.as_of: lived_month(contract, month) for month in months})


def lived(alternative, memory):
    loop = BacktestSteps(alternative, memory)
    return loop, [run_past_month(loop, month) for month in memory.history.months]


@pytest.fixture(scope="module")
def memory(shifted):
    return Memory(shifted, "code")


def test_this_policy_answers_the_shift_with_a_new_model(contract, memory):
    loop, months = lived(Alternative("this", contract), memory)
    assert [month.run.answer.trigger for month in months][:3] == ["first", None, "performance"]
    assert [month.run.decision.decision if month.run.decision else None for month in months][
        :3
    ] == [
        "promoted",
        None,
        "promoted",
    ]
    assert months[0].production is None
    assert months[1].realised.metrics.auc > 0.7 > months[2].realised.metrics.auc
    assert months[2].production.version == 1
    assert months[3].production.version == 2 == loop.in_production.version


def test_where_people_are_asked_what_passed_is_taken_as_approved(contract, memory):
    policy = contract.policy.model_dump(mode="json")
    policy["promotion"]["mode"] = "approval"
    asking = with_policy(contract, Policy.model_validate(policy))
    loop, months = lived(Alternative("this", asking), memory)
    alone, automatic = lived(Alternative("this", contract), memory)
    assert loop.decisions[0].policy_hash == asking.policy_hash != contract.policy_hash
    assert [one.decision for one in loop.decisions] == [one.decision for one in alone.decisions]
    assert [month.production and month.production.version for month in months] == [
        month.production and month.production.version for month in automatic
    ]


def test_never_keeps_the_first_model_and_says_so(contract, memory):
    loop, months = lived(Alternative.never(contract), memory)
    assert [month.run.answer.trigger for month in months] == ["first", None, None, None, None]
    assert {month.run.answer.reason for month in months[1:]} == {"This policy never retrains."}
    assert loop.in_production.version == 1
    assert len(loop.decisions) == 1


def test_always_asks_in_every_month_with_new_labels_and_lets_the_gate_decide(contract, memory):
    loop, months = lived(Alternative.always(contract), memory)
    assert [month.run.answer.trigger for month in months] == ["first", *["schedule"] * 4]
    decided = [decision.decision for decision in loop.decisions]
    assert decided[:3] == ["promoted", "refused", "promoted"]
    assert loop.contract.policy.promotion == contract.policy.promotion


def test_a_policy_that_asks_for_more_refuses_what_this_one_promotes(contract, memory):
    strict = with_policy(
        contract,
        contract.policy.model_copy(
            update={"promotion": contract.policy.promotion.model_copy(update={"delta": 0.9})}
        ),
    )
    loop, months = lived(Alternative("strict", strict), memory)
    assert [decision.decision for decision in loop.decisions][:2] == ["promoted", "refused"]
    assert loop.in_production.version == 1
    assert months[2].run.decision.policy_hash == strict.policy_hash != contract.policy_hash


def test_policies_share_what_they_would_fit_alike_and_alone_fit_the_same(contract, shifted):
    shared = Memory(shifted, "code")
    together = {}
    for alternative in (
        Alternative("this", contract),
        Alternative.never(contract),
        Alternative.always(contract),
    ):
        together[alternative.name] = lived(alternative, shared)[0].decisions
    fits = shared.fits
    alone = Memory(shifted, "code")
    always = lived(Alternative.always(contract), alone)[0].decisions
    assert fits == alone.fits, "the other two need no fit that always retraining has not made"
    assert alone.fits == 2 * 5, (
        "a candidate and a refit a month; the month-older recipe is the candidate before"
    )
    assert always == together["always retrain"]


def test_the_replay_of_another_recipe_fits_its_own(contract, shifted):
    memory = Memory(shifted, "code")
    lived(Alternative.never(contract), memory)
    before = memory.fits
    training = contract.policy.training.model_copy(update={"seed": 8})
    other = with_policy(contract, contract.policy.model_copy(update={"training": training}))
    lived(Alternative.never(other), memory)
    assert memory.fits == 2 * before


def test_with_late_labels_no_month_is_decided_on_before_they_have_matured():
    late = SCENARIOS["late-labels"]
    contract = late.contract(STREAMFLOW)
    months = list(simulate(contract, 1_500, 3, 1, scenario=late))
    history = PastMonths({month.as_of: lived_month(contract, month) for month in months})
    loop = BacktestSteps(Alternative.always(contract), Memory(history, "code"))
    first, second = [run_past_month(loop, month.as_of).run for month in months[:2]]
    assert first.decision is None
    assert second.decision.as_of == "2024-01-31"


def test_a_contract_with_another_policy_has_its_own_hash_and_the_same_tables(contract):
    policy = contract.policy.model_copy(
        update={"scoring": contract.policy.scoring.model_copy(update={"listed": 3})}
    )
    _ = contract.policy_hash
    other = with_policy(contract, policy)
    assert other.policy_hash != contract.policy_hash
    assert other.model_hash == contract.model_hash
    assert (other.policy.scoring.listed, other.tables) == (3, contract.tables)
    assert dt.date(2024, 1, 31) == other.matures(dt.date(2024, 1, 31))
