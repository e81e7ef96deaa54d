"""The bridge from Dagster's log to the command line: which asset starts and which is done, and nothing else."""

import dagster as dg

from churn_platform.defs.progress_log import listening, progress_logger


@dg.asset
def sound(context: dg.AssetExecutionContext) -> None:
    context.log.info("a line of its own")


@dg.asset(deps=[sound])
def broken() -> None:
    raise ValueError("no")


def run() -> bool:
    job = dg.Definitions(
        assets=[sound, broken], loggers={"progress": progress_logger}
    ).resolve_implicit_global_asset_job_def()
    config = {"loggers": {"progress": {"config": {}}}}
    return job.execute_in_process(run_config=config, raise_on_error=False).success


def test_a_listener_hears_each_asset_start_and_end_and_no_end_of_one_that_failed():
    heard = []
    with listening(lambda name, state: heard.append((name, state))):
        assert not run()
    assert heard == [("sound", "started"), ("sound", "done"), ("broken", "started")]


def test_nobody_is_told_after_the_block():
    heard = []
    with listening(lambda name, state: heard.append(name)):
        pass
    run()
    assert heard == []


def test_every_listener_is_told():
    one, other = [], []
    with listening(lambda name, _: one.append(name)), listening(lambda name, _: other.append(name)):
        run()
    assert one == other == ["sound", "sound", "broken"]
