"""Every reader of labels takes them as corrected for contacts, on one month whose list was worked."""

import dataclasses
import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from churn_platform.contacts.correction import Correction
from churn_platform.contacts.labels import MonthLabels
from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.result import judge
from churn_platform.evaluation.comparison import paired_auc_difference
from churn_platform.evaluation.metrics import evaluate
from churn_platform.evaluation.statistics import BoolArray, FloatArray, auc
from churn_platform.features.training_dataset import OUTSIDE, WEIGHT, TrainingDataset
from churn_platform.loop.retraining import ProductionModel, RetrainingInputs, should_retrain
from churn_platform.monitoring.challengers import evaluate_challengers
from churn_platform.monitoring.drift import label_columns
from churn_platform.monitoring.performance import realised, stand_down_reason
from churn_platform.promotion.gate import gather
from churn_platform.replay.backtest import Alternative, BacktestSteps
from churn_platform.replay.history import Memory, PastMonth, PastMonths
from churn_platform.replay.home_replay import Scoreboard
from churn_platform.training.candidate import fit_candidate

CUSTOMERS = 4000
JANUARY, FEBRUARY, MARCH = (dt.date(2024, *day) for day in ((1, 31), (2, 29), (3, 31)))


@dataclass(frozen=True)
class Worked:
    """A month whose list was worked: everyone who was assigned stays, contacted or not."""

    rows: pd.DataFrame
    churned: pd.Series
    """Labels as they arrive, by member."""
    left_alone: BoolArray
    """Who would have left without contacts."""
    correction: Correction

    @property
    def weights(self) -> FloatArray:
        return self.correction.weights

    @property
    def labels(self) -> MonthLabels:
        return MonthLabels(self.churned, self.correction)

    @property
    def naive(self) -> MonthLabels:
        return MonthLabels(self.churned)


@pytest.fixture(scope="module")
def people(month):
    def drawn(as_of: dt.date, seed: int) -> pd.DataFrame:
        return month(as_of, CUSTOMERS, seed=seed)

    return drawn


@pytest.fixture(scope="module")
def production(gym, people, dataset_of):
    """Version 1, fitted on January, when nobody was contacted yet."""
    fitted = fit_candidate(gym, dataset_of(gym, people(JANUARY, 1)), "code")
    return dataclasses.replace(fitted, version=1)


@pytest.fixture(scope="module")
def worked(production, people):
    """March: a fifth of the customers is on the list, of whom four fifths are assigned."""
    rows = people(MARCH, 3)
    chance = production.model.probability(rows)
    listed = chance > np.quantile(chance, 0.8)
    untouched = listed & (np.arange(CUSTOMERS) % 5 == 0)
    assigned = listed & ~untouched
    weights = np.where(assigned, 0.0, np.where(untouched, 5.0, 1.0))
    left_alone = rows["label"].to_numpy(dtype=bool)
    churned = pd.Series(left_alone & ~assigned, index=rows["member"])
    nobody = np.zeros(CUSTOMERS, dtype=bool)
    return Worked(
        rows.drop(columns=["as_of", "label"]),
        churned,
        left_alone,
        Correction(weights, assigned, untouched, nobody),
    )


@pytest.fixture(scope="module")
def dataset(gym, worked, dataset_of) -> TrainingDataset:
    """What would be trained on March."""
    rows = worked.rows.assign(as_of=MARCH.isoformat(), label=worked.churned.to_numpy())
    plain = dataset_of(gym, rows)
    order = pd.Index(worked.rows["member"]).get_indexer(pd.Index(plain.frame["member"]))
    weighed = {WEIGHT: worked.weights[order], OUTSIDE: worked.correction.outside[order]}
    return dataclasses.replace(plain, frame=plain.frame.assign(**weighed))


@pytest.fixture(scope="module")
def retrained(gym, dataset):
    return dataclasses.replace(fit_candidate(gym, dataset, "code"), version=2)


def test_performance_is_that_of_the_customers_who_were_not_assigned(gym, worked, production):
    found = realised(gym, worked.rows, worked.labels, production, MARCH.isoformat())
    scores = production.model.probability(worked.rows)
    truth = auc(worked.left_alone, scores)
    assert found.metrics.auc == pytest.approx(truth, abs=0.02)
    assert found.contacts.naive_auc == pytest.approx(auc(worked.churned.to_numpy(), scores))
    assert found.contacts.naive_auc < truth - 0.1
    assert (found.contacts.assigned, found.contacts.untouched) == (
        worked.correction.assigned.sum(),
        worked.correction.untouched.sum(),
    )


def test_the_backtest_measures_as_the_loop(gym, worked, production):
    history = PastMonths({MARCH: PastMonth(worked.rows, ((MARCH, worked.labels),))})
    loop = BacktestSteps(Alternative("this", gym), Memory(history, "code"))
    loop.in_production = production
    loop.performance(MARCH)
    expected = realised(gym, worked.rows, worked.labels, production, MARCH.isoformat())
    assert loop.realised.metrics == expected.metrics


def test_training_rows_are_of_nobody_assigned(worked, dataset):
    rows = dataset.training_rows()
    assert len(rows) == (~dataset.frame["holdout"] & (dataset.frame[WEIGHT] > 0)).sum()
    assert not rows["member"].isin(worked.rows["member"][worked.correction.assigned]).any()
    outside = dataset.frame[OUTSIDE] | dataset.frame["member"].isin(rows["member"][:7])
    left_out = dataclasses.replace(dataset, frame=dataset.frame.assign(**{OUTSIDE: outside}))
    assert len(left_out.training_rows()) == len(rows) - 7
    assert len(left_out.holdout_rows()) == len(dataset.holdout_rows())


def test_the_gate_compares_by_weight(gym, worked, dataset, production, retrained):
    held = dataset.frame[dataset.frame["holdout"] & (dataset.frame[WEIGHT] > 0)]
    expected = held[WEIGHT].to_numpy()
    evidence = gather(gym, dataset, retrained, production, 1)
    assert evidence.weights == pytest.approx(expected)
    assert expected.max() == 5
    card = evaluate(
        held["label"].to_numpy(),
        retrained.model.probability(held),
        retrained.model.threshold,
        weights=expected,
    )
    assert retrained.card.metrics["auc"] == pytest.approx(card.auc)
    assert not any("contacted" in doubt for doubt in evidence.label_doubts)


def test_labels_of_customers_contacted_outside_a_plan_are_in_doubt(
    gym, dataset, production, retrained
):
    held = int(dataset.frame["holdout"].sum())
    contacted = dataset.frame.assign(**{OUTSIDE: dataset.frame["holdout"]})
    evidence = gather(gym, dataclasses.replace(dataset, frame=contacted), retrained, production, 1)
    assert any(f"{held:,} of {held:,}" in doubt for doubt in evidence.label_doubts)


def test_challengers_are_compared_by_weight(gym, worked, production, retrained):
    earlier = dataclasses.replace(
        retrained, card=retrained.card.model_copy(update={"as_of": FEBRUARY.isoformat()})
    )
    found = evaluate_challengers(
        gym,
        {1: production, 2: earlier},
        1,
        {MARCH: (worked.rows, worked.labels)},
        served={1},
        barred=set(),
        comparable=lambda *_: True,
    )
    expected = paired_auc_difference(
        worked.churned.to_numpy(),
        earlier.model.probability(worked.rows),
        production.model.probability(worked.rows),
        weights=worked.weights,
    )
    assert found.compared[0].difference == pytest.approx(expected.difference, abs=1e-12)


def test_the_churn_rate_has_not_drifted(gym, worked, production, people):
    before = people(JANUARY, 1)
    policy = gym.policy.drift

    def target(labels: MonthLabels):
        columns = label_columns([worked.rows["member"]], [labels])
        sides = (
            Rows(before[list(gym.features)], before["label"].astype("boolean")),
            Rows(worked.rows[list(gym.features)], columns.churned, None, columns.weights),
        )
        return judge(policy, measure(gym.features, policy, *sides, seed=7))

    corrected = target(worked.labels)
    naive = target(worked.naive)
    assert corrected.target_drift < corrected.target_threshold
    assert naive.target_drift > naive.target_threshold


def test_the_scoreboard_counts_costs_by_weight(gym, worked, production):
    history = PastMonths({MARCH: PastMonth(worked.rows, ((MARCH, worked.labels),))})
    board = object.__new__(Scoreboard)
    board._contract = gym
    board._memory = Memory(history, "code")
    contacted = production.model.probability(worked.rows) >= production.model.threshold
    churned = worked.churned.to_numpy()
    costs = gym.costs
    expected = costs.missed_churner * worked.weights[churned & ~contacted].sum()
    expected += costs.needless_contact * worked.weights[~churned & contacted].sum()
    assert board._spent(production, MARCH) == pytest.approx(expected)


def asked(contract, entry, production):
    inputs = RetrainingInputs.gather(
        MARCH,
        "inputs",
        window=None,
        left_out={},
        production=ProductionModel(1, JANUARY, tuple(production.card.metrics["auc_interval"])),
        drift_alarms=(),
        performance=[entry],
        decisions=[],
    )
    return should_retrain(contract, dataclasses.replace(inputs, labelled=MARCH))


def test_contacts_outside_a_plan_alarm_nobody_by_themselves(gym, worked, production):
    """A retention team that works its own list: the same labels, but chance did not choose."""
    assigned = worked.correction.assigned
    nobody = np.zeros(CUSTOMERS, dtype=bool)
    outside = Correction(np.ones(CUSTOMERS), nobody, nobody, assigned)
    entry = realised(
        gym, worked.rows, MonthLabels(worked.churned, outside), production, MARCH.isoformat()
    )
    naive = realised(gym, worked.rows, worked.naive, production, MARCH.isoformat())
    assert asked(gym, naive, production).trigger == "performance"
    assert asked(gym, entry, production).trigger is None
    low, high = entry.contacts.bounds
    truth = auc(worked.left_alone, production.model.probability(worked.rows))
    assert low < truth < high
    assert entry.contacts.outside == assigned.sum()
    assert entry.metrics.auc == naive.metrics.auc
    worse = naive.model_copy(
        update={"metrics": naive.metrics.model_copy(update={"auc_interval": (0.45, 0.55)})}
    )
    assert stand_down_reason([worse], 1) is not None
    doubted = worse.model_copy(update={"contacts": entry.contacts})
    assert stand_down_reason([doubted], 1) is None
