"""Receipts about trainings: a person's request for one, and one that could not be made."""

import datetime as dt

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import UsageError
from churn_platform.base.text import ended
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.ledger.acts import ManualRetrainingRequested, TrainingRefused
from churn_platform.loop.progress import Progress
from churn_platform.loop.retraining import open_request, training_key
from churn_platform.promotion.decision import Decision
from churn_platform.promotion.promotions import signed
from churn_platform.services import Services


def request_retraining(home: Services, by: str, reason: str) -> str:
    """Ask for a candidate of the newest month, whatever the policy says; the sentence that it
    is recorded.

    Args:
        home: the home.
        by: the name of the person.
        reason: why, for the ledger.

    Raises:
        UsageError: nothing can be trained, or the newest decision is about the same data under
            the same policy.
        HomeBusy: a run holds the home.
    """
    by, reason = signed(by, reason)
    with home.promotions.acting(f"the request of {by} for a retraining"):
        progress = Progress(home)
        as_of = _newest_processed(progress)
        _check_trainable(home, progress, as_of)
        home.ledger.append(
            ManualRetrainingRequested(
                month=as_of,
                actor=by,
                reason=reason,
                login=home.settings.who,
                policy=home.contract.policy_hash,
            )
        )
    return (
        f"A retraining on {as_of} is requested by {by}: {ended(reason)} Run `churn run` to"
        " train and judge the candidate. With the Dagster daemon it starts automatically."
    )


def record_refused_training(
    home: Services, as_of: dt.date, dataset: TrainingDataset | None, why: str
) -> None:
    """Write the receipt of a training that the data cannot support: a normal outcome.

    It is tried again with other data, under another policy, or by another version of the
    platform.
    """
    digest = "None" if dataset is None else dataset.digest
    key = training_key(digest, home.contract.policy_hash)  # the ledger adds code and libraries
    home.ledger.append(TrainingRefused(month=as_of, reason=why, **key))


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


def _check_trainable(home: Services, progress: Progress, as_of: dt.date) -> None:
    waiting = open_request(home.ledger.receipts())
    if waiting is not None:
        raise UsageError(
            f"{waiting.by} has asked for a retraining already ({waiting.reason}): type `churn run`.",
            code="RETRAINING_NOT_NEEDED",
        )
    dataset = home.training_datasets.load(as_of)
    if dataset is None:
        raise UsageError(progress.verdict(as_of).reason, code="RETRAINING_NOT_NEEDED")
    same = _decided_on(progress.decisions, dataset.digest, home.contract.policy_hash)
    if same is not None:
        decision = digest_of(same.model_dump(mode="json"))
        approval = home.ledger.state().answers(decision)["approval"]
        became = approval["state"] if approval else same.decision
        raise UsageError(
            f"Version {same.candidate_version} ({became}) was made from the same data under the"
            " same policy: deliver new data or change the policy in the contract, then ask"
            " again.",
            code="RETRAINING_NOT_NEEDED",
        )


def _decided_on(decisions: list[Decision], dataset: str, policy: str) -> Decision | None:
    """The newest decision, where it is about this dataset under this policy."""
    newest = decisions[-1] if decisions else None
    if newest is None or (newest.evidence["dataset"], newest.policy_hash) != (dataset, policy):
        return None
    return newest
