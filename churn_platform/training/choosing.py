"""Several recipes compete for a month's model: each is cross-validated on the training rows, and
one is chosen.

The holdout has no part in it: the chosen recipe alone is measured there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue

from churn_platform.base.digests import canonical_json
from churn_platform.base.errors import DataError
from churn_platform.base.text import counted, ended
from churn_platform.contract.model import Contract
from churn_platform.contract.recipes import CROSS_VALIDATION, MODEL, CandidateRecipe, Parameter
from churn_platform.evaluation.choice import Loss, choose, errors_for, log_losses
from churn_platform.evaluation.statistics import FloatArray, KeyArray, auc
from churn_platform.evaluation.weights import weighted_mean
from churn_platform.training.entry_point import EstimatorError
from churn_platform.training.model import Recipe, check_classes
from churn_platform.training.release import ChosenFrom, TriedRecipe
from churn_platform.training.tuning import Tuning, optuna_version


@dataclass(frozen=True)
class Search:
    """The recipes that compete for a model, and their common budget of fits."""

    candidates: tuple[CandidateRecipe, ...]
    recipes: tuple[Recipe, ...]
    """The recipe of each candidate, untuned."""
    fits: int

    @classmethod
    def of(cls, contract: Contract) -> "Search":
        """The search that a contract with candidates asks for."""
        policy = contract.policy.training
        recipes = tuple(Recipe.of(contract, candidate) for candidate in policy.candidates)
        return cls(policy.candidates, recipes, policy.fits)

    def as_json(self) -> dict[str, JsonValue]:
        """The candidates, their budget, and what their recipes share, as plain values."""
        listed: list[JsonValue] = [
            candidate.model_dump(mode="json", exclude_defaults=True)
            for candidate in self.candidates
        ]
        values = self.recipes[0].as_json()
        shared = {name: values[name] for name in ("seed", "features", "costs")}
        return {"candidates": listed, "fits": self.fits, **shared}

    def check_names(self) -> None:
        """Build every recipe: a wrong name is a fault of the contract, not of a fit.

        Raises:
            EstimatorError: an estimator cannot be built, or has no such parameter.
        """
        for candidate, recipe in zip(self.candidates, self.recipes, strict=True):
            recipe.build()
            if candidate.tune:
                first = {name: tuned.tried[0] for name, tuned in candidate.tune.items()}
                recipe.tuned(first).build()

    def made_of(self) -> Mapping[str, object]:
        """What decides the choice besides the list and the platform's code: estimators of the
        business, and Optuna where it is used.

        Raises:
            EstimatorError: an estimator cannot be built.
            UsageError: Optuna is needed and is not installed.
        """
        found: dict[str, object] = {}
        for candidate, recipe in zip(self.candidates, self.recipes, strict=True):
            if own := recipe.made_of():
                found[candidate.name] = own
        if any(candidate.tune for candidate in self.candidates):
            found["optuna"] = optuna_version()
        return {"search": found} if found else {}


def asked_for(contract: Contract) -> Recipe | Search:
    """The recipe that a contract asks for, or the search for one if it lists candidates."""
    if contract.policy.training.candidates:
        return Search.of(contract)
    return Recipe.of(contract)


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Training rows: (rows, columns), and of each row label, customer and weight (rows,)."""

    rows: pd.DataFrame
    labels: pd.Series
    entities: pd.Series
    weights: FloatArray | None = None

    @property
    def keys(self) -> KeyArray:
        """The customer of each row, as an array."""
        return self.entities.to_numpy(dtype=object)


@dataclass(frozen=True, eq=False)
class MeasuredRecipe:
    """A recipe that was cross-validated.

    Attributes:
        losses: (rows,), of each row by a model that has not seen its customer.
        fold_losses: The mean of each fold.
        fold_aucs: The AUC of each fold; None where a fold has one class.
    """

    recipe: Recipe
    losses: FloatArray
    fold_losses: list[float]
    fold_aucs: list[float | None]

    @property
    def auc(self) -> float | None:
        """The mean AUC of the folds."""
        known = [one for one in self.fold_aucs if one is not None]
        return float(np.mean(known)) if known else None


def measure(recipe: Recipe, training: TrainingRows) -> MeasuredRecipe:
    """Cross-validate a recipe on training rows, with folds by customer.

    Raises:
        DataError: the recipe cannot be fitted.
    """
    probability, folds = recipe.cross_validated(training.rows, training.labels, training.entities)
    labels = training.labels.to_numpy(dtype=bool)
    losses = log_losses(labels, probability)
    fold_losses = []
    fold_aucs = []
    for fold in np.unique(folds):
        own = folds == fold
        weights = None if training.weights is None else training.weights[own]
        churned = labels[own]
        both = 0 < churned.sum() < churned.size
        fold_losses.append(weighted_mean(losses[own], weights))
        fold_aucs.append(auc(churned, probability[own], weights) if both else None)
    return MeasuredRecipe(recipe, losses, fold_losses, fold_aucs)


@dataclass
class _Competitor:
    """A candidate and what was tried of it."""

    candidate: CandidateRecipe
    recipe: Recipe
    untuned: MeasuredRecipe | None = None
    tuned: MeasuredRecipe | None = None
    """The best tuned variant."""
    reason: str = ""
    """Why the untuned recipe could not be fitted."""
    fits: int = 0
    trials: int = 0
    failed: int = 0
    _known: dict[str, MeasuredRecipe | None] = field(default_factory=dict)

    def measure(self, training: TrainingRows) -> None:
        """Measure the untuned recipe."""
        try:
            self.untuned = self._measured(self.recipe, training)
        except DataError as error:
            self.reason = str(error)

    def tune(self, trials: int, training: TrainingRows) -> None:
        """Try so many tuned variants."""
        tuning = Tuning(self.candidate.tune, self.recipe.seed)
        least = np.inf
        for _ in range(trials):
            values = tuning.ask()
            found = self._variant(values, training)
            self.trials += 1
            if found is None:
                self.failed += 1
                tuning.tell(None)
                continue
            loss = weighted_mean(found.losses, training.weights)
            tuning.tell(loss)
            if loss < least:
                least = loss
                self.tuned = found

    def competing(self, training: TrainingRows) -> MeasuredRecipe | None:
        """The untuned recipe, or the best tuned variant if it is ahead by more than the luck of so
        many trials; None if neither could be fitted.
        """
        if self.untuned is None or self.tuned is None:
            return self.untuned or self.tuned
        pair = (self.untuned, self.tuned)
        losses = [one.losses for one in pair]
        errors = errors_for(self.trials)
        return pair[choose(losses, training.keys, training.weights, errors).chosen]

    def _variant(
        self, values: Mapping[str, Parameter], training: TrainingRows
    ) -> MeasuredRecipe | None:
        """A variant, measured once; None if it cannot be fitted."""
        name = canonical_json(values)
        if name not in self._known:
            try:
                self._known[name] = self._measured(self.recipe.tuned(values), training)
            except DataError:
                self._known[name] = None
        return self._known[name]

    def _measured(self, recipe: Recipe, training: TrainingRows) -> MeasuredRecipe:
        self.fits += CROSS_VALIDATION  # one that fails counts, too
        try:
            return measure(recipe, training)
        except EstimatorError as error:
            if isinstance(error.__cause__, MemoryError | OSError):
                # A fault of the machine: another one would choose another recipe.
                raise error.__cause__ from None
            raise


def choose_recipe(search: Search, training: TrainingRows) -> tuple[Recipe, ChosenFrom]:
    """Cross-validate the recipes of a search on training rows and choose one.

    Each candidate is measured as it is listed. The fits that are left are shared evenly by those
    that are tuned. Of all candidates the first within one standard error of the best is chosen.

    Raises:
        DataError: too few customers of one class, or no recipe could be fitted.
        EstimatorError: a recipe names something that does not exist.
        UsageError: Optuna is needed and is not installed.
    """
    check_classes(training.labels, training.entities)
    search.made_of()
    search.check_names()
    competitors = [
        _Competitor(candidate, recipe)
        for candidate, recipe in zip(search.candidates, search.recipes, strict=True)
    ]
    for one in competitors:
        one.measure(training)
    tuned = [one for one in competitors if one.candidate.tune]
    for one, trials in zip(tuned, trials_of(search, len(tuned)), strict=True):
        one.tune(trials, training)
    found = {one.candidate.name: one.competing(training) for one in competitors}
    measured = {name: one for name, one in found.items() if one is not None}
    if not measured:
        raise _none_left(competitors)
    names = list(measured)
    choice = choose([one.losses for one in measured.values()], training.keys, training.weights)
    losses = dict(zip(names, choice.losses, strict=True))
    chosen = names[choice.chosen]
    best = names[choice.best]
    record = ChosenFrom(
        chosen=chosen,
        best=best,
        folds=CROSS_VALIDATION,
        fits=sum(one.fits for one in competitors) + MODEL,
        budget=search.fits,
        candidates=[
            _tried(one, measured.get(one.candidate.name), losses, chosen, best)
            for one in competitors
        ],
    )
    return measured[chosen].recipe, record


def trials_of(search: Search, tuned: int) -> list[int]:
    """How many variants each of the tuned candidates may try."""
    left = (search.fits - MODEL) // CROSS_VALIDATION - len(search.candidates)
    return [left // tuned + (place < left % tuned) for place in range(tuned)]


def _none_left(competitors: Sequence[_Competitor]) -> DataError:
    reasons = {one.candidate.name: one.reason.rstrip(".") for one in competitors}
    named = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return DataError(
        f"None of the {counted(len(reasons), 'recipe')} in policy.training.candidates could be"
        f" fitted ({named}).",
        code="RECIPES_FAILED",
    )


def _tried(
    one: _Competitor,
    measured: MeasuredRecipe | None,
    losses: Mapping[str, Loss],
    chosen: str,
    best: str,
) -> TriedRecipe:
    """What the model card records of a candidate."""
    name = one.candidate.name
    fields: dict[str, Any] = {"name": name, "fitted_by": one.recipe.fitted_by}
    shown = one.recipe if measured is None else measured.recipe
    fields["parameters"] = dict(shown.parameters)
    fields["fits"] = one.fits
    if one.candidate.tune:
        fields |= {"trials": one.trials, "failed_trials": one.failed}
        fields["tuned"] = measured is not None and measured is one.tuned
    if measured is None:
        return TriedRecipe(**fields, why=f"It was left out: {ended(one.reason)}")
    loss = losses[name]
    return TriedRecipe(
        **fields,
        log_loss=loss.mean,
        log_loss_error=loss.error,
        gap=loss.gap,
        gap_error=loss.gap_error,
        auc=measured.auc,
        fold_log_losses=measured.fold_losses,
        fold_aucs=measured.fold_aucs,
        why=_why(name, loss, chosen, best),
    )


def _why(name: str, loss: Loss, chosen: str, best: str) -> str:
    """Why a candidate that was measured was chosen or not."""
    far = f"{loss.gap:.4f} above that of {best}, with a standard error of {loss.gap_error:.4f}"
    if name == chosen == best:
        return "It has the smallest log loss, and no recipe before it is within one standard error."
    if name == chosen:
        return f"It is the first within one standard error of the best: its log loss is {far}."
    if name == best:
        return f"It has the smallest log loss, and {chosen} before it is within one standard error."
    if loss.within:
        return f"{chosen} before it is within one standard error of the best, too."
    return f"Its log loss is {far}."
