"""A test of two lists in a simulated business: both potential outcomes of everybody are known."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.contacts.assigned import AssignedMonth
from churn_platform.contacts.plan import ARM, ASSIGNED, CONTACT, LIST, PROBABILITY, UNTOUCHED
from churn_platform.contacts.tested_plan import A_ONLY, B_ONLY, DrawnFrom
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.experiments.model_test import list_difference
from churn_platform.ledger.acts import PlannedTest
from churn_platform.simulator import CAMPAIGN
from churn_platform.simulator.campaign import Campaign, assignment_of

CONTRACT = CAMPAIGN.contract(read_contract(default_contract_path()))
KEY = CONTRACT.entity.column
POLICY = ContactPolicy(budget=200)
MONTHS = 4
SEEDS = 12
pytestmark = pytest.mark.slow


def scores(chance, noise, draw):
    """The churn probability by a version that knows it with an error of its log-odds."""
    odds = np.log(chance / (1 - chance)) + noise * draw.standard_normal(chance.size)
    return 1 / (1 + np.exp(-odds))


def lived(seed, noise_a, noise_b):
    """The months of one business as the platform sees them, and the true difference of each."""
    business = Campaign(CONTRACT, 2000, seed)
    draw = np.random.default_rng((seed, 5))
    test = PlannedTest(
        name="test 1", version_a=2, version_b=1, salt=f"s{seed}", budget=int(POLICY.budget)
    )
    recent: set[object] = set()
    months, truths = [], []
    for _ in range(MONTHS):
        month = business.month()
        keys = pd.Series(month.chances.index)
        chance = month.chances.to_numpy()
        by_a, by_b = scores(chance, noise_a, draw), scores(chance, noise_b, draw)
        customers = pd.DataFrame(
            {
                KEY: keys,
                "probability": by_a,
                "value": 1.0,
                "probability_a": by_a,
                "probability_b": by_b,
            }
        )
        excluded = pd.Series(None, index=keys.index, dtype=object)
        excluded[keys.isin(recent)] = "on a recent list"
        named = month.as_of.isoformat()
        rows = DrawnFrom(customers, excluded).plan(POLICY, named, KEY, test).rows
        recent = set(rows.loc[rows[ARM].isin([*ASSIGNED, UNTOUCHED]), KEY])
        outcomes = business.work(*assignment_of(rows, KEY)).outcomes.reindex(rows[KEY])
        when = {
            arm: np.where(
                outcomes[f"reached_if_{arm}"], outcomes["leaves_if_reached"], outcomes["leaves"]
            )
            for arm in ("assigned", "untouched")
        }
        saved = when["untouched"].astype(float) - when["assigned"]
        lists = rows[LIST].to_numpy()
        truths.append(saved[lists == A_ONLY].sum() - saved[lists == B_ONLY].sum())
        drawn = rows[ARM].isin([CONTACT, UNTOUCHED]).to_numpy()
        seen = rows[drawn]
        months.append(
            AssignedMonth(
                as_of=named,
                entities=seen[KEY].to_numpy(dtype=object),
                assigned=(seen[ARM] == CONTACT).to_numpy(),
                probability=seen[PROBABILITY].to_numpy(dtype=float),
                stratum=seen["stratum"].to_numpy(dtype=np.int64),
                churned=outcomes["left"].to_numpy(dtype=bool)[drawn],
                contacted=outcomes["reached"].to_numpy(dtype=bool)[drawn],
                action=np.full(drawn.sum(), None),
                value=np.ones(drawn.sum()),
                cost=np.zeros(drawn.sum()),
            )
        )
    return months, float(np.mean(truths))


@pytest.mark.parametrize("noise", [(0.3, 2.5), (1.0, 1.0)], ids=["B knows less", "alike"])
def test_the_difference_is_that_of_the_potential_outcomes(noise):
    """Twelve businesses of four months: the error of the mean is 0.29 standard errors."""
    missed, truths = [], []
    for seed in range(SEEDS):
        months, truth = lived(seed, *noise)
        found = list_difference(months)
        assert found.sample_ratio > 0.001
        missed.append((found.value - truth) / found.standard_error)
        truths.append(truth)
    assert abs(np.mean(missed)) < 0.9
    assert np.mean(np.abs(missed) < 1.96) >= 0.75
    assert 0.4 < np.std(missed) < 1.5
    if noise[0] < noise[1]:
        assert np.mean(truths) > 5
