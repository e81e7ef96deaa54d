"""The policy: every threshold the loop decides by, frozen and hashed into each decision.

Belongs here: the numbers and their defaults. Does not: the rules that use them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from churn_platform.core.digest import ADDED

Algorithm = Literal["lightgbm", "hist_gradient_boosting", "logistic_regression", "random_forest"]
DriftMethod = Literal["wasserstein", "jensenshannon"]


class _Part(BaseModel):
    """A frozen part of the policy; an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IngestionPolicy(_Part):
    """How much of a table may be wrong before the drop is refused whole; below, the wrong rows are quarantined.

    `unmatched_share` is the share of a month's customers that any one feature table may lack. `near_key_share` is the
    share of its keys that may match a key of the month before, or of another table, only after blanks, case, leading
    zeros or a trailing `.0` are removed; more refuse the drop. `repeated_month` is what happens to a drop that equals
    another month in every table. When more customers than `changed_share` are new or gone, the month has a warning.
    """

    quarantine_share: float = Field(default=0.01, ge=0, lt=1)
    unmatched_share: float = Field(default=0.05, ge=0, le=1)
    near_key_share: float = Field(default=0.01, ge=0, le=1, json_schema_extra=ADDED)
    repeated_month: Literal["refuse", "warn"] = Field(default="refuse", json_schema_extra=ADDED)
    changed_share: float = Field(default=0.3, ge=0, le=1, json_schema_extra=ADDED)


class TrainingPolicy(_Part):
    """What a candidate is trained on, and how.

    A business with few churners a month pools older matured months, up to `pooled_months`: until the training rows
    hold about `min_training_churners`, and the holdout about `policy.promotion.min_holdout_churners`.
    """

    algorithm: Algorithm = "lightgbm"
    trailing_months: int = Field(default=1, ge=1)
    min_training_churners: int = Field(default=100, ge=1)
    holdout_fraction: float = Field(default=0.25, gt=0, lt=1)
    holdout_months: int = Field(default=1, ge=1)
    pooled_months: int = Field(default=6, ge=1)
    salt: str = Field(default="churn-platform", min_length=1)
    seed: int = Field(default=7, ge=0)
    churn_rate_min: float = Field(default=0.005, ge=0, le=1)
    churn_rate_max: float = Field(default=0.6, ge=0, le=1)
    leak_auc: float = Field(default=0.95, gt=0.5, le=1)


class PromotionPolicy(_Part):
    """What a candidate must show before it serves, and whether a person must say yes as well.

    With `mode: approval` a candidate that passes waits up to `approval_days` for an answer.
    """

    mode: Literal["automatic", "approval"] = "automatic"
    approval_days: int = Field(default=14, ge=1)
    delta: float = Field(default=0.01, ge=0, lt=1)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    min_holdout_churners: int = Field(default=50, ge=2)


class DriftPolicy(_Part):
    """When a column counts as drifted, and when the share of them asks for a new model."""

    share: float = Field(default=0.05, gt=0, le=1)
    target: float = Field(default=0.05, gt=0, le=1)
    prediction: float = Field(default=0.1, gt=0)
    column_threshold: float = Field(default=0.1, gt=0)
    null_share: float = Field(default=0.05, gt=0, le=1)
    new_category_share: float = Field(default=0.01, gt=0, le=1)
    few_values: int = Field(default=5, ge=1)
    resamples: int = Field(default=500, ge=50)
    alarm_rate: float = Field(default=0.05, gt=0, lt=1)
    methods: dict[str, DriftMethod] = Field(default_factory=dict)


class RetrainingPolicy(_Part):
    """When the loop asks for a candidate."""

    cooldown_cadences: int = Field(default=1, ge=0)
    hysteresis: float = Field(default=0.8, gt=0, le=1)
    max_age_cadences: int | None = Field(default=None, ge=1)
    max_attempts: int = Field(default=3, ge=1)


class ScoringPolicy(_Part):
    """What the ranked list holds."""

    listed: int = Field(default=500, ge=1)
    reasons: int = Field(default=3, ge=1)


class ServingPolicy(_Part):
    """What the API does, and how long the log of what it answered is kept.

    `stale_features`: what a customer gets whose features are missing or of an older month than the newest.
    """

    stale_features: Literal["refuse", "answer"] = "refuse"
    keep_answers_days: int = Field(default=400, ge=1)


class VerdictPolicy(_Part):
    """How versions that are not in production are followed, and when one is proposed.

    Scored every month are production and the `followed_versions` newest others, compared on up to `months` newest
    matured months. `looks` share the error of `policy.promotion.level`. With `automatic` a proposal is carried out.
    `judged_months` are the later months that judge a decision on the scoreboard.
    """

    followed_versions: int = Field(default=6, ge=0)
    months: int = Field(default=3, ge=1)
    looks: int = Field(default=12, ge=1)
    judged_months: int = Field(default=6, ge=1)
    automatic: bool = False


class Policy(_Part):
    """All thresholds of the loop."""

    ingestion: IngestionPolicy = IngestionPolicy()
    training: TrainingPolicy = TrainingPolicy()
    promotion: PromotionPolicy = PromotionPolicy()
    drift: DriftPolicy = DriftPolicy()
    retraining: RetrainingPolicy = RetrainingPolicy()
    scoring: ScoringPolicy = ScoringPolicy()
    serving: ServingPolicy = ServingPolicy()
    verdict: VerdictPolicy = VerdictPolicy()
