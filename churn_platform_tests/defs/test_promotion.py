"""Decision, gate and production model: the decision is shown, and verified again before it is carried out."""

import dagster as dg
import pytest

from churn_platform.defs.promotion import production_model, promotion_decision, promotion_gate
from churn_platform.promotion.criteria import CRITERIA
from churn_platform_tests.small_business import FEBRUARY, JANUARY, candidate, open_home, with_policy


@pytest.fixture
def gate(checked):
    """The results of the gate's checks, by name."""
    return lambda home, month: checked(home, month, promotion_gate)


def refused(home):
    """February's candidate judged anew under a policy that it cannot meet."""
    return with_policy(home, delta=0.9)


TRIGGER = {"ops": {"promotion_decision": {"config": {"trigger": "drift"}}}}


def test_the_decision_shows_both_models_and_every_finding(february_decided_copy, shown):
    candidate(february_decided_copy, FEBRUARY, "other code")
    values = shown(february_decided_copy, FEBRUARY, promotion_decision, **TRIGGER)
    record = february_decided_copy.records.decisions()[-1]
    assert (values["decision"], values["trigger"]) == ("promoted", "drift")
    assert (values["candidate version"], values["production version"]) == ("3", "1")
    assert values["candidate AUC"] == round(record["candidate_auc"], 4) > values["production AUC"]
    low, high = record["difference_interval"]
    assert values["difference interval"] == f"[{low:+.4f}, {high:+.4f}]"
    assert values["attempt on this holdout"] == 2
    assert [
        criterion.code
        for criterion in CRITERIA
        if f"| {criterion.code} | {criterion.title} |" in values["findings"]
    ] == [criterion.code for criterion in CRITERIA]


def test_a_decision_made_by_hand_says_so(january_decided_copy, shown):
    candidate(january_decided_copy, JANUARY, "other code")
    values = shown(january_decided_copy, JANUARY, promotion_decision)
    assert values["trigger"] == "manual"
    assert (values["production version"], values["difference interval"]) == ("none", "none")


def test_the_gate_shows_one_check_a_criterion_bound_to_the_candidate(february_decided_copy, gate):
    found = gate(february_decided_copy, FEBRUARY)
    assert list(found) == [criterion.name for criterion in CRITERIA]
    findings = {
        finding["name"]: finding
        for finding in february_decided_copy.records.decisions()[-1]["findings"]
    }
    for name, result in found.items():
        assert result.description == findings[name]["detail"]
        assert result.metadata["outcome"].value == findings[name]["outcome"]
        assert (result.metadata["as_of"].value, result.metadata["candidate version"].value) == (
            "2024-02-29",
            "2",
        )
        assert result.passed is (findings[name]["outcome"] in ("pass", "not_applicable"))


def test_a_refusal_is_a_green_run_with_a_yellow_check(february_decided_copy, materialize, gate):
    home = refused(february_decided_copy)
    candidate(home, FEBRUARY, "other code")
    result = materialize(home, FEBRUARY, promotion_decision, production_model, promotion_gate)
    assert result.success
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    beats = found["beats_production"]
    assert (beats.passed, beats.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "0.9" in beats.description
    [shown] = result.asset_materializations_for_node("production_model")
    assert shown.metadata["outcome"].value.startswith("Kept version 1: ")
    assert shown.metadata["production version"].value == "1"
    assert open_home(home.folder).releases.pointer().version == 1


def test_an_unsound_comparison_is_a_red_check(february_decided_copy, gate):
    folder = february_decided_copy.folder / "ledger" / "decisions"
    newest = max(folder.glob("*.json"))
    newest.write_text(newest.read_text().replace('"unsound": false', '"unsound": true', 1))
    first = gate(february_decided_copy, FEBRUARY)[CRITERIA[0].name]
    assert first.severity == dg.AssetCheckSeverity.ERROR


def test_an_approved_candidate_is_promoted(february_decided_copy, shown):
    values = shown(february_decided_copy, FEBRUARY, production_model)
    assert values["outcome"].startswith("Promoted version 2: ")
    assert values["production version"] == "2"
    assert values["production AUC at its decision"] == pytest.approx(
        february_decided_copy.records.decisions()[-1]["candidate_auc"], abs=1e-9
    )
    assert values["release"] == str(february_decided_copy.folder / "releases" / "2")
    home = open_home(february_decided_copy.folder)
    assert (home.releases.pointer().version, home.registry.alias("production")) == (2, 2)


def test_a_candidate_that_the_decision_did_not_see_is_not_promoted(february_decided_copy, shown):
    candidate(february_decided_copy, FEBRUARY, "other code")
    values = shown(february_decided_copy, FEBRUARY, production_model)
    assert values["outcome"] == "Kept version 1: The decision approved version 2, not version 3."
    assert open_home(february_decided_copy.folder).releases.pointer().version == 1


def test_an_approval_under_another_policy_is_not_carried_out(february_decided_copy, shown):
    values = shown(with_policy(february_decided_copy, delta=0.02), FEBRUARY, production_model)
    assert (
        values["outcome"]
        == "Kept version 1: The policy has changed since the decision: decide again."
    )


def test_without_production_a_refusal_leaves_none(january_decided_copy, shown):
    values = shown(with_policy(january_decided_copy, delta=0.02), JANUARY, production_model)
    assert values["outcome"].startswith("No model is in production: ")
    assert (values["production version"], values["release"]) == ("none", "none")
