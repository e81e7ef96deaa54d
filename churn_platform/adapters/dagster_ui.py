"""Starts the Dagster webserver and daemon as child processes on one home, and stops both together.

Belongs here: command lines, ports, signals. Does not: Dagster itself (`defs/`).
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from churn_platform.adapters.files import write_text
from churn_platform.adapters.home import Home
from churn_platform.errors import UsageError

HOST = "127.0.0.1"
WORKSPACE = """load_from:
  - python_module:
      module_name: churn_platform.definitions
      location_name: churn_platform
"""


def serve_ui(home: Home, port: int, say: Callable[[str], None]) -> int:
    """Run webserver and daemon until Ctrl-C or until one of them ends; the exit code.

    Bound to 127.0.0.1, because the webserver has no login.

    Raises:
        UsageError: the port is taken.
    """
    if not port_is_free(port):
        raise UsageError(f"Port {port} on {HOST} is taken: stop what listens there or name another with --port.")
    workspace = home.folder / "dagster" / "workspace.yaml"
    write_text(workspace, WORKSPACE)
    signal.signal(signal.SIGTERM, _interrupt)
    children = [subprocess.Popen(command, cwd=home.folder) for command in commands(workspace, port)]
    say(f"Dagster UI: http://{HOST}:{port} (home {home.folder}); it answers after about 20 seconds. Ctrl-C stops it.")
    try:
        while all(child.poll() is None for child in children):
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("Stopping the UI and the daemon ...")
        return 0
    else:
        return 1
    finally:
        stop(children)


def commands(workspace: Path, port: int) -> list[list[str]]:
    """The command lines of webserver and daemon."""
    where = ["-w", str(workspace)]
    web = [sys.executable, "-m", "dagster_webserver", "-h", HOST, "-p", str(port), *where, "--log-level", "warning"]
    daemon = [sys.executable, "-m", "dagster._daemon", "run", *where, "--log-level", "warning"]
    return [web, daemon]


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
    """Ask the children to end, and end those that do not."""
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
    deadline = time.monotonic() + patience
    for child in children:
        try:
            child.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
