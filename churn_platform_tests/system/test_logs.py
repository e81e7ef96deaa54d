"""Businesses that have nothing but a log, through the loop: a simulated one whose best possible model is known, and
a real one, compared with features and labels made independently.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import yaml

from churn_platform.cli.demo import read_truth, write_simulation
from churn_platform.contract.reading import default_contract_path
from churn_platform.evaluation.statistics import auc
from churn_platform.simulator import SCENARIOS
from churn_platform_tests.cdnow import (
    CONTRACT,
    KEY,
    chance_lost,
    customers,
    log_file,
    lost,
    make_drops,
    read_log,
    windows,
)
from churn_platform_tests.small_business import (
    JANUARY,
    MARCH,
    candidate,
    make_home,
    monthly,
    open_home,
)

SEPTEMBER = dt.date(1997, 9, 30)
DECEMBER = dt.date(1997, 12, 31)
NEAR = 0.02


@pytest.fixture(scope="module")
def raw():
    """The raw file of real purchases."""
    path = log_file()
    if path is None:
        pytest.skip("the package lifetimes, which ships the CDNOW log, is not installed")
    return path


@pytest.fixture(scope="module")
def shop(raw, tmp_path_factory):
    """A home with two real months, published and not yet processed."""
    folder = tmp_path_factory.mktemp("cdnow")
    make_drops(folder / "drops", raw, (SEPTEMBER, DECEMBER))
    home = make_home(folder / "home", CONTRACT)
    for as_of in (SEPTEMBER, DECEMBER):
        home.ingestion.accept(folder / "drops" / as_of.isoformat(), as_of)
        home.ingestion.publish(as_of)
    return open_home(home.folder)


@pytest.mark.slow
def test_features_and_labels_of_a_real_log_equal_those_made_with_pandas(shop, raw):
    # Rows that are equal in all columns are one event.
    log = read_log(raw).drop_duplicates()
    for as_of in (SEPTEMBER, DECEMBER):
        keys = customers(log, as_of)
        own = windows(log, as_of, keys).astype(float)
        found = shop.lake.tables(as_of)["purchases"].set_index(KEY).sort_index()
        assert list(found.index) == list(keys)
        np.testing.assert_allclose(
            found[list(own)].astype(float).to_numpy(), own.to_numpy(), rtol=0, atol=1e-9
        )
    labels = shop.lake.labels(SEPTEMBER, shop.now()).sort_index()
    keys = customers(log, SEPTEMBER)
    assert list(labels.index) == list(keys)
    assert (labels.to_numpy() == lost(log, SEPTEMBER, keys)).all()
    assert shop.lake.labels(DECEMBER, shop.now()) is None


@pytest.mark.slow
def test_a_model_of_a_real_log_ranks_a_later_month_well_above_chance_and_as_well_as_bg_nbd(
    shop, raw
):
    monthly(shop, DECEMBER)
    candidate(shop, DECEMBER)
    assert shop.decision_maker.decide(DECEMBER, "first").approved
    shop.decision_maker.carry_out()
    shop.scoring.score(DECEMBER)
    log = read_log(raw).drop_duplicates()
    keys = customers(log, DECEMBER)
    left = lost(log, DECEMBER, keys)
    scores = shop.records.frame("scores", DECEMBER).set_index(KEY)["probability"].loc[keys]
    found = auc(left, scores.to_numpy())
    recency = windows(log, DECEMBER, keys)["days_since_purchase"].to_numpy(dtype=float)
    assert len(keys) == 4_176
    assert found > 0.67
    assert found > auc(left, recency) + 0.08
    assert found > auc(left, chance_lost(log, DECEMBER, keys).to_numpy()) - NEAR


@pytest.mark.slow
def test_a_windowed_model_comes_within_0_02_of_the_best_possible_in_a_simulated_business(tmp_path):
    events = SCENARIOS["events"]
    write_simulation(
        tmp_path / "out", events, default_contract_path(), users=5_000, months=3, seed=1
    )
    truth = read_truth(tmp_path / "out")
    declared = yaml.safe_load((tmp_path / "out" / "contract.yaml").read_text())
    home = make_home(tmp_path / "home", declared)
    for month in truth.deliveries:
        home.ingestion.accept(tmp_path / "out" / month.folder, month.as_of)
        if month.as_of in (JANUARY, MARCH):
            home.ingestion.publish(month.as_of)
        else:
            monthly(home, month.as_of)
            candidate(home, month.as_of)
            decision = home.decision_maker.decide(month.as_of, "first")
            assert (decision.as_of, decision.approved) == (JANUARY.isoformat(), True)
            home = open_home(home.folder)
            home.decision_maker.carry_out()
            home.scoring.score(month.as_of)
    labels = home.lake.labels(truth.months[1].as_of, home.now())
    scores = home.records.frame("scores", truth.months[1].as_of).set_index("user_id")
    # Trained on January, measured on February; both are about all customers.
    # A customer whose first purchase arrived late was not known when February was scored.
    both = labels.index.intersection(scores.index)
    assert len(labels) - 10 <= len(both) <= len(labels)
    realised = auc(labels.loc[both].to_numpy(), scores["probability"].loc[both].to_numpy())
    assert len(labels) == pytest.approx(5_000, rel=0.1)
    assert labels.mean() == pytest.approx(truth.months[1].churn_rate, abs=0.005)
    assert truth.months[1].best_auc - NEAR < realised < truth.months[1].best_auc + NEAR
    # Purchases that arrived late are in the features of January that are known now.
    assert len(home.lake.deliveries(JANUARY)) > 1
    assert isinstance(home.lake.tables(MARCH)["payments"], pd.DataFrame)
