"""What can happen to a home, each as one call: the command, the point it may die at, and what it must come to."""

import datetime as dt
import itertools
import shutil
from collections import Counter as Tally
from dataclasses import replace
from pathlib import Path

import yaml

from churn_platform.services import Services
from churn_platform_tests.loop_steps import retrain, run
from churn_platform_tests.system.trust_course import BROKEN, HALF, Command, Course, Death
from churn_platform_tests.system.trust_driver import Driver
from churn_platform_tests.system.trust_look import shape_of, shaped, tables_of
from churn_platform_tests.system.trust_model import Facts, Trust

CHANGES = ("guests", "has_app", "plan")
"""A column that appears, one that ends, and one of which a value gets a new name."""
POINTS_OF_A_RUN = {"monthly": 420, "retraining": 320, "scores": 16, None: 5}


def unchanged(trust: Trust, _facts: Facts) -> Trust:
    """For commands that write no receipt."""
    return trust


class Business(Driver):
    """The people and files around one home."""

    def __init__(self, course: Course, work: Path, told: Tally[str]) -> None:
        super().__init__(course, work, told)
        self.kept: tuple[Path, Course] | None = None
        self._number = itertools.count(1)

    def month_comes(self) -> None:
        """The next month is delivered and processed."""
        self.deliver(self.course.next_month, 0)
        self.run()

    def deliver(self, month: dt.date, content: int, death: Death | None = None) -> None:
        """`churn ingest` of a sound month."""
        source = self._source(month, content)
        end = self.do(
            Command("ingest", lambda home: home.ingestion.accept(source, month), 26, unchanged),
            death,
        )
        name, drop = str(month), self.course.home / "drops" / str(month)
        self.course.returned = True
        if name in self.course.files.incoming:
            self.course.drops[name] = HALF
        elif end == "done" or _same_file(drop / "visits.csv", source / "visits.csv"):
            self.course.drops[name] = (content, frozenset())

    def send_broken(self, month: dt.date) -> None:
        """`churn ingest` of a drop that breaks the contract."""
        source = self._source(month, None)
        self.do(
            Command(
                "ingest",
                lambda home: home.ingestion.accept(source, month),
                26,
                lambda _trust, _facts: None,
            )
        )

    def put_broken(self, month: dt.date) -> None:
        """A file that breaks the contract comes into `drops/` by hand."""
        name, folder = str(month), self.course.home / "drops" / str(month)
        if self.course.drops.get(name) != HALF:
            shutil.copyfile(self._source(month, None) / "visits.csv", folder / "visits.csv")
            self.course.drops[name], self.course.returned = BROKEN, True
            self.look("ingest")

    def run(self, death: Death | None = None) -> None:
        """`churn run`."""
        before, contents = self.course.files, dict(self.course.contents)
        end = self.do(Command("run", run, POINTS_OF_A_RUN[self.course.said["due"]]), death)
        if end == "killed":
            return
        broken = [name for name, drop in self.course.drops.items() if drop == BROKEN]
        assert (end == "refused") == bool(broken)
        self._complete()
        assert self.course.trust.contract == self.course.said["contract"]
        for name, drop in self.course.drops.items():
            if drop == HALF or (broken and name >= broken[0]):
                continue
            assert self.course.contents[name] == drop, (
                f"{name} holds {self.course.contents[name]}, delivered was {drop}"
            )
            more = len(self.course.files.deliveries[name]) - len(before.deliveries.get(name, ()))
            assert more <= (contents.get(name) != drop), f"{more} deliveries more of {name}"
        assert broken or self.course.said["due"] is None

    def retrain(self, death: Death | None = None) -> None:
        """The job `retraining`, started by hand."""
        newest, before = dt.date.fromisoformat(self.course.said["newest"]), self.course.trust

        def job(home: Services) -> None:
            with home.exclusive():
                home.promotions.recover()
                home.erasure.finish()
                retrain(home, newest, "manual")

        if self.do(Command("retrain", job, 130), death) == "done":
            self._complete()
            self._came_up(before.settled(self.facts()))

    def approve(self, which: str, death: Death | None = None, *, override: bool) -> None:
        """`churn approve`."""
        version = self.course.version(which)
        self.do(
            Command(
                "approve",
                lambda home: home.approvals.approve(
                    version, "ann", "it is the better one", override=override
                ),
                140,
                lambda trust, facts: trust.approved(version, facts, override=override),
                lapses=True,
            ),
            death,
        )

    def reject(self, which: str, death: Death | None = None) -> None:
        """`churn reject`."""
        version = self.course.version(which)
        act = Command(
            "reject",
            lambda home: home.approvals.reject(version, "ann", "no"),
            8,
            lambda t, f: t.rejected_by(version, f),
        )
        self.do(replace(act, lapses=True), death)

    def roll_back(self, to: str | None, death: Death | None = None) -> None:
        """`churn rollback`."""
        version = None if to is None else self.course.version(to)

        def act(home: Services) -> str:
            return home.rollbacks.roll_back("ann", "it promised too much", to=version)

        self.do(
            Command("roll back", act, 46, lambda trust, facts: trust.rolled_back(version, facts)),
            death,
        )

    def unblock(self, which: str, death: Death | None = None) -> None:
        """`churn unblock`."""
        version = self.course.version(which)
        act = Command(
            "unblock",
            lambda home: home.rollbacks.unblock(version, "ann", "try"),
            8,
            lambda t, f: t.unblocked(version, f),
        )
        self.do(act, death)

    def forget(self, death: Death | None = None, *, anew: bool) -> None:
        """`churn forget` of a customer who was not forgotten yet, or of the last who was."""
        course = self.course
        old = (
            course.forgetting[0]
            if course.files.forgetting
            else course.forgotten[-1]
            if course.forgotten
            else ""
        )
        key = (
            old
            if old and not (anew and not course.files.forgetting)
            else f"m{10 + len(course.forgotten):05d}"
        )

        def predict(trust: Trust, _facts: Facts) -> Trust | None:
            # One whose forgetting was cut off is forgotten by completing it, and then there is nobody to forget.
            known = not self.course.files.forgetting and (
                key not in self.course.forgotten or self.course.returned
            )
            return trust.counted("customer forgotten") if known else None

        act = Command("forget", lambda home: home.erasure.erase(key, "ann", "asked"), 230, predict)
        self.do(replace(act, forgets=key), death)

    def change_policy(self, mode: str) -> None:
        """Somebody edits the contract's policy."""
        file = self.course.home / "contract.yaml"
        contract = yaml.safe_load(file.read_text())
        contract["policy"]["promotion"]["mode"] = mode
        file.write_text(yaml.safe_dump(contract, sort_keys=False))
        self.look("ingest")

    def changes_left(self) -> list[str]:
        """The columns whose drop has not changed yet."""
        shape = shape_of(self.course.home, dt.date.max)
        return [name for name in CHANGES if name not in shape]

    def change_contract(self, column: str, death: Death | None = None) -> None:
        """`churn contract update --from-drop` with the files of the next month."""
        month = self.course.next_month
        before = self.course.said["contract"]
        source = self._source(month, 0, frozenset({column}))

        def act(home: Services) -> None:
            updates = home.contract_updates
            updates.write(updates.propose([source], month))

        end = self.do(Command("contract", act, 16), death)
        changed = self.course.said["contract"] != before
        assert changed == (column in shape_of(self.course.home, month))
        if end == "done":
            assert changed
            assert self.course.trust.contract == self.course.said["contract"]

    def start_canary(self, which: str, death: Death | None = None) -> None:
        """`churn canary`."""
        version = self.course.version(which)

        def act(home: Services) -> str:
            return home.experiments.start_canary(
                version, (0.25, 0.5), dt.timedelta(days=1), "ann", "to see it"
            )

        self.do(Command("start a canary", act, 30), death)

    def end_canary(self, death: Death | None = None) -> None:
        """`churn canary --end`."""

        def act(home: Services) -> str:
            return home.experiments.end_canary("ann", "enough")

        self.do(Command("end a canary", act, 16, lambda trust, _: trust.without_canary()), death)

    def start_shadow(self, rule: str | None, death: Death | None = None) -> None:
        """`churn shadow` of a rule, or of the newest version."""
        version = self.course.version("newest") if rule is None else None

        def act(home: Services) -> str:
            return home.experiments.start_shadow(version, rule, "ann", "to see it")

        predict = None
        if rule is not None:

            def predict(trust: Trust, _facts: Facts) -> Trust | None:
                return trust.with_shadow(rule)

        self.do(Command("start a shadow", act, 16, predict), death)

    def end_shadow(self, death: Death | None = None) -> None:
        """`churn shadow --end` of one that runs, or of one that does not."""
        name = min(self.course.trust.shadows, default="hours < 99")

        def act(home: Services) -> str:
            return home.experiments.end_shadow(name, "ann", "enough")

        self.do(Command("end a shadow", act, 16, lambda t, _: t.without_shadow(name)), death)

    def let_days_pass(self, days: int) -> None:
        """Nothing happens for a while."""
        self.course.days += days

    def repair(self, death: Death | None = None) -> None:
        """`churn doctor --fix`."""
        if self.do(Command("repair", lambda home: home.repairs.run(), 20), death) == "done":
            self._complete()
            assert self.course.files.temporary == []

    def back_up(self, death: Death | None = None) -> None:
        """`churn backup`."""
        archive = self.work / f"{next(self._number)}.zip"
        self.do(Command("back up", lambda home: home.backup.write(archive), 4, unchanged), death)
        if archive.exists():
            self.kept = archive, self.course.copy(self.course.home)

    def restore(self, death: Death | None = None) -> None:
        """`churn restore` to another place; from then on that is the home."""
        archive, known = self.kept
        place = self.work / f"home-{next(self._number)}"

        def act(home: Services) -> object:
            return Services(
                home.settings.model_copy(update={"home": place}), home.now
            ).backup.restore(archive)

        end, _ = self._carry_out(
            Command("restore", act, 420), None if death is None else death.at * 420 // 1000
        )
        self.told[f"restore {end}"] += 1
        if not place.exists():
            assert end == "killed"
            return
        days = self.course.days
        self.course = known.copy(place)
        self.course.days, self.kept = days, None
        before = known.files.kept_by_a_refusal()
        self.look("restore")
        assert self.course.files.kept_by_a_refusal() == before
        assert self._count("home restored") == known.trust.counts.get("home restored", 0) + 1

    def _complete(self) -> None:
        """After these commands nothing is cut off."""
        assert not self.course.trust.begun()
        assert not self.course.files.forgetting

    def _came_up(self, before: Trust) -> None:
        """A candidate that passed and that no person stands against is in production, or waits."""
        facts, trust = self.facts(), self.course.trust
        decision = facts.on(facts.candidate)
        against = facts.candidate in before.barred or facts.candidate == before.production
        if against or (decision.production, decision.policy) != (before.production, facts.policy):
            return
        if decision.outcome == "promoted":
            assert trust.production == facts.candidate, (
                f"version {facts.candidate} passed and did not come up"
            )
        elif decision.outcome == "pending":
            assert trust.request is not None, (
                f"version {facts.candidate} passed and nobody was asked"
            )

    def _source(
        self, month: dt.date, content: int | None, more: frozenset[str] = frozenset()
    ) -> Path:
        """A folder with a month's files as its contract has them, and as a change makes them; without content one that
        breaks the contract.
        """
        shape = shape_of(self.course.home, month) | more
        folder = self.work.parent / f"source-{month}-{content}-{'-'.join(sorted(shape))}"
        if not folder.exists():
            folder.mkdir(parents=True)
            tables = shaped(tables_of(month, content or 0), month, shape, kept=False)
            for name, table in tables.items():
                broken = content is None and name == "visits"
                (table.assign(hours="many") if broken else table).to_csv(
                    folder / f"{name}.csv", index=False
                )
        return folder


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and one.read_bytes() == other.read_bytes()
