"""Batch scoring of 1,000,000 customers: rank, decile and probability of all, reasons of the 500
that are listed.

Floor: LightGBM's own `Booster.predict` on the prepared matrix. Peer: the scikit-learn
pipeline's `predict_proba` on the prepared frame, no list. Ours: from the month's rows to the
ranked list with reasons, by the model as a release holds it (skops bytes). All on one thread,
as the model is shipped; imports and the reading of the month are not counted. The probabilities
are compared with sigmoid(booster) to 1e-12.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import harness
from benchmarks.business import tables_of
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.lake.tables import feature_frame
from churn_platform.scoring.ranking import rank, reasons
from churn_platform.training.estimator import model_input
from churn_platform.training.model import ChurnModel, Recipe, load_model

CUSTOMERS = 1_000_000
QUICK_CUSTOMERS = 20_000
TRAINING = 20_000
GOAL = 3.0
EXACT = 1e-12
OURS = "ours: ranked list with reasons"
PEER = "scikit-learn pipeline"
FLOOR = "floor: Booster.predict"
CONTRACT = read_contract(default_contract_path())


def _model(options: argparse.Namespace) -> ChurnModel:
    return load_model(options.model.read_bytes(), Recipe.of(CONTRACT).features)


def _fitted() -> bytes:
    rows = feature_frame(CONTRACT, tables_of(CONTRACT, TRAINING, 2))
    rng = np.random.default_rng(0)
    numbers = model_input(Recipe.of(CONTRACT).features, rows).select_dtypes("number")
    pull = ((numbers - numbers.mean()) / numbers.std()).fillna(0.0).to_numpy()[:, :4].sum(axis=1)
    labels = pd.Series(rng.random(len(rows)) < 1 / (1 + np.exp(1.5 - pull)))
    return Recipe.of(CONTRACT).fit(rows, labels, rows[CONTRACT.entity.column]).to_bytes()


def _rows(options: argparse.Namespace) -> pd.DataFrame:
    return feature_frame(CONTRACT, tables_of(CONTRACT, options.customers, 1))


def _ours(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    model = _model(options)
    rows = _rows(options)
    key = CONTRACT.entity.column
    policy = CONTRACT.policy.scoring
    with clock.running():
        ranked = rank(CONTRACT, rows, model.probability(rows))
        chosen = rows.set_index(key).loc[ranked[key].head(policy.listed)].reset_index()
        said = reasons(CONTRACT, chosen, model, policy.reasons)
    by_row = ranked.set_index(key)["probability"].reindex(rows[key])
    return {
        "customers": len(ranked),
        "reasons": said.size,
        "furthest": float(np.abs(by_row - _plain(model, rows)).max()),
    }


def _plain(model: ChurnModel, rows: pd.DataFrame) -> np.ndarray:
    """The probabilities by hand: booster, log-odds, sigmoid."""
    classify = model.pipeline.named_steps["classify"]
    raw = classify.estimator_.booster_.predict(_matrix(model, rows), raw_score=True)
    bound = np.log((1 - 1e-6) / 1e-6)
    return 1 / (1 + np.exp(-(classify.slope_ * np.clip(raw, -bound, bound) + classify.intercept_)))


def _matrix(model: ChurnModel, rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(
        model.pipeline.named_steps["prepare"].transform(model_input(model.features, rows))
    )


def _pipeline(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    model = _model(options)
    rows = _rows(options)
    frame = model_input(model.features, rows)
    with clock.running():
        model.pipeline.predict_proba(frame)
    return {"customers": len(rows)}


def _booster(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    model = _model(options)
    rows = _rows(options)
    booster = model.pipeline.named_steps["classify"].estimator_.booster_
    matrix = _matrix(model, rows)
    with clock.running():
        booster.predict(matrix, num_threads=1)
    return {"customers": len(rows)}


CONTENDERS = {OURS: _ours, PEER: _pipeline, FLOOR: _booster}


def _report(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.skops"
        model.write_bytes(_fitted())
        customers = QUICK_CUSTOMERS if options.quick else CUSTOMERS
        given = {"customers": customers, "model": model}
        measures = {name: lambda name=name: harness.run(name, **given) for name in CONTENDERS}
        found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    told = found[OURS][0].told
    print(
        f"{told['customers']:,} customers, {len(CONTRACT.features)} features,"
        f" {told['reasons']:,} reasons"
    )
    harness.table(found, FLOOR)
    harness.verdict(
        "ours / floor", harness.median(found[OURS]) / harness.median(found[FLOOR]), GOAL
    )
    print(
        f"furthest probability from the booster's through the sigmoid: {told['furthest']:.1e},"
        f" allowed {EXACT:g}"
    )
    if told["furthest"] > EXACT:
        raise SystemExit("The probabilities differ.")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
