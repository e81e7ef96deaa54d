"""How far a canary is, for people."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field

from churn_platform.base.errors import UsageError
from churn_platform.base.stored import Stored
from churn_platform.base.text import counted, percent
from churn_platform.experiments.state import Canary, ExperimentState
from churn_platform.ledger.experiment_acts import CanaryEnded
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.state import moment

STEPS: Final = "1,5,25,50"
"""The steps of a canary unless a person names others, in percent."""
EVERY: Final = "1d"
LEAST_CUSTOMERS: Final = 30
"""Customers whom a canary must have answered in a step before it is raised. Without one failure
among 30 customers, the share of failures is at most 10% with 95% confidence (rule of three:
Hanley and Lippman-Hand, JAMA 1983). 100 would exclude 3%, but the first step of 1% of 7,000
customers has only 70.
"""


@dataclass(frozen=True)
class Tallies:
    """What the servers measured of a canary.

    Attributes:
        counts: How often something happened in each arm since the start, by arm and kind.
        customers: The customers whom the canary answered in its present step.
        guardrails: The names of the guardrails that judge it.
    """

    counts: Mapping[str, Mapping[str, int]]
    customers: int
    guardrails: tuple[str, ...] = ()

    @property
    def suffice(self) -> bool:
        """Whether the present step has enough answers to be raised."""
        return self.customers >= LEAST_CUSTOMERS


class CanaryStatus(Stored):
    """The canary that runs.

    Attributes:
        share: The present share of the customers.
        step: Number of the present step, from 1.
        next_raise: The instant from which it is raised, in UTC; None after the last step.
        customers: The customers whom it answered in the present step.
        least_customers: How many of them a raise needs.
        arms: What the servers counted since the start, by arm and kind.
        guardrails: What a server watches; one that trips stops the canary.
        waits: Why it is not raised although it is due.
    """

    version: int
    production: int
    experiment: str
    share: float
    step: int
    steps: tuple[float, ...]
    every_seconds: float
    since: str
    raised: str
    completed: bool
    next_raise: str | None
    customers: int
    least_customers: int
    arms: dict[str, dict[str, int]]
    guardrails: tuple[str, ...]
    waits: str | None

    @classmethod
    def of(cls, canary: Canary, tallies: Tallies, now: dt.datetime) -> "CanaryStatus":
        """The status of a canary."""
        next_raise = None if canary.completed else canary.due.isoformat(timespec="seconds")
        waits = None
        if not canary.completed and now >= canary.due and not tallies.suffice:
            answered = counted(tallies.customers, "customer")
            waits = (
                f"It waits: it has answered {answered} in this step, a raise needs"
                f" {LEAST_CUSTOMERS}. `churn canary --raise` raises it all the same."
            )
        return cls(
            version=canary.version,
            production=canary.production,
            experiment=canary.experiment,
            share=canary.share,
            step=canary.step,
            steps=canary.steps,
            every_seconds=canary.every_seconds,
            since=canary.since,
            raised=canary.raised,
            completed=canary.completed,
            next_raise=next_raise,
            customers=tallies.customers,
            least_customers=LEAST_CUSTOMERS,
            arms={arm: dict(counts) for arm, counts in tallies.counts.items()},
            guardrails=tallies.guardrails,
            waits=waits,
        )

    @property
    def lasting(self) -> dt.timedelta:
        """The shortest duration of a step."""
        return dt.timedelta(seconds=self.every_seconds)

    @property
    def sentence(self) -> str:
        """What it answers, and what is next."""
        said = (
            f"Version {self.version} answers {percent(self.share)} of the customers, version"
            f" {self.production} all others: step {self.step} of {len(self.steps)}"
        )
        if self.completed:
            return f"{said}, passed. Promote it or end it."
        if self.waits:
            return f"{said}. {self.waits}"
        following = "its last step passes" if self.step == len(self.steps) else "the next step"
        return f"{said}, {following} from {moment(self.next_raise or '')}."


class EndedCanary(Stored):
    """The canary that ended last."""

    version: int
    outcome: str
    reason: str
    share: float
    guardrail: str | None
    figures: dict[str, Any] | None
    time: str
    by: str

    @classmethod
    def of(cls, receipt: Receipt) -> "EndedCanary":
        """The end that a receipt records."""
        ended = CanaryEnded.of(receipt)
        return cls(
            version=ended.version,
            outcome=ended.outcome,
            reason=receipt.reason,
            share=ended.share,
            guardrail=ended.guardrail,
            figures=ended.figures,
            time=receipt.time,
            by=receipt.actor,
        )

    @property
    def sentence(self) -> str:
        """How it ended."""
        outcome = self.outcome
        if self.guardrail:
            outcome = f"stopped by its guardrail on {self.guardrail}"
        return (
            f"The canary of version {self.version} ended on {moment(self.time)} at"
            f" {percent(self.share)} of the customers, {outcome}: {self.reason}"
        )


class CanaryReport(Stored):
    """The canary that runs, and the one that ended last."""

    running: CanaryStatus | None = Field(serialization_alias="canary")
    ended: EndedCanary | None

    @classmethod
    def of(cls, state: ExperimentState, running: CanaryStatus | None) -> "CanaryReport":
        """The report of a home."""
        ended = EndedCanary.of(state.ended_canaries[-1]) if state.ended_canaries else None
        return cls(running=running, ended=ended)


def parse_steps(text: str) -> tuple[float, ...]:
    """Percentages as people type them, as shares.

    Raises:
        UsageError: they are not numbers.
    """
    try:
        return tuple(float(part.strip().removesuffix("%")) / 100 for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{text!r} is not a list of percentages. Write it as {STEPS}.",
            code="STEPS_INVALID",
        ) from None
