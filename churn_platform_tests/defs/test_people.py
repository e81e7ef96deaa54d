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
    "canary_job": ("start_canary", {"version", "steps", "every", "by", "reason"}),
    "canary_raise_job": ("raise_canary", {"by", "reason"}),
    "canary_end_job": ("end_canary", {"by", "reason"}),
    "shadow_job": ("start_or_end_a_shadow", {"subject", "end", "by", "reason"}),
    "model_test_job": (
        "start_a_model_test",
        {"version_a", "version_b", "budget", "months", "anyway", "by", "reason"},
    ),
    "model_test_end_job": ("end_the_model_test", {"by", "reason"}),
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
    optional = {"override", "to", "budget", "months", "anyway", "end", "steps", "every"}
    assert {name for name, field in form.items() if field.is_required} == fields - optional
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


def test_a_shadow_is_started_and_ended_in_the_ui(run, february_copy):
    home = february_copy
    form = {"subject": "hours<3", "by": "Ann", "reason": "The team's own rule."}
    assert outcome(run(home, "shadow_job", **form)).startswith("The rule hours < 3 is a shadow now")
    assert sentence(run(home, "shadow_job", **form)).startswith(
        "The rule hours < 3 is a shadow already"
    )
    assert "no longer a shadow" in outcome(run(home, "shadow_job", end=True, **form))
    acts = [(r.act, r.subject, r.actor) for r in home.ledger.receipts() if "shadow" in r.act]
    assert acts == [("shadow started", "hours < 3", "Ann"), ("shadow ended", "hours < 3", "Ann")]


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


def test_a_test_of_two_versions_is_started_and_ended_in_the_ui(run, contacted_copy):
    versions = {"version_a": 2, "version_b": 1}
    started = run(contacted_copy, "model_test_job", **versions, by="Ann", reason="Which saves?")
    assert "90 customers on each list" in outcome(started)
    home = open_home(contacted_copy.folder)
    assert home.model_tests.state().test.by == "Ann"
    again = run(home, "model_test_job", **versions, by="Ann", reason="Again.")
    assert "Test 1" in sentence(again)
    outcome(run(home, "model_test_end_job", by="Bob", reason="Enough."))
    assert open_home(home.folder).model_tests.state().test is None


def test_a_canary_starts_and_ends_in_the_ui(run, february_copy):
    home = february_copy
    form = {"version": 1, "by": "Ann", "reason": "To see it."}
    assert "'half'" in sentence(run(home, "canary_job", **form, steps="half"))
    assert "'soon'" in sentence(run(home, "canary_job", **form, every="soon"))
    started = run(home, "canary_job", **form)
    assert "answers 1% of the customers" in outcome(started)
    assert "canary of version 1" in said_of_the_list(started)
    running = open_home(home.folder).experiments.state().canary
    assert (running.steps, running.every_seconds) == ((0.01, 0.05, 0.25, 0.5), 86_400)
    raised = run(home, "canary_raise_job", by="Bob", reason="Quiet.")
    assert "answers 5% of the customers" in outcome(raised)
    assert "no longer a canary" in outcome(run(home, "canary_end_job", by="Bob", reason="Enough."))
    assert open_home(home.folder).experiments.state().canary is None
    [receipt] = home.ledger.receipts("canary ended")
    assert receipt.actor == "Bob"
