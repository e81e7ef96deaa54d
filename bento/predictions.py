"""Predictions: features from the online store, scored by the release in production."""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract
from churn_platform.experiments.assignment import CANARY, PRODUCTION, Arm
from churn_platform.experiments.guardrails import valid
from churn_platform.features.online.reader import OnlineReader
from churn_platform.features.online.rows import Key, OnlineRow
from churn_platform.monitoring.prediction_log import ServedPrediction
from churn_platform.scoring.reasons import sentence
from churn_platform.serving.experiment_watch import CanaryArm, Followed
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

    @property
    def counts(self) -> bool:
        """Whether the answer counts in comparisons: no what-if, and of the newest month."""
        return not (self.what_if or self.stale)


@dataclass(frozen=True)
class Scored:
    """One customer with the answer of a release.

    Attributes:
        answer: What `/predict` and `/predict/batch` share.
        contributions: How far each feature moves the log-odds; empty where nobody asked.
    """

    customer: Customer
    loaded: Loaded
    answer: dict[str, Any]
    contributions: list[float] = field(default_factory=list)

    @property
    def probability(self) -> float:
        """The probability of the answer."""
        found: float = self.answer["probability"]
        return found


class Predictor:
    """Predicts for the customers of one home; every method may raise `ApiError`."""

    def __init__(
        self,
        contract: Contract,
        reader: OnlineReader,
        held: Held,
        history: ScoreHistory,
        served: Callable[[list[ServedPrediction]], None] = lambda _: None,
        followed: Callable[[], Followed] = Followed,
    ) -> None:
        """Nothing is read yet.

        Args:
            contract: names the key and the features.
            reader: reads the online store.
            held: the release in production.
            history: what the monthly scoring left.
            served: is called with every served prediction.
            followed: the experiments of this instant.
        """
        self.contract = contract
        self.key = contract.entity.column
        self.reader = reader
        self.held = held
        self.history = history
        self.answers_stale = contract.policy.serving.stale_features == "answer"
        self._served = served
        self.followed = followed
        self._reason_count = contract.policy.scoring.reasons

    async def predict(self, request: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """The answer about one customer.

        Args:
            request: a valid `PredictRequest`.
            request_id: goes into the answer.
        """
        started = time.perf_counter()
        loaded = self.loaded()
        assumed = request.get("features", {})
        reasons = request.get("reasons", True)
        [found] = await self._scored(
            loaded, [request[self.key]], assumed, reasons=reasons, started=started
        )
        if isinstance(found, ApiError):
            raise found
        if reasons:
            names = [name for name, _ in found.loaded.scorer.features]
            found.answer["contributions"] = dict(zip(names, found.contributions, strict=True))
        return found.answer | {
            "features_used": found.customer.values,
            "what_if": sorted(assumed),
            "model": self.model(found.loaded),
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
        keys = request["keys"]
        found = await self._scored(loaded, keys, {}, reasons=request.get("reasons", False))
        results = [
            {self.key: key, "error": one.item} if isinstance(one, ApiError) else one.answer
            for key, one in zip(keys, found, strict=True)
        ]
        failed = sum(isinstance(one, ApiError) for one in found)
        return {
            "results": results,
            "answered": len(results) - failed,
            "failed": failed,
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

    def canary(self, loaded: Loaded) -> CanaryArm | None:
        """The canary that answers its share while `loaded` is in production; None without one."""
        canary = self.followed().canary
        if canary is not None and canary.counts_for(loaded):
            return canary
        return None

    async def rows(self, keys: Sequence[Key]) -> list[OnlineRow | None]:
        """The online rows of customers."""
        return await self._rows(self.reader, keys)

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

    async def _scored(
        self,
        loaded: Loaded,
        keys: Sequence[Key],
        assumed: Mapping[str, Any],
        *,
        reasons: bool,
        started: float | None = None,
    ) -> list[Scored | ApiError]:
        """The answer about each customer, or why there is none; the answers are logged.

        Args:
            loaded: the release in production.
            keys: the customers.
            assumed: features that the request gave.
            reasons: whether to give reasons.
            started: when the request for one customer began; None in a batch.
        """
        canary = self.canary(loaded)
        customers = await self._customers(keys, assumed, self.contract, self.reader)
        arms: list[Arm] = [PRODUCTION] * len(keys)
        found: dict[int, Scored] = {}
        if canary is not None:
            arms = [canary.arm_of(key) for key in keys]
            places = [place for place, arm in enumerate(arms) if arm == CANARY]
            own = await self._customers_of(canary, keys, places, assumed, customers)
            found = self._by_canary(canary, own, reasons=reasons)
        rest = {
            place: customer
            for place, customer in enumerate(customers)
            if isinstance(customer, Customer) and place not in found
        }
        try:
            answers = self._answers(loaded, list(rest.values()), reasons=reasons)
        except Exception:
            if canary is not None:
                for place, customer in rest.items():
                    if arms[place] == PRODUCTION and customer.counts:
                        canary.guard.failed(PRODUCTION, customer.key)
            raise
        found.update(zip(rest, answers, strict=True))
        self._log(found, arms)
        if canary is not None:
            _measure(canary, found, arms, started)
        return [found.get(place) or _error(customers[place]) for place in range(len(keys))]

    async def _customers_of(
        self,
        canary: CanaryArm,
        keys: Sequence[Key],
        places: Sequence[int],
        assumed: Mapping[str, Any],
        customers: Sequence[Customer | ApiError],
    ) -> dict[int, Customer]:
        """The customers of the canary's arm whom it can score, by their place.

        Args:
            canary: the canary.
            keys: every customer of the request.
            places: those of the canary's arm.
            assumed: features that the request gave.
            customers: with the features of the version in production.
        """
        if canary.reader is not None and places:
            try:
                found = await self._customers(
                    [keys[place] for place in places],
                    assumed,
                    canary.loaded.contract,
                    canary.reader,
                )
            except ApiError:  # its features cannot be read, production answers
                return {}
        else:
            found = [customers[place] for place in places]
        return {
            place: customer
            for place, customer in zip(places, found, strict=True)
            if isinstance(customer, Customer)
        }

    def _by_canary(
        self, canary: CanaryArm, customers: Mapping[int, Customer], *, reasons: bool
    ) -> dict[int, Scored]:
        """The canary's answers; without those that it fails, which production answers."""
        try:
            answers = self._answers(canary.loaded, list(customers.values()), reasons=reasons)
        except Exception:  # noqa: BLE001 - whatever a canary raises fails no request
            if len(customers) > 1:
                parts = [{place: customer} for place, customer in customers.items()]
                return {
                    place: answer
                    for part in parts
                    for place, answer in self._by_canary(canary, part, reasons=reasons).items()
                }
            for customer in customers.values():
                if customer.counts:
                    canary.guard.failed(CANARY, customer.key)
            return {}
        found = dict(zip(customers, answers, strict=True))
        for place, answer in list(found.items()):
            if not valid(answer.probability):
                del found[place]
                if answer.customer.counts:
                    canary.guard.answered(CANARY, answer.customer.key, None, answer.probability)
        return found

    async def _customers(
        self,
        keys: Sequence[Key],
        assumed: Mapping[str, Any],
        contract: Contract,
        reader: OnlineReader,
    ) -> list[Customer | ApiError]:
        """The customers with the features of a contract, or why one has no prediction."""
        if assumed and all(name in assumed for name in contract.features):
            values = {name: assumed[name] for name in contract.features}
            # There is no need to ask the store.
            return [Customer(key, values, None, stale=False, what_if=True) for key in keys]
        rows = await self._rows(reader, keys)
        return [self._usable(key, row, assumed) for key, row in zip(keys, rows, strict=True)]

    async def _rows(self, reader: OnlineReader, keys: Sequence[Key]) -> list[OnlineRow | None]:
        try:
            return await reader.read(keys)
        except StoreDown as error:
            raise store_down(error) from None

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
        values = row.values
        if assumed:
            values = {name: assumed.get(name, value) for name, value in values.items()}
        return Customer(key, values, row.as_of, stale=bool(behind), what_if=bool(assumed))

    def _answers(
        self, loaded: Loaded, customers: Sequence[Customer], *, reasons: bool
    ) -> list[Scored]:
        """The answers of a release: the part that `/predict` and `/predict/batch` share."""
        if not customers:
            return []
        version = loaded.manifest.version
        standing = self.history.standing()
        rows = [customer.values for customer in customers]
        probabilities = loaded.scorer.probability(rows)
        found = []
        for customer, probability in zip(customers, probabilities, strict=True):
            key, _, as_of, stale, _ = customer
            answer = {
                self.key: key,
                "prediction": int(probability >= loaded.scorer.threshold),
                "probability": probability,
                "decile": standing.decile_of(key, as_of, version, probability),
                "already_left": standing.has_left(key, as_of),
                "features_as_of": as_of,
                "stale": stale,
                "version": version,
            }
            found.append(Scored(customer, loaded, answer))
        if reasons:
            self._explain(loaded, found)
        return found

    def _explain(self, loaded: Loaded, found: Sequence[Scored]) -> None:
        """Add the contributions, and the strongest reasons to the answers."""
        features = [name for name, _ in loaded.scorer.features]
        rows = [one.customer.values for one in found]
        contributions: list[list[float]] = loaded.scorer.contributions(rows).tolist()
        for one, pushes in zip(found, contributions, strict=True):
            pairs = zip(features, pushes, strict=True)
            strongest = sorted(pairs, key=lambda pair: -abs(pair[1]))[: self._reason_count]
            values = one.customer.values
            one.answer["reasons"] = [
                self._reason(loaded, name, values[name], push) for name, push in strongest
            ]
            one.contributions.extend(pushes)

    def _reason(self, loaded: Loaded, name: str, value: object, push: float) -> str:
        trained_on = seen(loaded.scorer.categories.get(name), value)
        return sentence(loaded.contract.features[name], name, value, push, seen=trained_on)

    def _log(self, found: Mapping[int, Scored], arms: Sequence[Arm]) -> None:
        """Name the arm in the answers, and log them in the order of the request."""
        now = time.time()
        served = []
        for place in sorted(found):
            one = found[place]
            one.answer["arm"] = arms[place]
            key, values, as_of, stale, what_if = one.customer
            version = one.loaded.manifest.version
            probability = one.answer["probability"]
            served.append(
                ServedPrediction(
                    now, key, version, as_of, probability, values, what_if, stale, arms[place]
                )
            )
        self._served(served)


def _measure(
    canary: CanaryArm, found: Mapping[int, Scored], arms: Sequence[Arm], started: float | None
) -> None:
    """Give the guard what the arms' own versions answered."""
    seconds = None if started is None else time.perf_counter() - started
    for place, one in found.items():
        own = arms[place] == PRODUCTION or one.loaded is canary.loaded
        if own and one.customer.counts:
            canary.guard.answered(arms[place], one.customer.key, seconds, one.probability)


def _error(customer: Customer | ApiError) -> ApiError:
    """Why a customer has no prediction."""
    assert isinstance(customer, ApiError)  # noqa: S101 - every other customer has an answer
    return customer


def store_down(error: StoreDown) -> ApiError:
    """The error while the online store does not answer."""
    hint = "Try again in a few seconds; GET /readyz shows what is missing."
    return ApiError(503, "store_down", str(error), hint, headers=RETRY_SOON)
