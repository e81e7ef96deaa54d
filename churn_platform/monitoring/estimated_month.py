"""The estimated performance of a month without labels, and why a realised figure fell, as
recorded.
"""

from typing import Literal

from churn_platform.base.stored import Stored


class EstimatedValue(Stored):
    """An estimated figure with its 95% interval."""

    value: float
    interval: tuple[float, float]


class EstimatedMonth(Stored):
    """The estimated performance of the version in production on a month, made before its
    labels arrived.

    It is never measured: it assumes that what drives churn is as in the reference months.
    """

    as_of: str
    version: int
    rows: int
    """How many customers the month has."""
    promoted_interval: tuple[float, float]
    """Of the version's AUC when it was promoted."""
    reference_months: tuple[str, ...] = ()
    reference_rows: int = 0
    """Labelled customers of these months whom the version did not learn from."""
    reference_auc: float | None = None
    """The version's AUC on them."""
    effective_share: float | None = None
    """Effective share of these rows once they are weighted to be like the month."""
    auc: EstimatedValue | None = None
    brier: EstimatedValue | None = None
    churn_rate: EstimatedValue | None = None
    """If nobody is contacted."""
    contacts: int | None = None
    """The budget: how many of the customers are contacted."""
    hits: EstimatedValue | None = None
    """Churners among the `contacts` customers with the highest probability."""
    value: EstimatedValue | None = None
    """What contacting is worth, if the contract names contacts."""
    unit: Literal["money", "customers"] | None = None
    fell: bool = False
    """Whether the customers of the month lower the AUC, by the rule for realised figures."""
    note: str | None = None
    """Why there are no figures."""


Cause = Literal["customers", "drivers", "both", "unknown"]


class FallExplained(Stored):
    """Why the realised AUC of a version is below that of its promotion: the customers changed,
    or what drives churn changed.
    """

    reference_auc: float | None = None
    """On customers of its training months whom it did not learn from."""
    customers: EstimatedValue | None = None
    """The part of the change that is due to other customers."""
    drivers: EstimatedValue | None = None
    """The rest."""
    cause: Cause = "unknown"
    sentence: str
