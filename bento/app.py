"""The FastAPI app of one contract: routes, errors, OpenAPI document."""

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from churn_platform import __version__

from .access import AccessPolicy
from .errors import (
    ApiError,
    JsonResponse,
    http_error_response,
    validation_error_response,
)
from .health import Health
from .metrics import ApiMetrics
from .middleware import ApiRoute, RequestLog, unique_fields
from .models import Models, Page, add_features
from .predictions import Predictor
from .production_record import ProductionRecords, experiments_of
from .schemas import Error, HealthAnswer, Model, ModelRecord, ModelWithContacts

PAGE = Path(__file__).parent / "page"
PAGE_FILES = frozenset(path.name for path in PAGE.iterdir())
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
ERRORS = {
    400: "The Host header names another server, or the body was cut off.",
    401: "The API key is missing or wrong.",
    403: "No API keys are configured, and the request is not from localhost.",
    404: "There is no such customer.",
    405: "The path does not support the method.",
    408: "The body did not arrive in time.",
    409: "Features are missing or of an older month: `missing_features` names them.",
    413: "The body is longer than 1,000,000 bytes.",
    415: "The body is not JSON.",
    422: "The request is malformed.",
    429: "Too many requests are being answered.",
    500: "The server failed.",
    503: "There is no verified model, or the online store does not answer.",
}
EVERYWHERE = (400, 401, 403, 405, 429, 500)
BODY = (408, 413, 415, 422)


@dataclass(frozen=True)
class Backend:
    """What the routes of one contract answer with."""

    predictor: Predictor
    models: Models
    records: ProductionRecords
    health: Health
    metrics: ApiMetrics
    access: AccessPolicy
    write_log: Callable[[dict[str, Any]], None]


def create_app(backend: Backend) -> FastAPI:
    """The app; FastAPI's own pages are off, they load scripts from elsewhere."""
    app = FastAPI(
        title=f"{backend.predictor.contract.model_name} API",
        version=__version__,
        description=backend.predictor.contract.description,
        openapi_url=None,
        redirect_slashes=False,
        # BentoML sets a global tracer, which FastAPI would use for every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        responses=_errors(*EVERYWHERE),
        exception_handlers={
            HTTPException: http_error_response,
            RequestValidationError: validation_error_response,
        },
    )
    app.router.route_class = ApiRoute
    app.state.access = backend.access
    app.state.in_flight = 0
    app.add_middleware(RequestLog, metrics=backend.metrics, write=backend.write_log)
    _add_predictions(app, backend)
    _add_customers(app, backend)
    _add_health(app, backend)
    _add_model(app, backend)
    _add_openapi(app, predictor=backend.predictor)
    _add_page(app)
    return app


def _add_predictions(app: FastAPI, backend: Backend) -> None:
    models = backend.models
    predictor = backend.predictor

    @app.post(
        "/predict",
        summary="Churn probability of one customer, and why",
        response_model=models.answer,
        responses=_errors(404, 409, 503, *BODY),
    )
    async def predict(
        request: Request,
        body: Annotated[models.predict_request, Body()],  # type: ignore[name-defined]
    ) -> Response:
        fields = request.state.log_fields
        fields["key"] = body[predictor.key]
        answer = await predictor.predict(body, request.state.request_id)
        fields["version"] = answer["model"]["version"]
        return JsonResponse(answer)

    @app.post(
        "/predict/batch",
        summary="Churn probability of many customers",
        response_model=models.batch_answer,
        responses=_errors(503, *BODY),
    )
    async def predict_batch(
        request: Request,
        body: Annotated[models.batch_request, Body()],  # type: ignore[name-defined]
    ) -> Response:
        fields = request.state.log_fields
        fields["keys"] = len(body["keys"])
        answer = await predictor.predict_batch(body, request.state.request_id)
        fields["version"] = answer["model"]["version"]
        return JsonResponse(answer)


def _add_customers(app: FastAPI, backend: Backend) -> None:
    models = backend.models
    predictor = backend.predictor
    history = predictor.history
    plans_contacts = predictor.contract.contacts is not None

    @app.get(
        "/customers/at-risk",
        summary="Who to contact" if plans_contacts else "Who is most likely to leave",
        response_model=models.at_risk,
        responses=_errors(422),
    )
    async def at_risk(request: Request, page: Annotated[Page, Query()]) -> Response:
        unique_fields(request.query_params.multi_items())
        listed = await asyncio.to_thread(history.at_risk)
        standing = history.standing()
        planned = {"to_contact": True} if plans_contacts else {}
        return JsonResponse(
            {
                "as_of": standing.as_of,
                "version": standing.version,
                "stand_down": standing.stand_down is not None,
                "list_note": await asyncio.to_thread(history.list_note),
                "customers_scored": standing.customers,
                "already_left": standing.left,
                "listed": len(listed),
                "offset": page.offset,
                "customers": [
                    one.as_json(predictor.key)
                    for one in listed[page.offset : page.offset + page.top]
                ],
                **planned,
                "request_id": request.state.request_id,
            }
        )

    @app.get("/customers/", include_in_schema=False)
    async def no_customer() -> Response:
        raise HTTPException(404)

    @app.get(
        "/customers/{key:path}",
        summary="One customer: now and in every scored month",
        response_model=models.customer,
        responses=_errors(404, 409, 422, 503),
    )
    async def customer(
        request: Request,
        key: Annotated[models.path_key, PathParameter()],  # type: ignore[name-defined]
    ) -> Response:
        """A customer who left has a history only."""
        request.state.log_fields["key"] = key
        request_id = request.state.request_id
        answer: dict[str, Any] = {predictor.key: key}
        answer["history"] = await asyncio.to_thread(history.customer, key)
        if plans_contacts:
            answer["to_contact"] = await asyncio.to_thread(history.to_contact, key)
        try:
            answer["current"] = await predictor.predict({predictor.key: key}, request_id)
            answer["no_current"] = None
        except ApiError as error:
            if not answer["history"]:
                raise
            answer["current"] = None
            answer["no_current"] = error.item
        return JsonResponse(answer | {"request_id": request_id})


def _add_health(app: FastAPI, backend: Backend) -> None:
    @app.get("/health", summary="Whether the process is alive", response_model=HealthAnswer)
    @app.get("/livez", summary="Whether the process is alive", response_model=HealthAnswer)
    async def alive(request: Request) -> Response:
        return JsonResponse({"status": "alive", "request_id": request.state.request_id})

    @app.get(
        "/readyz",
        summary="Whether it can answer: a verified model, and features",
        response_model=HealthAnswer,
        responses=_errors(503),
    )
    async def ready(request: Request) -> Response:
        return JsonResponse(await backend.health.readiness(request.state.request_id))

    @app.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses=_text("text/plain"),
    )
    async def metrics() -> Response:
        await backend.health.set_gauges()
        return Response(backend.metrics.text(), media_type=PROMETHEUS)


def _add_model(app: FastAPI, backend: Backend) -> None:
    predictor = backend.predictor
    with_contacts = predictor.contract.contacts is not None

    @app.get(
        "/model",
        summary="The model in production",
        response_model=ModelWithContacts if with_contacts else Model,
        responses=_errors(503),
    )
    async def model(request: Request) -> Response:
        loaded = predictor.loaded()
        manifest = loaded.manifest
        record = await asyncio.to_thread(backend.records.of, manifest.version)
        more: dict[str, Any] = {}
        if with_contacts:
            found = await asyncio.to_thread(backend.records.of_contacts, manifest.version)
            more = {**found}
        estimated = await asyncio.to_thread(backend.records.estimated, manifest.version)
        if estimated is not None:
            more["estimated"] = estimated
        if loaded.reasons_by is not None:
            more["reasons_by"] = loaded.reasons_by
        shown: Mapping[str, str] = {}
        if predictor.followed().running.shadows:
            shown = await asyncio.to_thread(backend.records.shown_by_shadows)
        answer: ModelRecord = {
            **predictor.model(loaded),
            "entity": {"name": predictor.key, "dtype": predictor.contract.entity.dtype},
            "since": loaded.since,
            "previous_version": loaded.previous_version,
            "algorithm": manifest.algorithm,
            "training_as_of": manifest.training_as_of,
            "training_months": manifest.training_months,
            "threshold": manifest.threshold,
            "costs_given": loaded.threshold_given,
            "metrics": manifest.metrics,
            **record,
            **experiments_of(predictor, loaded, shown),
            "refused_release": predictor.held.refusal,
            "request_id": request.state.request_id,
        }
        return JsonResponse({**answer, **more})


def _add_openapi(app: FastAPI, predictor: Predictor) -> None:
    @cache
    def made() -> dict[str, Any]:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{}, {"key": []}]
        # FastAPI keeps bounds as floats: 2**63 would be written as another integer, 9.2e18.
        plain: dict[str, Any] = json.loads(json.dumps(found), parse_float=_plain_number)
        return plain

    @app.get("/openapi.json", summary="This document")
    def openapi() -> dict[str, Any]:
        loaded = predictor.held.current
        canary = None if loaded is None else predictor.canary(loaded)
        if canary is None or canary.reader is None:
            return made()
        document = copy.deepcopy(made())
        add_features(document["components"]["schemas"], canary.loaded.contract)
        return document


def _add_page(app: FastAPI) -> None:
    @app.get(
        "/",
        summary="The page for people",
        response_class=Response,
        responses=_text("text/html"),
    )
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", headers=PAGE_HEADERS)

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in PAGE_FILES:
            raise HTTPException(404)
        return FileResponse(PAGE / name, headers=PAGE_HEADERS)


def _text(media_type: str) -> dict[int | str, dict[str, Any]]:
    """Not by the response class: FastAPI would describe errors in its media type."""
    return {200: {"content": {media_type: {"schema": {"type": "string"}}}}}


def _plain_number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Error, "description": ERRORS[status]} for status in sorted(statuses)}
