"""`churn ui` as a user has it running: a drop is copied in, and a model is in production without anyone touching it.

One start of the real webserver, daemon and code server serves every test; nothing here drives the loop.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import churn_platform
from churn_platform.alerting.dagster_ui import free_port, port_is_free
from churn_platform.base.settings import prepare_environment
from churn_platform.definitions import defs
from churn_platform.defs.runner import run_due
from churn_platform.promotion.criteria import CRITERIA
from churn_platform_tests.small_business import (
    CUSTOMERS,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)

pytestmark = pytest.mark.slow
MINUTES = 60
QUERY = """{
  assetNodes {
    assetKey { path }
    description
    groupName
    assetChecksOrError { ... on AssetChecks { checks { name description } } }
    assetMaterializations(limit: 1) { partition }
  }
  repositoriesOrError { ... on RepositoryConnection { nodes {
    jobs { name description }
    sensors { name description sensorState { status } }
    schedules { name description scheduleState { status } }
  } } }
  runsOrError { ... on Runs { results { jobName status tags { key value } } } }
}"""


@dataclass
class Running:
    """A running `churn ui`."""

    process: psutil.Popen
    folder: Path
    port: int
    reports_port: int
    log: Path

    def everyone(self) -> set[psutil.Process]:
        """The process, all below it, and whoever else works in the home or was started on it."""
        found = (
            {self.process, *self.process.children(recursive=True)}
            if self.process.is_running()
            else set()
        )
        for other in psutil.process_iter():
            try:
                if other.cwd().startswith(str(self.folder)) or any(
                    str(self.folder) in word for word in other.cmdline()
                ):
                    found.add(other)
            except psutil.Error:
                continue
        return found

    def ask(self, query: str) -> dict[str, Any]:
        """The answer of the UI's own GraphQL."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answered = json.load(response)
        assert "errors" not in answered, answered["errors"]
        return answered["data"]

    def wait(self, what: str, seconds: float, ready: Callable[[], bool]) -> None:
        """Poll until `ready`; a `churn ui` that has ended or never comes fails with the end of its log."""
        deadline = time.monotonic() + seconds
        while not ready():
            said = self.log.read_text(errors="replace")[-3000:]
            assert self.process.poll() is None, (
                f"`churn ui` ended while waiting until {what}:\n{said}"
            )
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}:\n{said}"
            time.sleep(1)


def decided_promoted_and_scored(folder: Path) -> bool:
    home = open_home(folder)
    record = home.records.read("scores", JANUARY)
    pointer = home.releases.pointer()
    return pointer is not None and record is not None and record["version"] == pointer.version


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """`churn ui` on an empty home of a small business, started as a shell starts a background job: SIGINT ignored."""
    home = make_home(tmp_path_factory.mktemp("daemon") / "home")
    log, port, reports_port = home.folder.parent / "ui.log", free_port(), free_port()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHURN_", "DAGSTER_HOME"))
    }
    environment |= {
        "CHURN_REPORTS_PORT": str(reports_port),
        "PYTHONPATH": str(Path(churn_platform.__file__).parents[1]),
    }
    command = [
        sys.executable,
        "-c",
        "from churn_platform.cli.app import main; main()",
        "ui",
        "--port",
        str(port),
    ]
    with log.open("wb") as stream:
        process = psutil.Popen(
            [*command, "--home", str(home.folder)],
            stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=home.folder.parent,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )  # fmt: skip
    started = Running(process, home.folder, port, reports_port, log)
    yield started
    for left in started.everyone():
        left.kill()


@pytest.fixture(scope="module")
def told(running) -> dict[str, Any]:
    """What the UI knows after a drop was copied in while it ran, and the month was scored."""
    running.wait("the UI answers", 2 * MINUTES, lambda: not port_is_free(running.port))
    deliver(open_home(running.folder), JANUARY)
    running.wait(
        "the month is decided, promoted and scored",
        5 * MINUTES,
        lambda: decided_promoted_and_scored(running.folder),
    )
    runs = "{ runsOrError { ... on Runs { results { status } } } }"
    running.wait(
        "its runs have ended",
        MINUTES,
        lambda: (
            {run["status"] for run in running.ask(runs)["runsOrError"]["results"]} == {"SUCCESS"}
        ),
    )
    return running.ask(QUERY)


def test_a_drop_that_is_copied_in_becomes_a_model_in_production_and_a_ranked_list(told, running):
    home = open_home(running.folder)
    [decision] = home.records.decisions()
    assert (decision["as_of"], decision["trigger"], decision["decision"]) == (
        "2024-01-31",
        "first",
        "promoted",
    )
    assert (home.releases.pointer().version, home.registry.alias("production")) == (1, 1)
    scores = home.records.frame("scores", JANUARY)
    assert len(scores) == CUSTOMERS
    assert set(scores["version"]) == {1}
    assert home.progress().next_step() is None


def test_the_sensors_requested_one_run_of_each_job(told):
    runs = [
        (run["jobName"], run["status"], {t["key"]: t["value"] for t in run["tags"]})
        for run in told["runsOrError"]["results"]
    ]
    assert sorted((job, status, tags["dagster/sensor_name"]) for job, status, tags in runs) == [
        ("monthly", "SUCCESS", "drop_sensor"),
        ("retraining", "SUCCESS", "drift_sensor"),
    ]
    assert {tags["dagster/partition"] for _, _, tags in runs} == {"2024-01-31"}


def test_every_asset_and_check_is_in_the_ui_with_a_group_and_a_description(told):
    assets = {node["assetKey"]["path"][0]: node for node in told["assetNodes"]}
    assert len(assets) == 13
    for name, node in assets.items():
        assert node["description"], name
        assert node["groupName"] != "default", name
        assert node["assetMaterializations"] == [{"partition": "2024-01-31"}], name
    checks = {
        check["name"]: check
        for node in assets.values()
        for check in node["assetChecksOrError"].get("checks", [])
    }
    assert {criterion.name for criterion in CRITERIA} < set(checks)
    assert set(checks) == {key.name for key in defs().resolve_asset_graph().asset_check_keys}
    assert all(check["description"] for check in checks.values())


def test_every_job_sensor_and_schedule_is_in_the_ui_described_and_on(told):
    [repository] = told["repositoriesOrError"]["nodes"]
    jobs = {
        job["name"]: job["description"]
        for job in repository["jobs"]
        if not job["name"].startswith("__")
    }
    answers = {
        "approval_job",
        "rejection_job",
        "rollback_job",
        "unblocking_job",
        "retraining_request_job",
        "canary_job",
        "canary_raise_job",
        "canary_end_job",
        "shadow_job",
        "model_test_job",
        "model_test_end_job",
    }
    assert set(jobs) == {"monthly", "retraining", "pull"} | answers
    assert all(jobs.values())
    sensors = {sensor["name"]: sensor for sensor in repository["sensors"]}
    names = {"drop_sensor", "drift_sensor", "experiments_sensor", "alert_sensor"}
    assert set(sensors) == names
    assert {sensor["sensorState"]["status"] for sensor in sensors.values()} == {"RUNNING"}
    schedules = {schedule["name"]: schedule for schedule in repository["schedules"]}
    assert set(schedules) == {"monthly_schedule", "pull_schedule"}
    assert {schedule["scheduleState"]["status"] for schedule in schedules.values()} == {"RUNNING"}
    assert all(found["description"] for found in [*sensors.values(), *schedules.values()])


def test_the_reports_are_where_the_ui_links_to(told, running):
    url = f"http://127.0.0.1:{running.reports_port}/2024-01-31/at_risk.csv"
    with urllib.request.urlopen(url, timeout=30) as response:
        assert response.read().startswith(b"member,probability,rank,")


def test_the_log_holds_no_warning(told, running):
    log = running.log.read_text(errors="replace")
    assert f"Dagster UI: http://127.0.0.1:{running.port}" in log
    assert (
        re.findall(
            r"^.*(?:warning|error|traceback|exception).*$", log, flags=re.IGNORECASE | re.MULTILINE
        )
        == []
    )


def test_the_command_line_beside_the_daemon_does_nothing_twice(told, running):
    """`churn run` starts while the daemon's own run of the same correction is under way: one waits for the other."""
    home, tables = open_home(running.folder), month_tables(JANUARY)
    corrected = tables["visits"].assign(hours=tables["visits"]["hours"] + 1)
    deliver(home, JANUARY, tables | {"visits": corrected})
    states = "{ runsOrError { ... on Runs { results { status } } } }"

    def statuses() -> set[str]:
        return {run["status"] for run in running.ask(states)["runsOrError"]["results"]}

    running.wait("the correction's run has started", 2 * MINUTES, lambda: "STARTED" in statuses())
    command = [sys.executable, "-c", "from churn_platform.cli.app import main; main()"]
    for words in (["run"], ["verify"]):
        done = subprocess.run(
            [*command, *words, "--home", str(running.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    running.wait("its runs have ended", 2 * MINUTES, lambda: statuses() == {"SUCCESS"})
    acts = Counter(receipt.act for receipt in open_home(running.folder).ledger.receipts())
    assert (acts["drop accepted"], acts["drop corrected"], acts["promotion done"]) == (1, 1, 1)
    assert open_home(running.folder).releases.versions() == [1]


def works(process):
    """Whether a process has not ended; one that has, and that nobody has asked for its exit code yet, has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_pressed_twice_within_a_run_ends_every_process_and_the_next_run_completes_the_month(
    told, running
):
    deliver(open_home(running.folder), FEBRUARY)
    started = (
        "{ runsOrError(filter: {statuses: [STARTED]}) { ... on Runs { results { jobName } } } }"
    )
    running.wait(
        "February's run has started",
        2 * MINUTES,
        lambda: running.ask(started)["runsOrError"]["results"],
    )
    everyone = running.everyone()
    assert len(everyone) >= 6, (
        "churn, code server with its worker and its run, webserver, daemon, report server"
    )
    os.kill(running.process.pid, signal.SIGINT)
    time.sleep(1)
    os.kill(running.process.pid, signal.SIGINT)
    assert running.process.wait(timeout=30) == 0
    assert [left for left in everyone | running.everyone() if works(left)] == []
    assert port_is_free(running.port)

    home = open_home(running.folder)
    prepare_environment(home.settings)
    ran = [(r.step.kind, r.step.as_of) for r in run_due(home, lambda _: None, lambda *_: None)]
    assert ran[-1] == ("retraining", FEBRUARY)
    assert [(d["as_of"], d["decision"]) for d in open_home(home.folder).records.decisions()] == [
        ("2024-01-31", "promoted"),
        ("2024-02-29", "promoted"),
    ]
