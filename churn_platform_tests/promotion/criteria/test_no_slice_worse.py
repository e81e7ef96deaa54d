"""GATE007: an overall gain does not excuse a slice of customers that is clearly worse off."""

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

    def model(noise):
        return build(
            seed=seed, customers=CUSTOMERS // months, months=months, candidate=noise
        ).candidate

    evidence = build(seed=seed, customers=CUSTOMERS // months, months=months)
    rows = np.tile(np.random.default_rng(1).random(CUSTOMERS // months) < share, months)
    scores = np.where(rows, model(9.0), model(0.2))
    slices = pd.DataFrame({"plan": np.where(rows, *names)})
    return changed(evidence, candidate=scores, production=model(1.2), slices=slices)


def found_in(evidence, **changes):
    return finding(changed(evidence, **changes), "no_slice_worse")


def test_a_candidate_better_in_every_slice_passes_and_names_its_least_gain():
    found = found_in(build(seed=0))
    assert found.outcome == "pass"
    assert "plan = family: +0.118 [+0.050, +0.186]" in found.detail
    assert "2 slices" in found.detail


@pytest.mark.parametrize("months", [1, 2])
def test_a_candidate_better_overall_but_worse_in_one_slice_is_refused(months):
    evidence = worse_in(0.25, months=months)
    for name in ("beats_production", "interval_above_zero"):
        assert finding(evidence, name).outcome == "pass"
    found = found_in(evidence)
    assert (found.outcome, found.refuses) == ("fail", True)
    assert "plan = mine: -0." in found.detail
    assert "plan = theirs" not in found.detail
    assert decided(evidence).reason == found.detail
    # only the valid rows of a slice count
    saw = (evidence.slices["plan"] == "mine").to_numpy()
    assert found_in(evidence, production_saw=saw).outcome == "pass"


def test_the_policys_level_is_widened_for_the_number_of_slices():
    evidence = worse_in(0.09, seed=6)
    assert found_in(evidence).outcome == "fail"
    assert found_in(evidence, policy=PromotionPolicy(level=0.9999)).outcome == "pass"
    random = np.random.default_rng(0)
    extra = {f"harmless {i}": random.choice(["a", "b", "c"], CUSTOMERS) for i in range(30)}
    both = found_in(evidence, slices=evidence.slices.assign(**extra))
    assert both.outcome == "pass"
    assert "92 slices" in both.detail


def test_customers_without_a_value_are_a_slice_of_their_own():
    found = found_in(worse_in(0.25, names=(None, "known")))
    assert found.outcome == "fail"
    assert "plan = (none): -0." in found.detail


@pytest.mark.parametrize("dtype", ["category", "boolean", "Int64", "float64", "object"])
def test_slices_of_every_dtype_are_read_value_by_value(dtype):
    evidence = build(seed=0, slices=pd.DataFrame({"flag": pd.Series([1, 0] * 500).astype(dtype)}))
    assert [int(mask.sum()) for _, mask in slice_masks(evidence)] == [500, 500]


@pytest.mark.parametrize(
    ("churners", "stayers", "tested"), [(10, 90, 1), (9, 90, 0), (90, 9, 0), (0, 90, 0)]
)
def test_slices_with_fewer_than_ten_of_a_class_are_not_ranked_however_often_they_come(
    churners, stayers, tested
):
    twice = picked(with_counts(churners, stayers), np.tile(np.arange(churners + stayers), 2))
    evidence = changed(twice, slices=pd.DataFrame({"plan": ["one"] * twice.labels.size}))
    assert len(list(slice_masks(evidence))) == tested


def test_without_slices_it_does_not_apply():
    found = found_in(build(slices=pd.DataFrame(index=range(1000))))
    assert (found.outcome, found.refuses) == ("not_applicable", False)
