"""The BentoML service: workers, start and stop, packaging. `churn serve` runs it, and `bentoml serve` does."""

import gc
import sys
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.responses import Response

from churn_platform.base.settings import prepare_environment
from churn_platform.serving.bundle import settings_in_use

from .assembly import Assembly
from .errors import Refusal, answer
from .front import Front, Holder
from .heads import guard_heads
from .metrics import Metrics

# BentoML imports this module in the folder that it builds from, and would build an empty Bento from any other.
if "build" in sys.argv and not (Path.cwd() / "bento" / "service.py").exists():
    raise BentoMLException(
        f"There is no folder bento/ in {Path.cwd()}. Run `churn bento`, which builds a Bento with the model in "
        "production inside, or run `bentoml build -f bento/bentofile.yaml .` in the project's folder."
    )

_settings = settings_in_use()
prepare_environment(_settings)
guard_heads()
_holder = Holder()


@bentoml.service(
    name="churn",
    workers=_settings.api_workers,
    traffic={"timeout": 30},
    # Measured: tracing costs 0.7 ms a request although nobody reads it; BentoML's metrics have a label a path.
    tracing={"excluded_urls": ".*"},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    http={"port": _settings.api_port},
)
class ChurnService:
    """Churn probabilities by the model in production."""

    def __init__(self) -> None:
        self._assembly = Assembly(_settings, Metrics())
        self._assembly.start()
        # A batch makes 50,000 objects that live for milliseconds: at Python's thresholds the collector walks all that
        # the process ever loaded again and again, a tenth of the batch's time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        _holder.server = self._assembly.server

    @bentoml.api(route="/predict")  # type: ignore[untyped-decorator]
    async def predict(self, body: dict[str, Any], /) -> Any:  # noqa: ANN401 - a Response, or what to send as JSON
        """One customer, for other BentoML services and for Python; over HTTP the front answers before this."""
        return await self._said(self._assembly.predict(body))

    @bentoml.api(route="/predict/batch")  # type: ignore[untyped-decorator]
    async def predict_batch(self, body: dict[str, Any], /) -> Any:  # noqa: ANN401
        """Many customers, in the same way."""
        return await self._said(self._assembly.predict_batch(body))

    async def __is_ready__(self) -> bool:
        """A verified model is loaded."""
        return self._assembly.watch.current is not None

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def stop(self) -> None:
        """Write what the logs still hold."""
        self._assembly.stop()

    async def _said(self, pending: Any) -> Response:  # noqa: ANN401
        try:
            return answer(await pending)
        except Refusal as refusal:
            return refusal.response("-")


ChurnService.add_asgi_middleware(Front, holder=_holder)  # type: ignore[attr-defined]
