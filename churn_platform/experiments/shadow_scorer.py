"""What scores as a shadow: a released version or a rule, alike for one served customer and for
all customers of a month.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from churn_platform.base.errors import IntegrityError
from churn_platform.contract.expression_parser import parse_expression
from churn_platform.contract.expression_values import column_values, evaluate
from churn_platform.contract.expressions import Expression, column_types, columns_of, written
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.experiments.state import Shadow
from churn_platform.training.release import manifest_digest
from churn_platform.training.release_loading import load_scorer
from churn_platform.training.releases import Releases
from churn_platform.training.scorer import FormScorer, Row, Scorer
from churn_platform.training.version_contracts import VersionContracts

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE = 20_000
"""Customers of a month that are rows of Python values at one time."""


class ShadowScorer(Protocol):
    """A version or a rule that scores customers; higher is more likely to leave.

    Attributes:
        name: The name of the shadow, `version 3` or the expression of a rule.
        contract: The contract whose features it reads.
        features: Those features.
        exact: Whether one customer alone and among others has the same score bit for bit.
    """

    name: str
    contract: Contract
    features: Sequence[str]
    exact: bool

    def score(self, rows: Sequence[Row]) -> FloatArray:
        """The score of each row (rows,); NaN where it has none."""
        ...

    def first_reasons(self, rows: Sequence[Row]) -> list[str] | None:
        """The feature with the largest contribution to each row's score; None for a rule."""
        ...


class VersionScorer:
    """A released version; its scores are its probabilities as the API serves them."""

    def __init__(self, name: str, scorer: Scorer, contract: Contract) -> None:
        self.name = name
        self.contract = contract
        self.features: Sequence[str] = [feature for feature, _ in scorer.features]
        self.exact = isinstance(scorer, FormScorer)
        self._scorer = scorer

    def score(self, rows: Sequence[Row]) -> FloatArray:
        """The probability of each row (rows,)."""
        return np.array(self._scorer.probability(rows), dtype=np.float64)

    def first_reasons(self, rows: Sequence[Row]) -> list[str]:
        """The feature with the largest contribution to each row's score."""
        if not rows:
            return []
        pushes = np.abs(self._scorer.contributions(rows))
        return [self.features[place] for place in pushes.argmax(axis=1)]


class RuleScorer:
    """A rule; a customer whose rule is null has no score and ranks last."""

    def __init__(self, rule: str, contract: Contract) -> None:
        """Read the rule.

        Raises:
            RuleInvalid: it is not an expression over the contract's features.
        """
        self.name = rule
        self.exact = True
        self.contract = contract
        self._expression = parse_rule(rule, contract)
        self._kinds = columns_of(self._expression)
        self.features: Sequence[str] = list(self._kinds)

    def score(self, rows: Sequence[Row]) -> FloatArray:
        """The value of the rule for each row (rows,)."""
        columns = {
            name: column_values(kind, [row[name] for row in rows])
            for name, kind in self._kinds.items()
        }
        return evaluate(self._expression, columns, len(rows))

    def first_reasons(self, rows: Sequence[Row]) -> None:  # noqa: ARG002 - as the protocol
        """A rule gives no reasons."""
        return


def parse_rule(rule: str, contract: Contract) -> Expression:
    """A rule over the contract's features.

    Raises:
        RuleInvalid: it is not an expression over them.
    """
    any_value = contract.policy.ingestion.new_values == "accept"
    return parse_expression(rule, column_types(contract.features, other_values=any_value))


def canonical_rule(rule: str, contract: Contract) -> str:
    """The one text of a rule, by which it is registered.

    Raises:
        RuleInvalid: as `parse_rule`.
    """
    return written(parse_rule(rule, contract))


def load_shadow(shadow: Shadow, contract: Contract, releases: Releases) -> ShadowScorer:
    """The scorer of a shadow, verified.

    Args:
        shadow: the shadow.
        contract: the contract in use.
        releases: the releases of the home.

    Raises:
        IntegrityError: the release is damaged, or is not the one that was registered.
        ContractError: the contract in use lacks what the version reads.
        RuleInvalid: the contract in use lacks what the rule reads.
    """
    if shadow.version is None:
        return RuleScorer(shadow.rule or "", contract)
    manifest = releases.verify(shadow.version)
    if manifest_digest(manifest) != shadow.manifest:
        raise IntegrityError(
            f"The release of version {shadow.version} is not the one that was registered as a"
            " shadow: end the shadow and start it again.",
            code="MODEL_CHANGED",
        )
    own = VersionContracts(contract, releases).of(releases.card(shadow.version))
    return VersionScorer(shadow.name, load_scorer(releases, manifest), own)


def score_frame(scorer: ShadowScorer, frame: "pd.DataFrame") -> FloatArray:
    """The scores of a month's customers (rows,) as they are served: bit for bit those of a rule
    and of a version with a serving form, to 1e-15 those of another algorithm.

    Args:
        scorer: the shadow.
        frame: (rows, features of `scorer` at least), as `feature_frame` makes them.
    """
    parts = [
        scorer.score(rows_of(frame[start : start + ROWS_AT_ONCE], scorer.features))
        for start in range(0, len(frame), ROWS_AT_ONCE)
    ]
    return np.concatenate([np.empty(0), *parts])


def rows_of(frame: "pd.DataFrame", features: Sequence[str]) -> list[Row]:
    """The rows of a frame as plain values, None where a value is missing."""
    columns = [plain_values(frame[feature]) for feature in features]
    if not columns:
        return [{} for _ in range(len(frame))]
    rows: list[Mapping[str, Any]] = [
        dict(zip(features, values, strict=True)) for values in zip(*columns, strict=True)
    ]
    return rows


def plain_values(column: "pd.Series") -> list[Any]:
    """The values of a column (rows,) as the API reads them, None where one is missing."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values
