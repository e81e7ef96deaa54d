"""Real scrapes over HTTP: every source in one answer, a fault in one of them, and the round that tells people."""

import dataclasses
import re
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from churn_platform.alerting.dagster_ui import DAEMON, free_port
from churn_platform.alerting.exporter import HomeCollector, Watch
from churn_platform.alerting.metrics import DagsterState, JobState
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.receiver import receiving

LABELS = {"source", "daemon", "job", "act", "receiver"}


class Dagster:
    """What Dagster's storage says, to be changed by a test (`defs/health.py` reads the real one)."""

    def __init__(self):
        self.state = DagsterState({"sensor": time.time()}, {"monthly": JobState(1.0, 2.0)})

    def __call__(self):
        return self.state

    def silent_for(self, seconds):
        self.state = dataclasses.replace(self.state, heartbeats={"sensor": time.time() - seconds})


@pytest.fixture
def exporter():
    """Serve a home's metrics; scrape it, and the sentences it complained in."""
    servers = []

    def start(home):
        complaints, registry = [], CollectorRegistry()
        registry.register(HomeCollector(home.metrics.sources(Dagster()), complaints.append))
        server, _ = start_http_server(0, addr="127.0.0.1", registry=registry)
        servers.append(server)

        def scrape():
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
                return list(text_string_to_metric_families(answer.read().decode()))

        return scrape, complaints

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def samples(families):
    found = [sample for family in families for sample in family.samples]
    return {(s.name, *s.labels.values()) if s.labels else s.name: s.value for s in found}


def test_one_scrape_has_every_part_of_the_home_with_help_texts_units_and_bounded_labels(
    exporter, january
):
    scrape, complaints = exporter(january)
    families = scrape()
    found = samples(families)
    up = {key[1] for key, value in found.items() if key[0] == "churn_source_up" and value}
    sources = "daemon snapshot production drift performance ledger verify alerts"
    assert up == set(sources.split())
    assert found["churn_production_version"] == 1
    assert found["churn_daemon_up"] == 1
    for family in families:
        assert re.fullmatch(r"churn_[a-z_]+", family.name)
        assert re.fullmatch(r"[A-Z01].*[.]", family.documentation), family.name
        assert {label for sample in family.samples for label in sample.labels} <= LABELS
        assert ("timestamp" in family.name) == family.name.endswith("timestamp_seconds")
    assert complaints == []


def test_every_metric_of_a_home_is_in_the_documents(exporter, february_decided):
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    names = {sample.name for family in exporter(february_decided)[0]() for sample in family.samples}
    assert len(names) > 25
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_a_change_of_the_home_is_in_the_next_scrape(exporter, january_copy):
    scrape, _ = exporter(january_copy)
    assert samples(scrape())["churn_production_stand_down"] == 0
    record_act(january_copy.ledger, act="stand-down began", subject="version 1")
    assert samples(scrape())["churn_production_stand_down"] == 1


def test_a_fault_of_one_part_is_a_metric_and_blanks_no_other(exporter, january_copy):
    scrape, complaints = exporter(january_copy)
    whole = samples(scrape())
    (january_copy.releases.folder / "production").write_text("{")
    (january_copy.folder / "ledger" / "receipts.jsonl").write_bytes(b"garbled\n")
    for _ in range(3):
        found = samples(scrape())
    down = {key[1] for key, value in found.items() if key[0] == "churn_source_up" and value == 0}
    assert down == {"production", "performance", "ledger"}
    assert found["churn_months"] == whole["churn_months"]
    assert found["churn_daemon_up"] == 1
    assert "churn_production_version" not in found
    assert {complaint.split(" ")[0] for complaint in complaints} == down
    assert len(complaints) == 3


def test_a_scrape_is_cheap(exporter, january):
    scrape, _ = exporter(january)
    scrape()
    took = [
        sum(v for k, v in samples(scrape()).items() if k[0] == "churn_source_seconds")
        for _ in range(5)
    ]
    assert min(took) < 0.05


@pytest.fixture
def watching(january_copy):
    """A watch of a home with a channel, with its Dagster and its complaints."""
    with receiving() as receiver:
        home = open_home(january_copy.folder, alert_urls=receiver.url)
        dagster, complaints = Dagster(), []
        watch = Watch(home.metrics, home.alerts, dagster, complaints.append)

        def rounds(*silences):
            for silence in silences:
                dagster.silent_for(silence)
                watch.round()
            return receiver.titles

        yield home, rounds, receiver
        assert complaints == []


DOWN_AND_BACK = ["gym: the daemon is down", "gym: the daemon runs again"]


def test_the_death_of_the_daemon_and_its_return_are_reported_once_each(watching):
    _, rounds, receiver = watching
    assert rounds(0, 200, 300, 400, 0, 0) == DOWN_AND_BACK
    assert "`churn ui`" in receiver.got[0]["body"]


def test_a_sign_of_life_from_before_the_daemon_was_reported_as_down_is_none(watching):
    home, rounds, receiver = watching
    rounds(0, 20)
    home.alerts.seen(DAEMON, up=False, sentence="It ended by itself.")
    assert rounds(25, 200, 0) == DOWN_AND_BACK
    assert receiver.got[0]["body"] == "It ended by itself."


def test_a_home_that_never_had_a_daemon_misses_none(watching):
    home, _, receiver = watching
    Watch(home.metrics, home.alerts, lambda: DagsterState({}, {}), print).round()
    assert receiver.got == []


def test_a_round_survives_that_dagsters_storage_is_away_and_verifies_all_the_same(january_copy):
    def away():
        raise ConnectionError("the database is away")

    complaints = []
    home = open_home(january_copy.folder, alert_urls="json://127.0.0.1:1/x")
    Watch(home.metrics, home.alerts, away, complaints.append).round()
    assert complaints == ["the round failed: ConnectionError: the database is away"]
    assert [metric.name for metric in home.metrics.verification()][:1] == ["churn_verify_sound"]


def test_an_mlflow_that_is_away_is_no_break_says_so_once_and_is_asked_again_until_it_answers(
    january_copy,
):
    kept, complaints = january_copy.folder, []
    away = open_home(kept, mlflow_uri=f"http://127.0.0.1:{free_port()}")
    metrics = away.metrics
    watch = Watch(metrics, away.alerts, Dagster(), complaints.append)
    collector = HomeCollector({"verify": metrics.verification}, lambda _: None)
    for _ in range(2):
        watch.round()
        found = samples(collector.collect())
        assert found["churn_source_up", "verify"] == 0
        assert "churn_verify_sound" not in found
    [said] = complaints
    assert said.startswith("verification: not verified: MLflow at http://127.0.0.1:")
    metrics.verify_home = open_home(kept).metrics.verify_home
    watch.round()
    found = samples(collector.collect())
    assert (found["churn_source_up", "verify"], found["churn_verify_sound"]) == (1, 1)
