"""GATE007: an overall gain does not excuse a slice of customers that is wholly worse off."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.promotion.criteria.no_slice_worse import slice_masks
from churn_platform_tests.promotion.evidence_builder import (
    build,
    changed,
    decided,
    finding,
    picked,
    with_counts,
)

CUSTOMERS = 1200


def worse_in(share, seed=0, names=("mine", "theirs"), months=1):
    """A candidate much better than production, but worse in one slice that holds this share of the customers."""
    good, bad = (
        build(seed=seed, customers=CUSTOMERS // months, months=months, candidate=c)
        for c in (0.2, 9.0)
    )
    rows = np.tile(np.random.default_rng(1).random(CUSTOMERS // months) < share, months)
    scores = np.where(rows, bad.candidate, good.candidate)
    slices = pd.DataFrame({"plan": np.where(rows, *names)})
    return changed(good, candidate=scores, production=build(seed=seed, customers=CUSTOMERS // months, months=months,
                   candidate=1.2).candidate, slices=slices)  # fmt: skip


def test_a_candidate_better_in_every_slice_passes_and_names_its_least_gain():
    found = finding(build(seed=0), "no_slice_worse")
    assert found.outcome == "pass"
    assert found.detail == (
        "The candidate is not clearly worse in any slice; it gains least where plan = family: +0.118 [+0.050, +0.186] "
        "(2 slices tested, intervals widened for their number)."
    )


@pytest.mark.parametrize("months", [1, 2])
def test_a_candidate_better_overall_but_wholly_worse_in_one_slice_is_refused(months):
    evidence = worse_in(0.25, months=months)
    assert finding(evidence, "beats_production").outcome == "pass"
    assert finding(evidence, "interval_above_zero").outcome == "pass"
    found = finding(evidence, "no_slice_worse")
    assert (found.outcome, found.refuses) == ("fail", True)
    assert found.detail.startswith(
        "The candidate's AUC is clearly below production's where plan = mine: -0."
    )
    assert "plan = theirs" not in found.detail
    assert decided(evidence).reason == found.detail


def test_the_intervals_are_widened_for_the_number_of_slices():
    evidence = worse_in(0.09, seed=6, names=("few", "many"))
    assert finding(evidence, "no_slice_worse").outcome == "fail"
    random = np.random.default_rng(0)
    extra = {f"harmless {i}": random.choice(["a", "b", "c"], CUSTOMERS) for i in range(30)}
    assert len(list(slice_masks(changed(evidence, slices=pd.DataFrame(extra))))) == 90
    assert (
        finding(changed(evidence, slices=pd.DataFrame(extra)), "no_slice_worse").outcome == "pass"
    )
    both = changed(evidence, slices=evidence.slices.assign(**extra))
    assert finding(both, "no_slice_worse").outcome == "pass"
    assert "(92 slices tested" in finding(both, "no_slice_worse").detail


def test_the_policys_level_is_what_is_widened():
    evidence = worse_in(0.09, seed=6)
    assert finding(evidence, "no_slice_worse").outcome == "fail"
    careful = changed(evidence, policy=PromotionPolicy(level=0.9999))
    assert finding(careful, "no_slice_worse").outcome == "pass"


def test_customers_without_a_value_are_a_slice_of_their_own():
    evidence = worse_in(0.25, names=(None, "known"))
    found = finding(evidence, "no_slice_worse")
    assert found.outcome == "fail"
    assert "where plan = (none): -0." in found.detail


@pytest.mark.parametrize("dtype", ["category", "boolean", "Int64", "float64", "object"])
def test_slices_of_every_dtype_are_read_value_by_value(dtype):
    evidence = build(seed=0, slices=pd.DataFrame({"flag": pd.Series([1, 0] * 500).astype(dtype)}))
    masks = dict(slice_masks(evidence))
    assert len(masks) == 2
    assert [int(mask.sum()) for mask in masks.values()] == [500, 500]


@pytest.mark.parametrize(
    ("churners", "stayers", "tested"), [(10, 90, 1), (9, 90, 0), (90, 9, 0), (0, 90, 0)]
)
def test_slices_with_fewer_than_ten_of_a_class_are_not_ranked(churners, stayers, tested):
    slices = pd.DataFrame({"plan": ["one"] * (churners + stayers)})
    evidence = changed(with_counts(churners, stayers), slices=slices)
    assert len(list(slice_masks(evidence))) == tested


def test_ten_rows_of_one_churner_are_one_churner():
    evidence = picked(with_counts(9, 90), np.tile(np.arange(99), 2))
    assert list(slice_masks(changed(evidence, slices=pd.DataFrame({"plan": ["one"] * 198})))) == []


def test_without_slices_it_does_not_apply():
    found = finding(build(slices=pd.DataFrame(index=range(1000))), "no_slice_worse")
    assert (found.outcome, found.refuses) == ("not_applicable", False)
    assert found.detail == "No slice holds 10 churners and 10 others."


def test_only_the_sound_rows_of_a_slice_count():
    evidence = worse_in(0.25)
    saw = (evidence.slices["plan"] == "mine").to_numpy()
    assert finding(changed(evidence, production_saw=saw), "no_slice_worse").outcome == "pass"
