"""Candidates: fitted models with their model card and the entities they were trained on."""

import datetime as dt
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import DataError, IntegrityError, NotANumber
from churn_platform.base.text import counted
from churn_platform.contract.model import Contract
from churn_platform.contract.recipes import CandidateRecipe
from churn_platform.contract.views import of_version
from churn_platform.evaluation.metrics import Metrics, evaluate
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.features.training_dataset import (
    AS_OF,
    LABEL,
    Hashes,
    TrainingDataset,
    entity_hashes,
    row_weights,
)
from churn_platform.training.choosing import Search, TrainingRows, asked_for, choose_recipe
from churn_platform.training.model import ChurnModel, Recipe, check_storable, load_model
from churn_platform.training.release import (
    MODEL_FILE,
    PASSPORT,
    ChosenFrom,
    FeatureSpec,
    HoldoutSplit,
    MadeFrom,
    ModelCard,
)

ENTITIES = "training_entities.npy"
SCHEMA = "feature_schema.json"
FILES = (MODEL_FILE, PASSPORT, ENTITIES, SCHEMA)
"""The files of a version, in the registry and in a release."""

STORED_ROWS = 200
"""Rows on which a stored estimator of the business must predict the same."""

Fit = Callable[[Recipe, pd.DataFrame, pd.Series, pd.Series], ChurnModel]
"""`Recipe.fit`, or a version that caches fitted models (`replay/policies.py`)."""


@dataclass(frozen=True)
class Candidate:
    """A fitted model and its model card; `version` is None before it is registered."""

    model: ChurnModel
    card: ModelCard
    training_entities: Hashes
    version: int | None = None

    @property
    def digest(self) -> str:
        """Identity: the same data, recipe and code give the same digest."""
        return self.card.digest


def candidate_of(files: Mapping[str, bytes], version: int) -> Candidate:
    """The candidate in a version's files, whose digests the caller has verified.

    Raises:
        IntegrityError: the model file cannot be read, or names a type that is not allowed; no
            part of it was built.
    """
    card = ModelCard.model_validate_json(files[PASSPORT])
    features = tuple((feature.name, feature.dtype) for feature in card.features)
    entities = np.load(io.BytesIO(files[ENTITIES]), allow_pickle=False)
    try:
        model = load_model(files[MODEL_FILE], features, imported=card.imported is not None)
    except IntegrityError as error:
        raise IntegrityError(f"Version {version}: {error}") from None
    return Candidate(model, card, entities, version)


def recipe_of(contract: Contract, made_from: MadeFrom | None) -> Recipe:
    """The recipe that a version was fitted by, for the features and costs of a contract.

    A contract with candidates has no single recipe: the version records the chosen one.
    """
    searched = made_from is not None and made_from.search is not None
    if made_from is None or not (searched or contract.policy.training.candidates):
        return Recipe.of(contract)
    own = made_from.recipe.get("estimator")
    chosen = CandidateRecipe(
        name="chosen",
        algorithm=None if own else made_from.recipe["algorithm"],
        estimator=own,
        parameters=made_from.recipe.get("parameters", {}),
    )
    return Recipe.of(contract, chosen)


def candidate_digest(
    dataset: TrainingDataset,
    recipe: Recipe | Search,
    code_digest: str,
    made_of: Mapping[str, Any] | None = None,
) -> str:
    """The identity of what fitting `recipe` on `dataset` with this code makes, or of what a
    search for one makes.

    `made_of` is what decides it besides recipe and code; by default `recipe.made_of()`.
    """
    return digest_of(
        {
            "dataset": dataset.digest,
            "months": _iso(dataset.window.training),
            "recipe": recipe.as_json(),
            "code": code_digest,
            **(recipe.made_of() if made_of is None else made_of),
        }
    )


def fit_candidate(
    contract: Contract,
    dataset: TrainingDataset,
    code_digest: str,
    made_with: Mapping[str, Any] | None = None,
    fit: Fit = Recipe.fit,
    chosen: ModelCard | None = None,
) -> Candidate:
    """Fit the contract's recipe on the training rows and measure it on the holdout rows.

    If the contract lists candidates, one of their recipes is chosen on the training rows first.

    Args:
        contract: the contract.
        dataset: the training dataset.
        code_digest: digest of the code and libraries that fit.
        made_with: the parts of that digest, to name what changed if the version cannot be
            reproduced.
        fit: fits the recipe.
        chosen: the model card of a version whose recipe is taken, without searching for it.

    Raises:
        DataError: the training or holdout rows have too few customers of one class, or no
            recipe of the candidates could be fitted.
    """
    _check_two_classes(dataset.holdout_rows()[LABEL])
    asked = asked_for(contract)
    rows = dataset.training_rows()
    key = contract.entity.column
    recipe, chosen_from = _recipe_and_choice(contract, asked, rows, chosen)
    made_of = asked.made_of() if chosen is None else made_of_then(asked, chosen.made_from)
    model = fit(recipe, rows, rows[LABEL], rows[key])
    if recipe.estimator is not None:
        check_storable(model, rows.head(STORED_ROWS))
    metrics = holdout_metrics(contract, dataset, model)
    training = contract.policy.training
    origin = dataset.origin
    sample = dataset.sample
    of_own = {} if recipe.estimator is None else {"reasons_by": model.reasons_by}
    card = ModelCard(
        digest=candidate_digest(dataset, asked, code_digest, made_of),
        model_name=contract.model_name,
        algorithm=recipe.fitted_by,
        as_of=dataset.window.training[-1].isoformat(),
        months=_iso(dataset.window.training),
        training_rows=len(rows),
        training_churners=int(rows[LABEL].sum()),
        dataset_digest=dataset.digest,
        contract_hash=contract.model_hash,
        code_digest=code_digest,
        threshold=model.threshold,
        features=[FeatureSpec(name=name, dtype=dtype) for name, dtype in recipe.features],
        metrics=metrics.as_dict(),
        contract=of_version(
            contract, dataset.window.training[-1], tuple(contract.features)
        ).written(),
        made_from=MadeFrom(
            recipe=recipe.as_json(),
            holdout=HoldoutSplit(salt=training.salt, fraction=training.holdout_fraction),
            slices=list(contract.slices),
            window={part: _iso(months) for part, months in vars(dataset.window).items()},
            known_at=None if origin is None else origin.known_at,
            tables={} if origin is None else dict(origin.tables),
            fitted_with={**(made_with or {}), **made_of, **recipe.made_of()},
            **({"search": asked.as_json()} if isinstance(asked, Search) else {}),
            **({} if sample is None else {"max_rows": sample.max_rows}),
        ),
        **of_own,
        **({} if chosen_from is None else {"chosen_from": chosen_from}),
        **({} if sample is None else {"sample": sample}),
    )
    return Candidate(model, card, entity_hashes(rows[key]))


def _recipe_and_choice(
    contract: Contract, asked: Recipe | Search, rows: pd.DataFrame, chosen: ModelCard | None
) -> tuple[Recipe, ChosenFrom | None]:
    """The recipe to fit, and which recipes it was chosen from, if there were several."""
    if isinstance(asked, Recipe):
        return asked, None
    if chosen is not None:
        return recipe_of(contract, chosen.made_from), chosen.chosen_from
    entities = rows[contract.entity.column]
    return choose_recipe(asked, TrainingRows(rows, rows[LABEL], entities, row_weights(rows)))


def made_of_then(asked: Recipe | Search, made_from: MadeFrom | None) -> Mapping[str, object]:
    """`made_of` of what was asked for, of a search as a version recorded it: Optuna need not be
    installed to make the version again.
    """
    if isinstance(asked, Recipe) or made_from is None:
        return asked.made_of()
    recorded = made_from.fitted_with.get("search")
    return {} if recorded is None else {"search": recorded}


def _check_two_classes(labels: pd.Series) -> None:
    churners = int(labels.sum())
    stayers = len(labels) - churners
    if not churners or not stayers:
        held = f"{counted(churners, 'churner')} and {counted(stayers, 'other')}"
        raise DataError(
            f"The holdout rows have {held}, so a candidate cannot be measured. Older months are"
            " pooled as labels mature, up to policy.training.pooled_months.",
            code="TOO_FEW_ROWS",
        )


def _iso(months: Iterable[dt.date]) -> list[str]:
    return [month.isoformat() for month in months]


def holdout_metrics(contract: Contract, dataset: TrainingDataset, model: ChurnModel) -> Metrics:
    """The model's metrics on the holdout rows."""
    rows = dataset.holdout_rows()
    entities = rows[contract.entity.column].to_numpy(dtype=object)
    labels = rows[LABEL].to_numpy(dtype=bool)
    return evaluate(
        labels, model.probability(rows), model.threshold, entities, weights=row_weights(rows)
    )


def forward_scores(
    contract: Contract,
    dataset: TrainingDataset,
    fit: Fit = Recipe.fit,
    recipe: Recipe | None = None,
) -> FloatArray | None:
    """Scores of the same recipe, fitted one month earlier, on the holdout rows.

    None for the first month, and if the earlier month cannot be fitted. `recipe` is that of the
    candidate if the contract lists several: it is not chosen again.
    """
    rows = dataset.forward_rows()
    if rows.empty:
        return None
    try:
        recipe = recipe or Recipe.of(contract)
        older = fit(recipe, rows, rows[LABEL], rows[contract.entity.column])
    except NotANumber:
        raise
    except DataError:
        # Too few churners that month. The figure only warns, so it must not stop the decision.
        return None
    return older.probability(dataset.holdout_rows())


@dataclass(frozen=True)
class ShuffledRefit:
    """The recipe refitted on shuffled labels.

    `scores` and the shuffled `labels` are those of the holdout rows, both (rows,). Labels are
    shuffled by row, so the test against chance also holds if an entity has several rows.
    """

    scores: FloatArray
    labels: np.ndarray[Any, np.dtype[np.bool_]]
    why_not: str = ""
    """Why the recipe could not be refitted."""


def shuffled_refit(
    contract: Contract,
    dataset: TrainingDataset,
    fit: Fit = Recipe.fit,
    recipe: Recipe | None = None,
) -> ShuffledRefit:
    """Refit the recipe on labels shuffled over all customers; score the holdout.

    Each (entity, as_of) gets one shuffled label. A holdout row that leaked into the training
    rows has the same label there, is memorised, and shows. If chance leaves too few of one class
    in the training rows, there is no refit and the self-test fails with the reason.
    """
    key = contract.entity.column
    recipe = recipe or Recipe.of(contract)
    train = dataset.training_rows()
    holdout = dataset.holdout_rows()
    everyone = pd.concat([train, holdout])[[key, AS_OF, LABEL]].drop_duplicates([key, AS_OF])
    rng = np.random.default_rng(recipe.seed)
    everyone[LABEL] = rng.permutation(everyone[LABEL].to_numpy(dtype=bool))
    shuffled = everyone.set_index([key, AS_OF])[LABEL]
    train_labels = _looked_up(shuffled, train, key)
    try:
        model = fit(recipe, train, train_labels, train[key])
    except NotANumber:
        raise
    except DataError as error:
        return ShuffledRefit(np.empty(0), np.empty(0, dtype=bool), why_not=str(error))
    return ShuffledRefit(
        model.probability(holdout), _looked_up(shuffled, holdout, key).to_numpy(dtype=bool)
    )


def _looked_up(labels: pd.Series, rows: pd.DataFrame, key: str) -> pd.Series:
    index = pd.MultiIndex.from_frame(rows[[key, AS_OF]])
    return pd.Series(labels.reindex(index).to_numpy(dtype=bool), index=rows.index)
