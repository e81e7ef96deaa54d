"""People's word in the UI: jobs whose launchpad asks for version, name and reason."""

from collections.abc import Callable

import dagster as dg
from pydantic import Field

from churn_platform.base.errors import ChurnError
from churn_platform.defs.resources import HomeResource
from churn_platform.loop.training_requests import request_retraining

ONCE = {"dagster/max_retries": "0"}
"""A person asked once: what was refused is not tried again."""


class Word(dg.Config):
    """A person's word on a version."""

    version: int = Field(
        description="The version, as `churn status` and the asset production_model name it."
    )
    by: str = Field(description="Who decides: your name. The ledger keeps it.")
    reason: str = Field(description="Why. The ledger keeps it.")


class Approval(Word):
    """A person's yes."""

    override: bool = Field(
        default=False,
        description=(
            "Promote it against its decision; ledger, status and API show it permanently."
        ),
    )


class RetrainingRequest(dg.Config):
    """A person's request for a new candidate."""

    by: str = Field(description="Who asks: your name. The ledger keeps it.")
    reason: str = Field(description="Why. The ledger keeps it.")


class Rollback(dg.Config):
    """A person's way back."""

    to: int | None = Field(
        default=None, description="The version to go back to; else the one before this one."
    )
    by: str = Field(description="Who decides: your name. The ledger keeps it.")
    reason: str = Field(description="Why. The ledger keeps it.")


def _done(context: dg.OpExecutionContext, act: Callable[[], str]) -> None:
    """Do it, and show the sentence what was done; a refusal fails the run with its sentence."""
    try:
        said = act()
    except ChurnError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    context.log.info(said)
    context.add_output_metadata({"outcome": said})


@dg.op(description="Put the version into production in your name.")
def approve_version(context: dg.OpExecutionContext, config: Approval, home: HomeResource) -> None:
    """Approve a version."""
    opened = home.open()
    _done(
        context,
        lambda: opened.approvals.approve(
            config.version, config.by, config.reason, override=config.override
        ),
    )


@dg.op(description="Answer the version that waits with no, in your name.")
def reject_version(context: dg.OpExecutionContext, config: Word, home: HomeResource) -> None:
    """Reject a version."""
    _done(context, lambda: home.open().approvals.reject(config.version, config.by, config.reason))


@dg.op(
    description=(
        "Put an earlier version back into production in your name; the one that is left is blocked."
    )
)
def roll_production_back(
    context: dg.OpExecutionContext, config: Rollback, home: HomeResource
) -> None:
    """Roll back."""
    _done(context, lambda: home.open().rollbacks.roll_back(config.by, config.reason, config.to))


@dg.op(description="Let a version that was rolled back be promoted again, in your name.")
def unblock_version(context: dg.OpExecutionContext, config: Word, home: HomeResource) -> None:
    """Unblock a version."""
    _done(context, lambda: home.open().rollbacks.unblock(config.version, config.by, config.reason))


@dg.op(description="Ask for a new candidate in your name; the sensor starts its training.")
def ask_for_a_retraining(
    context: dg.OpExecutionContext, config: RetrainingRequest, home: HomeResource
) -> None:
    """Request a retraining."""
    _done(context, lambda: request_retraining(home.open(), config.by, config.reason))


@dg.job(tags=ONCE, description="Ask for a retraining now, whatever the policy.")
def retraining_request_job() -> None:
    """One op."""
    ask_for_a_retraining()


@dg.job(
    tags=ONCE,
    description=(
        "Approve a candidate that passed and waits; with override also one that was refused."
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
    description="Roll production back to an earlier version; servers follow within seconds.",
)
def rollback_job() -> None:
    """One op."""
    roll_production_back()


@dg.job(tags=ONCE, description="Unblock a version that was rolled back.")
def unblocking_job() -> None:
    """One op."""
    unblock_version()
