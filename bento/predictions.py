"""Predictions: features from the online store, scored by the release in production."""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from churn_platform.adapters.online.reader import OnlineReader
from churn_platform.adapters.online.rows import OnlineRow
from churn_platform.adapters.online.values import Key
from churn_platform.adapters.serving.prediction_log import Answered
from churn_platform.adapters.serving.release_loading import Loaded
from churn_platform.adapters.serving.release_watch import Held
from churn_platform.adapters.serving.score_history import ScoreHistory
from churn_platform.core.contract import Contract
from churn_platform.core.reasons import sentence
from churn_platform.core.scorer import Row, seen
from churn_platform.errors import StoreDown

from .errors import RETRY_SOON, ApiError
from .schemas import ModelOfAnswer


class Features(NamedTuple):
    """What one customer is scored on.

    Attributes:
        values: Every feature of the contract.
        behind: Features that are missing or of an older month.
        as_of: Their month; None where the request gave all of them.
    """

    values: Row
    behind: list[str]
    as_of: dt.date | None


class Predictor:
    """Predicts for the customers of one home; every method may raise `ApiError`."""

    def __init__(
        self,
        contract: Contract,
        reader: OnlineReader,
        held: Held,
        history: ScoreHistory,
        served: Callable[[list[Answered]], None] = lambda _: None,
    ) -> None:
        """Nothing is read yet.

        Args:
            contract: names the key and the features.
            reader: reads the online store.
            held: the release in production.
            history: what the monthly scoring left.
            served: is called with every served prediction.
        """
        self.contract = contract
        self.key = contract.entity.column
        self.reader = reader
        self.held = held
        self.history = history
        self.answers_stale = contract.policy.serving.stale_features == "answer"
        self._served = served
        self._reason_count = contract.policy.scoring.reasons

    async def predict(self, request: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """The answer about one customer.

        Args:
            request: a valid `PredictRequest`.
            request_id: goes into the answer.
        """
        loaded = self.loaded()
        key = request[self.key]
        assumed = request.get("features", {})
        features = await self._features(key, assumed)
        values = features.values
        stale = bool(features.behind)
        version = loaded.manifest.version
        probability = loaded.scorer.probability([values])[0]
        served = Answered(
            time.time(),
            key,
            version,
            features.as_of,
            probability,
            values,
            bool(assumed),
            stale,
        )
        self._served([served])
        answer = self._scored(loaded, key, probability, features.as_of)
        if request.get("reasons", True):
            pushes = loaded.scorer.contributions([values]).tolist()[0]
            names = [name for name, _ in loaded.scorer.features]
            answer["reasons"] = self._reasons(loaded, values, pushes)
            answer["contributions"] = dict(zip(names, pushes, strict=True))
        return answer | {
            "features_used": values,
            "features_as_of": features.as_of,
            "stale": stale,
            "what_if": sorted(assumed),
            "model": self.model(loaded),
            "request_id": request_id,
        }

    async def predict_batch(
        self, request: Mapping[str, Any], request_id: str
    ) -> dict[str, Any]:
        """The answers about up to 1,000 customers, in the order of the request.

        A customer without a prediction has an error in its place.

        Args:
            request: a valid `BatchRequest`.
            request_id: goes into the answer.
        """
        loaded = self.loaded()
        keys = request["keys"]
        results: list[dict[str, Any]] = []
        usable: list[tuple[int, OnlineRow]] = []
        for number, row in enumerate(await self.rows(keys)):
            if row is not None and (not row.behind or self.answers_stale):
                usable.append((number, row))
                results.append({})  # filled below, when all are scored together
                continue
            error = self._why_not_scored(keys[number], row)
            results.append({self.key: keys[number], "error": error.item})
        scored = self._scored_rows(loaded, [(keys[number], row) for number, row in usable])
        if usable and request.get("reasons", False):
            values = [row.values for _, row in usable]
            contributions = loaded.scorer.contributions(values).tolist()
            for answer, row_values, pushes in zip(
                scored, values, contributions, strict=True
            ):
                answer["reasons"] = self._reasons(loaded, row_values, pushes)
        for (number, _), answer in zip(usable, scored, strict=True):
            results[number] = answer
        return {
            "results": results,
            "answered": len(usable),
            "failed": len(keys) - len(usable),
            "model": self.model(loaded),
            "request_id": request_id,
        }

    def loaded(self) -> Loaded:
        """The release in production."""
        loaded = self.held.current
        if loaded is None:
            reason = self.held.refusal or "nothing has been promoted yet"
            message = f"No model can answer: {reason}."
            hint = "Run `churn run`, or restore the release."
            raise ApiError(503, "no_model", message, hint, headers=RETRY_SOON)
        return loaded

    async def rows(self, keys: Sequence[Key]) -> list[OnlineRow | None]:
        """The online rows of customers."""
        try:
            return await self.reader.read(keys)
        except StoreDown as error:
            raise store_down(error) from None

    async def newest_month(self) -> dt.date:
        """The newest month in the online store."""
        try:
            return await self.reader.newest()
        except StoreDown as error:
            raise store_down(error) from None

    def model(self, loaded: Loaded) -> ModelOfAnswer:
        """The model fields of every answer."""
        reason = self.stand_down(loaded)
        return {
            "name": loaded.manifest.model_name,
            "version": loaded.manifest.version,
            "sha256": loaded.sha256,
            "stand_down": reason is not None,
            "stand_down_reason": reason,
        }

    def stand_down(self, loaded: Loaded) -> str | None:
        """Why the release must stand down; None where it need not, or has scored no month."""
        standing = self.history.standing()
        return standing.stand_down if standing.version == loaded.manifest.version else None

    async def _features(self, key: Key, assumed: Mapping[str, Any]) -> Features:
        if len(assumed) == len(self.contract.features):  # no need to ask the store
            return Features(
                {name: assumed[name] for name in self.contract.features}, [], None
            )
        [row] = await self.rows([key])
        behind = [] if row is None else [name for name in row.behind if name not in assumed]
        if row is None or (behind and not self.answers_stale):
            raise self._why_not_scored(key, row, assumed)
        values = {**row.values, **assumed} if assumed else row.values
        return Features(values, behind, row.as_of)

    def _why_not_scored(
        self, key: Key, row: OnlineRow | None, assumed: Mapping[str, Any] | None = None
    ) -> ApiError:
        if row is None:
            message = f"The online store has no customer {key!r}."
            return ApiError(404, "unknown_customer", message, f"Check the {self.key}.")
        behind = [name for name in row.behind if name not in (assumed or {})]
        return ApiError(
            409,
            "stale_features",
            f"{len(behind)} features of customer {key!r} are missing or of a month before the "
            f"newest (the customer's: {row.as_of}).",
            "The customer may have left. Give the values in `features`, deliver a month with "
            "this customer, or set policy.serving.stale_features to answer.",
            missing_features=behind,
            features_as_of=row.as_of,
        )

    def _scored(
        self, loaded: Loaded, key: Key, probability: float, as_of: dt.date | None
    ) -> dict[str, Any]:
        standing = self.history.standing()
        return {
            self.key: key,
            "prediction": int(probability >= loaded.scorer.threshold),
            "probability": probability,
            "decile": standing.decile_of(key, as_of, loaded.manifest.version, probability),
            "already_left": standing.has_left(key, as_of),
        }

    def _scored_rows(
        self, loaded: Loaded, rows: Sequence[tuple[Key, OnlineRow]]
    ) -> list[dict[str, Any]]:
        """The answers of a batch, each as `_scored` gives it, and their log entries."""
        if not rows:
            return []
        version = loaded.manifest.version
        now = time.time()
        answers = []
        served = []
        probabilities = loaded.scorer.probability([row.values for _, row in rows])
        for (key, row), probability in zip(rows, probabilities, strict=True):
            stale = bool(row.behind)
            answer = self._scored(loaded, key, probability, row.as_of)
            answer["features_as_of"] = row.as_of
            answer["stale"] = stale
            answers.append(answer)
            what_if = False
            served.append(
                Answered(
                    now, key, version, row.as_of, probability, row.values, what_if, stale
                )
            )
        self._served(served)
        return answers

    def _reasons(self, loaded: Loaded, values: Row, pushes: Sequence[float]) -> list[str]:
        """The strongest reasons, in the contract's words."""
        names = [name for name, _ in loaded.scorer.features]
        strongest = sorted(zip(names, pushes, strict=True), key=lambda item: -abs(item[1]))
        return [
            sentence(
                self.contract.features[name],
                name,
                values[name],
                push,
                seen=seen(loaded.scorer.categories.get(name), values[name]),
            )
            for name, push in strongest[: self._reason_count]
        ]


def store_down(error: StoreDown) -> ApiError:
    """The error while the online store does not answer."""
    hint = "Try again in a few seconds; GET /readyz shows what is missing."
    return ApiError(503, "store_down", str(error), hint, headers=RETRY_SOON)
