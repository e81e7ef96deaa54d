"""Under load, production changes again and again between releases of different features: every answer is of one."""

import asyncio
import contextlib
import datetime as dt
import itertools
import threading

import httpx
import pytest
import uvicorn
import yaml

from churn_platform.alerting.dagster_ui import free_port
from churn_platform_tests.api_client import FEWER, boosted, point, publish, running, with_contract
from churn_platform_tests.servers import PATIENCE, Running
from churn_platform_tests.small_business import DECLARED

KEY = "m00001"
CONNECTIONS = 8
VIEWS = {
    2: DECLARED["feature_views"],
    4: FEWER,
    5: {
        "people_fv": {"table": "members", "features": ["has_app"]},
        "hours_fv": {"table": "visits", "features": ["hours"]},
    },
}
FEATURES = {
    version: {feature for view in views.values() for feature in view["features"]}
    for version, views in VIEWS.items()
}


@pytest.fixture
def releases(served_copy):
    """A home with a release for each set of features; version 2 is in production."""
    for version in (4, 5):
        changed = with_contract(served_copy, feature_views=VIEWS[version])
        publish(changed, version, boosted(changed))
    return with_contract(served_copy, feature_views=VIEWS[2])


@contextlib.contextmanager
def listening(server):
    """The API on a port of its own, in this process."""
    made = uvicorn.Server(
        uvicorn.Config(server, port=free_port(), log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.config.port}"
    finally:
        made.should_exit = True
        thread.join()


class Load:
    """Asks for one customer over several connections; keeps every failure and, by version, what was answered."""

    def __init__(self, url):
        self.url = url
        self.failures = []
        self.answers = {version: set() for version in FEATURES}
        self.newest = {}
        self.count = 0
        self.ended = False

    async def ask(self, number):
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            for turn in itertools.count():
                if self.ended:
                    return
                if turn % 10 == 9:
                    found = await client.post("/predict/batch", json={"keys": [KEY, "m00002"]})
                    self.note(number, found, found.json().get("results", [{}])[0])
                else:
                    found = await client.post("/predict", json={"member": KEY})
                    self.note(number, found, found.json(), single=True)

    def note(self, number, found, answer, *, single=False):
        self.count += 1
        if found.status_code != 200:
            self.failures.append(found.text)
            return
        version = found.json()["model"]["version"]
        self.newest[number] = version
        self.answers[version].add(answer["probability"])
        if single:
            for part in ("features_used", "contributions"):
                if set(answer[part]) != FEATURES[version]:
                    self.failures.append(found.text)


async def switched(home, load, versions, step):
    """Change production again and again, also while the contract is broken or another one; `step` waits until every
    connection has met the change."""
    asking = [asyncio.create_task(load.ask(number)) for number in range(CONNECTIONS)]
    try:
        for turn, version in enumerate(versions):
            if turn % 3 == 1:
                (home.folder / "contract.yaml").write_text("name: [")
            elif turn % 3 == 2:
                views = DECLARED | {"feature_views": VIEWS[version]}
                (home.folder / "contract.yaml").write_text(yaml.safe_dump(views, sort_keys=False))
            instant = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.2)
            await asyncio.to_thread(point, home, version, instant)
            await step(version)
    finally:
        load.ended = True
        await asyncio.gather(*asking)


def met_by_all(load):
    async def step(version):
        load.newest.clear()
        async with asyncio.timeout(PATIENCE):
            while [load.newest.get(number) for number in range(CONNECTIONS)] != [
                version
            ] * CONNECTIONS:
                await asyncio.sleep(0.01)

    return step


def is_consistent(load, versions):
    assert load.failures == []
    assert {version for version, found in load.answers.items() if found} == set(versions)
    # One customer has one probability by each version, so no answer mixes two releases.
    assert all(len(found) == 1 for found in load.answers.values() if found)
    assert len({next(iter(found)) for found in load.answers.values()}) == len(load.answers)


TURNS = (4, 5, 2, 5, 4, 2, 4, 5)


def test_every_answer_is_of_one_release_while_production_changes(releases):
    with running(releases) as server, listening(server) as url:
        load = Load(url)
        asyncio.run(switched(releases, load, TURNS, met_by_all(load)))
    is_consistent(load, FEATURES)
    assert load.count > 10 * len(TURNS)


@pytest.mark.slow
def test_every_answer_of_two_workers_is_of_one_release_while_production_changes(releases):
    server = Running(releases, "--workers", "2")
    try:
        load = Load(server.wait().url)
        workers = [worker.pid for worker in server.workers()]
        asyncio.run(switched(releases, load, 3 * TURNS, met_by_all(load)))
        is_consistent(load, FEATURES)
        assert [worker.pid for worker in server.workers()] == workers
    finally:
        server.end()
