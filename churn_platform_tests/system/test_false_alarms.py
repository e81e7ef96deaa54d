"""Quiet months raise no drift alarm from noise, at any size; a month that moved does.

A tenth to a quarter of the months that `benchmarks/false_alarms.py` counts (200 a size), to keep this under a minute.
"""

import pytest

from benchmarks.false_alarms import GOAL, alarms_by_month, alarms_of_strangers
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.simulator import SCENARIOS

STREAMFLOW = read_contract(default_contract_path())


@pytest.mark.slow
def test_where_nobody_stays_at_most_one_month_in_twenty_raises_an_alarm():
    months = list(alarms_of_strangers(STREAMFLOW, 1_000, 6, 10))
    assert sum(map(bool, months)) <= GOAL * len(months), [alarms for alarms in months if alarms]


@pytest.mark.slow
@pytest.mark.parametrize(("users", "businesses"), [(300, 5), (1_000, 5), (10_000, 2)])
def test_at_most_one_quiet_month_in_twenty_raises_an_alarm(users, businesses):
    months = list(alarms_by_month(STREAMFLOW, users, businesses, 10))
    assert len(months) == 10 * businesses
    raised = [alarms for alarms in months if alarms]
    assert len(raised) <= GOAL * len(months), raised


@pytest.mark.slow
def test_two_features_that_move_by_half_a_standard_deviation_are_seen():
    months = list(alarms_by_month(STREAMFLOW, 1_000, 3, 2, SCENARIOS["covariate-shift"]))
    assert all(months[1::2])
    assert not any(months[0::2])
