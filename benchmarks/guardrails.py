"""How often is a canary stopped that is no different, and how soon one that is worse?

By the guardrails that servers use, on simulated requests whose truth is known.

    uv run python -m benchmarks.guardrails [--quick]

A canary takes four simulated days, one at each share: 1, 5, 25 and 50% of 7,000 customers. Every
second day is quiet (500 requests), the others busy (20,000). Some customers ask much more often
than others. A request fails by chance (0.1%), for each request of one customer in 500
whose features break both versions, and in an outage. Answers become slow in stalls. The shadow
drops customers of both arms when it is busy, and on every second day the customers come in the order of
their risk. The evidence is checked after every customer, so also every second.

`false stops` is the share of canaries, of four days each, that are stopped without a difference;
the goal is 1.5%. It is repeated with each customer counted once an hour, and with the asymptotic
sequence of Waudby-Smith et al. (arXiv 2103.06476, eq. 9) on the rates of the two arms.

A worse canary has exact rates, no outage and no stall, on one endless day.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churn_platform.experiments.guardrails import (
    FALSE_STOPS,
    GUARDRAILS,
    SIGHTING,
    WARM_UP,
    Judge,
    Measure,
    Sightings,
    slow_limit,
)

GOAL = 0.015
STEPS = (0.01, 0.05, 0.25, 0.5)
CUSTOMERS = 7_000
QUIET = 500
BUSY = 20_000
HOURS = 24
THRESHOLD = 0.4
CANARIES = 1_000
LOT = 25
REQUESTS = 2_000
"""A worse canary must be stopped within so many requests of its arm."""


@dataclass(frozen=True)
class Business:
    """The customers of one canary.

    Attributes:
        drawn: The number that decides the arm.
        weights: How often a customer asks, as a share of all requests.
        scores: The canary version's score of each customer.
        breaks: Whether the customer's features break both versions.
    """

    drawn: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    breaks: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, rng: np.random.Generator, *, breaking: float = 1 / 500) -> "Business":
        """Draw the customers; `breaking` is the share whose features break both versions."""
        activity = rng.lognormal(0, 1, CUSTOMERS)
        return cls(
            rng.random(CUSTOMERS),
            activity / activity.sum(),
            rng.beta(1.2, 3.8, CUSTOMERS),
            rng.random(CUSTOMERS) < breaking,
        )


@dataclass(frozen=True)
class Harm:
    """How the canary's answers differ from production's.

    Attributes:
        errors: Share of requests that fail in addition.
        invalid: Share of answers that are NaN.
        slower: Factor on the seconds of the slowest `tail` of its answers.
        shift: Added to every score that it answers with.
    """

    errors: float = 0.0
    invalid: float = 0.0
    slower: float = 1.0
    tail: float = 1.0
    shift: float = 0.0


@dataclass
class Day:
    """The requests of one day, in order."""

    customers: npt.NDArray[np.int64]
    hours: npt.NDArray[np.int64]
    canary: npt.NDArray[np.bool_]
    failed: npt.NDArray[np.bool_]
    seconds: npt.NDArray[np.float64]
    invalid: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]
    scored: npt.NDArray[np.bool_]


def day_of(
    rng: np.random.Generator, business: Business, share: float, requests: int, harm: "Harm | None"
) -> Day:
    """Draw the requests of a day; with a harm it has no outage and no stall, so its rates are
    exact.
    """
    rough = harm is None
    harm = harm or Harm()
    customers = rng.choice(len(business.drawn), requests, p=business.weights)
    if rng.random() < 0.5:
        customers = customers[np.argsort(-business.scores[customers], kind="stable")]
    moment = np.arange(requests) / requests
    canary = business.drawn[customers] < share
    outage = rough & (np.abs(moment - rng.random()) < 0.001)
    failed = rng.random(requests) < np.where(outage, 0.3, 0.001 + harm.errors * canary)
    failed |= business.breaks[customers]
    seconds = rng.lognormal(math.log(0.002), 0.4, requests)
    stalled = rough & (np.abs(moment[:, None] - rng.random(5)).min(axis=1) < 0.0005)
    seconds += np.where(stalled, rng.random(requests) * 0.2, 0.0)
    slow = seconds >= np.quantile(seconds, 1 - harm.tail)
    seconds = seconds * np.where(canary & slow, harm.slower, 1.0)
    invalid = rng.random(requests) < 0.0002 + harm.invalid * canary
    scores = np.clip(business.scores[customers] + harm.shift * canary, 0, 1)
    busy = np.sin(moment * 20) > 0.7
    dropped = busy & (rng.random(requests) < 0.3)
    hours = (moment * HOURS).astype(np.int64)
    return Day(customers, hours, canary, failed, seconds, invalid, scores, ~dropped & ~invalid)


def canary_days(
    rng: np.random.Generator, requests: tuple[int, ...] = (BUSY, QUIET, BUSY, QUIET)
) -> Iterator[tuple[int, Day]]:
    """The days of a canary without a difference, with the number of their step."""
    business = Business.of(rng)
    for step, (share, count) in enumerate(zip(STEPS, requests, strict=True), start=1):
        yield step, day_of(rng, business, share, count, None)


def sightings_of(day: Day, step: int, limit: float, *, hourly: bool = False) -> Sightings:
    """What the servers would report of a day, in order; the first sighting of each customer.

    Args:
        day: the requests.
        step: number of the step.
        limit: of slow answers.
        hourly: count a customer once an hour instead of once a step.
    """
    unit = day.customers * HOURS + day.hours if hourly else day.customers
    happened = {
        Measure.ERROR: day.failed,
        Measure.SLOW: ~day.failed & (day.seconds > limit),
        Measure.INVALID: ~day.failed & day.invalid,
        Measure.SCORE: ~day.failed & day.scored,
    }
    found = []
    for measure, which in happened.items():
        rows = np.flatnonzero(which)
        first = np.sort(np.unique(unit[rows], return_index=True)[1])
        rows = rows[first]
        lot = np.zeros(len(rows), SIGHTING)
        lot["customer"] = unit[rows]
        lot["value"] = day.scores[rows] if measure is Measure.SCORE else 0
        lot["step"] = step
        lot["measure"] = measure
        lot["canary"] = day.canary[rows]
        found.append(lot)
    return np.concatenate(found)


def limit_of(day: Day) -> float:
    """The limit of slow answers from the warm-up."""
    return slow_limit(day.seconds[~day.canary][:WARM_UP])


def stopped_by(rng: np.random.Generator, *, hourly: bool = False) -> str | None:
    """The guardrail that stops a canary without a difference; None if it passes."""
    judge = Judge(STEPS, THRESHOLD, 2)
    limit = None
    for step, day in canary_days(rng):
        limit = limit or limit_of(day)
        judge.add(sightings_of(day, step, limit, hourly=hourly))
        if judge.crossed is not None:
            return judge.crossed.guardrail
    return None


def stopped_by_asymptotic(rng: np.random.Generator) -> str | None:
    """The same by eq. 9, each customer once a step: the rate of each event, weighted by the
    share of its arm, and the mean score.
    """
    level = FALSE_STOPS / len(GUARDRAILS) / len(STEPS)
    limit = None
    for step, day in canary_days(rng):
        limit = limit or limit_of(day)
        share = STEPS[step - 1]
        customers, first = np.unique(day.customers, return_index=True)
        order = np.sort(first)
        sightings = sightings_of(day, step, limit)
        weights = np.where(day.canary[order], 1 / share, -1 / (1 - share))
        for measure, name in GUARDRAILS.items():
            rows = sightings[sightings["measure"] == measure]
            if measure is Measure.SCORE:
                values = rows["value"].astype(float)
                values -= values.mean()
                effects = values * np.where(rows["canary"] == 1, 1 / share, -1 / (1 - share))
            else:
                events = np.isin(day.customers[order], rows["customer"])
                effects = weights * events
            crossed = asymptotic_crosses(effects, level, two_sided=measure is Measure.SCORE)
            if len(customers) and crossed:
                return name
    return None


def asymptotic_crosses(effects: npt.NDArray[np.float64], level: float, *, two_sided: bool) -> bool:
    """Whether the mean leaves the sequence of eq. 9 around 0 at any customer after the 100th."""
    if not two_sided:
        level *= 2
    tuned = 1_000
    spread = math.sqrt((-2 * math.log(level) + math.log(-2 * math.log(level) + 1)) / tuned)
    n = np.arange(1, len(effects) + 1)
    means = np.cumsum(effects) / n
    variances = np.maximum(np.cumsum(effects**2) / n - means**2, 1e-12)
    grown = n * spread**2 + 1
    width = np.sqrt(variances * 2 * grown / (n**2 * spread**2) * np.log(np.sqrt(grown) / level))
    outside = np.abs(means) > width if two_sided else means > width
    return bool(outside[100:].any())


def false_stops(
    canaries: int, stops: Callable[[np.random.Generator], str | None], seed: int = 1
) -> tuple[float, dict[str, int]]:
    """The share of canaries without a difference that are stopped, and by which guardrail."""
    found = [stops(np.random.default_rng((seed, number))) for number in range(canaries)]
    names = [name for name in found if name is not None]
    return len(names) / canaries, {name: names.count(name) for name in sorted(set(names))}


def requests_until_stop(rng: np.random.Generator, step: int, harm: Harm) -> tuple[float, float]:
    """Requests of the canary's arm, and of both, until a canary that is worse from its first
    request on is stopped; infinite if that takes more than `REQUESTS` of its arm.
    """
    share = STEPS[step - 1]
    business = Business.of(rng, breaking=0)
    day = day_of(rng, business, share, int(3 * REQUESTS / share), harm)
    in_arm = np.cumsum(day.canary)
    warm = np.cumsum(~day.canary) > WARM_UP
    limit = limit_of(day)
    day.seconds = np.where(warm, day.seconds, 0.0)
    judge = Judge(STEPS, THRESHOLD, 2)
    for start in range(0, REQUESTS, LOT):
        part = (in_arm > start) & (in_arm <= start + LOT)
        lot = Day(**{name: values[part] for name, values in vars(day).items()})
        judge.add(sightings_of(lot, step, limit))
        if judge.crossed is not None:
            return float(start + LOT), float(np.flatnonzero(part)[-1] + 1)
    return math.inf, math.inf


HARMS = {
    "2% errors against 0.1%": Harm(errors=0.019),
    "every answer takes twice as long": Harm(slower=2.0),
    "the slowest 2% take twice as long": Harm(slower=2.0, tail=0.02),
    "2% of answers are NaN": Harm(invalid=0.02),
    "every answer is NaN": Harm(invalid=1.0),
    "scores higher by 0.05": Harm(shift=0.05),
    "scores higher by 0.2": Harm(shift=0.2),
}


def report(canaries: int, repeats: int, steps: tuple[int, ...]) -> None:
    """Print the share of false stops, then how soon each harm stops a canary."""
    print(f"{canaries:,} canaries of {len(STEPS)} days without a difference, goal <= {GOAL:.1%}")
    variants: dict[str, Callable[[np.random.Generator], str | None]] = {
        "as it is": stopped_by,
        "a customer counts once an hour": lambda rng: stopped_by(rng, hourly=True),
        "asymptotic sequence": stopped_by_asymptotic,
    }
    for name, stops in variants.items():
        share, by_guardrail = false_stops(canaries, stops)
        print(f"  {name:<32} {share:>6.1%}  {by_guardrail or ''}", flush=True)
    print(
        f"{repeats} worse canaries each: stopped within {REQUESTS:,} requests of the canary's arm,"
        " and the median requests until then of its arm and of both"
    )
    for name, harm in HARMS.items():
        for step in steps:
            found = np.array(
                [
                    requests_until_stop(np.random.default_rng((2, step, number)), step, harm)
                    for number in range(repeats)
                ]
            )
            stopped = np.isfinite(found[:, 0]).mean()
            own, both = np.quantile(found, 0.5, axis=0, method="higher")
            print(
                f"  {name:<34} {STEPS[step - 1]:>4.0%}  {stopped:>5.0%}  {own:>6,.0f}"
                f"  {both:>8,.0f}",
                flush=True,
            )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a few canaries, to try the script")
    if parser.parse_args().quick:
        report(5, 3, (4,))
    else:
        report(CANARIES, 100, (1, 2, 3, 4))


if __name__ == "__main__":
    main()
