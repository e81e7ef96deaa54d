"""What a version was worth on matured labels, on whom, and when it must stand down."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import NotANumber
from churn_platform.evaluation.curves import calibration_bins
from churn_platform.evaluation.metrics import evaluate
from churn_platform.features.training_dataset import entity_hashes
from churn_platform.monitoring.performance import (
    VersionPerformance,
    stand_down_reason,
)
from churn_platform_tests.monitoring.labelled import realised


@pytest.fixture(scope="module")
def version(candidate):
    """Version 3, trained on the training rows of February."""
    return dataclasses.replace(candidate, version=3)


@pytest.fixture(scope="module")
def february(month):
    """February's rows as the snapshot has them."""
    return month(seed=2).drop(columns=["as_of"])


def labels_of(rows):
    return rows.set_index("member")["label"]


def test_the_month_it_was_trained_on_counts_only_customers_it_was_not_trained_on(
    gym, two_months, version, february
):
    record = realised(gym, february, labels_of(february), version, "2024-02-29")
    holdout = two_months.holdout_rows()
    assert (record.version, record.as_of, record.rows) == (3, "2024-02-29", len(holdout))
    assert record.metrics.auc == pytest.approx(version.card.metrics["auc"], abs=1e-12)
    record = realised(gym, february, labels_of(february), version, "2024-01-31")
    assert record.rows == len(february) - len(version.training_entities)


def test_customers_without_a_label_are_left_out_and_labels_are_matched_by_entity(
    gym, version, month
):
    march = month(seed=6)
    labels = labels_of(march).iloc[::-2]
    record = realised(gym, march, labels, version, "2024-03-31")
    known = march[march["member"].isin(labels.index)]
    expected = evaluate(
        known["label"].to_numpy(), version.model.probability(known), version.model.threshold
    )
    assert record.rows == 500
    assert record.metrics.as_json() == expected.as_dict()
    assert record.note is None
    none = realised(gym, march, labels.iloc[:0], version, "2024-03-31")
    assert (none.rows, none.metrics) == (0, None)


def test_the_record_is_plain_json_with_calibration_bins(gym, version, month):
    march = month(seed=6)
    record = realised(gym, march, labels_of(march), version, "2024-03-31")
    assert VersionPerformance.read(json.loads(json.dumps(record.as_json())), "x") == record
    assert sum(bin_["rows"] for bin_ in record.calibration) == 1000
    assert all(isinstance(value, float) for bin_ in record.calibration for value in bin_.values())


@pytest.mark.parametrize(("churned", "only"), [(True, "churners"), (False, "churners missing")])
def test_labels_of_one_class_are_a_note_and_no_metric(gym, version, month, churned, only):
    march = month(seed=6, customers=30)
    labels = pd.Series(churned, index=march["member"])
    record = realised(gym, march, labels, version, "2024-03-31")
    assert (record.version, record.rows, record.metrics) == (3, 30, None)
    assert f"2024-03-31 contain one class only ({only})" in record.note


def test_a_version_that_does_not_know_its_training_entities_is_not_measured_on_its_own_month(
    gym, version, february
):
    imported = dataclasses.replace(version, training_entities=entity_hashes([]))
    record = realised(gym, february, labels_of(february), imported, "2024-02-29")
    assert (record.rows, record.metrics) == (0, None)
    assert "Version 3 does not record which customers of 2024-02-29" in record.note
    assert realised(gym, february, labels_of(february), imported, "2024-03-31").rows == 1000


def test_weights_are_matched_by_entity_and_rows_without_weight_are_not_measured(
    gym, version, month
):
    march = month(seed=6)
    probability = version.model.probability(march)
    listed = probability > np.quantile(probability, 0.8)
    assigned = listed & (np.arange(len(march)) % 5 > 0)
    weights = np.where(assigned, 0.0, np.where(listed, 5.0, 1.0))
    by_entity = pd.Series(weights, index=march["member"])
    spoiled = labels_of(march).astype(bool) & ~assigned
    found = realised(gym, march, spoiled, version, "2024-03-31", by_entity.iloc[::-1])
    truth = march["label"].to_numpy(dtype=bool)
    expected = evaluate(truth, probability, version.model.threshold, weights=weights)
    assert found.metrics.as_json() == expected.as_dict()
    assert found.rows == (weights > 0).sum()
    bins = calibration_bins(truth, probability, weights).astype(float).round(6)
    assert list(found.calibration) == bins.to_dict("records")
    assert VersionPerformance.read(json.loads(json.dumps(found.as_json())), "x") == found
    naive = realised(gym, march, spoiled, version, "2024-03-31")
    assert naive.metrics.auc < found.metrics.auc - 0.05
    alike = realised(gym, march, spoiled, version, "2024-03-31", by_entity * 0 + 1)
    assert alike.metrics.auc == pytest.approx(naive.metrics.auc, abs=1e-12)
    assert alike.metrics.auc_interval == pytest.approx(naive.metrics.auc_interval)


def test_too_few_effective_customers_are_a_note_and_never_the_naive_figure(gym, version, month):
    march = month(seed=6)
    churned = march["label"].to_numpy(dtype=bool)
    needed = gym.policy.promotion.min_holdout_churners
    assert churned.sum() > needed
    weights = pd.Series(1.0, index=march["member"])
    weights[churned] = np.where(np.arange(churned.sum()) < 5, 1000.0, 1.0)
    found = realised(gym, march, labels_of(march), version, "2024-03-31", weights)
    assert (found.metrics, found.calibration, found.doubt) == (None, None, None)
    for fact in ("2024-03-31", "5 effective churners", f"{needed} of each"):
        assert fact in found.note
    assert realised(gym, march, ~labels_of(march), version, "2024-03-31", weights).metrics is None
    assert realised(gym, march, labels_of(march), version, "2024-03-31").metrics is not None
    weights[churned] = 0.0
    one_class = realised(gym, march, labels_of(march), version, "2024-03-31", weights)
    assert (one_class.rows, one_class.metrics) == ((~churned).sum(), None)
    assert "one class only (churners missing)" in one_class.note
    with pytest.raises(NotANumber):
        realised(gym, march, labels_of(march), version, "2024-03-31", weights.iloc[1:])


def entry(low, as_of="2024-03-31", version=3):
    """A performance record whose interval starts at `low`; None has no metrics."""
    metrics = None if low is None else {"auc": low + 0.04, "auc_interval": [low, low + 0.08]}
    return VersionPerformance(version=version, as_of=as_of, metrics=metrics)


@pytest.mark.parametrize(
    ("low", "stands_down"), [(0.501, False), (0.5, True), (0.499, True), (0.7, False), (0.43, True)]
)
def test_a_version_stands_down_when_its_interval_reaches_one_half(low, stands_down):
    reason = stand_down_reason([entry(low), entry(0.4, version=2), entry(None)], 3)
    assert (reason is not None) is stands_down
    facts = f"2024-03-31: AUC {low + 0.04:.3f} [{low:.3f}, {low + 0.08:.3f}]"
    assert reason is None or facts in reason


def test_the_reason_names_data_that_came_again_in_the_months_that_decide():
    doubt = entry(0.47).model_copy(update={"warning": "The data of 2024-03-31 is in doubt."})
    assert stand_down_reason([doubt], 3).endswith("The data of 2024-03-31 is in doubt.")
    older = entry(0.6, "2024-02-29").model_copy(update={"warning": "The data is in doubt."})
    assert "doubt" not in stand_down_reason([older, entry(0.47)], 3)


def test_the_newest_month_with_metrics_decides():
    good_then_bad = [entry(0.45, "2024-04-30"), entry(0.6, "2024-03-31")]
    bad_then_good = [entry(0.45, "2024-03-31"), entry(0.6, "2024-04-30")]
    assert stand_down_reason(good_then_bad, 3) is not None
    assert stand_down_reason(bad_then_good, 3) is None
    assert stand_down_reason([*good_then_bad, entry(None, "2024-05-31")], 3) is not None


def test_a_month_below_one_half_speaks_of_its_labels_and_the_month_before_decides():
    turned = entry(0.15, "2024-04-30")
    assert stand_down_reason([turned], 3) is None
    assert stand_down_reason([turned, entry(0.6, "2024-03-31")], 3) is None
    assert "2024-03-31" in stand_down_reason([turned, entry(0.45, "2024-03-31")], 3)


def test_labels_the_other_way_round_are_a_doubt_in_the_record(gym, version, month):
    march = month(seed=6)
    record = realised(gym, march, ~labels_of(march), version, "2024-03-31")
    assert record.metrics.auc_interval[1] < 0.5
    assert "2024-03-31" in record.doubt
    assert f"AUC {record.metrics.auc:.3f}" in record.doubt
    assert realised(gym, march, labels_of(march), version, "2024-03-31").doubt is None


def months_of(*aucs, churners=20):
    """One record a month, oldest first, each with an interval of 0.1 either way."""
    return [
        VersionPerformance(
            version=3,
            as_of=f"2024-0{n}-28",
            metrics={"auc": auc, "auc_interval": [auc - 0.1, auc + 0.1], "churners": churners},
        )
        for n, auc in enumerate(aucs, start=1)
    ]


def test_a_month_with_few_churners_is_pooled_with_the_ones_before():
    good = months_of(0.58, 0.58, 0.58, 0.58)
    assert stand_down_reason(good, 3) is not None, "alone the newest month reaches 0.5"
    assert stand_down_reason(good, 3, churners=60) is None, "three months together do not"
    assert stand_down_reason(good, 3, churners=20) is not None, (
        "the newest month has as many as asked for"
    )
    worthless = months_of(0.7, 0.5, 0.5, 0.5)
    facts = "2024-02-28 to 2024-04-28: AUC 0.500 [0.442, 0.558]"
    assert facts in stand_down_reason(worthless, 3, churners=60)
    assert stand_down_reason(months_of(0.58), 3, churners=60) is not None, (
        "no older month is there to help"
    )


def test_a_month_that_was_measured_twice_counts_once():
    bad, good = months_of(0.52, 0.45), months_of(0.52, 0.70)
    assert stand_down_reason([*bad, *good], 3, churners=20) is None
    assert stand_down_reason([*good, *bad], 3, churners=20) is not None
