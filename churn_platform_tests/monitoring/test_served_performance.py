"""What was answered through the API: worth on labels the version did not learn from, and distance from what it learnt."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.cli.status import _answered
from churn_platform.contacts.correction import Correction
from churn_platform.contacts.labels import MonthLabels
from churn_platform.defs.monitoring import _served_table
from churn_platform.monitoring.performance import ServedPerformance
from churn_platform.monitoring.served_performance import contacts_of_served, review
from churn_platform_tests.monitoring.labelled import realised

MARCH = "2024-03-31"


@pytest.fixture(scope="module")
def version(candidate):
    """Version 3, trained on the training rows of February."""
    return dataclasses.replace(candidate, version=3)


@pytest.fixture(scope="module")
def march(month):
    """March's rows."""
    return month(seed=6).drop(columns=["as_of"])


@pytest.fixture(scope="module")
def reference(version, two_months):
    return version.model.probability(two_months.training_rows())


def answers_to(version, rows, times=1):
    return pd.DataFrame(
        {"member": rows["member"], "probability": version.model.probability(rows), "answers": times}
    ).reset_index(drop=True)


def labels_of(rows):
    return rows.set_index("member")["label"].astype(bool)


def test_when_everybody_was_asked_about_it_is_the_realised_performance(
    gym, version, march, reference
):
    found = review(
        gym, answers_to(version, march, times=3), labels_of(march), version, MARCH, reference
    )
    expected = realised(gym, march, labels_of(march), version, MARCH)
    assert found.metrics == expected.metrics
    assert (found.version, found.as_of, found.customers, found.answers) == (3, MARCH, 1000, 3000)
    assert ServedPerformance.read(json.loads(json.dumps(found.as_json())), "x") == found
    riskiest = answers_to(version, march).nlargest(100, "probability")
    far = review(gym, riskiest, labels_of(march), version, MARCH, reference)
    assert (found.moved, far.moved) == (False, True)


def test_weights_give_the_realised_performance_and_too_few_effective_churners_none(
    gym, version, march, reference
):
    answers = answers_to(version, march)
    weights = pd.Series(np.arange(1000) % 4 * 1.0, index=march["member"])
    found = review(gym, answers, labels_of(march), version, MARCH, reference, weights.iloc[::-1])
    expected = realised(gym, march, labels_of(march), version, MARCH, weights)
    assert found.metrics == expected.metrics
    assert (found.customers, found.rows) == (1000, 750)
    weights.iloc[5] = 1e6
    few = review(gym, answers, labels_of(march), version, MARCH, reference, weights)
    assert (few.metrics, few.note) == (
        None, realised(gym, march, labels_of(march), version, MARCH, weights).note
    )  # fmt: skip
    assert "effective" in few.note


def test_of_a_month_it_was_trained_on_only_customers_it_never_saw_count(
    gym, version, two_months, reference
):
    rows = pd.concat([two_months.training_rows(), two_months.holdout_rows()])
    found = review(
        gym, answers_to(version, rows), labels_of(rows), version, "2024-02-29", reference
    )
    assert (found.customers, found.rows) == (len(rows), len(two_months.holdout_rows()))
    silent = dataclasses.replace(version, training_entities=version.training_entities[:0])
    found = review(gym, answers_to(version, rows), labels_of(rows), silent, "2024-02-29", reference)
    assert (found.rows, found.metrics) == (0, None)
    assert "did not learn from" in found.note


@pytest.mark.parametrize(
    ("churned", "said"),
    [(True, "one class only"), (False, "one class only"), (None, "has a label")],
)
def test_without_labels_of_both_kinds_there_is_a_note(
    gym, version, march, reference, churned, said
):
    rows = march[march["label"].astype(bool) == churned] if churned is not None else march
    labels = labels_of(rows) if churned is not None else labels_of(march).iloc[:0]
    found = review(gym, answers_to(version, rows), labels, version, MARCH, reference)
    assert found.metrics is None
    assert said in found.note


@given(seed=st.integers(0, 2**32 - 1), asked=st.integers(1, 400))
@settings(max_examples=25, deadline=None)
def test_the_distance_is_that_of_the_drift_report_and_nobody_is_counted_who_was_not_asked_about(
    gym, version, march, reference, seed, asked
):
    chosen = march.sample(asked, random_state=seed)
    given_answers = answers_to(version, chosen)
    found = review(gym, given_answers, labels_of(march), version, MARCH, reference)
    assert (found.customers, found.rows) == (asked, asked)
    grid = np.linspace(0, 1, 20_001)
    below = [
        np.searchsorted(np.sort(side), grid, side="right") / len(side)
        for side in (reference, given_answers["probability"])
    ]
    area = np.trapezoid(np.abs(below[0] - below[1]), grid) / max(reference.std(), 0.001)
    assert found.distance == pytest.approx(area, abs=0.01)
    assert found.moved == (found.distance >= found.distance_threshold)


def test_the_naive_figure_of_served_predictions_stands_next_to_the_corrected_one(
    gym, version, march, reference
):
    """Every fourth member was assigned and stayed because of it; every fourth was left untouched."""
    number = np.arange(len(march))
    assigned = number % 4 == 0
    untouched = number % 4 == 1
    truth = labels_of(march)
    arrived = truth & ~assigned
    weights = np.where(assigned, 0.0, np.where(untouched, 2.0, 1.0))
    outside = number == 2
    labels = MonthLabels(arrived, Correction(weights, assigned, untouched, outside))
    served = answers_to(version, march).iloc[::-1].reset_index(drop=True)
    corrected = review(gym, served, arrived, version, MARCH, reference, labels.weights)
    found = contacts_of_served(gym, served, labels, version, MARCH)
    assert (found.assigned, found.untouched, found.outside) == (250, 250, 1)
    naive = review(gym, served, arrived, version, MARCH, reference)
    assert found.naive_auc == pytest.approx(naive.metrics.auc)
    assert found.naive_auc < corrected.metrics.auc - 0.03
    assert found.bounds[0] < corrected.metrics.auc <= found.bounds[1]
    first = np.arange(800)
    part = MonthLabels(arrived.iloc[:800], labels.correction.of(first))
    found_in_part = contacts_of_served(gym, served, part, version, MARCH)
    assert (found_in_part.assigned, found_in_part.untouched) == (200, 200)
    in_part = review(gym, served, arrived.iloc[:800], version, MARCH, reference)
    assert found_in_part.naive_auc == pytest.approx(in_part.metrics.auc)
    one = corrected.model_copy(update={"contacts": found})
    assert ServedPerformance.read(json.loads(json.dumps(one.as_json())), "x") == one
    shown = _answered(one.as_json())
    assert f"AUC {corrected.metrics.auc:.3f}" in shown
    assert f"naive AUC {found.naive_auc:.3f}" in shown
    table = _served_table([one]).md_str
    assert f"| {corrected.metrics.auc:.3f} | {found.naive_auc:.3f} |" in table


def test_without_contacts_served_predictions_stay_as_they_were(gym, version, march, reference):
    served = answers_to(version, march)
    labels = MonthLabels(labels_of(march))
    assert contacts_of_served(gym, served, labels, version, MARCH) is None
    found = review(gym, served, labels.churned, version, MARCH, reference)
    assert "contacts" not in found.as_json()
    assert "naive" not in _answered(found.as_json())
    assert "naive" not in _served_table([found]).md_str


def test_nobody_with_a_label_was_asked_about(gym, version, march):
    labels = MonthLabels(
        labels_of(march).iloc[:1],
        Correction(np.ones(1), *(np.zeros(1, dtype=bool) for _ in range(3))),
    )
    found = contacts_of_served(gym, answers_to(version, march.iloc[5:]), labels, version, MARCH)
    assert (found.assigned, found.naive_auc) == (0, None)
