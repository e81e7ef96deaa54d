"""The checks of experiments: the file that servers follow, and the releases that it names."""

from collections.abc import Iterator, Sequence

from churn_platform.audit.checks import CheckResult, broken, holds, said, unseen
from churn_platform.base.errors import ChurnError
from churn_platform.base.text import counted
from churn_platform.experiments.files import RUNNING_FILE, read_running
from churn_platform.experiments.shadow_answers import ReplayOfMonth
from churn_platform.experiments.state import ExperimentState, Running
from churn_platform.ledger.receipts import Receipt
from churn_platform.training.release import manifest_digest
from churn_platform.training.releases import Releases

EXPERIMENTS = "experiments"
SETTLES = "`churn run` or `experiments_sensor` settles it"


def check_experiments(releases: Releases, receipts: Sequence[Receipt]) -> Iterator[CheckResult]:
    """What runs, by the ledger and by the file that servers follow. Nothing where no experiment
    was ever started.
    """
    running = ExperimentState.from_receipts(receipts).running
    if running == Running() and not (releases.folder / RUNNING_FILE).exists():
        return
    faults = list(experiment_faults(releases, running))
    yield from (broken(EXPERIMENTS, fault) for fault in faults)
    canary = running.canary
    pointer = releases.read_pointer()
    if canary is not None and (pointer is None or pointer.version != canary.production):
        # Every server has noticed it and answers by production.
        yield said(
            EXPERIMENTS,
            f"version {canary.production} is no longer in production, so the canary of version"
            f" {canary.version} ends: {SETTLES}",
        )
    elif not faults:
        count = len(running.scoring())
        yield holds(EXPERIMENTS, f"{counted(count, 'experiment')} as the ledger says", count)


def check_shadow_log(replays: Sequence[ReplayOfMonth]) -> Iterator[CheckResult]:
    """The logged scores of the shadows that run, made again from the lake."""
    for replay in replays:
        where = f"{replay.shadow} for {replay.as_of}"
        if replay.why_not is not None:
            yield unseen(EXPERIMENTS, f"logged scores of {where}: {replay.why_not}")
        elif replay.differ:
            yield broken(
                EXPERIMENTS,
                f"{replay.differ:,} of {replay.answers:,} logged scores of {where} are not what"
                " it gives again",
            )
        else:
            count = replay.answers - replay.changed
            detail = f"{counted(count, 'logged score')} of {where} made again"
            if replay.changed:
                detail += f", {replay.changed:,} of features that were corrected since"
            yield holds(EXPERIMENTS, detail, count)


def experiment_faults(releases: Releases, running: Running) -> Iterator[str]:
    """What differs from the experiments that run by the ledger."""
    path = releases.folder / RUNNING_FILE
    try:
        if read_running(releases.folder) != running:
            yield f"{path} is not what the ledger says: {SETTLES}"
    except ChurnError as error:
        yield f"{error} {SETTLES}"
    pinned = {one.version: one.manifest for one in running.shadows if one.version is not None}
    canary = running.canary
    if canary is not None:
        pinned |= {
            canary.production: canary.production_manifest,
            canary.version: canary.manifest,
        }
    for version, digest in sorted(pinned.items()):
        try:
            found = manifest_digest(releases.verify(version))
        except (ChurnError, OSError) as error:
            yield f"release {version}, which an experiment names: {error}"
            continue
        if found != digest:
            yield f"release {version} is not the one that was registered for an experiment"
