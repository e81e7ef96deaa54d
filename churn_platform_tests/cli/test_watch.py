"""`churn alert` as people and programs meet it, and what every command tells when it ends."""

import contextlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from churn_platform.alerting.dagster_ui import free_port
from churn_platform_tests.cli.conftest import wrong
from churn_platform_tests.gym import record_act
from churn_platform_tests.system.receiver import receiving


@pytest.fixture
def receiver(environ):
    with receiving() as made:
        environ.setenv("CHURN_ALERT_URLS", made.url)
        yield made


def happened(home, version):
    record_act(
        home.ledger,
        actor="ada",
        act="promotion done",
        subject=f"version {version}",
        reason="It is better.",
    )


def test_a_test_message_reaches_every_receiver(churn, receiver, january_copy):
    assert churn("alert", "--test", home=january_copy) == (0, "json 1: took the test message\n", "")
    assert receiver.titles == ["gym: a test"]
    assert "churn alert --test" in receiver.got[0]["body"]


def test_a_test_that_does_not_arrive_is_an_error_that_names_the_receiver_and_no_secret(
    churn, environ, january_copy
):
    environ.setenv(
        "CHURN_ALERT_URLS", f"json://me:pa55word@127.0.0.1:{free_port()}/s3cret nonsense://pa55word"
    )
    code, out, err = churn("alert", "--test", home=january_copy)
    assert (code, err) == (1, "churn: Not reached: json 1, nonsense 2. [ALERT_NOT_SENT]\n")
    assert (
        out == "json 1: it could not be reached\nnonsense 2: it is not a URL that Apprise knows\n"
    )


def test_what_waits_is_shown_by_status_and_doctor_and_sent_by_hand(
    churn, answer, receiver, january_copy
):
    churn("alert", home=january_copy)
    receiver.status = 500
    happened(january_copy, 2)
    code, _, err = churn("status", home=january_copy)
    assert (code, err) == (
        0,
        "churn: A message did not reach json 1: it answered 500. It is tried again later.\n",
    )
    out = churn("status", home=january_copy)[1]
    assert (
        "Alerts      1 alert waits for json 1: it answered 500 at try 1; the next is after 20"
        in out
    )
    [check] = [check for check in answer("doctor", home=january_copy) if check["check"] == "alerts"]
    assert (check["state"], check["remedy"]) == ("warn", "try it with `churn alert --test`")
    receiver.status = 200
    assert churn("alert", home=january_copy) == (0, "json 1: 1 sent.\n", "")
    assert receiver.titles == ["gym: promoted version 2"]
    assert "Alerts" not in churn("status", home=january_copy)[1]


def test_a_command_tells_what_it_did_when_it_ends(churn, receiver, january_copy):
    churn("status", home=january_copy)
    happened(january_copy, 2)
    assert churn("history", home=january_copy)[2] == ""
    assert receiver.titles == ["gym: promoted version 2"]


def test_a_file_of_receivers_that_is_gone_stops_no_command(churn, answer, environ, january_copy):
    environ.setenv("CHURN_ALERT_URLS_FILE", "gone")
    code, out, err = churn("status", home=january_copy)
    assert (code, err.count("\n")) == (0, 1)
    assert "CHURN_ALERT_URLS_FILE names gone, which cannot be read" in err
    assert "CHURN_ALERT_URLS_FILE names gone, which cannot be read" in " ".join(out.split())
    assert churn("run", home=january_copy)[0] == 0
    [check] = [
        check for check in answer("doctor", home=january_copy, code=1) if check["check"] == "alerts"
    ]
    assert check["state"] == "error"


@contextlib.contextmanager
def hesitating():
    """An MLflow server that answers a header a moment for as long as the block lasts, then goes away; its URL."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503)
            self.flush_headers()
            while not over.wait(0.5):
                self.send_header("Wait", "a moment")
                self.flush_headers()
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        over.set()
        server.shutdown()


@pytest.mark.slow
def test_the_exporter_answers_whole_while_mlflow_keeps_its_first_verification_waiting_and_ends_when_asked(
    january_copy,
):
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from churn_platform.cli.app import main; main()",
        "exporter",
        "--port",
        str(port),
    ]
    with hesitating() as mlflow:
        process = subprocess.Popen(
            [*command, "--home", str(january_copy.folder)], env=os.environ | {"CHURN_MLFLOW_URI": mlflow},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout.readline().startswith(f"Metrics: http://127.0.0.1:{port}/metrics")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
        finally:
            process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert "} 0.0\n" not in text.partition("# HELP churn_source_up")[2].partition("# HELP")[0]
    assert 'churn_source_up{source="daemon"} 1.0\n' in text
    assert "churn_production_version 1.0\n" in text
    assert "churn_verify_sound" not in text
    assert (
        len({line.split("churn_")[1] for line in text.splitlines() if line.startswith("# HELP")})
        > 20
    )
    assert (process.returncode, out, err.count("\n")) == (0, "", 1)
    assert err.startswith("churn exporter: verification: not verified: MLflow at http://127.0.0.1:")


def test_an_exporter_on_a_taken_port_names_it_and_the_way_out(churn, january_copy):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        found = churn("exporter", "--port", port, home=january_copy)
    assert wrong(found, port, "--port") == "PORT_TAKEN"
