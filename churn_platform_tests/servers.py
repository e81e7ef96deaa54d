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

import httpx
import psutil
import pytest

from churn_platform.adapters.dagster_ui import free_port

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

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return self
            time.sleep(0.2)
        pytest.fail(f"the server did not become ready:\n{self.log.read_text()}")

    def workers(self):
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "_bentoml_impl.worker.service" in " ".join(child.cmdline())]

    def lines(self):
        texts = self.log.read_text().splitlines()
        return [json.loads(text) for text in texts if text.startswith("{")]

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


async def load(url, seconds, found, connections=8, fresh=False):
    """Predict without pause; append (time, status, version) of each answer."""

    async def one():
        limits = httpx.Limits(max_keepalive_connections=0) if fresh else httpx.Limits()
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                try:
                    response = await client.post("/predict", json=BODY)
                except httpx.HTTPError as error:
                    found.append((time.time(), type(error).__name__, None))
                    continue
                version = response.json()["model"]["version"] if response.status_code == 200 else None
                found.append((time.time(), response.status_code, version))

    await asyncio.gather(*(one() for _ in range(connections)))
