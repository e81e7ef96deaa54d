"""The past as it was known: nobody trains on a label before it came, nor on another than was known then."""

import datetime as dt

import numpy as np
import pytest

from churn_platform.contacts.labels import MonthLabels
from churn_platform.replay.history import PastMonth, PastMonths

JANUARY = dt.date(2024, 1, 31)
FEBRUARY = dt.date(2024, 2, 29)
MARCH = dt.date(2024, 3, 31)


def rows_of(month):
    return month.drop(columns=["as_of", "label"])


def labels_of(month):
    return month.set_index("member")["label"].astype(bool)


@pytest.fixture
def january(month):
    return month(JANUARY, seed=1)


@pytest.fixture
def history(month, january):
    """January's labels are known at once and corrected in March, February's come in March."""
    february = month(FEBRUARY, seed=2)
    corrected = MonthLabels(~labels_of(january))
    return PastMonths(
        {
            FEBRUARY: PastMonth(rows_of(february), ((MARCH, MonthLabels(labels_of(february))),)),
            JANUARY: PastMonth(
                rows_of(january), ((JANUARY, MonthLabels(labels_of(january))), (MARCH, corrected))
            ),
            MARCH: PastMonth(rows_of(month(MARCH, seed=3))),
        }
    )


def test_months_are_in_order_and_labels_are_those_known_then(history, january):
    assert list(history.months) == [JANUARY, FEBRUARY, MARCH]
    first = labels_of(january)
    assert history.labels(JANUARY, FEBRUARY).churned.equals(first)
    assert history.labels(JANUARY, MARCH).churned.equals(~first)
    assert history.labels(JANUARY).churned.equals(~first)
    assert history.labels(FEBRUARY, FEBRUARY) is None
    assert history.labels(MARCH) is None


def test_a_month_has_matured_when_its_labels_have_come_and_their_horizon_is_over(
    history, gym, declare
):
    assert history.matured(gym, FEBRUARY) == [JANUARY]
    assert history.matured(gym, MARCH) == [JANUARY, FEBRUARY]
    late = declare(label={"table": "leavers", "column": "has_left", "horizon": {"months": 1}})
    assert history.matured(late, JANUARY) == []
    assert history.matured(late, MARCH) == [JANUARY, FEBRUARY]


def test_the_dataset_is_the_one_that_the_platform_assembles(
    history, gym, january, month, dataset_of
):
    assert history.dataset(gym, FEBRUARY).digest == dataset_of(gym, january).digest
    corrected = january.assign(label=~january["label"])
    expected = dataset_of(gym, corrected, month(FEBRUARY, seed=2))
    assert history.dataset(gym, MARCH).digest == expected.digest
    assert history.dataset(gym, MARCH).window == expected.window


def test_labelled_rows_are_matched_by_customer_whatever_the_order(month, gym, january):
    labels = labels_of(january).iloc[::-2]
    history = PastMonths({JANUARY: PastMonth(rows_of(january), ((JANUARY, MonthLabels(labels)),))})
    found = history.labelled(gym, JANUARY)
    assert found.known.sum() == len(labels) == found.labelled.entities.size
    assert (
        dict(zip(found.labelled.entities, found.labelled.churned, strict=True)) == labels.to_dict()
    )
    assert history.labelled(gym, JANUARY, dt.date(2023, 12, 31)) is None


def test_all_rows_of_some_months_come_with_the_labels_known_then(history, gym, january):
    rows, columns = history.known(gym, [JANUARY, FEBRUARY], FEBRUARY)
    labels = columns.churned
    assert len(rows) == len(labels) == 2000
    assert np.array_equal(labels[:1000].astype(bool), january["label"])
    assert labels[1000:].isna().all()


def test_a_labelled_customer_without_a_row_is_kept_with_nothing_known_of_them(month, gym, january):
    rows = rows_of(january)
    history = PastMonths(
        {JANUARY: PastMonth(rows.iloc[1:], ((JANUARY, MonthLabels(labels_of(january))),))}
    )
    frame = history.dataset(gym, JANUARY).frame
    assert len(frame) == 1000
    lost = frame[frame["member"] == rows["member"].iloc[0]]
    assert lost[list(gym.features)].isna().all(axis=None)
