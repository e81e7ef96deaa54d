"""What the loop does in each scenario, by its real rules: the promise of the product against a known truth.

One business a scenario here; many seeds and long years are `slow`.
"""

import pytest

from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.simulator import SCENARIOS, simulate
from churn_platform_tests.simulator.core_loop import CoreLoop, Lived

STREAMFLOW = read_contract(default_contract_path())
NEAR = 0.03


def lived(name: str, users: int, months: int, seed: int) -> list[Lived]:
    """A business of one scenario, month by month."""
    contract = SCENARIOS[name].contract(STREAMFLOW)
    loop = CoreLoop(contract)
    return [
        loop.live(month)
        for month in simulate(contract, users, months, seed, scenario=SCENARIOS[name])
    ]


def refusing(month: Lived) -> list[str]:
    """The codes of the criteria that refused."""
    return [finding.code for finding in month.decision.findings if finding.refuses]


def losses(months: list[Lived]) -> list[float]:
    """How far the model in production was from the best possible, where it was measured."""
    return [month.realised_best - month.realised for month in months if month.realised is not None]


def recovers_from_a_sudden_shift(months: list[Lived]) -> None:
    first, second, shifted, after = months
    assert (first.promoted, first.answer.trigger) == (True, "first")
    assert not second.promoted
    assert losses([second])[0] < NEAR
    assert losses([shifted])[0] > 0.2
    assert (shifted.promoted, shifted.answer.trigger) == (True, "performance")
    assert shifted.candidate_best - shifted.decision.candidate_auc < NEAR
    assert losses([after])[0] < NEAR
    assert not after.promoted


def test_after_a_sudden_shift_the_loop_recovers_within_one_matured_month_to_near_the_best_possible():
    recovers_from_a_sudden_shift(lived("sudden-shift", 6_000, 4, 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4, 5, 6])
def test_after_a_sudden_shift_every_business_recovers(seed):
    recovers_from_a_sudden_shift(lived("sudden-shift", 6_000, 4, seed))


@pytest.mark.slow
def test_over_twenty_quiet_businesses_at_most_one_model_is_replaced_needlessly():
    needless, asked = [], 0
    for seed in range(1, 21):
        months = lived("quiet", 2_000, 6, seed)
        assert months[0].promoted
        needless += [(seed, month.as_of) for month in months[1:] if month.promoted]
        asked += sum(month.answer.retrain for month in months[1:])
    assert len(needless) <= 1, needless
    assert asked <= 20  # of 100 months: a candidate is fitted seldom, too


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_gradual_shift_is_followed_with_new_models_to_near_the_best_possible(seed):
    months = lived("gradual-shift", 6_000, 7, seed)
    assert not months[1].promoted
    assert any(month.promoted for month in months[2:])
    assert losses(months[2:3])[0] < 0.08  # a quarter of the way costs some
    assert losses(months[-1:])[0] < NEAR


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_covariate_shift_alarms_and_the_old_model_stays_because_it_is_as_good_as_any(seed):
    months = lived("covariate-shift", 6_000, 4, seed)
    assert months[2].alarms
    assert months[2].answer.retrain
    assert not any(month.promoted for month in months[1:])
    assert max(losses(months)) < NEAR


@pytest.mark.slow
def test_a_season_moves_the_churn_rate_and_no_other_model_is_promoted():
    months = lived("seasonal", 6_000, 8, 1)
    assert any("target drift" in alarm for month in months for alarm in month.alarms)
    assert not any(month.promoted for month in months[1:])
    assert max(losses(months)) < NEAR


@pytest.mark.slow
def test_with_high_turnover_customers_never_seen_before_are_scored_as_well():
    months = lived("leavers", 6_000, 6, 1)
    assert [month.promoted for month in months] == [True] + [False] * 5
    assert max(losses(months)) < NEAR


def test_with_late_labels_a_month_is_judged_when_they_have_matured_and_trains_the_right_month():
    first, second, third, fourth = lived("late-labels", 3_000, 4, 1)
    assert (first.decision, first.answer.reason) == (
        None, "No month has matured labels yet, so nothing can be trained.",
    )  # fmt: skip
    assert second.promoted
    assert second.decision.as_of == first.as_of.isoformat()
    assert third.realised_best == second.best
    assert fourth.realised_best == third.best


@pytest.mark.parametrize("users", [2_000, pytest.param(6_000, marks=pytest.mark.slow)])
def test_a_leaking_feature_is_named_and_only_that_refuses_the_candidate_that_shines_by_it(users):
    contract = STREAMFLOW
    loop = CoreLoop(contract)
    drawn = list(simulate(contract, users, 3, 2, scenario=SCENARIOS["leak"]))
    _, quiet, leaking = [loop.live(month) for month in drawn]
    assert not quiet.promoted
    decision = leaking.decision
    assert decision.decision == "refused"
    assert (
        decision.candidate_auc > leaking.candidate_best + 0.1
    )  # better than any honest model can be
    assert refusing(leaking) == ["GATE011"]
    assert decision.reason.startswith(f"{drawn[2].truth.leak} (AUC ")
