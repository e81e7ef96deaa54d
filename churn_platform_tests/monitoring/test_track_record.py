"""What the record of earlier estimates allows to show."""

import pytest

from churn_platform.monitoring.estimated_month import EstimatedMonth, EstimatedValue
from churn_platform.monitoring.performance import (
    ContactsInLabels,
    MeasuredMetrics,
    PerformanceRecord,
    VersionPerformance,
)
from churn_platform.monitoring.track_record import ShownEstimate, TrackRecord

HALF = 0.015
PROMOTED = (0.80, 0.84)


def day(number: int) -> str:
    return f"{2020 + number // 12}-{number % 12 + 1:02}-28"


def estimated(number: int, auc: float = 0.82, version: int = 1) -> EstimatedMonth:
    return EstimatedMonth(
        as_of=day(number), version=version, rows=7_000, promoted_interval=PROMOTED,
        auc=EstimatedValue(value=auc, interval=(auc - HALF, auc + HALF)),
    )  # fmt: skip


def realised(number: int, auc: float, version: int = 1, **fields: object) -> VersionPerformance:
    metrics = MeasuredMetrics(auc=auc, auc_interval=(auc - 0.03, auc + 0.03))
    return VersionPerformance(version=version, as_of=day(number), metrics=metrics, **fields)


def history(*misses: float | None, **fields: object) -> list[PerformanceRecord]:
    """A month for each miss, realised less estimated, and one more that is open; None: the labels
    of the month measured nothing.
    """
    records = []
    for number in range(len(misses) + 1):
        evaluated = ()
        if number and misses[number - 1] is not None:
            evaluated = (realised(number - 1, 0.82 + misses[number - 1], **fields),)
        records.append(PerformanceRecord(estimated=estimated(number), evaluated=evaluated))
    return records


def test_months_are_counted_and_the_largest_miss_is_named():
    track = TrackRecord.of(history(0.004, -0.012, None, 0.001))
    assert [month.as_of for month in track.months] == [day(0), day(1), day(3)]
    assert track.largest_miss == pytest.approx(0.012)
    assert track.withdrawn is None
    assert track.half_width is None
    assert TrackRecord.of([]).largest_miss is None


@pytest.mark.parametrize(
    ("misses", "withdrawn"),
    [
        ((0.0, 0.02), False),
        ((0.02, 0.02), True),
        ((0.02, 0.0, -0.02), True),
        ((0.02, 0.0, 0.0, -0.02), False),
        ((0.0, -0.05), True),  # more than the width of the interval at promotion
        ((0.0, 0.05), False),  # better than estimated once
        ((-0.05, 0.0, 0.0), True),
        ((-0.05, 0.0, 0.0, 0.0), False),
        ((-0.05, 0.0, 0.02, 0.0, 0.0), True),
        ((-0.05, 0.0, 0.02, 0.0, 0.0, 0.0), False),
        ((0.02, -0.02, 0.0, 0.0, 0.0, 0.02), False),  # it starts anew
        ((0.02, -0.02, 0.0, 0.0, 0.0, 0.02, 0.02), True),
        ((-0.05, None, 0.0, 0.0), True),
    ],
)
def test_withdrawn_after_misses_and_back_after_three_hits(misses, withdrawn):
    assert (TrackRecord.of(history(*misses)).withdrawn is not None) is withdrawn


def test_a_withdrawn_estimate_shows_no_figure():
    shown = ShownEstimate.of(history(-0.3))
    assert (shown.auc, shown.hits, shown.fell, shown.conformal_interval) == (
        None,
        None,
        False,
        None,
    )
    assert (shown.checked_months, shown.largest_miss) == (1, pytest.approx(0.3))
    assert shown.withdrawn is not None
    assert ShownEstimate.of(history(0.0)).auc.value == 0.82


def test_from_nineteen_months_on_the_interval_is_that_of_earlier_misses():
    misses = [0.0007 * number for number in range(1, 20)]
    assert TrackRecord.of(history(*misses[:18])).half_width is None
    track = TrackRecord.of(history(*misses))
    assert track.half_width == pytest.approx(0.0133)
    shown = ShownEstimate.of(history(*misses))
    assert shown.conformal_interval == pytest.approx((0.8067, 0.8333))
    # Narrower than the interval of the estimate: 0.014 is a miss now.
    assert TrackRecord.of(history(*misses, 0.0132)).months[-1].hit
    assert not TrackRecord.of(history(*misses, 0.014)).months[-1].hit
    assert TrackRecord.of(history(0.014)).months[-1].hit
    many = [0.001] * 39 + [0.012]
    assert TrackRecord.of(history(*many)).half_width == pytest.approx(0.001)


def test_a_month_in_which_what_drives_churn_changed_does_not_widen_the_interval():
    misses = [-0.3] + [0.004] * 19
    track = TrackRecord.of(history(*misses))
    assert track.half_width == pytest.approx(0.004)
    assert track.largest_miss == pytest.approx(0.3)
    assert track.withdrawn is None


def test_labels_of_few_untouched_customers_are_given_their_own_error():
    assert not TrackRecord.of(history(0.02)).months[-1].hit
    assert TrackRecord.of(history(0.02, contacts=ContactsInLabels())).months[-1].hit


def test_only_the_version_that_was_estimated_is_compared_and_inverted_labels_are_not():
    other = [
        PerformanceRecord(estimated=estimated(0)),
        PerformanceRecord(estimated=estimated(1, version=2), evaluated=(realised(0, 0.5, 2),)),
    ]
    assert TrackRecord.of(other).months == ()
    assert TrackRecord.of(history(-0.6)).months == ()


def test_of_one_month_the_last_measurement_counts():
    records = history(-0.3, 0.0)
    corrected = records[-1].model_copy(update={"evaluated": (realised(0, 0.82), realised(1, 0.82))})
    track = TrackRecord.of([*records[:-1], corrected])
    assert track.withdrawn is None
    assert track.largest_miss == pytest.approx(0)
