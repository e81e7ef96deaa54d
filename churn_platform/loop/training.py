"""Trains the candidate of a month, and records the requests and refusals of trainings."""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import DataError, NotANumber, UsageError
from churn_platform.base.text import ended
from churn_platform.contract.model import Contract
from churn_platform.features.training_dataset import LABEL, TrainingDataset, row_weights
from churn_platform.ingestion.month_warnings import refusal_sentence
from churn_platform.ledger.acts import ManualRetrainingRequested, TrainingRefused
from churn_platform.ledger.store import LedgerStore
from churn_platform.loop.progress import Progress
from churn_platform.loop.retraining import ManualRequest, training_key
from churn_platform.loop.run_month import RefusedTraining
from churn_platform.promotion.decision import Decision
from churn_platform.promotion.promotions import signed
from churn_platform.training.candidate import Candidate
from churn_platform.training.entry_point import estimator_sources
from churn_platform.training.version_contracts import VersionContracts

if TYPE_CHECKING:
    from churn_platform.training.registry import ModelRegistry

LoadDataset = Callable[[dt.date], TrainingDataset | None]


@dataclass(frozen=True)
class TrainedCandidate:
    """A month's candidate, registered under its version."""

    version: int
    candidate: Candidate
    fitted: bool
    """False: the same data, recipe and code were registered before."""
    plots: dict[str, bytes]
    """Name -> PNG."""


@dataclass(frozen=True)
class CandidateTraining:
    """Trains and registers candidates of one home."""

    contract: Contract
    registry: "ModelRegistry"
    ledger: LedgerStore
    load_dataset: LoadDataset
    version_contracts: VersionContracts
    matured: Callable[[dt.date], Collection[dt.date]]

    def train(
        self, as_of: dt.date, run_id: str | None = None, code: str | None = None
    ) -> TrainedCandidate | RefusedTraining:
        """Fit the candidate of a month's training dataset and register it as `candidate`.

        The same data, recipe and code are the same version: nothing is registered twice. A
        training that the data cannot support is recorded with its reason.

        Args:
            as_of: the month.
            run_id: the MLflow run to log to; by default one of its own.
            code: digest of the code that fits; that of this code by default.
        """
        from churn_platform.base.provenance import code_digest, made_with
        from churn_platform.evaluation.plots import candidate_plots
        from churn_platform.training.candidate import candidate_digest, fit_candidate
        from churn_platform.training.choosing import asked_for
        from churn_platform.training.registry import CANDIDATE

        registry = self.registry
        if run_id is None:
            with registry.run() as own:
                return self.train(as_of, own, code)
        fitting = code or code_digest()
        published = self.load_dataset(as_of)
        try:
            dataset = _required(published, as_of)
            contract = self.version_contracts.of_candidate(
                as_of, self.matured(as_of), dataset.window.training[-1]
            )
            known = registry.find(candidate_digest(dataset, asked_for(contract), fitting))
            if known is None:
                candidate = fit_candidate(contract, dataset, fitting, made_with())
            else:
                candidate = registry.load(known)
        except NotANumber:  # a fault of the model or of the code, never a property of the data
            raise
        except DataError as error:
            # It is tried again with other data, under another policy, or by other code. The
            # ledger adds the code and the libraries.
            key = training_key(
                str(published and published.digest),
                self.contract.policy_hash,
                estimator_sources(self.contract),
            )
            self.ledger.append(TrainingRefused(month=as_of, reason=str(error), **key))
            reason = refusal_sentence(str(error))
            registry.tag_run(run_id, {"as_of": as_of.isoformat(), "refused": reason})
            return RefusedTraining(reason)
        holdout = dataset.holdout_rows()
        plots = candidate_plots(
            holdout[LABEL].to_numpy(), candidate.model.probability(holdout), row_weights(holdout)
        )
        if known is None:
            version = registry.register(candidate, dataset.training_rows(), plots, run_id)
        else:
            version = known
            registry.set_alias(CANDIDATE, version)
        tags = {
            "as_of": as_of.isoformat(),
            "version": str(version),
            "fitted": "true" if known is None else "false",
        }
        registry.tag_run(run_id, tags)
        return TrainedCandidate(version, candidate, known is None, plots)


@dataclass(frozen=True)
class RetrainingRequests:
    """Takes the requests of people for a retraining.

    Args:
        progress: how far the home is now.
        load_dataset: the published training dataset of a month.
        acting: holds the home for a person's act.
    """

    contract: Contract
    ledger: LedgerStore
    progress: Callable[[], Progress]
    load_dataset: LoadDataset
    acting: Callable[[str], AbstractContextManager[None]]
    who: str

    def request(self, by: str, reason: str) -> str:
        """Ask for a candidate of the newest month, regardless of the policy.

        Args:
            by: the name of the person.
            reason: why, for the ledger.

        Returns:
            What was recorded, and what happens next.

        Raises:
            UsageError: nothing can be trained, or the newest decision is about the same data
                under the same policy.
            HomeBusy: a run holds the home.
        """
        by, reason = signed(by, reason)
        with self.acting(f"the request of {by} for a retraining"):
            progress = self.progress()
            as_of = _newest_processed(progress)
            self._check_trainable(progress, as_of)
            self.ledger.append(
                ManualRetrainingRequested(
                    month=as_of,
                    actor=by,
                    reason=reason,
                    login=self.who,
                    policy=self.contract.policy_hash,
                )
            )
        return (
            f"A retraining on {as_of} is requested by {by}: {ended(reason)} Run `churn run` to"
            " train and judge the candidate. With the Dagster daemon it starts automatically."
        )

    def _check_trainable(self, progress: Progress, as_of: dt.date) -> None:
        waiting = ManualRequest.open_in(self.ledger.state())
        if waiting is not None:
            raise UsageError(
                f"{waiting.by} has asked for a retraining already ({waiting.reason}): type"
                " `churn run`.",
                code="RETRAINING_NOT_NEEDED",
            )
        dataset = self.load_dataset(as_of)
        if dataset is None:
            reason = progress.retraining(as_of).reason
            raise UsageError(reason, code="RETRAINING_NOT_NEEDED")
        same = _decided_on(progress.decisions, dataset.digest, self.contract.policy_hash)
        if same is not None:
            decision = digest_of(same.model_dump(mode="json"))
            approval = self.ledger.state().answers(decision).approval
            became = (approval and approval.state) or same.decision
            raise UsageError(
                f"Version {same.candidate_version} ({became}) was made from the same data under"
                " the same policy: deliver new data or change the policy in the contract, then"
                " ask again.",
                code="RETRAINING_NOT_NEEDED",
            )


def _required(dataset: TrainingDataset | None, as_of: dt.date) -> TrainingDataset:
    if dataset is None:
        raise DataError(
            f"No labels have matured up to {as_of}: there is nothing to train on.",
            code="LABELS_NOT_MATURED",
        )
    return dataset


def _newest_processed(progress: Progress) -> dt.date:
    months = progress.months()
    processed = [month.as_of for month in months if month.processed]
    if not processed:
        raise UsageError(
            "No month has been processed yet, so nothing can be trained: type `churn run` first.",
            code="MONTH_UNKNOWN",
        )
    due = [month.as_of for month in months if month.due and month.as_of <= processed[-1]]
    if due:
        raise UsageError(
            f"The month {due[0]} has to be processed first: type `churn run`, then ask again.",
            code="MONTH_DUE",
        )
    return processed[-1]


def _decided_on(decisions: Sequence[Decision], dataset: str, policy: str) -> Decision | None:
    """The newest decision, where it is about this dataset under this policy."""
    for newest in decisions[-1:]:
        if (newest.evidence["dataset"], newest.policy_hash) == (dataset, policy):
            return newest
    return None
