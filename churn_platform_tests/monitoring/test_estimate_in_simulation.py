"""Estimates of simulated businesses next to their labels; `benchmarks/estimate.py` has 100 of each."""

import numpy as np
import pytest

from benchmarks.estimate import (
    FIGURES,
    REAL,
    SHIFT,
    Watched,
    estimate_of,
    real_months,
    real_record,
    summaries,
)
from churn_platform.contract.reading import default_contract_path, read_contract

pytestmark = pytest.mark.slow
BUSINESSES = 6


@pytest.fixture(scope="module")
def seen():
    """By what happens in the fourth month."""
    kinds = ("quiet", "narrow", "sudden")
    found = summaries(kinds, BUSINESSES, 5_000, "logistic_regression")
    return {one.kind: one for one in found}


@pytest.mark.parametrize("kind", ["quiet", "narrow"])
def test_figures_are_near_what_labels_show(seen, kind):
    found = seen[kind]
    assert abs(found.errors(0).mean()) < 0.007
    assert np.abs(found.errors(0)).max() < 0.04
    assert abs(found.errors(2).mean()) < 0.006
    for figure in range(len(FIGURES)):
        assert found.coverage(figure) > 0.8
    assert not any(one.withdrawn_later for one in found.months())


def test_a_fall_that_the_customers_cause_is_announced_a_month_early(seen):
    assert seen["narrow"].share("announced", SHIFT) >= 0.5
    assert seen["narrow"].share("announced", SHIFT - 1) == 0
    assert not any(one.announced for one in seen["quiet"].months())
    assert seen["narrow"].part("drivers", SHIFT) < 0.1
    assert "drivers" not in seen["narrow"].causes(SHIFT)


def test_a_sudden_shift_withdraws_every_estimate_with_its_first_labels(seen):
    assert seen["sudden"].share("withdrawn_later", SHIFT - 1) == 0
    assert seen["sudden"].share("withdrawn_later", SHIFT) == 1
    assert seen["sudden"].part("drivers", SHIFT) > 0.9
    assert seen["sudden"].causes(SHIFT).keys() <= {"drivers", "both"}
    assert not any(one.announced for one in seen["sudden"].months())


def test_streamflow_withdraws_it_too():
    if not REAL.is_dir():
        pytest.skip(f"the real StreamFlow months are not at {REAL}")
    january, february = real_months()
    watched = Watched(read_contract(default_contract_path()), january)
    found = estimate_of(watched, february)
    assert found.auc.value > 0.8
    assert real_record(watched, found, february).withdrawn is not None
