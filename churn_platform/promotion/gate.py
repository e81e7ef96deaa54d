"""Gathers the evidence of one promotion: both models on the same holdout rows, the refits the
gate needs, and how often the holdout was used.
"""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.contract.model import Contract
from churn_platform.contract.policy import TrainingPolicy
from churn_platform.evaluation.leaks import judge_alone
from churn_platform.features.labels import judge_labels
from churn_platform.features.training_dataset import (
    AS_OF,
    HOLDOUT,
    LABEL,
    OUTSIDE,
    WEIGHT,
    Mask,
    TrainingDataset,
    row_weights,
    trained_on,
)
from churn_platform.lake.tables import without_values
from churn_platform.lake.window import Window
from churn_platform.promotion.decision import Decision
from churn_platform.promotion.evidence import Evidence
from churn_platform.training.candidate import Candidate, Fit, forward_scores, recipe_of
from churn_platform.training.imported import unseen_from
from churn_platform.training.model import Recipe

MOST_CONTACTED = 0.01
"""Share of holdout customers who may have been contacted without a plan."""
OF_UNTOUCHED = 2.0
"""Least weight of an untouched customer: at most half of those above the cut are untouched."""


def gather(
    contract: Contract,
    dataset: TrainingDataset,
    candidate: Candidate,
    production: Candidate | None,
    attempt: int,
    fit: Fit = Recipe.fit,
    *,
    ended: Collection[str] = (),
    must_replace: bool = False,
    not_comparable: str = "",
) -> Evidence:
    """Score candidate, production and the month-older recipe on the holdout rows of `dataset`.

    Args:
        contract: the contract, with the policy.
        dataset: the candidate's training dataset.
        candidate: the fitted candidate.
        production: the version in production, None before the first; without hashed training
            entities (an imported model) the comparison is not applicable.
        attempt: n for the nth candidate that is judged on this holdout.
        fit: fits the month-older recipe.
        ended: features of production whose columns have ended. It is scored with missing values
            of them, as it would have to score from now on.
        must_replace: production stands down because of them.
        not_comparable: why these labels do not judge production, if so.
    """
    rows = dataset.holdout_rows()
    entities = rows[contract.entity.column]
    recipe = recipe_of(contract, candidate.card.made_from)
    newest = dataset.newest_rows()
    incumbent: dict[str, Any] = {}
    if production is not None:
        incumbent = {
            "production_version": production.version,
            "production_as_of": production.card.trained_as_of,
            "production_features": _features(production),
            "not_comparable": not_comparable,
        }
    if production is not None and not not_comparable:
        saw, imported = seen_by_production(contract, dataset, production)
        dtypes = {f.name: f.dtype for f in production.card.features if f.name in ended}
        incumbent |= {
            "production": production.model.probability(without_values(rows, dtypes)),
            "production_saw": saw,
            "imported": imported,
            "ended": tuple(dtypes),
            "must_replace": must_replace and bool(dtypes),
        }
    return Evidence(
        policy=contract.policy.promotion,
        as_of=candidate.card.as_of,
        labels=rows[LABEL].to_numpy(dtype=bool),
        weights=row_weights(rows),
        entities=entities.to_numpy(dtype=object),
        slices=rows[list(contract.slices)],
        candidate=np.asarray(candidate.model.probability(rows)),
        candidate_saw=trained_on(entities, candidate.training_entities),
        forward=forward_scores(contract, dataset, fit, recipe),
        alone=judge_alone(contract, newest, newest[LABEL]),
        label_doubts=label_doubts(contract, dataset),
        attempt=attempt,
        candidate_features=_features(candidate),
        **incumbent,
    )


def seen_by_production(
    contract: Contract, dataset: TrainingDataset, production: Candidate
) -> tuple[Mask | None, str]:
    """Which holdout rows production may have been trained on, shape (rows,), None if it may have
    been any; and what that rests on, as a sentence, if it was imported.
    """
    key = contract.entity.column
    rows = dataset.holdout_rows()
    entities = production.training_entities
    imported = production.card.imported
    known = len(entities) > 0
    if imported is None:
        return (trained_on(rows[key], entities) if known else None), ""
    version = f"Version {production.version} was imported"
    if known and not trained_on(dataset.frame[key], entities).any():
        return None, (
            f"{version} with a list of {len(entities):,} customers, and none of them is in"
            f" {'these' if dataset.sample is None else 'the sample of these'} months: the keys may"
            " be written in another way."
        )
    if known:
        return trained_on(rows[key], entities), (
            f"{version} with a list of the {len(entities):,} customers it was trained on."
        )
    since = unseen_from(contract, production.card)
    unseen = (rows[AS_OF] >= since.isoformat()).to_numpy(dtype=bool)
    before = contract.policy.promotion.incumbent_trained_before
    stated = "" if before is None else f" and, by the contract, trained before {before}"
    said = (
        f"{version} on {imported.imported_on} without a list of its customers{stated}: only rows"
        f" of months from {since} on count as unseen."
    )
    return (~unseen if unseen.any() else None), said


def _features(version: Candidate) -> tuple[str, ...]:
    return tuple(feature.name for feature in version.card.features)


def label_doubts(contract: Contract, dataset: TrainingDataset) -> tuple[str, ...]:
    """Why the labels of the training and holdout months look wrong, one sentence each, oldest
    month first.
    """
    frame = dataset.frame
    found = []
    for month in sorted({*dataset.window.training, *dataset.window.holdout}):
        rows = frame[frame[AS_OF] == month.isoformat()]
        if WEIGHT in rows:
            rows = rows[rows[WEIGHT] > 0]
        doubts = judge_labels(rows[LABEL], None, contract.policy.training).doubts
        found += [f"{month}: {doubt}" for doubt in doubts]
    if WEIGHT in frame:
        for month in dataset.window.holdout:
            rows = frame[frame[HOLDOUT] & (frame[AS_OF] == month.isoformat())]
            doubt = _contact_doubt(rows)
            if doubt:
                found.append(f"{month}: {doubt}")
    return tuple(found)


def _contact_doubt(rows: pd.DataFrame) -> str:
    """Why contacts make the holdout rows of a month unfit for a comparison; empty if they do
    not.
    """
    assigned = rows[WEIGHT] == 0
    if assigned.any() and not (rows[WEIGHT] >= OF_UNTOUCHED).any():
        return (
            f"All {int(assigned.sum()):,} holdout customers above the cut of the contact list were"
            " assigned, so nobody shows what they would have done."
        )
    count = int(rows[OUTSIDE].sum())
    if count <= MOST_CONTACTED * len(rows):
        return ""
    return (
        f"{count:,} of {len(rows):,} holdout customers were contacted without a registered plan,"
        " so their labels may show the contact."
    )


def holdout_name(policy: TrainingPolicy, window: Window) -> str:
    """Names a holdout: its customers, by salt and fraction, and its months."""
    months = ",".join(month.isoformat() for month in window.holdout)
    return f"{policy.salt}:{policy.holdout_fraction:g}:{months}"


def attempt_on(holdout: str, candidate_digest: str, decisions: Iterable[Decision]) -> int:
    """N for the nth candidate that is judged on a holdout.

    The more candidates a holdout has judged, the likelier one passes by chance. A candidate
    that was judged on it before is no new attempt: its result is known.
    """
    judged = {
        decision.candidate_digest
        for decision in decisions
        if decision.evidence["holdout"] == holdout
    }
    return len(judged - {candidate_digest}) + 1
