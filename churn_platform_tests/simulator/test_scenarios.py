"""The scenarios: each has a name, one line, what the loop should do, and a course that reads as it says."""

import datetime as dt
from dataclasses import replace

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.simulator.scenarios import (
    EVENT,
    QUIET,
    SCENARIOS,
    Conditions,
    Scenario,
    find_scenario,
)

STREAMFLOW = read_contract(default_contract_path())
JANUARY = dt.date(2024, 1, 31)


def moments(name, months=7):
    return [SCENARIOS[name].at(month, JANUARY) for month in range(1, months + 1)]


def test_the_ten_scenarios_are_there_each_with_its_line_and_what_the_loop_should_do():
    assert list(SCENARIOS) == [
        "quiet", "sudden-shift", "gradual-shift", "covariate-shift", "seasonal", "leavers", "late-labels",
        "corrections", "leak", "broken-file",
    ]  # fmt: skip
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert 20 < len(scenario.summary) < 120
        assert 20 < len(scenario.loop_should) < 140


def test_a_course_keeps_its_last_value():
    assert [moment.relation for moment in moments("sudden-shift")] == [0, 0, 1, 1, 1, 1, 1]
    assert [moment.features for moment in moments("gradual-shift")] == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert [moment.covariates for moment in moments("covariate-shift")] == [0, 0, 1, 1, 1, 1, 1]
    assert [moment.leak for moment in moments("leak")] == [
        False,
        False,
        True,
        True,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("name", ["quiet", "late-labels", "corrections", "broken-file"])
def test_what_only_arrives_otherwise_changes_nothing_in_the_business(name):
    assert set(moments(name)) == {Conditions()}


def test_a_season_comes_back_after_a_year_and_turns_round_after_half_of_one():
    seasonal = SCENARIOS["seasonal"]
    spring, autumn = dt.date(2024, 3, 31), dt.date(2024, 9, 30)
    assert seasonal.at(1, spring).log_odds == pytest.approx(0.5, abs=0.01)
    assert seasonal.at(7, autumn).log_odds == pytest.approx(-0.5, abs=0.01)
    assert seasonal.at(13, dt.date(2025, 3, 31)).log_odds == pytest.approx(
        seasonal.at(1, spring).log_odds, abs=0.02
    )


def test_the_pieces_combine():
    both = replace(SCENARIOS["sudden-shift"], season=0.5, leak_from=2)
    moment = both.at(EVENT, dt.date(2024, 3, 31))
    assert (moment.relation, moment.leak) == (1.0, True)
    assert moment.log_odds == pytest.approx(0.5, abs=0.01)


def test_only_late_labels_need_another_contract_with_a_horizon_of_one_cadence():
    changed = {
        name for name, scenario in SCENARIOS.items() if scenario.contract(STREAMFLOW) != STREAMFLOW
    }
    assert changed == {"late-labels"}
    late = SCENARIOS["late-labels"].contract(STREAMFLOW)
    assert late.matures(JANUARY) == dt.date(2024, 2, 29)
    assert late.model_hash != STREAMFLOW.model_hash
    weekly = type(late).model_validate(STREAMFLOW.as_mapping() | {"cadence": "week"})
    assert SCENARIOS["late-labels"].contract(weekly).matures(JANUARY) == dt.date(2024, 2, 7)


def test_an_unknown_name_is_refused_with_those_there_are():
    assert find_scenario("quiet") is QUIET
    with pytest.raises(
        UsageError, match=r"no scenario 'quite': choose one of quiet, sudden-shift, .*broken-file\."
    ):
        find_scenario("quite")
    assert isinstance(Scenario("x", "y", "z"), Scenario)
