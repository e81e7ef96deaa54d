"""Gives a home commands, each in a fork that may die on its way, and compares what became of it with the model."""

import datetime as dt
import json
import signal
from collections import Counter as Tally
from collections.abc import Callable
from pathlib import Path
from typing import Any

from churn_platform.base.errors import ChurnError
from churn_platform.services import Services
from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.crash_points import Counter, ended, forked
from churn_platform_tests.system.trust_course import COMPLETES, PEOPLE, Command, Course, Death
from churn_platform_tests.system.trust_look import Files, asked, files_of, missing_or_changed
from churn_platform_tests.system.trust_model import Facts, Trust
from churn_platform_tests.system.trust_rules import read_all


class Driver:
    """One home under way; `told` counts what happened, over all homes that share it."""

    def __init__(self, course: Course, work: Path, told: Tally[str]) -> None:
        self.course, self.work, self.told = course, work, told

    def do(self, command: Command, death: Death | None = None) -> str:
        """Carry out a command; once more where it died and the same is to come again. How the last one ended."""
        end = self._once(command, None if death is None else death.at * command.points // 1000)
        if end == "killed" and death is not None and death.again:
            return self._once(command, None)
        return end

    def facts(self) -> Facts:
        """What a command that begins now finds."""
        files = self.course.files
        assert files is not None
        return files.facts(self.course.said["policy"], self._now())

    def look(self, command: str) -> None:
        """Read the home as it now is, and check what must hold at every instant."""
        course, before = self.course, self.course.files
        files = files_of(course.home)
        new = files.lines if before is None else self._grown(before, files)
        course.files = files
        quiet, same = not files.forgetting, before is not None and files.state() == before.state()
        course.verified = course.verified and same
        whole, contents = (
            quiet and not course.cut and not course.verified,
            quiet and not (same and course.contents),
        )
        course.said = self._forked(lambda: asked(self._open(), whole=whole, contents=contents))
        course.verified = course.verified or whole
        facts, forgotten = self.facts(), self._count("customer forgotten")
        course.trust = read_all((json.loads(line) for line in new), course.trust, command, facts)
        self._forgotten(self._count("customer forgotten") - forgotten)
        if contents:
            held = course.said["contents"].items()
            course.contents = {
                month: (content, frozenset(lacking)) for month, (content, lacking) in held
            }
            assert missing_or_changed(course.home, files) == []
        self._check(files)

    def _once(self, command: Command, point: int | None) -> str:
        course = self.course
        before, files, facts = course.trust, course.files, self.facts()
        predicted = None if command.predict is None else command.predict(before, facts)
        started = self._started(command, facts)
        if command.forgets and not files.forgetting:
            course.forgetting = [command.forgets]
        end, said = self._carry_out(command, point)
        self.told[f"{command.name} {end}"] += 1
        if course.cut and end != "killed":
            self.told[
                f"{'the same' if course.cut == command.name else 'another'} after a kill"
            ] += 1
        if end == "killed":
            course.cut, course.died = command.name, True
        elif command.name in (course.cut, "run") or (
            course.cut in PEOPLE and command.name in COMPLETES
        ):
            course.cut = "" if end == "done" or command.name in PEOPLE else course.cut
        self.look(command.name)
        if command.predict is not None:
            self._compare(command, (end, said), (before, started, predicted), files)
        return end

    def _compare(
        self,
        command: Command,
        ended_so: tuple[str, str],
        states: tuple[Trust, Trust, Trust | None],
        files: Files,
    ) -> None:
        """What a command came to is what the model says: of one that was killed all, or nothing."""
        (end, said), (before, started, predicted), after = ended_so, states, self.course.trust
        if end == "killed":
            reached = [self._at_rest(state) for state in states if state is not None]
            assert self._at_rest(after) in reached, (
                f"{command.name} was killed and left {after}, not one of {reached}"
            )
        elif end == "refused":
            assert predicted is None, (
                f"{command.name} was refused: {said}; it should have led to {predicted}"
            )
            assert after == started, f"{command.name} was refused and led from {started} to {after}"
            if not before.begun() and not files.forgetting:
                unchanged = files.kept_by_a_refusal() == self.course.files.kept_by_a_refusal()
                assert unchanged, f"{command.name} was refused and changed files: {said}"
        else:
            assert predicted is not None, (
                f"{command.name} should have been refused in {before}: {said}"
            )
            assert after == predicted, (
                f"{command.name} led from {before} to {after} and not to {predicted}"
            )

    def _started(self, command: Command, facts: Facts) -> Trust:
        """What a command comes to before it does its own: what was cut off is completed, what has lapsed is told."""
        state = self.course.trust
        if command.name in COMPLETES:
            state = state.settled(facts)
        if command.forgets and self.course.files.forgetting:
            state = state.counted("customer forgotten")
        return state.lapsed(facts) if command.lapses else state

    def _at_rest(self, state: Trust) -> Trust:
        facts = self.facts()
        return state.settled(facts).lapsed(facts)

    def _check(self, files: Files) -> None:
        course, trust = self.course, self.course.trust
        assert course.said["breaks"] == [], course.said["breaks"]
        pointer, alias = self.facts().pointer, files.aliases.get("production")
        move = trust.intent or trust.approval
        allowed = {trust.production} if move is None else {trust.production, move.version}
        assert pointer in allowed, f"the pointer names {pointer}, the receipts {allowed}"
        assert alias in allowed, f"the alias names {alias}, the receipts {allowed}"
        assert pointer is None or pointer in files.releases
        digests = [digest for digest in files.versions.values() if digest is not None]
        assert len(set(digests)) == len(digests), "one candidate was registered twice"
        assert len(files.decisions) - len(trust.decided) in ((0, 1) if course.died else (0,))
        assert files.temporary == [] or course.died
        if not course.cut:
            canary = trust.canary and trust.canary[0]
            assert files.followed == (canary, trust.shadows), (
                f"servers follow {files.followed}, the receipts say {canary}, {trust.shadows}"
            )
            counted = {month: len(deliveries) for month, deliveries in files.deliveries.items()}
            assert counted == trust.months, (
                f"the lake has {counted} deliveries, the receipts say {trust.months}"
            )

    def _grown(self, before: Files, now: Files) -> list[bytes]:
        """The new lines; what was there must be there, byte for byte."""
        old = before.lines
        assert now.lines[: len(old)] == old, "an earlier line of the ledger changed"
        assert now.ledger[-1:] in (b"", b"\n") or self.course.died, (
            "a line of the ledger is torn and nobody was killed"
        )
        for name in ("versions", "releases", "decisions"):
            was, is_now = getattr(before, name), getattr(now, name)
            assert {key: is_now.get(key) for key in was} == was, (
                f"{name}: something is gone or changed"
            )
        for month, deliveries in before.deliveries.items():
            found = now.deliveries.get(month, [])
            assert len(found) >= len(deliveries), f"a delivery of {month} is gone"
            if not (self.course.forgetting or self.course.forgotten):
                assert found[: len(deliveries)] == deliveries, (
                    f"an accepted delivery of {month} changed"
                )
        return now.lines[len(old) :]

    def _forgotten(self, newly: int) -> None:
        course = self.course
        done, course.forgetting = course.forgetting[:newly], course.forgetting[newly:]
        if not course.files.forgetting:
            course.forgetting = []
        course.forgotten += done
        course.returned = course.returned and not done
        for month, drop in course.drops.items():
            if isinstance(drop, tuple):
                course.drops[month] = (drop[0], drop[1] | set(done))

    def _count(self, act: str) -> int:
        return self.course.trust.counts.get(act, 0)

    def _now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(days=self.course.days)

    def _open(self) -> Services:
        return open_home(self.course.home, self._now)

    def _carry_out(self, command: Command, point: int | None) -> tuple[str, str]:
        """How it ended (done, refused, killed) and what it said."""
        answer, log = self.work / "answer.json", self.work / "log"

        def child() -> None:
            counter = Counter(-1 if point is None else point)
            if point is not None:
                counter.install()
            try:
                said = ["done", str(command.act(self._open()))]
            except ChurnError as error:
                said = ["refused", str(error)]
            if counter.pass_by("at the end"):
                counter.die()
            answer.write_text(json.dumps(said))

        log.unlink(missing_ok=True)
        code = ended(forked(child, log))
        if code == -signal.SIGKILL and point is not None:
            return "killed", ""
        assert code == 0, f"{command.name} failed ({code}): {log.read_text()[-3000:]}"
        end, said = json.loads(answer.read_text())
        return end, said

    def _forked(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        answer, log = self.work / "look.json", self.work / "look.log"
        log.unlink(missing_ok=True)
        code = ended(forked(lambda: answer.write_text(json.dumps(ask())), log))
        assert code == 0, f"the home cannot be read: {log.read_text()[-3000:]}"
        return json.loads(answer.read_text())
