"""Runs the Dagster webserver and daemon of one home as child processes."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from churn_platform.alerting.alerts import Alerts
from churn_platform.base.errors import UsageError
from churn_platform.base.files import write_text
from churn_platform.base.home import Home

HOST = "127.0.0.1"
OURS = range(20_000, 32_768)
"""Ports below those that Linux hands out to outgoing connections."""
MODULE = "churn_platform.definitions"
WORKSPACE = (
    "load_from:\n  - grpc_server: {{host: {host}, port: {port}, location_name: churn_platform}}\n"
)
START_SECONDS = 120.0
DAEMON = "The daemon"
ENDED = (
    "A process of `churn ui` ended by itself. No drop is processed until `churn ui` is started"
    " again."
)


def serve_ui(home: Home, alerts: Alerts, port: int, say: Callable[[str], None]) -> int:
    """Run code server, webserver, daemon and report server until Ctrl-C or until one ends.

    Everything is bound to 127.0.0.1, because the webserver has no login. Webserver and daemon
    share a code server: on their own they would load the definitions again every minute.

    Returns:
        The exit code.

    Raises:
        UsageError: a port is taken.
    """
    for taken, remedy in ((port, "--port"), (home.settings.reports_port, "CHURN_REPORTS_PORT")):
        if not port_is_free(taken):
            raise UsageError(
                f"Port {taken} on {HOST} is taken. Stop what listens there, or name another with"
                f" {remedy}.",
                code="PORT_TAKEN",
            )
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell starts a background job with SIGINT ignored. The children would inherit that, and
    # nothing could stop them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    say("Loading the definitions ...")
    children: list[subprocess.Popen[bytes]] = []
    try:
        children = _start(home, port)
        alerts.seen(
            DAEMON, up=True, sentence=f"`churn ui` was started again on {home.folder.name}."
        )
        say(
            f"Dagster UI: http://{HOST}:{port} (home {home.folder}); it answers in a few"
            " seconds. Ctrl-C stops it."
        )
        while all(child.poll() is None for child in children):
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("Stopping the UI and the daemon ...")
        return 0
    else:
        say("A process of the UI ended by itself. Its last lines above show why.")
        alerts.seen(DAEMON, up=False, sentence=ENDED)
        return 1
    finally:
        kept = signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # a second Ctrl-C would leave the children behind
        stop(children)
        signal.signal(signal.SIGINT, kept)


def _start(home: Home, port: int) -> list[subprocess.Popen[bytes]]:
    """Start the code server, wait until it listens, then start what asks it."""
    code_port = free_port()
    workspace = home.folder / "dagster" / "workspace.yaml"
    write_text(workspace, WORKSPACE.format(host=HOST, port=code_port))
    code, *others = commands(home, workspace, port, code_port)
    children = [_child(home, code)]
    try:
        deadline = time.monotonic() + START_SECONDS
        while (
            port_is_free(code_port) and children[0].poll() is None and time.monotonic() < deadline
        ):
            time.sleep(0.2)
        children += [_child(home, command) for command in others]
    except BaseException:
        stop(children)
        raise
    return children


def _child(home: Home, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a child in its own session: Ctrl-C reaches it through `stop`, once."""
    # The file server logs each request.
    quiet = subprocess.DEVNULL if "http.server" in command else None
    return subprocess.Popen(
        command, cwd=home.folder, stdout=quiet, stderr=quiet, start_new_session=True
    )


def report_url(home: Home, path: Path) -> str:
    """The address of a report: a browser does not follow a file:// link from the UI."""
    place = home.settings.reports_url.rstrip("/") or f"http://{HOST}:{home.settings.reports_port}"
    return f"{place}/{path.relative_to(home.reports).as_posix()}"


def commands(home: Home, workspace: Path, port: int, code_port: int) -> list[list[str]]:
    """The command lines of code server, webserver, daemon and the file server of the reports."""
    python = sys.executable
    quiet = ["--log-level", "warning"]
    where = ["-w", str(workspace)]
    return [
        [
            python,
            "-m",
            "dagster",
            "code-server",
            "start",
            "-m",
            MODULE,
            "-h",
            HOST,
            "-p",
            str(code_port),
            *quiet,
        ],
        [python, "-m", "dagster_webserver", "-h", HOST, "-p", str(port), *where, *quiet],
        [python, "-m", "dagster._daemon", "run", *where, *quiet],
        [
            python,
            "-m",
            "http.server",
            str(home.settings.reports_port),
            "--bind",
            HOST,
            "--directory",
            str(home.reports),
        ],
    ]


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nothing listens on now.

    Not from the system's own range, from which any outgoing connection may take one first.
    """
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(OURS)
        if port not in found and port_is_free(port):
            found.append(port)
    return found


def port_is_free(port: int) -> bool:
    """Whether nothing listens on the port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def stop(children: list[subprocess.Popen[bytes]], patience: float = 20.0) -> None:
    """Interrupt the children's sessions, so runs are recorded as canceled; kill what stays."""
    for child in children:
        _reaches(child, signal.SIGINT)
    deadline = time.monotonic() + patience
    while any(_reaches(child, 0) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    for child in children:
        _reaches(child, signal.SIGKILL)
        child.wait()


def _reaches(child: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the child's session; whether it still has a process."""
    child.poll()  # reaps a child that has ended
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return False
    return True


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
