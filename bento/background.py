"""Work that no request waits for: a bounded queue, emptied by one thread.

Belongs here: the queue. Does not: what is written (`adapters/serving/prediction_log.py`, `bento/front.py`).
"""

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Hands queued items to `write` in lots; a full queue or a failed write drops items and counts them."""

    def __init__(
        self, write: Callable[[Sequence[T]], None], *, limit: int, seconds: float
    ) -> None:
        self._write, self._limit, self._seconds = write, limit, seconds
        self._queue: deque[T] = deque()
        self._stop, self._wake = threading.Event(), threading.Event()
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
        lot = [self._queue.popleft() for _ in range(len(self._queue))]
        if not lot:
            return
        try:
            self._write(lot)
        except (OSError, ValueError) as error:  # a full disk must not end the thread
            self.dropped += len(lot)
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"{len(lot)} log entries are lost: {error}\n")
