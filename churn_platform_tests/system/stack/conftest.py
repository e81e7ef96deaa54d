"""The stack, started once for all tests of this folder; the logs of every service are shown when one fails."""

import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from churn_platform_tests.real_months import open_home
from churn_platform_tests.system.stack.native import Native


@pytest.fixture(scope="session")
def told():
    """A receiver of alerts on this machine: its Apprise URL, and the messages as they come."""
    messages: list[dict] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/", messages
    server.shutdown()


@pytest.fixture(scope="session")
def stack(real_data, told, tmp_path_factory):
    """Every service of docker/compose.yaml but Grafana, healthy."""
    native = Native(tmp_path_factory.mktemp("stack"), CHURN_ALERT_URLS=told[0])
    try:
        native.up()
        yield native
        if kept := os.environ.get("CHURN_STACK_LOGS"):
            Path(kept).mkdir(parents=True, exist_ok=True)
            (Path(kept) / "figures.json").write_text(json.dumps(native.figures, indent=2))
    finally:
        native.down()


@pytest.fixture(scope="session")
def opened(stack):
    """How to open the stack's home in this process, with the settings of the service that runs the jobs."""
    environment = stack.environment("dagster-code")
    os.environ.update(
        {name: environment[name] for name in environment if name.startswith(("MLFLOW_", "PG"))}
    )

    def fresh():
        return open_home(
            stack.home,
            online_store=environment["CHURN_ONLINE_STORE"],
            online_password=environment["CHURN_ONLINE_PASSWORD"],
            feast_registry=environment["CHURN_FEAST_REGISTRY"],
            feast_registry_password=environment["CHURN_FEAST_REGISTRY_PASSWORD"],
            dagster_postgres=environment["CHURN_DAGSTER_POSTGRES"],
            mlflow_uri=environment["CHURN_MLFLOW_URI"],
        )

    return fresh


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Add the end of all logs to a failure, and keep the logs where CHURN_STACK_LOGS names a folder."""
    outcome = yield
    report = outcome.get_result()
    native = item.funcargs.get("stack") if hasattr(item, "funcargs") else None
    if native is None or not report.failed:
        return
    report.sections.append(("logs of the stack", native.last_lines(40)))
    if kept := os.environ.get("CHURN_STACK_LOGS"):
        shutil.copytree(native.folder / "logs", Path(kept), dirs_exist_ok=True)
