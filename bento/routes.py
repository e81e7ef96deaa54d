"""The routes: what each path and method answers."""

import asyncio
import contextlib
import datetime as dt
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.responses import Response

from churn_platform.base.errors import StoreDown
from churn_platform.features.online.rows import all_older
from churn_platform.serving.bundle import Bundle

from .answers import RETRY_SECONDS, Answers
from .errors import Refusal, answer
from .metrics import Metrics
from .openapi import document
from .schema import Schemas, body, named_once, value

PAGE = Path(__file__).parent / "page"
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
Access = Literal["open", "key", "metrics"]
SAMPLE = 20
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Asked:
    """A request that passed the front; `said` is what its handler adds to the request log."""

    request_id: str
    body: bytes = b""
    query: bytes = b""
    rest: str = ""
    """What follows the route's prefix in the path."""
    said: dict[str, Any] = field(default_factory=dict)


Handler = Callable[[Asked], Awaitable[Response]]
Told = Callable[[int], dict[str, Any]]
"""What the home knows about a version (`bento/told.py`)."""

Published = Callable[[], dt.date | None]
"""The newest month that the lake has published; None where there is no lake."""


@dataclass(frozen=True)
class Route:
    """One path, or every path below it where it ends in a slash."""

    name: str
    handlers: Mapping[str, Handler]
    access: Access = "key"


class Routes:
    """The table, and the handlers on one set of answers."""

    def __init__(
        self,
        answers: Answers,
        schemas: Schemas,
        told: Told,
        metrics: Metrics,
        baked: Bundle | None = None,
        published: Published = lambda: None,
    ) -> None:
        self._answers, self._schemas, self._told, self._metrics = answers, schemas, told, metrics
        self._baked = baked
        self._published = published
        self._document = document(answers.contract, schemas)
        get, post = self._get, self._post
        self._table = {
            "/predict": post("/predict", self._predict),
            "/predict/batch": post("/predict/batch", self._batch),
            "/customers/at-risk": get("/customers/at-risk", self._at_risk),
            "/customers/": get("/customers/{key}", self._customer),
            "/model": get("/model", self._model),
            "/health": get("/health", self._alive, "open"),
            "/livez": get("/livez", self._alive, "open"),
            "/readyz": get("/readyz", self._ready, "open"),
            "/metrics": get("/metrics", self._measured, "metrics"),
            "/openapi.json": get("/openapi.json", self._described),
            "/": get("/", self._page, "open"),
            "/page/": get("/page/", self._page, "open"),
        }

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route of a path and the rest of the path; None if absent."""
        route = self._table.get(path)
        if route is not None and (path == "/" or not path.endswith("/")):
            return route, ""
        for prefix in ("/customers/", "/page/"):
            if path.startswith(prefix) and len(path) > len(prefix):
                return self._table[prefix], path[len(prefix) :]
        return None

    @staticmethod
    def _get(name: str, handler: Handler, access: Access = "key") -> Route:
        return Route(name, {"GET": handler, "HEAD": handler}, access)

    @staticmethod
    def _post(name: str, handler: Handler) -> Route:
        return Route(name, {"POST": handler})

    async def _predict(self, asked: Asked) -> Response:
        request = body(self._schemas.single, asked.body)
        asked.said["key"] = request[self._schemas.key]
        found = await self._answers.predict(request, asked.request_id)
        asked.said["version"] = found["model"]["version"]
        return answer(found)

    async def _batch(self, asked: Asked) -> Response:
        request = body(self._schemas.batch, asked.body)
        asked.said["keys"] = len(request["keys"])
        found = await self._answers.batch(request, asked.request_id)
        asked.said["version"] = found["model"]["version"]
        return answer(found)

    async def _at_risk(self, asked: Asked) -> Response:
        pairs = parse_qsl(asked.query.decode("latin-1"), keep_blank_values=True)
        wanted = value(self._schemas.listing, named_once(pairs))
        history = self._answers.history
        listed, standing = await asyncio.to_thread(history.at_risk), history.standing()
        start, top = wanted.get("offset", 0), wanted.get("top", 50)
        return answer(
            {
                "as_of": None if standing.as_of is None else standing.as_of.isoformat(),
                "version": standing.version,
                "stand_down": standing.stand_down is not None,
                "list_note": standing.list_note,
                "customers_scored": standing.customers,
                "already_left": standing.left,
                "listed": len(listed),
                "offset": start,
                "customers": listed[start : start + top],
                "request_id": asked.request_id,
            }
        )

    async def _customer(self, asked: Asked) -> Response:
        """Score history, and the answer of now where there is one: a customer who left has a history only."""
        key = value(self._schemas.path_key, asked.rest)
        asked.said["key"] = key
        scores = await asyncio.to_thread(self._answers.history.customer, key)
        current, why_not = None, None
        try:
            current = await self._answers.predict({self._schemas.key: key}, asked.request_id)
        except Refusal as refusal:
            if not scores:
                raise
            why_not = refusal.item()
        shown = {"history": scores, "current": current, "no_current": why_not}
        return answer({self._schemas.key: key, **shown, "request_id": asked.request_id})

    async def _model(self, asked: Asked) -> Response:
        loaded = self._answers.loaded()
        manifest, told = (
            loaded.manifest,
            await asyncio.to_thread(self._told, loaded.manifest.version),
        )
        return answer(
            {
                **self._answers.model(loaded),
                "entity": {"name": self._schemas.key, "dtype": self._answers.contract.entity.dtype},
                "since": loaded.since,
                "previous_version": loaded.previous_version,
                "algorithm": manifest.algorithm,
                "training_as_of": manifest.training_as_of,
                "training_months": manifest.training_months,
                "threshold": manifest.threshold,
                "costs_given": loaded.threshold_given,
                "metrics": manifest.metrics,
                **told,
                "refused_release": self._answers.held.refusal,
                "request_id": asked.request_id,
            }
        )

    async def _alive(self, asked: Asked) -> Response:
        return answer({"status": "alive", "request_id": asked.request_id})

    async def _ready(self, asked: Asked) -> Response:
        """Ready to answer; `missing` names what a Bento was built without, `baked_at` when it was built.

        Not ready while a newer month than the online store's is published, unless the policy answers with old features.
        """
        loaded, missing = self._answers.loaded(), []
        newest: dt.date | None = None
        published: dt.date | None = None
        if self._baked is not None and not self._baked.store:
            missing = ["the customers: only what-ifs that give every feature are answered"]
        else:
            newest = await self._newest()
            published = await asyncio.to_thread(self._published)
        stale = newest is not None and (
            await self._lacks(newest) or (published is not None and newest < published)
        )
        if stale and not self._answers.answers_stale:
            raise Refusal(
                503, "features_behind",
                f"The online store holds {newest} as its newest month and lacks features of {published or newest}, "
                "which is published.",
                "A run of that month writes them: `churn run`, or look at the run that failed. To be ready with older "
                "features, set policy.serving.stale_features to answer.",
                headers={"Retry-After": RETRY_SECONDS},
            )  # fmt: skip
        return answer(
            {
                "status": "ready",
                "version": loaded.manifest.version,
                "features_as_of": None if newest is None else newest.isoformat(),
                "published_as_of": None if published is None else published.isoformat(),
                "stale": stale,
                "missing": missing,
                "baked_at": None if self._baked is None else self._baked.built_at,
                "request_id": asked.request_id,
            }
        )

    async def _lacks(self, newest: dt.date) -> bool:
        """Whether the store has lost the rows of its newest month, by some of the customers that were listed then."""
        history = self._answers.history
        if history.standing().as_of != newest:
            return False
        listed = await asyncio.to_thread(history.at_risk)
        keys = [customer[self._schemas.key] for customer in listed[:SAMPLE]]
        return bool(keys) and all_older(await self._answers.rows(keys), self._answers.contract)

    async def _newest(self) -> dt.date:
        try:
            return await self._answers.reader.newest()
        except StoreDown as error:
            raise Refusal(503, "store_down", str(error), "Try again in a few seconds.") from None

    async def _measured(self, _: Asked) -> Response:
        loaded, now = self._answers.held.current, dt.datetime.now(dt.UTC).timestamp()
        if loaded is not None:
            trained = dt.date.fromisoformat(loaded.manifest.training_as_of)
            self._metrics.version.set(loaded.manifest.version)
            self._metrics.model_age.set(now - _midnight(trained))
            self._metrics.stand_down.set(self._answers.stand_down(loaded) is not None)
        with contextlib.suppress(
            Refusal
        ):  # the age then stays what it was; /readyz says that the store is down
            self._metrics.features_age.set(now - _midnight(await self._newest()))
        return Response(self._metrics.text(), media_type=PROMETHEUS)

    async def _described(self, _: Asked) -> Response:
        return answer(self._document)

    async def _page(self, asked: Asked) -> Response:
        """A file of `bento/page`, by its name alone: no path can lead out of the folder."""
        name = asked.rest or "index.html"
        path = PAGE / name
        if name != Path(name).name or not path.is_file():
            raise Refusal(404, "unknown_path", f"There is no page {name!r}.", "GET / is the page.")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(path.read_bytes(), media_type=kind, headers=PAGE_HEADERS)


def _midnight(day: dt.date) -> float:
    return dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()
