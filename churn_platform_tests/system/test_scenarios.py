"""Scenarios whose files matter, lived through by the whole loop: late labels, a correction, a broken file, a leak."""

import json

import dagster as dg
import pytest

from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.test_demo import churn, churn_alone

pytestmark = pytest.mark.slow
JANUARY, FEBRUARY, MARCH, APRIL = "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A scenario as `churn simulate` writes it and `churn demo --data` lives through it: the home and its answer."""

    def lived(name, months):
        folder = tmp_path_factory.mktemp(name)
        out = folder / "out"
        written = churn_alone(
            "simulate",
            out,
            "--scenario",
            name,
            "--users",
            "1000",
            "--months",
            months,
            "--seed",
            "2",
        )
        assert written.code == 0, written.err
        told = churn("demo", "--data", out, "--json", home=folder / "home")
        assert told.code == 0, told.err
        return open_home(folder / "home"), json.loads(told.out)

    return lived


def row(found, month):
    return next(row for row in found["story"] if row["month"] == month)


def test_late_labels_scores_come_first_then_performance_and_training_for_the_right_month(demo):
    home, found = demo("late-labels", 3)
    assert home.contract.label.horizon.months == 1
    assert [decision["as_of"] for decision in found["decisions"]][:1] == [JANUARY]
    assert found["production"]["as_of"] == JANUARY
    acts = [
        (receipt.act, receipt.subject, receipt.reason.split(" of ")[0])
        for receipt in home.ledger.receipts()
    ]
    arrived = acts.index(("drop accepted", JANUARY, "Addition delivery"))
    asked = next(number for number, act in enumerate(acts) if act[0] == "retraining requested")
    assert acts.index(("drop accepted", FEBRUARY, "First delivery")) < arrived < asked
    measured = {
        entry["as_of"]
        for entry in found["performance"]
        if entry["metrics"] and entry["version"] == 1
    }
    assert FEBRUARY in measured
    assert MARCH not in measured
    march = home.lake.months()[2]
    record = home.records.read("scores", march)
    assert (record["version"], record["customers"]) == (1, 1000)
    assert not home.lake.has_labels(march)


def test_a_correction_is_in_the_ledger_and_in_the_scores_and_rewrites_no_training_month(demo):
    home, found = demo("corrections", 4)
    march = home.lake.months()[2]
    assert [delivery.kind for delivery in home.lake.deliveries(march)] == ["first", "correction"]
    [receipt] = home.ledger.receipts("drop corrected")
    assert receipt.subject == MARCH
    assert any("Correction delivery of " in said for said in row(found, MARCH)["deliveries"])
    from churn_platform.lake.tables import feature_frame

    key = home.contract.entity.column
    trained = home.records.frame("training_dataset", march)
    trained = trained[trained["as_of"] == MARCH].set_index(key)
    newest = (
        feature_frame(home.contract, home.lake.tables(march)).set_index(key).reindex(trained.index)
    )
    differing = [
        n
        for n in home.contract.features
        if not trained[n].astype("string").equals(newest[n].astype("string"))
    ]
    assert (
        len(differing) == 1
    )  # what March trains on is what was known then; what is scored is the corrected month
    assert differing[0] in " ".join(row(found, MARCH)["deliveries"])


def test_a_broken_file_is_refused_with_a_sentence_and_the_other_months_go_on(demo):
    home, found = demo("broken-file", 4)
    march = row(found, MARCH)
    assert "column" in march["refused"]
    assert [delivery.kind for delivery in home.lake.deliveries(home.lake.months()[2])] == [
        "first"
    ]  # the repair
    published = [r.subject for r in home.ledger.receipts("drop accepted")]
    assert published == [JANUARY, FEBRUARY, APRIL, MARCH]
    assert found["next"] is None


def test_a_leak_is_named_by_the_check_and_the_gate_and_production_stays(demo):
    home, found = demo("leak", 3)
    truth = json.loads((home.folder.parent / "out" / "truth.json").read_text())
    name = truth["months"][2]["leak"]
    refused = [decision for decision in found["decisions"] if decision["decision"] == "refused"]
    assert [decision["as_of"] for decision in refused][-1:] == [MARCH]
    for decision in refused[-1:]:
        [finding] = [finding for finding in decision["findings"] if finding["code"] == "GATE011"]
        assert (finding["outcome"], finding["refuses"]) == ("fail", True)
        assert finding["detail"].startswith(f"{name} (AUC ")
    assert found["production"]["version"] == 1
    with dg.DagsterInstance.from_config(str(home.folder / "dagster")) as instance:
        check = dg.AssetCheckKey(dg.AssetKey("training_dataset"), "no_feature_tells_the_label")
        newest = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)[0]
    evaluation = newest.event.dagster_event.event_specific_data
    assert not evaluation.passed
    assert name in evaluation.description
