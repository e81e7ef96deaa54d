"""The rows of a comparison: which count, what they must look like, and what never moves a figure."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.contract.policy import PromotionPolicy
from churn_platform.evaluation.comparison import auc_interval, paired_auc_difference
from churn_platform.promotion.criteria.forward_value import forward_auc
from churn_platform.promotion.criteria.no_slice_worse import slice_masks
from churn_platform.promotion.decision import judge
from churn_platform_tests.promotion.evidence_builder import (
    build,
    changed,
    finding,
    picked,
    with_counts,
)

ONE_MONTH = build(
    seed=3, customers=400, forward=1.0, policy=PromotionPolicy(min_holdout_churners=20)
)
POOLED = build(
    seed=4, customers=100, months=3, forward=1.0, policy=PromotionPolicy(min_holdout_churners=20)
)
SEEDS = st.integers(0, 2**32 - 1)


def with_seen_rows(evidence, seed, count):
    """The same evidence with rows of customers that the candidate, production or both trained on, strewn in."""
    random = np.random.default_rng(seed)
    seen = random.integers(1, 4, count)
    extra = {
        "labels": random.random(count) < 0.5,
        "entities": np.array([f"seen{i}" for i in random.integers(0, count, count)], dtype=object),
        "candidate": random.random(count),
        "candidate_saw": seen % 2 == 1,
        "production": random.random(count),
        "production_saw": seen >= 2,
        "forward": random.random(count),
    }
    both = {name: np.concatenate([getattr(evidence, name), added]) for name, added in extra.items()}
    slices = pd.concat([evidence.slices, pd.DataFrame({"plan": ["other"] * count})])
    # The rows compared keep their order, so that every figure must be the very same number.
    place = np.argsort(
        np.concatenate(
            [np.arange(evidence.labels.size), random.uniform(0, evidence.labels.size, count)]
        )
    )
    return picked(changed(evidence, slices=slices, **both), place)


def figures(evidence):
    difference = evidence.difference
    intervals = (evidence.candidate_interval, evidence.production_interval, difference.interval)
    return [
        evidence.churners, evidence.stayers, evidence.candidate_auc, evidence.production_auc,
        difference.standard_error, *(end for one in intervals for end in (one.low, one.high)),
    ]  # fmt: skip


def sentences(evidence):
    return {f.code: (f.outcome, f.detail) for f in judge(evidence) if f.name != "comparable"}


@pytest.mark.parametrize(
    ("evidence", "examples"), [(ONE_MONTH, 15), (POOLED, 2)], ids=["one month", "pooled months"]
)
def test_rows_that_a_model_trained_on_and_another_order_never_move_a_figure(evidence, examples):
    before, said = figures(evidence), sentences(evidence)

    @given(SEEDS, st.integers(1, 300))
    @settings(deadline=None, max_examples=examples)
    def moved(seed, count):
        more = with_seen_rows(evidence, seed, count)
        assert figures(more) == before
        assert sentences(more) == said
        mixed = picked(evidence, np.random.default_rng(seed).permutation(evidence.labels.size))
        assert figures(mixed) == pytest.approx(before, abs=1e-12)
        assert sentences(mixed) == said

    moved()


def test_sound_rows_are_those_that_neither_model_trained_on():
    row = np.arange(400)
    ours = np.isin(row, [1, 2])
    evidence = changed(ONE_MONTH, candidate_saw=ours, production_saw=np.isin(row, [2, 3]))
    assert np.flatnonzero(~evidence.sound_rows).tolist() == [1, 2, 3]
    for values in (evidence.ours, evidence.theirs, evidence.y, evidence.keys):
        assert values.size == 397
    first = build(customers=400, production=None, candidate_saw=ours)
    assert np.flatnonzero(~first.sound_rows).tolist() == [1, 2]
    with pytest.raises(ValueError, match="no production model"):
        _ = first.theirs
    unknown = changed(ONE_MONTH, production_saw=None)
    assert not unknown.sound_rows.any()
    assert not unknown.comparable


def test_a_customer_who_churned_in_three_pooled_months_is_one_churner():
    one = with_counts(60, 200)
    thrice = picked(one, np.tile(np.arange(260), 3))
    assert (thrice.churners, thrice.stayers) == (60, 200)
    assert thrice.labels.sum() == 180


def test_a_customer_who_churned_and_came_back_counts_in_both_classes():
    evidence = with_counts(60, 200)
    entities = evidence.entities.copy()
    entities[np.flatnonzero(evidence.labels)] = entities[np.flatnonzero(~evidence.labels)[:60]]
    both = changed(evidence, entities=entities)
    assert len(set(both.keys)) == 200
    assert (both.churners, both.stayers) == (60, 200)


@pytest.mark.parametrize(
    ("churners", "stayers", "comparable"),
    [(50, 50, True), (49, 300, False), (300, 49, False), (0, 300, False)],
)
def test_where_rows_were_left_out_fifty_of_each_class_must_remain(churners, stayers, comparable):
    whole = with_counts(churners + 10, stayers + 10)
    churned, stayed = np.flatnonzero(whole.labels), np.flatnonzero(~whole.labels)
    saw = np.zeros(whole.labels.size, dtype=bool)
    saw[churned[churners:]] = saw[stayed[stayers:]] = True
    assert changed(whole, production_saw=saw).comparable == comparable
    assert changed(whole, candidate_saw=saw).comparable == comparable


@pytest.mark.parametrize(
    ("churners", "stayers", "comparable"),
    [(1, 1, True), (0, 9, False), (9, 0, False), (0, 0, False)],
)
def test_where_no_row_was_left_out_one_of_each_class_gives_figures(churners, stayers, comparable):
    assert with_counts(churners, stayers).comparable == comparable


@pytest.mark.parametrize("name", ["candidate", "production", "forward"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01, 1.01])
def test_a_score_that_is_no_probability_is_named_with_its_model(name, value):
    scores = getattr(ONE_MONTH, name).copy()
    scores[7] = value
    assert f"1 of the {name} model's 400" in changed(ONE_MONTH, **{name: scores}).unsound_scores()


@pytest.mark.parametrize("name", ["candidate", "production", "forward"])
def test_a_model_that_scored_fewer_rows_is_named(name):
    scores = getattr(ONE_MONTH, name)
    for wrong, count in ((scores[:-3], 397), (scores[:, None], 400)):
        said = changed(ONE_MONTH, **{name: wrong}).unsound_scores()
        assert f"{name} model gave {count} scores for 400" in said


def test_zero_and_one_are_probabilities():
    edges = ONE_MONTH.labels.astype(float)
    assert changed(ONE_MONTH, candidate=edges, production=1 - edges).unsound_scores() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # zeros and ones would pick rows by number
        ({"labels": ONE_MONTH.labels.astype(int)}, "labels is int64"),
        ({"candidate_saw": np.zeros(400, dtype=int)}, "candidate_saw is int64"),
        ({"production_saw": np.zeros(400, dtype=int)}, "production_saw is int64"),
        ({"candidate_saw": np.zeros(399, dtype=bool)}, r"candidate_saw is bool .*399"),
        ({"production_saw": np.zeros(401, dtype=bool)}, r"production_saw is bool .*401"),
        ({"production": None}, "Production version 1 needs its scores"),
        ({"production_version": None}, "Production version None needs its scores"),
        ({"entities": ONE_MONTH.entities[1:]}, "399 entities came with 400 labels"),
        ({"slices": ONE_MONTH.slices.iloc[:5]}, "5 slices came with 400 labels"),
        ({"attempt": 0}, "attempt on this holdout is 0: count from 1"),
        ({"as_of": "February"}, "'February' is not an ISO date"),
        ({"production_as_of": "31.1.2024"}, "'31.1.2024' is not an ISO date"),
    ],
)
def test_rows_that_do_not_line_up_are_an_error(changes, message):
    with pytest.raises(DataError, match=message):
        changed(ONE_MONTH, **changes)


def test_other_scores_give_other_figures_on_the_same_rows():
    before = ONE_MONTH.candidate_auc
    swapped = ONE_MONTH.with_scores(ONE_MONTH.production, ONE_MONTH.candidate)
    assert swapped.candidate_auc == ONE_MONTH.production_auc
    assert swapped.production_auc == before == ONE_MONTH.candidate_auc
    assert ONE_MONTH.with_scores(ONE_MONTH.production).theirs.tolist() == ONE_MONTH.theirs.tolist()


@pytest.mark.parametrize("months", [1, 3])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_difference_is_candidate_minus_production_at_the_policys_level_customer_by_customer(
    months, level
):
    evidence = build(customers=600, months=months, policy=PromotionPolicy(level=level))
    y, ours, theirs, keys = evidence.y, evidence.ours, evidence.theirs, evidence.keys
    assert evidence.difference == paired_auc_difference(y, ours, theirs, level, keys)
    assert evidence.difference.candidate_auc == evidence.candidate_auc > evidence.production_auc
    assert evidence.difference.interval.above(0)
    assert evidence.candidate_interval == auc_interval(y, ours, level, keys)
    assert evidence.production_interval == auc_interval(y, theirs, level, keys)


def with_spoiled_rows(evidence, weight, count=300):
    """The same evidence with rows whose labels contradict every model, all of this weight."""
    random = np.random.default_rng(9)
    labels = random.random(count) < 0.5
    against = np.where(labels, 0.05, 0.9) + 0.05 * random.random(count)
    extra = {
        "labels": labels,
        "entities": np.array([f"spoiled{i}" for i in range(count)], dtype=object),
        "candidate": against,
        "candidate_saw": np.zeros(count, dtype=bool),
        "production": random.permutation(against),
        "production_saw": np.zeros(count, dtype=bool),
        "forward": random.permutation(against),
        "weights": np.full(count, weight),
    }
    before = changed(evidence, weights=np.ones(evidence.labels.size))
    both = {name: np.concatenate([getattr(before, name), added]) for name, added in extra.items()}
    plans = pd.DataFrame({"plan": random.choice(["basic", "family"], count)})
    return changed(before, slices=pd.concat([evidence.slices, plans]), **both)


@pytest.mark.parametrize("weight", [0.0, 1e-13])
def test_rows_of_no_or_next_to_no_weight_move_no_figure_and_no_result(weight):
    found = with_spoiled_rows(ONE_MONTH, weight)
    assert figures(found) == pytest.approx(figures(ONE_MONTH), abs=1e-9)
    assert forward_auc(found) == pytest.approx(forward_auc(ONE_MONTH), abs=1e-9)
    expected = sentences(ONE_MONTH)
    for code, (outcome, detail) in sentences(found).items():
        said = detail.replace("effective ", "").replace("700 holdout rows", "400 holdout rows")
        assert (outcome, said) == expected[code], code
    assert figures(with_spoiled_rows(ONE_MONTH, 1.0)) != pytest.approx(figures(found), abs=0.05)


def test_rows_without_weight_are_not_compared():
    found = with_spoiled_rows(ONE_MONTH, 0.0)
    assert np.flatnonzero(~found.sound_rows).tolist() == list(range(400, 700))
    assert found.untrained_rows.all()
    assert found.w.tolist() == [1.0] * 400
    detail = finding(found, "comparable").detail
    assert "400 holdout rows compared" in detail
    assert "300 rows whose label a contact may have changed" in detail
    assert "trained on were left out" not in detail


def test_customers_count_by_their_effective_number():
    evidence = with_counts(60, 200)
    churned = np.flatnonzero(evidence.labels)
    weights = np.ones(260)
    weights[churned[:20]] = 10.0
    found = changed(evidence, weights=weights)
    # (20 x 10 + 40)^2 / (20 x 100 + 40)
    assert (found.churners, found.stayers) == (28, 200)
    assert found.churn_rate == pytest.approx(240 / 440)
    assert found.comparable
    assert finding(found, "enough_churners").outcome == "fail"
    assert (
        "28 effective churners and 200 effective others" in finding(found, "enough_churners").detail
    )
    thrice = picked(found, np.tile(np.arange(260), 3))
    assert (thrice.churners, thrice.stayers) == (28, 200)
    assert changed(evidence, weights=np.full(260, 1 / 0.9)).churners == 60
    left_out = weights.copy()
    left_out[churned[-1]] = 0.0
    few = changed(evidence, weights=left_out)
    assert not few.comparable
    why = finding(few, "comparable").detail
    assert "1 of 260" in why
    assert "28 effective churners and 200 effective others, where 50 of each" in why


def test_a_slice_counts_by_its_effective_number():
    evidence = with_counts(60, 200)
    plan = pd.DataFrame({"plan": np.where(np.arange(260) % 3 == 0, "basic", "family")})
    basic = (plan["plan"] == "basic").to_numpy()
    evidence = changed(evidence, slices=plan)
    assert len(list(slice_masks(evidence))) == 2
    weights = np.ones(260)
    weights[np.flatnonzero(basic & evidence.labels)[0]] = 1e4
    assert [name for name, _ in slice_masks(changed(evidence, weights=weights))] == [
        "plan = family"
    ]


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (np.full(400, math.nan), NotANumber),
        (np.full(400, -1.0), DataError),
        (np.full(400, math.inf), DataError),
        (np.ones(399), DataError),
    ],
)
def test_weights_that_are_no_weights_are_an_error(weights, error):
    with pytest.raises(error, match="weight"):
        changed(ONE_MONTH, weights=weights)
