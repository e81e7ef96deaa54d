"""The records of a version: its model card, its release manifest, the production pointer."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from churn_platform.base.stored import Stored
from churn_platform.ledger.receipts import NonEmpty, Sha256, UtcTime

MODEL_FILE = "model.skops"
PASSPORT = "passport.json"
MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
PASSPORT = "passport.json"
"""The file of a version with its model card."""


def iso_date(value: str) -> str:
    """`value` unchanged if it is a date as YYYY-MM-DD.

    Raises:
        ValueError: it is not.
    """
    if date.fromisoformat(value).isoformat() != value:
        raise ValueError(f"{value!r} is not a date as YYYY-MM-DD")
    return value


def file_name(value: str) -> str:
    """`value` unchanged if it can name a file of a release: not a path, not hidden, not the
    manifest.

    Raises:
        ValueError: it does not.
    """
    if value in (MANIFEST, MANIFEST_DIGEST) or not re.fullmatch(
        r"[A-Za-z0-9][A-Za-z0-9._-]*", value
    ):
        raise ValueError(
            f"{value!r} cannot name a file of a release; use letters, digits, '.', '_', '-'"
        )
    return value


IsoDate = Annotated[str, AfterValidator(iso_date)]
FileName = Annotated[str, AfterValidator(file_name)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FeatureSpec(_Frozen):
    """One feature as the model expects it: its name and its dtype in the contract."""

    name: NonEmpty
    dtype: NonEmpty


class HoldoutSplit(Stored):
    """What decides which customers are in the holdout."""

    salt: str
    fraction: float


class MadeFrom(Stored):
    """What makes the same version again.

    Attributes:
        recipe: The recipe as plain JSON values.
        window: The months by their use: training, holdout, forward.
        known_at: The instant up to which the lake was read; None if it is unknown.
        tables: Table and month -> digest of its content.
        fitted_with: The code, the libraries and the machine that fitted.
    """

    recipe: dict[str, Any]
    holdout: HoldoutSplit
    slices: list[str]
    window: dict[str, list[str]]
    known_at: str | None
    tables: dict[str, str]
    fitted_with: dict[str, Any] = Field(alias="with")


class ModelCard(Stored):
    """What a version was made from and measured, kept as `passport.json` next to its model.

    Attributes:
        digest: Its identity: the same data, recipe and code give the same digest.
        as_of: The newest month of its training rows.
        months: All months of its training rows.
        metrics: Its metrics on the holdout rows.
        made_from: What makes it again; None for a version of an earlier platform.
        contract: What it reads and predicts, as `Contract.written` of `of_version`; None for a
            version of an earlier platform.
    """

    digest: str
    model_name: str
    algorithm: str
    as_of: str
    months: list[str]
    training_rows: int
    training_churners: int
    dataset_digest: str
    contract_hash: str
    code_digest: str
    threshold: float
    features: list[FeatureSpec]
    metrics: dict[str, Any]
    made_from: MadeFrom | None = None
    contract: dict[str, JsonValue] | None = None


class GoldenPrediction(_Frozen):
    """Features and the model's probability for them, which serving must reproduce."""

    features: dict[str, JsonValue]
    probability: Probability


class ReleaseManifest(_Frozen):
    """A release: its files by sha256, the model's features in order, and its origin."""

    model_name: NonEmpty
    version: int = Field(ge=1)
    algorithm: NonEmpty
    files: dict[FileName, Sha256]
    features: list[FeatureSpec] = Field(min_length=1)
    threshold: Probability
    contract_hash: NonEmpty
    training_as_of: IsoDate
    training_months: list[str]
    metrics: dict[str, JsonValue]
    golden: list[GoldenPrediction]
    candidate_digest: NonEmpty
    created_at: UtcTime


class Pointer(_Frozen):
    """Which version is in production.

    Attributes:
        version: The version that serves from `activate_at` on.
        previous_version: The version that it replaced; None for the first.
        activate_at: The instant at which all servers switch.
        ledger_head: Digest of the newest receipt when the pointer changed; an anchor of the
            ledger.
        as_of: The month whose decision changed it.
    """

    version: int = Field(ge=1)
    previous_version: int | None
    activate_at: UtcTime
    ledger_head: Sha256
    as_of: IsoDate
