"""How often does a quiet month raise a drift alarm, and how often does a month that moved?

By the loop's own rules, on simulated months whose truth is known.

    uv run python -m benchmarks.false_alarms [--quick] [customers ...]

200 months a size: 20 businesses, each month compared with the one that production was trained
on, the alarm eased by hysteresis after an alarm, as in the loop. The goal is at most 5% of
months. `strangers` is the same rate where nobody
stays: every month is another draw of people. `moved seen` is the share of 20 businesses that
alarm in the month in which two of 14 features move by half a standard deviation: a silent alarm
would be no feat.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.result import drift_alarms, judge
from churn_platform.features.training_dataset import in_holdout
from churn_platform.ingestion.rules import conform
from churn_platform.lake.tables import feature_frame
from churn_platform.simulator import QUIET, SCENARIOS, Scenario, SimulatedMonth, simulate
from churn_platform.training.model import ChurnModel, Recipe

GOAL = 0.05
BUSINESSES = 20
MONTHS = 10
SIZES = (300, 1_000, 10_000)


def alarms_by_month(
    contract: Contract, users: int, businesses: int, months: int, scenario: Scenario = QUIET
) -> Iterator[tuple[str, ...]]:
    """The alarms of each month after the first, of so many businesses of `users` customers, one
    after the other.
    """
    for seed in range(1, businesses + 1):
        drawn = simulate(contract, users, months + 1, seed, scenario=scenario)
        frame, labels = rows_of(contract, next(drawn))
        model = production(contract, frame, labels)
        reference = side(contract, model, frame, labels)
        alarmed = False
        for month in drawn:
            current = side(contract, model, *rows_of(contract, month))
            alarms = alarms_of(contract, reference, current, alarmed=alarmed)
            alarmed = bool(alarms)
            yield alarms


def alarms_of_strangers(
    contract: Contract, users: int, businesses: int, months: int
) -> Iterator[tuple[str, ...]]:
    """The same where nobody stays: every month is another draw of people of the same business.

    Harder than a business's own months, where most customers come again and the samples differ
    less.
    """
    for seed in range(1, businesses + 1):
        frame, labels = rows_of(contract, next(simulate(contract, users, 1, seed)))
        model = production(contract, frame, labels)
        reference = side(contract, model, frame, labels)
        for people in range(months):
            drawn = next(simulate(contract, users, 1, seed, people=people))
            yield alarms_of(
                contract,
                reference,
                side(contract, model, *rows_of(contract, drawn)),
                alarmed=False,
            )


def rows_of(contract: Contract, month: SimulatedMonth):  # noqa: ANN201 - a frame and its labels
    """The month's feature rows and its labels, row for row."""
    tables = {name: conform(contract, name, frame)[0] for name, frame in month.tables.items()}
    frame = feature_frame(contract, tables)
    key = contract.entity.column
    label = contract.label
    labels = tables[label.table].set_index(key)[label.column].astype("boolean")
    return frame, frame[key].map(labels).astype("boolean")


def production(contract: Contract, frame, labels) -> ChurnModel:  # noqa: ANN001 - as above
    """A model of the contract's recipe, fitted on the rows outside the holdout."""
    policy = contract.policy.training
    entities = frame[contract.entity.column]
    trains = ~in_holdout(entities, policy.salt, policy.holdout_fraction)
    rows = frame[trains].reset_index(drop=True)
    return Recipe.of(contract).fit(
        rows, labels[trains].reset_index(drop=True), entities[trains].reset_index(drop=True)
    )


def side(contract: Contract, model: ChurnModel, frame, labels) -> Rows:  # noqa: ANN001 - as above
    """One side of the comparison, with production's predictions."""
    return Rows(frame[list(contract.features)], labels, model.probability(frame))


def alarms_of(
    contract: Contract, reference: Rows, current: Rows, *, alarmed: bool
) -> tuple[str, ...]:
    """What the loop would call an alarm."""
    policy = contract.policy
    evidence = measure(
        contract.features, policy.drift, reference, current, seed=policy.training.seed
    )
    result = judge(policy.drift, evidence)
    return drift_alarms(result, policy.retraining.hysteresis, alarmed=alarmed)


def share_of(months: list[tuple[str, ...]]) -> float:
    """The share of months with an alarm."""
    return sum(map(bool, months)) / len(months)


def main() -> None:
    """Print the rates of each size beside the goal."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--quick", action="store_true", help="two businesses and one size, to try the script"
    )
    parser.add_argument("customers", nargs="*", type=int)
    asked = parser.parse_args()
    sizes = asked.customers or (SIZES[:1] if asked.quick else SIZES)
    businesses = 2 if asked.quick else BUSINESSES
    contract = read_contract(default_contract_path())
    print(
        f"{'customers':>9}  {'months':>6}  {'rate':>6}  {'strangers':>9}  goal <= "
        f" {'moved seen':>10}  by kind"
    )
    for users in sizes:
        quiet = list(alarms_by_month(contract, users, businesses, MONTHS))
        strangers = list(alarms_of_strangers(contract, users, businesses, MONTHS))
        moved = list(alarms_by_month(contract, users, businesses, 2, SCENARIOS["covariate-shift"]))[
            1::2
        ]
        kinds = Counter(
            " ".join(alarm.split()[:2]) for alarms in [*quiet, *strangers] for alarm in alarms
        )
        said = ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "none"
        rates = (
            f"{share_of(quiet):>6.1%}  {share_of(strangers):>9.1%}  {GOAL:>7.0%} "
            f" {share_of(moved):>10.0%}"
        )
        print(f"{users:>9,}  {len(quiet):>6}  {rates}  {said}", flush=True)


if __name__ == "__main__":
    main()
