"""A month's warnings come from its records, and reach ledger, alerts, status, terminal and API."""

import pytest

from bento.production_record import ProductionRecords
from churn_platform.base.files import read_json, write_json
from churn_platform.cli.status import show_status
from churn_platform.lake.keys import label_count
from churn_platform.lake.window import LabelCount
from churn_platform.ledger.acts import TrainingRefused
from churn_platform.loop.retraining import training_key
from churn_platform_tests.api_client import with_contract
from churn_platform_tests.drift.judged import check, judged
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    month_tables,
    open_home,
)


def codes(found):
    return {warning["code"] for warning in found}


def change_record(home, kind, **values):
    home.records.write(kind, FEBRUARY, (home.records.read(kind, FEBRUARY) or {}) | values)


def change_comparison(home, as_of, **values):
    path = home.folder / "lake" / "snapshots" / f"{as_of}.json"
    manifest = read_json(path)
    manifest["deliveries"][-1]["compared"] |= values
    write_json(path, manifest)


@pytest.fixture
def home(february_copy):
    """The gym in February: who left in January is back, so its labels are in doubt. Nothing is said of its list."""
    for month in (JANUARY, FEBRUARY):
        record = february_copy.records.read("scores", month)
        february_copy.records.write("scores", month, record | {"list_note": None})
    return february_copy


def test_what_the_label_check_found_is_in_the_record_and_a_warning(home):
    found = home.records.read("training_dataset", FEBRUARY)["labels"]
    assert found["as_of"] == "2024-02-29"
    assert found["returned"] > 0
    assert codes(home.month_warnings.of_months()) == {"LABELS_UNLIKE_BEFORE"}
    assert {warning["as_of"] for warning in home.month_warnings.of_months([JANUARY])} == {
        "2024-02-29"
    }


def test_a_receipt_is_written_once_for_the_same_warnings_and_once_when_they_are_gone(home):
    for _ in range(2):
        home.month_warnings.record(FEBRUARY)
    (receipt,) = home.ledger.receipts("warnings raised")
    assert (receipt.subject, codes(receipt.evidence["warnings"])) == (
        "2024-02-29",
        {"LABELS_UNLIKE_BEFORE"},
    )
    labels = home.records.read("training_dataset", FEBRUARY)["labels"]
    change_record(home, "training_dataset", labels={**labels, "warnings": []})
    for _ in range(2):
        home.month_warnings.record(FEBRUARY)
    (receipt,) = home.ledger.receipts("warnings cleared")
    assert set(receipt.evidence) == {"warnings", "snapshot", "code", "lock"}
    assert ProductionRecords(home.folder).of(2)["warnings"] == []


def test_alerts_status_terminal_and_server_show_the_same_warnings(home, capsys):
    from rich.console import Console

    before = home.ledger.head().sequence
    home.month_warnings.record(FEBRUARY)
    told = [item.message for item in home.alerts.items(before, []) if item.message is not None]
    assert [message.title for message in told] == ["gym: warnings about 2024-02-29"]
    found = open_home(home.folder).status.now().warnings
    assert codes(found) == {"LABELS_UNLIKE_BEFORE"}
    assert all(warning["sentence"] in told[0].body for warning in found)
    assert ProductionRecords(home.folder).of(2)["warnings"] == found
    show_status(Console(width=200), home.status.now().as_json())
    assert "LABELS_UNLIKE_BEFORE" in capsys.readouterr().out


def alarmed(home, **unknown):
    """A drift report of the version in production with an alarm and unknown categories of plan."""
    result = judged((check("plan", unknown=unknown), None))
    change_record(
        home,
        "drift_report",
        production_version=home.releases.pointer().version,
        alarms=["drift share 40.0% is above 5.0%"],
        result=result.as_json(),
    )


def unanswered(home):
    """The sentences of the warnings about drift that no candidate answers."""
    found = home.month_warnings.of(FEBRUARY)
    return [one.sentence for one in found if one.code == "DRIFT_WITHOUT_LABELS"]


def request_retraining(home):
    record_act(
        home.ledger,
        act="retraining requested",
        actor="tester",
        subject="2024-02-29",
        reason="Drift.",
    )


def test_drift_that_no_candidate_can_answer_is_a_warning(home):
    alarmed(home, premium=0.6)
    (sentence,) = unanswered(home)
    assert "No labels have matured since the decision on 2024-02-29" in sentence
    assert "UNKNOWN_CATEGORY_SHARE" in {one.code for one in home.month_warnings.of(FEBRUARY)}
    request_retraining(home)
    assert unanswered(home) == []


def test_drift_is_a_warning_if_the_training_that_should_answer_it_was_refused(home):
    alarmed(home)
    request_retraining(home)
    key = training_key(home.training_datasets.load(FEBRUARY).digest, home.contract.policy_hash)
    reason = "The training rows hold 5 churners."
    home.ledger.append(TrainingRefused(month=FEBRUARY, reason=reason, **key))
    (sentence,) = unanswered(home)
    assert sentence.endswith("The training rows hold 5 churners.")


def test_a_record_is_read_by_its_own_words_after_the_policy_was_edited(home):
    before = home.month_warnings.of(FEBRUARY)
    training = DECLARED["policy"]["training"] | {"churn_rate_max": 0.02}
    edited = with_contract(home, policy=DECLARED["policy"] | {"training": training})
    assert home.records.read("training_dataset", FEBRUARY)["labels"]["churn_rate"] > 0.02
    assert edited.month_warnings.of(FEBRUARY) == before


def test_failed_checks_and_a_list_of_the_past_are_warnings(home):
    change_record(
        home, "training_dataset", failed_checks={"no_holdout_entity_in_training": "3 customers."}
    )
    change_record(home, "scores", list_note="Every customer of the list has a label.")
    assert {"CHECK_FAILED", "LIST_OF_THE_PAST"} <= {
        warning.code for warning in home.month_warnings.of(FEBRUARY)
    }


def test_labels_of_some_customers_are_counted(home):
    leavers = month_tables(FEBRUARY)["leavers"].head(1200)
    leavers.loc[800:, "member"] = [f"stranger {number}" for number in range(400)]
    deliver(home, FEBRUARY, {"leavers": leavers})
    home.ingestion.publish(FEBRUARY)
    assert label_count(home.lake, FEBRUARY) == LabelCount(800, 1500)
    (partial,) = [
        warning for warning in home.month_warnings.of(FEBRUARY) if warning.code == "LABELS_PARTIAL"
    ]
    assert "800 of 1,500" in partial.sentence
    receipt = home.ledger.receipts("drop corrected")[-1]
    assert receipt.evidence["labelled"] == [800, 1500]
    assert "800 of 1,500" in receipt.reason


def test_performance_on_repeated_data_carries_the_warning(home):
    change_comparison(home, FEBRUARY, repeated={"visits": "2024-01-31"})
    entries = home.performance_monitor.measure(FEBRUARY).evaluated
    assert entries
    assert all("identical to the table of 2024-01-31" in entry.warning for entry in entries)
    assert {"TABLE_SAME_AS_BEFORE", "PERFORMANCE_ON_REPEATED_DATA"} <= {
        w.code for w in home.month_warnings.of(FEBRUARY)
    }
    change_comparison(home, FEBRUARY, repeated={})  # as after a correction of January
    assert "PERFORMANCE_ON_REPEATED_DATA" not in {w.code for w in home.month_warnings.of(FEBRUARY)}
    assert not any(entry.warning for entry in home.performance_history.all())


def test_records_and_manifests_of_an_older_version_have_no_warnings(home):
    path = home.folder / "lake" / "snapshots" / "2024-02-29.json"
    manifest = read_json(path)
    del manifest["deliveries"][-1]["compared"]
    write_json(path, manifest)
    record = home.records.read("training_dataset", FEBRUARY)
    home.records.write(
        "training_dataset", FEBRUARY, {k: v for k, v in record.items() if k != "labels"}
    )
    assert home.month_warnings.of(FEBRUARY) == []
