"""Deciding: bound to one candidate, one policy and one holdout; carried out for exactly that, or kept with a reason."""

import pytest

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.base.provenance import provenance
from churn_platform.drift.result import DriftFigures
from churn_platform.promotion.criteria import CRITERIA
from churn_platform.promotion.deciding import drift_figures
from churn_platform.training.registry import CANDIDATE, PRODUCTION
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    candidate,
    deliver,
    make_home,
    month_tables,
    open_home,
    with_policy,
)


def kept(home):
    return [receipt.reason for receipt in home.ledger.receipts("production kept")]


def test_a_decision_holds_its_figures_and_a_finding_for_each_criterion(february_decided):
    first = february_decided.decisions.newest()
    assert (first.as_of, first.candidate_version, first.production_version) == ("2024-02-29", 2, 1)
    assert (first.trigger, first.attempt, first.stand_down) == ("performance", 1, False)
    assert first.candidate_auc == pytest.approx(0.828, abs=0.001)
    assert first.production_auc == pytest.approx(0.494, abs=0.001)
    low, high = first.difference_interval
    assert 0.2 < low < first.candidate_auc - first.production_auc < high
    assert first.forward_auc == pytest.approx(first.production_auc, abs=1e-9)
    outcomes = {finding.code: finding.outcome for finding in first.findings}
    assert list(outcomes) == [criterion.code for criterion in CRITERIA]
    assert outcomes["GATE009"] == "warn"
    assert first.policy_hash == february_decided.contract.policy_hash
    assert first.evidence["holdout"] == "churn-platform:0.25:2024-02-29"


def test_the_decision_is_in_the_ledger_with_its_digest(february_decided):
    first, second = february_decided.ledger.receipts("decision")
    decision = february_decided.decisions.newest()
    assert (first.subject, first.before, first.after) == ("version 1", None, "promoted")
    assert (second.subject, second.before, second.after) == ("version 2", "version 1", "promoted")
    assert second.evidence == {
        "decision": decision.digest,
        "trigger": "performance",
        "policy": decision.policy_hash,
        "candidate": decision.candidate_digest,
        "files": february_decided.registry.recorded(2),
        **decision.evidence,
        **provenance(),
    }
    assert set(decision.evidence) == {"dataset", "holdout", "contract"}


def test_deciding_again_is_the_same_decision_and_writes_nothing(february_decided_copy):
    home, before = february_decided_copy, february_decided_copy.decisions.newest()
    head = home.ledger.head()
    assert home.decision_maker.decide(FEBRUARY, "performance") == before
    assert home.ledger.head() == head
    assert len(home.records.decisions()) == 2


def without_its_receipt(home):
    """The home as a kill between the newest decision and its receipt leaves it."""
    lines = home.ledger.file.read_bytes().splitlines(keepends=True)
    assert b'"act":"decision"' in lines[-1]
    home.ledger.file.write_bytes(b"".join(lines[:-1]))
    home.ledger.anchor_file.unlink()
    return open_home(home.folder)


def test_a_decision_whose_receipt_was_cut_off_gets_it_though_its_data_are_others_by_now(
    february_decided_copy,
):
    home = without_its_receipt(february_decided_copy)
    cut_off, corrected = home.decisions.newest(), month_tables(FEBRUARY)
    corrected["leavers"].loc[:200, "has_left"] = False
    deliver(home, FEBRUARY, corrected)
    assert run(open_home(home.folder)) == ["monthly 2024-02-29", "retraining 2024-02-29"]
    recorded = [receipt.evidence["decision"] for receipt in home.ledger.receipts("decision")]
    kept = [digest_of(record) for record in home.records.decisions()]
    assert recorded == kept
    assert cut_off.digest == kept[1] != kept[2]


def test_an_approved_candidate_is_promoted_and_the_outcome_says_so(february_decided_copy):
    outcome = february_decided_copy.decision_maker.carry_out()
    assert outcome.sentence.startswith("Promoted version 2: ")
    release = str(february_decided_copy.releases.folder / "2")
    assert (outcome.version, outcome.release) == (2, release)
    assert outcome.auc == february_decided_copy.decisions.newest().candidate_auc
    assert kept(february_decided_copy) == []


def test_a_refused_decision_keeps_production_and_writes_why(february_decided_copy):
    home = with_policy(february_decided_copy, delta=0.9)
    decision = home.decision_maker.decide(FEBRUARY, "performance")
    assert (decision.decision, decision.approved, decision.stand_down) == ("refused", False, True)
    assert home.stand_down.reason().startswith("Version 1 is no better than chance")
    before = home.releases.pointer_file.read_bytes()
    outcome = home.decision_maker.carry_out()
    assert outcome.sentence == f"Kept version 1: {decision.reason}"
    assert outcome.version == 1
    assert home.releases.pointer_file.read_bytes() == before
    assert home.registry.alias(PRODUCTION) == 1
    assert home.releases.versions() == [1]
    assert kept(home) == [decision.reason]
    assert home.decisions.unfinished() is None


def test_another_candidate_than_the_approved_one_is_not_promoted(february_decided_copy):
    home = february_decided_copy
    home.registry.set_alias(CANDIDATE, 1)
    outcome = home.decision_maker.carry_out()
    [reason] = kept(home)
    assert outcome.sentence == f"Kept version 1: {reason}"
    assert "version 2, not version 1" in reason
    assert home.releases.versions() == [1]


def test_another_policy_than_the_decisions_is_not_carried_out(february_decided_copy):
    home = with_policy(february_decided_copy, min_holdout_churners=31)
    assert "Kept version 1: The policy" in home.decision_maker.carry_out().sentence
    assert home.releases.pointer().version == 1
    assert home.decisions.unfinished() is None


def test_production_that_moved_since_the_decision_is_not_taken_back(february_decided_copy):
    home = february_decided_copy
    manifest = home.releases.manifest(1).model_dump(exclude={"version", "files"})
    files = {name: home.releases.path(1, name) for name in home.releases.manifest(1).files}
    home.releases.publish(3, files, manifest)
    client = home.registry._client()
    for version in ("2", "1"):
        client.create_model_version(
            "gym_churn", client.get_model_version_download_uri("gym_churn", version)
        )
    pointer = home.releases.pointer().model_dump(include={"ledger_head", "activate_at", "as_of"})
    home.releases.point(3, **pointer)
    assert home.decision_maker.carry_out().sentence.startswith("Kept version 3: ")
    assert home.registry.alias(PRODUCTION) == 3


def test_each_other_candidate_on_one_holdout_is_counted_as_an_attempt(january_decided_copy):
    home = january_decided_copy
    assert home.decisions.newest().attempt == 1
    assert candidate(home, JANUARY, code="another seed") == 2
    second = home.decision_maker.decide(JANUARY, "manual")
    assert (second.candidate_version, second.attempt) == (2, 2)
    assert open_home(home.folder).decision_maker.decide(JANUARY, "manual").attempt == 2
    home.registry.set_alias(CANDIDATE, 1)
    assert home.decision_maker.decide(JANUARY, "first").attempt == 2


def test_a_candidate_of_another_dataset_is_not_decided_on(february_decided_copy):
    february_decided_copy.registry.set_alias(CANDIDATE, 1)
    with pytest.raises(
        IntegrityError,
        match="Version 1 was not trained on the training dataset of 2024-02-29 as it now",
    ):
        february_decided_copy.decision_maker.decide(FEBRUARY, "manual")


def test_without_candidate_labels_or_decision_there_is_a_sentence(february_decided_copy, tmp_path):

    home = february_decided_copy
    home.registry._client().delete_registered_model_alias("gym_churn", CANDIDATE)
    with pytest.raises(DataError, match="materialize candidate_model first"):
        home.decision_maker.decide(FEBRUARY, "manual")
    new = make_home(tmp_path / "new")
    with pytest.raises(DataError) as refused:
        new.decision_maker.carry_out()
    assert refused.value.code == "DECISION_MISSING"
    tables = month_tables(JANUARY, 40)
    del tables["leavers"]
    deliver(new, JANUARY, tables)
    new.ingestion.publish(JANUARY)
    new.training_datasets.build(JANUARY)
    with pytest.raises(DataError) as refused:
        new.decision_maker.decide(JANUARY, "manual")
    assert refused.value.code == "LABELS_NOT_MATURED"


def test_a_tampered_candidate_is_neither_judged_nor_promoted(february_decided_copy):
    home = february_decided_copy
    for path in (home.folder / "artifacts").rglob("model.skops"):
        path.write_bytes(path.read_bytes()[:-1])
    for act in (
        home.decision_maker.carry_out,
        lambda: home.decision_maker.decide(FEBRUARY, "drift"),
    ):
        with pytest.raises(IntegrityError, match=r"Version 2 of gym_churn: model\.skops"):
            act()
    assert home.releases.pointer().version == 1


def test_the_drift_figures_are_those_of_the_months_report(january_copy):
    for month in (JANUARY, FEBRUARY):
        assert drift_figures(january_copy.records, month) == DriftFigures()
    result = {
        "share": 0.25, "drifted_columns": ["months"], "target_drift": 0.02, "prediction_drift": None,
    }  # fmt: skip
    january_copy.records.write("drift_report", FEBRUARY, {"result": result})
    assert drift_figures(january_copy.records, FEBRUARY) == DriftFigures(
        drift_share=0.25, drifted_columns=("months",), target_drift=0.02, prediction_drift=None
    )


def test_a_decision_whose_receipt_a_kill_took_gets_it_when_the_step_runs_again(
    february_decided_copy,
):
    home = without_its_receipt(february_decided_copy)
    decided = home.decision_maker.decide(FEBRUARY, "performance")
    assert [r.evidence["decision"] for r in home.ledger.receipts("decision")][-1] == decided.digest
    home.decision_maker.decide(FEBRUARY, "performance")
    assert len(home.ledger.receipts("decision")) == 2


def test_what_put_a_candidate_into_production_stands_when_it_is_decided_on_again(february_copy):
    home, decision = february_copy, february_copy.decisions.newest()
    head = home.ledger.head()
    assert home.decision_maker.decide(FEBRUARY, "manual") == decision
    assert home.decision_maker.carry_out().sentence == f"Promoted version 2: {decision.reason}"
    assert home.ledger.head() == head
    assert len(home.records.decisions()) == 2
