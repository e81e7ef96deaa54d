"""A simulated business whose best possible model is known, made from a contract alone.

Belongs here: the names that other parts use. Does not: anything else.

`scenarios` describes what is different when, `months` draws the months and their truth, `deliveries` shows which files
arrive when; `churn` (what makes them leave), `people` (who comes and goes) and `tables` (how a column looks) serve
them.
"""

from churn_platform.core.simulate.deliveries import Delivery, deliver, truth_json
from churn_platform.core.simulate.months import MonthTruth, SimulatedMonth, as_of_at, best_auc, simulate
from churn_platform.core.simulate.scenarios import QUIET, SCENARIOS, SUDDEN_SHIFT, Scenario, find_scenario

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
