"""The loop on the real stack: two real months dropped in, and everything that people and machines ask of it.

One story in order, on one start of every service; what it comes to is compared with the embedded loop, bit for bit.
"""

import json
import os
import shutil
import signal
import time
import urllib.parse
import urllib.request

import httpx
import numpy as np
import psutil
import pytest

from churn_platform.adapters.progress import Progress
from churn_platform_tests.real_months import FEBRUARY, JANUARY, REAL, open_home
from churn_platform_tests.test_dashboards import expressions

pytestmark = pytest.mark.stack
MINUTES = 60
CUSTOMER = "7590-VHVEG"


@pytest.fixture(scope="session")
def opened(stack):
    """How to open the stack's home in this process, with the settings of the service that runs the jobs."""
    environment = stack.environment("dagster-code")
    os.environ.update({name: environment[name] for name in environment if name.startswith(("MLFLOW_", "PG"))})

    def fresh():
        return open_home(
            stack.home,
            dagster_postgres=environment["CHURN_DAGSTER_POSTGRES"],
            mlflow_uri=environment["CHURN_MLFLOW_URI"],
        )

    return fresh


def drop(stack, month):
    """Copy a real month in, as a person would."""
    shutil.copytree(REAL / month.isoformat(), stack.home / "drops" / month.isoformat())


def promoted(home, version, month) -> bool:
    scores, pointer = home.records.read("scores", month), home.releases.pointer()
    done = pointer is not None and pointer.version == version and scores is not None and scores["version"] == version
    return done and Progress(home).next_step() is None


def due(home) -> str:
    return (
        f"due: {Progress(home).next_step()}; production: {home.releases.pointer()}; months: {Progress(home).months()}"
    )


def graphql(stack, query):
    url = f"http://127.0.0.1:{stack.port('dagster-webserver', 3000)}/graphql"
    answered = httpx.post(url, json={"query": query}, timeout=30).json()
    assert "errors" not in answered, answered["errors"]
    return answered["data"]


def runs(stack):
    query = "{ runsOrError { ... on Runs { results { jobName status tags { key value } } } } }"
    return [(run["jobName"], run["status"]) for run in graphql(stack, query)["runsOrError"]["results"]]


def predict(stack, key=CUSTOMER, **body):
    return httpx.post(
        f"http://127.0.0.1:{stack.port('api', 3002)}/predict",
        json={"user_id": key, **body}, headers={"Authorization": f"Bearer {stack.api_key}"}, timeout=10,
    )  # fmt: skip


def through_the_proxy(stack, name, path="/", **asked):
    """Ask a name that only the proxy knows, with its own certificate."""
    port = stack.port("proxy", 8443)
    with httpx.Client(verify=False) as client:
        return client.get(
            f"https://127.0.0.1:{port}{path}", timeout=20,
            headers={"Host": f"{name}.localhost", **asked.pop("headers", {})},
            extensions={"sni_hostname": f"{name}.localhost"}, **asked,
        )  # fmt: skip


def measured(stack, expression):
    port, asked = stack.port("prometheus", 9090), urllib.parse.quote(expression)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={asked}", timeout=10) as response:
        return json.load(response)["data"]["result"]


def test_a_real_month_that_is_dropped_in_is_in_production_without_hands(stack, opened):
    drop(stack, JANUARY)
    took = stack.wait(
        "version 1 is in production", 6 * MINUTES, lambda: promoted(opened(), 1, JANUARY), lambda: due(opened())
    )
    stack.figures["seconds_to_production"] = round(took)
    assert opened().registry.alias("production") == 1
    assert sorted(runs(stack)) == [("monthly", "SUCCESS"), ("retraining", "SUCCESS")]
    assert not (stack.home / "mlflow.db").exists()
    assert list((stack.home / "dagster").glob("**/*.db")) == []
    assert any((stack.folder / "mlflow").rglob("model.skops"))


def test_the_api_answers_with_that_version_and_asks_for_a_key(stack):
    stack.wait("the API is ready", MINUTES, lambda: predict(stack).status_code == 200)
    answer = predict(stack).json()
    assert answer["model"]["version"] == 1
    assert 0 < answer["probability"] < 1
    url = f"http://127.0.0.1:{stack.port('api', 3002)}"
    assert httpx.post(f"{url}/predict", json={"user_id": CUSTOMER}).status_code == 401
    assert httpx.get(f"{url}/metrics").status_code == 401


def test_the_proxy_asks_for_a_login_before_what_has_none_and_leads_to_each_name(stack):
    assert through_the_proxy(stack, "dagster").status_code == 401
    login = ("churn", stack.proxy_password)
    assert "Dagster" in through_the_proxy(stack, "dagster", auth=login).text
    listed = through_the_proxy(stack, "dagster", "/reports/2024-01-31/at_risk.csv", auth=login)
    assert listed.text.startswith("user_id,probability")
    assert through_the_proxy(stack, "mlflow", "/api/2.0/mlflow/experiments/search").status_code == 401
    key = {"Authorization": f"Bearer {stack.api_key}"}
    assert through_the_proxy(stack, "api", "/model", headers=key).json()["version"] == 1
    assert through_the_proxy(stack, "api", "/metrics", headers=key).status_code == 404


def test_every_expression_of_dashboard_and_alerts_returns_a_series(stack):
    predict(stack)
    silent = set(expressions())

    def all_answer():
        predict(stack)
        silent.difference_update({place for place in silent if measured(stack, expressions()[place])})
        return not silent

    try:
        stack.wait("every expression returns a series", 3 * MINUTES, all_answer)
    except AssertionError:
        pytest.fail(f"these return nothing: {sorted((place, expressions()[place]) for place in silent)}")


def test_a_month_is_completed_through_faults_of_everything_around_it(stack, opened):
    """Postgres restarts within a run, MLflow is away while a model is trained, the daemon and a worker are killed."""
    drop(stack, FEBRUARY)
    stack.wait("February's run has started", 3 * MINUTES, lambda: ("monthly", "STARTED") in runs(stack))
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
        except (httpx.HTTPError, AssertionError):  # the webserver finds its database again by itself
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
        "version 2 is in production", 10 * MINUTES, lambda: promoted(opened(), 2, FEBRUARY), lambda: due(opened())
    )
    stack.figures["seconds_to_production_with_faults"] = round(took)
    assert stack.restarts["dagster-daemon"] >= 1
    stack.until_healthy("dagster-daemon")
    stack.wait("the API serves it", 30, lambda: predict(stack).json()["model"]["version"] == 2)


def test_embedded_and_stack_come_to_the_same_decisions_scores_and_digests(stack, opened, february_home):
    there, here = opened(), february_home
    told = {"decided_at", "at", "time", "duration_seconds"}
    for month in (JANUARY, FEBRUARY):
        mine, other = ([d for d in h.records.decisions() if d["as_of"] == month.isoformat()] for h in (there, here))
        strip = [{key: value for key, value in d.items() if key not in told} for d in (*mine, *other)]
        assert len(strip) == 2
        assert strip[0] == strip[1]
        left, right = there.records.frame("scores", month), here.records.frame("scores", month)
        assert list(left.columns) == list(right.columns)
        np.testing.assert_array_equal(left["probability"].to_numpy(), right["probability"].to_numpy())
        digest = [h.records.read("training_dataset", month)["digest"] for h in (there, here)]
        assert digest[0] == digest[1]
    for version in (1, 2):
        manifests = [h.releases.manifest(version).model_dump() for h in (there, here)]
        assert manifests[0]["files"] == manifests[1]["files"]


def test_the_ledger_holds_one_promotion_of_each_version_and_is_sound(stack, opened):
    home = opened()
    assert home.ledger.verify(home.releases.pointer().ledger_head) is None
    acts = [json.loads(line)["act"] for line in (stack.home / "ledger" / "receipts.jsonl").read_text().splitlines()]
    assert acts.count("promotion done") == 2


def test_people_were_told_of_both_promotions_once(stack, told):
    _, messages = told
    stack.wait("both messages came", MINUTES, lambda: sum("romoted" in m["title"] for m in messages) >= 2)
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
