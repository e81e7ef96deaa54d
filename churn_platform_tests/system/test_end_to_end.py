"""The loop on the two real months: what must be seen there, read from the home that Dagster's runs left behind."""

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from churn_platform.promotion.decision import Decision
from churn_platform.services import Services
from churn_platform_tests.real_months import FEBRUARY, JANUARY, copy_home, run_all, take_in_month


def decision(home: Services, month: dt.date) -> Decision:
    found = [
        Decision.model_validate(d)
        for d in home.records.decisions()
        if d["as_of"] == month.isoformat()
    ]
    assert len(found) == 1, f"one decision a month, not {len(found)}"
    return found[0]


def outcomes(found: Decision) -> dict[str, str]:
    return {finding.code: finding.outcome for finding in found.findings}


def test_the_first_month_is_promoted_because_there_is_no_model(february_home: Services):
    first = decision(february_home, JANUARY)
    assert (first.decision, first.trigger, first.production_version) == ("promoted", "first", None)
    assert first.candidate_auc is not None
    assert first.candidate_auc >= 0.80
    assert first.production_auc is None


def test_in_february_one_column_drifts_and_only_that_one(february_home: Services):
    second = decision(february_home, FEBRUARY)
    assert second.drifted_columns == ("rebuffer_events_7d",)
    assert second.drift_share == pytest.approx(1 / 14)
    assert second.target_drift == pytest.approx(0.0239, abs=0.0001)


def test_in_february_production_is_worth_nothing_and_a_better_candidate_replaces_it(
    february_home: Services,
):
    second = decision(february_home, FEBRUARY)
    assert (second.decision, second.trigger) == ("promoted", "performance")
    assert second.production_auc is not None
    assert 0.42 <= second.production_auc <= 0.56
    assert second.candidate_auc is not None
    assert second.candidate_auc >= 0.63
    assert second.difference_interval is not None
    assert second.difference_interval[0] > 0
    assert february_home.releases.pointer().version == 2


def test_the_forward_value_warns_that_nothing_carries_over(february_home: Services):
    second = decision(february_home, FEBRUARY)
    assert second.forward_auc == pytest.approx(0.49, abs=0.04)
    assert outcomes(second)["GATE009"] == "warn"
    assert not next(f for f in second.findings if f.code == "GATE009").refuses


def test_realised_performance_shows_at_once_what_the_drift_hides(february_home: Services):
    record = february_home.records.read("performance", FEBRUARY)
    assert [(e["version"], e["as_of"]) for e in record["evaluated"]] == [(1, "2024-02-29")]
    assert record["evaluated"][0]["rows"] == 7043
    assert record["evaluated"][0]["metrics"]["auc"] == pytest.approx(0.49, abs=0.02)


def test_the_labels_of_february_are_called_implausible_with_their_figures(february_home: Services):
    with dg.DagsterInstance.from_config(str(february_home.folder / "dagster")) as instance:
        check = dg.AssetCheckKey(dg.AssetKey("training_dataset"), "labels_plausible")
        record = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)[0]
        result = record.event.dagster_event.asset_check_evaluation_data
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "1,410 of 1,869" in result.description
    assert "62.3%" in result.description
    assert "62.1%" in result.description


def test_every_run_is_in_dagster_and_green(february_home: Services):
    with dg.DagsterInstance.from_config(str(february_home.folder / "dagster")) as instance:
        runs = instance.get_runs()
        partitions = instance.get_dynamic_partitions("as_of")
    assert [run.job_name for run in reversed(runs)] == ["monthly", "retraining"] * 2
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert sorted(partitions) == ["2024-01-31", "2024-02-29"]


def test_a_second_run_has_nothing_to_do_and_writes_nothing(february_home: Services):
    before = {
        path: path.stat().st_mtime_ns for path in february_home.folder.rglob("*") if path.is_file()
    }
    assert run_all(february_home) == []
    after = {
        path: path.stat().st_mtime_ns for path in february_home.folder.rglob("*") if path.is_file()
    }
    changed = {
        str(path.relative_to(february_home.folder))
        for path in after
        if after[path] != before.get(path)
    }
    # The home is a copy, whose drops are read once more, and their digests kept after a second.
    noted = ("dagster/", "home.lock", "lake/drop_files.json")
    assert not {name for name in changed if not name.startswith(noted)}


def test_every_customer_is_ranked_once_by_the_model_in_production(february_home: Services):
    scores = february_home.records.frame("scores", FEBRUARY)
    assert len(scores) == 7043
    assert scores["user_id"].is_unique
    assert set(scores["version"]) == {2}
    assert not scores["stand_down"].any()
    left = february_home.lake.labels(FEBRUARY, february_home.now())[scores["user_id"]]
    assert scores["already_left"].tolist() == left.tolist()
    at_risk = scores[~scores["already_left"]]
    assert len(at_risk) == 5342
    assert at_risk["probability"].is_monotonic_decreasing
    assert at_risk["decile"].value_counts().between(534, 535).all()
    listed = pd.read_csv(february_home.reports / "2024-02-29" / "at_risk.csv")
    assert len(listed) == 500
    assert not left[listed["user_id"]].any()
    assert listed["reason_1"].str.contains("raises the risk|lowers the risk").all()


def test_batch_scores_explanation_release_and_mlflow_give_the_same_probability(
    february_home: Services,
):
    import mlflow.pyfunc

    from churn_platform.lake.tables import feature_frame
    from churn_platform.promotion.promotions import released
    from churn_platform.training.estimator import model_input

    rows = feature_frame(february_home.contract, february_home.lake.tables(FEBRUARY))
    model = released(february_home.releases, 2).model
    expected = pd.Series(model.probability(rows), index=rows["user_id"])
    scores = february_home.records.frame("scores", FEBRUARY).set_index("user_id")["probability"]
    np.testing.assert_allclose(scores.reindex(expected.index), expected, atol=1e-9)
    mlflow.set_tracking_uri(february_home.registry.tracking_uri)
    registered = mlflow.pyfunc.load_model("models:/streamflow_churn@production")
    answered = registered.predict(model_input(model.features, rows))
    np.testing.assert_allclose(np.asarray(answered)[:, 1], expected, atol=1e-9)
    for user in rows["user_id"].sample(5, random_state=1):
        assert february_home.status.explain(user, None).probability == pytest.approx(
            expected[user], abs=1e-9
        )


def test_null_is_kept_from_file_to_feature(february_home: Services):
    scored = february_home.feature_store.historical(
        february_home.lake.view(february_home.now(), as_at_scoring=True),
        pd.DataFrame({"user_id": ["7590-VHVEG", "7795-CFOCW"], "as_of": "2024-02-29"}),
    )
    assert len(scored) == 2
    tables = february_home.lake.tables(FEBRUARY)
    assert tables["subscriptions"]["plan_stream_tv"].isna().sum() == 1526


@pytest.mark.slow
def test_a_refused_month_is_a_green_run_with_a_list_a_yellow_check_and_a_sentence(
    january_home: Services, tmp_path: Path
):
    contract = tmp_path / "contract.yaml"
    text = january_home.contract_path.read_text(encoding="utf-8")
    contract.write_text(text.replace("delta: 0.01", "delta: 0.5"), encoding="utf-8")
    home = copy_home(january_home, tmp_path / "home", contract=contract)
    take_in_month(home, FEBRUARY)
    assert run_all(home) == [("monthly", "2024-02-29"), ("retraining", "2024-02-29")]

    refused = decision(home, FEBRUARY)
    assert refused.decision == "refused"
    assert outcomes(refused)["GATE001"] == "fail"
    assert "0.5" in refused.reason
    assert home.releases.pointer().version == 1
    assert len(home.records.frame("scores", FEBRUARY)) == 7043
    assert refused.stand_down, "production is at chance and nothing better passed"
    assert home.status.now().production.stand_down
    assert home.records.frame("scores", FEBRUARY)["stand_down"].all()
    with dg.DagsterInstance.from_config(str(home.folder / "dagster")) as instance:
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
        check = dg.AssetCheckKey(dg.AssetKey("promotion_decision"), "beats_production")
        record = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)[0]
        shown = record.event.dagster_event.asset_check_evaluation_data
        materialized = instance.get_latest_materialization_event(dg.AssetKey("production_model"))
        kept = materialized.asset_materialization.metadata["outcome"].value
    assert (shown.passed, shown.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert kept.startswith("Kept version 1:")
    assert run_all(home) == [], "a refusal is an answer, it is not asked again"


def test_an_incumbent_scored_on_rows_it_was_trained_on_is_not_applicable_never_a_number(
    january_home: Services,
):
    """The old comparison: production had seen the rows it was compared on, read 0.83 for 0.62, and won for ever."""
    from dataclasses import replace

    from churn_platform.drift.result import DriftFigures
    from churn_platform.features.training_dataset import entity_hashes
    from churn_platform.promotion.decision import decide
    from churn_platform.promotion.gate import gather
    from churn_platform.promotion.promotions import production_candidate
    from churn_platform.training.candidate import fit_candidate, shuffled_refit

    dataset = january_home.training_datasets.load(JANUARY)
    contract = january_home.contract
    everyone = entity_hashes(dataset.frame["user_id"])
    incumbent = replace(production_candidate(january_home.releases), training_entities=everyone)
    candidate = fit_candidate(contract, dataset, "code")
    evidence = gather(contract, dataset, candidate, incumbent, attempt=1)
    found = decide(
        evidence, shuffled_refit(contract, dataset), candidate_version=2, candidate_digest=candidate.digest,
        trigger="manual", policy_hash=contract.policy_hash, drift=DriftFigures(), digests={},
    )  # fmt: skip
    assert found.decision == "refused"
    assert outcomes(found)["GATE004"] == "not_applicable"
    assert (found.production_auc, found.candidate_auc, found.difference_interval) == (
        None,
        None,
        None,
    )
    assert "retrain" in found.reason or "override" in found.reason


@pytest.mark.slow
def test_a_correction_is_kept_beside_what_was_known(february_home: Services, tmp_path: Path):

    home = copy_home(february_home, tmp_path / "home")
    corrected = tmp_path / "corrected"
    corrected.mkdir()
    table = pd.read_csv(home.drops / "2024-02-29" / "payments_agg_90d.csv")
    table["failed_payments_90d"] = 3
    table.to_csv(corrected / "payments_agg_90d.csv", index=False)
    home.ingestion.accept(corrected, FEBRUARY)
    assert run_all(home) == [("monthly", "2024-02-29")]
    deliveries = home.lake.deliveries(FEBRUARY)
    assert [d.kind for d in deliveries] == ["first", "correction"]
    assert (home.lake.tables(FEBRUARY)["payments_agg_90d"]["failed_payments_90d"] == 3).all()
    view = home.lake.view(home.now(), as_at_scoring=True)
    assert home.lake.read(view["payments_agg_90d"][FEBRUARY].path)["failed_payments_90d"].mean() < 1
    assert [r.act for r in home.ledger.receipts("drop corrected")] == ["drop corrected"]


@pytest.mark.slow
def test_the_shipped_forest_recipe_lands_where_the_course_was(february_home: Services):
    from churn_platform.contract.model import Contract
    from churn_platform.training.candidate import fit_candidate

    forest = february_home.contract.as_mapping()
    forest["policy"]["training"]["algorithm"] = "random_forest"
    candidate = fit_candidate(
        Contract.model_validate(forest), february_home.training_datasets.load(FEBRUARY), "code"
    )
    assert 0.60 <= candidate.card.metrics["auc"] <= 0.67


@pytest.mark.slow
def test_killed_between_decision_and_promotion_the_next_run_completes_it(
    january_home: Services, tmp_path: Path, monkeypatch
):
    from churn_platform.defs.runner import StepFailed
    from churn_platform.promotion.promotions import Promotions

    home = copy_home(january_home, tmp_path / "home")
    take_in_month(home, FEBRUARY)

    def die(*_: object) -> None:
        raise RuntimeError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(Promotions, "promote", die)
        with pytest.raises(StepFailed, match="cut off"):
            run_all(home)
    assert home.releases.pointer().version == 1
    assert home.decisions.unfinished() == "performance"
    assert run_all(home)[0] == ("retraining", "2024-02-29")
    assert home.releases.pointer().version == 2
    assert [d["candidate_version"] for d in home.records.decisions()] == [1, 2]
    assert run_all(home) == []


def test_the_ledger_tells_the_whole_story_and_its_chain_holds(february_home: Services):
    acts = [(r.act, r.subject) for r in february_home.ledger.receipts()]
    assert ("drop accepted", "2024-02-29") in acts
    assert ("retraining requested", "2024-02-29") in acts
    assert acts.index(("promotion intent", "version 2")) < acts.index(
        ("promotion done", "version 2")
    )
    pointer = february_home.releases.pointer()
    assert february_home.ledger.verify(pointer.ledger_head) is None
    assert february_home.registry.alias("production") == pointer.version == 2


def test_the_drift_report_is_a_page_and_a_json(february_home: Services):
    folder = february_home.reports / "2024-02-29"
    assert "rebuffer_events_7d" in (folder / "drift.html").read_text(encoding="utf-8")
    assert json.loads((folder / "drift.json").read_text(encoding="utf-8"))
