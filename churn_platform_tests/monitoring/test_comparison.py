"""Two versions compared on later months, never on rows that either was trained on."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from churn_platform.base.errors import DataError
from churn_platform.contacts.labels import MonthLabels
from churn_platform.evaluation.comparison import paired_auc_difference
from churn_platform.evaluation.statistics import auc
from churn_platform.evaluation.weights import effective_count
from churn_platform.monitoring.comparison import LabelledMonth, LaterMonths, shown
from churn_platform.replay.history import Memory, PastMonth, PastMonths

JANUARY, FEBRUARY, MARCH = dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31)


@pytest.fixture(scope="module")
def drawn(month):
    return {
        as_of: month(as_of, seed=seed) for as_of, seed in ((JANUARY, 1), (FEBRUARY, 2), (MARCH, 3))
    }


@pytest.fixture(scope="module")
def memory(drawn):
    months = {
        as_of: PastMonth(
            rows.drop(columns=["as_of", "label"]),
            ((as_of, MonthLabels(rows.set_index("member")["label"].astype(bool))),),
        )
        for as_of, rows in drawn.items()
    }
    return Memory(PastMonths(months), "code")


@pytest.fixture(scope="module")
def scores(memory, gym):
    return memory.later_months(gym)


@pytest.fixture(scope="module")
def versions(memory, gym):
    """Version 1 of January, version 2 of February."""
    fitted = [memory.candidate(gym, memory.dataset(gym, as_of)) for as_of in (JANUARY, FEBRUARY)]
    return [dataclasses.replace(one, version=number) for number, one in enumerate(fitted, start=1)]


def test_a_versions_auc_is_that_of_all_customers_of_a_later_month(scores, versions, drawn):
    march = drawn[MARCH]
    expected = auc(march["label"].to_numpy(), versions[0].model.probability(march))
    assert scores.auc(versions[0], MARCH) == expected


@pytest.mark.parametrize("early", [JANUARY, FEBRUARY])
def test_a_month_that_may_have_trained_a_version_is_an_error(scores, versions, early):
    with pytest.raises(DataError, match="Version 2 may have seen rows"):
        scores.ranking(versions[1], early)


def test_a_gain_uses_only_months_later_than_both(scores, versions, drawn):
    march = drawn[MARCH]
    found = scores.gain(versions[1], versions[0], ["2024-01-31", "2024-02-29", "2024-03-31"])
    expected = paired_auc_difference(
        march["label"].to_numpy(),
        versions[1].model.probability(march),
        versions[0].model.probability(march),
    )
    assert found.months == ("2024-03-31",)
    assert found.difference == expected.difference
    assert found.standard_error == pytest.approx(expected.standard_error)
    assert scores.gain(versions[1], versions[0], ["2024-02-29"]) is None


def test_without_an_incumbent_the_opponent_is_chance(scores, versions):
    found = scores.gain(versions[0], None, ["2024-01-31", "2024-02-29", "2024-03-31"])
    assert found.months == ("2024-02-29", "2024-03-31")
    assert found.incumbent_auc == 0.5


def test_a_month_without_labels_or_of_one_class_shows_nothing(gym, drawn, versions):
    none = LaterMonths(lambda _: None, lambda *_: None)
    assert none.gain(versions[1], None, ["2024-03-31"]) is none.auc(versions[0], MARCH) is None
    assert shown(None, gym.policy.promotion) == "open"
    rows = drawn[MARCH]
    stayed = rows.set_index("member")["label"].astype(bool) & False
    past = PastMonth(rows.drop(columns=["as_of", "label"]), ((MARCH, MonthLabels(stayed)),))
    scores = Memory(PastMonths({MARCH: past}), "code").later_months(gym)
    assert scores.auc(versions[0], MARCH) is None
    assert scores.gain(versions[1], versions[0], ["2024-03-31"]) is None


def test_later_months_are_compared_by_their_weights(versions, drawn):
    march = drawn[MARCH]
    labels = march["label"].to_numpy(dtype=bool)
    keys = march["member"].to_numpy(dtype=object)
    weights = np.arange(labels.size) % 4 * 1.0
    later = LaterMonths(
        lambda _: LabelledMonth(keys, labels, weights),
        lambda version, _: version.model.probability(march),
    )
    found = later.gain(versions[1], versions[0], ["2024-03-31"])
    scores = [version.model.probability(march) for version in reversed(versions)]
    expected = paired_auc_difference(labels, *scores, weights=weights)
    assert found.difference == pytest.approx(expected.difference)
    assert found.standard_error == pytest.approx(expected.standard_error)
    assert found.churners == effective_count(weights[labels])
    assert found.rows == (weights > 0).sum()
