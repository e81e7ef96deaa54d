"""Pulling: the customers' databases are read when a month is over; the drop is then processed
like any other.
"""

import dagster as dg

from churn_platform.base.errors import ChurnError, DropRefused
from churn_platform.base.text import parse_as_of
from churn_platform.defs.resources import HomeResource
from churn_platform.ingestion.database_source import due_pull

EVERY_MORNING = "0 5 * * *"
DATABASE = "The customers' database"


class PullConfig(dg.Config):
    """Which month is read."""

    as_of: str


@dg.op(
    description=(
        "Read the contract's tables of one month from their databases and accept them as a drop."
    )
)
def pull_month(context: dg.OpExecutionContext, config: PullConfig, home: HomeResource) -> None:
    """Nothing is taken in unless every table was read and the drop is not refused."""
    opened = home.open()
    try:
        target = opened.ingestion.pull(parse_as_of(config.as_of))
    except DropRefused as refusal:
        raise dg.Failure(description=str(refusal), allow_retries=False) from None
    except ChurnError as error:
        opened.alerts.seen(DATABASE, up=False, sentence=str(error))
        raise dg.Failure(description=str(error)) from None
    opened.alerts.seen(DATABASE, up=True, sentence=f"The drop of {config.as_of} was accepted.")
    context.log.info("The drop of %s is in %s.", config.as_of, target)


@dg.job(description="Read a month from the databases that the contract names.")
def pull() -> None:
    """One op."""
    pull_month()


@dg.schedule(
    job=pull,
    cron_schedule=EVERY_MORNING,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Every morning at five: reads a month that is over, or matured labels, from the"
        " customers' databases."
    ),
)
def pull_schedule(home: HomeResource) -> dg.RunRequest | dg.SkipReason:
    """One month a morning; it is tried again the next morning when it could not be read."""
    opened = home.open()
    today = opened.now().date()
    as_of, why = due_pull(opened.contract, opened.lake.months(), opened.lake.labelled(), today)
    if as_of is None:
        return dg.SkipReason(why)
    return dg.RunRequest(
        run_key=f"pull:{as_of}:{today}",
        run_config={"ops": {"pull_month": {"config": {"as_of": as_of.isoformat()}}}},
    )
