"""The sequence of a month: its order, and where it ends."""

import datetime as dt
from types import SimpleNamespace

import pytest

from churn_platform.definitions import defs
from churn_platform.loop.retraining import RetrainingAnswer
from churn_platform.loop.run_month import MonthRun, RefusedTraining, retrain, run_month

MARCH = dt.date(2024, 3, 31)
ASSETS = {
    "candidate": "candidate_model",
    "decision": "promotion_decision",
    "production": "production_model",
}
"""The asset of each step that has another name."""


class RecordedSteps:
    """Steps that record their order."""

    def __init__(self, answer=None, candidate=None):
        self.called = []
        self.answer = answer
        self.made = candidate
        self.judged = SimpleNamespace(candidate_version=2)

    def __getattr__(self, name):
        def step(*asked):
            self.called.append(name)
            return {"retraining": self.answer, "candidate": self.made, "decision": self.judged}.get(
                name
            )

        return step


DRIFT = RetrainingAnswer("drift", "Drift.", "key")


def test_a_quiet_month_ends_with_its_scores_and_the_answer_of_the_policy():
    answer = RetrainingAnswer(None, "Nothing asks for a new model.", "key")
    steps = RecordedSteps(answer)
    assert run_month(steps, MARCH) == MonthRun(MARCH, answer)
    assert steps.called == [
        "training_dataset",
        "drift_report",
        "performance",
        "scores",
        "retraining",
    ]


def test_a_month_that_asks_for_a_model_is_decided_and_scored_again():
    steps = RecordedSteps(DRIFT)
    assert run_month(steps, MARCH) == MonthRun(MARCH, DRIFT, decision=steps.judged)
    assert steps.called[5:] == ["candidate", "decision", "production", "scores"]


def test_a_refused_training_ends_the_month_and_production_stays():
    refused = RefusedTraining("Too few churners.")
    steps = RecordedSteps(DRIFT, refused)
    assert run_month(steps, MARCH) == MonthRun(MARCH, DRIFT, refused=refused)
    assert steps.called[5:] == ["candidate"]


@pytest.mark.parametrize("job", ["monthly", "retraining"])
def test_a_job_of_dagster_runs_the_assets_in_the_same_order(job):
    steps = RecordedSteps(RetrainingAnswer(None, "", ""))
    if job == "monthly":
        run_month(steps, MARCH)
        steps.called.remove("retraining")
    else:
        retrain(steps, MARCH, "drift")
    expected = [ASSETS.get(name, name) for name in steps.called]
    graph = defs().resolve_job_def(job).graph
    order = [node.name for node in graph.nodes_in_topological_order]
    earlier = {
        (before, after)
        for number, before in enumerate(expected)
        for after in expected[number + 1 :]
        if order.index(before) > order.index(after)
    }
    assert earlier <= {("training_dataset", "drift_report"), ("drift_report", "performance")}, (
        "only steps that do not read each other may change places"
    )
    assert expected[-1] == [name for name in order if name in expected][-1] == "scores"
