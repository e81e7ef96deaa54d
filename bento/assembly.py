"""Puts the API of one home together: contract, reader, release watch, logs, routes."""

import datetime as dt
import importlib
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from churn_platform.base.home import utc_now
from churn_platform.base.settings import Settings
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.features.online.reader import OnlineReader, newest_published, open_online_reader
from churn_platform.monitoring.prediction_log import PredictionLog, ServedPrediction
from churn_platform.serving.bundle import NoCustomers, read_bundle
from churn_platform.serving.release_watch import Held, ReleaseWatch
from churn_platform.serving.score_history import ScoreHistory
from churn_platform.training.releases import Releases

from .answers import Answers
from .background import Background
from .front import Doors, Server
from .metrics import Metrics
from .routes import Routes
from .schema import Schemas, schemas_of, value
from .told import Told

LOG_LIMIT, LOG_SECONDS = 50_000, 30.0
LINES_LIMIT, LINES_SECONDS = 10_000, 0.2
WARM_SECONDS = 2.0
"""pyarrow takes 0.4 s to import: soon after the start, not while the first list or log entries wait for it."""


@dataclass(frozen=True)
class View:
    """All that is made of one contract; a request meets one view from its first byte to its last."""

    held: Held
    answers: Answers
    schemas: Schemas
    routes: Routes


class Assembly:
    """The API of one home in one process."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._home, self._metrics = settings, settings.home_folder, metrics
        self._baked = read_bundle(self._home)
        self._told = Told(self._home)
        self._logs: dict[str, PredictionLog] = {}
        self._given: Background[tuple[str, ServedPrediction]] = Background(
            self._log, limit=LOG_LIMIT, seconds=LOG_SECONDS
        )
        self._lines: Background[dict[str, Any]] = Background(
            _print, limit=LINES_LIMIT, seconds=LINES_SECONDS
        )
        self.watch = ReleaseWatch(
            Releases(self._home / "releases"), contract_in_use(settings), now=utc_now,
            reread=lambda: contract_in_use(settings),
            prepared=self._prepare, activated=self._activated, refused=self._refused,
        )  # fmt: skip
        self._warm = threading.Timer(WARM_SECONDS, importlib.import_module, ["pyarrow.parquet"])
        self._warm.daemon = True
        self.view = self._next = self._viewed(self.watch.held)
        doors = Doors(
            _split(settings.api_keys), _split(settings.metrics_keys), settings.served_names
        )
        self.server = Server(self.view.routes, doors, metrics, lambda line: self._lines.add([line]))

    def start(self) -> None:
        """Load the release in production and start the threads."""
        self._given.start()
        self._lines.start()
        self.watch.start()
        self._warm.start()

    def stop(self) -> None:
        """Stop the threads and write what the logs still hold."""
        self._warm.cancel()
        self.watch.stop()
        self._given.stop()
        self._lines.stop()

    async def predict(self, asked: object) -> dict[str, Any]:
        """What POST /predict answers, for a caller in Python."""
        view = self.view
        return await view.answers.predict(value(view.schemas.single, asked), secrets.token_hex(8))

    async def predict_batch(self, asked: object) -> dict[str, Any]:
        """What POST /predict/batch answers, for a caller in Python."""
        view = self.view
        return await view.answers.batch(value(view.schemas.batch, asked), secrets.token_hex(8))

    def _viewed(self, held: Held) -> View:
        contract = held.contract
        entity, history = contract.entity.column, ScoreHistory(self._home, contract)
        answers = Answers(
            contract,
            self._reader(contract),
            held,
            history,
            lambda answered: self._answered(entity, answered),
        )
        schemas = schemas_of(contract)
        routes = Routes(answers, schemas, self._told, self._metrics, self._baked, self._published)
        return View(held, answers, schemas, routes)

    def _published(self) -> dt.date | None:
        return newest_published(self._home / "lake")

    def _reader(self, contract: Contract) -> OnlineReader:
        if self._baked is not None and not self._baked.store:
            return NoCustomers()
        password = self._settings.online_password.get_secret_value()
        return open_online_reader(self._home / "feast", contract, password)

    def _answered(self, entity: str, answers: list[ServedPrediction]) -> None:
        if self._log_folder is not None:
            self._given.add([(entity, one) for one in answers])
        self._metrics.answered(
            [one.probability for one in answers], sum(one.stale for one in answers)
        )
        self._metrics.queue.set(len(self._given))
        if self._given.dropped:
            self._metrics.dropped(self._given.dropped)

    @property
    def _log_folder(self) -> Path | None:
        """Where the prediction log is kept; a Bento is not written into."""
        own = None if self._baked else self._home / "predictions"
        return self._settings.prediction_log or own

    def _log(self, lot: Sequence[tuple[str, ServedPrediction]]) -> None:
        assert self._log_folder is not None  # noqa: S101 - nothing is queued then
        for entity in dict.fromkeys(entity for entity, _ in lot):
            log = self._logs.setdefault(entity, PredictionLog(self._log_folder, entity))
            log.write([one for name, one in lot if name == entity])

    def _prepare(self, held: Held) -> None:
        self._next = self._viewed(held)

    def _activated(self, held: Held) -> None:
        if held is not self.view.held:
            self.view = self._next
            self.server.routes = self.view.routes
        loaded = held.current
        assert loaded is not None  # noqa: S101 - it was activated
        self._metrics.version.set(loaded.manifest.version)
        line = {"event": "release active", "time": time.time(), "version": loaded.manifest.version}
        self._lines.add([line | {"since": loaded.since}])

    def _refused(self, version: int | None, reason: str) -> None:
        self._metrics.refused()
        self._lines.add(
            [
                {
                    "event": "release refused",
                    "time": time.time(),
                    "version": version,
                    "reason": reason,
                }
            ]
        )


def contract_in_use(settings: Settings) -> Contract:
    """The contract in use: `CHURN_CONTRACT`, else the home's, else the one of the package."""
    own = settings.home_folder / "contract.yaml"
    path: Path = settings.contract or (own if own.exists() else default_contract_path())
    return read_contract(path)


def _split(digests: str) -> tuple[str, ...]:
    return tuple(digest for digest in digests.split(",") if digest)


def _print(lines: Sequence[dict[str, Any]]) -> None:
    """The request log: one JSON object a line on stdout."""
    sys.stdout.write("".join(f"{to_json(line).decode()}\n" for line in lines))
    sys.stdout.flush()
