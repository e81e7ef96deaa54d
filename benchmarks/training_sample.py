"""What does a model lose, and a machine save, if only a sample of the customers trains?

    uv run python -m benchmarks.training_sample [--quick] [--customers N]

One month of a simulated business. Each limit of `policy.training.max_rows` draws its customers
from all labels, reads the rows of those alone, and fits the candidate. The floor is the draw and
the fit without a limit. The AUC is measured on other customers of the same business.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from benchmarks import harness
from benchmarks.false_alarms import rows_of
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.evaluation.statistics import auc
from churn_platform.features.customer_draw import draw
from churn_platform.features.training_dataset import AS_OF, LABEL, assemble
from churn_platform.lake.window import Window
from churn_platform.simulator import simulate
from churn_platform.training.candidate import fit_candidate

CUSTOMERS = 1_000_000
QUICK_CUSTOMERS = 8_000
LIMITS = (1_000, 10_000, 50_000, 250_000)
QUICK_LIMITS = (1_000, 4_000)
STRANGERS = 200_000
CHUNK = 20_000
LOST = 0.001
"""The most AUC that a sample of a quarter of a million rows may lose: a tenth of the policy's
`delta`.
"""
BUSINESS = "business.parquet"
OTHERS = "others.parquet"


def _contract(max_rows: int) -> Contract:
    """The contract that ships, with a limit; 0 is none."""
    declared = read_contract(default_contract_path()).as_mapping()
    declared["policy"]["training"] |= {"max_rows": max_rows or None}
    return Contract.model_validate(declared)


def _simulated(options: argparse.Namespace, _: harness.Clock) -> dict[str, Any]:
    """Write a month of the business, and one of other people of it. In a process of its own: the
    peak memory of a process that starts others counts as theirs.
    """
    contract = _contract(0)
    for name, size, people in (
        (BUSINESS, options.customers, {}),
        (OTHERS, options.strangers, {"people": 1}),
    ):
        month = next(simulate(contract, size, 1, 1, **people))
        frame, labels = rows_of(contract, month)
        frame.assign(**{LABEL: labels, AS_OF: month.as_of}).to_parquet(options.folder / name)
    return {}


def _fitted(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    import lightgbm  # noqa: F401 - imported before the clock runs

    contract = _contract(options.max_rows)
    key = contract.entity.column
    file = options.folder / BUSINESS
    with clock.running():
        known = pq.read_table(file, columns=[key, LABEL, AS_OF]).to_pandas()
        month = known[AS_OF].iloc[0]
        labels = MonthLabels(known.set_index(key)[LABEL].astype(bool))
        window = Window(training=(month,), holdout=(month,), forward=())
        drawn = draw(contract.policy.training, window, lambda _: labels)
        kept = drawn.labels_of(month).churned.index
        filters = None if drawn.sample is None else [(key, "in", list(kept))]
        rows = pq.read_table(file, filters=filters).to_pandas()
        rows[AS_OF] = month.isoformat()
        spine = rows[[key, AS_OF, *contract.carried, LABEL]]
        dataset = assemble(contract, spine, rows[[key, AS_OF, *contract.features]], window)
        card_of = fit_candidate(contract, dataset, "code")
    strangers = pd.read_parquet(options.folder / OTHERS)
    parts = [strangers[start : start + CHUNK] for start in range(0, len(strangers), CHUNK)]
    scores = pd.concat([pd.Series(card_of.model.probability(part)) for part in parts])
    return {
        "auc": auc(strangers[LABEL].to_numpy(dtype=bool), scores.to_numpy()),
        "rows": card_of.card.training_rows,
        "interval": card_of.card.metrics["auc_interval"],
    }


def _report(options: argparse.Namespace) -> None:
    customers = QUICK_CUSTOMERS if options.quick else options.customers
    limits = QUICK_LIMITS if options.quick else LIMITS
    with tempfile.TemporaryDirectory() as folder:
        strangers = CHUNK if options.quick else STRANGERS
        harness.run("simulated", customers=customers, strangers=strangers, folder=folder)
        measures = {
            f"max_rows {limit:,}" if limit else "no limit": (
                lambda limit=limit: harness.run("fitted", max_rows=limit, folder=folder)
            )
            for limit in (*limits, 0)
        }
        found = harness.in_turns(measures, 1 if options.quick else options.rounds)
    harness.table(found, "no limit")
    complete = found["no limit"][0].told["auc"]
    for name, runs in found.items():
        told = runs[0].told
        low, high = told["interval"]
        print(
            f"{name:20} {told['rows']:>9,} training rows, AUC {told['auc']:.4f}"
            f" ({told['auc'] - complete:+.4f}), on the holdout [{low:.4f}, {high:.4f}]"
        )
    largest = found[f"max_rows {limits[-1]:,}"]
    lost = complete - largest[0].told["auc"]
    harness.verdict(f"AUC lost with max_rows {limits[-1]:,}", lost, 1.0 if options.quick else LOST)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    parser.add_argument("--max_rows", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--strangers", type=int, default=STRANGERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main({"simulated": _simulated, "fitted": _fitted}, _arguments, _report)
