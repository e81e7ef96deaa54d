"""Dies at every durable operation: a child of this warm process runs a command and kills itself at the n-th of them.

Durable are renames, unlinks, links, folders, fsyncs, writes at an offset (the ledger's) and SQLite's commits (MLflow,
Feast). A point is the instant before one of them (which is the instant after the one before), the end, and for a line of
the ledger the instant at which half of it is there.
Every point costs three forks and no import: the victim, the same command again, and the coordinator that waits for both.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis

from churn_platform.services import Services
from churn_platform_tests.small_business import copied, open_home

OPERATIONS = (
    "replace",
    "rename",
    "unlink",
    "link",
    "symlink",
    "mkdir",
    "rmdir",
    "fsync",
    "ftruncate",
    "pwrite",
)
IN_PLACE = ("within ", "before pwrite ", "before ftruncate ", "before commit")
SECONDS = 240
AT_ONCE = 2
_LEFT_ALONE: list[Any] = []
Act = Callable[[Services], object]


@dataclass
class Counter:
    """Counts the points of a process and kills it at the `fatal`-th; -1 kills nobody and `seen` says what passed.

    With `watched`, `repeats` contains the points at which a kill leaves the same files in that folder as at the
    point before: an fsync came between, a `mkdir` of a folder that exists, or an operation in a temporary folder.
    """

    fatal: int = -1
    watched: Path | None = None
    seen: list[str] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    _files: Any = None

    def pass_by(self, what: str) -> bool:
        """One point; True where it is the fatal one."""
        if self.watched is not None:
            before = self._files
            self._files = _files_in(self.watched)
            # Two writes into one file within a tick of the clock leave the same time of change.
            written = not self.seen or self.seen[-1].startswith(IN_PLACE)
            if self._files == before and not written and not what.startswith("within "):
                self.repeats.append(len(self.seen))
        self.seen.append(what)
        return len(self.seen) - 1 == self.fatal

    def die(self) -> None:
        """As `kill -9` does: nothing is cleaned up."""
        os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Wrap the operations of this process, for good: it is a child that ends soon."""
        for name in OPERATIONS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        opened, counter = sqlite3.connect, self

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                counter._around("commit", super().commit)

            def __exit__(self, *error: Any) -> Any:
                return counter._around("commit", lambda: sqlite3.Connection.__exit__(self, *error))

        def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
            return opened(*arguments, **{"factory": Connection, **options})

        sqlite3.connect = sqlite3.dbapi2.connect = connect  # type: ignore[attr-defined]

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            what = f"{name} {_named(arguments)}"
            torn = name == "pwrite" and what.endswith(
                ".jsonl"
            )  # the anchor is one sector, rewritten in place
            if torn and self.pass_by(f"within {what}"):
                descriptor, content, offset = arguments
                real(descriptor, content[: len(content) // 2], offset)
                self.die()
            return self._around(what, lambda: real(*arguments, **options))

        return operation

    def _around(self, what: str, act: Callable[[], Any]) -> Any:
        if self.pass_by(f"before {what}"):
            self.die()
        return act()


def _files_in(folder: Path) -> set[tuple[str, int, int, int]]:
    """Path, inode, size and time of change of everything in a folder."""
    found = set()
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = os.path.join(parent, name)  # noqa: PTH118 - called at every point
            with contextlib.suppress(FileNotFoundError):
                of = os.lstat(path)
                found.add((path, of.st_ino, of.st_size, of.st_mtime_ns))
    return found


def _named(arguments: Sequence[Any]) -> str:
    if arguments and isinstance(arguments[0], int):  # a descriptor
        return Path(f"/proc/self/fd/{arguments[0]}").readlink().name
    paths = [str(a) for a in arguments if isinstance(a, str | Path)]
    return re.sub("[0-9a-f]{32}", "*", Path(paths[-1]).name) if paths else ""


def forked(act: Callable[[], object], log: Path) -> int:
    """Run `act` in a child whose output goes to `log`; its process id. A child that hangs is ended by its alarm."""
    child = os.fork()
    if child:
        return child
    try:
        signal.alarm(SECONDS)
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        _LEFT_ALONE.append(
            ibis.options.default_backend
        )  # its threads did not come along: neither used nor closed
        ibis.options.default_backend = None
        act()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent reads it in the log
        os.write(2, traceback.format_exc().encode())
        os._exit(1)


def ended(child: int) -> int:
    """Wait for a child: its exit code, or the signal that ended it as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@dataclass(frozen=True)
class Command:
    """Something a user does on a home, and what is done after it was killed (by default the same again)."""

    name: str
    start: Services
    act: Act
    again: Act


def points_of(command: Command, folder: Path) -> tuple[list[str], list[int]]:
    """Every point that the command passes when nobody dies, and which of them repeat the one before."""
    home, log = copied(command.start, folder / command.name), folder / f"{command.name}.points"

    def act() -> None:
        counter = Counter(watched=folder)
        counter.install()
        command.act(open_home(home.folder))
        counter.pass_by("at the end")
        found = [counter.seen, counter.repeats]
        (folder / f"{command.name}.json").write_text(json.dumps(found))

    assert ended(forked(act, log)) == 0, log.read_text()
    shutil.rmtree(home.folder)
    seen, repeats = json.loads((folder / f"{command.name}.json").read_text())
    return seen, repeats


def survived(
    command: Command,
    points: Sequence[int],
    folder: Path,
    between: Act,
    told: Callable[[Services], Any],
) -> Iterator[tuple[int, Any]]:
    """Die at each point, look at what is left, do it again: (point, what `told` says of the home afterwards).

    Args:
        command: the command.
        points: the points to die at.
        folder: where the homes are made.
        between: asked of the home that the kill left; it raises where something is wrong.
        told: what is compared by the caller; plain JSON. In place of it a text where a process failed.
    """
    waiting, running = list(points), {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            point = waiting.pop(0)
            running[point] = forked(
                lambda point=point: _one(command, point, folder, between, told),
                folder / f"{point}.log",
            )
        point = next(iter(running))
        code = ended(running.pop(point))
        log, answer = folder / f"{point}.log", folder / f"{point}.json"
        yield (
            point,
            json.loads(answer.read_text())
            if code == 0
            else f"exit {code}: {log.read_text()[-2500:]}",
        )


def _one(
    command: Command, point: int, folder: Path, between: Act, told: Callable[[Services], Any]
) -> None:
    home = copied(command.start, folder / str(point))

    def die() -> None:
        counter = Counter(point)
        counter.install()
        command.act(open_home(home.folder))
        if counter.pass_by("at the end"):
            counter.die()

    def again() -> None:
        between(open_home(home.folder))
        command.again(open_home(home.folder))
        (folder / f"{point}.json").write_text(
            json.dumps(told(open_home(home.folder)), sort_keys=True)
        )

    log = folder / f"{point}.log"
    code = ended(forked(die, log))
    assert code == -signal.SIGKILL, f"the command did not come to its point, it ended with {code}"
    assert ended(forked(again, log)) == 0, "it did not come back"
    shutil.rmtree(home.folder)
