"""A simulated business whose best possible model is known, made from a contract alone.

`scenarios` describes what is different when, `months` draws the months and their truth,
`deliveries` shows which files arrive when; `churn` (what makes them leave), `people` (who comes
and goes) and `tables` (how a column looks) serve them.
"""

from churn_platform.simulator.months import (
    Delivery,
    MonthTruth,
    SimulatedMonth,
    as_of_at,
    best_auc,
    deliver,
    simulate,
    truth_json,
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
    "as_of_at",
    "best_auc",
    "deliver",
    "find_scenario",
    "simulate",
    "truth_json",
]
