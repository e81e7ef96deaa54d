"""The API of one home in one process: contract, release watch, and the app that answers."""

import importlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from churn_platform.base.home import utc_now
from churn_platform.base.settings import Settings
from churn_platform.contract.model import Contract
from churn_platform.experiments.files import CanaryStop
from churn_platform.experiments.state import Canary
from churn_platform.features.online.reader import OnlineReader, newest_published, open_online_reader
from churn_platform.monitoring.prediction_log import ServedPrediction
from churn_platform.serving.bundle import NoCustomers, read_bundle
from churn_platform.serving.canary_guard import CanaryGuard, settle_by_command
from churn_platform.serving.contract_file import ContractFile
from churn_platform.serving.experiment_watch import ExperimentWatch
from churn_platform.serving.release_watch import Held, Look, ReleaseWatch
from churn_platform.serving.score_history import ScoreHistory
from churn_platform.serving.shadow_scoring import Losses
from churn_platform.training.release_loading import Loaded
from churn_platform.training.releases import Releases

from .access import AccessPolicy
from .app import Backend, create_app
from .errors import malformed
from .health import Health
from .logs import ServerLogs
from .metrics import ApiMetrics
from .models import models_of
from .predictions import Predictor
from .production_record import ProductionRecords

PYARROW_SECONDS = 2.0
"""pyarrow takes 0.4 s to import: soon after the start, before the first list needs it."""


@dataclass(frozen=True)
class ActiveContract:
    """All that is made from one contract; a request meets one from its first byte to its last."""

    backend: Backend
    app: FastAPI


class ApiServer:
    """An ASGI app that answers with the contract and the release in production."""

    def __init__(self, settings: Settings, metrics: ApiMetrics) -> None:
        self._settings = settings
        self._home = settings.home_folder
        self._metrics = metrics
        self._bundle = read_bundle(self._home)
        self.logs = ServerLogs(self._prediction_folder(), self._shadow_folder(), metrics)
        self.experiments = ExperimentWatch(
            Releases(self._home / "releases"),
            guard=self._guard_of,
            open_reader=self._reader,
            scored=self.logs.scored,
            losses=Losses(metrics.shadow_dropped.inc, metrics.shadow_failures.inc),
            report=self.logs.event,
        )
        contract_file = ContractFile(settings, broken=self._broken)
        self.watch = ReleaseWatch(
            Releases(self._home / "releases"),
            contract_file.read(),
            now=utc_now,
            reread=contract_file.read,
            prepare=self._build,
            activated=self._activate,
            refused=self._refuse,
            dropped=lambda held: held.prepared.backend.predictor.reader.close(),
            looked=self._look_at_experiments,
        )
        self._import_pyarrow = threading.Timer(
            PYARROW_SECONDS, importlib.import_module, ["pyarrow.parquet"]
        )
        self._import_pyarrow.daemon = True
        self.active = self._build(self.watch.held)
        self.watch.held.prepared = self.active

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.active.app(scope, receive, send)

    def start(self) -> None:
        """Load the release in production and start the threads."""
        self.logs.start()
        self.watch.start()
        self._import_pyarrow.start()

    def stop(self) -> None:
        """Stop the threads and write what the logs still hold."""
        self._import_pyarrow.cancel()
        self.watch.stop()
        self.experiments.stop()
        self.logs.stop()

    async def predict(self, body: object) -> dict[str, Any]:
        """What POST /predict answers, for a caller in Python.

        Raises:
            ApiError: the body is malformed, or there is no prediction.
        """
        backend = self.active.backend
        request = _validated(backend.models.predict_request, body)
        return await backend.predictor.predict(request, secrets.token_hex(8))

    async def predict_batch(self, body: object) -> dict[str, Any]:
        """What POST /predict/batch answers, for a caller in Python.

        Raises:
            ApiError: the body is malformed, or nothing can answer.
        """
        backend = self.active.backend
        request = _validated(backend.models.batch_request, body)
        return await backend.predictor.predict_batch(request, secrets.token_hex(8))

    def _build(self, held: Held) -> ActiveContract:
        contract = held.contract
        predictor = Predictor(
            contract,
            self._reader(contract),
            held,
            ScoreHistory(self._home, contract),
            partial(self._served, contract.entity.column),
            lambda: self.experiments.followed,
        )
        lake = self._home / "lake"
        settings = self._settings
        backend = Backend(
            predictor=predictor,
            models=models_of(contract),
            records=ProductionRecords(self._home),
            health=Health(predictor, self._metrics, self._bundle, partial(newest_published, lake)),
            metrics=self._metrics,
            access=AccessPolicy(
                keys=_split(settings.api_keys),
                metrics_keys=_split(settings.metrics_keys),
                hosts=settings.served_names,
            ),
            write_log=self.logs.request,
        )
        return ActiveContract(backend, create_app(backend))

    def _reader(self, contract: Contract) -> OnlineReader:
        if self._bundle is not None and not self._bundle.store:
            return NoCustomers()
        password = self._settings.online_password.get_secret_value()
        return open_online_reader(self._home / "feast", contract, password)

    def _activate(self, held: Held) -> None:
        self.active = held.prepared
        loaded = held.current
        assert loaded is not None  # noqa: S101 - it was activated
        version = loaded.manifest.version
        self._metrics.version.set(version)
        self.logs.event("release active", version=version, since=loaded.since)

    def _served(self, entity: str, served: Sequence[ServedPrediction]) -> None:
        """Log served predictions, and queue them for the shadows."""
        self.logs.served(entity, served)
        for shadow in self.experiments.followed.shadows:
            shadow.offer(entity, served)

    def _look_at_experiments(self, look: Look) -> None:
        """Follow the experiments of a home; a Bento has none."""
        if self._bundle is None:
            self.experiments.look(look)

    def _guard_of(self, canary: Canary, loaded: Loaded) -> CanaryGuard:
        return CanaryGuard(
            self._home,
            canary,
            loaded.scorer.threshold,
            settle=partial(settle_by_command, self._home),
            report=self._stopped,
        )

    def _stopped(self, stop: CanaryStop) -> None:
        self.logs.event(
            "canary stopped",
            version=stop.version,
            guardrail=stop.guardrail,
            reason=stop.sentence,
        )

    def _refuse(self, version: int | None, reason: str) -> None:
        self._metrics.refused()
        self.logs.event("release refused", version=version, reason=reason)

    def _broken(self, reason: str) -> None:
        self.logs.event("contract not read", reason=reason)

    def _prediction_folder(self) -> Path | None:
        """Where served predictions are logged; nothing is written into a Bento."""
        if self._settings.prediction_log or self._bundle is not None:
            return self._settings.prediction_log
        return self._home / "predictions"

    def _shadow_folder(self) -> Path | None:
        """Where the scores of shadows are logged."""
        if self._settings.prediction_log is not None:
            return self._settings.prediction_log / "shadows"
        if self._bundle is not None:
            return None
        return self._home / "shadows"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - a type
    return TypeAdapter(kind)


def _validated(kind: Any, body: object) -> Mapping[str, Any]:  # noqa: ANN401 - a type
    try:
        valid: Mapping[str, Any] = _adapter(kind).validate_python(body)
    except ValidationError as error:
        raise malformed(error.errors()) from None
    return valid


def _split(digests: str) -> tuple[str, ...]:
    return tuple(digest for digest in digests.split(",") if digest)
