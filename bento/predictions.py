"""Predictions: features from the online store, scored by the release in production."""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract
from churn_platform.features.online.reader import OnlineReader
from churn_platform.features.online.rows import Key, OnlineRow
from churn_platform.monitoring.prediction_log import ServedPrediction
from churn_platform.scoring.reasons import sentence
from churn_platform.serving.release_watch import Held
from churn_platform.serving.score_history import ScoreHistory
from churn_platform.training.release_loading import Loaded
from churn_platform.training.scorer import Row, seen

from .errors import RETRY_SOON, ApiError
from .schemas import ModelOfAnswer


class Customer(NamedTuple):
    """One customer who can be scored.

    Attributes:
        key: The customer's key.
        values: Every feature of the contract.
        as_of: The month of the features; None where the request gave all of them.
        stale: Whether a feature is missing or of an older month.
        what_if: Whether the request gave features.
    """

    key: Key
    values: Row
    as_of: dt.date | None
    stale: bool
    what_if: bool


class Predictor:
    """Predicts for the customers of one home; every method may raise `ApiError`."""

    def __init__(
        self,
        contract: Contract,
        reader: OnlineReader,
        held: Held,
        history: ScoreHistory,
        served: Callable[[list[ServedPrediction]], None] = lambda _: None,
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
        assumed = request.get("features", {})
        customer = await self._customer(request[self.key], assumed)
        [answer] = self._score(loaded, [customer])
        if request.get("reasons", True):
            [pushes] = self._explain(loaded, [customer], [answer])
            names = [name for name, _ in loaded.scorer.features]
            answer["contributions"] = dict(zip(names, pushes, strict=True))
        return answer | {
            "features_used": customer.values,
            "what_if": sorted(assumed),
            "model": self.model(loaded),
            "request_id": request_id,
        }

    async def predict_batch(self, request: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """The answers about up to 1,000 customers, in the order of the request.

        A customer without a prediction has an error in its place.

        Args:
            request: a valid `BatchRequest`.
            request_id: goes into the answer.
        """
        loaded = self.loaded()
        results: list[dict[str, Any]] = []
        customers: list[Customer] = []
        places: list[int] = []
        rows = await self.rows(request["keys"])
        for place, (key, row) in enumerate(zip(request["keys"], rows, strict=True)):
            found = self._usable(key, row, {})
            if isinstance(found, Customer):
                customers.append(found)
                places.append(place)
                results.append({})  # filled below, when all are scored together
            else:
                results.append({self.key: key, "error": found.item})
        answers = self._score(loaded, customers) if customers else []
        if customers and request.get("reasons", False):
            self._explain(loaded, customers, answers)
        for place, answer in zip(places, answers, strict=True):
            results[place] = answer
        return {
            "results": results,
            "answered": len(answers),
            "failed": len(results) - len(answers),
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

    async def _customer(self, key: Key, assumed: Mapping[str, Any]) -> Customer:
        if len(assumed) == len(self.contract.features):  # no need to ask the store
            values = {name: assumed[name] for name in self.contract.features}
            return Customer(key, values, None, stale=False, what_if=True)
        [row] = await self.rows([key])
        found = self._usable(key, row, assumed)
        if isinstance(found, ApiError):
            raise found
        return found

    def _usable(
        self, key: Key, row: OnlineRow | None, assumed: Mapping[str, Any]
    ) -> Customer | ApiError:
        """The customer, or why there is no prediction."""
        if row is None:
            message = f"The online store has no customer {key!r}."
            return ApiError(404, "unknown_customer", message, self.contract.advice_on_key(key))
        behind = [name for name in row.behind if name not in assumed]
        if behind and not self.answers_stale:
            return ApiError(
                409,
                "stale_features",
                f"{len(behind)} features of customer {key!r} are missing or older than the "
                f"newest month (the customer's month: {row.as_of}).",
                "The customer may have left. Give the values in `features`, deliver a month "
                "with this customer, or set policy.serving.stale_features to answer.",
                missing_features=behind,
                features_as_of=row.as_of,
            )
        values = {**row.values, **assumed} if assumed else row.values
        return Customer(key, values, row.as_of, stale=bool(behind), what_if=bool(assumed))

    def _score(self, loaded: Loaded, customers: Sequence[Customer]) -> list[dict[str, Any]]:
        """The part of the answer that `/predict` and `/predict/batch` share; it is logged."""
        version = loaded.manifest.version
        standing = self.history.standing()
        now = time.time()
        answers = []
        served = []
        probabilities = loaded.scorer.probability([one.values for one in customers])
        for customer, probability in zip(customers, probabilities, strict=True):
            key, values, as_of, stale, what_if = customer
            answers.append(
                {
                    self.key: key,
                    "prediction": int(probability >= loaded.scorer.threshold),
                    "probability": probability,
                    "decile": standing.decile_of(key, as_of, version, probability),
                    "already_left": standing.has_left(key, as_of),
                    "features_as_of": as_of,
                    "stale": stale,
                }
            )
            served.append(
                ServedPrediction(now, key, version, as_of, probability, values, what_if, stale)
            )
        self._served(served)
        return answers

    def _explain(
        self,
        loaded: Loaded,
        customers: Sequence[Customer],
        answers: Sequence[dict[str, Any]],
    ) -> list[list[float]]:
        """Add the strongest reasons to the answers; returns all contributions."""
        features = [name for name, _ in loaded.scorer.features]
        rows = [customer.values for customer in customers]
        contributions: list[list[float]] = loaded.scorer.contributions(rows).tolist()
        for answer, values, pushes in zip(answers, rows, contributions, strict=True):
            pairs = zip(features, pushes, strict=True)
            strongest = sorted(pairs, key=lambda pair: -abs(pair[1]))[: self._reason_count]
            answer["reasons"] = [
                self._reason(loaded, name, values[name], push) for name, push in strongest
            ]
        return contributions

    def _reason(self, loaded: Loaded, name: str, value: object, push: float) -> str:
        trained_on = seen(loaded.scorer.categories.get(name), value)
        return sentence(self.contract.features[name], name, value, push, seen=trained_on)


def store_down(error: StoreDown) -> ApiError:
    """The error while the online store does not answer."""
    hint = "Try again in a few seconds; GET /readyz shows what is missing."
    return ApiError(503, "store_down", str(error), hint, headers=RETRY_SOON)
