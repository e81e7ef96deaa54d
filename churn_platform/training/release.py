"""The records of a version: its model card, its release manifest, the production pointer."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from churn_platform.base.digests import digest_of
from churn_platform.base.stored import Stored
from churn_platform.features.customer_sample import CustomerSample
from churn_platform.ledger.receipts import NonEmpty, Sha256, UtcTime

MODEL_FILE = "model.skops"
MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
PASSPORT = "passport.json"
"""The file of a version with its model card."""
IMPORTED = "imported"
"""The algorithm of a version that was trained elsewhere."""


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
        search: The candidates that competed and their budget; None for a single recipe.
        max_rows: The limit that its sample of customers was drawn by; None without a limit.
    """

    recipe: dict[str, Any]
    holdout: HoldoutSplit
    slices: list[str]
    window: dict[str, list[str]]
    known_at: str | None
    tables: dict[str, str]
    fitted_with: dict[str, Any] = Field(alias="with")
    search: dict[str, Any] | None = None
    max_rows: int | None = None


CHOICE_HEADS = ("recipe", "fitted by", "parameters", "log loss", "AUC", "fits", "why")


def _shown(parameter: object) -> str:
    return f"{parameter:.4g}" if isinstance(parameter, float) else str(parameter)


def _figure(value: float | None, error: float | None = None) -> str:
    if value is None:
        return ""
    if error is None:
        return f"{value:.4f}"
    return f"{value:.4f} ± {error:.4f}"


class TriedRecipe(Stored):
    """A recipe that competed for a version.

    Without figures it could not be fitted; `why` then has the reason.

    Attributes:
        fitted_by: Algorithm or entry point.
        parameters: Those that were set or tuned; the others have their defaults.
        fits: How many fits of the estimator measured it.
        log_loss: Of calibrated out-of-fold probabilities, in nats.
        gap: How far `log_loss` is above that of the best recipe.
        auc: The mean of the folds' AUC.
        why: Why it was chosen or not, as a sentence.
        tuned: Whether a tuned variant competed; None if no parameter was tuned.
        trials: How many tuned variants were tried.
        failed_trials: How many of them could not be fitted.
    """

    name: str
    fitted_by: str
    parameters: dict[str, Any]
    fits: int
    why: str
    log_loss: float | None = None
    log_loss_error: float | None = None
    gap: float | None = None
    gap_error: float | None = None
    auc: float | None = None
    fold_log_losses: list[float] | None = None
    fold_aucs: list[float | None] | None = None
    tuned: bool | None = None
    trials: int | None = None
    failed_trials: int | None = None


class ChosenFrom(Stored):
    """The recipes that competed for a version, in the order of the contract.

    Attributes:
        chosen: The name of the recipe that the version was fitted by.
        best: The name of the recipe with the smallest log loss.
        folds: Number of folds of the cross-validation, by customer.
        fits: How many fits of an estimator measured the recipes and made the version.
        budget: The policy's limit for `fits`.
    """

    chosen: str
    best: str
    folds: int
    fits: int
    budget: int
    candidates: list[TriedRecipe]

    def table(self) -> list[tuple[str, ...]]:
        """The recipes as rows of `CHOICE_HEADS`."""
        return [
            (
                f"{one.name} (chosen)" if one.name == self.chosen else one.name,
                one.fitted_by,
                ", ".join(f"{name}={_shown(value)}" for name, value in one.parameters.items()),
                _figure(one.log_loss, one.log_loss_error),
                _figure(one.auc),
                str(one.fits),
                one.why,
            )
            for one in self.candidates
        ]


class Imported(Stored):
    """Where an imported version comes from.

    Attributes:
        source: What the person named: a file, a folder or an address of MLflow.
        file: The file of the model in it.
        sha256: Of that file.
        format: How that file was written.
        estimator: The estimator's class.
        reads: The features that it reads, in its order.
        imported_on: The day of the import, UTC: it was trained before.
        as_of: The newest month that it was trained on, as the person said; None if unknown.
        customers: How many customers it was trained on, by the list; None without one.
        sample: Rows of typical values, which are no customer's, for the golden predictions.
        libraries: The libraries that read it, with their versions.
    """

    source: str
    file: str
    sha256: str
    format: str
    estimator: str
    reads: list[str]
    positive_class: JsonValue
    imported_on: str
    by: str
    reason: str
    as_of: str | None
    customers: int | None
    sample: list[dict[str, JsonValue]]
    libraries: dict[str, str]

    @property
    def sentence(self) -> str:
        """Where it comes from, for people."""
        return f"It was imported from {self.source} by {self.by} on {self.imported_on}."


class ModelCard(Stored):
    """What a version was made from and measured, kept as `passport.json` next to its model.

    Attributes:
        digest: Its identity: the same data, recipe and code give the same digest.
        as_of: The newest month of its training rows; of an imported version the last day whose
            rows may have trained it.
        months: All months of its training rows; empty if they are unknown.
        metrics: Its metrics on the holdout rows; empty for an imported version.
        made_from: What makes it again; None for a version of an earlier platform, and for an
            imported one.
        reasons_by: How the reasons of an estimator of the business are measured; None for an
            algorithm of the platform.
        imported: Where it comes from; None for a version that the platform trained.
        contract: What it reads and predicts, as `Contract.written` of `of_version`; None for a
            version of an earlier platform.
        chosen_from: The recipes that competed for it; None for a single recipe.
        sample: The sample of customers that it was trained and measured on; None if it was all.
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
    chosen_from: ChosenFrom | None = None
    sample: CustomerSample | None = None
    reasons_by: str | None = None
    imported: Imported | None = None

    @property
    def trained_as_of(self) -> str | None:
        """The newest month that it was trained on; None if that is unknown."""
        if self.imported is not None:
            return self.imported.as_of
        return self.as_of

    @property
    def libraries(self) -> list[str]:
        """The packages that an estimator of the business is made of; empty without one."""
        if self.made_from is None:
            return []
        return [*self.made_from.fitted_with.get("estimator", {}).get("libraries", {})]


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


def manifest_digest(manifest: ReleaseManifest) -> str:
    """The digest of a release as receipts record it."""
    return digest_of(manifest.model_dump(mode="json"))


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
