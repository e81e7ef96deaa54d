"""What comes next: never a newer month before an older one that is due, never the same thing twice."""

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.loop.next_step import MonthState, next_step
from churn_platform.loop.retraining import RetrainingAnswer

JANUARY = dt.date(2024, 1, 31)
FEBRUARY = dt.date(2024, 2, 29)
MARCH = dt.date(2024, 3, 31)
WAIT = RetrainingAnswer(None, "Nothing asks for a new model.", "evidence")
DRIFT = RetrainingAnswer("drift", "Drift.", "evidence")
OLD = "The list is old."


def done(as_of, **changes):
    """A month whose drop is published and whose records are up to date, with changes."""
    state = MonthState(as_of, "files", settled=True, published="files", processed=True, inputs="i")
    return dataclasses.replace(state, **changes)


def new(as_of, **changes):
    """A drop that was never published."""
    return done(as_of, **{"published": None, "processed": False, "inputs": None} | changes)


def corrected(as_of, **changes):
    """A month whose files have changed since they were published."""
    return done(as_of, drop="other files", **changes)


def stale(as_of, **changes):
    """A month whose inputs have changed since its records were made."""
    return done(as_of, **{"processed": False, "inputs": "other inputs"} | changes)


def asked(*months, answer=WAIT, unfinished=None, stale_scores=""):
    return next_step(months, answer, unfinished=unfinished, stale_scores=stale_scores)


def described(step):
    return step and (step.kind, step.as_of, step.trigger)


@pytest.mark.parametrize(
    ("months", "asking", "expected"),
    [
        ([], {"answer": None}, None),
        ([], {"answer": DRIFT, "unfinished": "first", "stale_scores": OLD}, None),
        ([done(JANUARY), done(FEBRUARY)], {}, None),
        ([new(MARCH), new(JANUARY), new(FEBRUARY)], {"answer": None}, ("monthly", JANUARY, None)),
        ([new(JANUARY)], {"answer": DRIFT, "stale_scores": OLD}, ("monthly", JANUARY, None)),
        # a retraining comes before a newer month, and waits for an older one
        ([done(JANUARY), new(FEBRUARY)], {"answer": DRIFT}, ("retraining", JANUARY, "drift")),
        ([done(JANUARY), new(FEBRUARY)], {}, ("monthly", FEBRUARY, None)),
        ([new(JANUARY), done(FEBRUARY)], {"answer": DRIFT}, ("monthly", JANUARY, None)),
        ([stale(JANUARY), done(FEBRUARY)], {"unfinished": "drift"}, ("monthly", JANUARY, None)),
        ([corrected(JANUARY), done(FEBRUARY)], {"stale_scores": OLD}, ("monthly", JANUARY, None)),
        ([done(JANUARY), corrected(FEBRUARY)], {"answer": DRIFT}, ("monthly", FEBRUARY, None)),
        # a decision that was not carried out is run again with its own trigger
        ([done(JANUARY), new(FEBRUARY)], {"unfinished": "schedule"}, ("retraining", JANUARY, "schedule")),
        ([done(JANUARY)], {"answer": DRIFT, "unfinished": "first"}, ("retraining", JANUARY, "first")),
        # an old list is made again after any retraining
        ([done(FEBRUARY), new(MARCH)], {"stale_scores": OLD}, ("scores", FEBRUARY, None)),
        ([done(FEBRUARY)], {"answer": DRIFT, "stale_scores": OLD}, ("retraining", FEBRUARY, "drift")),
        # files that are still copied are not due
        ([new(JANUARY, settled=False)], {"answer": None}, None),
        ([done(JANUARY), corrected(FEBRUARY, settled=False)], {}, None),
        # a month that the online store has lost comes first, one not published yet waits
        ([done(JANUARY), stale(FEBRUARY, absent_from="r")], {"answer": DRIFT}, ("monthly", FEBRUARY, None)),
        ([done(JANUARY), stale(FEBRUARY, absent_from="r")], {"unfinished": "drift"}, ("monthly", FEBRUARY, None)),
        ([done(JANUARY), new(FEBRUARY, absent_from="r")], {"answer": DRIFT}, ("retraining", JANUARY, "drift")),
    ],
)  # fmt: skip
def test_what_comes_next(months, asking, expected):
    assert described(asked(*months, **asking)) == expected


def test_a_step_has_the_reason_and_the_key_of_its_evidence():
    assert "2024-01-31 has no snapshot" in asked(new(JANUARY), answer=None).reason
    assert "2024-01-31 is not processed" in asked(corrected(JANUARY), done(FEBRUARY)).reason
    step = asked(done(JANUARY), answer=DRIFT)
    assert (step.reason, step.key) == ("Drift.", "evidence")
    scores = asked(done(JANUARY), stale_scores=OLD)
    assert (scores.reason, scores.key) == (OLD, "evidence")
    assert asked(done(JANUARY), answer=None, stale_scores=OLD).key == "2024-01-31"
    assert asked(corrected(JANUARY)).key == corrected(JANUARY).key


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (new(JANUARY), True),
        (new(JANUARY, settled=False), False),
        (done(JANUARY), False),
        (done(JANUARY, drop=None), False),
        (corrected(JANUARY), True),
        (corrected(JANUARY, settled=False), False),
        (corrected(JANUARY, settled=False, processed=False), False),
        (stale(JANUARY), True),
        (stale(JANUARY, settled=False), True),
        (stale(JANUARY, drop=None), True),
        (new(JANUARY, drop=None), False),
    ],
)
def test_a_month_is_due_when_its_files_or_its_inputs_have_changed(state, due):
    assert state.due is due


def test_the_key_of_a_month_changes_with_its_files_its_inputs_and_its_store():
    states = [done(JANUARY), corrected(JANUARY), stale(JANUARY), new(JANUARY)]
    assert len({state.key for state in [*states, done(JANUARY, absent_from="redis")]}) == 5


STATES = st.builds(
    MonthState,
    as_of=st.just(JANUARY),
    drop=st.sampled_from([None, "a", "b"]),
    settled=st.booleans(),
    published=st.sampled_from([None, "a", "b"]),
    processed=st.booleans(),
    inputs=st.sampled_from([None, "i", "j"]),
)


@st.composite
def histories(draw):
    states = draw(st.lists(STATES, max_size=8))
    dated = [
        dataclasses.replace(state, as_of=dt.date(2020 + n, 1, 31)) for n, state in enumerate(states)
    ]
    return draw(st.permutations(dated))


@given(
    histories(),
    st.sampled_from([None, WAIT, DRIFT]),
    st.sampled_from([None, "drift"]),
    st.sampled_from(["", OLD]),
)
def test_no_older_month_that_is_due_is_ever_skipped_whatever_the_order(
    months, answer, unfinished, stale_scores
):
    how = {"answer": answer, "unfinished": unfinished, "stale_scores": stale_scores}
    step = asked(*months, **how)
    assert step == asked(*sorted(months, key=lambda month: month.as_of), **how)
    due = [month.as_of for month in months if month.due]
    if step is None:
        assert not due or any(month.arriving and month.as_of < min(due) for month in months)
    elif step.kind == "monthly":
        assert step.as_of == min(due)
    else:
        assert step.as_of == max(month.as_of for month in months if month.processed)
        assert not [as_of for as_of in due if as_of <= step.as_of]


@given(histories())
def test_processing_what_is_due_one_by_one_ends_with_nothing_due(months):
    left = {month.as_of: month for month in months}
    order = []
    while (step := asked(*left.values())) is not None:
        order.append(step.as_of)
        state = left[step.as_of]
        left[step.as_of] = dataclasses.replace(
            state, published=state.drop or state.published, processed=True
        )
    arriving = min((month.as_of for month in months if month.arriving), default=dt.date.max)
    assert order == sorted(month.as_of for month in months if month.due and month.as_of < arriving)
