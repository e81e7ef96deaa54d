"""Scores plain rows for serving: one customer in microseconds, a thousand in milliseconds."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from churn_platform.base.errors import IntegrityError
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.training.release import FeatureSpec, GoldenPrediction, Probability

if TYPE_CHECKING:
    from churn_platform.training.model import ChurnModel

Row = Mapping[str, object]
"""Feature -> value: text, number, boolean, or None where the value is null."""

BOOSTER_FILE = "booster.txt"
FORM_FILE = "serving.json"
NONE = "(none)"
MARGIN = 1e-6
GOLDEN_TOLERANCE = 1e-12
"""Another processor's logarithm may differ in the last bit."""


def seen(known: Collection[str] | None, value: object) -> bool:
    """Whether a value was seen in training; numbers have no list of values and always pass."""
    return known is None or (NONE if value is None else str(value)) in known


class Booster(Protocol):
    """Boosted trees over a prepared matrix."""

    def probability(self, matrix: FloatArray) -> FloatArray:
        """Uncalibrated probability (rows,) of each row of (rows, columns)."""
        ...

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """Contribution of each column to each row's log-odds (rows, columns)."""
        ...


class Encoding(BaseModel):
    """A category as the fitted encoder has it: value -> column, and one for all other values.

    `other` is None if the encoder has no column for rare values: unknown ones are all zeros.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=1)
    columns: dict[str, int]
    other: int | None


class ServingForm(BaseModel):
    """The preprocessing of a model as plain values: categories, numbers, then the sigmoid."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: list[FeatureSpec]
    encodings: dict[str, Encoding]
    slope: float
    intercept: float
    threshold: Probability


class FormScorer:
    """Boosted trees behind a serving form; equal to `ChurnModel` to 1e-12."""

    def __init__(self, form: ServingForm, booster: Booster) -> None:
        self.features = tuple((feature.name, feature.dtype) for feature in form.features)
        self.threshold = form.threshold
        self.categories: Mapping[str, Collection[str]] = {
            n: one.columns for n, one in form.encodings.items()
        }
        self._form = form
        self._booster = booster
        self._categories: list[tuple[str, int, dict[str, int], int | None]] = []
        offset = 0
        for name, dtype in self.features:
            if dtype == "category":
                encoding = form.encodings[name]
                self._categories.append((name, offset, encoding.columns, encoding.other))
                offset += encoding.width
        self._first_number = offset
        self._numbers = [name for name, dtype in self.features if dtype != "category"]
        self._width = offset + len(self._numbers)
        # The first column of each feature, and the features' order in the contract.
        self._starts = [
            *(start for _, start, _, _ in self._categories),
            *range(offset, self._width),
        ]
        have = [*(name for name, *_ in self._categories), *self._numbers]
        self._order = [have.index(name) for name, _ in self.features]

    def probability(self, rows: Sequence[Row]) -> list[float]:
        """Calibrated churn probability of each row."""
        raw = np.clip(self._booster.probability(self._matrix(rows)), MARGIN, 1 - MARGIN)
        scores = np.log(raw / (1 - raw))
        found: list[float] = (
            1 / (1 + np.exp(-(self._form.slope * scores + self._form.intercept)))
        ).tolist()
        return found

    def contributions(self, rows: Sequence[Row]) -> FloatArray:
        """How far each feature moves each row's log-odds (rows, features)."""
        columns = self._booster.contributions(self._matrix(rows)) * self._form.slope
        summed: FloatArray = np.add.reduceat(columns, self._starts, axis=1)
        return summed[:, self._order]

    def _matrix(self, rows: Sequence[Row]) -> FloatArray:
        """The rows as the booster reads them (rows, columns)."""
        matrix = np.zeros((len(rows), self._width))
        for name, offset, columns, other in self._categories:
            for number, row in enumerate(rows):
                value = row[name]
                column = columns.get(NONE if value is None else str(value), other)
                if column is not None:
                    matrix[number, offset + column] = 1.0
        # numpy reads None as NaN, True as 1
        numbers: Any = [[row[name] for name in self._numbers] for row in rows]
        matrix[:, self._first_number :] = numbers
        return matrix


class ModelScorer:
    """Any fitted pipeline as a scorer, for algorithms without a serving form."""

    def __init__(self, model: "ChurnModel") -> None:
        self.features = model.features
        self.threshold = model.threshold
        self._model = model
        self.categories: Mapping[str, Collection[str]] = model.categories

    def probability(self, rows: Sequence[Row]) -> list[float]:
        """Calibrated churn probability of each row."""
        found: list[float] = self._model.probability(self._frame(rows)).tolist()
        return found

    def contributions(self, rows: Sequence[Row]) -> FloatArray:
        """How far each feature moves each row's log-odds (rows, features)."""
        return np.asarray(self._model.contributions(self._frame(rows)))

    def _frame(self, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - a pandas frame, which must not be imported here
        import pandas as pd

        return pd.DataFrame(
            {
                name: pd.Series(
                    [row[name] for row in rows],
                    dtype=object if dtype == "category" else "Float64",
                )
                for name, dtype in self.features
            }
        )


Scorer = FormScorer | ModelScorer


def check_golden(scorer: Scorer, golden: Sequence[GoldenPrediction]) -> None:
    """Reproduce a release's golden predictions before it is used.

    Raises:
        IntegrityError: one differs, or the release has none.
    """
    if not golden:
        raise IntegrityError(
            "the release has no golden predictions, so it cannot be checked before it serves",
            code="MODEL_UNREADABLE",
        )
    found = scorer.probability([one.features for one in golden])
    for number, (one, probability) in enumerate(zip(golden, found, strict=True), start=1):
        if not abs(one.probability - probability) <= GOLDEN_TOLERANCE:
            raise IntegrityError(
                f"golden prediction {number} is {probability!r} here, but was"
                f" {one.probability!r} when it was promoted",
                code="MODEL_UNREADABLE",
            )
