"""The health checks of the containers: they see the real services, healthy and not, and import nothing heavy."""

import json
import subprocess
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from churn_platform import probe
from churn_platform.alerting.dagster_ui import free_port
from churn_platform.alerting.metrics import DAEMON_SILENT_SECONDS


def test_a_check_imports_nothing_but_the_standard_library_and_a_client():
    script = (
        "import sys\nfrom churn_platform import probe\nimport json\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    outside = {name for name in json.loads(shown) if not name.startswith(("_", "__"))}
    assert "churn_platform" in outside
    assert not outside & {"dagster", "pydantic", "sqlalchemy", "pandas", "grpc", "psycopg2"}


@pytest.mark.parametrize("status", [200, 503])
def test_a_web_server_is_healthy_when_it_answers_without_an_error(status, capsys):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert probe.main([f"http://127.0.0.1:{server.server_port}/livez"]) == (
            0 if status == 200 else 1
        )
    finally:
        server.shutdown()
        server.server_close()
    assert ("503" in capsys.readouterr().err) == (status == 503)


@pytest.mark.parametrize("scheme", ["http", "grpc", "postgresql"])
def test_a_service_that_does_not_listen_is_not_healthy(scheme, capsys):
    assert probe.main([f"{scheme}://127.0.0.1:{free_port()}"]) == 1
    assert capsys.readouterr().err.strip()


@pytest.mark.parametrize("serves", [True, False])
def test_the_code_server_is_asked_for_dagsters_own_service(serves):
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = health.HealthServicer()
    state = health_pb2.HealthCheckResponse
    servicer.set("DagsterApi", state.SERVING if serves else state.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert probe.main([f"grpc://127.0.0.1:{port}"]) == (0 if serves else 1)
    finally:
        server.stop(None)
    request = health_pb2.HealthCheckRequest(service="DagsterApi")
    assert request.SerializeToString() == probe.DAGSTER_SERVICE


def test_the_daemon_is_healthy_while_its_newest_heartbeat_in_dagsters_storage_is_young(
    postgres_server, capsys
):
    """The server's time zone is another one than UTC, in which Dagster's own column would be read."""
    from dagster._daemon.types import DaemonHeartbeat
    from dagster_postgres.run_storage import PostgresRunStorage

    address = postgres_server.new()
    storage = PostgresRunStorage.create_clean_storage(
        address.replace("postgresql:", "postgresql+psycopg2:")
    )

    def beat(kind, age):
        storage.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, kind, "id", []))

    assert probe.main([address]) == 1
    assert "has not written a heartbeat" in capsys.readouterr().err
    beat("SENSOR", 2 * probe.HEARTBEAT_SECONDS)
    assert probe.main([address]) == 1
    assert "360 s old" in capsys.readouterr().err
    beat("SCHEDULER", 5)
    assert probe.main([address]) == 0
    storage.dispose()


def test_the_daemon_counts_as_dead_after_the_same_time_as_for_the_exporter():
    assert probe.HEARTBEAT_SECONDS == DAEMON_SILENT_SECONDS
