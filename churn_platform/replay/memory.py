"""What the policies of one backtest share: equal datasets, fits, evidence and scores are made
once.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
from pydantic_core import to_jsonable_python

from churn_platform.base.digests import digest_of, frame_digest
from churn_platform.contract.model import Contract
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.monitoring.comparison import LabelledMonth, LaterMonths
from churn_platform.promotion.evidence import Evidence
from churn_platform.promotion.gate import gather
from churn_platform.replay.history import PastLabels, PastMonths
from churn_platform.training.candidate import (
    Candidate,
    ShuffledRefit,
    candidate_digest,
    fit_candidate,
    shuffled_refit,
)
from churn_platform.training.model import ChurnModel, Recipe

Floats = np.ndarray[Any, np.dtype[np.float64]]
Made = TypeVar("Made")


class Memory:
    """One for all policies of a backtest of one business."""

    def __init__(self, history: PastMonths, code_digest: str) -> None:
        self.history = history
        self.code_digest = code_digest
        self.fits = 0
        """How many models were fitted."""
        self._known: dict[tuple[object, ...], object] = {}

    def dataset(self, contract: Contract, cutoff: dt.date) -> TrainingDataset | None:
        """The training dataset of a month, shared by policies that choose and split the same
        rows.
        """
        policy = contract.policy
        chosen = digest_of(
            [policy.training.model_dump(mode="json"), policy.promotion.min_holdout_churners]
        )
        return self._once(
            ("dataset", cutoff, chosen), lambda: self.history.dataset(contract, cutoff)
        )

    def candidate(self, contract: Contract, dataset: TrainingDataset) -> Candidate:
        """The candidate of a dataset, without a version."""
        return self._once(
            ("candidate", self._named(contract, dataset)),
            lambda: fit_candidate(contract, dataset, self.code_digest, fit=self.fit),
        )

    def refit(self, contract: Contract, dataset: TrainingDataset) -> ShuffledRefit:
        """The recipe on shuffled labels."""
        return self._once(
            ("refit", self._named(contract, dataset)),
            lambda: shuffled_refit(contract, dataset, self.fit),
        )

    def evidence(
        self,
        contract: Contract,
        dataset: TrainingDataset,
        candidate: Candidate,
        production: Candidate | None,
        attempt: int,
    ) -> Evidence:
        """The evidence of a decision. Each policy numbers its own versions, so the version of
        production is part of the key.
        """
        incumbent = None if production is None else (production.version, production.digest)
        training = contract.policy.training
        limits = [training.leak_auc, training.churn_rate_min, training.churn_rate_max]
        gate = digest_of([contract.policy.promotion.model_dump(mode="json"), limits])
        return self._once(
            ("evidence", self._named(contract, dataset), incumbent, gate, attempt),
            lambda: gather(contract, dataset, candidate, production, attempt, self.fit),
        )

    def probability(self, version: Candidate, month: dt.date) -> Floats:
        """A version's probabilities for all rows of a month, in their order."""

        def scored() -> Floats:
            columns = self._once(
                ("columns", version.model.features, month),
                lambda: version.model.columns(self.history.rows(month)),
            )
            return version.model.of_columns(columns)

        return self._once(("probability", version.digest, month), scored)

    def labelled(
        self, contract: Contract, month: dt.date, cutoff: dt.date | None = None
    ) -> PastLabels | None:
        """As `PastMonths.labelled`."""
        labels = self.history.labels(month, cutoff)
        return self._once(
            ("labelled", month, id(labels)),
            lambda: self.history.labelled(contract, month, cutoff),
        )

    def later_months(self, contract: Contract) -> LaterMonths:
        """Compares versions on today's labels of later months."""

        def labelled(month: dt.date) -> LabelledMonth | None:
            found = self.labelled(contract, month)
            return None if found is None else found.labelled

        def probability(version: Candidate, month: dt.date) -> Floats:
            found = self.labelled(contract, month)
            scores = self.probability(version, month)
            return scores if found is None else scores[found.known]

        return LaterMonths(labelled, probability)

    def fit(
        self, recipe: Recipe, rows: pd.DataFrame, labels: pd.Series, entities: pd.Series
    ) -> ChurnModel:
        """As `Recipe.fit`: the month-older recipe of one month is often the candidate of the
        month before.
        """
        names = dict.fromkeys([*(name for name, _ in recipe.features), *recipe.costs.columns])
        seen = rows[list(names)].assign(__label=labels.to_numpy(), __entity=entities.to_numpy())
        key = ("fit", digest_of(to_jsonable_python(recipe)), frame_digest(seen))
        return self._once(key, lambda: self._fitted(recipe, rows, labels, entities))

    def _fitted(
        self, recipe: Recipe, rows: pd.DataFrame, labels: pd.Series, entities: pd.Series
    ) -> ChurnModel:
        self.fits += 1
        return recipe.fit(rows, labels, entities)

    def _named(self, contract: Contract, dataset: TrainingDataset) -> tuple[str, str]:
        window = [month.isoformat() for month in (*dataset.window.holdout, *dataset.window.forward)]
        return candidate_digest(dataset, Recipe.of(contract), self.code_digest), ",".join(window)

    def _once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        if key not in self._known:
            self._known[key] = make()
        return cast("Made", self._known[key])
