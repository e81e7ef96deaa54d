"""Imports models that were trained elsewhere, as versions of the home.

The import is written down first, then done: registered, recorded, put into production. Whatever
a kill leaves, the next command completes.
"""

import datetime as dt
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from churn_platform.base.errors import UsageError
from churn_platform.base.files import fsync_file, fsync_folder
from churn_platform.base.home import Home
from churn_platform.base.text import ended
from churn_platform.contract.model import Contract
from churn_platform.ingestion.drop import find_drops
from churn_platform.ingestion.publish import Ingestion
from churn_platform.lake.lake import Lake
from churn_platform.lake.tables import feature_frame
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import ModelImported, PromotionIntent
from churn_platform.promotion.promotions import Promotions, signed
from churn_platform.promotion.publishing import sample_rows, trained_as_of
from churn_platform.promotion.trained_on import customers_in
from churn_platform.training.candidate import ENTITIES, Candidate, candidate_of
from churn_platform.training.release import MODEL_FILE, PASSPORT
from churn_platform.training.releases import Releases

if TYPE_CHECKING:
    from churn_platform.training.registry import ModelRegistry

FOLDER = "importing"
REQUEST = "request.json"


class ImportRequest(BaseModel):
    """What a person asked for, until it is done."""

    model_config = ConfigDict(frozen=True)

    by: str
    reason: str
    serve: bool
    production: int | None
    """What was in production when it was asked."""
    login: str


@dataclass(frozen=True)
class ImportedVersion:
    """What an import came to."""

    version: int
    sentence: str
    in_production: bool


@dataclass(frozen=True)
class ModelSource:
    """A model and what a person states about it; see `churn import-model --help`."""

    source: str
    by: str
    reason: str
    trained_on: Path | None = None
    as_of: dt.date | None = None
    features: tuple[str, ...] = ()
    positive_class: str | None = None
    threshold: float = 0.5
    trust_code: bool = False
    tracking_uri: str = ""
    serve: bool | None = None
    """None: if no model was ever in production."""


@dataclass(frozen=True)
class ModelImports:
    """Imports models into one home.

    Args:
        complete: completes what was cut off and records the contract, as every run does.
        after: what follows a change of production.
    """

    home: Home
    contract: Contract
    lake: Lake
    ledger: LedgerStore
    releases: Releases
    registry: "ModelRegistry"
    ingestion: Ingestion
    promotions: Promotions
    complete: Callable[[], object]
    after: Callable[[], object]

    @property
    def folder(self) -> Path:
        """Where an import is written down until it is done."""
        return self.home.folder / FOLDER

    def run(self, asked: ModelSource) -> ImportedVersion:
        """Import a model; the same model with the same list is the same version.

        Raises:
            UsageError: the model cannot be imported; the sentence names what is wrong.
            DropRefused: no month is published, and the oldest drop breaks the contract.
            HomeBusy: a run holds the home.
        """
        by, reason = signed(asked.by, asked.reason)
        with self.promotions.acting(f"the import of a model by {by}"):
            self.complete()
            candidate = self._candidate(asked, by, reason)
            production = self.promotions.production
            serve = asked.serve
            if serve is None:
                serve = not self.ledger.state().changes
            self._check_not_blocked(candidate, serve=serve)
            request = ImportRequest(
                by=by, reason=reason, serve=serve, production=production,
                login=self.home.settings.who,
            )  # fmt: skip
            self._write_down(candidate, request)
            version = self._carry_out()
            self.after()
        return self._outcome(version, candidate, production)

    def finish(self) -> str | None:
        """Complete an import that a kill cut off; what was done, None if nothing was."""
        for leftover in self.home.folder.glob(f".{FOLDER}.*.tmp"):
            shutil.rmtree(leftover)
        if not self.folder.is_dir():
            return None
        version = self._carry_out()
        return f"The import of version {version} was cut off: it was completed."

    def _candidate(self, asked: ModelSource, by: str, reason: str) -> Candidate:
        from churn_platform.training.importing import Said, imported_candidate
        from churn_platform.training.model_files import found_model

        if not 0 < asked.threshold < 1:
            raise UsageError(
                f"--threshold {asked.threshold:g} is not between 0 and 1.", code="OPTION_INVALID"
            )
        month = self._month()
        contract = self.contract.at(month)
        rows = feature_frame(contract, self.lake.tables(month))
        customers = np.empty(0, dtype=np.uint64)
        if asked.trained_on is not None:
            customers = customers_in(asked.trained_on, self.contract, self.lake)
        self.registry.prepare()
        with found_model(asked.source, asked.tracking_uri or self.registry.tracking_uri) as file:
            estimator = file.estimator(trust_code=asked.trust_code)
            said = Said(
                by, reason, customers, asked.features, asked.positive_class, asked.threshold,
                None if asked.as_of is None else asked.as_of.isoformat(),
            )  # fmt: skip
            today = self.home.now().date().isoformat()
            return imported_candidate(
                contract, rows, month.isoformat(), file, estimator, said, today
            )

    def _month(self) -> dt.date:
        """The newest published month; the oldest drop is published if there is none."""
        if not self.lake.months():
            drops = [one for one in find_drops(self.home.drops, self.contract) if one.deliverable]
            if not drops:
                raise UsageError(
                    "There is no month that shows whether the model can score this business:"
                    " deliver a drop first (`churn ingest`).",
                    code="DROP_MISSING",
                )
            self.ingestion.publish(drops[0].as_of)
        return self.lake.months()[-1]

    def _check_not_blocked(self, candidate: Candidate, *, serve: bool) -> None:
        state = self.ledger.state()
        version = self.registry.find(candidate.digest)
        if serve and version is not None and version in state.blocked:
            raise UsageError(state.why_blocked(version), code="VERSION_BLOCKED")

    def _write_down(self, candidate: Candidate, request: ImportRequest) -> None:
        """Keep the import in one folder, which appears at once."""
        entities = BytesIO()
        np.save(entities, candidate.training_entities, allow_pickle=False)
        files = {
            MODEL_FILE: candidate.model.to_bytes(),
            PASSPORT: candidate.card.model_dump_json(by_alias=True, exclude_unset=True).encode(),
            ENTITIES: entities.getvalue(),
            REQUEST: request.model_dump_json().encode(),
        }
        temporary = self.home.folder / f".{FOLDER}.{uuid.uuid4().hex}.tmp"
        temporary.mkdir()
        for name, content in files.items():
            (temporary / name).write_bytes(content)
            fsync_file(temporary / name)
        shutil.rmtree(self.folder, ignore_errors=True)
        temporary.rename(self.folder)
        fsync_folder(self.home.folder)

    def _carry_out(self) -> int:
        """Register, record and serve what is written down; every step is done once."""
        request = ImportRequest.model_validate_json((self.folder / REQUEST).read_bytes())
        files = {
            name: (self.folder / name).read_bytes() for name in (MODEL_FILE, PASSPORT, ENTITIES)
        }
        candidate = candidate_of(files, 0)
        version = self.registry.find(candidate.digest)
        if version is None:
            version = self._register(candidate)
        receipt = self.ledger.state().imports.get(version)
        if receipt is None:
            receipt = self.ledger.append(self._act(version, candidate, request))
        unchanged = self.promotions.production == request.production
        if request.serve and unchanged and request.production != version:
            against: dict[str, bool] = {} if request.production is None else {"override": True}
            self.promotions.carry_out(
                PromotionIntent(
                    version=version,
                    before=request.production,
                    after=version,
                    actor=request.by,
                    reason=request.reason,
                    decision=receipt.digest,
                    candidate=candidate.digest,
                    as_of=trained_as_of(candidate.card),
                    imported=receipt.digest,
                    **against,
                )
            )
        shutil.rmtree(self.folder)
        return version

    def _register(self, candidate: Candidate) -> int:
        with self.registry.run() as run:
            return self.registry.register(candidate, sample_rows(candidate.card), {}, run)

    def _act(self, version: int, candidate: Candidate, request: ImportRequest) -> ModelImported:
        imported = candidate.card.imported
        if imported is None:
            raise ValueError("the candidate was not imported")
        production = self.promotions.production
        return ModelImported(
            version=version,
            before=production,
            after=production,
            actor=request.by,
            reason=request.reason,
            candidate=candidate.digest,
            source=imported.source,
            sha256=imported.sha256,
            format=imported.format,
            estimator=imported.estimator,
            files=dict(self.registry.recorded(version)),
            customers=imported.customers,
            trained_as_of=imported.as_of,
            login=request.login,
        )

    def _outcome(self, version: int, candidate: Candidate, before: int | None) -> ImportedVersion:
        imported = candidate.card.imported
        if imported is None:
            raise ValueError("the candidate was not imported")
        serves = self.promotions.production == version
        if before == version:
            said = f"Version {version} is this model, and it is in production already."
        elif serves:
            reason = ended(imported.reason)
            said = f"Version {version} is in production, imported by {imported.by}: {reason}"
        else:
            said = f"Version {version} is imported and not in production: --serve puts it there."
        if imported.customers is None:
            said += (
                " Without the list of the customers it was trained on, a candidate is compared"
                f" with it only on months after {candidate.card.as_of} (--trained-on, or"
                " policy.promotion.incumbent_trained_before)."
            )
        else:
            said += f" It was trained on {imported.customers:,} customers, who leave comparisons."
        unread = [name for name in self.contract.features if name not in imported.reads]
        if unread:
            said += f" It does not read {', '.join(unread)}."
        return ImportedVersion(version, said, serves)
