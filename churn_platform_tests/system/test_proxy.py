"""docker/Caddyfile in the real Caddy: what every answer carries, also those that no service gave."""

import re
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from churn_platform.alerting.dagster_ui import free_ports
from churn_platform_tests.system.compose import DOCKER
from churn_platform_tests.system.stack.native import CADDY

LOGIN = ("churn", "word")


class Api(BaseHTTPRequestHandler):
    """A service behind the proxy that answers 200, and 404 below /none."""

    def do_GET(self):
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        return


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Ask a name of the running proxy; only the API's service is there."""
    folder = tmp_path_factory.mktemp("proxy")
    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    alive, https, nobody = free_ports(3)
    text = (
        (DOCKER / "Caddyfile").read_text().replace("8080", str(alive)).replace("8443", str(https))
    )
    text = text.replace("api:3002", f"127.0.0.1:{api.server_port}").replace(
        "/srv/churn", str(folder)
    )
    text = re.sub(r"(dagster-webserver|mlflow|grafana):\d+", f"127.0.0.1:{nobody}", text)
    (folder / "reports").mkdir()
    (folder / "Caddyfile").write_text(text)
    hashed = subprocess.run(
        [CADDY, "hash-password", "--bcrypt-cost", "4", "--plaintext", LOGIN[1]],
        capture_output=True,
        text=True,
        check=True,
    )
    environment = {
        "HOME": str(folder),
        "CHURN_DOMAIN": "localhost",
        "CHURN_TLS": "internal",
        "PROXY_USER": LOGIN[0],
        "PROXY_PASSWORD_HASH": hashed.stdout.strip(),
    }
    with (folder / "log").open("wb") as log:
        command = [CADDY, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]
        process = subprocess.Popen(command, env=environment, stderr=log)

    def wire():
        """A connection to the API's name, for bytes that no client library would send."""
        plain = socket.create_connection(("127.0.0.1", https), timeout=20)
        return ssl._create_unverified_context().wrap_socket(plain, server_hostname="api.localhost")

    def asked(name, path="/", **more):
        with httpx.Client(verify=False) as client:
            return client.get(
                f"https://127.0.0.1:{https}{path}", timeout=20,
                headers={"Host": f"{name}.localhost", **more.pop("headers", {})},
                extensions={"sni_hostname": f"{name}.localhost"}, **more,
            )  # fmt: skip

    until_certified(process, asked, folder / "log")
    asked.wire = wire
    yield asked
    process.terminate()
    process.wait()
    api.shutdown()
    api.server_close()


def until_certified(process, asked, log):
    """Wait until the proxy listens and has a certificate for each name."""
    deadline = time.monotonic() + 60
    waiting = ["dagster", "mlflow", "grafana", "api"]
    while waiting:
        try:
            asked(waiting[0])
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            waiting.pop(0)


FOREIGN = {"Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(
    ("name", "path", "status", "more"),
    [
        ("dagster", "/", 401, {}),
        ("dagster", "/reports/", 401, {}),
        ("dagster", "/", 401, {"auth": ("churn", "wrong")}),
        ("dagster", "/", 502, {"auth": LOGIN}),
        ("dagster", "/graphql", 403, {"auth": LOGIN, "headers": FOREIGN}),
        ("dagster", "/reports/", 200, {"auth": LOGIN}),
        ("dagster", "/reports/none", 404, {"auth": LOGIN}),
        ("mlflow", "/", 502, {}),
        ("grafana", "/", 502, {}),
        ("api", "/model", 200, {}),
        ("api", "/none", 404, {}),
        ("api", "/metrics", 404, {}),
    ],
)
def test_every_answer_carries_the_security_headers_and_names_no_server(
    ask, name, path, status, more
):
    answer = ask(name, path, **more)
    assert answer.status_code == status
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "caddy" not in answer.headers.get("server", "").lower()
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert (
        "alt-svc" not in answer.headers
    )  # HTTP/3 is another port, which compose.yaml does not publish


@pytest.mark.slow  # it waits
def test_headers_that_do_not_arrive_in_5_seconds_close_the_connection(ask):
    with ask.wire() as wire:
        wire.sendall(b"GET /model HTTP/1.1\r\nHost: api.localhost\r\n")
        started = time.monotonic()
        assert wire.recv(1000) == b""
        assert 4 < time.monotonic() - started < 10


def test_headers_of_more_than_64_kilobytes_are_refused(ask):
    with ask.wire() as wire:
        wire.sendall(b"GET /model HTTP/1.1\r\nHost: api.localhost\r\nX-Padding: " + b"x" * 100_000)
        assert wire.recv(1000).startswith(b"HTTP/1.1 431 ")
    assert ask("api", "/model", headers={"X-Padding": "x" * 50_000}).status_code == 200
