"""The request log on stdout and the prediction log, written by threads that no request waits
for.
"""

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic_core import to_json

from churn_platform.experiments.assignment import CANARY
from churn_platform.experiments.shadow_log import ShadowLog, ShadowScore
from churn_platform.monitoring.prediction_log import PredictionLog, ServedPrediction

from .metrics import ApiMetrics

T = TypeVar("T")
PREDICTION_LIMIT = 50_000
PREDICTION_SECONDS = 30.0
LINE_LIMIT = 10_000
LINE_SECONDS = 0.2


class Background(Generic[T]):
    """Hands queued items to `write` in batches.

    A full queue or a failed write drops items and counts them.
    """

    def __init__(self, write: Callable[[Sequence[T]], None], *, limit: int, seconds: float) -> None:
        self._write = write
        self._limit = limit
        self._seconds = seconds
        self._queue: deque[T] = deque()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin to empty the queue."""
        self._thread.start()

    def add(self, items: Sequence[T]) -> None:
        """Queue items; never waits."""
        if len(self._queue) + len(items) > self._limit // 10:
            self._wake.set()
        room = self._limit - len(self._queue)
        self._queue.extend(items[:room])
        self.dropped += max(len(items) - room, 0)

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._queue)

    def stop(self) -> None:
        """Write what is queued and end."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._empty()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._seconds)  # sooner when a tenth of the queue is full
            self._wake.clear()
            self._empty()

    def _empty(self) -> None:
        items = [self._queue.popleft() for _ in range(len(self._queue))]
        if not items:
            return
        try:
            self._write(items)
        except (OSError, ValueError) as error:  # a full disk must not end the thread
            self.dropped += len(items)
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"{len(items)} log entries were dropped: {error}\n")


class ServerLogs:
    """The logs of one server, and the metrics of what they take."""

    def __init__(
        self, folder: Path | None, shadow_folder: Path | None, metrics: ApiMetrics
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: where served predictions are logged; None for nowhere.
            shadow_folder: where the scores of shadows are logged; None for nowhere.
            metrics: count the predictions.
        """
        self._folder = folder
        self._shadow_folder = shadow_folder
        self._metrics = metrics
        self._by_entity: dict[str, PredictionLog] = {}
        self._shadows_by_entity: dict[str, ShadowLog] = {}
        self._shadows_lost = 0
        self.shadows: Background[tuple[str, ShadowScore]] = Background(
            self._write_shadows, limit=PREDICTION_LIMIT, seconds=PREDICTION_SECONDS
        )
        self.predictions: Background[tuple[str, ServedPrediction]] = Background(
            self._write_predictions, limit=PREDICTION_LIMIT, seconds=PREDICTION_SECONDS
        )
        self.lines: Background[dict[str, Any]] = Background(
            _print_lines, limit=LINE_LIMIT, seconds=LINE_SECONDS
        )

    def start(self) -> None:
        """Start the threads."""
        self.predictions.start()
        self.shadows.start()
        self.lines.start()

    def stop(self) -> None:
        """Write what is queued and end the threads."""
        self.predictions.stop()
        self.shadows.stop()
        self.lines.stop()

    def request(self, line: dict[str, Any]) -> None:
        """Log one request."""
        self.lines.add([line])

    def event(self, name: str, **fields: object) -> None:
        """Log what happened to the server itself."""
        self.lines.add([{"event": name, "time": time.time(), **fields}])

    def served(self, entity: str, served: Sequence[ServedPrediction]) -> None:
        """Log and count served predictions; `entity` names the column of the key."""
        if self._folder is not None:
            self.predictions.add([(entity, one) for one in served])
        stale = sum(one.stale for one in served)
        self._metrics.served([one.probability for one in served], stale)
        self._metrics.in_canary(sum(one.arm == CANARY for one in served))
        self._metrics.queue.set(len(self.predictions))
        if self.predictions.dropped:
            self._metrics.dropped(self.predictions.dropped)

    def scored(self, entity: str, scores: Sequence[ShadowScore]) -> None:
        """Log scores of a shadow; `entity` names the column of the key."""
        if self._shadow_folder is not None:
            self.shadows.add([(entity, one) for one in scores])
        lost = self.shadows.dropped - self._shadows_lost
        if lost:
            self._shadows_lost += lost
            self._metrics.shadow_dropped.inc(lost)

    def _write_shadows(self, entries: Sequence[tuple[str, ShadowScore]]) -> None:
        assert self._shadow_folder is not None  # noqa: S101 - nothing is queued then
        for entity in dict.fromkeys(entity for entity, _ in entries):
            if entity not in self._shadows_by_entity:
                self._shadows_by_entity[entity] = ShadowLog(self._shadow_folder, entity)
            log = self._shadows_by_entity[entity]
            log.write([one for name, one in entries if name == entity])

    def _write_predictions(self, entries: Sequence[tuple[str, ServedPrediction]]) -> None:
        assert self._folder is not None  # noqa: S101 - nothing is queued then
        for entity in dict.fromkeys(entity for entity, _ in entries):
            log = self._by_entity.setdefault(entity, PredictionLog(self._folder, entity))
            log.write([one for name, one in entries if name == entity])


def _print_lines(lines: Sequence[dict[str, Any]]) -> None:
    """One JSON object per line."""
    sys.stdout.write("".join(f"{to_json(line).decode()}\n" for line in lines))
    sys.stdout.flush()
