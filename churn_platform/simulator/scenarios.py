"""The scenarios by name: what changes when, and what the loop should do about it."""

import datetime as dt
import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.simulator.log_contract import log_parts
from churn_platform.simulator.tables import Floats

Course = tuple[float, ...]
"""One number per month; the last one applies to all later months."""
STEADY: Course = (0.0,)
EVENT = 3
"""The month, counted from 1, in which something happens: two quiet ones before it."""
FROM_EVENT: Course = (0.0,) * (EVENT - 1) + (1.0,)
YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Conditions:
    """What is different in one month.

    `relation` is the share of churn that follows the new relation. `features` and `covariates`,
    0 to 1, are how far the features of the new relation, or others, have moved. `log_odds` is
    added to everyone's log-odds. `leak` is whether a feature is filled in after churning.
    """

    relation: float = 0.0
    features: float = 0.0
    covariates: float = 0.0
    log_odds: float = 0.0
    leak: bool = False


@dataclass(frozen=True)
class ContactResponse:
    """How customers respond to contacts, and how a team works its list.

    `save_at_no_risk` and `save_at_certain_risk` are the chances that a customer who would leave
    stays if reached, at a churn probability of 0 and of 1, with a line in between: customers who
    are sure to leave are the hardest to keep. `driven_away` is the chance that a customer who
    would stay leaves because of the contact. `reach` is the share of the assigned customers who
    are reached, `contamination` the share of the untouched ones who are contacted anyway.
    `own_share` of the customers is contacted by a business without a plan; the log-odds by which
    it ranks them are off by a standard deviation of `own_noise`.
    """

    save_at_no_risk: float = 0.8
    save_at_certain_risk: float = 0.4
    driven_away: float = 0.1
    reach: float = 0.7
    contamination: float = 0.02
    own_share: float = 0.2
    own_noise: float = 0.5

    def save_rate(self, chance: Floats) -> Floats:
        """The chance that a customer who would leave stays if reached, by churn probability."""
        return self.save_at_no_risk + (self.save_at_certain_risk - self.save_at_no_risk) * chance


NO_EFFECT = ContactResponse(save_at_no_risk=0.0, save_at_certain_risk=0.0, driven_away=0.0)
"""Contacts change nothing."""


@dataclass(frozen=True)
class Scenario:
    """What changes when, and what the loop should do about it.

    The courses are those of `Conditions`; `season` is the amplitude of the log-odds through the
    year. `leak_from`, `corrected` and `broken` are months, counted from 1: the first that leaks,
    the one whose first delivery is wrong, the one whose file is broken. With `late_labels` a
    month's labels arrive one cadence later. With `contacts` customers are contacted, so a month
    depends on who was contacted in the month before. With `log` the business has nothing but a
    log of payments; of the courses only `log_odds` and `season` apply, to how often customers buy.
    """

    name: str
    summary: str
    loop_should: str
    relation: Course = STEADY
    features: Course = STEADY
    covariates: Course = STEADY
    log_odds: Course = STEADY
    season: float = 0.0
    leak_from: int | None = None
    late_labels: bool = False
    corrected: int | None = None
    broken: int | None = None
    contacts: ContactResponse | None = None
    log: bool = False

    def at(self, month: int, as_of: dt.date) -> Conditions:
        """What is different in `month`, counted from 1, which ends at `as_of`."""
        turn = 2 * math.pi * as_of.timetuple().tm_yday / YEAR_DAYS
        return Conditions(
            relation=self.relation[:month][-1],
            features=self.features[:month][-1],
            covariates=self.covariates[:month][-1],
            log_odds=self.log_odds[:month][-1] + self.season * math.sin(turn),
            leak=self.leak_from is not None and month >= self.leak_from,
        )

    def contract(self, contract: Contract) -> Contract:
        """The contract that fits the scenario's drops: late labels mature one cadence after
        as_of, and contacts have a table. With `log` its tables are replaced by a log of payments.
        """
        if self.log:
            return _of_a_log(contract)
        if not self.late_labels:
            return contract
        # A copy with an update would keep cached digests of the old contract.
        declared = contract.model_dump(mode="json", exclude_unset=True)
        declared["label"]["horizon"] = contract.step.model_dump(exclude_defaults=True)
        declared["label"]["period"] = "after"
        if self.contacts is not None:
            _add_contacts(declared, contract)
        return Contract.model_validate(declared)


def shifted(scenario: Scenario, month: int) -> Scenario:
    """The scenario in which other things drive churn from `month` on, at once."""
    course = (0.0,) * (month - 1) + (1.0,)
    return replace(scenario, relation=course, features=course)


def _of_a_log(contract: Contract) -> Contract:
    """The contract with a log of payments in the place of its tables; the rest stays where it
    does not name a column.
    """
    declared = contract.model_dump(mode="json", exclude_unset=True)
    for part in ("slices", "contacts", "do_not_contact"):
        declared.pop(part, None)
    if contract.costs.columns:
        declared.pop("costs")
    declared.get("policy", {}).get("drift", {}).pop("methods", None)
    return Contract.model_validate(declared | log_parts(contract.cadence))


def _add_contacts(declared: dict[str, Any], contract: Contract) -> None:
    """Add what a contract lacks to record contacts and objections."""
    if contract.contacts is None:
        table = _free_name("contacts", contract.tables)
        declared["tables"][table] = {
            "description": "Contacts with customers since the drop before.",
            "columns": {
                "contacted_on": {"dtype": "date"},
                "contact_action": {"dtype": "category", "values": ["call", "mail", "discount"]},
                "contact_outcome": {
                    "dtype": "category",
                    "values": ["no answer", "reached", "refused", "accepted"],
                },
                "contact_cost": {"dtype": "float", "min": 0},
            },
        }
        declared["contacts"] = {
            "table": table,
            "contacted_on": "contacted_on",
            "action": "contact_action",
            "outcome": "contact_outcome",
            "not_reached": ["no answer"],
            "cost": "contact_cost",
        }
        declared.setdefault("policy", {}).setdefault("contacts", {"budget": 0.15, "value": 100})
    if contract.do_not_contact is None:
        table = next(iter(contract.feature_views.values())).table
        column = _free_name("do_not_contact", contract.tables[table].columns)
        declared["tables"][table]["columns"][column] = {"dtype": "boolean"}
        declared["do_not_contact"] = f"{table}.{column}"
    if contract.wide:
        column = declared["tables"][contract.label.table]["columns"][contract.label.column]
        column["nullable"] = True


def _free_name(name: str, taken: Collection[str]) -> str:
    free = name
    while free in taken:
        free += "_2"
    return free


QUIET = Scenario(
    "quiet",
    "nothing changes but who comes and goes",
    "promote the first model and nothing after it: what shapes better by luck is refused",
)
SUDDEN_SHIFT = Scenario(
    "sudden-shift",
    "from the third month on other things drive churn, at once",
    "see the old model fall, and promote one that has learned the new relation in the same"
    " matured month",
    relation=FROM_EVENT,
    features=FROM_EVENT,
)
GRADUAL_SHIFT = Scenario(
    "gradual-shift",
    "from the third month on other things drive churn, a quarter more each month",
    "follow the shift with a new model or two, and end near the best possible",
    relation=(0.0, 0.0, 0.25, 0.5, 0.75, 1.0),
    features=(0.0, 0.0, 0.25, 0.5, 0.75, 1.0),
)
COVARIATE_SHIFT = Scenario(
    "covariate-shift",
    "from the third month on customers shape different, what drives churn stays",
    "raise a drift alarm, and refuse a candidate that is not better: the old model still knows"
    " what drives churn",
    covariates=FROM_EVENT,
)
SEASONAL = Scenario(
    "seasonal",
    "the churn rate swings through the year, what drives churn stays",
    "see the churn rate move, and refuse a candidate that is not better: a new rate alone needs"
    " no new model",
    season=0.5,
)
LEAVERS = Scenario(
    "leavers",
    "high turnover: more than a third of the customers leave each month and as many come",
    "promote the first model and nothing after it, and score customers it has never seen as"
    " well as the others",
    log_odds=(1.0,),
)
LATE_LABELS = Scenario(
    "late-labels",
    "nothing changes; the labels of a month arrive one cadence later, as a drop of their own",
    "score each month before its labels are known, and train and judge on the newest month"
    " whose labels have matured",
    late_labels=True,
)
CORRECTIONS = Scenario(
    "corrections",
    "a column of the third month is delivered with other customers' values, and corrected a"
    " month later",
    "show the correction in the ledger and score with it, and leave what that month's model was"
    " trained on as it was",
    corrected=EVENT,
)
LEAK = Scenario(
    "leak",
    "from the third month on a feature is filled in after churning, so it reveals the label",
    "name the column (check no_feature_tells_the_label, GATE011), and refuse the candidate that"
    " shines by it",
    leak_from=EVENT,
)
BROKEN_FILE = Scenario(
    "broken-file",
    "a file of the third month lacks a column; the month is delivered again after the last one",
    "refuse that month, publish nothing of it, and continue with the others",
    broken=EVENT,
)
CAMPAIGN = Scenario(
    "campaign",
    "the customers on the list are contacted, which saves some and drives a few away; labels"
    " come a month late",
    "see that the model is as good as before although labels say otherwise, and show how many"
    " customers were saved",
    late_labels=True,
    contacts=ContactResponse(),
)
EVENTS = Scenario(
    "events",
    "there is only a log of payments; customers buy at their own rates, pause, and leave unseen",
    "make features and labels from the log, end within 0.02 of the best possible, and replace"
    " nothing without need",
    season=0.1,
    log=True,
)
SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        QUIET,
        SUDDEN_SHIFT,
        GRADUAL_SHIFT,
        COVARIATE_SHIFT,
        SEASONAL,
        LEAVERS,
        LATE_LABELS,
        CORRECTIONS,
        LEAK,
        BROKEN_FILE,
        CAMPAIGN,
        EVENTS,
    )
}


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        UsageError: there is no such scenario; the message lists all.
    """
    if name not in SCENARIOS:
        raise UsageError(
            f"There is no scenario {name!r}: choose one of {', '.join(SCENARIOS)}.",
            code="SCENARIO_UNKNOWN",
        )
    return SCENARIOS[name]
