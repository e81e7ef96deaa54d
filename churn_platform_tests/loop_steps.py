"""The loop on the gym without Dagster: each step as its asset does it, and `churn run` as the steps that are due."""

import datetime as dt

from churn_platform.loop import run_month
from churn_platform.promotion.decision import Trigger
from churn_platform.services import Services
from churn_platform_tests.small_business import monthly, open_home


def train(home: Services, as_of: dt.date) -> object:
    """`candidate_model`."""
    return home.month.candidate(as_of)


def retrain(home: Services, as_of: dt.date, trigger: Trigger) -> None:
    """The job `retraining`."""
    run_month.retrain(home.month, as_of, trigger)
    home = open_home(home.folder, home.now)
    home.month.contact_plan(as_of)
    home.month.experiments(as_of)


def run(home: Services) -> list[str]:
    """`churn run`: what is due, oldest first, until nothing is; the steps that ran."""
    ran: list[str] = []
    with home.exclusive():
        home.run_start.complete()
        while (step := home.progress().next_step()) is not None:
            assert len(ran) < 20, f"the loop goes round in circles: {ran}"
            if step.kind == "monthly":
                monthly(home, step.as_of)
            elif step.kind == "retraining":
                retrain(home, step.as_of, step.trigger)
            else:
                home.month.scores(step.as_of)
                home.month.contact_plan(step.as_of)
                home.month.experiments(step.as_of)
            ran.append(f"{step.kind} {step.as_of}")
            home = open_home(home.folder, home.now)
    return ran
