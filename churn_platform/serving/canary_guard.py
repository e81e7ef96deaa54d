"""Watches a canary inside the servers: what every process measures is judged as one.

A request only appends to a queue. A thread writes once a second what is new to the file of this
process, reads the files of the others, and judges all of it. The files of a process that was
killed stay, and a customer counts once whoever reports it, so nothing is lost or counted twice.
"""

import contextlib
import datetime as dt
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import fsync_folder, read_json, write_json
from churn_platform.base.home import utc_now
from churn_platform.experiments.assignment import CANARY, PRODUCTION, Arm
from churn_platform.experiments.files import (
    COUNTS,
    SIGHTINGS,
    STOPPED_FILE,
    CanaryStop,
    canary_folder,
    read_stop,
)
from churn_platform.experiments.guardrails import (
    MOST_CUSTOMERS,
    SIGHTING,
    WARM_UP,
    Crossed,
    Judge,
    Measure,
    Sightings,
    slow_limit,
    valid,
)
from churn_platform.experiments.state import Canary

POLL_SECONDS: Final = 0.25
"""How often a server looks whether another one stopped the canary."""
POLLS_PER_TICK: Final = 4
"""Measurements are written and judged every so many polls."""
COMMAND_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 10.0
"""The process that stopped the canary has its receipt written. If it died, another one does after
so many seconds, and again after waits that double up to `LONGEST_SETTLE_SECONDS`.
"""
LONGEST_SETTLE_SECONDS: Final = 600.0
JOIN_SECONDS: Final = 2.0
"""`stop` waits so long for the thread, which may be writing a receipt."""
LOT: Final = 256
"""Measurements that are counted at once, in half a millisecond."""
MOST_QUEUED: Final = 200_000
"""Measurements that wait for the thread; older ones are dropped."""


class Measurement(NamedTuple):
    """One measurement of the request path; `seconds` and `score` are None where there are none."""

    arm: Arm
    key: str | int
    step: int
    kind: str
    seconds: float | None = None
    score: float | None = None


class CanaryGuard:
    """The guard of one canary in one process.

    `stopped` is whether production must answer every customer: read it with each request.
    """

    def __init__(
        self,
        home: Path,
        canary: Canary,
        threshold: float,
        *,
        now: Callable[[], dt.datetime] = utc_now,
        settle: Callable[[], None] = lambda: None,
        report: Callable[[CanaryStop], None] = lambda _: None,
    ) -> None:
        """Read and write nothing yet.

        Args:
            home: the folder of the home.
            canary: the canary; after a raise `raised` names its new step.
            threshold: of the canary's version.
            now: the clock.
            settle: has the receipt of a canary that was stopped written; must not raise.
            report: called when a guardrail stops the canary in this process.
        """
        self.stopped = False
        self._canary = canary
        self._step = canary.step
        self._folder = canary_folder(home, canary.experiment)
        self._releases = home / "releases"
        self._process = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._now = now
        self._settle = settle
        self._report = report
        self._judge = Judge(canary.steps, threshold, canary.version)
        self._queue = deque[Measurement](maxlen=MOST_QUEUED)
        self._unwritten = np.empty(0, SIGHTING)
        self._written = 0
        self._read = dict[str, int]()
        self._counts: dict[Arm, Counter[str]] = {PRODUCTION: Counter(), CANARY: Counter()}
        self._counted = 0
        self._warm_up = list[float]()
        self._slow_limit: float | None = None
        self._has_written_stop = False
        self._waited = 0.0
        self._settle_after = SETTLE_SECONDS
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def answered(
        self, arm: Arm, key: str | int, seconds: float | None, probability: float | None
    ) -> None:
        """An arm's scorer answered for a customer.

        Args:
            arm: the arm of the customer.
            key: the customer's key.
            seconds: how long the answer took; None in a batch, whose duration is that of others.
            probability: what the scorer of the arm's version returned, also NaN.
        """
        self._queue.append(Measurement(arm, key, self._step, "answers", seconds, probability))

    def failed(self, arm: Arm, key: str | int) -> None:
        """An arm's scorer raised for a customer."""
        self._queue.append(Measurement(arm, key, self._step, "errors"))

    def shadow_scored(self, arm: Arm, key: str | int, score: float) -> None:
        """The shadow of the canary's version took a customer from its queue.

        Call it for both arms: a full queue then leaves out customers of both alike, which the
        comparison needs.

        Args:
            arm: the arm of the customer.
            key: the customer's key.
            score: the shadow's score in production's arm; in the canary's the score that it
                answered with.
        """
        self._queue.append(Measurement(arm, key, self._step, "scores", None, score))

    def raised(self, step: int) -> None:
        """The canary is at another step from now on, from 1."""
        self._step = step

    def start(self) -> None:
        """Look whether the canary is stopped already, then keep watching in a thread."""
        self._tidy()
        self._slow_limit = self._limit_of_others()
        self._see_stop()
        self._thread = threading.Thread(target=self._run, name="canary-guard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and write what the queue still holds."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
        self._share()

    def tick(self) -> None:
        """Count what was measured, share it with the other processes, and judge all of it."""
        self._share()
        if self.stopped and self._judge.crossed is None:  # another process has stopped it
            return
        for sightings in self._others():
            self._judge.add(sightings)
        if self._judge.crossed is not None and not self._has_written_stop:
            self.stopped = True
            self._write_stop(self._judge.crossed)

    def _share(self) -> None:
        """Count what was measured, and write it for the other processes."""
        own = self._counted_sightings()
        self._judge.add(own)
        self._unwritten = np.concatenate([self._unwritten, own])
        # A home that cannot be written is no reason to judge less: this process goes on alone.
        with contextlib.suppress(OSError):
            self._write()

    def _run(self) -> None:
        polls = 0
        try:
            while not self._end.wait(POLL_SECONDS):
                polls += 1
                self._see_stop()
                if polls % POLLS_PER_TICK == 0:
                    self.tick()
                self._settle_if_due()
        except BaseException:  # a canary that nobody watches must not answer
            self.stopped = True
            raise

    def _counted_sightings(self) -> Sightings:
        """What the queue holds, less what this process knows already."""
        found = []
        known = set[tuple[int, int, Measure]]()
        for number in range(len(self._queue)):
            if number % LOT == 0:
                time.sleep(0)  # a request that waits for the interpreter comes first
            measured = self._queue.popleft()
            self._counts[measured.arm][measured.kind] += 1
            for measure, value in self._measures(measured):
                customer = self._hash(measured.key)
                seen = self._judge.seen(measured.step, measure)
                named = (customer, measured.step, measure)
                if customer not in seen and named not in known and len(seen) < MOST_CUSTOMERS:
                    known.add(named)
                    in_canary = measured.arm == CANARY
                    found.append((customer, value, measured.step, measure, in_canary))
        return np.array(found, SIGHTING)

    def _measures(self, measured: Measurement) -> Iterator[tuple[Measure, float]]:
        """What one measurement shows of its customer; also counts it."""
        counts = self._counts[measured.arm]
        score = measured.score
        if measured.kind == "errors":
            yield Measure.ERROR, 0.0
        elif measured.kind == "scores":
            if score is not None and valid(score):
                yield Measure.SCORE, score
        else:
            if measured.seconds is not None and self._is_slow(measured.arm, measured.seconds):
                counts["slow"] += 1
                yield Measure.SLOW, 0.0
            if score is not None and not valid(score):
                counts["invalid"] += 1
                yield Measure.INVALID, 0.0
            elif measured.arm == CANARY:
                yield Measure.ANSWER, 0.0

    def _is_slow(self, arm: Arm, seconds: float) -> bool:
        if self._slow_limit is not None:
            return seconds > self._slow_limit
        if arm == PRODUCTION:
            self._warm_up.append(seconds)
        if len(self._warm_up) >= WARM_UP:
            self._slow_limit = slow_limit(self._warm_up)
            self._warm_up = []
        return False

    def _limit_of_others(self) -> float | None:
        """The limit that another process has found: a restarted worker needs no warm-up."""
        for path in sorted(self._folder.glob(f"*{COUNTS}")):
            with contextlib.suppress(OSError, IntegrityError):
                limit = read_json(path)["slow_limit"]
                if limit is not None:
                    return float(limit)
        return None

    def _hash(self, key: str | int) -> int:
        salted = f"{self._canary.salt}|sighting|{self._canary.experiment}|{key}"
        digest = hashlib.sha256(salted.encode()).digest()
        return int.from_bytes(digest[:8], "little")

    def _write(self) -> None:
        """Write this process's file anew from the last complete record, and its counts."""
        if len(self._unwritten):
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._process}{SIGHTINGS}"
            with path.open("r+b" if self._written else "wb") as stream:
                stream.seek(self._written)
                stream.write(self._unwritten.tobytes())
            self._written += self._unwritten.nbytes
            self._unwritten = self._unwritten[:0]
        total = sum(sum(counts.values()) for counts in self._counts.values())
        if total != self._counted:
            counted: dict[str, object] = {
                "experiment": self._canary.experiment,
                "version": self._canary.version,
                "time": self._now().isoformat(),
                "slow_limit": self._slow_limit,
                **{arm: dict(counts) for arm, counts in self._counts.items()},
            }
            write_json(self._folder / f"{self._process}{COUNTS}", counted)
            self._counted = total

    def _others(self) -> Iterator[Sightings]:
        """What the other processes have written since the last time."""
        for path in sorted(self._folder.glob(f"*{SIGHTINGS}")):
            name = path.name.removesuffix(SIGHTINGS)
            if name == self._process:
                continue
            with contextlib.suppress(OSError), path.open("rb") as stream:
                stream.seek(self._read.get(name, 0))
                content = stream.read()
                # The last record may be half written.
                whole = len(content) - len(content) % SIGHTING.itemsize
                self._read[name] = self._read.get(name, 0) + whole
                yield np.frombuffer(content[:whole], SIGHTING)

    def _see_stop(self) -> None:
        """Whether a process has stopped the canary."""
        if not self.stopped:
            self.stopped = self._is_stopped()

    def _is_stopped(self) -> bool:
        try:
            stop = read_stop(self._releases)
        except (IntegrityError, OSError):
            return False
        return stop is not None and stop.experiment == self._canary.experiment

    def _write_stop(self, crossed: Crossed) -> None:
        """Write the file by which every server stops; the process that wrote it settles it."""
        stop = CanaryStop(
            experiment=self._canary.experiment,
            version=self._canary.version,
            guardrail=crossed.guardrail,
            sentence=crossed.sentence,
            figures=crossed.figures,
            time=self._now().isoformat(),
        )
        with contextlib.suppress(OSError):
            if self._write_once(stop):
                self._report(stop)
                self._waited = self._settle_after
            self._has_written_stop = True

    def _write_once(self, stop: CanaryStop) -> bool:
        """Write the stop file unless it is there already; whether it was written.

        A file of an earlier canary is replaced.

        Raises:
            OSError: it cannot be written.
        """
        path = self._releases / STOPPED_FILE
        if not self._is_stopped():
            path.unlink(missing_ok=True)
        temporary = path.with_name(f".{path.name}.{self._process}")
        write_json(temporary, stop.as_json())
        try:
            # Unlike a rename, a link fails where the file exists; it is complete at once.
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)
        return True

    def _settle_if_due(self) -> None:
        """Have the receipt written, again and again until the canary has ended."""
        if not self.stopped:
            return
        self._waited += POLL_SECONDS
        if self._waited >= self._settle_after:
            self._waited = 0.0
            self._settle_after = min(2 * self._settle_after, LONGEST_SETTLE_SECONDS)
            self._settle()

    def _tidy(self) -> None:
        """Remove the files of canaries before this one: their receipts have the evidence."""
        for folder in self._folder.parent.glob("*"):
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)


def settle_by_command(home: Path) -> None:
    """Have a stopped canary ended, with receipt and alert, by `churn canary` in a process of its
    own: a server does not load what writes the ledger.
    """
    program = "from churn_platform.cli.app import main; main()"
    command = [sys.executable, "-c", program, "canary", "--json", "--home", str(home)]
    quiet = subprocess.DEVNULL
    # A run, the daemon or another server does it if this one cannot.
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, stdout=quiet, stderr=quiet, check=False, timeout=COMMAND_SECONDS)
