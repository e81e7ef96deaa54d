"""What people and machines ask of the stack: the ways in, shared by its tests."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request

import httpx

from churn_platform_tests.real_months import REAL

MINUTES = 60
CUSTOMER = "7590-VHVEG"


def drop(stack, month):
    """Copy a real month in, as a person would."""
    shutil.copytree(REAL / month.isoformat(), stack.home / "drops" / month.isoformat())


def deliver(stack, month):
    """Hand a real month over by the script for it; its `docker compose -f FILE exec -T SERVICE` runs the rest here."""
    docker = stack.folder / "bin" / "docker"
    docker.parent.mkdir(exist_ok=True)
    docker.write_text('#!/bin/sh\nshift 6\nexec "$@"\n')
    docker.chmod(0o755)
    said = stack.environment("dagster-code")
    subprocess.run(
        ["sh", stack.docker / "deliver.sh", REAL / month.isoformat(), month.isoformat()],
        env=said | {"PATH": f"{docker.parent}:{said['PATH']}"}, cwd=stack.home, check=True,
    )  # fmt: skip


def promoted(home, version, month) -> bool:
    scores, pointer = home.records.read("scores", month), home.releases.pointer()
    done = (
        pointer is not None
        and pointer.version == version
        and scores is not None
        and scores["version"] == version
    )
    return done and home.progress().next_step() is None


def due(home) -> str:
    return f"due: {home.progress().next_step()}; production: {home.releases.pointer()}; months: {home.progress().months()}"


def graphql(stack, query):
    url = f"http://127.0.0.1:{stack.port('dagster-webserver', 3000)}/graphql"
    answered = httpx.post(url, json={"query": query}, timeout=30).json()
    assert "errors" not in answered, answered["errors"]
    return answered["data"]


def runs(stack):
    query = "{ runsOrError { ... on Runs { results { jobName status tags { key value } } } } }"
    return [
        (run["jobName"], run["status"]) for run in graphql(stack, query)["runsOrError"]["results"]
    ]


def predict(stack, key=CUSTOMER, **body):
    return httpx.post(
        f"http://127.0.0.1:{stack.port('api', 3002)}/predict",
        json={"user_id": key, **body}, headers={"Authorization": f"Bearer {stack.api_key}"}, timeout=10,
    )  # fmt: skip


def through_the_proxy(stack, name, path="/", method="GET", **asked):
    """Ask a name that only the proxy knows, with its own certificate."""
    port = stack.port("proxy", 8443)
    with httpx.Client(verify=False) as client:
        return client.request(
            method, f"https://127.0.0.1:{port}{path}", timeout=20,
            headers={"Host": f"{name}.localhost", **asked.pop("headers", {})},
            extensions={"sni_hostname": f"{name}.localhost"}, **asked,
        )  # fmt: skip


def measured(stack, expression):
    port, asked = stack.port("prometheus", 9090), urllib.parse.quote(expression)
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/api/v1/query?query={asked}", timeout=10
    ) as response:
        return json.load(response)["data"]["result"]


def until_all_answer(stack, expressions):
    """Wait until Prometheus has a series for every expression, by its place in dashboard or alerts."""
    silent = dict(expressions)

    def all_answer():
        predict(stack)
        for place in [place for place, asked in silent.items() if measured(stack, asked)]:
            del silent[place]
        return not silent

    stack.wait("every expression returns a series", 3 * MINUTES, all_answer, lambda: str(silent))
