"""The metrics of one model against scikit-learn, and the threshold against trying every one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.comparison import auc_interval
from churn_platform.evaluation.metrics import cheapest_threshold, evaluate
from churn_platform.evaluation.statistics import auc, chance_p_value


def month(seed=0, rows=500, digits=2):
    """Labels and probabilities with ties, drawn so that the probabilities are nearly true."""
    random = np.random.default_rng(seed)
    values = np.round(random.beta(1.5, 4, rows), digits)
    return (random.random(rows) < values).astype(float), values


def test_every_metric_is_scikit_learns():
    labels, values = month()
    found = evaluate(labels, values, 0.4)
    contacted = values >= 0.4
    top = np.argsort(-values, kind="stable")[:50]
    shown = found.as_dict()
    assert shown.pop("auc_interval") == auc_interval(labels, values).as_list()
    assert shown == pytest.approx(
        {
            "rows": 500,
            "churners": labels.sum(),
            "auc": oracle.roc_auc_score(labels, values),
            "pr_auc": oracle.average_precision_score(labels, values),
            "f1": oracle.f1_score(labels, contacted),
            "accuracy": oracle.accuracy_score(labels, contacted),
            "brier": oracle.brier_score_loss(labels, values),
            "baseline_brier": oracle.brier_score_loss(labels, np.full(500, labels.mean())),
            "log_loss": oracle.log_loss(labels, values),
            "lift_at_10": labels[top].mean() / labels.mean(),
            "recall_at_10": labels[top].sum() / labels.sum(),
        }
    )


def test_a_probability_at_the_threshold_is_predicted_to_churn():
    labels = np.array([0.0, 1.0, 1.0, 0.0])
    values = np.array([0.1, 0.5, 0.9, 0.4])
    assert evaluate(labels, values, 0.5).accuracy == 1.0
    assert evaluate(labels, values, 0.5).f1 == 1.0
    assert evaluate(labels, values, 0.5000001).accuracy == 0.75


def test_a_threshold_that_contacts_nobody_has_an_f1_of_zero_without_a_warning(recwarn):
    labels, values = month()
    assert evaluate(labels, values * 0.9, 1.0).f1 == 0.0
    assert not recwarn.list


def test_lift_and_recall_are_of_the_ceiling_of_a_tenth_of_the_rows():
    labels = np.zeros(21)
    labels[[0, 1, 5, 20]] = 1
    values = np.linspace(1, 0, 21)
    found = evaluate(labels, values, 0.5)
    assert found.recall_at_10 == pytest.approx(2 / 4)
    assert found.lift_at_10 == pytest.approx((2 / 3) / (4 / 21))


def test_pooled_months_widen_the_interval_of_the_auc_and_nothing_else():
    labels, values = month()
    rows = np.tile(np.arange(500), 4)
    plain = evaluate(labels[rows], values[rows], 0.4).as_dict()
    pooled = evaluate(labels[rows], values[rows], 0.4, entities=rows).as_dict()
    narrow = plain.pop("auc_interval")
    wide = pooled.pop("auc_interval")
    assert wide[1] - wide[0] > 1.7 * (narrow[1] - narrow[0])
    assert pooled == plain


@pytest.mark.parametrize("threshold", [math.nan, 1.1])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(DataError, match="thresholds"):
        evaluate(*month(), threshold)


SCORES = [
    auc,
    auc_interval,
    chance_p_value,
    lambda *rows: evaluate(*rows, 0.5),
    lambda *rows: cheapest_threshold(*rows, 5, 1),
]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("spoiled", [0, 1])
def test_a_nan_label_or_score_is_an_error_in_every_score(score, spoiled):
    arguments = [np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.2, 0.7, 0.4, 0.1])]
    arguments[spoiled][1] = math.nan
    with pytest.raises(NotANumber, match="1 of 4"):
        score(*arguments)


def cost(labels, values, threshold, missed, needless):
    contacted = values >= threshold
    return missed * int((labels & ~contacted).sum()) + needless * int((~labels & contacted).sum())


NEIGHBOURS = [0.5, math.nextafter(0.5, 1), math.nextafter(math.nextafter(0.5, 1), 1)]
EDGES = [0.0, math.nextafter(0.0, 1), math.nextafter(1.0, 0), 1.0]


@given(
    st.lists(
        st.tuples(st.booleans(), st.one_of(st.sampled_from(NEIGHBOURS + EDGES), st.floats(0, 1))),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 6),
    st.integers(0, 6),
)
@settings(deadline=None, max_examples=200)
def test_no_threshold_costs_less_than_the_chosen_one(rows, missed, needless):
    labels = np.array([label for label, _ in rows])
    values = np.array([value for _, value in rows])
    chosen = cheapest_threshold(labels, values, missed, needless)
    distinct = np.unique(values)
    tried = [0.0, 1.0, *distinct, *((distinct[1:] + distinct[:-1]) / 2)]
    least = min(cost(labels, values, threshold, missed, needless) for threshold in tried)
    assert cost(labels, values, chosen, missed, needless) == least
    # No threshold that contacts fewer is as cheap.
    fewer = [t for t in tried if (values >= t).sum() < (values >= chosen).sum()]
    assert all(cost(labels, values, t, missed, needless) > least for t in fewer)


def test_the_chosen_threshold_lies_midway_between_two_probabilities():
    labels = np.array([0, 0, 1, 1])
    values = np.array([0.1, 0.2, 0.4, 0.8])
    assert cheapest_threshold(labels, values, 5, 1) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("missed", "needless", "error", "message"),
    [
        (math.nan, 1, NotANumber, "a missed churner is NaN"),
        (5, math.nan, NotANumber, "a needless contact is NaN"),
        (-1, 1, DataError, "a missed churner is -1"),
        (5, math.inf, DataError, "a needless contact is inf"),
    ],
)
def test_a_cost_that_is_no_cost_is_refused(missed, needless, error, message):
    with pytest.raises(error, match=message):
        cheapest_threshold(np.array([0, 1]), np.array([0.2, 0.7]), missed, needless)
