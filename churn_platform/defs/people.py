"""The jobs of people: their launchpad asks for version, name and reason."""

from collections.abc import Callable

import dagster as dg
from pydantic import Field

from churn_platform.base.errors import ChurnError
from churn_platform.defs.resources import BY_PERSON, HomeResource
from churn_platform.services import Services

ONCE = {"dagster/max_retries": "0", **BY_PERSON}
"""A refused job is not tried again: a person started it once."""


BY = Field(description="Your name. The ledger records it.")
REASON = Field(description="Your reason. The ledger records it.")


class SignedAct(dg.Config):
    """What a person does with a version, signed."""

    version: int = Field(
        description="Number of the version, as in `churn status` or the asset production_model."
    )
    by: str = BY
    reason: str = REASON


class SignedApproval(SignedAct):
    """An approval of a version."""

    override: bool = Field(
        default=False,
        description=(
            "Promote it against its decision. Ledger, status and API show this permanently."
        ),
    )


class SignedRequest(dg.Config):
    """A request for a new candidate."""

    by: str = BY
    reason: str = REASON


class SignedRollback(dg.Config):
    """A rollback of production."""

    to: int | None = Field(
        default=None, description="Version to go back to; by default the one before production."
    )
    by: str = BY
    reason: str = REASON


def _done(context: dg.OpExecutionContext, home: Services, act: Callable[[], str]) -> None:
    """Do it and show what was done; an error fails the run with its message."""
    try:
        said = act()
    except ChurnError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    context.log.info(said)
    metadata = {"outcome": said}
    newest = home.status.newest_list()
    if newest is not None and newest.outdated:
        metadata["list"] = f"{newest.outdated} drift_sensor starts the scoring."
    context.add_output_metadata(metadata)


@dg.op(description="Put a version into production in your name.")
def approve_version(
    context: dg.OpExecutionContext, config: SignedApproval, home: HomeResource
) -> None:
    """Approve a version."""
    opened = home.open()
    _done(
        context,
        opened,
        lambda: opened.approvals.approve(
            config.version, config.by, config.reason, override=config.override
        ),
    )


@dg.op(description="Reject the version that waits for an approval, in your name.")
def reject_version(context: dg.OpExecutionContext, config: SignedAct, home: HomeResource) -> None:
    """Reject a version."""
    opened = home.open()
    _done(
        context,
        opened,
        lambda: opened.approvals.reject(config.version, config.by, config.reason),
    )


@dg.op(
    description=(
        "Put an earlier version back into production in your name. The replaced one is blocked."
    )
)
def roll_production_back(
    context: dg.OpExecutionContext, config: SignedRollback, home: HomeResource
) -> None:
    """Roll back."""
    opened = home.open()
    _done(
        context,
        opened,
        lambda: opened.rollbacks.roll_back(config.by, config.reason, config.to),
    )


@dg.op(description="Allow a version that was rolled back to be promoted again, in your name.")
def unblock_version(context: dg.OpExecutionContext, config: SignedAct, home: HomeResource) -> None:
    """Unblock a version."""
    opened = home.open()
    _done(
        context,
        opened,
        lambda: opened.rollbacks.unblock(config.version, config.by, config.reason),
    )


@dg.op(description="Ask for a new candidate in your name. The sensor starts the training.")
def ask_for_a_retraining(
    context: dg.OpExecutionContext, config: SignedRequest, home: HomeResource
) -> None:
    """Request a retraining."""
    opened = home.open()
    _done(context, opened, lambda: opened.retraining_requests.request(config.by, config.reason))


@dg.job(tags=ONCE, description="Ask for a retraining now, regardless of the retraining policy.")
def retraining_request_job() -> None:
    """One op."""
    ask_for_a_retraining()


@dg.job(
    tags=ONCE,
    description=(
        "Approve the candidate that waits; with override also a version that was refused."
    ),
)
def approval_job() -> None:
    """One op."""
    approve_version()


@dg.job(tags=ONCE, description="Reject a candidate that waits for an approval.")
def rejection_job() -> None:
    """One op."""
    reject_version()


@dg.job(
    tags=ONCE,
    description="Roll production back to an earlier version. Servers follow within seconds.",
)
def rollback_job() -> None:
    """One op."""
    roll_production_back()


@dg.job(tags=ONCE, description="Unblock a version that was rolled back.")
def unblocking_job() -> None:
    """One op."""
    unblock_version()
