"""Each part of a home as metrics, changing as the home does."""

import datetime as dt
import shutil
from dataclasses import replace

import pytest

from churn_platform.alerting.metrics import (
    DAEMON_SILENT_SECONDS,
    DagsterState,
    JobState,
    daemon_metrics,
)
from churn_platform.contacts.effect import EffectState, WithheldBecause
from churn_platform.lake.lake import instant
from churn_platform.ledger.acts import StandDownBegan
from churn_platform.ledger.version_acts import ApprovalLapsed, ApprovalRequested, Bound
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    MARCH,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
)

UNTIL = "2024-03-15T06:00:00+00:00"


def values(metrics):
    """(name, label) -> value of every sample; without a label the name alone."""
    samples = [sample for metric in metrics for sample in metric.samples]
    return {(s.name, *s.labels.values()) if s.labels else s.name: s.value for s in samples}


def test_an_empty_home_has_no_month_no_version_and_no_receipt(tmp_path):
    watched = make_home(tmp_path / "home").metrics
    assert values(watched.snapshot()) == {"churn_months": 0}
    assert values(watched.production()) == {"churn_production_version": 0}
    for source in (watched.drift, watched.performance, watched.verification):
        assert values(source()) == {}
    assert values(watched.ledger()) == {
        "churn_ledger_receipts": 0, "churn_production_stand_down": 0, "churn_approvals_pending": 0
    }  # fmt: skip


def test_a_new_month_is_the_newest_snapshot_with_its_age_and_rows_put_aside(january_copy):
    now = dt.datetime(2024, 3, 10, tzinfo=dt.UTC)
    watched = open_home(january_copy.folder, lambda: now).metrics
    tables = month_tables(FEBRUARY)
    tables["members"].loc[:2, "plan"] = "gold"
    deliver(january_copy, FEBRUARY, tables)
    monthly(january_copy, FEBRUARY)
    found = values(watched.snapshot())
    assert found["churn_months"] == 2
    assert found["churn_snapshot_as_of_timestamp_seconds"] == instant(FEBRUARY).timestamp()
    assert found["churn_snapshot_age_seconds"] == 10 * 86_400
    assert found["churn_snapshot_quarantined_rows"] == 3
    assert found["churn_labelled_as_of_timestamp_seconds"] == instant(FEBRUARY).timestamp()


def test_the_newest_matured_month_and_that_of_the_newest_decision_lag_behind_a_month_without_labels(
    january_copy,
):
    tables = month_tables(FEBRUARY)
    del tables["leavers"]
    deliver(january_copy, FEBRUARY, tables)
    monthly(january_copy, FEBRUARY)
    watched = january_copy.metrics
    found = values(watched.snapshot()) | values(watched.ledger())
    for name in ("churn_labelled_as_of", "churn_decision_as_of"):
        assert found[f"{name}_timestamp_seconds"] == instant(JANUARY).timestamp()


def test_production_has_its_version_its_age_and_its_auc_at_the_decision(january):
    found = values(january.metrics.production())
    manifest, pointer = january.releases.production(), january.releases.pointer()
    assert found["churn_production_version"] == 1
    assert found["churn_promoted_auc"] == manifest.metrics["auc"]
    low, high = found["churn_promoted_auc_low"], found["churn_promoted_auc_high"]
    assert low < found["churn_promoted_auc"] < high
    assert found["churn_production_as_of_timestamp_seconds"] == instant(JANUARY).timestamp()
    since = dt.datetime.fromisoformat(pointer.activate_at).timestamp()
    assert found["churn_production_since_timestamp_seconds"] == pytest.approx(since)


def test_a_canary_and_shadows_have_metrics_only_while_they_run(february_copy):
    names = {"churn_canary_version", "churn_canary_share", "churn_shadows"}
    assert names.isdisjoint(values(february_copy.metrics.production()))
    experiments = february_copy.experiments
    experiments.start_canary(1, (0.05,), dt.timedelta(days=1), "Ann", "To see it.")
    experiments.start_shadow(None, "hours < 3", "Ann", "To see it.")
    found = values(february_copy.metrics.production())
    assert [found[name] for name in sorted(names)] == [0.05, 1, 1]


def test_realised_performance_is_that_of_the_version_in_production(february_decided):
    found = values(february_decided.metrics.performance())
    [entry] = [
        e
        for e in february_decided.records.read("performance", FEBRUARY)["evaluated"]
        if e["version"] == 1
    ]
    assert found["churn_realised_auc"] == entry["metrics"]["auc"] < 0.5
    assert [found["churn_realised_auc_low"], found["churn_realised_auc_high"]] == list(
        entry["metrics"]["auc_interval"]
    )
    assert found["churn_realised_as_of_timestamp_seconds"] == instant(FEBRUARY).timestamp()


def test_drift_is_that_of_the_newest_report_that_compared(january_copy):
    watched = january_copy.metrics
    assert values(watched.drift()) == {}
    figures = {
        "share": 0.25,
        "share_threshold": 0.05,
        "target_drift": 0.1,
        "prediction_drift": None,
    }
    others = {"drifted_columns": [], "columns": [], "rows_reference": 9, "rows_current": 9}
    others |= dict.fromkeys(("target_threshold", "prediction_threshold"), 0.05)
    exceeded = ("drift_detected", "share_exceeded", "target_exceeded", "prediction_exceeded")
    result = figures | others | dict.fromkeys(exceeded, True)
    january_copy.records.write(
        "drift_report", JANUARY, {"result": result, "alarms": ["drift share"]}
    )
    january_copy.records.write("drift_report", FEBRUARY, {"result": None, "alarms": []})
    assert values(watched.drift()) == {
        "churn_drift_as_of_timestamp_seconds": instant(JANUARY).timestamp(), "churn_drift_share": 0.25,
        "churn_drift_share_threshold": 0.05, "churn_drift_alarms": 1, "churn_drift_target": 0.1,
    }  # fmt: skip


def test_the_drift_record_of_the_loop_has_the_fields_that_are_read(january_copy):

    deliver(january_copy, FEBRUARY)
    monthly(january_copy, FEBRUARY)
    home = open_home(january_copy.folder)
    home.drift_monitor.report(FEBRUARY)
    result = home.records.read("drift_report", FEBRUARY)["result"]
    assert values(home.metrics.drift())["churn_drift_share"] == result["share"]


def test_the_ledger_is_followed_receipt_by_receipt(january_copy):
    watched, acts = january_copy.metrics, january_copy.ledger
    before = values(watched.ledger())
    assert before["churn_ledger_receipts"] == acts.head().sequence
    assert before["churn_receipts_total", "promotion done"] == 1
    bound = Bound(2, "c", "d", "t", "p", 1)
    request = acts.append(
        bound.act(ApprovalRequested, reason="It passed.", as_of="2024-02-29", until=UNTIL)
    )
    acts.append(StandDownBegan(subject=1, reason="It fell."))
    found = values(watched.ledger())
    assert found["churn_ledger_receipts"] == before["churn_ledger_receipts"] + 2
    assert (found["churn_approvals_pending"], found["churn_production_stand_down"]) == (1, 1)
    assert "churn_approval_pending_since_timestamp_seconds" in found
    acts.append(bound.act(ApprovalLapsed, reason="No answer.", request=request.digest))
    assert values(watched.ledger())["churn_approvals_pending"] == 0


def test_a_ledger_that_is_shorter_than_before_is_read_anew(january_copy, tmp_path):
    watched = january_copy.metrics
    shutil.copytree(january_copy.folder / "ledger", tmp_path / "kept")
    before = values(watched.ledger())
    january_copy.ledger.append(StandDownBegan(subject=1, reason="It fell."))
    assert values(watched.ledger()) != before
    shutil.rmtree(january_copy.folder / "ledger")
    shutil.copytree(tmp_path / "kept", january_copy.folder / "ledger")
    assert values(watched.ledger()) == before


@pytest.mark.parametrize("harm", ["receipt", "release"])
def test_a_verification_says_what_does_not_hold(january_copy, harm):
    watched = january_copy.metrics
    assert watched.verify() == ""
    assert values(watched.verification())["churn_verify_sound"] == 1
    path = (
        january_copy.ledger.file
        if harm == "receipt"
        else january_copy.releases.folder / "1" / "model.skops"
    )
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b"first", b"worst", 1) if harm == "receipt" else content[:-1] + b"x"
    )
    assert watched.verify() != ""
    found = values(watched.verification())
    assert found["churn_verify_sound"] == 0
    assert found["churn_verify_last_timestamp_seconds"] == pytest.approx(
        january_copy.now().timestamp(), abs=60
    )


def test_a_daemon_that_never_was_is_not_up_and_each_part_has_its_sign_of_life():
    state = DagsterState(
        {"sensor": 100.0}, {"monthly": JobState(90.0, None), "retraining": JobState(None, 95.0)}
    )
    assert values(daemon_metrics(DagsterState({}, {}), 100.0)) == {"churn_daemon_up": 0}
    assert values(daemon_metrics(state, 110.0)) == {
        "churn_daemon_up": 1, ("churn_daemon_heartbeat_timestamp_seconds", "sensor"): 100.0,
        ("churn_job_last_success_timestamp_seconds", "monthly"): 90.0,
        ("churn_job_last_failure_timestamp_seconds", "retraining"): 95.0,
    }  # fmt: skip
    assert values(daemon_metrics(state, 1000.0))["churn_daemon_up"] == 0


def test_the_warnings_of_the_newest_month_are_counted_by_code(february_copy):
    watched = february_copy.metrics
    assert not [name for name in values(watched.ledger()) if "churn_month_warnings" in name]
    february_copy.month_warnings.record(FEBRUARY)
    assert values(watched.ledger())["churn_month_warnings", "LABELS_UNLIKE_BEFORE"] == 2


def test_a_daemon_is_dead_once_all_of_its_parts_are_silent():
    assert DagsterState({}, {}).daemon_alive(1000.0) is None
    state = DagsterState({"sensor": 100.0, "scheduler": 50.0}, {})
    assert state.daemon_alive(100.0 + DAEMON_SILENT_SECONDS) is True
    assert state.daemon_alive(100.1 + DAEMON_SILENT_SECONDS) is False


def test_corrected_and_naive_figures_stand_side_by_side(worked):
    found = values(worked.metrics.performance())
    newest = worked.performance_history.all()[-1]
    assert found["churn_realised_auc"] == newest.metrics.auc
    assert found["churn_naive_auc"] == newest.contacts.naive_auc != newest.metrics.auc
    assert found["churn_realised_customers", "assigned"] == 400
    assert found["churn_realised_customers", "untouched"] == 144
    assert found["churn_realised_customers", "outside a plan"] == 0
    assert "churn_realised_auc_lowest" not in found


def test_the_campaign_is_a_source_only_where_the_contract_names_contacts(worked, january):
    nothing = DagsterState({}, {})
    assert "campaign" in worked.metrics.sources(lambda: nothing)
    assert "campaign" not in january.metrics.sources(lambda: nothing)
    found = values(worked.metrics.campaign())
    record = worked.campaigns.newest()
    assert found["churn_campaign_state", "shown"] == 1
    assert found["churn_campaign_state", "withheld"] == 0
    assert found["churn_campaign_saved"] == record.effect.saved.value
    assert found["churn_campaign_money_low"] == record.effect.money.interval.low
    assert (found["churn_campaign_untouched"], found["churn_campaign_contaminated"]) == (144, 2)


def test_a_figure_that_is_withheld_is_absent(worked_copy):
    record = worked_copy.campaigns.newest()
    withheld = replace(
        record.effect, state=EffectState.WITHHELD, doubts=(WithheldBecause.SAMPLE_RATIO,)
    )
    changed = record.model_copy(update={"effect": withheld}).as_json()
    worked_copy.records.write("campaign_effect", MARCH, changed)
    found = values(worked_copy.metrics.campaign())
    assert found["churn_campaign_state", "withheld"] == 1
    assert not [name for name in found if "saved" in name or "money" in name]
