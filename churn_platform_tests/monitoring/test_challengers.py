"""When time speaks for another version, and how seldom it does so by luck."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.contract.policy import Policy, PromotionPolicy, VerdictPolicy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.evaluation.gain import Gain
from churn_platform.evaluation.statistics import Interval
from churn_platform.monitoring.challengers import (
    Challenger,
    evaluated_versions,
    propose,
)
from churn_platform.replay.backtest import (
    Alternative,
    BacktestSteps,
    run_past_month,
    with_policy,
)
from churn_platform.replay.history import Memory, PastMonths
from churn_platform.simulator import SCENARIOS, simulate
from churn_platform_tests.simulator.core_loop import lived_month

GATE, POLICY = PromotionPolicy(), VerdictPolicy()
MONTHS = ("2024-02-29", "2024-03-31")


def gain(difference, error=0.01, churners=200):
    return Gain(MONTHS, 0.6 + difference, 0.6, error, churners, 2000)


def challenger(version=1, difference=0.1, error=0.01, churners=200, *, was=True, blocked=False):
    return Challenger(version, was, blocked, gain(difference, error, churners))


@given(st.sets(st.integers(1, 60)), st.none() | st.integers(1, 60), st.integers(0, 10))
def test_production_and_the_newest_others_are_followed_and_never_more(versions, production, newest):
    found = evaluated_versions(versions, production, newest)
    assert found == sorted(set(found))
    others = [version for version in found if version != production]
    assert len(others) == min(newest, len(versions - {production}))
    assert set(others) <= versions
    assert all(left <= min(others, default=99) for left in versions - {production} - set(others))
    assert (production in found) == (production is not None)


def test_a_version_that_is_clearly_better_is_proposed_with_its_figures():
    found = propose(POLICY, GATE, 2, [challenger()])
    assert (found.act, found.version, found.production) == ("rollback proposed", 1, 2)
    assert found.difference == pytest.approx(0.1)
    assert Interval(*found.interval).above(0)
    assert found.level == pytest.approx(1 - 0.05 / 12)
    for facts in ("rollback to version 1", "2,000 rows of 2024-02-29 to 2024-03-31", "0.700", "0.600",
                  "+0.100, 99.58% interval [+0.071, +0.129]"):  # fmt: skip
        assert facts in found.sentence
    new = propose(POLICY, GATE, 2, [challenger(3, was=False)])
    assert new.act == "promotion proposed"
    assert "promotion of version 3" in new.sentence


@pytest.mark.parametrize(
    "weak",
    [
        challenger(difference=0.009, error=0.001),  # certain, and not worth it
        challenger(difference=0.1, error=0.04),  # passes alone at 95%, not as one of twelve looks
        challenger(difference=-0.1),
        challenger(churners=49),
        challenger(blocked=True),
        Challenger(1, True, False, None),
    ],
)
def test_a_version_that_is_not_clearly_better_or_not_wanted_is_not_proposed(weak):
    assert propose(POLICY, GATE, 2, [weak]) is None
    assert propose(POLICY, GATE, 2, []) is None


def test_more_versions_ask_for_more_certainty_even_blocked_ones():
    # 2.94 errors: above 2.87 for one version, below 3.3 for five.
    borderline = challenger(error=0.034)
    assert propose(POLICY, GATE, 9, [borderline]) is not None
    for blocked in (False, True):
        others = [challenger(v, difference=0.0, blocked=blocked) for v in (2, 3, 4, 5)]
        assert propose(POLICY, GATE, 9, [borderline, *others]) is None


def test_of_several_the_one_with_the_highest_lower_end_is_proposed():
    sure, promising = challenger(1, 0.1, 0.005), challenger(3, 0.12, 0.03)
    assert propose(POLICY, GATE, 2, [promising, sure]).version == 1


def looks(alternative, users, months, seed, scenario):
    """A business with all its months, and each look's proposal, made before the month's own retraining."""
    history, found = PastMonths({}), []
    memory, contract = Memory(history, "code"), alternative.contract
    loop, policy = BacktestSteps(alternative, memory), contract.policy
    scores = memory.later_months(contract)
    for month in simulate(contract, users, months, seed, scenario=scenario):
        history.months[month.as_of] = lived_month(contract, month)
        production = loop.in_production
        if production is not None:
            newest = [one.isoformat() for one in list(history.months)[-policy.verdict.months :]]
            others = evaluated_versions(
                set(loop.versions), production.version, policy.verdict.followed_versions
            )
            challengers = [
                Challenger(
                    v,
                    v < production.version,
                    False,
                    scores.gain(loop.versions[v], production, newest),
                )
                for v in others
                if v != production.version
            ]
            found.append(
                (
                    month.as_of,
                    propose(policy.verdict, policy.promotion, production.version, challengers),
                )
            )
        run_past_month(loop, month.as_of)
    return loop, scores, found


@pytest.mark.slow
def test_over_quiet_months_no_version_is_proposed_that_is_not_really_better():
    """Eight businesses that retrain always, ten months each: six versions compared every month.

    Fits of one recipe on 1,500 customers do differ a little, so one that is better for good may be proposed.
    """
    quiet = SCENARIOS["quiet"]
    contract = quiet.contract(read_contract(default_contract_path()))
    policy = contract.policy.model_dump(mode="json")
    policy["training"]["algorithm"] = "logistic_regression"
    always = Alternative.always(with_policy(contract, Policy.model_validate(policy)))
    compared, businesses, false = 0, set(), []
    for seed in range(1, 9):
        loop, scores, found = looks(always, 1_500, 10, seed, quiet)
        compared += len(found)
        for as_of, one in found:
            if one is None:
                continue
            businesses.add(seed)
            others = [
                month.isoformat()
                for month in loop.history.months
                if month.isoformat() not in one.months
            ]
            elsewhere = scores.gain(
                loop.versions[one.version], loop.versions[one.production], others
            )
            if elsewhere is not None and elsewhere.difference <= 0:
                false.append((seed, as_of, one.sentence))
    assert compared >= 70
    assert false == []
    assert len(businesses) <= 1


def test_a_refused_version_that_time_proves_right_is_proposed():
    """In a business that goes on moving, a candidate that was rightly refused is soon the better one."""
    moving = SCENARIOS["gradual-shift"]
    contract = moving.contract(read_contract(default_contract_path()))
    loop, _, found = looks(Alternative("this", contract), 3_000, 4, 1, moving)
    assert [decision.decision for decision in loop.decisions[:2]] == ["promoted", "refused"]
    assert [one for _, one in found[:2]] == [None, None]
    as_of, proposal = found[2]
    assert (as_of.isoformat(), proposal.act, proposal.version, proposal.production) == (
        "2024-04-30", "promotion proposed", 2, 1,
    )  # fmt: skip
    assert proposal.months == ("2024-04-30",)
