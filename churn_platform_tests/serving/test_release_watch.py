"""Always the production model: verified before use, switched at one instant, and never a bad one."""

import datetime as dt
import json
import shutil
import time

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.base.home import utc_now
from churn_platform.serving.contract_file import ContractFile
from churn_platform.serving.release_watch import CONTRACTS_KEPT, RETRY_SECONDS, ReleaseWatch
from churn_platform_tests.api_client import FEWER, boosted, point, publish, with_contract
from churn_platform_tests.small_business import DECLARED

ROW = {"months": 4, "plan": "plus", "has_app": None, "hours": 3.5}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.time = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def __call__(self):
        return self.time

    def move(self, seconds):
        self.time += dt.timedelta(seconds=seconds)


class Watched:
    """A watch on a home with a clock of its own, and what it told."""

    def __init__(self, home):
        self.clock = Clock()
        self.activated = []
        self.prepared = []
        self.refused = []
        self.broken = []
        self.dropped = []
        self.watch = ReleaseWatch(
            home.releases, home.contract, now=self.clock, activated=lambda held: self.activated.append(held.current.manifest.version),
            reread=ContractFile(home.settings, broken=self.broken.append).read, prepare=self.prepared.append,
            refused=lambda version, reason: self.refused.append((version, reason)), dropped=self.dropped.append,
        )  # fmt: skip

    @property
    def version(self):
        return self.watch.current and self.watch.current.manifest.version


@pytest.fixture
def watched(served_copy):
    """A watch that has loaded version 2, and its home."""
    made = Watched(served_copy)
    made.watch.poll()
    assert made.version == 2
    return made, served_copy


def spoil(home, version, name, content=b"changed"):
    (home.releases.folder / str(version) / name).write_bytes(content)


@pytest.mark.parametrize("name", ["booster.txt", "serving.json", "model.skops", "manifest.json"])
def test_a_release_whose_file_was_changed_is_refused_and_the_last_good_one_goes_on(watched, name):
    made, home = watched
    spoil(home, 3, name)
    with pytest.raises(IntegrityError):
        point(home, 3)
    pointer = json.loads(home.releases.pointer_file.read_text()) | {"version": 3}
    home.releases.pointer_file.write_text(json.dumps(pointer))
    made.watch.poll()
    assert made.version == 2
    [(version, reason)] = made.refused
    assert version == 3
    assert name in reason
    assert made.watch.refusal == reason


def test_a_refused_release_is_told_once_and_taken_when_it_was_mended(watched):
    made, home = watched
    good = (home.releases.folder / "3" / "booster.txt").read_bytes()
    point(home, 3)
    spoil(home, 3, "booster.txt")
    for _ in range(5):
        made.watch.poll()
        made.clock.move(RETRY_SECONDS + 1)
    assert (made.version, len(made.refused)) == (2, 1)
    spoil(home, 3, "booster.txt", good)
    made.watch.poll()
    assert (made.version, made.watch.refusal) == (3, None)


def test_a_promotion_is_active_at_its_instant_and_not_before(watched):
    made, home = watched
    point(home, 3, made.clock() + dt.timedelta(seconds=2))
    assert 0 < made.watch.poll() <= 0.25
    assert made.version == 2
    made.clock.move(1.9)
    assert made.watch.poll() == pytest.approx(0.1)
    made.clock.move(0.1)
    made.watch.poll()
    assert made.version == 3
    assert made.activated == [2, 3]


def test_a_rollback_before_the_instant_takes_its_place(watched):
    made, home = watched
    point(home, 3, made.clock() + dt.timedelta(seconds=2))
    made.watch.poll()
    point(home, 2)
    made.watch.poll()
    made.clock.move(5)
    made.watch.poll()
    assert made.version == 2


def test_a_look_without_news_loads_nothing(watched, monkeypatch):
    made, home = watched
    monkeypatch.setattr(home.releases, "verify", lambda _: pytest.fail("verified again"))
    for _ in range(5):
        made.watch.poll()
    assert made.activated == [2]


def test_a_pointer_that_is_gone_or_broken_leaves_what_serves(watched):
    made, home = watched
    home.releases.pointer_file.write_text("{")
    made.watch.poll()
    assert (made.version, made.refused[0][0]) == (2, None)
    home.releases.pointer_file.unlink()
    made.watch.poll()
    assert made.version == 2


def test_before_the_first_promotion_nothing_answers_and_the_first_is_taken(served_copy):
    pointer = served_copy.releases.pointer_file.read_text()
    served_copy.releases.pointer_file.unlink()
    made = Watched(served_copy)
    made.watch.poll()
    assert (made.version, made.refused) == (None, [])
    served_copy.releases.pointer_file.write_text(pointer)
    made.watch.poll()
    assert made.version == 2


def test_a_worker_that_starts_between_promotion_and_its_instant_answers_with_the_one_before(
    served_copy,
):
    made = Watched(served_copy)
    point(served_copy, 3, made.clock() + dt.timedelta(seconds=2))
    made.watch.poll()
    assert made.version == 2
    assert made.watch.current.since == served_copy.releases.manifest(2).created_at
    made.clock.move(2)
    made.watch.poll()
    assert made.version == 3


@pytest.mark.parametrize(("bad", "answers"), [([3], 2), ([3, 2], None)])
def test_a_worker_that_starts_on_a_bad_release_answers_with_the_one_before(
    served_copy, bad, answers
):
    point(served_copy, 3)
    for version in bad:
        spoil(served_copy, version, "booster.txt")
    made = Watched(served_copy)
    made.watch.poll()
    assert made.version == answers
    assert [version for version, _ in made.refused] == bad


def test_neither_mlflow_nor_the_ledger_nor_dagster_is_needed(watched):
    made, home = watched
    for name in ("mlflow.db", "ledger", "dagster", "artifacts"):
        path = home.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    point(home, 3)
    made.watch.poll()
    assert made.version == 3


def test_the_thread_takes_a_promotion_by_itself_and_ends_when_it_is_told(served_copy):
    watch = ReleaseWatch(served_copy.releases, served_copy.contract, now=utc_now)
    watch.start()
    assert watch.current.manifest.version == 2
    point(served_copy, 3)
    deadline = time.monotonic() + 30
    while watch.current.manifest.version != 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watch.current.manifest.version == 3
    watch.stop()
    assert not watch._thread.is_alive()


def features(held):
    return list(held.contract.features)


EVERY = ["months", "plan", "has_app", "hours"]


def test_each_release_answers_with_its_own_contract_and_both_change_at_one_instant(watched):
    made, home = watched
    before = made.watch.held
    changed = with_contract(home, feature_views=FEWER)
    publish(changed, 4, boosted(changed))
    point(changed, 4, made.clock() + dt.timedelta(seconds=2))
    made.watch.poll()
    [prepared] = made.prepared
    assert features(prepared) == ["months", "plan"]
    assert (made.version, prepared.current, made.watch.held) == (2, None, before)
    made.clock.move(2)
    made.watch.poll()
    assert (made.version, made.watch.held, before.current.manifest.version) == (4, prepared, 2)
    point(home, 3)  # its features are in the contract's tables, though no candidate learns them
    made.watch.poll()
    assert (made.version, made.watch.refusal, features(made.watch.held)) == (3, None, EVERY)
    point(home, 4)
    made.watch.poll()
    assert (made.watch.held, len(made.prepared)) == (prepared, 1)  # nothing is made twice


def test_the_words_of_a_release_stay_and_the_policy_of_today_applies_at_once(watched):
    made, home = watched
    tables = json.loads(json.dumps(DECLARED["tables"]))
    tables["members"]["columns"]["months"]["phrase"] = "other words"
    policy = {**DECLARED["policy"], "serving": {"stale_features": "answer"}}
    with_contract(home, tables=tables, policy=policy)
    made.watch.poll()
    contract = made.watch.held.contract
    assert contract.features["months"].phrase == "{value} months as a member"
    assert contract.policy.serving.stale_features == "answer"
    assert made.activated == [2, 2]


def test_a_broken_or_missing_contract_file_stops_neither_answers_nor_changes_of_production(watched):
    made, home = watched
    file = home.folder / "contract.yaml"
    for number, damage in enumerate((lambda: file.write_text("name: ["), file.unlink), start=1):
        damage()
        point(home, 4 - number)
        for _ in range(3):
            made.watch.poll()
        assert (made.version, made.watch.refusal, len(made.broken)) == (4 - number, None, number)
    assert "contract.yaml" in made.broken[0]


def test_a_contract_without_a_table_of_the_release_is_refused_and_answers_go_on(watched):
    made, home = watched
    text = (home.folder / "contract.yaml").read_text()
    tables = {name: table for name, table in DECLARED["tables"].items() if name != "visits"}
    with_contract(home, tables=tables, feature_views=FEWER)
    made.watch.poll()
    assert (made.version, features(made.watch.held)) == (2, EVERY)
    assert "'visits'" in made.watch.refusal
    (home.folder / "contract.yaml").write_text(text)
    made.watch.poll()
    assert (made.watch.refusal, len(made.prepared)) == (None, 0)


def test_a_contract_of_the_same_meaning_changes_nothing(watched):
    made, home = watched
    with_contract(home)
    made.watch.poll()
    assert (made.activated, made.prepared) == ([2], [])


def test_a_promotion_under_a_contract_with_dates_is_followed(watched):
    made, home = watched
    tables = json.loads(json.dumps(DECLARED["tables"]))
    tables["visits"]["columns"]["survey"] = {"dtype": "integer", "since": "2030-01-31"}
    with_contract(home, tables=tables)
    made.watch.poll()
    assert made.watch.held.contract.boundaries
    point(home, 3)
    made.watch.poll()
    assert (made.version, made.watch.refusal) == (3, None)


def test_a_worker_that_starts_before_the_instant_follows_to_another_contract(served_copy):
    home = with_contract(served_copy, feature_views=FEWER)
    publish(home, 4, boosted(home))
    made = Watched(home)
    point(home, 4, made.clock() + dt.timedelta(seconds=2))
    made.watch.poll()
    assert (made.version, features(made.watch.held)) == (2, EVERY)
    made.clock.move(2)
    made.watch.poll()
    assert (made.version, features(made.watch.held)) == (4, ["months", "plan"])


def test_a_refusal_survives_the_release_that_stands_in_under_another_contract(served_copy):
    home = with_contract(served_copy, feature_views=FEWER)
    publish(home, 4, boosted(home))
    point(home, 4)
    spoil(home, 4, "booster.txt")
    made = Watched(home)
    made.watch.poll()
    assert (made.version, features(made.watch.held)) == (2, EVERY)
    assert "booster.txt" in made.watch.refusal


def test_the_contracts_of_the_last_releases_are_kept_and_older_ones_are_dropped(watched):
    made, home = watched
    for number in range(CONTRACTS_KEPT + 1):
        with_contract(home, policy={**DECLARED["policy"], "scoring": {"listed": 20 + number}})
        made.watch.poll()
    assert made.activated == [2] * (CONTRACTS_KEPT + 1)
    assert len(made.dropped) == 1
    assert made.dropped[0] is not made.watch.held
