"""Backtest and scoreboard over months of different contracts."""

import pytest

from churn_platform.replay.backtest import Alternative, BacktestSteps, run_past_month
from churn_platform.replay.history import Memory, comparable
from churn_platform.replay.home_replay import THIS, history_of, replay_home
from churn_platform_tests.changing_business import APRIL, FEBRUARY, JUNE, MAY, MONTHS


@pytest.fixture(scope="module")
def history(changed):
    return history_of(changed.labels, changed.now())


@pytest.fixture(scope="module")
def backtest(changed, history):
    steps = BacktestSteps(Alternative.always(changed.contract), Memory(history, "code"))
    return steps, [run_past_month(steps, month) for month in MONTHS]


def test_each_month_has_every_feature_and_is_missing_what_it_lacks(changed, history):
    for month in MONTHS:
        rows = history.rows(month)
        lacking = {name for name in changed.lake.contract.features if rows[name].isna().all()}
        assert lacking == {
            name
            for name, lacks in {
                "guests": month < FEBRUARY,
                "has_app": month >= APRIL,
                "calls": month >= APRIL,
            }.items()
            if lacks
        }
    assert set(history.rows(JUNE)["plan"]) == {"basic", "plus", "family"}


def test_candidates_learn_what_the_month_has(changed, backtest):
    steps, _ = backtest
    assert len(steps.versions) == len(MONTHS)
    for number, candidate in steps.versions.items():
        recorded = changed.registry.load(number)
        assert {name for name, _ in candidate.model.features} == {
            feature.name for feature in recorded.card.features
        }
        assert candidate.card.months == recorded.card.months


def test_a_version_of_another_definition_of_churn_is_replaced_and_never_compared(backtest):
    steps, months = backtest
    first_of_may = steps.decisions[4]
    assert first_of_may.as_of == MAY.isoformat()
    assert first_of_may.decision == "promoted"
    results = {finding.code: finding for finding in first_of_may.findings}
    assert results["GATE001"].outcome == "not_applicable"
    assert months[5].production.card.as_of == MAY.isoformat()


def test_only_months_of_one_definition_judge_a_version(changed, backtest):
    steps, _ = backtest
    every = [month.isoformat() for month in MONTHS]
    old = steps.versions[1]
    new = steps.versions[5]
    assert comparable(changed.contract, [old], every) == every[:4]
    assert comparable(changed.contract, [new, None], every) == every[4:]
    assert comparable(changed.contract, [old, new], every) == []


def test_the_home_is_replayed_and_judged_on_months_of_the_same_definition(changed):
    replays = replay_home(changed.contract, changed.labels, changed.now(), [])
    own = next(one for one in replays if one.name == THIS)
    assert [month.as_of for month in own.months] == [month.isoformat() for month in MONTHS]
    for one in (*own.judged, *changed.scoreboard().judge().decisions):
        trained = changed.contract.label.at(_date(one.as_of))
        assert all(changed.contract.label.at(_date(m)).same_churn(trained) for m in one.months)
    judged = changed.scoreboard().judge().decisions
    assert len(judged) == 6
    assert (
        judged[0].months
        == tuple(month.isoformat() for month in MONTHS[1:4])[: len(judged[0].months)]
    )
    assert judged[0].months


def _date(text):
    return next(month for month in MONTHS if month.isoformat() == text)
