"""The past as it was known: every month's rows at scoring, and its labels from the month on in
which they came. `Memory` makes what several policies of a backtest share only once.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import pandas as pd

from churn_platform.base.digests import digest_of, frame_digest
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.contract.views import for_version, learned_features, of_version
from churn_platform.evaluation.statistics import BoolArray, FloatArray
from churn_platform.features.customer_draw import draw
from churn_platform.features.training_dataset import (
    AS_OF,
    LABEL,
    OUTSIDE,
    WEIGHT,
    TrainingDataset,
    assemble,
)
from churn_platform.lake.window import Classes, Window, choose_window, matured_months
from churn_platform.monitoring.comparison import LabelledMonth, LaterMonths
from churn_platform.monitoring.drift import LabelColumns, label_columns
from churn_platform.promotion.evidence import Evidence
from churn_platform.promotion.gate import gather
from churn_platform.training.candidate import (
    Candidate,
    ShuffledRefit,
    candidate_digest,
    fit_candidate,
    recipe_of,
    shuffled_refit,
)
from churn_platform.training.choosing import asked_for
from churn_platform.training.model import ChurnModel, Recipe

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class PastMonth:
    """One month.

    `rows` has one row per customer as known at scoring (entity, features, carried columns).
    `labels` are pairs of the month from which on they were known, and the labels; oldest first,
    empty without any.
    """

    rows: pd.DataFrame
    labels: tuple[tuple[dt.date, MonthLabels], ...] = ()


@dataclass(frozen=True, eq=False)
class PastLabels:
    """The labelled customers of a month; `known` marks their rows, shape (rows,)."""

    known: BoolArray
    labelled: LabelledMonth


def comparable(
    contract: Contract, versions: Iterable[Candidate | None], months: Iterable[str]
) -> list[str]:
    """The months (ISO dates) whose labels define churn as those that trained the versions."""
    trained = [
        contract.label.at(dt.date.fromisoformat(version.card.as_of))
        for version in versions
        if version is not None
    ]
    return [
        month
        for month in months
        if all(own.same_churn(contract.label.at(dt.date.fromisoformat(month))) for own in trained)
    ]


class PastMonths:
    """All months of a business, whatever its policy was."""

    def __init__(self, months: Mapping[dt.date, PastMonth]) -> None:
        self.months = dict(sorted(months.items()))

    def rows(self, month: dt.date) -> pd.DataFrame:
        """The month's rows as known at scoring."""
        return self.months[month].rows

    def labels(self, month: dt.date, cutoff: dt.date | None = None) -> MonthLabels | None:
        """The month's labels as known in the month `cutoff`, or today; None before they were."""
        newest = None
        for since, labels in self.months[month].labels:
            if cutoff is None or since <= cutoff:
                newest = labels
        return newest

    def matured(self, contract: Contract, cutoff: dt.date) -> list[dt.date]:
        """Months whose labels were known and had matured in the month `cutoff`, oldest first."""
        return list(self._matured_labels(contract, cutoff))

    def _matured_labels(self, contract: Contract, cutoff: dt.date) -> dict[dt.date, MonthLabels]:
        known = {}
        for month in self.months:
            labels = self.labels(month, cutoff)
            if month <= cutoff and labels is not None:
                known[month] = labels
        matured = matured_months(self.months, set(known), contract, cutoff)
        return {month: known[month] for month in matured}

    def labelled(
        self, contract: Contract, month: dt.date, cutoff: dt.date | None = None
    ) -> PastLabels | None:
        """The month's labelled rows as known in the month `cutoff`, or today; None before there
        was a label.
        """
        labels = self.labels(month, cutoff)
        if labels is None or not labels.measurable:
            return None
        # As objects: pandas looks Arrow's strings up one by one, 40 ms for 7,000.
        keys = self.rows(month)[contract.entity.column].to_numpy(dtype=object)
        index = pd.Index(labels.churned.index.to_numpy(dtype=object))
        places = index.get_indexer(pd.Index(keys))
        known = places >= 0
        churned = labels.churned.to_numpy(dtype=bool)[places[known]]
        weights = None
        if labels.correction is not None:
            weights = labels.correction.weights[places[known]]
        return PastLabels(known, LabelledMonth(keys[known], churned, weights))

    def known(
        self, contract: Contract, months: list[dt.date], cutoff: dt.date
    ) -> tuple[pd.DataFrame, LabelColumns]:
        """All rows of some months, and their labels as known at `cutoff`."""
        parts = [self.rows(month) for month in months]
        labels = [self.labels(month, cutoff) for month in months]
        keys = [rows[contract.entity.column] for rows in parts]
        return pd.concat(parts, ignore_index=True), label_columns(keys, labels)

    def classes(self, contract: Contract, cutoff: dt.date) -> dict[dt.date, Classes]:
        """The classes of the months that had matured in the month `cutoff` and define churn as
        the newest of them does.
        """
        matured = self._matured_labels(contract, cutoff)
        return {
            month: labels.classes()
            for month, labels in matured.items()
            if contract.label.at(month) == contract.label.at(max(matured))
        }

    def window(self, contract: Contract, cutoff: dt.date) -> Window | None:
        """The months that the month `cutoff` would have trained on; None before labels had
        matured.
        """
        return choose_window(self.classes(contract, cutoff), contract.policy)

    def left_out(self, contract: Contract, cutoff: dt.date) -> dict[str, str]:
        """The matured months that the month `cutoff` could not have trained on, each with the
        reason.
        """
        reasons = {
            month.isoformat(): classes.why_not_trained(month)
            for month, classes in self.classes(contract, cutoff).items()
        }
        return {month: why for month, why in reasons.items() if why is not None}

    def dataset(self, contract: Contract, cutoff: dt.date) -> TrainingDataset | None:
        """The training dataset that the month `cutoff` would have made; None before labels had
        matured.
        """
        window = self.window(contract, cutoff)
        if window is None:
            return None
        labels = self._matured_labels(contract, cutoff)
        drawn = draw(contract.policy.training, window, labels.__getitem__)
        spines = [self._spine(contract, month, drawn.labels_of(month)) for month in window.months]
        spine = pd.concat(spines, ignore_index=True)
        key = [contract.entity.column, AS_OF]
        weighed = [name for name in (WEIGHT, OUTSIDE) if name in spine]
        asked = [*key, *contract.carried, LABEL, *weighed]
        dataset = assemble(contract, spine[asked], spine[[*key, *contract.features]], window)
        return replace(dataset, sample=drawn.sample)

    def of_candidate(
        self, contract: Contract, cutoff: dt.date, dataset: TrainingDataset
    ) -> Contract:
        """The contract with the features that a candidate of the month `cutoff` would have
        learned from.
        """
        if not contract.boundaries:
            return contract
        features = learned_features(contract, cutoff, self.matured(contract, cutoff))
        version = of_version(contract, dataset.window.training[-1], features)
        return for_version(contract, version)

    def _spine(self, contract: Contract, month: dt.date, labels: MonthLabels) -> pd.DataFrame:
        """Every labelled customer with the month's row; null where the snapshot had none."""
        rows = self.rows(month).set_index(contract.entity.column)
        found = rows.reindex(labels.churned.index)
        found.index.name = contract.entity.column
        found[LABEL] = labels.churned
        if labels.correction is not None:
            found[WEIGHT] = labels.correction.weights
            found[OUTSIDE] = labels.correction.outside
        found[AS_OF] = month.isoformat()
        return found.reset_index()


class Memory:
    """What the policies of one backtest share: equal datasets, fits, evidence and scores are made
    once.
    """

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
            lambda: shuffled_refit(
                contract,
                dataset,
                self.fit,
                recipe_of(contract, self.candidate(contract, dataset).card.made_from),
            ),
        )

    def evidence(
        self,
        contract: Contract,
        dataset: TrainingDataset,
        candidate: Candidate,
        production: Candidate | None,
        attempt: int,
        ended: Sequence[str] = (),
        not_comparable: str = "",
    ) -> Evidence:
        """The evidence of a decision, as `gather` makes it. Each policy numbers its own versions,
        so the version of production is part of the key.
        """
        incumbent = None if production is None else (production.version, production.digest)
        training = contract.policy.training
        limits = [training.leak_auc, training.churn_rate_min, training.churn_rate_max]
        gate = digest_of([contract.policy.promotion.model_dump(mode="json"), limits])
        return self._once(
            ("evidence", self._named(contract, dataset), incumbent, gate, attempt, tuple(ended)),
            lambda: gather(
                contract,
                dataset,
                candidate,
                production,
                attempt,
                self.fit,
                ended=ended,
                not_comparable=not_comparable,
            ),
        )

    def probability(self, version: Candidate, month: dt.date) -> FloatArray:
        """A version's probabilities for all rows of a month, in their order."""

        def scored() -> FloatArray:
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

        def probability(version: Candidate, month: dt.date) -> FloatArray:
            scores = self.probability(version, month)
            found = self.labelled(contract, month)
            if found is None:
                return scores
            return scores[found.known]

        return LaterMonths(labelled, probability)

    def fit(
        self, recipe: Recipe, rows: pd.DataFrame, labels: pd.Series, entities: pd.Series
    ) -> ChurnModel:
        """As `Recipe.fit`: the month-older recipe of one month is often the candidate of the
        month before.
        """
        names = dict.fromkeys([*(name for name, _ in recipe.features), *recipe.costs.columns])
        seen = rows[list(names)].assign(__label=labels.to_numpy(), __entity=entities.to_numpy())
        key = ("fit", digest_of(recipe.as_json()), frame_digest(seen))
        return self._once(key, lambda: self._fitted(recipe, rows, labels, entities))

    def _fitted(
        self, recipe: Recipe, rows: pd.DataFrame, labels: pd.Series, entities: pd.Series
    ) -> ChurnModel:
        self.fits += 1
        return recipe.fit(rows, labels, entities)

    def _named(self, contract: Contract, dataset: TrainingDataset) -> tuple[str, str]:
        window = [month.isoformat() for month in (*dataset.window.holdout, *dataset.window.forward)]
        return candidate_digest(dataset, asked_for(contract), self.code_digest), ",".join(window)

    def _once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        if key not in self._known:
            self._known[key] = make()
        return cast("Made", self._known[key])
