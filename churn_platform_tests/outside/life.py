"""The life of one small home, lived by commands alone: their answers, and the home it left.

It starts with version 1 in production and version 2 waiting for an approval.
"""

import contextlib
import datetime as dt
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from churn_platform.cli.app import main
from churn_platform_tests.small_business import (
    deliver,
    make_home,
    month_tables,
    open_home,
    with_policy,
)
from churn_platform_tests.system.receiver import receiving

MARCH = dt.date(2024, 3, 31)
HOLD = """
import sys, time, filelock
with filelock.FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(120)
"""
ANN = ("--by", "Ann", "--reason", "Checked.")


@dataclass(frozen=True)
class Answer:
    """What a command ended with."""

    code: int
    out: str
    err: str


@dataclass
class Life:
    """The home after its life, and what the commands ended with."""

    folder: Path
    answers: dict[str, list[Any]] = field(default_factory=dict)
    """What each command answered as JSON."""
    codes: dict[str, int] = field(default_factory=dict)
    """Exit codes, by command or by what was wrong with it."""
    others: list[Path] = field(default_factory=list)
    """Other homes that have a ledger: one restored, one that refused a drop."""

    def ask(self, command: str, *more: object, case: str = "", home: Path | None = None) -> None:
        """Run a command with `--json`."""
        made = churn(*command.split(), *more, "--json", "--home", home or self.folder)
        self._ended(f"{command}{case and ', '}{case}", made.code)
        if made.out:
            self.answers.setdefault(command, []).append(json.loads(made.out))

    def end(self, case: str, *words: object, home: Path | None = None) -> None:
        """Run a command, with `--home` for one of the home's."""
        self._ended(case, churn(*words, *([] if home is None else ["--home", home])).code)

    def _ended(self, case: str, code: int) -> None:
        assert self.codes.setdefault(case, code) == code, case


def churn(*words: object) -> Answer:
    """Run `churn` as a shell would, in this process."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["churn", *map(str, words)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Answer(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def shell(folder: Path, **variables: str) -> Iterator[None]:
    """A working folder and an environment in which only `variables` of ours are set."""
    known = dict(os.environ)
    place = Path.cwd()
    for name in known:
        if name.startswith(("CHURN_", "DAGSTER_HOME")):
            del os.environ[name]
    os.environ.update(variables)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(known)


def live(folder: Path, elsewhere: Path) -> Life:
    """Live the life of the home in `folder`; other files are written to `elsewhere`."""
    life = Life(folder)
    with shell(elsewhere, CHURN_API_PORT="1"):
        _look(life)
        _decide(life)
        _process_march(life, elsewhere)
        _show(life, elsewhere)
        _keep(life, elsewhere)
        _begin(life, elsewhere)
        _fail(life, elsewhere)
    return life


def _look(life: Life) -> None:
    now = dt.datetime.now(dt.UTC).isoformat()
    life.ask("status")
    life.ask("history")
    life.ask("history --at", now)
    life.ask("history --at", "2000-01-01")
    life.ask("verify --deep")
    life.ask("reproduce", 2)
    life.ask("decision")
    life.ask("scores")
    life.ask("explain", "m00001")
    life.ask("replay")
    life.ask("scoreboard")
    life.ask("doctor")


def _decide(life: Life) -> None:
    life.ask("reject", 2, *ANN)
    life.end("retrain, nothing new", "retrain", *ANN, home=life.folder)
    life.ask("approve", 2, "--override", *ANN)
    life.ask("decision", case="overridden")
    life.ask("rollback", *ANN)
    life.ask("status", case="a version blocked")
    life.ask("unblock", 2, *ANN)
    life.ask("rollback", "--to", 2, *ANN)
    with_policy(open_home(life.folder), delta=0.002)
    life.ask("retrain", *ANN)


def _process_march(life: Life, elsewhere: Path) -> None:
    tables = month_tables(MARCH)
    tables["visits"].loc[3, "hours"] = -5.0
    drop = deliver(make_home(elsewhere / "source"), MARCH, tables)
    life.end("ingest", "ingest", drop, "--as-of", MARCH, home=life.folder)
    life.ask("status", case="a month due")
    life.ask("run")
    life.ask("run", case="nothing due")
    for command in ("status", "history", "decision", "scores", "scoreboard", "verify"):
        life.ask(command)
    life.ask("explain", "m00001")
    life.ask("forget", "m00002", "--by", "Ann")


def _show(life: Life, elsewhere: Path) -> None:
    """A finished demo, on a copy of the home: it shows its story at once."""
    demo = elsewhere / "demo"
    shutil.copytree(life.folder, demo, symlinks=True)
    life.end(
        "simulate",
        "simulate",
        demo / "simulated",
        "--users",
        100,
        "--months",
        3,
        "--contract",
        life.folder / "contract.yaml",
    )
    truth = json.loads((demo / "simulated" / "truth.json").read_text(encoding="utf-8"))
    asked = {"months": 3, "users": 1500, "scenario": "sudden-shift"}
    done = {"asked": asked, "taken": [one["folder"] for one in truth["deliveries"]]}
    (demo / "demo.json").write_text(json.dumps(done), encoding="utf-8")
    life.answers["simulate, truth.json"] = [truth]
    life.ask("demo", "--months", 3, "--users", 1500, home=demo)


def _keep(life: Life, elsewhere: Path) -> None:
    restored = elsewhere / "restored"
    life.ask("backup", elsewhere / "a.zip")
    life.ask("restore", elsewhere / "a.zip", home=restored)
    passport = restored / "releases" / "2" / "passport.json"
    passport.write_bytes(passport.read_bytes() + b" ")
    life.ask("verify", case="a release changed", home=restored)
    life.ask("doctor", case="a release changed", home=restored)
    life.ask("doctor --fix", home=restored)
    life.others.append(restored)
    with receiving() as receiver:
        os.environ["CHURN_ALERT_URLS"] = receiver.url
        life.ask("alert --test")
        life.ask("alert")
        receiver.status = 500
        life.ask("alert --test", case="not reached")
        del os.environ["CHURN_ALERT_URLS"]


def _begin(life: Life, elsewhere: Path) -> None:
    drop = elsewhere / "source" / "drops" / MARCH.isoformat()
    contract = ("--contract", elsewhere / "source" / "contract.yaml")
    drafted = ("--entity", "member", "--label", "leavers.has_left")
    life.ask("contract check", *contract)
    life.ask("contract check", drop, *contract, case="a drop")
    life.end("contract schema", "contract", "schema")
    life.ask("init", home=elsewhere / "new")
    life.ask("status", case="a new home", home=elsewhere / "new")
    life.ask("init --from-drop", drop, *drafted, home=elsewhere / "drafted")
    (drop / "visits.csv").unlink()
    life.ask("contract check", drop, *contract, case="a faulty drop")
    life.end("a refused drop", "ingest", drop, "--as-of", MARCH, home=elsewhere / "source")
    deliver(make_home(elsewhere / "refused"), MARCH, {"members": month_tables(MARCH)["members"]})
    life.end("a run of a refused drop", "run", home=elsewhere / "refused")
    life.others.append(elsewhere / "refused")


def _fail(life: Life, elsewhere: Path) -> None:
    home = ("--home", life.folder)
    for case, words in {
        "help": ("--help",),
        "help of a command": ("status", "--help"),
        "no command": (),
        "unknown command": ("fly",),
        "unknown option": ("status", "--colour"),
        "missing option": ("approve", "2", "--by", "Ann"),
        "missing argument": ("explain",),
        "a number out of range": ("scores", "--top", "0"),
        "no home": ("status", "--home", elsewhere / "nowhere"),
        "not a date": ("decision", "january", *home),
        "an instant in the future": ("history", "--at", "2100-01-01", *home),
        "unknown month": ("decision", "2020-01-31", *home),
        "unknown customer": ("explain", "nobody", *home),
        "unknown version": ("approve", "99", *ANN, *home),
        "unknown version to reproduce": ("reproduce", "99", *home),
        "unknown scenario": ("simulate", elsewhere / "simulated", "--scenario", "rain"),
        "nothing to unblock": ("unblock", "1", *ANN, *home),
        "an empty name": ("approve", "2", "--by", " ", "--reason", "x", *home),
        "no alert channels": ("alert", *home),
        "a short anchor": ("verify", "--anchor", "abc", *home),
        "another anchor": ("verify", "--anchor", "0123456789ab", *home),
        "a file that exists": ("backup", elsewhere / "a.zip", *home),
        "no backup": ("restore", elsewhere / "b.zip", "--home", elsewhere / "other"),
        "a home that is not empty": ("restore", elsewhere / "a.zip", *home),
        "an address without API keys": ("serve", "--host", "0.0.0.0", *home),
        "an MLflow server that is not set": ("move", *home),
    }.items():
        life.end(case, *words)
    with holding(life.folder):
        os.environ["CHURN_LOCK_SECONDS"] = "0"
        life.end("home busy", "run", home=life.folder)
        del os.environ["CHURN_LOCK_SECONDS"]
    (elsewhere / "new" / "home.json").write_text(json.dumps({"layout": 7}))
    life.end("a home of another layout", "status", home=elsewhere / "new")
    os.environ["CHURN_UI_PORT"] = "soon"
    life.end("a setting that is not a number", "status", home=life.folder)
    del os.environ["CHURN_UI_PORT"]


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Another process holds the home."""
    command = [sys.executable, "-c", HOLD, str(folder / "home.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()
