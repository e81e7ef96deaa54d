"""Why a canary must end: a guardrail stopped it, or a version is not what it was pinned to."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from churn_platform.base.errors import IntegrityError
from churn_platform.experiments.files import read_stop
from churn_platform.experiments.state import Canary
from churn_platform.ledger.experiment_acts import CanaryOutcome
from churn_platform.training.releases import Releases, is_pinned


@dataclass(frozen=True)
class Ending:
    """Why a canary ends."""

    outcome: CanaryOutcome
    reason: str
    guardrail: str | None = None
    figures: dict[str, JsonValue] | None = None


def canary_ending(canary: Canary, releases: Releases, barred: Mapping[int, str]) -> Ending | None:
    """Why a canary must end; None while it may run.

    Args:
        canary: the canary.
        releases: what serving loads.
        barred: the versions that people keep out, with the reason.
    """
    try:
        stop = read_stop(releases.folder)
    except IntegrityError as error:  # only a guardrail writes this file
        return Ending("stopped", str(error))
    if stop is not None and stop.experiment == canary.experiment:
        return Ending("stopped", stop.sentence, stop.guardrail, stop.figures)
    pointer = releases.read_pointer()
    if pointer is not None and pointer.version == canary.version:
        return Ending("promoted", f"Version {canary.version} is in production now.")
    if pointer is None or pointer.version != canary.production:
        return Ending(
            "production changed",
            f"Version {canary.production} is no longer in production.",
        )
    if canary.version in barred:
        return Ending("ended", barred[canary.version])
    for version, digest in (
        (canary.version, canary.manifest),
        (canary.production, canary.production_manifest),
    ):
        if not is_pinned(releases, version, digest):
            return Ending(
                "release changed",
                f"The release of version {version} is not the one that was registered.",
            )
    return None
