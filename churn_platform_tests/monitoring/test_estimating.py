"""Estimates of a home: what is recorded, shown, withdrawn and announced."""

import asyncio
import json

import jsonschema
import pytest

from bento.production_record import ProductionRecords
from churn_platform.alerting.messages import message_of
from churn_platform.ledger.acts import RetrainingRequested
from churn_platform.monitoring.estimate_history import EstimateHistory
from churn_platform.monitoring.performance import PerformanceRecord
from churn_platform.monitoring.track_record import TrackRecord
from churn_platform_tests.api_client import client, running
from churn_platform_tests.late_business import (
    APRIL,
    CUSTOMERS,
    FEBRUARY,
    MARCH,
    MAY,
    late_home,
    month,
    next_month,
    otherwise,
)
from churn_platform_tests.outside.life import churn, shell
from churn_platform_tests.small_business import copied
from churn_platform_tests.system.trusted_home import verification


@pytest.fixture(scope="module")
def in_march(tmp_path_factory):
    """March is open and estimated. Read only."""
    home = late_home(tmp_path_factory.mktemp("late") / "home")
    return next_month(home, (FEBRUARY, month(FEBRUARY)), (MARCH, month(MARCH)))


@pytest.fixture(scope="module")
def in_april(in_march, tmp_path_factory):
    """March's labels confirm the estimate. Read only."""
    home = copied(in_march, tmp_path_factory.mktemp("april") / "home")
    return next_month(home, (MARCH, month(MARCH)), (APRIL, month(APRIL)))


@pytest.fixture(scope="module")
def shifted(in_march, tmp_path_factory):
    """In March other things drive churn; April is open. Read only."""
    home = copied(in_march, tmp_path_factory.mktemp("shifted") / "home")
    return next_month(home, (MARCH, month(MARCH, otherwise)), (APRIL, month(APRIL, otherwise)))


def performance_of(home, as_of) -> PerformanceRecord:
    return PerformanceRecord.read(home.records.read("performance", as_of), "it")


def test_a_month_without_labels_is_estimated_from_rows_that_never_trained(in_march):
    found = performance_of(in_march, MARCH).estimated
    assert (found.as_of, found.version, found.rows) == ("2024-03-31", 1, CUSTOMERS)
    assert found.reference_months == ("2024-01-31", "2024-02-29")
    # The holdout of January, and everybody of February.
    assert CUSTOMERS * 1.2 < found.reference_rows < CUSTOMERS * 1.3
    assert found.effective_share > 0.9
    low, high = found.auc.interval
    assert low < found.auc.value < high
    assert abs(found.auc.value - found.reference_auc) < 0.02
    assert not found.fell
    assert found.contacts == 20
    assert 0 < found.hits.value <= 20
    assert found.value is None  # the contract names no contacts


def test_the_estimate_is_shown_as_an_estimate_and_never_among_realised_figures(in_march):
    status = in_march.status.now().as_json()
    shown = status["estimated"]
    recorded = performance_of(in_march, MARCH).estimated
    assert shown["auc"]["value"] == recorded.auc.value
    assert (shown["checked_months"], shown["largest_miss"], shown["withdrawn"]) == (0, None, None)
    assert shown["sentence"].startswith("Estimated")
    assert all(entry["as_of"] != "2024-03-31" for entry in status["performance"])
    assert recorded.auc.value not in [
        entry["metrics"]["auc"] for entry in status["performance"] if entry["metrics"]
    ]
    api = ProductionRecords(in_march.folder)
    assert api.estimated(1)["auc"]["value"] == recorded.auc.value
    assert api.estimated(2) is None


def test_what_was_said_stays_and_is_compared_with_the_labels(in_march, in_april):
    said = performance_of(in_march, MARCH).estimated
    assert performance_of(in_april, MARCH).estimated == said
    shown = EstimateHistory(in_april.records).newest()
    realised = in_april.performance_history.measured_by(APRIL)[-1].metrics.auc
    assert (shown.as_of, shown.checked_months) == ("2024-04-30", 1)
    assert shown.largest_miss == pytest.approx(abs(realised - said.auc.value))
    assert shown.largest_miss < 0.03
    (checked,) = shown.checked
    assert (checked.as_of, checked.estimated) == ("2024-03-31", said.auc.value)
    assert (checked.realised, checked.hit) == (realised, True)
    assert shown.withdrawn is None
    # As it was shown in March.
    assert EstimateHistory(in_april.records).newest(MARCH).checked_months == 0


def test_measuring_a_month_again_once_its_labels_are_there_keeps_what_was_said(in_april, tmp_path):
    home = copied(in_april, tmp_path / "home")
    said = performance_of(home, MARCH).estimated
    home.performance_monitor.measure(MARCH)
    assert performance_of(home, MARCH).estimated == said


def test_a_sudden_shift_withdraws_the_estimate_with_its_first_labels(shifted):
    shown = EstimateHistory(shifted.records).newest()
    assert shown.as_of == "2024-04-30"
    assert shown.withdrawn is not None
    assert (shown.auc, shown.brier, shown.hits, shown.churn_rate) == (None, None, None, None)
    assert shown.largest_miss > 0.15
    # What is not shown is recorded, so that later labels can confirm it.
    assert performance_of(shifted, APRIL).estimated.auc is not None
    assert ProductionRecords(shifted.folder).estimated(1)["auc"] is None
    assert shifted.status.now().as_json()["estimated"]["auc"] is None
    assert not any(
        w.code == "PERFORMANCE_EXPECTED_TO_FALL" for w in shifted.month_warnings.of(APRIL)
    )


def test_the_fall_is_explained_by_what_drives_churn(shifted, in_april):
    entry = performance_of(shifted, APRIL).evaluated[-1]
    assert (entry.version, entry.as_of) == (1, "2024-03-31")
    fall = entry.fall
    assert fall.cause == "drivers"
    change = entry.metrics.auc - fall.reference_auc
    assert change < -0.15
    assert fall.customers.value + fall.drivers.value == pytest.approx(change)
    assert fall.drivers.value / change > 0.9
    assert performance_of(in_april, APRIL).evaluated[-1].fall is None


def test_younger_members_are_announced_before_their_labels_and_explained_after(in_march, tmp_path):
    """All have been members for less than half a year: hardly anything tells them apart."""
    home = copied(in_march, tmp_path / "home")
    young = month(APRIL, oldest=25)
    home = next_month(home, (MARCH, month(MARCH)), (APRIL, young))
    found = performance_of(home, APRIL).estimated
    assert found.fell
    assert found.auc.value < found.promoted_interval[0]
    assert found.reference_auc > found.promoted_interval[0]
    (warning,) = [
        one for one in home.month_warnings.of(APRIL) if one.code == "PERFORMANCE_EXPECTED_TO_FALL"
    ]
    assert warning.about == "version 1"
    # No retraining follows.
    answer = home.progress().retraining(APRIL)
    assert not answer.retrain
    home.month_warnings.record(APRIL)
    assert [one.subject for one in home.ledger.receipts("warnings raised")] == ["2024-04-30"]
    assert not home.ledger.receipts("retraining requested")
    home = next_month(home, (APRIL, young), (MAY, month(MAY, oldest=25)))
    entry = performance_of(home, MAY).evaluated[-1]
    assert entry.fall.cause == "customers"
    assert abs(entry.fall.drivers.value) < abs(entry.fall.customers.value) / 2
    # It was right, and stays.
    shown = EstimateHistory(home.records).newest()
    assert shown.withdrawn is None
    assert shown.checked_months == 2
    assert not any(w.code == "PERFORMANCE_EXPECTED_TO_FALL" for w in home.month_warnings.of(APRIL))


def test_strangers_are_not_estimated(in_march, tmp_path):
    home = copied(in_march, tmp_path / "home")
    strangers = month(APRIL, oldest=3)
    strangers["visits"]["hours"] += 40
    home = next_month(home, (MARCH, month(MARCH)), (APRIL, strangers))
    found = performance_of(home, APRIL).estimated
    assert (found.auc, found.hits, found.fell) == (None, None, False)
    assert found.note is not None
    shown = EstimateHistory(home.records).newest()
    assert (shown.auc, shown.note) == (None, found.note)


def test_the_track_record_follows_from_the_records_alone(in_april):
    months = in_april.records.months("performance")
    records = [performance_of(in_april, month) for month in months]
    assert len(TrackRecord.of(records).months) == 1
    without = [record.model_copy(update={"estimated": None}) for record in records]
    assert TrackRecord.of(without).months == ()


def test_contacted_customers_are_no_reference_and_the_value_is_estimated(worked):
    found = performance_of(worked, MARCH).estimated
    assert found.reference_months == ("2024-01-31", "2024-02-29")
    # A quarter of January's 1,500 is the holdout; 400 of February's were assigned to contact.
    assert 1_350 < found.reference_rows < 1_500
    assert found.contacts == 400
    assert found.unit == "money"
    low, high = found.value.interval
    assert low < found.value.value < high


def test_the_terminal_shows_the_estimate_and_why_performance_fell(in_march, shifted, tmp_path):
    with shell(tmp_path):
        text = churn("status", "--home", in_march.folder).out
        after = churn("status", "--home", shifted.folder).out
        found = json.loads(churn("status", "--json", "--home", shifted.folder).out)
    (line,) = [line for line in text.splitlines() if line.startswith("Expected")]
    assert EstimateHistory(in_march.records).newest().sentence in line
    assert not any(line.startswith("Fell") for line in text.splitlines())
    (fell,) = [line for line in after.splitlines() if line.startswith("Fell")]
    entry = performance_of(shifted, APRIL).evaluated[-1]
    assert entry.fall.sentence in fell
    assert found["performance"][-1]["fall"]["cause"] == "drivers"
    assert found["estimated"]["withdrawn"] == EstimateHistory(shifted.records).newest().withdrawn


def test_the_api_answers_with_the_estimate_and_keeps_its_schema(in_march):
    async def asked(front):
        async with client(front) as made:
            return [(await made.get(path)).json() for path in ("/model", "/openapi.json")]

    with running(in_march) as front:
        model, document = asyncio.run(asked(front))
    shown = EstimateHistory(in_march.records).newest()
    assert model["estimated"]["auc"]["value"] == shown.auc.value
    assert model["estimated"]["sentence"] == shown.sentence
    jsonschema.validate(model, {"$ref": "#/components/schemas/Model", **document})


def samples(home):
    return {
        sample.name: sample.value
        for metric in home.metrics.performance()
        for sample in metric.samples
    }


def test_the_exporter_has_the_estimate_until_it_is_withdrawn(in_march, in_april, shifted):
    found = samples(in_march)
    assert found["churn_estimated_auc"] == performance_of(in_march, MARCH).estimated.auc.value
    assert found["churn_estimated_withdrawn"] == 0
    assert "churn_estimated_largest_miss" not in found
    assert samples(in_april)["churn_estimated_checked_months"] == 1
    found = samples(shifted)
    assert found["churn_estimated_withdrawn"] == 1
    assert found["churn_estimated_largest_miss"] > 0.15
    assert "churn_estimated_auc" not in found
    assert found["churn_realised_auc"] < 0.6


def test_the_alert_of_a_fall_names_its_cause(shifted):
    entry = performance_of(shifted, APRIL).evaluated[-1]
    receipt = RetrainingRequested(
        month=APRIL, reason="It fell.", key="k", trigger="performance"
    ).receipt(None, "2024-05-01T06:00:00+00:00", "loop")
    why = shifted.alerts._why_performance_fell(receipt)
    assert why == entry.fall.sentence
    assert why in message_of(receipt, "gym", None, why).body


def broken_checks(home):
    found = verification(home)["findings"]
    return [one["check"] for one in found if one["state"] == "broken"]


def test_an_erased_customer_changes_no_estimate_and_the_home_verifies(in_april, tmp_path):
    home = copied(in_april, tmp_path / "home")
    before = EstimateHistory(home.records).newest()
    home.erasure.erase("m00004", "ann", "asked by letter")
    found = copied(home, tmp_path / "again")
    assert EstimateHistory(found.records).newest() == before
    assert broken_checks(found) == broken_checks(in_april)
    assert found.records.broken("performance", APRIL) is None
