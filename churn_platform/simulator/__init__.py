"""A simulated business whose best possible model is known, made from a contract alone.

`scenarios` has what changes when, `months` the months with their truth and their deliveries.
They use `churn` (why customers leave), `population` (who comes and goes) and `tables` (how a
column is distributed).
"""

from churn_platform.simulator.months import (
    Delivery,
    MonthTruth,
    SimulatedMonth,
    Truth,
    as_of_at,
    best_auc,
    deliver,
    simulate,
)
from churn_platform.simulator.scenarios import (
    QUIET,
    SCENARIOS,
    SUDDEN_SHIFT,
    Scenario,
    find_scenario,
)

__all__ = [
    "QUIET",
    "SCENARIOS",
    "SUDDEN_SHIFT",
    "Delivery",
    "MonthTruth",
    "Scenario",
    "SimulatedMonth",
    "Truth",
    "as_of_at",
    "best_auc",
    "deliver",
    "find_scenario",
    "simulate",
]
