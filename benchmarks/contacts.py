"""Does the loop stay honest when people act on its list, and what does a plan cost?

    uv run python -m benchmarks.contacts [--quick] [training quiet naive plan month]

A simulated business contacts the customers on the list of each month's plan; what everybody
would have done without contacts is known. `training` compares three ways to train. `quiet`
counts alarms in months in which nothing but the contacts happens, and how often a real change
of what drives churn is seen. `naive` is the AUC on labels as they come, and corrected. `plan`
is the time of a plan of a million customers, compared with sorting and writing the same rows,
and `month` that of a month with contacts, compared with one without.
"""

import argparse
import contextlib
import dataclasses
import datetime as dt
import io
import json
import multiprocessing
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from churn_platform.base.errors import DataError
from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.cli.demo import write_delivery
from churn_platform.contacts.correction import RegisteredPlan, correct
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contacts.plan import ARM, BELOW, ContactPlan, plan, plan_digest
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.result import drift_alarms, judge
from churn_platform.evaluation.metrics import cheapest_threshold
from churn_platform.evaluation.statistics import BoolArray, FloatArray, auc
from churn_platform.features.training_dataset import in_holdout
from churn_platform.lake.tables import feature_frame
from churn_platform.loop.retraining import ProductionModel, RetrainingInputs, should_retrain
from churn_platform.monitoring.challengers import LabelledRows, evaluate_challengers
from churn_platform.monitoring.performance import VersionPerformance, realised, stand_down_reason
from churn_platform.replay.backtest import with_policy
from churn_platform.replay.history import PastMonth, PastMonths
from churn_platform.services import Services
from churn_platform.simulator import CAMPAIGN, Delivery, Scenario
from churn_platform.simulator.campaign import Assignment, Campaign, OpenMonth, assignment_of
from churn_platform.simulator.scenarios import ContactResponse, shifted
from churn_platform.training.candidate import Candidate, fit_candidate
from churn_platform.training.estimator import log_odds, model_input
from churn_platform.training.model import ChurnModel, Recipe

BUDGET = 0.2
SHIPPED = CAMPAIGN.contract(read_contract(default_contract_path()))
CONTRACT = with_policy(
    SHIPPED, SHIPPED.policy.model_copy(update={"contacts": ContactPolicy(budget=BUDGET)})
)
KEY = CONTRACT.entity.column
CUSTOMERS = 7_000
MONTHS = 12
SHIFT = 6
CLIP = 5.0
NOISE = 0.5
"""Standard deviation of the error of a score's log-odds where no model is fitted."""
WITHOUT, DROPPED, CLIPPED, AS_THEY_COME = (
    "without contacts", "dropped", "weights up to 5", "as they come",
)  # fmt: skip
RESPONSES = {
    "as simulated": ContactResponse(),
    "all reached, half saved": ContactResponse(0.5, 0.5, driven_away=0.1, reach=1.0),
}
EVENTS = SHIPPED.event_tables[0]
PLANNED = 1_000_000
GOAL_PLAN = 2.0
GOAL_MONTH = 1.15


@dataclass(frozen=True, eq=False)
class Month:
    """A month whose list was worked; arrays are (rows,).

    `chance` and `leaves` are of customers who are not contacted.
    """

    as_of: dt.date
    rows: pd.DataFrame
    chance: FloatArray
    leaves: BoolArray
    labels: MonthLabels

    @property
    def naive(self) -> MonthLabels:
        """The labels as they come."""
        return MonthLabels(self.labels.churned)

    @property
    def without_contacts(self) -> MonthLabels:
        """The labels that nobody sees."""
        return MonthLabels(pd.Series(self.leaves, index=self.labels.churned.index))


Score = Callable[[OpenMonth, pd.DataFrame], FloatArray | None]
"""The probabilities by which the list of a month is made; None: nobody is contacted."""


def worked_months(
    seed: int,
    months: int,
    score: Score,
    *,
    users: int = CUSTOMERS,
    scenario: Scenario = CAMPAIGN,
) -> Iterator[Month]:
    """The months of one business that works its lists."""
    world = Campaign(CONTRACT, users, seed, scenario=scenario)
    recent: set[object] = set()
    for _ in range(months):
        opened = world.month()
        rows = feature_frame(CONTRACT, opened.tables)
        probability = score(opened, rows)
        plans = []
        assignment = Assignment(())
        if probability is not None:
            made = planned(seed, opened, rows[KEY], probability, recent)
            assignment = assignment_of(made.rows, KEY)
            recent = set(made.rows.loc[made.rows[ARM] != BELOW, KEY])
            plans = [RegisteredPlan(opened.as_of.isoformat(), made.rows.set_index(KEY))]
        worked = world.work(*assignment)
        outcomes = worked.outcomes.reindex(rows[KEY])
        correction = correct(rows[KEY], plans, set(worked.contacts[KEY]))
        yield Month(
            opened.as_of,
            rows,
            outcomes["chance"].to_numpy(dtype=float),
            outcomes["leaves"].to_numpy(dtype=bool),
            MonthLabels(outcomes["left"].astype(bool), correction),
        )


def planned(
    seed: int, opened: OpenMonth, keys: pd.Series, probability: FloatArray, recent: set[object]
) -> ContactPlan:
    """The plan of a month, as the loop makes it; `seed` draws other arms for each business."""
    policy = CONTRACT.policy.contacts.model_copy(update={"salt": f"contacts of {seed}"})
    customers = pd.DataFrame({KEY: keys, "probability": probability, "value": 100.0})
    excluded = pd.Series(None, index=customers.index, dtype=object)
    excluded[keys.isin(recent)] = "on a recent list"
    excluded[opened.objecting.reindex(keys).to_numpy(dtype=bool)] = "objects to contact"
    return plan(policy, opened.as_of.isoformat(), KEY, customers, excluded)


def fitted(month: Month, labels: MonthLabels, most: float | None = None) -> ChurnModel:
    """A model of a month's labels outside the holdout: rows without weight are dropped, and the
    others count by weights up to `most`; None: all alike.
    """
    policy = CONTRACT.policy.training
    trains = ~in_holdout(month.rows[KEY], policy.salt, policy.holdout_fraction)
    weights = labels.weights_of(month.rows[KEY])
    trains &= weights > 0
    if labels.correction is not None:
        trains &= ~labels.correction.outside
    rows = month.rows[trains].reset_index(drop=True)
    churned = labels.churned[trains].reset_index(drop=True)
    recipe = Recipe.of(CONTRACT)
    if most is None:
        return recipe.fit(rows, churned, rows[KEY])
    return weighted(recipe, rows, churned.to_numpy(dtype=int), np.minimum(weights[trains], most))


def weighted(
    recipe: Recipe, rows: pd.DataFrame, churned: FloatArray, weights: FloatArray
) -> ChurnModel:
    """As `Recipe.fit` with weights in the fit, the calibration and the threshold."""
    from churn_platform.training.estimator import build_pipeline

    pipeline = build_pipeline(recipe.algorithm, recipe.features, recipe.seed)
    classify = pipeline.named_steps["classify"]
    columns = pipeline[:-1].fit_transform(model_input(recipe.features, rows), churned)
    scores = np.empty(len(churned))
    for fit_rows, score_rows in classify._folds(churned, None):
        fold = clone(classify.estimator)
        fold.fit(columns[fit_rows], churned[fit_rows], sample_weight=weights[fit_rows])
        scores[score_rows] = log_odds(fold.predict_proba(columns[score_rows])[:, 1])
    sigmoid = LogisticRegression(C=1e6).fit(scores[:, None], churned, sample_weight=weights)
    estimator = clone(classify.estimator).fit(columns, churned, sample_weight=weights)
    classify.estimator_ = estimator
    classify.slope_ = float(sigmoid.coef_[0, 0])
    classify.intercept_ = float(sigmoid.intercept_[0])
    classify.classes_ = np.array([0, 1])
    costs = recipe.costs
    classify.threshold = cheapest_threshold(
        churned,
        classify._probability(scores),
        costs.missed_churner,
        costs.needless_contact,
        weights,
    )
    return ChurnModel(pipeline, recipe.features)


@dataclass(frozen=True)
class Trained:
    """One model on the next month, whom nobody had contacted: AUC, mean squared error of the
    probability, its bias among the tenth at most risk, and costs per customer.
    """

    auc: float
    error: float
    bias: float
    cost: float

    @classmethod
    def of(cls, model: ChurnModel, month: Month) -> "Trained":
        """Measured on the true chances of a later month."""
        scores = model.probability(month.rows)
        top = scores >= np.quantile(scores, 0.9)
        contacted = scores >= model.threshold
        costs = CONTRACT.costs
        needless = costs.needless_contact * contacted * (1 - month.chance)
        missed = costs.missed_churner * ~contacted * month.chance
        return cls(
            auc(month.leaves, scores),
            float(((scores - month.chance) ** 2).mean()),
            float((scores - month.chance)[top].mean()),
            float((needless + missed).mean()),
        )


def trained(seed: int, months: int, users: int) -> dict[str, Trained]:
    """The models of the month before the last, trained in each way; the lists are those of
    models that are trained anew each month on the customers who were not assigned.
    """
    current: dict[str, ChurnModel] = {}

    def score(_: OpenMonth, rows: pd.DataFrame) -> FloatArray | None:
        return current[DROPPED].probability(rows) if current else None

    for number, month in enumerate(worked_months(seed, months + 1, score, users=users), 1):
        if number > months:
            return {name: Trained.of(model, month) for name, model in current.items()}
        current[DROPPED] = fitted(month, month.labels)
        if number == months:
            current[WITHOUT] = fitted(month, month.without_contacts)
            current[CLIPPED] = fitted(month, month.labels, CLIP)
            current[AS_THEY_COME] = fitted(month, month.naive)
    raise AssertionError(months)


@dataclass(frozen=True)
class ScoredOnce:
    """A model that remembers the probabilities of the frames it has scored."""

    model: ChurnModel
    known: dict[int, tuple[pd.DataFrame, FloatArray]] = field(default_factory=dict)

    @property
    def threshold(self) -> float:
        """The model's."""
        return self.model.threshold

    def probability(self, rows: pd.DataFrame) -> FloatArray:
        """Of each row (rows,)."""
        if id(rows) not in self.known:
            self.known[id(rows)] = (rows, self.model.probability(rows))
        return self.known[id(rows)][1]


def candidate_of(month: Month, labels: MonthLabels, version: int) -> Candidate:
    """A candidate of one month, as the loop makes it once its labels are known."""
    later = CONTRACT.matures(month.as_of)
    past = {month.as_of: PastMonth(month.rows, ((later, labels),)), later: PastMonth(month.rows)}
    dataset = PastMonths(past).dataset(CONTRACT, later)
    if dataset is None:
        raise DataError(f"{month.as_of} cannot be trained on.")
    fitted = fit_candidate(CONTRACT, dataset, "code")
    return dataclasses.replace(fitted, version=version, model=ScoredOnce(fitted.model))


class Watched:
    """What a year of a home raises: version 1 in production is trained on the first month, before
    any contact; version 2 waits since the fourth.
    """

    def __init__(self, labels_of: Callable[[Month], MonthLabels]) -> None:
        self.labels_of = labels_of
        self.versions: dict[int, Candidate] = {}
        self.found: Counter[str] = Counter()
        self._history: list[VersionPerformance] = []
        self._recent: dict[dt.date, LabelledRows] = {}
        self._reference: Rows | None = None
        self._alarmed = False

    def live(self, month: Month) -> set[str]:
        """What a month raises once its labels are known."""
        labels = self.labels_of(month)
        self._recent[month.as_of] = (month.rows, labels)
        self._recent = dict(list(self._recent.items())[-CONTRACT.policy.verdict.months :])
        if self._reference is None:
            self._reference = Rows(month.rows[[*FEATURE]], labels.churned.reset_index(drop=True))
            return set()
        entry = realised(CONTRACT, month.rows, labels, self.versions[1], month.as_of.isoformat())
        self._history.append(entry)
        fewest = CONTRACT.policy.promotion.min_holdout_churners
        asked = should_retrain(CONTRACT, self._inputs(month, entry))
        raised = {
            "performance": asked.trigger == "performance",
            "target drift": bool(self._target_drift(month, labels)),
            "stand-down": stand_down_reason(self._history, 1, fewest) is not None,
            "not measurable": entry.metrics is None,
            "proposal": self._proposal(),
        }
        found = {name for name, true in raised.items() if true}
        self.found.update(found)
        return found

    def _inputs(self, month: Month, entry: VersionPerformance) -> RetrainingInputs:
        card = self.versions[1].card
        trained_on = dt.date.fromisoformat(card.as_of)
        low, high = card.metrics["auc_interval"]
        return RetrainingInputs(
            as_of=month.as_of,
            inputs="",
            labelled=month.as_of,
            production=ProductionModel(1, trained_on, (low, high)),
            realised=entry,
            last_decision=trained_on,
        )

    def _target_drift(self, month: Month, labels: MonthLabels) -> tuple[str, ...]:
        policy = CONTRACT.policy
        weights = None if labels.correction is None else labels.correction.weights
        current = Rows(month.rows[[*FEATURE]], labels.churned.reset_index(drop=True), None, weights)
        evidence = measure(FEATURE, policy.drift, self._reference, current, seed=7)
        result = judge(policy.drift, evidence)
        alarms = drift_alarms(result, policy.retraining.hysteresis, alarmed=self._alarmed)
        alarms = tuple(alarm for alarm in alarms if alarm.startswith("target"))
        self._alarmed = bool(alarms)
        return alarms

    def _proposal(self) -> bool:
        if 2 not in self.versions:
            return False
        found = evaluate_challengers(
            CONTRACT,
            self.versions,
            1,
            self._recent,
            served={1},
            barred=set(),
            comparable=lambda *_: True,
        )
        return found.proposal is not None


CORRECTED = "corrected"
LABELS: dict[str, Callable[[Month], MonthLabels]] = {
    CORRECTED: lambda month: month.labels,
    WITHOUT: lambda month: month.without_contacts,
    AS_THEY_COME: lambda month: month.naive,
}
CHALLENGER = 4
FEATURE = {name: CONTRACT.features[name] for name in CONTRACT.policy.drift.methods}
"""As few features as the policy allows: only the drift of the churn rate is looked at."""


def watched(seed: int, months: int, users: int) -> tuple[dict[str, Watched], bool]:
    """A business watched by each kind of `LABELS`, and whether the corrected ones show in month
    `SHIFT` of the same business that other things drive churn.
    """
    watchers = {name: Watched(labels_of) for name, labels_of in LABELS.items()}
    versions: dict[int, Candidate] = {}
    for one in watchers.values():
        one.versions = versions

    def score(_: OpenMonth, rows: pd.DataFrame) -> FloatArray | None:
        return versions[1].model.probability(rows) if versions else None

    lived = worked_months(seed, months, score, users=users)
    for number, month in enumerate(lived, 1):
        if number == 1:
            versions[1] = candidate_of(month, month.labels, 1)
        for one in watchers.values():
            one.live(month)
        if number == CHALLENGER:
            versions[2] = candidate_of(month, month.labels, 2)
    again = Watched(LABELS[CORRECTED])
    again.versions = {1: versions[1]}
    changed = shifted(CAMPAIGN, SHIFT)
    first = True

    def same_lists(_: OpenMonth, rows: pd.DataFrame) -> FloatArray | None:
        return None if first else versions[1].model.probability(rows)

    raised: set[str] = set()
    for month in worked_months(seed, SHIFT, same_lists, users=users, scenario=changed):
        first = False
        raised = again.live(month)
    return watchers, "performance" in raised


def naive_and_corrected(
    seed: int, users: int, scenario: Scenario = CAMPAIGN
) -> tuple[float, float, float]:
    """AUC of a month on its labels as they come, corrected, and without contacts; the score is
    the true chance with an error.
    """
    rng = np.random.default_rng(seed)
    world = Campaign(CONTRACT, users, seed, scenario=scenario)
    opened = world.month()
    keys = pd.Series(opened.chances.index)
    chance = opened.chances.to_numpy()
    errors = NOISE * rng.standard_normal(chance.size)
    score = 1 / (1 + np.exp(-log_odds(chance) - errors))
    made = planned(seed, opened, keys, score, set())
    outcomes = world.work(*assignment_of(made.rows, KEY)).outcomes.reindex(keys)
    plans = [RegisteredPlan(opened.as_of.isoformat(), made.rows.set_index(KEY))]
    weights = correct(keys, plans, ()).weights
    left = outcomes["left"].to_numpy(dtype=bool)
    kept = weights > 0
    return (
        auc(left, score),
        auc(left[kept], score[kept], weights[kept]),
        auc(outcomes["leaves"].to_numpy(dtype=bool), score),
    )


def plan_times(customers: int) -> dict[str, float]:
    """CPU seconds of a plan with its digest and file, and of sorting and writing its rows."""
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            KEY: [f"C{number:07d}" for number in rng.permutation(customers)],
            "probability": rng.random(customers),
            "value": rng.integers(1, 500, customers).astype(float),
        }
    )
    nobody = pd.Series(None, index=people.index, dtype=object)
    policy = ContactPolicy(budget=0.15)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        started = time.process_time()
        made = plan(policy, "2026-01-31", KEY, people, nobody)
        plan_digest(made.rows, KEY)
        made.rows.to_parquet(file, index=False)
        ours = time.process_time() - started
        rows = made.rows.sample(frac=1, random_state=0, ignore_index=True)
        rows["expected"] = rows["probability"] * rows["value"]
        started = time.process_time()
        by_all = ["expected", "probability", KEY]
        rows = rows.sort_values(by_all, ascending=[False, False, True], ignore_index=True)
        rows.drop(columns="expected").to_parquet(file, index=False)
        floor = time.process_time() - started
        started = time.process_time()
        rows = rows.sort_values("expected", ascending=False, ignore_index=True)
        rows.drop(columns="expected").to_parquet(file, index=False)
        one_column = time.process_time() - started
    return {"ours": ours, "floor": floor, "one column": one_column}


def month_times(customers: int, months: int) -> list[dict[str, float]]:
    """CPU seconds of each month of two homes with the same customers: one whose contract names
    contacts and which makes plans, and one without. Imports are not counted.
    """
    plain = {name: part for name, part in SHIPPED.as_mapping().items() if "contact" not in name}
    plain["tables"] = {name: table for name, table in plain["tables"].items() if name != EVENTS}
    plain["policy"] = {n: part for n, part in plain["policy"].items() if n != "contacts"}
    campaign = Campaign(SHIPPED, customers, 1)
    found = []
    contracts = {"with": SHIPPED.as_mapping(), "without": plain}
    # A process per home: Dagster's definitions belong to one.
    own = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folders = {kind: Path(name) / kind for kind in contracts}
        workers = {
            kind: stack.enter_context(ProcessPoolExecutor(1, mp_context=own)) for kind in contracts
        }
        for kind, worker in workers.items():
            worker.submit(make_home, folders[kind], contracts[kind]).result()
        labels: Delivery | None = None
        for number in range(months):
            month = campaign.month()
            day = month.as_of.isoformat()
            deliveries = [Delivery(day, month.as_of, month.tables)]
            if labels is not None:
                deliveries.append(labels)
            times = {}
            for kind in sorted(workers, reverse=bool(number % 2)):
                times[kind] = sum(
                    workers[kind].submit(processed, folders[kind], one).result()
                    for one in deliveries
                )
            found.append(times)
            assigned = workers["with"].submit(assigned_by, folders["with"], month.as_of).result()
            times["contacts"] = len(assigned.contact) + len(assigned.explore)
            worked = campaign.work(*assigned)
            labels = Delivery(f"labels/{day}", month.as_of, {SHIPPED.label_table: worked.labels})
    return found


def make_home(folder: Path, contract: Mapping[str, Any]) -> None:
    """A new home with this contract."""
    open_home(folder).create()
    text = yaml.safe_dump(json.loads(json.dumps(contract, default=str)), sort_keys=False)
    (folder / "contract.yaml").write_text(text, encoding="utf-8")


def open_home(folder: Path) -> Services:
    """The home in a folder."""
    settings = Settings(home=folder, quiet_seconds=0, actor="benchmark")
    prepare_environment(settings)
    return Services(settings)


def processed(folder: Path, delivery: Delivery) -> float:
    """CPU seconds until a home has processed a delivery, without the imports."""
    from churn_platform.definitions import defs
    from churn_platform.defs.runner import run_due
    from churn_platform.features.feast_repository import import_feast

    home = open_home(folder)
    import_feast()
    defs()
    known = {name: one for name, one in delivery.tables.items() if name in home.contract.tables}
    source = folder.with_suffix(".source")
    write_delivery(source, dataclasses.replace(delivery, tables=known))
    started = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()):
        home.ingestion.accept(source / delivery.folder, delivery.as_of)
        for _ in run_due(home, lambda _: None, lambda *_: None):
            pass
    return time.process_time() - started


def assigned_by(folder: Path, as_of: dt.date) -> Assignment:
    """Whom the plan of a month assigns; nobody without one."""
    plans = open_home(folder).contact_planning.plans
    if as_of not in plans.months():
        return Assignment(())
    return assignment_of(plans.rows(as_of), KEY)


def print_month(customers: int, months: int) -> None:
    """The cost of a month with contacts; the first is left out, imports and first models are
    in it.
    """
    times = month_times(customers, months)
    for number, found in enumerate(times, 1):
        print(
            f"  month {number}: {found['with']:.1f} s, without contacts {found['without']:.1f} s,"
            f" {found['contacts']:,.0f} customers on the list"
        )
    later = times[2:] or times
    ours = sum(found["with"] for found in later)
    floor = sum(found["without"] for found in later)
    print(
        f"\nmonths 3 to {len(times)} of {customers:,} customers: {ours:.1f} s of CPU, without"
        f" contacts {floor:.1f} s: {ours / floor:.2f} x floor, goal <= {GOAL_MONTH:g}",
        flush=True,
    )


def print_training(seeds: int, months: int, users: int) -> None:
    """The table of the ways to train."""
    every = [trained(seed, months, users) for seed in range(1, seeds + 1)]
    print(f"\nmodels of month {months}, {seeds} businesses of {users:,} customers")
    print(f"{'':18}{'AUC':>8}{'below':>9}{'worst':>8}{'error':>9}{'bias':>8}{'cost':>8}")
    for way in (WITHOUT, DROPPED, CLIPPED, AS_THEY_COME):
        below = [found[WITHOUT].auc - found[way].auc for found in every]
        figures = [
            statistics.mean(getattr(found[way], field) for found in every)
            for field in ("auc", "error", "bias", "cost")
        ]
        value, error, bias, cost = figures
        print(
            f"{way:18}{value:>8.4f}{statistics.mean(below):>9.4f}{max(below):>8.4f}{error:>9.5f}"
            f"{bias:>+8.3f}{cost:>8.4f}",
            flush=True,
        )
    print("goal <= 0.005 below the model without contacts")


def print_quiet(seeds: int, months: int, users: int) -> None:
    """The table of alarms."""
    alarms: dict[str, Counter[str]] = {name: Counter() for name in LABELS}
    businesses: Counter[str] = Counter()
    seen = 0
    for seed in range(1, seeds + 1):
        watchers, shown = watched(seed, months, users)
        seen += shown
        for name, found in watchers.items():
            alarms[name].update(found.found)
            businesses[name] += bool(found.found)
        print(
            f"  {seed}: { ({name: dict(one.found) for name, one in watchers.items()}) }", flush=True
        )
    total = seeds * (months - 1)
    print(f"\n{total} quiet months of {seeds} businesses of {users:,} customers")
    for name, kinds in alarms.items():
        said = ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "nothing"
        print(f"{name:18} {businesses[name]:>3} businesses: {said}")
    print("goal <= 0 because of contacts")
    print(f"change of month {SHIFT} seen in its first matured month: {seen} of {seeds}")


def print_naive(seeds: int, users: int) -> None:
    """The AUC on labels as they come, and corrected."""
    print(f"\none month of {seeds} businesses of {users:,} customers")
    for name, response in RESPONSES.items():
        scenario = dataclasses.replace(CAMPAIGN, contacts=response)
        found = [naive_and_corrected(seed, users, scenario) for seed in range(1, seeds + 1)]
        naive, corrected, truth = np.array(found).T
        print(
            f"{name}: true AUC {truth.mean():.4f}, as they come {naive.mean():.4f}"
            f" ({(naive - truth).mean():+.4f}), corrected {corrected.mean():.4f}"
            f" ({(corrected - truth).mean():+.4f}, one month {np.std(corrected - truth):.4f})",
            flush=True,
        )
    print("goal <= -0.06 as they come, <= 0.01 from the truth corrected")


def print_plan(customers: int, rounds: int) -> None:
    """The cost of a plan."""
    times = [plan_times(customers) for _ in range(rounds)]
    ours, floor, one = (
        statistics.median(found[name] for found in times)
        for name in ("ours", "floor", "one column")
    )
    print(
        f"\nplan of {customers:,}: {ours:.2f} s of CPU, sorting and writing the same rows"
        f" {floor:.2f} s: {ours / floor:.2f} x floor, goal <= {GOAL_PLAN:g}; sorted by one column"
        f" {one:.2f} s: {ours / one:.2f}",
        flush=True,
    )


def main() -> None:
    """Print the tables that are asked for, all by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few and small businesses")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("parts", nargs="*")
    asked = parser.parse_args()
    parts = asked.parts or ["plan", "month", "naive", "training", "quiet"]
    quick = asked.quick
    users = 3_000 if quick else CUSTOMERS
    if "plan" in parts:
        print_plan(20_000 if quick else PLANNED, 1 if quick else 3)
    if "month" in parts:
        print_month(1_500 if quick else CUSTOMERS, 3 if quick else 4)
    if "naive" in parts:
        print_naive(asked.seeds or (1 if quick else 200), users)
    if "training" in parts:
        print_training(asked.seeds or (1 if quick else 20), 2 if quick else MONTHS, users)
    if "quiet" in parts:
        print_quiet(asked.seeds or (1 if quick else 50), 3 if quick else MONTHS, users)


if __name__ == "__main__":
    main()
