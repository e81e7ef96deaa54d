"""Scores served predictions with shadows, each in a thread of its own that no request waits for.

A shadow that raises, hangs or answers nonsense costs its own scores and nothing else.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract
from churn_platform.experiments.guardrails import valid
from churn_platform.experiments.shadow_log import ShadowScore
from churn_platform.experiments.shadow_scorer import ShadowScorer
from churn_platform.experiments.state import Shadow
from churn_platform.features.online.reader import OnlineReader
from churn_platform.features.online.rows import Key, OnlineRow
from churn_platform.monitoring.prediction_log import ServedPrediction
from churn_platform.training.scorer import Row

MOST_QUEUED: Final = 10_000
"""Served predictions that wait for one shadow; later ones are dropped and counted."""
BATCH: Final = 32
"""Scored at once: 0.3 ms in which a request may have to wait for the interpreter."""
PAUSE_SECONDS: Final = 0.1
"""Between two looks at the queue: requests are collected, and no request wakes the thread."""
YIELD_SECONDS: Final = 0.001
"""Between two batches: a request that waits for the interpreter comes first."""
HANG_SECONDS: Final = 5.0
"""A shadow whose batch takes longer is switched off."""
END_SECONDS: Final = 1.0
"""What a shadow gets to finish its queue when the server ends."""


class Losses(NamedTuple):
    """What counts the scores that are missing."""

    dropped: Callable[[int], None]
    failed: Callable[[int], None]


class ShadowThread:
    """One shadow in a server.

    Attributes:
        shadow: The shadow.
        off: Why it does not score any more; None while it does.
    """

    def __init__(
        self,
        shadow: Shadow,
        scorer: ShadowScorer,
        *,
        scored: Callable[[str, Sequence[ShadowScore]], None],
        losses: Losses,
        open_reader: Callable[[], OnlineReader],
    ) -> None:
        """Nothing is scored yet.

        Args:
            shadow: the shadow.
            scorer: its scorer, which no other thread uses.
            scored: called with the name of the key's column and the scores of a batch.
            losses: count the scores that are missing.
            open_reader: opens the online store for the features of the shadow, which it reads
                where they were not served.
        """
        self.shadow = shadow
        self.off: str | None = None
        self._scorer = scorer
        self._features = frozenset(scorer.features)
        self._scored = scored
        self._losses = losses
        self._open_reader = open_reader
        self._reader: OnlineReader | None = None
        self._loop = asyncio.Runner()
        self._queue = deque[tuple[str, ServedPrediction]]()
        self._began: float | None = None
        self._end = threading.Event()
        name = f"shadow {shadow.name}"
        # A daemon: a shadow that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to score."""
        self._thread.start()

    def offer(self, entity: str, served: Sequence[ServedPrediction]) -> None:
        """Queue served predictions; never waits.

        Args:
            entity: the column of the key.
            served: the predictions.
        """
        if self.off is not None:
            return
        room = max(MOST_QUEUED - len(self._queue), 0)
        self._queue.extend([(entity, one) for one in served[:room]])
        if len(served) > room:
            self._losses.dropped(len(served) - room)

    def check(self) -> bool:
        """Switch it off if its batch takes too long; whether that happened now."""
        began = self._began
        if self.off is not None or began is None or time.monotonic() - began <= HANG_SECONDS:
            return False
        self.off = f"a batch took more than {HANG_SECONDS:.0f} seconds"
        self._losses.dropped(len(self._queue))
        self._queue.clear()
        return True

    def end(self) -> None:
        """Score what is queued, then end the thread; does not wait."""
        self._end.set()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, unless it is switched off."""
        if self.off is None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._end.wait(PAUSE_SECONDS):
            self._score_queued()
        self._score_queued()
        if self._reader is not None:
            self._reader.close()
        self._loop.close()

    def _score_queued(self) -> None:
        """Score what is queued now. What comes meanwhile waits for the next look: one by one it
        would cost ten times as much.
        """
        queued = len(self._queue)
        for start in range(0, queued, BATCH):
            if self.off is not None:
                return
            batch = [self._queue.popleft() for _ in range(min(BATCH, queued - start))]
            for entity in dict.fromkeys(entity for entity, _ in batch):
                self._score(entity, [one for name, one in batch if name == entity])
            time.sleep(YIELD_SECONDS)

    def _score(self, entity: str, served: Sequence[ServedPrediction]) -> None:
        self._began = time.monotonic()
        rows = self._rows(served)
        found = self._scores([row for _, row in rows])
        self._began = None
        if self.off is not None:  # it was switched off meanwhile
            return
        name = self.shadow.name
        scores = [ShadowScore(rows[place][0], name, score) for place, score in found.items()]
        if len(rows) > len(scores):
            self._losses.failed(len(rows) - len(scores))
        if scores:
            self._scored(entity, scores)

    def _scores(self, rows: Sequence[Row]) -> dict[int, float | None]:
        """The score of each row by its place, without those that fail; None where a rule is
        null.
        """
        try:
            found = [float(score) for score in self._scorer.score(rows)]
            pairs = list(zip(range(len(rows)), found, strict=True))
        except Exception:  # noqa: BLE001 - whatever a shadow raises costs its own scores
            if len(rows) == 1:
                return {}
            # One customer may break it: the others are scored.
            return {
                place: score
                for place, row in enumerate(rows)
                for score in self._scores([row]).values()
            }
        if self.shadow.rule is not None:
            return {place: None if math.isnan(score) else score for place, score in pairs}
        return {place: score for place, score in pairs if valid(score)}

    def _rows(self, served: Sequence[ServedPrediction]) -> list[tuple[ServedPrediction, Row]]:
        """The features of the shadow for each prediction: those that were served, or, where it
        has others, those of the online store.
        """
        rows = [(one, one.features) for one in served if self._features <= one.features.keys()]
        others = [one for one in served if not self._features <= one.features.keys()]
        if others:
            read = self._read([one for one in others if not one.what_if])
            self._losses.dropped(len(others) - len(read))
            rows += read
        return rows

    def _read(self, served: Sequence[ServedPrediction]) -> list[tuple[ServedPrediction, Row]]:
        """The rows of the online store, as far as they are of the month that was served."""
        if not served:
            return []
        if self._reader is None:
            self._reader = self._open_reader()
        try:
            rows = self._loop.run(_rows_of(self._reader, [one.key for one in served]))
        except StoreDown:
            return []
        return [
            (one, row.values)
            for one, row in zip(served, rows, strict=True)
            if row is not None and row.as_of == one.as_of and (one.stale or not row.behind)
        ]


async def _rows_of(reader: OnlineReader, keys: Sequence[Key]) -> list[OnlineRow | None]:
    return await reader.read(keys)


class ShadowPool:
    """The shadows of a server.

    Attributes:
        threads: Those that could be loaded.
        faults: Why one could not be loaded, by its name.
    """

    def __init__(
        self,
        load: Callable[[Shadow, Contract], ShadowScorer],
        *,
        scored: Callable[[str, Sequence[ShadowScore]], None],
        losses: Losses,
        open_reader: Callable[[Contract], OnlineReader],
        report: Callable[..., None],
    ) -> None:
        """Nothing is loaded yet.

        Args:
            load: verifies and loads a shadow under the contract in use.
            scored: called with the name of the key's column and the scores of a batch.
            losses: count the scores that are missing.
            open_reader: opens the online store for a contract.
            report: called with the name of an event and its fields.
        """
        self.threads: tuple[ShadowThread, ...] = ()
        self.faults: dict[str, str] = {}
        self._load = load
        self._scored = scored
        self._losses = losses
        self._open_reader = open_reader
        self._report = report
        self._sources: dict[ShadowThread, object] = {}
        self._ending: list[ShadowThread] = []

    def follow(self, wanted: Mapping[Shadow, object], contract: Contract) -> None:
        """Let exactly these shadows score.

        Args:
            wanted: the shadows, each with a stamp of its release: one whose contract or stamp
                has changed is loaded again, as is one that could not be loaded.
            contract: the contract in use.
        """
        before = {thread.shadow.name: thread for thread in self.threads}
        sources: dict[ShadowThread, object] = {}
        faults: dict[str, str] = {}
        for shadow, stamp in wanted.items():
            source = (shadow, contract, stamp)
            thread = before.get(shadow.name)
            if thread is None or self._sources[thread] != source:
                try:
                    thread = self._started(shadow, contract)
                except Exception as error:  # noqa: BLE001 - a damaged shadow is off, no more
                    faults[shadow.name] = str(error)
                    continue
            sources[thread] = source
        for thread in self.threads:
            if thread not in sources:
                thread.end()
                self._ending.append(thread)
        for name, reason in faults.items():
            if self.faults.get(name) != reason:
                self._report("shadow off", shadow=name, reason=reason)
        self.threads = tuple(sources)
        self.faults = faults
        self._sources = sources

    def check(self) -> None:
        """Switch off the shadows that hang."""
        for thread in self.threads:
            if thread.check():
                self._report("shadow off", shadow=thread.shadow.name, reason=thread.off)

    def stop(self) -> None:
        """Let the shadows finish what they can in `END_SECONDS`, and end them."""
        ending = [*self._ending, *self.threads]
        self.threads = ()
        for thread in ending:
            thread.end()
        for thread in ending:
            thread.join(END_SECONDS)

    def _started(self, shadow: Shadow, contract: Contract) -> ShadowThread:
        scorer = self._load(shadow, contract)
        thread = ShadowThread(
            shadow,
            scorer,
            scored=self._scored,
            losses=self._losses,
            open_reader=partial(self._open_reader, scorer.contract),
        )
        thread.start()
        self._report("shadow active", shadow=shadow.name)
        return thread
