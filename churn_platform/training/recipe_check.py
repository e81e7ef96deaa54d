"""Tries a recipe on rows that are made up, before a month is trained with it."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract, Costs
from churn_platform.contract.recipes import Tuned
from churn_platform.drafting.check import CheckLine
from churn_platform.training.entry_point import FIELD, EstimatorError, searching_next_to
from churn_platform.training.model import ChurnModel, Recipe, check_storable
from churn_platform.training.tuning import optuna_version

ROWS = 500


def check_recipes(contract: Contract, contract_path: Path) -> Iterator[CheckLine]:
    """The lines of a contract's recipe, or of each of its candidates.

    Of a tuned candidate the smallest and the largest values are tried, too.

    Args:
        contract: the contract.
        contract_path: the file that it is in.
    """
    candidates = contract.policy.training.candidates
    if not candidates:
        recipe = Recipe.of(contract)
        if recipe.estimator is not None:
            yield from check_recipe(recipe, contract_path, FIELD)
        elif recipe.parameters:
            yield from check_recipe(recipe, contract_path, "policy.training.parameters")
        return
    for candidate in candidates:
        place = f"policy.training.candidates.{candidate.name}"
        recipe = Recipe.of(contract, candidate)
        yield from check_recipe(recipe, contract_path, place)
        if candidate.tune:
            yield from _check_tuned(recipe, candidate.tune, contract_path, place)


def _check_tuned(
    recipe: Recipe, tune: Mapping[str, Tuned], contract_path: Path, place: str
) -> Iterator[CheckLine]:
    """A line for what is wrong with the values that are tuned; none if nothing is."""
    try:
        optuna_version()
    except UsageError as error:
        yield CheckLine("fail", None, place, str(error), error.code)
    for end in (0, -1):
        values = {name: tuned.tried[end] for name, tuned in tune.items()}
        for line in check_recipe(recipe.tuned(values), contract_path, f"{place}.tune"):
            if line.state == "fail":
                said = ", ".join(f"{name}={value}" for name, value in values.items())
                yield dataclasses.replace(line, says=f"With {said}: {line.says}")
                return


def check_recipe(recipe: Recipe, contract_path: Path, place: str) -> Iterator[CheckLine]:
    """The lines for the estimator and the parameters of a recipe.

    Args:
        recipe: the recipe.
        contract_path: the contract that it is from.
        place: the field of the contract that the recipe is in.
    """
    own = recipe.own_estimator
    elsewhere = ""
    try:
        with searching_next_to(contract_path):
            model = _tried(recipe)
            if own is not None and own.only_in_current_folder():
                elsewhere = own.module
    except EstimatorError as error:
        yield CheckLine("fail", None, place, str(error), error.code)
        return
    classifier = type(model.pipeline.named_steps["classify"].estimator).__name__
    says = f"{recipe.fitted_by} gives {classifier}, reasons by {model.reasons_by}"
    yield CheckLine("ok", None, place, says)
    if elsewhere:
        yield CheckLine(
            "note",
            None,
            place,
            f"{elsewhere} was found in the current folder only. Put it next to the contract: the"
            " Dagster daemon starts in another folder.",
        )


def _tried(recipe: Recipe) -> ChurnModel:
    """The recipe fitted on rows that are made up, if what it makes can be stored."""
    rng = np.random.default_rng(recipe.seed)
    columns: dict[str, object] = {}
    for name, dtype in recipe.features:
        if dtype == "category":
            columns[name] = rng.choice(["a", "b", "c"], ROWS)
        elif dtype == "boolean":
            columns[name] = rng.choice([True, False], ROWS)
        else:
            columns[name] = rng.choice([*range(20), np.nan], ROWS)
    rows = pd.DataFrame(columns)
    labels = pd.Series(rng.choice([True, False, False], ROWS))
    tried = dataclasses.replace(recipe, costs=Costs())
    model = tried.fit(rows, labels, pd.Series(range(ROWS)))
    if recipe.estimator is not None:
        check_storable(model, rows)
    return model
