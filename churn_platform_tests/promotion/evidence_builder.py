"""Synthetic evidence with a known truth: customers whose churn a model sees through more or less noise."""

import dataclasses

import numpy as np
import pandas as pd

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.drift.result import DriftFigures
from churn_platform.promotion.criteria import CriterionResult
from churn_platform.promotion.decision import Decision, decide, judge
from churn_platform.promotion.evidence import Evidence
from churn_platform.training.candidate import ShuffledRefit

RATE, SPREAD = 0.25, 1.3
DIGEST = "0123456789abcdef" * 4


def build(
    seed=0, customers=1000, months=1, candidate=0.3, production=2.0, forward=None, **changes
) -> Evidence:
    """Evidence of two calibrated models that see the truth with so much noise; production None is the first month.

    An entity has one row a month, the same opinion of each model every month, and labels that are drawn anew.
    """
    random = np.random.default_rng(seed)
    truth = random.normal(size=customers)
    labels = np.tile(truth, months) * SPREAD + logit(RATE) > logit(
        random.random(customers * months)
    )
    rows = labels.size
    fields = {
        "policy": PromotionPolicy(),
        "as_of": "2024-02-29",
        "labels": labels,
        "entities": np.tile(
            np.array([f"c{i:05d}" for i in range(customers)], dtype=object), months
        ),
        "slices": pd.DataFrame(
            {"plan": np.tile(random.choice(["basic", "family"], customers), months)}
        ),
        "candidate": opinion(random, truth, candidate, months),
        "candidate_saw": np.zeros(rows, dtype=bool),
    }
    if production is not None:
        fields |= {
            "production_version": 1,
            "production_as_of": "2024-01-31",
            "production": opinion(random, truth, production, months),
            "production_saw": np.zeros(rows, dtype=bool),
        }
    if forward is not None:
        fields["forward"] = opinion(random, truth, forward, months)
    return Evidence(**(fields | changes))


def changed(evidence, **changes) -> Evidence:
    """The same evidence with other fields."""
    return dataclasses.replace(evidence, **changes)


def picked(evidence, rows) -> Evidence:
    """The same evidence with only these rows, in this order."""
    arrays = (
        "labels",
        "entities",
        "candidate",
        "candidate_saw",
        "production",
        "production_saw",
        "forward",
        "weights",
    )
    found = {name: getattr(evidence, name) for name in arrays}
    taken = {name: array if array is None else array[rows] for name, array in found.items()}
    return changed(evidence, slices=evidence.slices.iloc[rows], **taken)


def with_counts(churners, stayers, **changes) -> Evidence:
    """Evidence with exactly so many churners and stayers, ranked well by the candidate."""
    evidence = build(customers=8 * (churners + stayers), **changes)
    chosen = (
        np.flatnonzero(evidence.labels)[:churners],
        np.flatnonzero(~evidence.labels)[:stayers],
    )
    return picked(evidence, np.sort(np.concatenate(chosen)))


def refit_at_chance(evidence, seed=0) -> ShuffledRefit:
    """A refit that learned nothing from shuffled labels, as it should be."""
    random = np.random.default_rng(seed)
    return ShuffledRefit(random.random(evidence.labels.size), random.permutation(evidence.labels))


def decided(evidence, refit=None, **changes) -> Decision:
    """The whole decision on this evidence."""
    arguments = {
        "candidate_version": 2,
        "candidate_digest": DIGEST,
        "trigger": "drift",
        "policy_hash": "policy",
        "drift": DriftFigures(),
        "digests": {},
    }
    return decide(evidence, refit or refit_at_chance(evidence), **(arguments | changes))


def finding(evidence, name) -> CriterionResult:
    """What one criterion says."""
    return next(found for found in judge(evidence) if found.name == name)


def logit(share):
    return np.log(share / (1 - share))


def expit(value):
    return 1 / (1 + np.exp(-value))


def opinion(random, truth, noise, months):
    """Probabilities of a model that sees the truth through noise and knows how much to trust itself."""
    seen = (truth + noise * random.normal(size=truth.size)) / (1 + noise**2)
    hidden = SPREAD**2 * noise**2 / (1 + noise**2)
    return np.tile(expit((logit(RATE) + SPREAD * seen) / np.sqrt(1 + np.pi * hidden / 8)), months)
