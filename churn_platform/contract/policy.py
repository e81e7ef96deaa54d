"""The policy: every threshold of the platform. Each decision records its digest."""

import datetime as dt
from typing import Literal, Self

from pydantic import Field, model_validator

from churn_platform.base.digests import ADDED
from churn_platform.contract.columns import ContractPart
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.contract.recipes import (
    Algorithm,
    CandidateRecipe,
    EntryPoint,
    Parameters,
    candidate_faults,
)

DriftMethod = Literal["wasserstein", "jensenshannon"]
Audience = Literal["team", "manager", "approver"]
"""Readers of the monthly report."""


class IngestionPolicy(ContractPart):
    """How much of a drop may be faulty before it is refused; below that, the faulty rows are
    quarantined.
    """

    quarantine_share: float = Field(default=0.01, ge=0, lt=1)
    """Largest share of faulty rows of a table that is quarantined. Above it the drop is
    refused. Example: `0.02`
    """
    unmatched_share: float = Field(default=0.05, ge=0, le=1)
    """Largest share of a month's customers that a feature table may lack. Above it the drop is
    refused. Example: `0.5`
    """
    near_key_share: float = Field(default=0.01, ge=0, le=1, json_schema_extra=ADDED)
    """Largest share of keys that match the previous month, or another table, only after
    leading zeros, case, blanks or `.0` are ignored. Above it the drop is refused. Example: `0`
    """
    repeated_month: Literal["refuse", "warn"] = Field(default="refuse", json_schema_extra=ADDED)
    """What happens to a month whose tables are all identical to those of another month.

    Example: `warn`
    """
    changed_share: float = Field(default=0.3, ge=0, le=1, json_schema_extra=ADDED)
    """Share of new or missing customers above which a month is reported. Example: `0.5`"""
    new_values: Literal["refuse", "accept"] = Field(default="refuse", json_schema_extra=ADDED)
    """Whether a value that a category does not list is a fault, or is published as it is and
    reported. Example: `accept`
    """


class TrainingPolicy(ContractPart):
    """What a candidate is trained on, and how.

    If a month has few churners, older matured months are added, up to `pooled_months`: until
    the training rows contain about `min_training_churners`, and the holdout about
    `policy.promotion.min_holdout_churners`.
    """

    algorithm: Algorithm = "lightgbm"
    """Algorithm of the candidate. Example: `logistic_regression`"""
    estimator: EntryPoint | None = Field(default=None, json_schema_extra=ADDED)
    """Entry point, as `package.module:function`, of an estimator of your own. It takes the place
    of `algorithm`. Example: `my_models.churn:build`
    """
    parameters: Parameters = Field(default_factory=dict, json_schema_extra=ADDED)
    """Parameters of the algorithm, or of the entry point. Example: `{n_estimators: 200}`"""
    trailing_months: int = Field(default=1, ge=1)
    """Smallest number of matured months that a candidate trains on. Example: `3`"""
    min_training_churners: int = Field(default=100, ge=1)
    """Number of churners in the training rows below which older months are added.

    Example: `200`
    """
    holdout_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Share of customers that never train any model. Keep it unchanged, or versions cannot be
    compared. Example: `0.3`
    """
    holdout_months: int = Field(default=1, ge=1)
    """Smallest number of matured months that the comparison uses. Example: `2`"""
    pooled_months: int = Field(default=6, ge=1)
    """Largest number of months that training and comparison use if churners are few.

    Example: `12`
    """
    salt: str = Field(default="churn-platform", min_length=1)
    """Text that decides which customers are in the holdout. Keep it unchanged, or versions
    cannot be compared. Example: `gym-2024`
    """
    seed: int = Field(default=7, ge=0)
    """Seed of the algorithm's random choices. Example: `11`"""
    churn_rate_min: float = Field(default=0.005, ge=0, le=1)
    """Churn rate below which a check of the training data warns. Example: `0.01`"""
    churn_rate_max: float = Field(default=0.6, ge=0, le=1)
    """Churn rate above which a check of the training data warns. Example: `0.4`"""
    leak_auc: float = Field(default=0.95, gt=0.5, le=1)
    """AUC of a single feature above which it counts as a leak; 1 switches the check off.

    Example: `0.9`
    """
    new_column_months: int = Field(default=1, ge=0, json_schema_extra=ADDED)
    """Number of months with matured labels that must have a column with `since` before a
    candidate learns from it. With 0 it learns at once, with missing values. Example: `3`
    """
    candidates: tuple[CandidateRecipe, ...] = Field(default=(), json_schema_extra=ADDED)
    """Recipes that compete each month, the simplest first, instead of one `algorithm`.
    Cross-validation on the training rows chooses one.

    Example: `[{name: linear, algorithm: logistic_regression}, {name: trees, algorithm: lightgbm}]`
    """
    fits: int = Field(default=100, ge=1, json_schema_extra=ADDED)
    """Largest number of fits of an estimator that `candidates` use together: 5 to measure a
    recipe or a tuned variant of it, 6 for the model. Example: `60`
    """
    max_rows: int | None = Field(default=None, ge=1000, json_schema_extra=ADDED)
    """Largest number of training rows, and of holdout rows. Above it, a stable sample of
    customers is drawn by a hash of their keys. Without a value all rows are used.

    Example: `2000000`
    """

    @model_validator(mode="after")
    def _candidates_compete(self) -> Self:
        if not self.candidates:
            return self
        alone = [
            name
            for name in ("algorithm", "estimator", "parameters")
            if getattr(self, name)
            != type(self).model_fields[name].get_default(call_default_factory=True)
        ]
        faults = list(candidate_faults(self.candidates, self.fits, alone))
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _check_estimator(self) -> Self:
        if self.estimator is not None and self.algorithm != "lightgbm":
            raise ValueError("algorithm and estimator exclude each other; leave one out")
        return self

    @property
    def fitted_by(self) -> tuple[str, ...]:
        """The estimator of your own, or the algorithm, by name; of several candidates each."""
        if self.candidates:
            return tuple(dict.fromkeys(one.fitted_by for one in self.candidates))
        return (self.estimator or self.algorithm,)

    @property
    def estimators(self) -> tuple[str, ...]:
        """The entry points of your own estimators."""
        asked = [self.estimator, *(one.estimator for one in self.candidates)]
        return tuple(dict.fromkeys(name for name in asked if name is not None))


class PromotionPolicy(ContractPart):
    """What a candidate must show before it serves, and whether a person must approve it, too.

    With `mode: approval` a candidate that passes waits up to `approval_days` for an answer.
    """

    mode: Literal["automatic", "approval"] = "automatic"
    """Whether a candidate that passes the gate is promoted at once or waits for an approval.

    Example: `approval`
    """
    approval_days: int = Field(default=14, ge=1)
    """Days after which a candidate without an approval lapses. Example: `7`"""
    delta: float = Field(default=0.01, ge=0, lt=1)
    """Gain in AUC over production that a candidate must exceed. Example: `0.02`"""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence level of the intervals that the gate compares. Example: `0.9`"""
    power: float = Field(default=0.8, gt=0.5, lt=1)
    """Power for which a decision states the smallest detectable gain. It does not change the
    decision. Example: `0.9`
    """
    min_holdout_churners: int = Field(default=50, ge=2)
    """Smallest number of churners, and of customers who stayed, for a comparison of two models.

    Example: `100`
    """
    incumbent_trained_before: dt.date | None = Field(default=None, json_schema_extra=ADDED)
    """Day before which an imported model without a list of customers was trained: rows of
    months from this day on count as unseen by it. By default the day of its import.

    Example: `2024-01-01`
    """


class DriftPolicy(ContractPart):
    """When a feature counts as drifted, and when drift asks for a new model."""

    share: float = Field(default=0.05, gt=0, le=1)
    """Share of drifted features above which drift asks for a new model. Example: `0.2`"""
    target: float = Field(default=0.05, gt=0, le=1)
    """Change of the churn rate above which drift asks for a new model. Example: `0.1`"""
    prediction: float = Field(default=0.1, gt=0)
    """Distance between the distributions of scores above which drift asks for a new model.

    Example: `0.2`
    """
    column_threshold: float = Field(default=0.1, gt=0)
    """Distance at which a feature counts as drifted, if noise alone stays below it.

    Example: `0.15`
    """
    null_share: float = Field(default=0.05, gt=0, le=1)
    """Change in the share of missing values at which a feature counts as drifted.

    Example: `0.1`
    """
    new_category_share: float = Field(default=0.01, gt=0, le=1)
    """Share of rows with one new category at which a feature counts as drifted.

    Example: `0.05`
    """
    few_values: int = Field(default=5, ge=1)
    """Largest number of different values for which a number is compared like a category.

    Example: `10`
    """
    resamples: int = Field(default=500, ge=50)
    """Number of resamples that measure the noise of a distance. Example: `1000`"""
    alarm_rate: float = Field(default=0.05, gt=0, lt=1)
    """Share of quiet months in which noise alone may raise an alarm. Example: `0.01`"""
    methods: dict[str, DriftMethod] = Field(default_factory=dict)
    """Distance for a feature, `wasserstein` or `jensenshannon`, by feature. By default it
    follows the dtype. Example: `{tenure: wasserstein}`
    """


class RetrainingPolicy(ContractPart):
    """When a new candidate is trained."""

    cooldown_cadences: int = Field(default=1, ge=0)
    """Number of cadences after a decision in which no candidate is trained. Example: `2`"""
    hysteresis: float = Field(default=0.8, gt=0, le=1)
    """Share of its threshold below which a figure ends a drift alarm that is on.

    Example: `0.7`
    """
    max_age_cadences: int | None = Field(default=None, ge=1)
    """Age of production in cadences at which a candidate is trained without other reasons; by
    default never. Example: `6`
    """
    max_attempts: int = Field(default=3, ge=1)
    """Number of times a failing retraining is tried on the same evidence. Example: `5`"""


class ScoringPolicy(ContractPart):
    """What the ranked list contains."""

    listed: int = Field(default=500, ge=1)
    """Number of customers on the ranked list. Example: `200`"""
    reasons: int = Field(default=3, ge=1)
    """Number of reasons per customer. Example: `5`"""
    ended_columns: Literal["stand_down", "missing"] = Field(
        default="stand_down", json_schema_extra=ADDED
    )
    """Whether production stands down when a column that it reads has ended, or continues with
    missing values. A retraining without the column is requested in both cases.

    Example: `missing`
    """


class ServingPolicy(ContractPart):
    """How the API answers, and how long its log of predictions is kept."""

    stale_features: Literal["refuse", "answer"] = "refuse"
    """Whether the API refuses a customer whose features are from an older month, or answers and
    marks the answer as stale. Example: `answer`
    """
    keep_answers_days: int = Field(default=400, ge=1)
    """Days for which the API's log of predictions is kept. Example: `90`"""


class VerdictPolicy(ContractPart):
    """How versions that are not in production are compared with production on later labels.

    Every month scores production and the latest `followed_versions` others, and compares them
    on up to `months` recent matured months. All `looks` together have the error rate of
    `policy.promotion.level`. With `automatic` a proposed version is promoted without approval.
    """

    followed_versions: int = Field(default=6, ge=0)
    """Number of recent versions, other than production, that are scored every month.

    Example: `3`
    """
    months: int = Field(default=3, ge=1)
    """Largest number of recent matured months on which two versions are compared.

    Example: `6`
    """
    looks: int = Field(default=12, ge=1)
    """Number of monthly comparisons that share the error rate of `policy.promotion.level`.

    Example: `24`
    """
    judged_months: int = Field(default=6, ge=1)
    """Number of later months that judge a decision on the scoreboard. Example: `3`"""
    automatic: bool = False
    """Whether a proposed version replaces production without approval. Example: `true`"""


class ReportPolicy(ContractPart):
    """Who is sent the monthly report.

    A report is sent once, when the run of a new month is complete, to the alert channels.
    """

    send: tuple[Audience, ...] = ()
    """Readers whose page is sent. Example: `[team, manager]`"""
    keys_by_mail: bool = False
    """Whether the team's page and the attached contact list may name customers. If not, the page
    that is sent has no list, and no list is attached. Example: `true`
    """


class Policy(ContractPart):
    """All thresholds of the platform."""

    ingestion: IngestionPolicy = IngestionPolicy()
    """How much of a drop may be faulty."""
    training: TrainingPolicy = TrainingPolicy()
    """What a candidate is trained on, and how."""
    promotion: PromotionPolicy = PromotionPolicy()
    """What a candidate must show before it serves."""
    drift: DriftPolicy = DriftPolicy()
    """When the data counts as changed."""
    retraining: RetrainingPolicy = RetrainingPolicy()
    """When a new candidate is trained."""
    scoring: ScoringPolicy = ScoringPolicy()
    """What the ranked list contains."""
    serving: ServingPolicy = ServingPolicy()
    """How the API answers."""
    verdict: VerdictPolicy = VerdictPolicy()
    """How versions that are not in production are compared with production."""
    contacts: ContactPolicy = Field(default=ContactPolicy(), json_schema_extra=ADDED)
    """Whom to contact, and who is left alone. Used if the contract has `contacts`."""
    reports: ReportPolicy = Field(default=ReportPolicy(), json_schema_extra=ADDED)
    """Who is sent the monthly report."""
