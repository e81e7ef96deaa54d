"""What comes next: never a newer month before an older one that is due, never the same thing twice."""

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.loop.next_step import MonthState, next_step
from churn_platform.loop.retraining import RetrainingAnswer

JANUARY, FEBRUARY, MARCH, APRIL = (
    dt.date(2024, m, d) for m, d in ((1, 31), (2, 29), (3, 31), (4, 30))
)
WAIT, DRIFT = (
    RetrainingAnswer(None, "Nothing asks for a new model.", "evidence"),
    RetrainingAnswer("drift", "Drift.", "evidence"),
)


def done(as_of):
    """A month whose drop is published and whose records are up to date."""
    return MonthState(
        as_of, "files", settled=True, published="files", processed=True, inputs="inputs"
    )


def new(as_of):
    """A drop that was never published."""
    return MonthState(as_of, "files", settled=True, published=None, processed=False)


def corrected(as_of):
    """A month whose files have changed since they were published."""
    return dataclasses.replace(done(as_of), drop="other files")


def stale(as_of):
    """A month whose inputs have changed since its records were made."""
    return dataclasses.replace(done(as_of), processed=False, inputs="other inputs")


def copying(as_of):
    """A drop whose files are still changing."""
    return dataclasses.replace(new(as_of), settled=False)


def asked(*months, answer=WAIT, unfinished=None, stale_scores=""):
    return next_step(months, answer, unfinished=unfinished, stale_scores=stale_scores)


def test_a_newest_month_that_the_online_store_has_lost_comes_before_an_older_months_scores_and_models():
    lost = dataclasses.replace(done(FEBRUARY), processed=False, absent_from="redis://host/0")
    step = asked(done(JANUARY), lost, answer=DRIFT, stale_scores="The list is old.")
    assert (step.kind, step.as_of) == ("monthly", FEBRUARY)
    assert asked(done(JANUARY), lost, unfinished="drift").as_of == FEBRUARY
    # What has not been published yet waits for the older month's model, as ever.
    new_one = dataclasses.replace(new(FEBRUARY), absent_from="redis://host/0")
    assert asked(done(JANUARY), new_one, answer=DRIFT).kind == "retraining"


STATES = st.builds(
    MonthState,
    as_of=st.just(JANUARY),
    drop=st.sampled_from([None, "a", "b"]),
    settled=st.booleans(),
    published=st.sampled_from([None, "a", "b"]),
    processed=st.booleans(),
    inputs=st.sampled_from([None, "i", "j"]),
)
HISTORIES = st.lists(STATES, max_size=8).flatmap(
    lambda states: st.permutations(
        [
            dataclasses.replace(state, as_of=dt.date(2020 + n, 1, 31))
            for n, state in enumerate(states)
        ]
    )
)
VERDICTS = st.sampled_from([None, WAIT, DRIFT])


def test_an_empty_home_has_nothing_to_do():
    assert asked(answer=None) is None


def test_a_finished_month_leaves_nothing_to_do():
    assert asked(done(JANUARY), done(FEBRUARY)) is None


def test_the_oldest_due_month_comes_first_whatever_the_order():
    for months in (
        (new(MARCH), new(JANUARY), new(FEBRUARY)),
        (new(JANUARY), new(FEBRUARY), new(MARCH)),
    ):
        step = asked(*months, answer=None)
        assert (step.kind, step.as_of, step.trigger) == ("monthly", JANUARY, None)
        assert step.reason == "The month 2024-01-31 has no snapshot yet."


def test_a_retraining_of_the_newest_processed_month_comes_before_a_newer_month():
    step = asked(done(JANUARY), new(FEBRUARY), answer=DRIFT)
    assert (step.kind, step.as_of, step.trigger, step.reason, step.key) == (
        "retraining", JANUARY, "drift", "Drift.", "evidence",
    )  # fmt: skip
    assert asked(done(JANUARY), new(FEBRUARY)).as_of == FEBRUARY


def test_a_retraining_waits_for_an_older_month_that_is_due():
    for older in (new(JANUARY), corrected(JANUARY), stale(JANUARY)):
        step = asked(
            older,
            done(FEBRUARY),
            answer=DRIFT,
            unfinished="drift",
            stale_scores="The list is old.",
        )
        assert (step.kind, step.as_of) == ("monthly", JANUARY)


def test_a_corrected_month_is_processed_again_and_only_that():
    step = asked(corrected(JANUARY), done(FEBRUARY))
    assert (step.kind, step.as_of) == ("monthly", JANUARY)
    assert step.reason == "The month 2024-01-31 is not processed as it now is."
    assert asked(done(JANUARY), done(FEBRUARY)) is None


def test_a_correction_of_the_newest_month_itself_comes_before_its_retraining():
    step = asked(done(JANUARY), corrected(FEBRUARY), answer=DRIFT)
    assert (step.kind, step.as_of) == ("monthly", FEBRUARY)


def test_a_decision_that_was_not_carried_out_is_run_again_with_its_own_trigger():
    step = asked(done(JANUARY), new(FEBRUARY), unfinished="schedule")
    assert (step.kind, step.as_of, step.trigger, step.key) == (
        "retraining",
        JANUARY,
        "schedule",
        "evidence",
    )
    assert step.reason == "The newest decision was not carried out."
    assert asked(done(JANUARY), answer=DRIFT, unfinished="first").trigger == "first"


def test_scores_by_an_older_model_are_made_again_after_any_retraining():
    step = asked(done(JANUARY), done(FEBRUARY), new(MARCH), stale_scores="The list is old.")
    assert (step.kind, step.as_of, step.trigger) == ("scores", FEBRUARY, None)
    assert step.reason == "The list is old."
    assert asked(done(FEBRUARY), answer=DRIFT, stale_scores="The list is old.").kind == "retraining"


def test_the_key_of_scores_is_that_of_the_evidence_so_another_model_is_another_key():
    keys = {
        asked(
            done(JANUARY), answer=RetrainingAnswer(None, "", key), stale_scores="The list is old."
        ).key
        for key in ("version 1", "version 2")
    }
    assert keys == {"version 1", "version 2"}
    assert asked(done(JANUARY), answer=None, stale_scores="The list is old.").key == "2024-01-31"


def test_before_any_month_is_processed_nothing_is_retrained_or_scored():
    assert asked(answer=DRIFT, unfinished="first", stale_scores="The list is old.") is None
    assert (
        asked(new(JANUARY), answer=DRIFT, unfinished="first", stale_scores="The list is old.").kind
        == "monthly"
    )


def test_files_that_are_still_changing_are_not_due():
    assert asked(copying(JANUARY), answer=None) is None
    assert not dataclasses.replace(corrected(JANUARY), settled=False).due
    assert asked(done(JANUARY), dataclasses.replace(corrected(FEBRUARY), settled=False)) is None


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (new(JANUARY), True),
        (copying(JANUARY), False),
        (done(JANUARY), False),
        (corrected(JANUARY), True),
        (stale(JANUARY), True),
        (dataclasses.replace(stale(JANUARY), settled=False), True),
        (dataclasses.replace(stale(JANUARY), drop=None), True),
        (dataclasses.replace(done(JANUARY), drop=None), False),
        (dataclasses.replace(corrected(JANUARY), settled=False, processed=False), False),
        (MonthState(JANUARY, None, settled=True, published=None, processed=False), False),
    ],
)
def test_a_month_is_due_when_its_files_or_its_inputs_have_changed(state, due):
    assert state.due is due


def test_the_key_of_a_month_changes_with_its_files_and_its_inputs():
    keys = {
        state.key for state in (done(JANUARY), corrected(JANUARY), stale(JANUARY), new(JANUARY))
    }
    assert len(keys) == 4
    assert asked(corrected(JANUARY)).key == corrected(JANUARY).key


@given(HISTORIES, VERDICTS, st.sampled_from([None, "drift"]), st.booleans())
def test_no_older_month_that_is_due_is_ever_skipped(months, answer, unfinished, stale_scores):
    step = next_step(months, answer, unfinished=unfinished, stale_scores=stale_scores)
    due = [month.as_of for month in months if month.due]
    processed = [month.as_of for month in months if month.processed]
    if step is None:
        assert not due or any(month.arriving and month.as_of < min(due) for month in months)
    elif step.kind == "monthly":
        assert step.as_of == min(due)
    else:
        assert step.as_of == max(processed)
        assert not [as_of for as_of in due if as_of <= step.as_of]


@given(HISTORIES, VERDICTS, st.sampled_from([None, "drift"]), st.booleans())
def test_the_answer_does_not_depend_on_the_order_of_the_months(
    months, answer, unfinished, stale_scores
):
    other = sorted(months, key=lambda month: month.as_of)
    assert next_step(months, answer, unfinished=unfinished, stale_scores=stale_scores) == next_step(
        other, answer, unfinished=unfinished, stale_scores=stale_scores
    )


@given(HISTORIES)
def test_processing_what_is_due_one_by_one_ends_with_nothing_due(months):
    left = {month.as_of: month for month in months}
    order = []
    while (
        step := next_step(list(left.values()), WAIT, unfinished=None, stale_scores=False)
    ) is not None:
        order.append(step.as_of)
        state = left[step.as_of]
        left[step.as_of] = dataclasses.replace(
            state, published=state.drop or state.published, processed=True
        )
    arriving = min((month.as_of for month in months if month.arriving), default=dt.date.max)
    assert order == sorted(month.as_of for month in months if month.due and month.as_of < arriving)
