"""A replay of 24 months under three policies against the bare fits that it needs.

    uv run python -m benchmarks.replay [--quick]

24 simulated months of 7,000 customers that change between month 3 and 7, replayed under this
policy, never retraining and always retraining. Floor: for each policy by itself, and for each
month in which it makes a candidate, the candidate, the recipe on shuffled labels and the
month-older recipe, fitted with nothing around them (`Recipe.fit`). The stricter floor fits each
of these once, as the replay does: equal rows and recipe are fitted once for all policies.
Reading the months is outside both, as are imports.
"""

import argparse
from collections.abc import Callable
from typing import Any, cast

import pandas as pd

from benchmarks import harness
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.ingestion.rules import conform
from churn_platform.lake.tables import feature_frame
from churn_platform.replay.backtest import Alternative
from churn_platform.replay.history import Memory, PastMonth, PastMonths
from churn_platform.replay.result import replay
from churn_platform.simulator import SCENARIOS, simulate
from churn_platform.training.model import ChurnModel, Recipe

GOAL = 1.5
MONTHS = 24
CUSTOMERS = 7_000
QUICK_MONTHS = 5
QUICK_CUSTOMERS = 1_000
SCENARIO = SCENARIOS["gradual-shift"]
Fitted = tuple[Any, ...]


def _contract() -> Contract:
    return SCENARIO.contract(read_contract(default_contract_path()))


def _history(contract: Contract, options: argparse.Namespace) -> PastMonths:
    months = {}
    for month in simulate(contract, options.customers, options.months, 1, scenario=SCENARIO):
        tables = {name: conform(contract, name, frame)[0] for name, frame in month.tables.items()}
        label = contract.label
        labels = tables[label.table].set_index(contract.entity.column)[label.column].astype(bool)
        months[month.as_of] = PastMonth(
            feature_frame(contract, tables), ((month.as_of, MonthLabels(labels)),)
        )
    from sklearn import pipeline  # noqa: F401 - imported before the clock runs

    import churn_platform.training.estimator  # noqa: F401

    return PastMonths(months)


def _alternatives(contract: Contract) -> list[Alternative]:
    return [
        Alternative("this policy", contract),
        Alternative.never(contract),
        Alternative.always(contract),
    ]


def _replay(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    contract = _contract()
    history = _history(contract, options)
    with clock.running():
        found = replay(_alternatives(contract), history, "code", contract.policy)
    return {
        one.name: [one.mean_auc, one.promotions, one.totals.missed, one.totals.needless]
        for one in found
    }


def _recorded(name: str, run: Callable[[], object]) -> list[Fitted]:
    """The arguments of every call of a method of `Memory` while `run` runs."""
    asked: list[Fitted] = []
    own = getattr(Memory, name)

    def recording(self: Memory, recipe: Recipe, *rows: pd.Series) -> ChurnModel:
        asked.append((recipe, *rows))
        return cast("ChurnModel", own(self, recipe, *rows))

    setattr(Memory, name, recording)
    try:
        run()
    finally:
        setattr(Memory, name, own)
    return asked


def _bare(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    """Every policy by itself, equal fits included."""
    contract = _contract()
    history = _history(contract, options)
    asked = []
    for one in _alternatives(contract):
        asked += _recorded("fit", lambda one=one: replay([one], history, "code", contract.policy))
    return _timed(asked, clock)


def _once(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    """Equal fits of all policies once."""
    contract = _contract()
    history = _history(contract, options)
    made = _recorded(
        "_fitted", lambda: replay(_alternatives(contract), history, "code", contract.policy)
    )
    return _timed(made, clock)


def _timed(asked: list[Fitted], clock: harness.Clock) -> dict[str, Any]:
    with clock.running():
        for recipe, rows, labels, entities in asked:
            Recipe.fit(recipe, rows, labels, entities)
    return {"fits": len(asked)}


CONTENDERS = {"replay": _replay, "bare": _bare, "once": _once}


def _report(options: argparse.Namespace) -> None:
    months, customers = (QUICK_MONTHS, QUICK_CUSTOMERS) if options.quick else (MONTHS, CUSTOMERS)
    sizes = {"months": months, "customers": customers}
    measures = {name: lambda name=name: harness.run(name, **sizes) for name in CONTENDERS}
    found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    print(
        f"{months} months of {customers:,} customers; policy: [mean AUC, promotions, missed,"
        " needless]"
    )
    print(found["replay"][0].told)
    fits = {name: found[name][0].told["fits"] for name in ("bare", "once")}
    floor = f"floor: the {fits['bare']} fits of three policies"
    strict = f"strict: the {fits['once']} different ones"
    harness.table(
        {floor: found["bare"], strict: found["once"], "ours: replay": found["replay"]}, floor
    )
    for what, against in (("floor", "bare"), ("stricter floor", "once")):
        for unit, field in (("time", "seconds"), ("CPU", "cpu")):
            ratio = harness.median(found["replay"], field) / harness.median(found[against], field)
            harness.verdict(f"replay / {what}, {unit}", ratio, GOAL)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--months", type=int, default=MONTHS, help=argparse.SUPPRESS)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
