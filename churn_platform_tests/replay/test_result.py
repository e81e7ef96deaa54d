"""What became of each policy, side by side: AUC a month, promotions, needless and missed ones."""

import pytest

from churn_platform.base.errors import DataError
from churn_platform.replay.backtest import Alternative
from churn_platform.replay.history import PastMonths
from churn_platform.replay.result import replay


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def replays(contract, shifted, seen, with_sections):
    """This policy, never, always, and one that asks for an impossible gain."""
    strict = Alternative("strict", with_sections(contract, promotion={"delta": 0.9}))
    policies = [
        Alternative("this", contract),
        Alternative.never(contract),
        Alternative.always(contract),
        strict,
    ]
    found = replay(
        policies, shifted, "code", contract.policy, lambda name, month: seen.append((name, month))
    )
    return {one.name: one for one in found}


def test_each_month_has_the_auc_of_what_was_in_production_when_it_came(replays):
    this = replays["this"].months
    never = replays["never retrain"].months
    assert this[0].auc is None
    assert this[0].version is None
    assert [month.version for month in this[1:4]] == [1, 1, 2]
    assert [month.auc for month in this[:3]] == [month.auc for month in never[:3]]
    assert this[2].auc < this[1].auc - 0.15, "the shift"
    assert this[3].auc > never[3].auc + 0.15, "the answer to it"


def test_the_mean_is_over_the_months_that_every_policy_was_measured_on(replays):
    this = replays["this"]
    assert this.mean_auc == pytest.approx(sum(month.auc for month in this.months[1:]) / 5)
    assert this.mean_auc > replays["never retrain"].mean_auc + 0.1
    assert replays["strict"].mean_auc == replays["never retrain"].mean_auc


def test_a_policy_that_refuses_a_better_candidate_has_missed_it(replays):
    strict = replays["strict"]
    this = replays["this"]
    assert strict.promotions == 1
    assert strict.totals.missed >= 1
    assert strict.totals.needless == 0
    assert (this.promotions, this.totals.missed, this.totals.needless) == (2, 0, 0)
    missed = next(one for one in strict.judged if one.judgement == "wrong")
    assert (missed.decision, missed.incumbent) == ("refused", 1)
    assert missed.difference > 0.15


def test_a_promotion_that_was_no_better_afterwards_was_needless(
    contract, shifted, replays, with_sections
):
    """The same decisions, judged by somebody to whom a gain below 0.9 is worth nothing."""
    exacting = with_sections(contract, promotion={"delta": 0.9}).policy
    (found,) = replay([Alternative("this", contract)], shifted, "code", exacting)
    assert [one.decision for one in found.judged] == [
        one.decision for one in replays["this"].judged
    ]
    assert (found.totals.needless, found.totals.missed) == (1, 0), (
        "the first is measured against chance"
    )


def test_each_month_of_each_policy_is_told_before_it_is_lived(replays, seen, shifted):
    assert len(seen) == 4 * len(shifted.months) == len(set(seen))
    assert seen[0] == ("this", next(iter(shifted.months)))


def test_without_a_month_there_is_nothing_to_replay(contract):
    with pytest.raises(DataError, match="no month to replay"):
        replay([Alternative("this", contract)], PastMonths({}), "code", contract.policy)
