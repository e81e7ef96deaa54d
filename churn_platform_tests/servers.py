"""Real servers for the slow tests: `churn serve` or `bentoml serve` in a process of its own, and load on it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from churn_platform.alerting.dagster_ui import free_port

PROGRAMS = Path(sys.executable).parent
BODY = {"member": "m00001"}
START_SECONDS, PATIENCE = 180, 60


class Served:
    """A server in a process of its own; `command` gets `--port`."""

    def __init__(self, command, log, folder="/", **environment):
        self.port, self.log = free_port(), log
        self.url = f"http://127.0.0.1:{self.port}"
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CHURN_", "BENTOML_", "PROMETHEUS", "DAGSTER_", "MLFLOW_"))
        }
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [str(part) for part in (*command, "--port", self.port)],
                stdout=out,
                stderr=out,
                env=clean | environment,
                cwd=folder,
                start_new_session=True,
            )

    def wait(self, path="/readyz"):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}{path}").status_code == 200:
                    return self
            time.sleep(0.2)
        pytest.fail(f"the server did not become ready:\n{self.log.read_text()}")

    def workers(self):
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # killed, and not buried yet
                if "_bentoml_impl.worker.service" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def lines(self):
        texts = self.log.read_text().splitlines()
        return [json.loads(text) for text in texts if text.startswith("{")]

    def answered(self):
        """How many /predict the workers say they have answered."""
        asked = [line for line in self.lines() if line.get("route") == "/predict"]
        return sum(line["status"] == 200 for line in asked)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Running(Served):
    """`churn serve` on a home."""

    def __init__(self, home, *options, **environment):
        self.home = home
        command = [PROGRAMS / "churn", "serve", "--home", home.folder, *options]
        super().__init__(command, home.folder / "server.log", **environment)


class Answer(NamedTuple):
    """One request under load: when it was answered, its status or error, its version, how long it took."""

    moment: float
    status: int | str
    version: int | None
    seconds: float


async def load(url, seconds, found, connections=8, fresh=False, pause=0.0):
    """Predict again and again, each connection with a pause after each answer; append every `Answer`."""

    async def one():
        limits = httpx.Limits(max_keepalive_connections=0) if fresh else httpx.Limits()
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                started, version = time.monotonic(), None
                try:
                    response = await client.post("/predict", json=BODY)
                    status = response.status_code
                    version = response.json()["model"]["version"] if status == 200 else None
                except httpx.HTTPError as error:
                    status = type(error).__name__
                found.append(Answer(time.time(), status, version, time.monotonic() - started))
                if pause:
                    await asyncio.sleep(pause)

    await asyncio.gather(*(one() for _ in range(connections)))
