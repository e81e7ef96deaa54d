"""Shadows in a server: what they score, and that a broken one costs its own scores and nothing else."""

import datetime as dt
import math
import threading
import time
from collections import Counter

import pytest

from churn_platform.base.errors import StoreDown
from churn_platform.experiments.state import Shadow
from churn_platform.features.online.rows import OnlineRow
from churn_platform.monitoring.prediction_log import ServedPrediction
from churn_platform.serving import shadow_scoring
from churn_platform.serving.shadow_scoring import Losses, ShadowPool, ShadowThread

MONTH = dt.date(2024, 1, 31)
SINCE = "2024-02-01T00:00:00+00:00"
VERSION = Shadow(name="version 3", version=3, manifest="m", since=SINCE)
RULE = Shadow(name="months", rule="months", since=SINCE)


def served(number, **changes):
    fields = {
        "moment": 1e9 + number, "key": f"m{number}", "version": 2, "as_of": MONTH, "probability": 0.5,
        "features": {"months": number / 1000}, "what_if": False, "stale": False,
    }  # fmt: skip
    return ServedPrediction(**{**fields, **changes})


class Scorer:
    """A shadow's scorer: the months themselves, unless `fault` says otherwise of a row."""

    name = "version 3"
    contract = None
    features = ("months",)
    exact = True

    def __init__(self, fault=lambda _: None):
        self.fault = fault
        self.largest = 0

    def score(self, rows):
        self.largest = max(self.largest, len(rows))
        return [row["months"] if (bad := self.fault(row)) is None else bad for row in rows]


class Shadowed:
    """One thread with what it scored and lost."""

    def __init__(self, scorer, shadow=VERSION, reader=None):
        self.scores = []
        self.lost = Counter()
        self.opened = 0
        self.reader = reader
        self.thread = ShadowThread(
            shadow, scorer, scored=lambda entity, scores: self.scores.extend(scores),
            losses=Losses(lambda n: self.lost.update(dropped=n), lambda n: self.lost.update(failed=n)),
            open_reader=self.open,
        )  # fmt: skip
        self.thread.start()

    def open(self):
        self.opened += 1
        return self.reader

    def all_of(self, predictions):
        """The scores by key, after the queue was emptied."""
        self.thread.offer("member", predictions)
        self.thread.end()
        self.thread.join(60)
        return {one.served.key: one.score for one in self.scores}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(shadow_scoring, "PAUSE_SECONDS", 0.002)


def waited(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_every_served_prediction_is_scored_in_small_batches():
    scorer = Scorer()
    made = Shadowed(scorer)
    found = made.all_of([served(number) for number in range(700)])
    assert found == {f"m{number}": number / 1000 for number in range(700)}
    assert {one.shadow for one in made.scores} == {"version 3"}
    assert scorer.largest <= shadow_scoring.BATCH
    assert (made.lost, made.opened) == (Counter(), 0)


def test_predictions_that_come_while_it_scores_wait_for_the_next_look(monkeypatch):
    monkeypatch.setattr(shadow_scoring, "PAUSE_SECONDS", 60)
    scorer = Scorer(lambda _: made.thread.offer("member", [served(0)]))
    made = Shadowed(scorer)
    made.all_of([served(number) for number in range(100)])
    assert len(made.scores) == 100
    assert len(made.thread._queue) == 100


def broken(row):
    raise ValueError("broken")


@pytest.mark.parametrize(
    "fault",
    [
        lambda row: broken(row) if row["months"] == 0.007 else None,
        lambda row: math.nan if row["months"] == 0.007 else None,
        lambda row: 1.001 if row["months"] == 0.007 else None,
        lambda row: "text" if row["months"] == 0.007 else None,
    ],
)
def test_a_customer_whom_it_cannot_score_is_counted_and_the_others_are_scored(fault):
    made = Shadowed(Scorer(fault))
    found = made.all_of([served(number) for number in range(20)])
    assert set(found) == {f"m{number}" for number in range(20)} - {"m7"}
    assert made.lost == Counter(failed=1)


def test_a_scorer_that_answers_too_little_has_no_scores():
    class Short(Scorer):
        def score(self, rows):
            return []

    made = Shadowed(Short())
    assert made.all_of([served(1), served(2)]) == {}
    assert made.lost == Counter(failed=2)


def test_a_rule_that_is_null_has_no_score_and_that_is_no_failure():
    scorer = Scorer(lambda row: {0.001: math.nan, 0.002: -30.0}.get(row["months"]))
    made = Shadowed(scorer, RULE)
    assert made.all_of([served(1), served(2), served(3)]) == {"m1": None, "m2": -30.0, "m3": 0.003}
    assert made.lost == Counter()


def test_a_full_queue_drops_and_counts(monkeypatch):
    monkeypatch.setattr(shadow_scoring, "MOST_QUEUED", 5)
    monkeypatch.setattr(shadow_scoring, "PAUSE_SECONDS", 3600)
    made = Shadowed(Scorer())
    made.thread.offer("member", [served(number) for number in range(4)])
    assert set(made.all_of([served(number) for number in range(4, 9)])) == {
        f"m{number}" for number in range(5)
    }
    assert made.lost == Counter(dropped=4)


def test_one_that_hangs_is_switched_off_and_blocks_neither_the_others_nor_the_end(monkeypatch):
    monkeypatch.setattr(shadow_scoring, "HANG_SECONDS", 0.05)
    gate = threading.Event()
    events = []
    scores = []
    lost = Counter()
    scorers = {"version 3": Scorer(lambda _: gate.wait() and None), "months": Scorer()}
    pool = ShadowPool(
        lambda shadow, _: scorers[shadow.name], scored=lambda _, found: scores.extend(found),
        losses=Losses(lambda n: lost.update(dropped=n), lambda n: lost.update(failed=n)),
        open_reader=lambda _: None, report=lambda name, **fields: events.append((name, fields)),
    )  # fmt: skip
    pool.follow({VERSION: 1, RULE: None}, None)
    for number in range(300):
        for thread in pool.threads:
            thread.offer("member", [served(number)])
    hanging = pool.threads[0]
    assert waited(lambda: pool.check() or hanging.off is not None)
    assert waited(lambda: len(scores) == 300)
    assert {one.shadow for one in scores} == {"months"}
    assert lost["dropped"] > 0
    assert hanging.off in [fields.get("reason") for name, fields in events if name == "shadow off"]
    before = time.monotonic()
    pool.stop()
    assert time.monotonic() - before < 1
    gate.set()
    hanging._thread.join(30)
    assert len(scores) == 300


class Reader:
    """An online store with the months of customers, of one month."""

    def __init__(self, months=None, as_of=MONTH, behind=()):
        self.months = months
        self.row = (as_of, behind)
        self.closed = False

    async def read(self, keys):
        if self.months is None:
            raise StoreDown("away")
        return [
            OnlineRow({"months": 0.25}, *self.row) if key in self.months else None for key in keys
        ]

    def close(self):
        self.closed = True


def test_features_that_were_not_served_are_read_from_the_online_store():
    reader = Reader({"m1", "m2"})
    made = Shadowed(Scorer(), reader=reader)
    other = {"plan": "plus"}
    asked = [
        served(1, features=other), served(2, features=other, what_if=True), served(3),
        served(4, features=other),
    ]  # fmt: skip
    assert made.all_of(asked) == {"m1": 0.25, "m3": 0.003}
    assert made.lost == Counter(dropped=2)
    assert (made.opened, reader.closed) == (1, True)


@pytest.mark.parametrize(
    "reader", [Reader(), Reader({"m1"}, dt.date(2024, 2, 29)), Reader({"m1"}, behind=("months",))]
)
def test_what_the_store_has_of_another_month_is_not_scored(reader):
    made = Shadowed(Scorer(), reader=reader)
    assert made.all_of([served(1, features={})]) == {}
    assert made.lost == Counter(dropped=1)


def test_one_is_loaded_again_only_when_it_has_changed():
    loaded = []
    faults = {"version 3": None}

    def load(shadow, contract):
        loaded.append((shadow.name, contract))
        if faults[shadow.name]:
            raise faults[shadow.name]
        return Scorer()

    events = []
    pool = ShadowPool(
        load, scored=lambda *_: None, losses=Losses(print, print), open_reader=lambda _: None,
        report=lambda name, **fields: events.append(name),
    )  # fmt: skip
    for stamp, contract in ((1, "a"), (1, "a"), (2, "a"), (2, "b")):
        pool.follow({VERSION: stamp}, contract)
    assert loaded == [("version 3", "a"), ("version 3", "a"), ("version 3", "b")]
    [thread] = pool.threads
    faults["version 3"] = ValueError("damaged")
    for _ in range(2):
        pool.follow({VERSION: 3}, "b")
    assert (pool.threads, pool.faults) == ((), {"version 3": "damaged"})
    assert waited(lambda: not thread._thread.is_alive())
    faults["version 3"] = None
    pool.follow({VERSION: 3}, "b")
    assert (len(pool.threads), pool.faults) == (1, {})
    pool.follow({}, "b")
    assert pool.threads == ()
    assert events == ["shadow active"] * 3 + ["shadow off", "shadow active"]
    pool.stop()
