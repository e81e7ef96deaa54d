"""A simulated business whose best possible model is known, made from a contract alone.

`scenarios` has what changes when, `months` the months with their truth and their deliveries,
`campaign` the months of a business that contacts its customers. They use `business` (one month
after the other), `churn` (why customers leave), `population` (who comes and goes) and `tables`
(how a column is distributed).
"""

from churn_platform.simulator.business import (
    MonthTruth,
    SimulatedMonth,
    as_of_at,
    best_auc,
)
from churn_platform.simulator.campaign import (
    Assignment,
    Campaign,
    CampaignTruth,
    OpenMonth,
    WorkedMonth,
    assignment_of,
    live_campaign,
    nobody,
)
from churn_platform.simulator.months import (
    Delivery,
    Truth,
    deliver,
    simulate,
)
from churn_platform.simulator.scenarios import (
    CAMPAIGN,
    NO_EFFECT,
    QUIET,
    SCENARIOS,
    SUDDEN_SHIFT,
    ContactResponse,
    Scenario,
    find_scenario,
    shifted,
)

__all__ = [
    "CAMPAIGN",
    "NO_EFFECT",
    "QUIET",
    "SCENARIOS",
    "SUDDEN_SHIFT",
    "Assignment",
    "Campaign",
    "CampaignTruth",
    "ContactResponse",
    "Delivery",
    "MonthTruth",
    "OpenMonth",
    "Scenario",
    "SimulatedMonth",
    "Truth",
    "WorkedMonth",
    "as_of_at",
    "assignment_of",
    "best_auc",
    "deliver",
    "find_scenario",
    "live_campaign",
    "nobody",
    "shifted",
    "simulate",
]
