"""Which arm answers a customer: stable, nested, of the share that was asked for."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from churn_platform.experiments.assignment import CANARY, PRODUCTION, arm_of, canary_keys

KEYS = st.one_of(st.text(max_size=12), st.integers(-(2**63), 2**63 - 1))
SHARES = st.floats(0, 1)


@given(st.lists(KEYS, unique_by=str, min_size=1, max_size=30), SHARES)
def test_one_key_and_many_are_drawn_alike(keys, share):
    series = pd.Series(keys, dtype=object)
    many = canary_keys(series, "salt", "experiment", share)
    one = [arm_of(key, "salt", "experiment", share) == CANARY for key in keys]
    assert many.tolist() == one


@given(KEYS, SHARES, SHARES)
def test_a_raise_moves_only_new_keys(key, one, other):
    low, high = sorted((one, other))
    if arm_of(key, "salt", "experiment", low) == CANARY:
        assert arm_of(key, "salt", "experiment", high) == CANARY


def test_the_arm_is_that_of_every_release_of_the_platform():
    drawn = [arm_of(key, "salt", "experiment", 0.5) for key in ("A-1", "A-2", "A-3", 17)]
    assert drawn == [PRODUCTION, CANARY, PRODUCTION, CANARY]


def test_a_million_keys_keep_the_share_and_experiments_are_independent():
    keys = pd.Series(np.arange(1_000_000).astype(str), dtype=object)
    before = np.zeros(len(keys), dtype=bool)
    for share in (0.01, 0.05, 0.25, 0.5):
        drawn = canary_keys(keys, "salt", "experiment", share)
        assert drawn[before].all()
        assert binomtest(int(drawn.sum()), len(keys), share).pvalue >= 0.001
        before = drawn
    other = canary_keys(keys, "salt", "another", 0.5)
    assert binomtest(int((before & other).sum()), len(keys), 0.25).pvalue >= 0.001
