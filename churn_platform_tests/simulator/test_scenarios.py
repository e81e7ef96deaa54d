"""The scenarios: what changes in which month, and the contract that fits their drops."""

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
    find_scenario,
    shifted,
)

STREAMFLOW = read_contract(default_contract_path())
JANUARY = dt.date(2024, 1, 31)


def conditions(name):
    return [SCENARIOS[name].at(month, JANUARY) for month in range(1, 8)]


def test_every_scenario_has_a_line_and_what_the_loop_should_do():
    assert list(SCENARIOS) == [
        "quiet", "sudden-shift", "gradual-shift", "covariate-shift", "seasonal", "leavers", "late-labels",
        "corrections", "leak", "broken-file", "campaign", "events",
    ]  # fmt: skip
    for scenario in SCENARIOS.values():
        assert 20 < len(scenario.summary) < 120
        assert 20 < len(scenario.loop_should) < 140


def test_a_course_keeps_its_last_value():
    suddenly = [0, 0, 1, 1, 1, 1, 1]
    assert [month.relation for month in conditions("sudden-shift")] == suddenly
    assert [month.covariates for month in conditions("covariate-shift")] == suddenly
    assert [month.leak for month in conditions("leak")] == suddenly
    assert [m.features for m in conditions("gradual-shift")] == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    for name in ("quiet", "late-labels", "corrections", "broken-file", "campaign"):
        assert set(conditions(name)) == {Conditions()}


def test_a_season_repeats_after_a_year_and_combines_with_other_changes():
    both = replace(SCENARIOS["seasonal"], relation=SCENARIOS["sudden-shift"].relation, leak_from=2)
    days = [dt.date(2024, 3, 31), dt.date(2024, 9, 30), dt.date(2025, 3, 31)]
    odds = [both.at(EVENT, day).log_odds for day in days]
    assert odds == pytest.approx([0.5, -0.5, 0.5], abs=0.02)
    assert (both.at(EVENT, JANUARY).relation, both.at(EVENT, JANUARY).leak) == (1.0, True)


def test_only_late_labels_contacts_and_a_log_need_another_contract_with_a_horizon_of_one_cadence():
    fitting = {name: scenario.contract(STREAMFLOW) for name, scenario in SCENARIOS.items()}
    changed = {name for name, contract in fitting.items() if contract != STREAMFLOW}
    assert changed == {"late-labels", "campaign", "events"}
    assert fitting["events"].label.horizon == fitting["late-labels"].label.horizon
    assert fitting["campaign"].label == fitting["late-labels"].label
    late = fitting["late-labels"]
    assert late.matures(JANUARY) == dt.date(2024, 2, 29)
    assert late.model_hash != STREAMFLOW.model_hash
    weekly = type(late).model_validate(STREAMFLOW.as_mapping() | {"cadence": "week"})
    assert SCENARIOS["late-labels"].contract(weekly).matures(JANUARY) == dt.date(2024, 2, 7)


def test_a_scenario_can_be_shifted_from_a_month_on():
    later = shifted(SCENARIOS["campaign"], 6)
    assert [later.at(month, JANUARY).relation for month in range(4, 9)] == [0, 0, 1, 1, 1]
    assert [later.at(month, JANUARY).features for month in range(4, 9)] == [0, 0, 1, 1, 1]
    assert shifted(QUIET, EVENT).relation == SCENARIOS["sudden-shift"].relation


def test_a_campaign_adds_only_what_a_contract_lacks_and_the_objections_are_no_feature():
    campaign = SCENARIOS["campaign"]
    contract = campaign.contract(STREAMFLOW)
    assert contract.event_tables == (contract.contacts.table,)
    table, _, column = contract.do_not_contact.partition(".")
    spec = contract.tables[table].columns[column]
    assert (spec.dtype, spec.nullable) == ("boolean", False)
    assert contract.features == STREAMFLOW.features
    assert campaign.contract(contract) == contract
    taken = STREAMFLOW.as_mapping()
    taken["tables"]["contacts"] = {"columns": {"do_not_contact": {"dtype": "date"}}}
    other = campaign.contract(type(contract).model_validate(taken))
    assert other.contacts.table not in taken["tables"]


def test_an_unknown_name_is_refused_with_all_names():
    assert find_scenario("quiet") is QUIET
    with pytest.raises(UsageError, match=", ".join(SCENARIOS)) as refused:
        find_scenario("quite")
    assert refused.value.code == "SCENARIO_UNKNOWN"
