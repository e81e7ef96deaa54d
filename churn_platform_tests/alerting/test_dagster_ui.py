"""The UI's processes: bound to this machine alone, started together, ended together."""

import signal
import socket
import subprocess
import sys

import pytest

from churn_platform.alerting.dagster_ui import (
    commands,
    free_port,
    free_ports,
    port_is_free,
    report_url,
    serve_ui,
    stop,
)
from churn_platform.base.errors import UsageError
from churn_platform_tests.small_business import make_home, open_home

STUBBORN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); signal.pause()"
# Set, not inherited: a shell starts its background jobs with SIGINT ignored.
POLITE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); print('up', flush=True); signal.pause()"


@pytest.fixture
def taken():
    """A port of 127.0.0.1 that something listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def child():
    """Start a Python child and wait until it is up; those left over are killed."""
    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_port_is_free_until_something_listens_on_it(taken):
    assert not port_is_free(taken)
    port = free_port()
    assert port != taken
    assert port_is_free(port)


def test_free_ports_differ_and_are_none_that_an_outgoing_connection_takes():
    found = free_ports(200)
    assert len(set(found)) == 200
    assert max(found) < 32_768


@pytest.mark.parametrize("which", ["ui", "reports"])
def test_a_taken_port_is_said_before_anything_starts(tmp_path, taken, which):
    home = open_home(
        make_home(tmp_path / "home").folder,
        reports_port=taken if which == "reports" else free_port(),
    )
    said, remedy = [], "--port" if which == "ui" else "CHURN_REPORTS_PORT"
    with pytest.raises(UsageError, match=rf"{taken}.*{remedy}") as refused:
        serve_ui(home, home.alerts, taken if which == "ui" else free_port(), said.append)
    assert (refused.value.code, said) == ("PORT_TAKEN", [])
    assert not (home.folder / "dagster" / "workspace.yaml").exists()


def test_every_process_listens_on_this_machine_alone_and_runs_our_python(tmp_path):
    home = make_home(tmp_path / "home")
    lines = commands(home, tmp_path / "workspace.yaml", 3456, 4567)
    assert {line[0] for line in lines} == {sys.executable}
    assert [line[2] for line in lines] == [
        "dagster",
        "dagster_webserver",
        "dagster._daemon",
        "http.server",
    ]
    for line in lines:
        if line[2] != "dagster._daemon":
            assert (
                line[line.index("--bind" if line[2] == "http.server" else "-h") + 1] == "127.0.0.1"
            )
    assert lines[1][lines[1].index("-p") + 1] == "3456"
    assert lines[0][lines[0].index("-p") + 1] == "4567"
    assert lines[3][-1] == str(home.reports)


def test_a_report_has_an_address_that_a_browser_follows(tmp_path):
    home = open_home(tmp_path, reports_port=3999)
    path = home.reports / "2024-01-31" / "drift.html"
    assert report_url(home, path) == "http://127.0.0.1:3999/2024-01-31/drift.html"
    behind = open_home(home.folder, reports_url="https://dagster.example/reports/")
    assert report_url(behind, path) == "https://dagster.example/reports/2024-01-31/drift.html"


def test_children_are_asked_to_end_and_the_ended_ones_left_alone(child):
    ended, polite = child("print('up', flush=True)"), child(POLITE)
    ended.wait()
    stop([ended, polite])
    assert ended.returncode == 0
    assert polite.returncode != 0
    assert polite.poll() is not None


def test_a_child_that_does_not_end_is_killed(child):
    stubborn = child(STUBBORN)
    stop([stubborn], patience=0.3)
    assert stubborn.wait() == -signal.SIGKILL
