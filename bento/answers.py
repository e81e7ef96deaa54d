"""Answers about customers: features from the online store, probability and reasons from the release in production."""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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

from .errors import Refusal

RETRY_SECONDS = "5"


class Answers:
    """Answers for one home; every method may raise `Refusal`."""

    def __init__(
        self,
        contract: Contract,
        reader: OnlineReader,
        held: Held,
        history: ScoreHistory,
        given: Callable[[list[ServedPrediction]], None] = lambda _: None,
    ) -> None:
        self.contract, self.reader, self.held, self.history = contract, reader, held, history
        self._given = given
        self._key, self._features = contract.entity.column, contract.features
        self._reasons = contract.policy.scoring.reasons
        self.answers_stale = contract.policy.serving.stale_features == "answer"

    async def predict(self, asked: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """One customer's answer.

        Args:
            asked: a body that `Schemas.single` has validated.
            request_id: goes into the answer.
        """
        loaded, key = self.loaded(), asked[self._key]
        overrides = asked.get("features", {})
        values, behind, as_of = await self._features_of(key, overrides)
        probability, version = loaded.scorer.probability([values])[0], loaded.manifest.version
        self._given(
            [
                ServedPrediction(
                    time.time(),
                    key,
                    version,
                    as_of,
                    probability,
                    values,
                    bool(overrides),
                    bool(behind),
                )
            ]
        )
        answer = self._scored(loaded, key, probability, as_of)
        if asked.get("reasons", True):
            pushes = loaded.scorer.contributions([values]).tolist()
            answer["reasons"] = self._why(loaded, [values], pushes)[0]
            answer["contributions"] = dict(
                zip((name for name, _ in loaded.scorer.features), pushes[0], strict=True)
            )
        return answer | {
            "features_used": values,
            "features_as_of": None if as_of is None else as_of.isoformat(),
            "stale": bool(behind),
            "what_if": sorted(overrides),
            "model": self.model(loaded),
            "request_id": request_id,
        }

    async def batch(self, asked: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """Up to 1,000 customers, each with its answer or its error, in the order asked; reasons only if asked for.

        Args:
            asked: a body that `Schemas.batch` has validated.
            request_id: goes into the answer.
        """
        loaded, keys = self.loaded(), asked["keys"]
        results: list[dict[str, Any]] = []
        usable: list[tuple[int, OnlineRow]] = []
        for number, row in enumerate(await self.rows(keys)):
            if row is not None and (not row.behind or self.answers_stale):
                usable.append((number, row))
                results.append({})  # its answer comes when all are scored together
                continue
            try:
                self._usable(keys[number], row, {})
            except Refusal as refusal:
                results.append({self._key: keys[number], "error": refusal.item()})
        rows = [row.values for _, row in usable]
        found = loaded.scorer.probability(rows) if rows else []
        for (number, _), answered in zip(
            usable, self._scored_all(loaded, keys, usable, found), strict=True
        ):
            results[number] = answered
        if rows and asked.get("reasons", False):
            said = self._why(loaded, rows, loaded.scorer.contributions(rows).tolist())
            for (number, _), why in zip(usable, said, strict=True):
                results[number]["reasons"] = why
        counts = {"answered": len(usable), "failed": len(keys) - len(usable)}
        return {"results": results, **counts, "model": self.model(loaded), "request_id": request_id}

    def loaded(self) -> Loaded:
        """The release that answers now."""
        loaded = self.held.current
        if loaded is None:
            why = self.held.refusal or "nothing has been promoted yet"
            raise Refusal(
                503, "no_model", f"No model can answer: {why}.", "Run `churn run`, or restore the release.",
                headers={"Retry-After": RETRY_SECONDS},
            )  # fmt: skip
        return loaded

    async def rows(self, keys: Sequence[Key]) -> list[OnlineRow | None]:
        """The online rows of customers."""
        try:
            return await self.reader.read(keys)
        except StoreDown as error:
            raise Refusal(
                503, "store_down", str(error), "Try again in a few seconds; GET /readyz shows what is missing.",
                headers={"Retry-After": RETRY_SECONDS},
            ) from None  # fmt: skip

    def model(self, loaded: Loaded) -> dict[str, Any]:
        """The model fields of every answer."""
        manifest, reason = loaded.manifest, self.stand_down(loaded)
        return {
            "name": manifest.model_name,
            "version": manifest.version,
            "sha256": loaded.sha256,
            "stand_down": reason is not None,
            "stand_down_reason": reason,
        }

    def stand_down(self, loaded: Loaded) -> str | None:
        """Why the release must stand down; None when it need not, or was promoted after the last scoring."""
        standing = self.history.standing()
        return standing.stand_down if standing.version == loaded.manifest.version else None

    async def _features_of(
        self, key: Key, overrides: Mapping[str, Any]
    ) -> tuple[Row, list[str], dt.date | None]:
        """The features to score, which of them are missing or old, and their month; None where all were given."""
        if len(overrides) == len(
            self._features
        ):  # the store need not answer, nor know the customer
            return {name: overrides[name] for name in self._features}, [], None
        [row] = await self.rows([key])
        values, behind = self._usable(key, row, overrides)
        assert row is not None  # noqa: S101 - `_usable` refuses None
        return values, behind, row.as_of

    def _usable(
        self, key: Key, row: OnlineRow | None, overrides: Mapping[str, Any]
    ) -> tuple[Row, list[str]]:
        """The features to score, and which of them are missing or old."""
        if row is None:
            raise Refusal(
                404,
                "unknown_customer",
                f"The online store has no customer {key!r}.",
                f"Check the {self._key}.",
            )
        behind = [name for name in row.behind if name not in overrides]
        if behind and not self.answers_stale:
            raise Refusal(
                409, "stale_features",
                f"{len(behind)} features of customer {key!r} are missing or older than the newest month "
                f"(theirs {row.as_of}).",
                "The customer may have left. Give the values in `features`, deliver a month with this customer, or set "
                "policy.serving.stale_features to answer.",
                missing_features=behind, features_as_of=row.as_of.isoformat(),
            )  # fmt: skip
        return ({**row.values, **overrides} if overrides else row.values), behind

    def _scored(
        self, loaded: Loaded, key: Key, probability: float, as_of: dt.date | None
    ) -> dict[str, Any]:
        standing = self.history.standing()
        return {
            self._key: key,
            "prediction": int(probability >= loaded.scorer.threshold),
            "probability": probability,
            "decile": standing.decile_of(key, as_of, loaded.manifest.version, probability),
            "already_left": standing.has_left(key, as_of),
        }

    def _scored_all(
        self,
        loaded: Loaded,
        keys: Sequence[Key],
        usable: list[tuple[int, OnlineRow]],
        found: list[float],
    ) -> list[dict[str, Any]]:
        """The answers of a batch, logged; the same as `_scored` gives one by one."""
        name, version, threshold = self._key, loaded.manifest.version, loaded.scorer.threshold
        standing, now = self.history.standing(), time.time()
        months = {as_of: as_of.isoformat() for as_of in {row.as_of for _, row in usable}}
        answers, log = [], []
        for (number, row), probability in zip(usable, found, strict=True):
            key, stale = keys[number], bool(row.behind)
            answers.append(
                {
                    name: key,
                    "prediction": int(probability >= threshold),
                    "probability": probability,
                    "decile": standing.decile_of(key, row.as_of, version, probability),
                    "already_left": standing.has_left(key, row.as_of),
                    "features_as_of": months[row.as_of],
                    "stale": stale,
                }
            )
            log.append(
                ServedPrediction(
                    now,
                    key,
                    version,
                    row.as_of,
                    probability,
                    row.values,
                    what_if=False,
                    stale=stale,
                )
            )
        self._given(log)
        return answers

    def _why(
        self, loaded: Loaded, rows: Sequence[Row], contributions: list[list[float]]
    ) -> list[list[str]]:
        """The strongest reasons of each row, in the contract's words."""
        names, said = [name for name, _ in loaded.scorer.features], []
        for row, pushes in zip(rows, contributions, strict=True):
            order = sorted(range(len(names)), key=lambda place, pushed=pushes: -abs(pushed[place]))  # type: ignore[misc]
            said.append(
                [
                    self._reason(loaded, names[j], row[names[j]], pushes[j])
                    for j in order[: self._reasons]
                ]
            )
        return said

    def _reason(self, loaded: Loaded, name: str, value: object, push: float) -> str:
        return sentence(
            self._features[name],
            name,
            value,
            push,
            seen=seen(loaded.scorer.categories.get(name), value),
        )
