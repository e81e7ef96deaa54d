"""The recipes of a month that compete: `policy.training.candidates`."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from churn_platform.contract.columns import ContractPart, Name

Algorithm = Literal["lightgbm", "hist_gradient_boosting", "logistic_regression", "random_forest"]
EntryPoint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NUMBER_AS_TEXT = re.compile(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+")


def plain_value(value: object) -> object:
    """`value` unchanged if it can be a parameter.

    Raises:
        ValueError: it is a list, a mapping or a date, is not finite, or is a number that YAML 1.1
            reads as text, as 1e-3: a library would fail on it, or ignore it.
    """
    plain = isinstance(value, bool | int | float | str | None)
    if not plain:
        raise ValueError(f"{value!r} is not text, a number, true, false or null")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    if isinstance(value, str) and NUMBER_AS_TEXT.fullmatch(value):
        raise ValueError(f"{value!r} is text in YAML; write {float(value)}")
    return value


Scalar = bool | int | Finite | str | None
Parameter = Annotated[Scalar, BeforeValidator(plain_value)]
"""A parameter of an estimator: a plain value of JSON."""
Parameters = dict[str, Parameter]

CROSS_VALIDATION = 5
"""Fits of the estimator that measure one recipe: one per fold."""
MODEL = 6
"""Fits of the estimator that make a model: one per fold for the calibration, one on all rows."""


class Tuned(ContractPart):
    """The values of one parameter that are tried: a range, or choices."""

    low: int | Finite | None = None
    """Smallest value. Both ends as integers give integers. Example: `4`"""
    high: int | Finite | None = None
    """Largest value. Example: `64`"""
    log: bool = False
    """Whether values are drawn evenly by their logarithm. Example: `true`"""
    choices: tuple[Parameter, ...] = ()
    """The values, instead of a range. Example: `[gini, entropy]`"""

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices:
            self._check_choices()
        else:
            self._check_range()
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high of a range.

        Raises:
            ValueError: one is missing.
        """
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        return self.low, self.high

    @property
    def tried(self) -> tuple[Parameter, ...]:
        """The choices, or both ends of the range."""
        return self.choices or self.ends

    def _check_choices(self) -> None:
        if self.low is not None or self.high is not None or self.log:
            raise ValueError("give low and high, or choices, not both")
        if len({(type(value), value) for value in self.choices}) < max(len(self.choices), 2):
            raise ValueError("choices needs at least two different values")

    def _check_range(self) -> None:
        low, high = self.ends
        if low >= high:
            raise ValueError(f"low {low:g} is not below high {high:g}")
        if self.log and low <= 0:
            raise ValueError(f"log needs a low above 0, not {low:g}")


class CandidateRecipe(ContractPart):
    """One recipe that competes: how a model is fitted, and what of it is tuned."""

    name: Name
    """Name of the recipe in the model card and in MLflow. Example: `boosted`"""
    algorithm: Algorithm | None = None
    """Algorithm of the recipe, if it is one of ours. Example: `logistic_regression`"""
    estimator: EntryPoint | None = None
    """Function that builds the estimator, if it is your own. Example: `my_package.churn:build`"""
    parameters: Parameters = Field(default_factory=dict)
    """Parameters of the estimator. The others have their defaults. Example: `{num_leaves: 16}`"""
    tune: dict[str, Tuned] = Field(default_factory=dict)
    """Parameters that Optuna tunes, each with its values. Needs the extra `optuna`.

    Example: `{num_leaves: {low: 4, high: 64, log: true}}`
    """

    @model_validator(mode="after")
    def _one_estimator(self) -> Self:
        if (self.algorithm is None) == (self.estimator is None):
            raise ValueError(f"candidate {self.name}: give algorithm or estimator, one of the two")
        return self

    @property
    def fitted_by(self) -> str:
        """The entry point of the estimator, or the algorithm."""
        return self.estimator or str(self.algorithm)


def fits_needed(candidates: Iterable[CandidateRecipe]) -> int:
    """The smallest budget: each recipe is measured once, each tuned one once more, and the chosen
    one is fitted.
    """
    measured = sum(1 + bool(candidate.tune) for candidate in candidates)
    return CROSS_VALIDATION * measured + MODEL


def candidate_faults(
    candidates: tuple[CandidateRecipe, ...], fits: int, others: Iterable[str]
) -> Iterator[str]:
    """What is wrong in a list of candidates.

    Args:
        candidates: the recipes.
        fits: the budget.
        others: the fields for a single recipe that are set, too.
    """
    for name in others:
        yield f"candidates and {name} are both set: move {name} into one of the candidates"
    names = [candidate.name for candidate in candidates]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"candidates: two recipes are named {name!r}"
    needed = fits_needed(candidates)
    if fits < needed:
        yield (
            f"fits is {fits}, and these candidates need at least {needed}: {CROSS_VALIDATION} to"
            f" measure each recipe, {CROSS_VALIDATION} more to tune one, {MODEL} for the model"
        )
