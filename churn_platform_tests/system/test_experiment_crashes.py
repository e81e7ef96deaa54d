"""Killed at any file operation of a start, a raise, a stop or an end, an experiment is in one state everywhere.

What servers follow is at each instant what it was before or what it is after; the receipt is written once.
"""

import contextlib
import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from churn_platform.audit.experiments import check_experiments
from churn_platform.base.errors import UsageError
from churn_platform.experiments.files import STOPPED_FILE, CanaryStop, read_running, read_stop
from churn_platform_tests.experiments.answering import answer
from churn_platform_tests.small_business import copied, open_home
from churn_platform_tests.system.crash_points import Command, points_of, survived

pytestmark = pytest.mark.slow
ANN = ("Ann", "To see it.")
DAY = dt.timedelta(days=1)
RULE = "hours < 3"


def start_canary(home):
    return home.experiments.start_canary(1, (0.25, 0.5), DAY, *ANN)


def start_shadow(home):
    return home.experiments.start_shadow(None, RULE, *ANN)


def end_canary(home):
    return home.experiments.end_canary(*ANN)


def end_shadow(home):
    return home.experiments.end_shadow(RULE, *ANN)


def settle(home):
    return home.experiments.settle()


def settle_a_day_later(home):
    now = home.now()
    return open_home(home.folder, lambda: now + 1.1 * DAY).experiments.settle()


def start_both(home):
    start_canary(home)
    start_shadow(home)


def answer_enough(home):
    start_both(home)
    answer(home)


def stop(home):
    """As a guardrail does in a server."""
    start_both(home)
    running = read_running(home.releases.folder).canary
    marker = CanaryStop(
        experiment=running.experiment, version=1, guardrail="errors", sentence="2 of 100 failed.",
        figures={"errors": 2}, time=running.since,
    )  # fmt: skip
    (home.releases.folder / STOPPED_FILE).write_text(marker.model_dump_json())


def promote_the_canary(home):
    start_both(home)
    home.rollbacks.roll_back(*ANN, to=1)


@dataclass(frozen=True)
class Case:
    """An act with what leads to it, and what it must come to.

    Attributes:
        share: The share of the customers whom the canary answers in the end; None without one.
        shadows: The names of the shadows in the end.
        acts: The receipts about experiments in the end.
    """

    before: Any
    act: Any
    share: float | None
    shadows: tuple[str, ...]
    acts: tuple[str, ...]


BOTH = ("canary started", "shadow started")
CASES = {
    "start a canary": Case(start_shadow, start_canary, 0.25, (RULE,), BOTH),
    "start a shadow": Case(start_canary, start_shadow, 0.25, (RULE,), BOTH),
    "raise": Case(answer_enough, settle_a_day_later, 0.5, (RULE,), (*BOTH, "canary raised")),
    "stop": Case(stop, settle, None, (RULE,), (*BOTH, "canary ended")),
    "end a canary": Case(start_both, end_canary, None, (RULE,), (*BOTH, "canary ended")),
    "end a shadow": Case(start_both, end_shadow, 0.25, (), (*BOTH, "shadow ended")),
    "promotion": Case(promote_the_canary, settle, None, (RULE,), (*BOTH, "canary ended")),
}


@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_point_there_is_one_state_and_each_receipt_once(february, tmp_path, name):
    case = CASES[name]
    start = copied(february, tmp_path / "start")
    case.before(open_home(start.folder))
    before = running_of(open_home(start.folder))
    after = (case.share, list(case.shadows))

    def between(home):
        """What a server reads while nobody has come back yet."""
        assert home.ledger.verify() is None
        assert running_of(home) in (before, after)
        # What a guardrail stopped is never answered by the canary again.
        stopped = read_stop(home.releases.folder) is not None
        assert name != "stop" or stopped or running_of(home)[0] is None

    def again(home):
        with contextlib.suppress(UsageError):
            case.act(home)

    def told(home):
        home.experiments.settle()
        receipts = home.ledger.receipts()
        acts = Counter(r.act for r in receipts if r.act.startswith(("canary", "shadow")))
        assert read_running(home.releases.folder) == home.experiments.state().running
        return {
            "running": running_of(home),
            "acts": dict(acts),
            "marker": (home.releases.folder / STOPPED_FILE).exists(),
            "breaks": [
                one.detail
                for one in check_experiments(home.releases, receipts)
                if one.state != "holds"
            ],
        }

    command = Command(name.replace(" ", "-"), start, case.act, again)
    passed, repeats = points_of(command, tmp_path)
    points = [point for point in range(len(passed)) if point not in repeats]
    assert len(points) > 5
    wanted = {
        "running": list(after),
        "acts": dict.fromkeys(case.acts, 1),
        "marker": False,
        "breaks": [],
    }
    found = survived(command, points, tmp_path, between, told)
    wrong = {f"{point} {passed[point]}": one for point, one in found if one != wanted}
    print(f"{name}: died at {len(points)} points, {len(passed)} with repeats")
    assert wrong == {}


def running_of(home):
    """The canary's share and the shadows, as servers read them."""
    running = read_running(home.releases.folder)
    share = None if running.canary is None else running.canary.share
    return share, [one.name for one in running.shadows]
