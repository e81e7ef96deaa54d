"""The jobs by which people decide in the UI: a form with every field described, and the same acts as the commands."""

import dagster as dg
import pytest

from churn_platform.base.settings import prepare_environment
from churn_platform.definitions import defs
from churn_platform.defs.promotion import approval, production_model
from churn_platform_tests.api_client import with_contract
from churn_platform_tests.small_business import DECLARED, FEBRUARY, open_home, with_policy

JOBS = {
    "approval_job": ("approve_version", {"version", "by", "reason", "override"}),
    "rejection_job": ("reject_version", {"version", "by", "reason"}),
    "rollback_job": ("roll_production_back", {"to", "by", "reason"}),
    "unblocking_job": ("unblock_version", {"version", "by", "reason"}),
    "retraining_request_job": ("ask_for_a_retraining", {"by", "reason"}),
}


@pytest.fixture
def run(instance):
    """Run one of the jobs on a home with what a person filled in."""

    def go(home, job, **form):
        prepare_environment(home.settings)
        config = {"ops": {JOBS[job][0]: {"config": form}}}
        return (
            defs()
            .resolve_job_def(job)
            .execute_in_process(config, instance=instance, raise_on_error=False)
        )

    return go


def outcome(result):
    assert result.success
    [event] = [
        event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_OUTPUT
    ]
    return event.event_specific_data.metadata["outcome"].value


def said_of_the_list(result):
    [event] = [
        event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_OUTPUT
    ]
    found = event.event_specific_data.metadata.get("list")
    return None if found is None else found.value


def sentence(result):
    assert not result.success
    return result.get_step_failure_events()[0].event_specific_data.user_failure_data.description


@pytest.mark.parametrize("job", JOBS)
def test_the_form_asks_for_every_field_with_a_description(job):
    op, fields = JOBS[job]
    made = defs().resolve_job_def(job)
    assert len(made.description) > 30
    form = made.get_node_named(op).definition.config_schema.config_type.fields
    assert set(form) == fields
    assert all(len(field.description) > 10 for field in form.values())
    assert {name for name, field in form.items() if field.is_required} == fields - {
        "override",
        "to",
    }
    assert made.tags["dagster/max_retries"] == "0"


def test_approve_and_roll_back_in_the_ui_are_those_of_the_commands(run, february_pending_copy):
    home = february_pending_copy
    said = outcome(run(home, "approval_job", version=2, by="Ann", reason="Right."))
    assert said == "Version 2 is in production, approved by Ann: Right."
    assert open_home(home.folder).releases.pointer().version == 2
    rolled_back = run(home, "rollback_job", by="Bob", reason="Wrong.")
    assert outcome(rolled_back).startswith("Version 1 is in production again")
    assert said_of_the_list(rolled_back) is None
    assert outcome(run(home, "unblocking_job", version=2, by="Ann", reason="Checked.")).startswith(
        "Version 2 is no lon"
    )
    assert [(r.act, r.actor) for r in home.ledger.receipts() if r.actor in ("Ann", "Bob")] == [
        ("approval", "Ann"), ("promotion intent", "Ann"), ("promotion done", "Ann"), ("rollback intent", "Bob"),
        ("version blocked", "Bob"), ("rollback done", "Bob"), ("version unblocked", "Ann"),
    ]  # fmt: skip


def test_a_refusal_fails_the_run_with_its_sentence_and_is_not_tried_again(
    run, february_pending_copy
):
    home = february_pending_copy
    assert outcome(run(home, "rejection_job", version=2, by="Bob", reason="No.")).startswith(
        "Version 2 is rejected by"
    )
    assert sentence(run(home, "approval_job", version=2, by="Ann", reason="Yes.")).startswith(
        "Version 2 was rejected"
    )
    assert sentence(run(home, "rollback_job", by="Ann", reason=" ")).startswith(
        "--by and --reason must not be empty"
    )
    assert open_home(home.folder).releases.pointer().version == 1


def test_the_asset_and_its_check_say_that_a_candidate_waits(materialize, february_decided_copy):

    home = with_policy(february_decided_copy, mode="approval")
    home.decision_maker.decide(FEBRUARY, "performance")
    result = materialize(home, FEBRUARY, production_model, approval)
    [shown] = result.asset_materializations_for_node("production_model")
    assert shown.metadata["waits for approval"].value == "version 2"
    assert shown.metadata["outcome"].value.startswith(
        "Kept version 1: Version 2 passed and waits for an approval"
    )
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Answer with approval_job or rejection_job" in check.description


def test_where_nobody_waits_the_check_passes(materialize, february_decided_copy):
    result = materialize(february_decided_copy, FEBRUARY, production_model, approval)
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.description) == (True, "No candidate waits for an approval.")


def test_a_retraining_asked_for_in_the_ui_is_the_next_step(run, february_copy):
    home = february_copy
    assert "A retraining on 2024-02-29 is requested by Ann" in outcome(
        run(
            with_policy(home, delta=0.02),
            "retraining_request_job",
            by="Ann",
            reason="Another delta.",
        )
    )
    step = open_home(home.folder).progress().next_step()
    assert (step.kind, step.as_of, step.trigger) == ("retraining", FEBRUARY, "manual")
    assert "Ann asked for a retraining: Another delta." in step.reason


def test_a_rollback_works_under_a_refused_contract_and_says_whose_list_it_is(run, february_copy):
    february_copy.run_start.complete()
    members = DECLARED["tables"]["members"]["columns"] | {"spring": {"dtype": "integer"}}
    tables = DECLARED["tables"] | {"members": {"columns": members}}
    home = with_contract(february_copy, tables=tables)
    rolled_back = run(home, "rollback_job", by="Bob", reason="Wrong.")
    assert outcome(rolled_back).startswith("Version 1 is in production again")
    outdated = "The list is of version 2; version 1 is in production."
    assert said_of_the_list(rolled_back).startswith(outdated)
    assert open_home(home.folder).releases.pointer().version == 1
