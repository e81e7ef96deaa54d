"""The second month through faults of everything around it, and the same results as the embedded loop, bit for bit.

Goes on where `test_stack.py` ends, on the same start of every service.
"""

import json
import os
import signal
import time

import httpx
import numpy as np
import psutil
import pytest

from churn_platform_tests.real_months import FEBRUARY, JANUARY
from churn_platform_tests.system.stack.asking import (
    MINUTES,
    drop,
    due,
    predict,
    promoted,
    runs,
    until_all_answer,
)
from churn_platform_tests.system.test_dashboards import expressions

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", autouse=True)
def january_done(stack, opened):
    """The first month is in production, also when this file is run alone."""
    if not promoted(opened(), 1, JANUARY):
        drop(stack, JANUARY)
        stack.wait(
            "version 1 is in production", 8 * MINUTES, lambda: promoted(opened(), 1, JANUARY)
        )


def test_a_month_is_completed_through_faults_of_everything_around_it(stack, opened):
    """Postgres restarts within a run, MLflow is away while a model is trained, the daemon and a worker are killed."""
    drop(stack, FEBRUARY)
    stack.wait(
        "February's run has started", 3 * MINUTES, lambda: ("monthly", "STARTED") in runs(stack)
    )
    time.sleep(5)
    stack.stop("postgres", signal.SIGINT)  # a fast shutdown: every connection is cut
    time.sleep(3)
    stack.start("postgres")
    took = stack.wait("Postgres is back", MINUTES, lambda: stack.healthy("postgres"))
    stack.figures["seconds_postgres"] = round(took)
    assert predict(stack).status_code == 200

    def training():
        try:
            return any(job == "retraining" and status == "STARTED" for job, status in runs(stack))
        except (
            httpx.HTTPError,
            AssertionError,
        ):  # the webserver finds its database again by itself
            return False

    stack.wait("February's retraining has started", 8 * MINUTES, training)
    stack.stop("mlflow")
    assert predict(stack).status_code == 200
    stack.kill("dagster-daemon")
    time.sleep(20)
    stack.start("mlflow")

    workers = [
        child
        for child in psutil.Process(stack.processes["api"].pid).children(recursive=True)
        if "_bentoml_impl.worker.service" in " ".join(child.cmdline())
    ]
    assert len(workers) == 2
    workers[0].kill()
    answers = [predict(stack).status_code for _ in range(20)]
    assert answers.count(200) == 20
    took = stack.wait(
        "version 2 is in production",
        10 * MINUTES,
        lambda: promoted(opened(), 2, FEBRUARY),
        lambda: due(opened()),
    )
    stack.figures["seconds_to_production_with_faults"] = round(took)
    assert stack.restarts["dagster-daemon"] >= 1
    stack.until_healthy("dagster-daemon")
    stack.wait("the API serves it", 30, lambda: predict(stack).json()["model"]["version"] == 2)


@pytest.fixture(scope="module")
def embedded(request, stack):
    """Both months by the embedded loop, which must not see the servers that the stack's home has named."""
    with pytest.MonkeyPatch.context() as without:
        for name in [name for name in os.environ if name.startswith(("CHURN_", "DAGSTER_HOME"))]:
            without.delenv(name)
        began = time.monotonic()
        request.getfixturevalue("january_home")
        stack.figures["seconds_embedded_month"] = round(time.monotonic() - began)
        return request.getfixturevalue("february_home")


def test_embedded_and_stack_come_to_the_same_decisions_scores_and_digests(stack, opened, embedded):
    there, here = opened(), embedded
    told = {"decided_at", "at", "time", "duration_seconds"}
    for month in (JANUARY, FEBRUARY):
        mine, other = (
            [d for d in h.records.decisions() if d["as_of"] == month.isoformat()]
            for h in (there, here)
        )
        strip = [
            {key: value for key, value in d.items() if key not in told} for d in (*mine, *other)
        ]
        assert len(strip) == 2
        assert strip[0] == strip[1]
        left, right = there.records.frame("scores", month), here.records.frame("scores", month)
        assert list(left.columns) == list(right.columns)
        np.testing.assert_array_equal(
            left["probability"].to_numpy(), right["probability"].to_numpy()
        )
        digest = [h.records.read("training_dataset", month)["digest"] for h in (there, here)]
        assert digest[0] == digest[1]
    for version in (1, 2):
        left, right = (h.releases.manifest(version).model_dump() for h in (there, here))
        # These two tell when they were made; what the model answers is in the golden predictions.
        for manifest in (left, right):
            del (
                manifest["created_at"],
                manifest["files"]["model.skops"],
                manifest["files"]["passport.json"],
            )
        assert left == right


def test_the_ledger_holds_one_promotion_of_each_version_and_is_sound(stack, opened):
    home = opened()
    assert home.ledger.verify(home.releases.pointer().ledger_head) is None
    acts = [
        json.loads(line)["act"]
        for line in (stack.home / "ledger" / "receipts.jsonl").read_text().splitlines()
    ]
    assert acts.count("promotion done") == 2


def test_people_were_told_of_both_promotions_once(stack, told):
    _, messages = told
    stack.wait(
        "both messages came", MINUTES, lambda: sum("romoted" in m["title"] for m in messages) >= 2
    )
    titles = [message["title"] for message in messages if "romoted" in message["title"]]
    assert len(titles) == len(set(titles)) == 2, [message["title"] for message in messages]


def test_a_redis_that_lost_everything_is_filled_again_by_itself(stack):
    stack.stop("redis")
    assert predict(stack).status_code == 503
    for path in (stack.folder / "redis").iterdir():
        path.unlink()
    stack.start("redis")
    took = stack.wait("the rows are back", 5 * MINUTES, lambda: predict(stack).status_code == 200)
    stack.figures["seconds_redis"] = round(took)
    assert predict(stack).json()["model"]["version"] == 2


def test_what_each_service_takes(stack):
    found = stack.memory()
    stack.figures.update({f"megabytes_{name}": size for name, size in found.items()})
    limits = {
        name: service.said["deploy"]["resources"]["limits"]["memory"]
        for name, service in stack.composed.services.items()
    }
    scale = {"m": 1, "g": 1000}
    for name, size in found.items():
        assert size < int(limits[name][:-1]) * scale[limits[name][-1]], name


def test_every_expression_of_dashboard_and_alerts_returns_a_series(stack):
    until_all_answer(stack, expressions())
