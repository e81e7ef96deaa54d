"""The jobs of people: their launchpad asks for version, name and reason."""

from collections.abc import Callable

import dagster as dg
from pydantic import Field

from churn_platform.base.errors import ChurnError
from churn_platform.base.text import parse_duration
from churn_platform.defs.resources import BY_PERSON, HomeResource
from churn_platform.experiments.canary_status import EVERY, STEPS, parse_steps
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


class SignedModelTest(dg.Config):
    """A test of two versions."""

    version_a: int = Field(description="Number of version A, as in `churn status`.")
    version_b: int = Field(description="Number of version B. One of the two is in production.")
    budget: int | None = Field(
        default=None, description="Customers to contact in a month; by default the policy's budget."
    )
    months: int = Field(default=12, description="Planned months, with one look each.")
    anyway: bool = Field(
        default=False, description="Start it although the months cannot show a difference."
    )
    by: str = BY
    reason: str = REASON


class SignedEnd(dg.Config):
    """The end of a test of two versions."""

    by: str = BY
    reason: str = REASON


class SignedCanary(SignedAct):
    """The start of a canary."""

    steps: str = Field(
        default=STEPS,
        description="Percentages of the customers that it answers, one after the other.",
    )
    every: str = Field(
        default=EVERY, description="Shortest duration of a step: 30m, 12h, 1d or 1w."
    )


class SignedShadow(dg.Config):
    """A shadow to start or to end."""

    subject: str = Field(
        description="Number of a version, or a rule over features such as `months > 3`."
    )
    end: bool = Field(default=False, description="End this shadow instead of starting it.")
    by: str = BY
    reason: str = REASON


def _done(context: dg.OpExecutionContext, home: Services, act: Callable[[], str]) -> None:
    """Do it and show what was done; an error fails the run with its message."""
    try:
        said = act()
    except ChurnError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    try:
        said = " ".join([said, *home.experiments.settle()])
    except ChurnError as error:  # the act is done; experiments_sensor tries again
        context.log.warning(str(error))
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


@dg.op(description="Test in your name which of two versions saves more customers.")
def start_a_model_test(
    context: dg.OpExecutionContext, config: SignedModelTest, home: HomeResource
) -> None:
    """Start a test of two versions."""
    opened = home.open()

    def start() -> str:
        found = opened.model_tests.start(
            config.version_a, config.version_b, config.by, config.reason,
            budget=config.budget, months=config.months, anyway=config.anyway,
        )  # fmt: skip
        return f"The test is registered. {found.sentence}"

    _done(context, opened, start)


@dg.op(description="End the test of two versions that runs, in your name. There is no verdict.")
def end_the_model_test(
    context: dg.OpExecutionContext, config: SignedEnd, home: HomeResource
) -> None:
    """End a test of two versions."""
    opened = home.open()
    _done(context, opened, lambda: opened.model_tests.end(config.by, config.reason))


@dg.job(
    tags=ONCE,
    description=(
        "Test which of two versions saves more customers. Contacts are drawn at random where"
        " their lists disagree."
    ),
)
def model_test_job() -> None:
    """One op."""
    start_a_model_test()


@dg.job(tags=ONCE, description="End the test of two versions that runs, without a verdict.")
def model_test_end_job() -> None:
    """One op."""
    end_the_model_test()


@dg.op(description="Let a version answer a share of the customers, in your name.")
def start_canary(context: dg.OpExecutionContext, config: SignedCanary, home: HomeResource) -> None:
    """Start a canary."""
    opened = home.open()

    def act() -> str:
        steps = parse_steps(config.steps)
        every = parse_duration(config.every)
        return opened.experiments.start_canary(
            config.version, steps, every, config.by, config.reason
        )

    _done(context, opened, act)


@dg.op(description="Raise the canary to its next step now, in your name.")
def raise_canary(context: dg.OpExecutionContext, config: SignedRequest, home: HomeResource) -> None:
    """Raise the canary."""
    opened = home.open()
    _done(context, opened, lambda: opened.experiments.raise_canary(config.by, config.reason))


@dg.op(description="Let production answer every customer again, in your name.")
def end_canary(context: dg.OpExecutionContext, config: SignedRequest, home: HomeResource) -> None:
    """End the canary."""
    opened = home.open()
    _done(context, opened, lambda: opened.experiments.end_canary(config.by, config.reason))


@dg.op(description="Let a version or a rule score what production answers, in your name.")
def start_or_end_a_shadow(
    context: dg.OpExecutionContext, config: SignedShadow, home: HomeResource
) -> None:
    """Start or end a shadow."""
    opened = home.open()
    act = opened.shadow_acts.end if config.end else opened.shadow_acts.start
    _done(context, opened, lambda: act(config.subject, config.by, config.reason))


@dg.job(
    tags=ONCE,
    description=(
        "Compare a version or a rule with production on every answer and list; with end, stop it."
    ),
)
def shadow_job() -> None:
    """One op."""
    start_or_end_a_shadow()


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


@dg.job(
    tags=ONCE,
    description=(
        "Let a version answer a share of the customers, raised in steps while its guardrails hold."
    ),
)
def canary_job() -> None:
    """One op."""
    start_canary()


@dg.job(tags=ONCE, description="Raise the canary to its next step before the step is over.")
def canary_raise_job() -> None:
    """One op."""
    raise_canary()


@dg.job(tags=ONCE, description="End the canary: production answers every customer again.")
def canary_end_job() -> None:
    """One op."""
    end_canary()
