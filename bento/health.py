"""Whether the API can answer, and how old the model and the features are."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable

from churn_platform.features.online.rows import all_older
from churn_platform.serving.bundle import Bundle

from .errors import RETRY_SOON, ApiError
from .metrics import ApiMetrics
from .predictions import Predictor
from .schemas import HealthAnswer

SAMPLE = 20
"""So many listed customers are read to see whether the store has lost its newest month."""


class Health:
    """Readiness and gauges of one worker."""

    def __init__(
        self,
        predictor: Predictor,
        metrics: ApiMetrics,
        bundle: Bundle | None,
        newest_published: Callable[[], dt.date | None],
    ) -> None:
        """Nothing is read yet.

        Args:
            predictor: answers the requests.
            metrics: get the gauges.
            bundle: what a Bento contains; None on an ordinary home.
            newest_published: the newest month in the lake; None where there is no lake.
        """
        self._predictor = predictor
        self._metrics = metrics
        self._bundle = bundle
        self._newest_published = newest_published

    async def readiness(self, request_id: str) -> HealthAnswer:
        """What the API answers with.

        Raises:
            ApiError: 503 without a model or a store; also while the online store is behind the
                newest published month, unless the policy answers with older features.
        """
        loaded = self._predictor.loaded()
        missing = []
        newest: dt.date | None = None
        published: dt.date | None = None
        stale = False
        if self._bundle is not None and not self._bundle.store:
            missing = ["the customers: only what-ifs that give every feature are answered"]
        else:
            newest = await self._predictor.newest_month()
            published = await asyncio.to_thread(self._newest_published)
            behind = published is not None and newest < published
            stale = behind or await self._has_lost(newest)
        if stale and not self._predictor.answers_stale:
            raise _features_behind(newest, published)
        return {
            "status": "ready",
            "version": loaded.manifest.version,
            "features_as_of": newest,
            "published_as_of": published,
            "stale": stale,
            "missing": missing,
            "baked_at": None if self._bundle is None else self._bundle.built_at,
            "request_id": request_id,
        }

    async def set_gauges(self) -> None:
        """Set version, ages and stand-down, as far as they are known."""
        loaded = self._predictor.held.current
        now = dt.datetime.now(dt.UTC)
        if loaded is not None:
            canary = self._predictor.canary(loaded)
            self._metrics.canary_share.set(0 if canary is None else canary.canary.share)
            trained = dt.date.fromisoformat(loaded.manifest.training_as_of)
            stands_down = self._predictor.stand_down(loaded) is not None
            self._metrics.version.set(loaded.manifest.version)
            self._metrics.model_age.set(_seconds_since(trained, now))
            self._metrics.stand_down.set(stands_down)
        with contextlib.suppress(ApiError):  # the age keeps its value while the store is down
            newest = await self._predictor.newest_month()
            self._metrics.features_age.set(_seconds_since(newest, now))

    async def _has_lost(self, newest: dt.date) -> bool:
        """Whether the store has no rows of its newest month for the customers listed then."""
        history = self._predictor.history
        if history.standing().as_of != newest:
            return False
        listed = await asyncio.to_thread(history.ranked)
        keys = [customer.key for customer in listed[:SAMPLE]]
        if not keys:
            return False
        return all_older(await self._predictor.rows(keys), self._predictor.contract)


def _features_behind(newest: dt.date | None, published: dt.date | None) -> ApiError:
    return ApiError(
        503,
        "features_behind",
        f"The online store has features of {newest} and lacks those of {published or newest}, "
        "the newest published month.",
        "Run the month (`churn run`), or check the run that failed. To answer with older "
        "features, set policy.serving.stale_features to answer.",
        headers=RETRY_SOON,
    )


def _seconds_since(day: dt.date, now: dt.datetime) -> float:
    return (now - dt.datetime.combine(day, dt.time(), dt.UTC)).total_seconds()
