"""A real server while everything around it breaks: two workers, asked all the time, never an error, always the old model.

One server and one home serve all faults, on a disk of their own where that is allowed. Each fault ends mended.
"""

import contextlib
import datetime as dt
import os
import resource
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.ingestion.validation import DropRefused
from churn_platform.ledger.version_acts import PromotionIntent
from churn_platform_tests.servers import BODY, Running
from churn_platform_tests.small_business import FEBRUARY, copied, deliver, month_tables, open_home
from churn_platform_tests.system.crash_points import ended, forked
from churn_platform_tests.system.small_disk import full, small_disk
from churn_platform_tests.system.trusted_home import flip

pytestmark = pytest.mark.slow
PATIENCE = 30


class Asking:
    """Predicts all the time, each request on a connection of its own so that both workers are asked."""

    def __init__(self, url):
        self.url, self.found, self._stop = url, [], threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=10) as client:
            while not self._stop.is_set():
                try:
                    response = client.post(f"{self.url}/predict", json=BODY)
                    version = (
                        response.json()["model"]["version"]
                        if response.status_code == 200
                        else response.text
                    )
                    self.found.append((response.status_code, version))
                except httpx.HTTPError as error:
                    self.found.append((type(error).__name__, str(error)))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def more(self, count=40):
        """Return when `count` more requests were answered."""
        wanted, deadline = len(self.found) + count, time.monotonic() + PATIENCE
        while len(self.found) < wanted:
            assert time.monotonic() < deadline, "the server hangs"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def disk():
    """A small disk where one may be mounted, else a folder; others may enter it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with contextlib.ExitStack() as stack:
            place = Path(folder) / "disk"
            with contextlib.suppress(pytest.skip.Exception):
                stack.enter_context(small_disk(place, 60))
            yield place


@pytest.fixture(scope="module")
def server(february_decided, disk):
    """Two workers on a home with version 1 in production and version 2 approved; the log lies on the same disk."""
    made = Running(copied(february_decided, disk / "home"), "--workers", "2")
    try:
        yield made.wait()
    finally:
        made.end()


@pytest.fixture
def asked(server):
    """The server is asked through the whole test, and always answers with version 1."""
    with Asking(server.url) as asking:
        asking.more()
        yield asking
        asking.more()
        ready = httpx.get(f"{server.url}/readyz").status_code
    assert Counter(asking.found) == {(200, 1): len(asking.found)}
    assert ready == 200


def told(server, text):
    """Wait until the server says that it refuses what the pointer names."""
    deadline = time.monotonic() + PATIENCE
    while text not in str(httpx.get(f"{server.url}/model").json().get("refused_release")):
        assert time.monotonic() < deadline, "the server has not looked"
        time.sleep(0.1)


def test_while_another_process_holds_mlflows_store(server, asked):
    with contextlib.closing(
        sqlite3.connect(server.home.folder / "mlflow.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        asked.more()
        assert httpx.get(f"{server.url}/model").json()["version"] == 1
        other.execute("ROLLBACK")


def test_while_mlflows_store_is_gone(server, asked):
    store, away = server.home.folder / "mlflow.db", server.home.folder.parent / "away.db"
    store.rename(away)
    with pytest.raises(IntegrityError, match=r"mlflow\.db is missing"):
        open_home(server.home.folder).decision_maker.carry_out()
    asked.more()
    away.rename(store)


def test_while_the_lake_may_not_be_written(server, asked, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    tables = month_tables(FEBRUARY)
    deliver(server.home, FEBRUARY, tables | {"visits": tables["visits"].assign(hours=1.0)})

    def stranger():
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(PermissionError):
            open_home(server.home.folder).ingestion.publish(FEBRUARY)

    assert ended(forked(stranger, tmp_path / "log")) == 0, (tmp_path / "log").read_text()
    asked.more()


def test_while_no_file_may_grow(server, asked, tmp_path):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(Exception, match=r"File too large|disk|full"):
            open_home(server.home.folder).decision_maker.carry_out()

    assert ended(forked(limited, tmp_path / "log")) == 0, (tmp_path / "log").read_text()
    asked.more()


def test_while_the_disk_is_full_for_the_servers_own_logs_too(server, disk, asked):
    if not disk.is_mount():
        pytest.skip("a full disk needs the right to mount one")
    with full(disk):
        with pytest.raises(Exception, match=r"No space|disk|full"):
            open_home(server.home.folder).decision_maker.carry_out()
        asked.more(200)


def test_while_one_bit_of_the_new_release_is_flipped(server, asked):
    home = server.home
    pointer = home.releases.read_pointer().model_dump()
    shown = {
        name: pointer[name] for name in ("previous_version", "as_of", "activate_at", "ledger_head")
    }
    planned = PromotionIntent(
        version=2,
        before=1,
        reason="Published, and then a bit of it is flipped.",
        decision="d",
        candidate=home.registry.load(2).digest,
        as_of="2024-02-29",
    )
    home.publisher.publish(planned)
    flip(home.releases.folder / "2" / "model.skops")
    home.releases.repoint({**shown, "version": 2, "previous_version": 1})
    told(server, "release 2 was changed: model.skops")
    asked.more()
    home.releases.repoint({**shown, "version": 1})
    flip(home.releases.folder / "2" / "model.skops")


def test_while_the_clock_is_set_back(server, asked):
    back = open_home(server.home.folder, lambda: dt.datetime(2023, 6, 1, tzinfo=dt.UTC))
    deliver(back, FEBRUARY)
    with pytest.raises(DropRefused, match="is more than one month in the future"):
        back.ingestion.publish(FEBRUARY)
    asked.more()


def test_after_all_of_it_the_promotion_is_carried_out_and_served(server):
    open_home(server.home.folder).decision_maker.carry_out()
    deadline = time.monotonic() + PATIENCE
    while httpx.post(f"{server.url}/predict", json=BODY).json()["model"]["version"] != 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
