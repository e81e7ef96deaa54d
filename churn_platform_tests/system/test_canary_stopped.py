"""Real servers with a canary whose release is broken: it is stopped, and no request fails.

The releases are verified like any other: what is broken in them shows with some customers only.
"""

import asyncio
import itertools
import json
import math
import re
import signal
import time
from typing import NamedTuple

import httpx
import numpy as np
import pytest

from churn_platform.experiments.assignment import CANARY, arm_of
from churn_platform.experiments.files import SIGHTINGS, canary_folder, read_running, read_stop
from churn_platform.experiments.guardrails import SIGHTING, Measure
from churn_platform.features.online.reader import open_online_reader
from churn_platform.ledger.experiment_acts import CanaryEnded, CanaryStarted
from churn_platform.training.release import manifest_digest
from churn_platform.training.release_loading import LightGBMBooster
from churn_platform.training.scorer import BOOSTER_FILE, FORM_FILE, FormScorer, ServingForm
from churn_platform_tests.servers import PATIENCE, Running
from churn_platform_tests.small_business import CUSTOMERS
from churn_platform_tests.system.receiver import receiving

pytestmark = pytest.mark.slow
CONNECTIONS = 8
SECONDS = 3.0
"""Production answers everybody so long after the stop."""
BROKEN = 5
PRODUCTION = 2
KEYS = [f"m{number:05d}" for number in range(CUSTOMERS)]
EXPERIMENT = "canary of a broken version"


class Answer(NamedTuple):
    moment: float
    key: str
    status: int
    arm: str
    version: int


def rows_of(home):
    """The features of every customer, as the API reads them."""
    reader = open_online_reader(home.folder / "feast", home.contract, "")
    found = asyncio.run(reader.read(KEYS))
    reader.close()
    return [row.values for row in found]


def raising(files, _):
    """The encoding names a column that the model does not have: it raises for one plan."""
    form = json.loads(files[FORM_FILE])
    form["encodings"]["plan"]["columns"]["family"] = 10_000
    return {FORM_FILE: json.dumps(form).encode()}


def not_a_number(files, rows):
    """A leaf is NaN that about 2% of the customers reach."""
    form = ServingForm.model_validate_json(files[FORM_FILE])
    text = files[BOOSTER_FILE].decode()
    sizes = re.search(r"^tree_sizes=(.*)$", text, flags=re.MULTILINE)
    lines = re.findall(r"^leaf_value=.*$", text, flags=re.MULTILINE)
    for tree, line in enumerate(lines):
        for leaf in range(len(line.split())):
            values = line.removeprefix("leaf_value=").split()
            values[leaf] = "nan"
            changed = f"leaf_value={' '.join(values)}"
            lengths = [int(size) for size in sizes[1].split()]
            lengths[tree] -= len(line) - len(changed)
            made = text.replace(line, changed, 1)
            made = made.replace(sizes[0], f"tree_sizes={' '.join(map(str, lengths))}", 1)
            scorer = FormScorer(form, LightGBMBooster(made.encode()))
            if 0.015 <= np.isnan(scorer.probability(rows)).mean() <= 0.03:
                return {BOOSTER_FILE: made.encode()}
    pytest.fail("no leaf has so few customers")


def score(scorer, row):
    """The probability; NaN where it has none."""
    try:
        return scorer.probability([row])[0]
    except IndexError:
        return math.nan


def publish_broken(home, change):
    """Publish version 3 with changed files, and golden predictions that they reproduce; the keys
    of the customers that it cannot score.
    """
    rows = rows_of(home)
    old = home.releases.manifest(3)
    files = {name: home.releases.read(old, name) for name in old.files}
    files |= change(files, rows)
    form = ServingForm.model_validate_json(files[FORM_FILE])
    scorer = FormScorer(form, LightGBMBooster(files[BOOSTER_FILE]))
    scores = [score(scorer, row) for row in rows]
    good = [
        {"features": row, "probability": found}
        for row, found in zip(rows, scores, strict=True)
        if not math.isnan(found)
    ]
    fields = old.model_dump(mode="json", exclude={"files", "version"})
    home.releases.publish(BROKEN, files, fields | {"golden": good[:5]})
    return {key for key, found in zip(KEYS, scores, strict=True) if math.isnan(found)}


def start_canary(home):
    """A canary at half of the customers."""
    digests = {
        "manifest": manifest_digest(home.releases.manifest(BROKEN)),
        "production_manifest": manifest_digest(home.releases.manifest(PRODUCTION)),
    }
    home.ledger.append(
        CanaryStarted(
            version=BROKEN,
            before=PRODUCTION,
            after=PRODUCTION,
            experiment=EXPERIMENT,
            salt="s",
            steps=(0.5,),
            every_seconds=86_400,
            actor="Ann",
            reason="To try it.",
            **digests,
        )
    )
    home.experiments.settle()
    return read_running(home.releases.folder).canary


async def ask(url, keys, found, until=lambda: False):
    """Ask for each customer once, over several connections that are opened anew again and again."""
    waiting = iter(keys)

    async def one():
        while not until():
            lot = list(itertools.islice(waiting, 20))
            if not lot:
                return
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                for key in lot:
                    answer = await client.post("/predict", json={"member": key})
                    body = answer.json()
                    version = body["model"]["version"]
                    arm = body.get("arm", "")
                    found.append(Answer(time.time(), key, answer.status_code, arm, version))

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def counted(home, measure, *, arm=1):
    """The customers of an arm that were measured, in the files of all processes."""
    found = set()
    for path in canary_folder(home.folder, EXPERIMENT).glob(f"*{SIGHTINGS}"):
        rows = np.frombuffer(path.read_bytes(), SIGHTING)
        rows = rows[(rows["measure"] == measure) & (rows["canary"] == arm)]
        found |= set(rows["customer"].tolist())
    return len(found)


@pytest.mark.parametrize(
    ("change", "measure", "guardrail"),
    [
        (raising, Measure.ERROR, "errors"),
        (not_a_number, Measure.INVALID, "invalid scores"),
    ],
)
def test_a_broken_canary_is_stopped_and_no_request_fails(served_copy, change, measure, guardrail):
    home = served_copy
    cannot = publish_broken(home, change)
    canary = start_canary(home)
    inside = [key for key in KEYS if arm_of(key, canary.salt, EXPERIMENT, 0.5) == CANARY]
    broken = [key for key in inside if key in cannot]
    assert len(broken) > 12
    found = []
    with receiving() as receiver:
        server = Running(home, "--workers", "2", CHURN_ALERT_URLS=receiver.url)
        try:
            server.wait()
            until(lambda: len(server.workers()) == 2, "both workers")
            good = [key for key in KEYS if key not in cannot]
            # Too few to stop it, in two workers; one of them dies.
            asyncio.run(ask(server.url, [*good[:300], *broken[:6]] * 2, found))
            until(lambda: counted(home, measure) == 6, "the first customers are counted")
            until(
                lambda: all(counted(home, Measure.SCORE, arm=arm) > 80 for arm in (0, 1)),
                "the scores of both arms",
            )
            assert read_stop(home.releases.folder) is None
            first = server.workers()
            first[0].send_signal(signal.SIGKILL)
            until(
                lambda: len({one.pid for one in server.workers()} - {first[0].pid}) == 2,
                "the worker is started anew",
            )
            server.wait()
            assert counted(home, measure) == 6
            stopped = []

            def enough():
                if not stopped and read_stop(home.releases.folder) is not None:
                    stopped.append(time.time())
                return bool(stopped) and time.time() > stopped[0] + SECONDS + 1

            well = [key for key in inside if key not in cannot]
            again = itertools.cycle([*broken[6:12], *good[300:400], *well[:100]])
            asyncio.run(ask(server.url, again, found, enough))
            until(lambda: home.ledger.receipts("canary ended"), "the receipt")
            until(lambda: receiver.titles, "the alert")
            asyncio.run(ask(server.url, inside[:200], found))
        finally:
            server.end()
    [stop] = [line for line in server.lines() if line.get("event") == "canary stopped"]
    assert {answer.status for answer in found} == {200}
    late = [answer for answer in found if answer.moment > stop["time"] + SECONDS]
    assert len(late) >= 200
    assert {answer.version for answer in late} == {PRODUCTION}
    early = [answer for answer in found if answer.moment < stop["time"]]
    assert {answer.version for answer in early if answer.key in broken} == {PRODUCTION}
    assert BROKEN in {answer.version for answer in early}
    [receipt] = home.ledger.receipts("canary ended")
    ended = CanaryEnded.of(receipt)
    assert (ended.outcome, ended.guardrail) == ("stopped", guardrail)
    assert 10 <= ended.figures["customers_canary"] <= 12
    assert ended.figures["customers_production"] == 0
    assert read_running(home.releases.folder).canary is None
    assert [title.partition(": ")[2] for title in receiver.titles] == [
        f"the canary version {BROKEN} was stopped"
    ]
