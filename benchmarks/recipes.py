"""What does it cost to choose between recipes, and is the gate still honest afterwards?

    uv run python -m benchmarks.recipes [--quick] [--data FOLDER] [--part cost|luck|months]

Cost: ours is `fit_candidate` with two recipes and a tuned one. Floor: the fits of these
recipes alone, with the rows prepared for each, and nothing around them. Imports are outside both.

Luck: 10 equally good recipes compete on quiet simulated months. The truth is the AUC on 20,000
other customers of the same business. `holdout` is what must not be done: the recipe with the best
AUC on the holdout is taken. A promotion is false if the candidate is truly no better than
production. The gate has a delta of 0, so its level alone keeps them rare.

Months: the real StreamFlow months, each recipe by itself and the chosen one.
"""

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from benchmarks import harness
from benchmarks.false_alarms import rows_of
from benchmarks.real_months import DATA
from churn_platform.base.errors import DataError
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.evaluation.statistics import auc
from churn_platform.features.training_dataset import LABEL, TrainingDataset, assemble
from churn_platform.lake.window import Classes, choose_window
from churn_platform.promotion.decision import passes
from churn_platform.promotion.gate import gather
from churn_platform.simulator import simulate
from churn_platform.training.candidate import Candidate, fit_candidate
from churn_platform.training.estimator import SigmoidCalibrated

GOAL = 1.15
CUSTOMERS = 7_000
QUICK_CUSTOMERS = 1_000
BUSINESSES = 60
QUICK_BUSINESSES = 2
SMALL = 1_500
STRANGERS = 20_000
COMPETING = 10
LEVEL = 0.025
FITS = 96
TUNE = {
    "num_leaves": {"low": 3, "high": 64, "log": True},
    "learning_rate": {"low": 0.01, "high": 0.2, "log": True},
    "min_child_samples": {"low": 10, "high": 200, "log": True},
    "n_estimators": {"low": 40, "high": 300},
}
RECIPES: list[dict[str, Any]] = [
    {"name": "linear", "algorithm": "logistic_regression"},
    {"name": "trees", "algorithm": "lightgbm"},
    {"name": "forest", "algorithm": "random_forest"},
    {"name": "tuned", "algorithm": "lightgbm", "tune": TUNE},
]
COST = [recipe for recipe in RECIPES if recipe["name"] != "forest"]
"""Without the forest, which would be four fifths of all CPU, and hide the rest."""
EQUAL = {"subsample": 0.6, "subsample_freq": 1, "colsample_bytree": 0.6, "n_estimators": 25}


def _contract(fields: dict[str, Any], **promotion: object) -> Contract:
    """The contract that ships, with another recipe or list of recipes."""
    declared = read_contract(default_contract_path()).as_mapping()
    declared["policy"]["training"] |= fields
    declared["policy"]["promotion"] |= promotion
    return Contract.model_validate(declared)


def _dataset(contract: Contract, months: Mapping[Any, pd.DataFrame]) -> TrainingDataset:
    """The dataset of a newest month that the platform would assemble; rows have a label."""
    window = choose_window({month: Classes(1_000, 1_000) for month in months}, contract.policy)
    frames = [frame.assign(as_of=month.isoformat()) for month, frame in months.items()]
    rows = pd.concat(frames, ignore_index=True)
    key = [contract.entity.column, "as_of"]
    spine = rows[[*key, *contract.carried, LABEL]]
    return assemble(contract, spine, rows[[*key, *contract.features]], window)


def _simulated(contract: Contract, users: int, months: int, seed: int) -> Iterator[Any]:
    """(as_of, rows with a label) of each month."""
    for month in simulate(contract, users, months, seed):
        frame, labels = rows_of(contract, month)
        yield month.as_of, frame.assign(label=labels)


# Cost


def _cost(options: argparse.Namespace) -> tuple[Contract, TrainingDataset]:
    contract = _contract(
        {"candidates": COST, "fits": 46 if options.customers <= QUICK_CUSTOMERS else FITS}
    )
    dataset = _dataset(contract, dict(_simulated(contract, options.customers, 1, 1)))
    fit_candidate(_contract({"candidates": RECIPES[:2]}), dataset, "warm")  # imports
    return contract, dataset


def _ours(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    import optuna  # noqa: F401 - imported before the clock runs

    contract, dataset = _cost(options)
    with clock.running():
        card = fit_candidate(contract, dataset, "code").card
    assert card.chosen_from is not None
    return {"fits": card.chosen_from.fits, "chosen": card.chosen_from.chosen}


def _bare(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    """The fits that ours makes, recorded beforehand, and the predictions of the rows left out."""
    contract, dataset = _cost(options)
    fits: list[Any] = []
    fitted = SigmoidCalibrated._fitted

    def recording(self: SigmoidCalibrated, *rows: Any) -> Any:  # noqa: ANN401
        fits.append((self, rows))
        return fitted(self, *rows)

    SigmoidCalibrated._fitted = recording  # type: ignore[method-assign]
    try:
        fit_candidate(contract, dataset, "code")
    finally:
        SigmoidCalibrated._fitted = fitted  # type: ignore[method-assign]
    with clock.running():
        for classifier, rows in fits:
            made = fitted(classifier, *rows)
            made.predict_proba(rows[0][: len(rows[0]) // 4])
    return {"fits": len(fits)}


def _report_cost(options: argparse.Namespace) -> None:
    customers = QUICK_CUSTOMERS if options.quick else CUSTOMERS
    measures = {
        name: lambda name=name: harness.run(name, customers=customers, part="cost")
        for name in CONTENDERS
    }
    found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    told = found["ours"][0].told
    assert told["fits"] == found["bare"][0].told["fits"]
    print(f"{customers:,} customers, {told['fits']} fits, chosen: {told['chosen']}")
    floor = "floor: the fits alone"
    harness.table({floor: found["bare"], "ours: fit_candidate": found["ours"]}, floor)
    ratio = harness.median(found["ours"], "cpu") / harness.median(found["bare"], "cpu")
    harness.verdict("ours / floor, CPU", ratio, GOAL)


# Luck


def _no_refit(*_: object) -> NoReturn:
    """The month-older recipe only warns."""
    raise DataError("not fitted")


class _Arm:
    """How one way to make a candidate fared over all businesses."""

    def __init__(self) -> None:
        self.optimism: list[float] = []
        """Truth minus what was measured, in AUC."""
        self.promoted = 0
        self.false = 0

    def judge(self, business: "_Business", candidate: Candidate) -> None:
        true = business.true_auc(candidate)
        self.optimism.append(candidate.card.metrics["auc"] - true)
        evidence = gather(
            business.contract, business.dataset, candidate, business.production, 1, _no_refit
        )
        if passes(evidence):
            self.promoted += 1
            self.false += true <= business.true_auc(business.production)

    def line(self, name: str, businesses: int) -> str:
        optimism = np.array(self.optimism)
        error = optimism.std(ddof=1) / np.sqrt(optimism.size)
        return (
            f"{name:30} {optimism.mean():+.4f} ± {error:.4f}   {self.promoted / businesses:9.1%}"
            f" {self.false / businesses:9.1%}"
        )


class _Business:
    """One business: its production, made in the first month, and the dataset of the second."""

    def __init__(self, contract: Contract, single: Contract, seed: int, strangers: int) -> None:
        self.contract = contract
        months = dict(_simulated(contract, SMALL, 2, seed))
        first = next(iter(months))
        before = _dataset(single, {first: months[first]})
        self.production = replace(fit_candidate(single, before, "production"), version=1)
        self.dataset = _dataset(contract, months)
        drawn = next(simulate(contract, strangers, 1, seed, people=1))
        rows, labels = rows_of(contract, drawn)
        self.rows = rows
        self.churned = labels.to_numpy(dtype=bool)

    def true_auc(self, version: Candidate) -> float:
        return auc(self.churned, version.model.probability(self.rows))


def _report_luck(options: argparse.Namespace) -> None:
    businesses = QUICK_BUSINESSES if options.quick else options.businesses
    strangers = QUICK_CUSTOMERS if options.quick else STRANGERS
    equal = [
        {"algorithm": "lightgbm", "parameters": {**EQUAL, "random_state": number}}
        for number in range(COMPETING)
    ]
    named = [{"name": f"r{number}", **one} for number, one in enumerate(equal)]
    gate = {"delta": 0.0, "min_holdout_churners": 2}
    contract = _contract({"candidates": named}, **gate)
    singles = [_contract(one, **gate) for one in equal]
    arms = {name: _Arm() for name in ("one recipe", "chosen from 10", "chosen by the holdout")}
    of_best, of_all, log_best = [], [], []
    for seed in range(1, businesses + 1):
        business = _Business(contract, singles[0], seed, strangers)
        made = [fit_candidate(single, business.dataset, "code") for single in singles]
        chosen = fit_candidate(contract, business.dataset, "code")
        arms["one recipe"].judge(business, made[0])
        arms["chosen from 10"].judge(business, chosen)
        best = max(made, key=lambda one: one.card.metrics["auc"])
        arms["chosen by the holdout"].judge(business, best)
        choice = chosen.card.chosen_from
        assert choice is not None
        measured = {one.name: one for one in choice.candidates}
        of_best.append(max(one.auc for one in choice.candidates))
        of_all.append(np.mean([one.auc for one in choice.candidates]))
        losses = [one.log_loss for one in choice.candidates]
        log_best.append(
            [np.mean(losses) - min(losses), np.mean(losses) - measured[choice.chosen].log_loss]
        )
    print(f"{businesses} businesses of {SMALL:,} customers, {COMPETING} equally good recipes")
    print(f"{'':30} holdout AUC - truth   promoted   falsely")
    for name, arm in arms.items():
        print(arm.line(name, businesses))
    lead = np.array(of_best) - np.array(of_all)
    gains = np.array(log_best)
    print(f"cross-validation: best AUC above the mean of equals {lead.mean():+.4f}")
    print(
        f"cross-validation: log loss of the best below it {gains[:, 0].mean():.4f}, of the"
        f" chosen {gains[:, 1].mean():+.4f}"
    )
    harness.verdict(
        "false promotions, chosen from 10", arms["chosen from 10"].false / businesses, LEVEL
    )


# Real months


def _real_datasets(data: Path) -> Iterator[tuple[str, TrainingDataset]]:
    """The training dataset of each real month, as a home makes it."""
    from churn_platform.base.settings import Settings, prepare_environment
    from churn_platform.services import Services

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home", quiet_seconds=0, contract=None)
        prepare_environment(settings)
        home = Services(settings)
        home.create()
        for path in sorted(path for path in data.iterdir() if path.is_dir()):
            month = dt.date.fromisoformat(path.name)
            home.ingestion.accept(path, month)
            home.ingestion.publish(month)
            home.feature_store.apply(home.lake.view(home.now(), as_at_scoring=True))
            home.training_datasets.build(month)
            yield path.name, home.training_datasets.load(month)


def _report_months(options: argparse.Namespace) -> None:
    if not options.data.is_dir():
        raise SystemExit(
            f"The real months are not at {options.data}: name their folder with --data."
        )
    recipes = COST if options.quick else RECIPES
    fits = 31 if options.quick else 150
    print(
        f"{'month':11} {'recipe':8} {'CV log loss':>18} {'CV AUC':>7} {'holdout AUC':>22}"
        f" {'log loss':>9} {'CPU s':>6}"
    )
    for month, dataset in _real_datasets(options.data):
        for one in [*([recipe] for recipe in recipes), recipes]:
            contract = _contract({"candidates": one, "fits": fits})
            began = time.process_time()
            card = fit_candidate(contract, dataset, "code").card
            seconds = time.process_time() - began
            choice = card.chosen_from
            assert choice is not None
            tried = next(own for own in choice.candidates if own.name == choice.chosen)
            name = choice.chosen if len(one) == 1 else f"all: {choice.chosen}"
            low, high = card.metrics["auc_interval"]
            print(
                f"{month:11} {name:12} {tried.log_loss:.4f} ± {tried.log_loss_error:.4f}"
                f" {tried.auc:7.4f}  {card.metrics['auc']:.4f} [{low:.3f}, {high:.3f}]"
                f" {card.metrics['log_loss']:9.4f} {seconds:6.1f}  {dict(tried.parameters)}",
                flush=True,
            )


CONTENDERS = {"ours": _ours, "bare": _bare}
PARTS = {"cost": _report_cost, "luck": _report_luck, "months": _report_months}


def _report(options: argparse.Namespace) -> None:
    for name, part in PARTS.items():
        if options.part in ("", name):
            part(options)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the real drops")
    parser.add_argument("--part", default="", choices=["", *PARTS], help="only this part")
    parser.add_argument("--businesses", type=int, default=BUSINESSES, help="of the part luck")
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
