"""How near are estimates to what labels show later, and what do they see?

    uv run python -m benchmarks.estimate [--quick] [--seeds N] [--processes N]
        [quiet covariate narrow sudden real cost]

Each seed is a simulated business whose labels come a month late. Version 1 is trained on the
first month, and months 3 and 4 are estimated. Something changes in month 4; the months before
are the same whatever changes. `quiet`: nothing changes. `covariate`: the customers change, in the
scenario of that name. `narrow`: customers of very low or high risk become rare, so the best
possible AUC falls by 0.05 although what drives churn stays. `sudden`: other things drive churn.
`real`: the two StreamFlow months. `cost`: what an estimate adds to the CPU time of a month.
"""

import argparse
import datetime as dt
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.contacts import make_home, processed
from churn_platform.base.errors import DataError
from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.contacts.value import ContactTerms
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.evaluation.metrics import Metrics, evaluate
from churn_platform.evaluation.statistics import BoolArray, FloatArray, auc
from churn_platform.features.training_dataset import in_holdout
from churn_platform.lake.tables import feature_frame
from churn_platform.monitoring.estimate import (
    PerformanceEstimate,
    ReferenceRows,
    ScoredRows,
    Spending,
    estimate,
    split_fall,
)
from churn_platform.monitoring.estimated_month import EstimatedMonth, EstimatedValue
from churn_platform.monitoring.estimating import explanation, fell_by_customers
from churn_platform.monitoring.performance import (
    MeasuredMetrics,
    PerformanceRecord,
    VersionPerformance,
    fell_below,
)
from churn_platform.monitoring.track_record import TrackRecord
from churn_platform.services import Services
from churn_platform.simulator import SCENARIOS, Delivery, Scenario, deliver
from churn_platform.simulator.business import Business, Opening
from churn_platform.training.model import ChurnModel, Recipe

CONTRACT = SCENARIOS["late-labels"].contract(read_contract(default_contract_path()))
CUSTOMERS = 7_000
CONTACTS = 500
SHIFT = 4
"""The month in which something changes; the first that is estimated is the month before."""
FALL = 0.05
HALVINGS = 12
TERMS = ContactTerms(save_rate=0.3, contact_cost=2.0, incentive=10.0)
"""A contact saves 30% of those who would leave; that share is taken as known."""
MEDIAN_VALUE = 100.0
SPREAD_OF_VALUE = 0.7
"""Standard deviation of the logarithm of what a saved customer is worth."""
LEAST_CPU = 0.01
"""Seconds: less is spent where there is nothing to estimate yet."""
LEAST_CHANGE = 0.02
"""Mean change of the AUC that is worth splitting."""
FROM_SHIFT = (0.0,) * (SHIFT - 1) + (1.0,)
LATE = {
    "quiet": SCENARIOS["quiet"],
    "narrow": SCENARIOS["quiet"],
    "covariate": replace(SCENARIOS["covariate-shift"], covariates=FROM_SHIFT),
    "sudden": replace(SCENARIOS["sudden-shift"], relation=FROM_SHIFT, features=FROM_SHIFT),
}
REAL = Path(__file__).parents[2] / "shared" / "data" / "streamflow"


@dataclass(frozen=True, eq=False)
class Month:
    """One month; arrays are (rows,)."""

    as_of: dt.date
    rows: pd.DataFrame
    churned: BoolArray


def months_of(
    contract: Contract,
    scenario: Scenario,
    seed: int,
    users: int,
    *,
    narrow: bool = False,
    first: int = 1,
) -> Iterator[Month]:
    """The months of a simulated business, from `first` on; earlier ones are only drawn."""
    business = Business(contract, users, seed, scenario=scenario)
    number = 0
    strength = 0.0
    while True:
        number += 1
        opening = business.begin()
        if narrow and number == SHIFT:
            strength = narrowing(business, opening)
        if strength:
            opening = narrowed(business, opening, strength)
        churned = business.people.draw_churners(opening.chance)
        if number >= first:
            rows = feature_frame(contract, business.tables(opening, churned))
            left = business.by_entity(churned).reindex(rows[contract.entity.column])
            yield Month(opening.as_of, rows, left.to_numpy(dtype=bool))
        business.end(churned)


def narrowed(business: Business, opening: Opening, strength: float) -> Opening:
    """The month with fewer customers of very low or high risk, and more of the others."""
    risk = np.log(opening.chance / (1 - opening.chance))
    weights = np.exp(-strength * ((risk - risk.mean()) / risk.std()) ** 2)
    shares = np.cumsum(weights) / weights.sum()
    places = np.searchsorted(shares, (np.arange(risk.size) + 0.5) / risk.size)
    latent = {key: values[places] for key, values in opening.latent.items()}
    return replace(opening, latent=latent, chance=business.people.chance(latent, 0.0))


def narrowing(business: Business, opening: Opening) -> float:
    """The strength at which the best possible AUC falls by FALL."""
    before = best_possible(opening.chance)
    low = 0.0
    high = 2.0
    for _ in range(HALVINGS):
        strength = (low + high) / 2
        if before - best_possible(narrowed(business, opening, strength).chance) > FALL:
            high = strength
        else:
            low = strength
    return high


def best_possible(chance: FloatArray) -> float:
    """The expected AUC of the true chances."""
    ordered = np.sort(chance)
    staying = np.cumsum(1 - ordered)
    return float((ordered * staying).sum() / (ordered.sum() * staying[-1]))


@dataclass(frozen=True, eq=False)
class SeenMonth:
    """A month as version 1 sees it, with what its labels show."""

    month: Month
    reference: ReferenceRows
    metrics: Metrics

    @property
    def scored(self) -> ScoredRows:
        """Its customers."""
        return self.reference.scored

    @property
    def realised(self) -> VersionPerformance:
        """The performance as a home records it."""
        return VersionPerformance(
            version=1,
            as_of=self.month.as_of.isoformat(),
            metrics=MeasuredMetrics.of(self.metrics),
        )


class Watched:
    """Version 1 of a business, trained on its first month, and what is said of later ones."""

    def __init__(self, contract: Contract, first: Month) -> None:
        policy = contract.policy.training
        self.key = contract.entity.column
        held = np.asarray(in_holdout(first.rows[self.key], policy.salt, policy.holdout_fraction))
        rows = first.rows[~held].reset_index(drop=True)
        labels = pd.Series(first.churned[~held])
        self.model: ChurnModel = Recipe.of(contract).fit(rows, labels, rows[self.key])
        holdout = self.seen(Month(first.as_of, first.rows[held], first.churned[held]))
        self.holdout = holdout.reference
        interval = holdout.metrics.auc_interval
        self.promoted = (interval.low, interval.high)

    def scored(self, rows: pd.DataFrame) -> ScoredRows:
        """Rows as version 1 sees them."""
        columns = self.model.prepared(rows)
        return ScoredRows(columns, self.model.of_prepared(columns))

    def seen(self, month: Month) -> SeenMonth:
        """A month whose labels are known."""
        customers = pd.factorize(month.rows[self.key])[0]
        ones = np.ones(len(month.churned))
        scored = self.scored(month.rows)
        metrics = evaluate(month.churned, scored.probability, self.model.threshold)
        return SeenMonth(month, ReferenceRows(scored, month.churned, ones, customers), metrics)

    def recorded(self, month: Month, found: PerformanceEstimate) -> EstimatedMonth:
        """An estimate as a home records it."""
        ends = (found.auc.interval.low, found.auc.interval.high)
        return EstimatedMonth(
            as_of=month.as_of.isoformat(),
            version=1,
            rows=len(month.rows),
            promoted_interval=self.promoted,
            auc=EstimatedValue(value=found.auc.value, interval=ends),
        )


FIGURES = ("auc", "brier", "churn_rate", "hits", "value")
COUNTS = ("hits", "value")


@dataclass(frozen=True)
class Said:
    """What was said of one month, and what was true."""

    month: int
    realised: tuple[float, ...]
    estimated: tuple[float, ...] = ()
    """Empty without an estimate."""
    ends: tuple[tuple[float, float], ...] = ()
    announced: bool = False
    withdrawn_later: bool = False
    """When the labels of the month are there."""
    fell: bool = False
    """Realised, once its labels are there."""
    customers: float = 0.0
    drivers: float = 0.0
    cause: str = ""
    effective_share: float = 0.0


def said_of(
    seed: int, kinds: Sequence[str], users: int = CUSTOMERS, algorithm: str = ""
) -> list[list[Said]]:
    """Everything that is said of month 3 of a business, and of each form of month 4."""
    contract = CONTRACT
    if algorithm:
        written = CONTRACT.model_dump(mode="json", exclude_unset=True)
        written.setdefault("policy", {}).setdefault("training", {})["algorithm"] = algorithm
        contract = Contract.model_validate(written)
    # Threads of these small tables wait for each other longer than they work.
    with threadpool_limits(1):
        quiet = months_of(contract, LATE["quiet"], seed, users)
        watched = Watched(contract, next(quiet))
        second, third = (watched.seen(month) for month in itertools.islice(quiet, SHIFT - 2))
        before, record = spoken(watched, [], SHIFT - 1, second, third, seed)
        found = []
        for kind in kinds:
            drawn = months_of(
                contract, LATE[kind], seed, users, narrow=kind == "narrow", first=SHIFT
            )
            fourth = watched.seen(next(drawn))
            after, _ = spoken(watched, [record], SHIFT, third, fourth, seed)
            found.append([before, after])
    return found


def spoken(
    watched: Watched,
    records: Sequence[PerformanceRecord],
    number: int,
    matured: SeenMonth,
    opened: SeenMonth,
    seed: int,
) -> tuple[Said, PerformanceRecord]:
    """What the run of a month says, what its labels show later, and the record of the run."""
    scored = opened.scored
    churned = opened.month.churned
    rng = np.random.default_rng((seed, number))
    value = MEDIAN_VALUE * rng.lognormal(sigma=SPREAD_OF_VALUE, size=churned.size)
    found = estimate(matured.reference, scored, Spending(CONTACTS, value, TERMS), seed=7)
    made = None if found is None else watched.recorded(opened.month, found)
    record = PerformanceRecord(evaluated=(matured.realised,), estimated=made)
    track = TrackRecord.of([*records, record])
    labelled = PerformanceRecord(evaluated=(opened.realised,))
    later = TrackRecord.of([*records, record, labelled])
    metrics = opened.metrics
    split = split_fall(watched.holdout, scored, churned, np.ones(churned.size))
    interval = (metrics.auc_interval.low, metrics.auc_interval.high)
    said = Said(
        month=number,
        realised=realised_figures(scored.probability, churned, value),
        withdrawn_later=later.withdrawn is not None,
        fell=fell_below(metrics.auc, interval, watched.promoted, corrected=False),
    )
    if split is not None:
        cause = explanation(split, 1, opened.month.as_of.isoformat()).cause
        said = replace(said, customers=split.customers, drivers=split.drivers, cause=cause)
    if found is None:
        return said, record
    figures = [getattr(found, name) for name in FIGURES]
    said = replace(
        said,
        estimated=tuple(one.value for one in figures),
        ends=tuple((one.interval.low, one.interval.high) for one in figures),
        announced=track.withdrawn is None
        and fell_by_customers(found, watched.promoted, corrected=False),
        effective_share=found.effective_share,
    )
    return said, record


def realised_figures(
    probability: FloatArray, churned: BoolArray, value: FloatArray
) -> tuple[float, ...]:
    """What the labels show, in the order of FIGURES."""
    by_risk = np.argsort(-probability, kind="stable")[:CONTACTS]
    by_worth = np.argsort(-probability * value, kind="stable")[:CONTACTS]
    saved = TERMS.save_rate * float(value[by_worth] @ churned[by_worth])
    cost = CONTACTS * (TERMS.contact_cost + TERMS.incentive)
    return (
        auc(churned, probability),
        float(((probability - churned) ** 2).mean()),
        float(churned.mean()),
        float(churned[by_risk].sum()),
        saved - cost,
    )


@dataclass(frozen=True)
class Summary:
    """What many businesses say together."""

    kind: str
    businesses: list[list[Said]]

    def months(self, *numbers: int) -> list[Said]:
        """What was said of these months; all by default."""
        every = [one for business in self.businesses for one in business]
        return [one for one in every if not numbers or one.month in numbers]

    def errors(self, figure: int, *numbers: int) -> FloatArray:
        """Estimated less realised."""
        known = [one for one in self.months(*numbers) if one.estimated]
        return np.array([one.estimated[figure] - one.realised[figure] for one in known])

    def coverage(self, figure: int, *numbers: int) -> float:
        """Share of the intervals that contain what labels showed."""
        known = [one for one in self.months(*numbers) if one.estimated]
        inside = [
            one.ends[figure][0] <= one.realised[figure] <= one.ends[figure][1] for one in known
        ]
        return statistics.mean(inside)

    def mean_auc(self, month: int) -> float:
        """The mean realised AUC of a month."""
        return statistics.mean(one.realised[0] for one in self.months(month))

    def share(self, field: str, month: int) -> float:
        """Share of the businesses of which this was said in a month."""
        return statistics.mean(bool(getattr(one, field)) for one in self.months(month))

    def part(self, part: str, month: int) -> float:
        """The part of the mean change of a month."""
        known = [one for one in self.months(month) if one.cause]
        change = sum(one.customers + one.drivers for one in known)
        return float(sum(getattr(one, part) for one in known) / change)

    def causes(self, month: int) -> dict[str, int]:
        """How often each cause was named, where a fall was seen."""
        found: dict[str, int] = {}
        for one in self.months(month):
            if one.fell:
                found[one.cause or "none"] = found.get(one.cause or "none", 0) + 1
        return found


def summaries(
    kinds: Sequence[str], seeds: int, users: int, algorithm: str = "", processes: int = 1
) -> list[Summary]:
    """Many businesses, in each of which something else changes."""
    work = partial(said_of, kinds=kinds, users=users, algorithm=algorithm)
    numbers = range(1, seeds + 1)
    if processes == 1:
        said = [work(number) for number in numbers]
    else:
        with ProcessPoolExecutor(processes) as pool:
            said = list(pool.map(work, numbers))
    return [
        Summary(kind, [business[place] for business in said]) for place, kind in enumerate(kinds)
    ]


def print_summary(found: Summary) -> None:
    """The figures next to their goals."""
    print(f"\n{found.kind}: {len(found.businesses)} businesses, change in month {SHIFT}")
    # What is said of the month before the change is the same in every kind.
    numbers = (SHIFT - 1, SHIFT) if found.kind == "quiet" else (SHIFT,)
    for month in numbers:
        for figure in range(len(FIGURES)):
            print_errors(found, figure, month)
        print(f"  month {month} announced: {found.share('announced', month):.1%} of businesses")
        withdrawn = found.share("withdrawn_later", month)
        print(f"  withdrawn once its labels are there: {withdrawn:.1%}")
    fallen = found.mean_auc(SHIFT) - found.mean_auc(SHIFT - 1)
    shares = [one.effective_share for one in found.months(SHIFT) if one.estimated]
    print(f"  realised AUC of month {SHIFT} less month {SHIFT - 1}: {fallen:+.4f}")
    print(f"  without an estimate in month {SHIFT}: {len(found.businesses) - len(shares)}")
    print(f"  least effective share: {min(shares, default=0.0):.2f}")
    if abs(fallen) > LEAST_CHANGE:
        print(
            f"  parts of that: customers {found.part('customers', SHIFT):.1%}, what drives churn"
            f" {found.part('drivers', SHIFT):.1%}"
        )
    print(f"  named where a fall was seen: {found.causes(SHIFT)}", flush=True)


def print_errors(found: Summary, figure: int, month: int) -> None:
    """How far off the estimates of one figure are: hits and value as shares of their mean."""
    errors = found.errors(figure, month)
    if not errors.size:
        return
    name = FIGURES[figure]
    unit = ""
    if name in COUNTS:
        usual = statistics.mean(one.realised[figure] for one in found.months(month))
        errors = errors / usual
        unit = f" (shares of {usual:,.0f})"
    print(
        f"  month {month} {name:10} bias {errors.mean():+.4f}"
        f" +- {errors.std() / np.sqrt(errors.size):.4f}, sd {errors.std():.4f},"
        f" worst {np.abs(errors).max():.4f},"
        f" intervals contain {found.coverage(figure, month):.1%}{unit}"
    )


def print_real() -> None:
    """The StreamFlow months, with the labels of the second taken as late."""
    if not REAL.is_dir():
        print("\nreal: the StreamFlow months are not here")
        return
    january, february = real_months()
    contract = read_contract(default_contract_path())
    watched = Watched(contract, january)
    found = estimate_of(watched, february)
    scored = watched.scored(february.rows)
    metrics = evaluate(february.churned, scored.probability, watched.model.threshold)
    print(f"\nreal: promoted with AUC in {json.dumps([round(e, 3) for e in watched.promoted])}")
    if found is None:
        print("  no estimate: the customers are too different")
    else:
        print(
            f"  estimated {found.auc.value:.3f} [{found.auc.interval.low:.3f},"
            f" {found.auc.interval.high:.3f}], effective share {found.effective_share:.2f}"
        )
    print(f"  realised {metrics.auc:.3f}")
    print(f"  {real_record(watched, found, february).withdrawn or 'not withdrawn'}")
    split = split_fall(watched.holdout, scored, february.churned, np.ones(len(february.churned)))
    if split is not None:
        print(f"  {explanation(split, 1, february.as_of.isoformat()).sentence}")


def estimate_of(watched: Watched, month: Month) -> PerformanceEstimate | None:
    """The estimate of a month, with the holdout of the first as reference."""
    return estimate(watched.holdout, watched.scored(month.rows), Spending(CONTACTS), seed=7)


def real_record(watched: Watched, found: PerformanceEstimate | None, month: Month) -> TrackRecord:
    """The record once the labels of an estimated month are there."""
    made = None if found is None else watched.recorded(month, found)
    record = PerformanceRecord(estimated=made, evaluated=(watched.seen(month).realised,))
    return TrackRecord.of([record])


def real_months() -> list[Month]:
    """January and February of StreamFlow."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home", actor="benchmark")
        prepare_environment(settings)
        home = Services(settings)
        home.create()
        key = home.contract.entity.column
        for name in ("2024-01-31", "2024-02-29"):
            as_of = dt.date.fromisoformat(name)
            home.ingestion.accept(REAL / name, as_of)
            home.ingestion.publish(as_of)
            rows = feature_frame(home.contract, home.lake.tables(as_of))
            labels = home.lake.labels(as_of, home.now())
            if labels is None:
                raise DataError(f"{name} has no labels.")
            rows = rows[rows[key].isin(labels.index)].reset_index(drop=True)
            churned = labels.reindex(rows[key]).to_numpy(dtype=bool)
            found.append(Month(as_of, rows, churned))
    return found


def cost_of(folder: Path, delivery: Delivery) -> tuple[float, float]:
    """CPU seconds of a delivery, and those of its estimate."""
    from churn_platform.monitoring.performance_monitor import PerformanceMonitor

    own = PerformanceMonitor._estimated
    spent = []

    def timed(*arguments: object) -> EstimatedMonth | None:
        started = time.process_time()
        made = own(*arguments)  # type: ignore[arg-type]
        spent.append(time.process_time() - started)
        return made

    setattr(PerformanceMonitor, "_estimated", timed)  # noqa: B010 - it is frozen
    try:
        return processed(folder, delivery), sum(spent)
    finally:
        setattr(PerformanceMonitor, "_estimated", own)  # noqa: B010


def print_cost(users: int, months: int) -> None:
    """CPU of the months of a home, and how much of it is for estimates; imports left out."""
    own = multiprocessing.get_context("spawn")
    drawn = deliver(CONTRACT, users, months, 1, scenario=SCENARIOS["late-labels"])
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(1, mp_context=own) as pool:
        folder = Path(name) / "home"
        pool.submit(make_home, folder, CONTRACT.as_mapping()).result()
        every = [pool.submit(cost_of, folder, one).result() for one in drawn]
    # Deliveries before there is a model have no estimate.
    later = [(total, estimated) for total, estimated in every if estimated > LEAST_CPU]
    complete = sum(total for total, _ in later)
    estimates = sum(estimated for _, estimated in later)
    print(
        f"\ncost: {users:,} customers, {len(later)} estimated of {len(every)} deliveries:"
        f" {complete:.1f} s of CPU, {estimates:.2f} s of it for estimates:"
        f" {complete / (complete - estimates):.3f} x floor, goal <= 1.05",
        flush=True,
    )


def main() -> None:
    """Print the tables that are asked for, all by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few and small businesses")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("parts", nargs="*")
    asked = parser.parse_args()
    users = 2_000 if asked.quick else CUSTOMERS
    seeds = asked.seeds or (1 if asked.quick else 100)
    parts = asked.parts or [*LATE, "real", "cost"]
    kinds = [kind for kind in LATE if kind in parts]
    for found in summaries(kinds, seeds, users, processes=asked.processes) if kinds else []:
        print_summary(found)
    if "real" in parts:
        print_real()
    if "cost" in parts:
        print_cost(users, 4)
    print(
        "\ngoal: |bias| <= 0.005 and 92-98% contained in quiet and covariate; narrow announced"
        f" in month {SHIFT} in >= 80%, quiet <= 5%; sudden withdrawn once the labels of month"
        f" {SHIFT} are there; what drives churn >= 90% of the change in sudden, <= 10% in narrow"
    )


if __name__ == "__main__":
    main()
