"""Puts the API of one home together: contract, reader, release watch, logs, routes.

Belongs here: the assembly, and starting and stopping its threads. Does not: BentoML (`bento/service.py`).
"""

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from bento.answers import Answers
from bento.background import Background
from bento.front import Doors, Server
from bento.metrics import Metrics
from bento.routes import Routes
from bento.schema import schemas_of, value
from churn_platform.adapters.contract_file import default_contract_path, read_contract
from churn_platform.adapters.ledger_store import LedgerStore, utc_now
from churn_platform.adapters.online_reader import OnlineReader
from churn_platform.adapters.prediction_log import Answered, PredictionLog
from churn_platform.adapters.release_watch import Loaded, ReleaseWatch
from churn_platform.adapters.releases import Releases
from churn_platform.adapters.score_history import ScoreHistory
from churn_platform.core.contract import Contract
from churn_platform.settings import Settings

LOG_LIMIT, LOG_SECONDS = 50_000, 30.0
LINES_LIMIT, LINES_SECONDS = 10_000, 0.2


class Assembly:
    """The API of one home in one process."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        home = settings.home_folder
        self.contract = contract_in_use(settings)
        self._metrics = metrics
        log = PredictionLog(home / "predictions", self.contract.entity.column)
        self._given: Background[Answered] = Background(log.write, limit=LOG_LIMIT, seconds=LOG_SECONDS)
        self._lines: Background[dict[str, Any]] = Background(_print, limit=LINES_LIMIT, seconds=LINES_SECONDS)
        self.watch = ReleaseWatch(
            Releases(home / "releases"), self.contract, now=utc_now, activated=self._activated, refused=self._refused
        )
        reader = OnlineReader(home / "feast", self.contract, settings.online_password.get_secret_value())
        history = ScoreHistory(home, self.contract)
        self.answers = Answers(self.contract, reader, self.watch, history, self._answered)
        self._schemas = schemas_of(self.contract)
        routes = Routes(self.answers, self._schemas, LedgerStore(home / "ledger"), metrics)
        doors = Doors(_split(settings.api_keys), _split(settings.metrics_keys), settings.served_names)
        self.server = Server(routes, doors, metrics, lambda line: self._lines.add([line]))

    def start(self) -> None:
        """Load the release in production and start the threads."""
        self._given.start()
        self._lines.start()
        self.watch.start()

    def stop(self) -> None:
        """Stop the threads and write what the logs still hold."""
        self.watch.stop()
        self._given.stop()
        self._lines.stop()

    async def predict(self, asked: object) -> dict[str, Any]:
        """What POST /predict answers, for a caller in Python."""
        return await self.answers.predict(value(self._schemas.single, asked), secrets.token_hex(8))

    async def predict_batch(self, asked: object) -> dict[str, Any]:
        """What POST /predict/batch answers, for a caller in Python."""
        return await self.answers.batch(value(self._schemas.batch, asked), secrets.token_hex(8))

    def _answered(self, answers: list[Answered]) -> None:
        self._given.add(answers)
        self._metrics.answered([one.probability for one in answers], sum(one.stale for one in answers))
        self._metrics.queue.set(len(self._given))
        if self._given.dropped:
            self._metrics.dropped(self._given.dropped)

    def _activated(self, loaded: Loaded) -> None:
        self._metrics.version.set(loaded.manifest.version)
        self._lines.add([{"event": "release active", "version": loaded.manifest.version, "since": loaded.since}])

    def _refused(self, version: int | None, reason: str) -> None:
        self._metrics.refused()
        self._lines.add([{"event": "release refused", "version": version, "reason": reason}])


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
