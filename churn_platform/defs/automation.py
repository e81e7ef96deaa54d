"""Automation: the jobs, the sensors and the schedules. They share one pure rule for what comes
next, `loop.next_step`.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from churn_platform.base.errors import ChurnError
from churn_platform.base.text import parse_as_of
from churn_platform.defs.contacts import campaign_effect, contact_plan
from churn_platform.defs.experiments import experiments
from churn_platform.defs.features import feature_views, training_dataset
from churn_platform.defs.ingestion import snapshot
from churn_platform.defs.monitoring import drift_report, performance
from churn_platform.defs.promotion import candidate_model, production_model, promotion_decision
from churn_platform.defs.reports import monthly_report
from churn_platform.defs.resources import (
    GONE,
    HomeResource,
    as_of_partitions,
    why_contract_refused,
)
from churn_platform.defs.scoring import scores
from churn_platform.features.online.upkeep import notice_lost_rows
from churn_platform.ingestion.database_source import due_pull
from churn_platform.ingestion.validation import DropRefused
from churn_platform.loop.next_step import Step
from churn_platform.loop.progress import Progress
from churn_platform.services import Services

EVIDENCE_TAG = "churn/evidence"
ACTIVE = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
BUSY = "Another run is active: one run at a time for a home."
UNDER_WAY = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ENDED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS]
SILENT_SECONDS = 120.0
"""A run holds its home, but for the seconds around its start and end; loading the libraries may
take a minute.
"""
RETRY_SECONDS = 60.0
"""Before the second attempt; twice as long before each further one."""
LONGEST_WAIT = 5
"""Doublings: about half an hour."""
PULL_TIME = "0 5 * * *"
RUN_TIME = "0 6 * * *"
REMEDY = (
    "Check its last run in Dagster and fix the problem, then type `churn run` or start the job"
    " there."
)
LIST = [
    dg.AssetKey("scores"),
    dg.AssetKey("contact_plan"),
    dg.AssetKey("experiments"),
    dg.AssetKey("monthly_report"),
]
"""What is made again when production changed and no month is due."""
DATABASE = "The customers' database"

monthly = dg.define_asset_job(
    "monthly",
    selection=dg.AssetSelection.assets(
        snapshot,
        feature_views,
        training_dataset,
        drift_report,
        performance,
        campaign_effect,
        scores,
        contact_plan,
        experiments,
        monthly_report,
    ),
    description=(
        "For every drop, in order of as_of: publish it, join the training dataset, report drift,"
        " measure performance and the effect of contacts, score, plan contacts, compare shadows,"
        " write the monthly report."
    ),
)  # fmt: skip
retraining = dg.define_asset_job(
    "retraining",
    selection=dg.AssetSelection.assets(
        candidate_model,
        promotion_decision,
        production_model,
        scores,
        contact_plan,
        experiments,
        monthly_report,
    ),
    description=(
        "When the policy asks: fit a candidate, decide, promote it or keep production, score again."
    ),
)


@dg.sensor(
    job=monthly,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Requests the monthly job for the oldest drop that is complete and not yet processed,"
        " one per tick."
    ),
)
def drop_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult:
    """A drop is due once `_SUCCESS` exists or its files were unchanged for a few seconds."""
    return _answer(context, home, ("monthly",))


@dg.sensor(
    job=retraining,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Requests a retraining when drift or realised performance requires it; otherwise"
        " reports why not."
    ),
)
def drift_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult:
    """One run per piece of evidence."""
    return _answer(context, home, ("retraining", "scores"))


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Sends alerts about what happened, such as promotions, refusals and refused drops."
        " Requests no run."
    ),
)
def alert_sensor(home: HomeResource) -> dg.SkipReason:
    """Every event once per receiver of CHURN_ALERT_URLS. It follows the ledger, so failed runs
    count too.
    """
    opened = home.open()
    if not opened.settings.alerts_wanted:
        return dg.SkipReason("No alert channels are configured (CHURN_ALERT_URLS).")
    done = opened.alerts.send()
    return dg.SkipReason(" ".join([f"{done.sent} sent.", *done.problems]))


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Raises a canary to its next step when it is due, and ends it when a guardrail stopped it"
        " or its versions changed. Requests no run."
    ),
)
def experiments_sensor(home: HomeResource) -> dg.SkipReason:
    """It holds no home: a run may be active meanwhile."""
    experiments = home.open().experiments
    said = experiments.settle()
    running = experiments.canary_report().running
    if running is not None:
        said.append(running.sentence)
    return dg.SkipReason(" ".join(said) or "No canary runs.")


@dg.schedule(
    job=monthly,
    cron_schedule=RUN_TIME,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Requests the oldest due month every morning at six, as drop_sensor does: for"
        " deployments without sensors."
    ),
)
def monthly_schedule(
    context: dg.ScheduleEvaluationContext, home: HomeResource
) -> dg.RunRequest | dg.SkipReason:
    """Request the oldest due month."""
    opened = home.open()
    if _busy(opened, context.instance):
        return dg.SkipReason(BUSY)
    if (refused := why_contract_refused(opened)) is not None:
        return dg.SkipReason(refused)
    problems = [] if opened.drop_source is None else opened.drop_source.copy_due()
    opened.ingestion.recognise_all()
    step = opened.progress().next_step()
    if step is None or step.kind != "monthly":
        why = "No month is due."
        if step is not None:
            why = f"First the {step.kind} of {step.as_of} is due."
        return dg.SkipReason(" ".join([*problems, why]))
    context.instance.add_dynamic_partitions("as_of", [step.as_of.isoformat()])
    return dg.RunRequest(
        run_key=f"monthly:{step.as_of}:{step.key}",
        partition_key=step.as_of.isoformat(),
        tags=_tags(step),
    )


def run_request(step: Step, attempt: int) -> dg.RunRequest:
    """The run of one step. Dagster never runs a key twice, so the key contains the evidence and
    the attempt.
    """
    config = {}
    if step.trigger:
        config = {"ops": {"promotion_decision": {"config": {"trigger": step.trigger}}}}
    return dg.RunRequest(
        run_key=f"{step.kind}:{step.as_of}:{step.key}:{attempt}",
        partition_key=step.as_of.isoformat(),
        run_config=config,
        tags=_tags(step),
        asset_selection=LIST if step.kind == "scores" else None,
    )


def _answer(
    context: dg.SensorEvaluationContext, home: HomeResource, kinds: tuple[str, ...]
) -> dg.SensorResult:
    opened = home.open()
    if (not_now := _why_not_now(opened, context.instance)) is not None:
        return dg.SensorResult(skip_reason=not_now)
    problems = []
    if opened.drop_source is not None and "monthly" in kinds:
        problems = opened.drop_source.copy_due()
    progress = opened.progress()
    progress.record_retraining()
    step = progress.next_step()
    if step is None or step.kind not in kinds:
        return dg.SensorResult(skip_reason=" ".join([*problems, _why_not(progress, step)]))
    runs = context.instance.get_run_records(dg.RunsFilter(tags=_tags(step), statuses=ENDED))
    failed = sum(record.dagster_run.status is not dg.DagsterRunStatus.SUCCESS for record in runs)
    if failed >= opened.contract.policy.retraining.max_attempts:
        what = f"{step.kind} of {step.as_of}"
        times = f"failed {failed} times"
        opened.alerts.gave_up(
            f"the {what}", step.key, f"It {times} and is not tried again by itself. {REMEDY}"
        )
        return dg.SensorResult(skip_reason=f"The {what} {times}: look at its last run.")
    if (wait := _still_to_wait(runs, opened.now().timestamp())) > 0:
        said = (
            f"The {step.kind} of {step.as_of} ran and is due again: attempt {len(runs) + 1} in"
            f" {wait:.0f} seconds."
        )
        return dg.SensorResult(skip_reason=said)
    for server, away in _servers(opened, step):
        opened.alerts.seen(server, up=away is None, sentence=away or f"The {step.kind} continues.")
        if away is not None:
            said = f"{away} The {step.kind} of {step.as_of} waits for it."
            return dg.SensorResult(skip_reason=said)
    return dg.SensorResult(
        # Not `failed + 1`: a month that the online store has lost since has a successful run
        # already.
        run_requests=[run_request(step, len(runs) + 1)],
        dynamic_partitions_requests=[as_of_partitions.build_add_request([step.as_of.isoformat()])],
    )


def _why_not_now(home: Services, instance: dg.DagsterInstance) -> str | None:
    """Why this tick looks for no step. Notes first what has changed in the home since the last
    tick.
    """
    if _busy(home, instance):
        return BUSY
    if (refused := why_contract_refused(home)) is not None:
        return f"No run can start with this contract. {refused} `churn contract diff` shows it."
    home.approvals.record_lapse_if_free()
    notice_lost_rows(home.feature_store, home.lake, home.now())
    copied = home.ingestion.recognise()  # one a tick: reading a large drop takes a while
    if copied is None:
        return None
    return (
        f"The drop of {copied} has other file times than at its publication but the same"
        " content: nothing is due."
    )


def _servers(home: Services, step: Step) -> Iterator[tuple[str, str | None]]:
    """The servers that a step needs, and why each cannot be used now; None when it can."""
    if home.lake.place is not None:
        yield "The object store of the lake", home.lake.place.away()
    if step.kind == "retraining":
        yield "The MLflow server", home.registry.away()
    if step.kind == "monthly":
        yield "The database of Feast", home.feature_store.away()


def _busy(home: Services, instance: dg.DagsterInstance) -> bool:
    """Whether a run is active.

    Dagster counts a killed run as started forever, so it is closed here.
    """
    started = instance.get_run_records(dg.RunsFilter(statuses=UNDER_WAY))
    if started and home.is_free():
        for record in started:
            if home.now().timestamp() - _last_sign(instance, record) > SILENT_SECONDS:
                instance.report_run_canceled(record.dagster_run, message=GONE)
    return bool(instance.get_runs(dg.RunsFilter(statuses=ACTIVE), limit=1))


def _last_sign(instance: dg.DagsterInstance, record: dg.RunRecord) -> float:
    """When a run was last heard of, in seconds since 1970."""
    run_id = record.dagster_run.run_id
    events = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    if events:
        return events[0].event_log_entry.timestamp
    return record.update_timestamp.timestamp()


def _still_to_wait(runs: Sequence[dg.RunRecord], now: float) -> float:
    """Seconds until the step is run again; the wait doubles with each run."""
    if not runs:
        return 0.0
    since = max(record.update_timestamp.timestamp() for record in runs)
    return since + RETRY_SECONDS * 2 ** min(len(runs) - 1, LONGEST_WAIT) - now


def _tags(step: Step) -> dict[str, str]:
    return {EVIDENCE_TAG: f"{step.kind}:{step.as_of}:{step.key}"[:200]}


def _why_not(progress: Progress, step: Step | None) -> str:
    if step is not None:
        return f"First the {step.kind} of {step.as_of} is due: {step.reason}"
    waiting = [month.as_of for month in progress.months() if not month.settled]
    if waiting:
        return f"The files of {waiting[0]} are still changing."
    processed = [month.as_of for month in progress.months() if month.processed]
    if processed:
        return progress.retraining(processed[-1]).reason
    return "No drop has arrived yet."


class PullConfig(dg.Config):
    """Which month is read."""

    as_of: str


@dg.op(
    description=(
        "Read the contract's tables of one month from their databases and accept them as a drop."
    )
)
def pull_month(context: dg.OpExecutionContext, config: PullConfig, home: HomeResource) -> None:
    """Accept the drop only when every table was read and the drop is not refused."""
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
    cron_schedule=PULL_TIME,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Reads a month that is over, or matured labels, from the customers' databases every"
        " morning at five."
    ),
)
def pull_schedule(home: HomeResource) -> dg.RunRequest | dg.SkipReason:
    """One month per morning. A month that could not be read is tried again the next morning."""
    opened = home.open()
    today = opened.now().date()
    as_of, why = due_pull(opened.contract, opened.lake.months(), opened.lake.labelled(), today)
    if as_of is None:
        return dg.SkipReason(why)
    return dg.RunRequest(
        run_key=f"pull:{as_of}:{today}",
        run_config={"ops": {"pull_month": {"config": {"as_of": as_of.isoformat()}}}},
    )
