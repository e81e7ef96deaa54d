"""The evidence of a promotion: who is scored on what, and which rows which model has seen."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from churn_platform.evaluation.leaks import judge_alone
from churn_platform.features.training_dataset import entity_hashes
from churn_platform.promotion.gate import attempt_on, gather, holdout_name
from churn_platform.training.candidate import fit_candidate, forward_scores


@pytest.fixture(scope="module")
def production(gym, month, dataset_of):
    """A version fitted on January alone, in production as version 1."""
    return dataclasses.replace(
        fit_candidate(gym, dataset_of(gym, month(seed=1)), "code"), version=1
    )


def test_both_models_are_scored_on_the_same_holdout_rows(gym, two_months, candidate, production):
    rows = two_months.holdout_rows()
    evidence = gather(gym, two_months, candidate, production, attempt=3)
    assert np.array_equal(evidence.candidate, candidate.model.probability(rows))
    assert np.array_equal(evidence.production, production.model.probability(rows))
    assert np.array_equal(evidence.forward, forward_scores(gym, two_months))
    assert evidence.labels.tolist() == rows["label"].tolist()
    assert evidence.entities.tolist() == rows["member"].tolist()
    assert evidence.slices.columns.tolist() == ["region", "tier"]
    assert evidence.slices["tier"].tolist() == rows["tier"].tolist()
    assert (evidence.as_of, evidence.attempt) == ("2024-02-29", 3)
    assert evidence.policy == gym.policy.promotion
    assert (evidence.production_version, evidence.production_as_of) == (1, "2024-01-31")
    trained = two_months.training_rows()
    assert evidence.alone == judge_alone(gym, trained, trained["label"])
    assert not evidence.candidate_saw.any()
    assert not evidence.production_saw.any()
    assert evidence.comparable


def test_production_is_scored_without_its_columns_that_have_ended(
    gym, two_months, candidate, production
):
    rows = two_months.holdout_rows()
    evidence = gather(
        gym, two_months, candidate, production, 1, ended=("monthly_fee", "tier", "unread")
    )
    empty = rows.assign(monthly_fee=np.nan, tier=None)
    assert np.array_equal(evidence.production, production.model.probability(empty))
    assert np.array_equal(evidence.candidate, candidate.model.probability(rows))
    assert evidence.ended == ("monthly_fee", "tier")
    assert evidence.candidate_features == evidence.production_features == tuple(gym.features)


def test_labels_that_do_not_judge_production_leave_it_without_scores(
    gym, two_months, candidate, production
):
    evidence = gather(gym, two_months, candidate, production, 1, not_comparable="Other labels.")
    assert (evidence.production_version, evidence.production_as_of) == (1, "2024-01-31")
    assert evidence.production is evidence.production_saw is None
    assert not evidence.compares
    assert evidence.comparable
    assert gather(gym, two_months, candidate, None, 1).not_comparable == ""


def test_rows_that_production_was_trained_on_are_marked(gym, two_months, candidate, production):
    rows = two_months.holdout_rows()
    seen = rows["member"].iloc[::3]
    knowing = dataclasses.replace(production, training_entities=entity_hashes(seen))
    evidence = gather(gym, two_months, candidate, knowing, attempt=1)
    assert evidence.production_saw.tolist() == rows["member"].isin(seen).tolist()
    assert evidence.sound_rows.sum() == len(rows) - len(seen)


def test_another_salt_leaves_only_the_rows_that_production_never_saw(
    gym, declare, month, dataset_of, candidate
):
    training = {"algorithm": "logistic_regression", "salt": "another"}
    other = declare(policy={"training": training})
    old = dataclasses.replace(
        fit_candidate(other, dataset_of(other, month(seed=1)), "code"), version=1
    )
    evidence = gather(gym, dataset_of(gym, month(seed=1)), candidate, old, attempt=1)
    assert evidence.production_saw.mean() == pytest.approx(0.75, abs=0.08)


def test_rows_that_the_candidate_was_trained_on_are_marked(gym, two_months, candidate):
    first = two_months.holdout_rows()["member"].iloc[:1]
    evidence = gather(
        gym,
        two_months,
        dataclasses.replace(candidate, training_entities=entity_hashes(first)),
        None,
        attempt=1,
    )
    assert np.flatnonzero(evidence.candidate_saw).tolist() == [0]


def test_an_imported_production_without_hashes_says_that_nobody_knows_what_it_saw(
    gym, two_months, candidate, production
):
    imported = dataclasses.replace(production, training_entities=np.array([], dtype=np.uint64))
    evidence = gather(gym, two_months, candidate, imported, attempt=1)
    assert evidence.production_saw is None
    assert evidence.compares
    assert not evidence.sound_rows.any()


def test_before_the_first_promotion_there_is_no_production_and_no_month_before(
    gym, month, dataset_of
):
    dataset = dataset_of(gym, month(seed=1))
    evidence = gather(gym, dataset, fit_candidate(gym, dataset, "code"), None, attempt=1)
    assert evidence.production is evidence.production_version is evidence.production_saw is None
    assert evidence.forward is None
    assert not evidence.compares
    assert evidence.as_of == "2024-01-31"


def test_a_leak_since_the_newest_month_is_not_diluted_among_pooled_months(
    gym, two_months, candidate
):
    pooled = dataclasses.replace(
        two_months, window=dataclasses.replace(two_months.window, training=two_months.window.months)
    )
    frame = pooled.frame.copy()
    newest = frame["as_of"] == frame["as_of"].max()
    frame.loc[newest, "monthly_fee"] = frame.loc[newest, "label"].astype(float)
    leaking = dataclasses.replace(pooled, frame=frame)
    assert list(gather(gym, leaking, candidate, None, 1).alone.leaks) == ["monthly_fee"]


def test_each_other_candidate_on_one_holdout_is_an_attempt(gym, two_months):
    holdout = holdout_name(gym.policy.training, two_months.window)
    assert holdout == f"{gym.policy.training.salt}:0.25:2024-02-29"
    judged = [
        SimpleNamespace(candidate_digest=digest, evidence={"holdout": name})
        for digest, name in (("a", holdout), ("b", holdout), ("a", holdout), ("c", "another"))
    ]
    assert attempt_on(holdout, "a", []) == 1
    assert attempt_on(holdout, "a", judged) == 2
    assert attempt_on(holdout, "c", judged) == 3
