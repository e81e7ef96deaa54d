"""The loop on the gym without Dagster: each step as its asset does it, and `churn run` as the steps that are due."""

import datetime as dt

from churn_platform.base.errors import DataError
from churn_platform.loop.progress import Progress
from churn_platform.loop.training_requests import record_refused_training
from churn_platform.maintenance.erasing import finish as finish_forgetting
from churn_platform.promotion.decision import Trigger
from churn_platform.scoring.scoring import score_month
from churn_platform.services import Services
from churn_platform.training.candidate import candidate_digest
from churn_platform.training.model import Recipe
from churn_platform.training.registry import CANDIDATE
from churn_platform_tests.small_business import candidate, monthly, open_home

CODE = "code"


def train(home: Services, as_of: dt.date) -> int | None:
    """`candidate_model`: the same data, recipe and code are the same version; None where it cannot be trained."""
    home.registry.prepare()
    dataset = home.training_datasets.load(as_of)
    found = home.registry.find(candidate_digest(dataset, Recipe.of(home.contract), CODE))
    if found is None:
        try:
            return candidate(home, as_of, CODE)
        except DataError as error:
            record_refused_training(home, as_of, dataset, str(error))
            return None
    home.registry.set_alias(CANDIDATE, found)
    return found


def retrain(home: Services, as_of: dt.date, trigger: Trigger) -> None:
    """The job `retraining`."""
    if train(home, as_of) is None:
        return
    home.decision_maker.decide(as_of, trigger)
    home.decision_maker.carry_out()
    score_month(home, as_of)


def run(home: Services) -> list[str]:
    """`churn run`: what is due, oldest first, until nothing is; the steps that ran."""
    ran: list[str] = []
    with home.exclusive():
        home.promotions.recover()
        finish_forgetting(home)
        while (step := Progress(home).next_step()) is not None:
            assert len(ran) < 20, f"the loop goes round in circles: {ran}"
            if step.kind == "monthly":
                monthly(home, step.as_of)
            elif step.kind == "retraining":
                retrain(home, step.as_of, step.trigger)
            else:
                score_month(home, step.as_of)
            ran.append(f"{step.kind} {step.as_of}")
            home = open_home(home.folder, home.now)
    return ran
