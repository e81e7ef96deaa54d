"""Killed at any durable operation of any command, the same command again leaves exactly what one run would have.

Every command is run once to count its points (each rename, unlink, fsync, commit ..., half way through a line of the
ledger), then killed at each of them in a fork of this process, unless the files are as at the point before.
`CHURN_CRASH_POINTS=all` dies at every point of every command; by default those of a move of production are exhausted
and the others sampled evenly.
"""

import contextlib
import datetime as dt
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import UsageError
from churn_platform.base.files import sha256_file
from churn_platform.contacts.plan import plan_digest
from churn_platform.contacts.tested_plan import A_ONLY, B_ONLY, BOTH
from churn_platform.experiments.model_tests import ModelTests
from churn_platform.lake.records import KINDS
from churn_platform.ledger.receipts import version_of
from churn_platform.maintenance.backup import copy_checked, opened
from churn_platform.promotion.promotions import production_candidate
from churn_platform.scoring.contact_planning import ContactPlanning, list_files
from churn_platform.services import Services
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.contacts.contacted_gym import calls, deliver_april, tables
from churn_platform_tests.experiments.tested_months import (
    ANN,
    BUDGET,
    MAY,
    labelled_month,
)
from churn_platform_tests.loop_steps import run, train
from churn_platform_tests.small_business import (
    APRIL,
    FEBRUARY,
    JANUARY,
    MARCH,
    copied,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
    with_changes,
    with_policy,
)
from churn_platform_tests.system.crash_points import Command, points_of, survived
from churn_platform_tests.system.trusted_home import flip

pytestmark = pytest.mark.slow
SAMPLE = 3
# An approval is carried out through every point of a promotion.
EXHAUSTED = (
    "rollback", "approve", "unblock", "backup", "contract", "contract then run", "contact plan",
)  # fmt: skip
KEY = "m00004"
NOISE = {"promotion intent", "promotion void", "rollback intent", "rollback void", "recovery"}
"""Acts of which a kill leaves one more; each of the others is done once."""


def sound(home: Services) -> None:
    """What holds at every instant, between a kill and the next command too: one production version, and it serves."""
    pointer = home.releases.pointer()
    assert pointer is not None
    assert production_candidate(home.releases).version == pointer.version
    assert home.ledger.verify(pointer.ledger_head) is None
    home.progress().next_step()
    for month in home.lake.months():
        home.lake.tables(month)
    for kind in KINDS:
        for month in home.records.months(kind):
            home.records.read(kind, month)
    for month in home.records.months("training_dataset"):
        if (
            home.records.path("training_dataset", month, ".parquet").exists()
            and not home.folder.joinpath("forgetting").exists()
        ):
            home.training_datasets.load(month)
    if home.folder.joinpath("forgetting").exists():
        return
    for month in home.contact_plans.months():
        if any(file.exists() for file in list_files(home.reports, month)):
            home.contact_plans.rows(month)  # whoever may have seen a list finds it registered


def story(home: Services) -> dict[str, Any]:
    """What a home has come to, without what a kill may leave behind: version numbers, times, recoveries."""
    sound(home)
    pointer, receipts = home.releases.pointer(), home.ledger.receipts()
    state = home.ledger.state()
    moved = state.changes
    assert home.registry.alias(PRODUCTION) == pointer.version == version_of(moved[-1].after)
    assert state.open_intent is None
    assert home.progress().next_step() is None
    for version in home.releases.versions():
        home.releases.verify(version)
    return {
        "production": production_candidate(home.releases).digest,
        "registered": sorted(
            home.registry.load(version).digest for version in sorted(home.registry.tags())
        ),
        "released": sorted(
            home.releases.manifest(version).candidate_digest for version in home.releases.versions()
        ),
        "lake": {
            str(m): [home.lake.digest(m), len(home.lake.deliveries(m))] for m in home.lake.months()
        },
        "records": {
            f"{kind} {m}": _record(home, kind, m)
            for kind in KINDS
            for m in home.records.months(kind)
        },
        "decisions": [
            [d["as_of"], d["decision"], d["candidate_digest"]] for d in home.records.decisions()
        ],
        "acts": dict(Counter(receipt.act for receipt in receipts if receipt.act not in NOISE)),
        "contact plans": {
            str(m): [
                plan_digest(home.contact_plans.rows(m), "member"),
                *(sha256_file(file) for file in list_files(home.reports, m)[:1]),
            ]
            for m in home.contact_plans.months()
        },
        "rows of the forgotten": sum(
            KEY in set(home.lake.tables(m)["members"]["member"]) for m in home.lake.months()
        ),
        "contract": _contract(home),
        "left": sorted(path.name for path in home.folder.iterdir() if path.name in ("forgetting",)),
        "left beside": sorted(
            path.name for path in home.folder.parent.glob(f".{home.folder.name}.*")
        ),
    }


def _contract(home: Services) -> str:
    """The file in use, which the newest receipt of a contract has, and which no half-written one replaced."""
    recorded = home.contract_history.recorded()
    assert recorded is not None
    assert recorded.written() == home.contract.written()
    return digest_of(recorded.written())


def _record(home: Services, kind: str, month: dt.date) -> list[Any]:
    record = home.records.read(kind, month) or {}
    return [
        record.get(name) for name in ("snapshot", "inputs", "digest", "customers", "stand_down")
    ]


def again(home: Services) -> None:
    run(home)


def forgotten(home: Services) -> object:
    return home.erasure.erase(KEY, "ann", "asked")


def rolled_back(home: Services) -> object:
    return home.rollbacks.roll_back("ann", "it promised too much", to=1)


def approved(home: Services) -> object:
    return home.approvals.approve(2, "ann", "it is the better one")


def rejected(home: Services) -> object:
    return home.approvals.reject(2, "ann", "not before the campaign")


def unblocked(home: Services) -> object:
    return home.rollbacks.unblock(2, "ann", "it was the data")


def archive_of(home: Services) -> Path:
    return home.folder.with_name(f"{home.folder.name}.zip")


def backed_up(home: Services) -> object:
    return home.backup.write(archive_of(home))


def backed_up_again(home: Services) -> None:
    """Until the archive is whole nothing has its name; then every byte in it is as recorded."""
    if not archive_of(home).exists():
        backed_up(home)
    with opened(archive_of(home)) as (archive, said):
        for name in said.files:
            copy_checked(archive, said, name)


def damaged(home: Services) -> None:
    """A bit of the release in production, the alias, a record and the pointer are wrong, a half-written file lies there."""
    flip(home.releases.folder / "2" / "model.skops")
    home.registry.set_alias(PRODUCTION, 1)
    home.records.path("performance", JANUARY, ".json").write_bytes(b"{")
    home.releases.pointer_file.write_bytes(b"{")
    (home.folder / "lake" / ".half.tmp").write_bytes(b"")


def unless_nowhere(home: Services) -> None:
    """A restore that was cut off has put nothing in its place."""
    if any(home.folder.iterdir()):
        sound(home)


def chained(home: Services) -> None:
    """A home under repair: what is whole of it is the ledger."""
    assert home.ledger.verify() is None


BETWEEN = {"restore": unless_nowhere, "repair": chained}
"""What holds between a kill and the next command, where that is less than `sound`."""


def again_unless_done(act: Any) -> Any:
    """The command again, which may say that the first one was completed."""

    def once_more(home: Services) -> None:
        with contextlib.suppress(UsageError):
            act(home)
        run(home)

    return once_more


def waiting(home: Services) -> None:
    """February's candidate passes, and waits for a person's word."""
    home = with_policy(home, mode="approval")
    home.decision_maker.decide(FEBRUARY, "performance")
    home.decision_maker.carry_out()


@pytest.fixture(scope="module")
def commands(january, tmp_path_factory):
    """Each command with the home it starts from: the loop's steps one after the other through February."""
    folder = tmp_path_factory.mktemp("stages")
    files = make_home(folder / "files")
    deliver(files, FEBRUARY)
    (files.drops / str(FEBRUARY)).rename(folder / "february")
    stages: dict[str, Services] = {"ingest": copied(january, folder / "ingest")}

    def stage(name: str, before: str, act: Any) -> None:
        stages[name] = copied(stages[before], folder / name)
        act(open_home(stages[name].folder))

    stage("monthly", "ingest", lambda home: home.ingestion.accept(folder / "february", FEBRUARY))
    stage("train", "monthly", lambda home: monthly(home, FEBRUARY))
    stage("decide", "train", lambda home: train(home, FEBRUARY))
    stage("promote", "decide", lambda home: home.decision_maker.decide(FEBRUARY, "performance"))
    stage("forget", "promote", run)
    stages["rollback"] = stages["forget"]
    stage("approve", "decide", waiting)
    stages["reject"] = stages["approve"]
    stage("unblock", "rollback", rolled_back)
    run(open_home(stages["unblock"].folder))
    stages["backup"] = stages["rollback"]
    stages["contract"] = stages["rollback"]
    march = month_tables(MARCH)
    march["members"]["guests"] = march["members"]["months"] % 3
    deliver(files, MARCH, march)
    stage("repair", "rollback", damaged)
    stages["rollback"].backup.write(folder / "home.zip")
    stages["restore"] = open_home(folder / "nowhere")
    stages["restore"].folder.mkdir()
    acts = {
        "monthly": lambda home: monthly(home, FEBRUARY),
        "train": lambda home: train(home, FEBRUARY),
        "decide": lambda home: home.decision_maker.decide(FEBRUARY, "performance"),
        "promote": lambda home: home.decision_maker.carry_out(),
    }
    made = {name: Command(name, stages[name], act, again) for name, act in acts.items()}
    made["ingest"] = Command(
        "ingest",
        stages["ingest"],
        lambda h: h.ingestion.accept(folder / "february", FEBRUARY),
        lambda h: (h.ingestion.accept(folder / "february", FEBRUARY), run(h)),
    )
    made["backup"] = Command("backup", stages["backup"], backed_up, backed_up_again)
    made["repair"] = Command(
        "repair",
        stages["repair"],
        lambda home: home.repairs.run(),
        lambda home: (home.repairs.run(), run(home)),
    )

    def updated(home: Services) -> None:
        updates = home.contract_updates
        updates.write(updates.propose([files.drops / str(MARCH)], MARCH))

    made["contract"] = Command(
        "contract",
        stages["contract"],
        updated,
        lambda home: (updated(home), run(open_home(home.folder))),
    )
    made["contract then run"] = Command(
        "contract then run",
        stages["contract"],
        updated,
        lambda home: (run(home), updated(open_home(home.folder)), run(open_home(home.folder))),
    )

    def restored(home: Services) -> object:
        return home.backup.restore(folder / "home.zip")

    once = {
        "forget": forgotten, "rollback": rolled_back, "approve": approved, "reject": rejected, "unblock": unblocked,
        "restore": restored,
    }  # fmt: skip
    made |= {
        name: Command(name, stages[name], act, again_unless_done(act)) for name, act in once.items()
    }
    return made


@pytest.fixture(scope="module")
def contact_commands(contacted, tmp_path_factory):
    """April of the gym with contacts: its month, the plan alone, and a member who leaves all plans."""
    folder = tmp_path_factory.mktemp("contact stages")
    month = copied(contacted, folder / "month")
    deliver_april(month)
    scored = copied(month, folder / "scored")
    monthly_without_plan = open_home(scored.folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ContactPlanning, "make", lambda *_: None)
        monthly(monthly_without_plan, APRIL)
    planned = copied(scored, folder / "planned")
    run(open_home(planned.folder))
    return {
        "contact month": Command("contact month", month, lambda h: monthly(h, APRIL), again),
        "contact plan": Command(
            "contact plan", scored, lambda h: h.month.contact_plan(APRIL), again
        ),
        "contact forget": Command(
            "contact forget", planned, forgotten, again_unless_done(forgotten)
        ),
    }


@pytest.fixture(scope="module")
def model_test_commands(contacted, tmp_path_factory):
    """A test of two versions: its start, the plan of its first month, and its last look."""
    folder = tmp_path_factory.mktemp("test stages")
    start = with_changes(copied(contacted, folder / "start"), {"policy.contacts.budget": BUDGET})

    def started(home: Services) -> object:
        return home.model_tests.start(2, 1, *ANN, months=4)

    plan = copied(start, folder / "plan")
    started(open_home(plan.folder))
    deliver_april(plan)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ContactPlanning, "make", lambda *_: None)
        monthly(open_home(plan.folder), APRIL)
    look = copied(plan, folder / "look")
    run(open_home(look.folder))
    worked = labelled_month(open_home(look.folder), APRIL, {A_ONLY: -1.0, BOTH: 0.5, B_ONLY: 1.0})
    deliver(worked, MAY, tables(MAY, calls(worked, APRIL)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ContactPlanning, "make", lambda *_: None)
        patched.setattr(ModelTests, "look", lambda *_: None)
        monthly(open_home(look.folder), MAY)
    return {
        "test start": Command("test start", start, started, again_unless_done(started)),
        "test plan": Command("test plan", plan, lambda h: h.month.contact_plan(APRIL), again),
        "test look": Command("test look", look, lambda h: h.month.campaign_effect(MAY), again),
    }


@pytest.mark.parametrize("name", ["test start", "test plan", "test look"])
def test_killed_at_any_point_a_test_is_registered_and_ends_once(
    model_test_commands, tmp_path, name
):
    comes_to_the_same(model_test_commands[name], tmp_path)


@pytest.mark.parametrize("name", ["contact plan", "contact month", "contact forget"])
def test_killed_at_any_point_there_is_one_plan_and_everybody_leaves_it(
    contact_commands, tmp_path, name
):
    comes_to_the_same(contact_commands[name], tmp_path)


@pytest.mark.parametrize(
    "name",
    ["ingest", "monthly", "train", "decide", "promote", "approve", "reject", "rollback", "unblock", "forget", "backup",
     "restore", "repair", "contract", "contract then run"],
)  # fmt: skip
def test_killed_at_any_point_the_same_again_comes_to_the_same(commands, tmp_path, name):
    comes_to_the_same(commands[name], tmp_path)


def comes_to_the_same(command: Command, tmp_path: Path) -> None:
    """Die at the points of a command, and at all of them where it moves production or registers a plan."""
    name = command.name
    passed, repeats = points_of(command, tmp_path)
    different = [point for point in range(len(passed)) if point not in repeats]
    every = os.environ.get("CHURN_CRASH_POINTS") == "all" or name in EXHAUSTED
    step = 1 if every else max(1, -(-len(different) // SAMPLE))
    points = different[::step]
    undisturbed = copied(command.start, tmp_path / "undisturbed")
    command.act(open_home(undisturbed.folder))
    run(open_home(undisturbed.folder))
    wanted = story(open_home(undisturbed.folder))
    wrong = {
        f"{point} {passed[point]}": found
        if isinstance(found, str)
        else {k: (found[k], wanted[k]) for k in wanted if found[k] != wanted[k]}
        for point, found in survived(command, points, tmp_path, BETWEEN.get(name, sound), story)
        if found != wanted
    }
    print(f"{name}: died at {len(points)} of {len(different)} points, {len(passed)} with repeats")
    assert wrong == {}


def test_killed_while_mlflows_store_is_made_the_same_again_makes_it(tmp_path):
    """MLflow migrates an empty file in dozens of commits; a store that was cut off within them is broken for ever."""

    def prepare(home: Services) -> None:
        home.registry.prepare()

    def nothing_or_all(home: Services) -> None:
        assert home.registry.alias(PRODUCTION) is None

    def made(home: Services) -> list[Any]:
        client = home.registry._client()
        left = sorted(path.name for path in home.folder.glob(".*"))
        return [
            [one.name for one in client.search_experiments()],
            len(client.search_registered_models()),
            left,
        ]

    command = Command("init", make_home(tmp_path / "start"), prepare, prepare)
    count = len(points_of(command, tmp_path)[0])
    for _, found in survived(command, [count // 2, count - 4], tmp_path, nothing_or_all, made):
        assert found == [["gym_churn", "Default"], 1, []]
