"""Any sequence of drops, corrections, runs, people's words, backups and crashes leaves a home that can be trusted.

Hypothesis draws the sequences; every command runs in a fork, and may be killed at any of its durable operations and be
followed by itself or by any other. After each the home is compared with a small model (`trust_model.py`).

By default the same sequences each time: what is red was made so by the commit. `CHURN_SEQUENCES=500` draws as many new
ones; one that fails is kept in hypothesis's database and comes first the next time.
"""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from churn_platform_tests.small_business import copied, make_home, open_home
from churn_platform_tests.system.trust_commands import CHANGES, Business
from churn_platform_tests.system.trust_course import PEOPLE, Course, Death
from churn_platform_tests.system.trust_look import CONTENTS
from churn_platform_tests.system.trust_rules import MAY

pytestmark = pytest.mark.slow
SEQUENCES, STEPS = 5, 20
MODES = ("automatic", "approval")
deaths = st.none() | st.builds(Death, st.integers(0, 999), st.booleans())
which = st.sampled_from(
    ("newest", "before", "oldest", "rejected", "blocked", "production", "unknown")
)


class Life(RuleBasedStateMachine):
    """One home from one of the starts on."""

    starts: dict[str, Course]
    files: Path
    told: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.files))

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(
        start=st.sampled_from(("rolled back", "pending", "february")),
        untouched=st.booleans(),
        death=deaths,
    )
    def begin(self, start: str, untouched: bool, death: Death | None) -> None:
        """Where a version is blocked it is often made and judged again at once: it passes, and must not come up."""
        self.business = begun(self.starts[start], self.folder, self.told)
        if start == "rolled back" and not untouched:
            self.business.retrain(death)

    def asks(self) -> bool:
        return self.business.course.trust.request is not None

    def takes_drops(self) -> bool:
        """What is delivered while a forgetting is cut off may bring the customer back: `test_forgetting.py` has that."""
        return not self.business.course.files.forgetting

    def takes_a_month(self) -> bool:
        return self.takes_drops() and self.business.course.next_month is not None

    @precondition(takes_a_month)
    @rule(content=st.sampled_from(CONTENTS), death=deaths)
    def deliver_a_month(self, content, death):
        self.business.deliver(self.business.course.next_month, content, death)

    @precondition(takes_a_month)
    @rule(content=st.sampled_from(CONTENTS), death=deaths)
    def process_a_month(self, content, death):
        self.business.deliver(self.business.course.next_month, content)
        self.business.run(death)

    @precondition(takes_drops)
    @rule(back=st.integers(0, 1), content=st.sampled_from(CONTENTS), death=deaths)
    def deliver_a_correction(self, back, content, death):
        self.business.deliver(
            self.business.course.wrong_month or self.business.course.month(back), content, death
        )

    @precondition(takes_drops)
    @rule(back=st.integers(0, 1), content=st.sampled_from(CONTENTS), death=deaths)
    def process_a_correction(self, back, content, death):
        self.business.deliver(
            self.business.course.wrong_month or self.business.course.month(back), content
        )
        self.business.run(death)

    @precondition(lambda self: self.takes_drops() and self.business.course.wrong_month is None)
    @rule(back=st.integers(0, 1), by_hand=st.sampled_from((False, False, True)))
    def send_a_broken_drop(self, back, by_hand):
        send = self.business.put_broken if by_hand else self.business.send_broken
        send(self.business.course.month(back))

    @rule(death=deaths)
    def run(self, death):
        self.business.run(death)

    @rule(death=deaths)
    def retrain(self, death):
        """By hand, once nothing is due: a version that people keep out is made and judged again."""
        work = self.business.retrain if self.business.course.may_retrain else self.business.run
        work(death)

    @precondition(lambda self: self.business.course.trust.blocked)
    @rule(death=deaths)
    def retrain_while_one_is_blocked(self, death):
        self.retrain(death)

    @precondition(asks)
    @rule(death=deaths)
    def approve_what_waits(self, death):
        self.business.approve("pending", death, override=False)

    @rule(which=which, override=st.sampled_from((True, True, False)), death=deaths)
    def approve(self, which, override, death):
        self.business.approve(which, death, override=override)

    @precondition(asks)
    @rule(death=deaths)
    def reject_what_waits(self, death):
        self.business.reject("pending", death)

    @rule(which=which, death=deaths)
    def reject(self, which, death):
        self.business.reject("pending" if self.asks() else which, death)

    @rule(to=st.none() | which, death=deaths)
    def roll_back(self, to, death):
        self.business.roll_back(to, death)

    @rule(which=which, death=deaths)
    def unblock(self, which, death):
        self.business.unblock("blocked" if self.business.course.trust.blocked else which, death)

    @rule(which=which, death=deaths)
    def start_a_canary(self, which, death):
        self.business.start_canary(which, death)

    @precondition(lambda self: self.business.course.trust.canary is not None)
    @rule(death=deaths)
    def end_the_canary(self, death):
        self.business.end_canary(death)

    @rule(rule=st.sampled_from((None, "hours < 3", "months > 9")), death=deaths)
    def start_a_shadow(self, rule, death):
        self.business.start_shadow(rule, death)

    @precondition(lambda self: self.business.course.trust.shadows)
    @rule(death=deaths)
    def end_a_shadow(self, death):
        self.business.end_shadow(death)

    @rule(anew=st.booleans(), death=deaths)
    def forget(self, anew, death):
        self.business.forget(death, anew=anew)

    @rule(mode=st.sampled_from(MODES))
    def change_the_policy(self, mode):
        self.business.change_policy(mode)

    @precondition(lambda self: self.takes_a_month() and self.business.changes_left())
    @rule(column=st.sampled_from(CHANGES), death=deaths)
    def change_the_contract(self, column, death):
        left = self.business.changes_left()
        self.business.change_contract(column if column in left else left[0], death)

    @precondition(asks)
    @rule()
    def let_days_pass(self):
        self.business.let_days_pass(20)

    @rule(death=deaths)
    def repair(self, death):
        self.business.repair(death)

    @precondition(lambda self: self.business.kept is None)
    @rule(death=deaths)
    def back_up(self, death):
        self.business.back_up(death)

    @precondition(lambda self: self.business.kept is None)
    @rule(death=deaths)
    def back_up_and_restore(self, death):
        self.business.back_up()
        self.business.restore(death)

    @precondition(lambda self: self.business.kept is not None)
    @rule(death=deaths)
    def restore(self, death):
        self.business.restore(death)


@pytest.fixture(scope="module")
def starts(january, tmp_path_factory):
    """The homes that the sequences begin with, made by the same commands under the same checks."""
    folder = tmp_path_factory.mktemp("starts")
    told: Counter[str] = Counter()

    def business(name: str, before: Business | None = None) -> Business:
        if before is None:
            return Business(Course(make_home(folder / name).folder), folder, told)
        copied(open_home(before.course.home), folder / name)
        return Business(before.course.copy(folder / name), folder, told)

    first = business("january")
    first.look("run")
    first.month_comes()
    second, third = business("february", first), business("pending", first)
    second.month_comes()
    third.change_policy("approval")
    third.month_comes()
    fourth = business("rolled back", second)
    fourth.roll_back(None)
    fourth.run()
    assert third.course.trust.request is not None
    assert fourth.course.trust.blocked == {2}
    return {business.course.home.name: business.course for business in (second, third, fourth)}


def begun(start: Course, folder: Path, told: Counter[str]) -> Business:
    """A copy of a start in `folder`."""
    folder.mkdir(exist_ok=True)
    copied(open_home(start.home), folder / "home")
    business = Business(start.copy(folder / "home"), folder, told)
    business.look("run")
    return business


def people_act(business: Business, death: Death | None) -> None:
    """What few of the drawn sequences come to: each word of a person, perhaps killed on its way, and one refused."""
    business.approve("pending", death, override=False)
    business.approve("production", override=True)
    business.roll_back(None, death)
    business.retrain(death)
    business.unblock("blocked", death)
    business.unblock("production")
    business.retrain(death)
    business.reject("pending", death)
    business.retrain()
    business.approve("rejected", death, override=True)
    business.roll_back(None)
    business.unblock("blocked")
    business.retrain()
    experiment(business, death)
    business.forget(death, anew=True)
    business.forget(anew=False)
    business.back_up(death)
    for column in CHANGES:
        business.change_contract(column, death)
    business.month_comes()
    business.repair(None if death is None else Death(0, again=True))
    business.put_broken(business.course.month(0))
    business.run()


def experiment(business: Business, death: Death | None) -> None:
    """Start, end and change of production of a canary; shadows beside it."""
    business.start_canary("newest", death)
    assert business.course.trust.canary is not None
    business.start_shadow("hours < 3", death)
    business.start_shadow(None)
    business.end_canary(death)
    business.end_shadow(death)
    business.start_canary("newest")
    business.approve("newest", override=True)
    business.run()
    assert business.course.trust.canary is None


def test_no_sequence_of_commands_and_crashes_makes_a_home_untrue(starts, tmp_path):
    Life.starts, Life.files, Life.told = starts, tmp_path, Counter()
    wanted = os.environ.get("CHURN_SEQUENCES")
    begun(
        starts["rolled back"], tmp_path / "judged", Life.told
    ).retrain()  # it passes, and stays where people put it
    people_act(begun(starts["pending"], tmp_path / "alive", Life.told), None)
    people_act(begun(starts["pending"], tmp_path / "killed", Life.told), Death(500, again=True))
    try:
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=int(wanted or SEQUENCES),
                stateful_step_count=STEPS,
                derandomize=wanted is None,
                phases=(Phase.generate,) if wanted is None else tuple(Phase),
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        print("\n" + "\n".join(f"{count:5d} {name}" for name, count in sorted(Life.told.items())))
    never = [
        f"{name} {end}"
        for name in MAY
        for end in ("done", "killed")
        if not Life.told[f"{name} {end}"]
    ]
    never += [
        f"{name} refused"
        for name in (*PEOPLE, "ingest", "run", "forget")
        if not Life.told[f"{name} refused"]
    ]
    never += [
        f"{who} after a kill"
        for who in ("the same", "another")
        if not Life.told[f"{who} after a kill"]
    ]
    assert never == [], "these sequences show nothing of what never happened in them"
