"""The BentoML service: workers, start and stop, packaging.

BentoML imports this module in its supervisor and in every worker, so nothing is read before
a worker is initialised.
"""

import gc
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from churn_platform.base.settings import prepare_environment
from churn_platform.serving.bundle import settings_in_use

from .errors import ApiError, JsonResponse
from .metrics import ApiMetrics
from .server import ApiServer

# `bentoml build` in any other folder would build an empty Bento.
if "build" in sys.argv and not (Path.cwd() / "bento" / "service.py").exists():
    raise BentoMLException(
        f"There is no folder bento/ in {Path.cwd()}. Run `churn bento`, which builds a Bento "
        "that contains the model in production, or run `bentoml build -f bento/bentofile.yaml .` "
        "in the project's folder."
    )

_settings = settings_in_use()
prepare_environment(_settings)


class FastApiFirst:
    """ASGI middleware: FastAPI answers every HTTP request, before BentoML's own routes.

    BentoML answers `/livez` and `/readyz` before any app that is mounted in it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._bentoml = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await bentoml.get_current_service().server(scope, receive, send)
        else:
            await self._bentoml(scope, receive, send)


@bentoml.service(
    name="churn",
    workers=_settings.api_workers,
    traffic={"timeout": 30},
    # Measured: tracing costs 0.7 ms per request; BentoML's metrics have a label for every path.
    tracing={"excluded_urls": ".*"},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    http={"port": _settings.api_port},
)
class ChurnService:
    """Churn probabilities by the model in production."""

    def __init__(self) -> None:
        self.server = ApiServer(_settings, ApiMetrics())
        self.server.start()
        # A batch makes 50,000 short-lived objects. With Python's defaults the garbage collector
        # walks all loaded objects again and again, a tenth of the batch's time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)

    @bentoml.api(route="/predict")  # type: ignore[untyped-decorator]
    async def predict(self, body: dict[str, Any], /) -> Any:  # noqa: ANN401 - a Response
        """One customer, for other BentoML services and for Python."""
        return await _response(self.server.predict(body))

    @bentoml.api(route="/predict/batch")  # type: ignore[untyped-decorator]
    async def predict_batch(self, body: dict[str, Any], /) -> Any:  # noqa: ANN401 - a Response
        """Many customers, for other BentoML services and for Python."""
        return await _response(self.server.predict_batch(body))

    async def __is_ready__(self) -> bool:
        """Whether a verified model is loaded."""
        return self.server.watch.current is not None

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def stop(self) -> None:
        """Write what the logs still hold."""
        self.server.stop()


async def _response(answer: Awaitable[dict[str, Any]]) -> Response:
    try:
        return JsonResponse(await answer)
    except ApiError as error:
        return error.response("-")


ChurnService.add_asgi_middleware(FastApiFirst)  # type: ignore[attr-defined]
