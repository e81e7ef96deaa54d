"""When the loop asks for a new model: each trigger, their order, and every reason to wait."""

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.drift.result import DriftResult, drift_alarms
from churn_platform.lake.window import Window
from churn_platform.loop.retraining import (
    ManualRequest,
    ProductionModel,
    RetrainingInputs,
    evidence_key,
    should_retrain,
)
from churn_platform.monitoring.performance import ContactsInLabels, VersionPerformance
from churn_platform_tests.promotion.evidence_builder import build, decided

JANUARY, FEBRUARY, MARCH, APRIL, MAY = (
    dt.date(2024, month, day) for month, day in ((1, 31), (2, 29), (3, 31), (4, 30), (5, 31))
)
ALARM = "drift share 20.0% is above 5.0% (visits)"
FIGURES = st.floats(0, 1)


def performance(auc, low, high, as_of=APRIL, **changes):
    """The performance of version 3."""
    metrics = {"auc": auc, "auc_interval": [low, high]}
    return VersionPerformance(version=3, as_of=as_of.isoformat(), metrics=metrics, **changes)


def serving(**changes):
    """Version 3, in production since January."""
    return dataclasses.replace(ProductionModel(3, JANUARY, (0.75, 0.85)), **changes)


UNMEASURED = VersionPerformance(version=3, as_of="2024-04-30", metrics=None)
FALLEN = performance(0.6, 0.55, 0.65)
QUIET = RetrainingInputs(
    as_of=APRIL,
    labelled=APRIL,
    inputs="s",
    production=serving(),
    realised=performance(0.8, 0.76, 0.84),
    last_decision=JANUARY,
)
FIRST = {"production": None, "last_decision": None}
ANN = ManualRequest("Ann", "Another algorithm.", "receipt")


def asked(contract, **changes):
    return should_retrain(contract, dataclasses.replace(QUIET, **changes))


@pytest.fixture(scope="module")
def aging(declare):
    """Asks for a new model three cadences after the last one, whatever the figures."""
    return declare(policy={"retraining": {"max_age_cadences": 3}})


def test_the_inputs_are_the_newest_of_production_and_of_the_decisions():
    window = Window(training=(JANUARY, MARCH), holdout=(MARCH,), forward=())
    other = performance(0.9, 0.8, 0.95).model_copy(update={"version": 4})
    entries = [performance(0.7, 0.6, 0.8, JANUARY), performance(0.5, 0.4, 0.6), FALLEN, other]
    found = RetrainingInputs.gather(
        APRIL,
        "s",
        window=window,
        left_out={"2024-02-29": "old", "2024-04-30": "all are churners"},
        production=serving(),
        drift_alarms=[ALARM],
        performance=entries,
        decisions=[],
    )
    assert (found.labelled, found.left_out) == (MARCH, ("all are churners",))
    assert (found.realised, found.last_decision, found.drift_alarms) == (FALLEN, None, (ALARM,))
    empty = {"drift_alarms": (), "performance": entries, "decisions": []}
    none = RetrainingInputs.gather(APRIL, "s", window=None, left_out={}, production=None, **empty)
    assert (none.labelled, none.realised) == (None, None)


@pytest.mark.parametrize(
    ("changes", "trigger", "facts"),
    [
        ({}, None, "realised AUC 0.800 on 2024-04-30"),
        ({"realised": None}, None, "no drift alarm."),
        ({"realised": UNMEASURED}, None, "no drift alarm."),
        (FIRST, "first", "no production model"),
        ({"realised": FALLEN}, "performance", "0.600 on 2024-04-30 is below the interval [0.750, 0.850] version 3"),
        ({"realised": FALLEN.model_copy(update={"warning": "In doubt."})}, "performance", "promoted. In doubt."),
        ({"drift_alarms": (ALARM, "target drift 0.07")}, "drift", "Drift share 20.0% is above 5.0% (visits); target drift 0.07."),
        ({"realised": performance(0.749, 0.70, 0.799)}, "performance", "0.749"),
        ({"realised": performance(0.75, 0.70, 0.799)}, None, "0.750"),
        ({"realised": performance(0.749, 0.70, 0.80)}, None, "0.749"),
        ({"realised": performance(0.60, 0.30, 0.90)}, None, "0.600"),
        ({"realised": performance(0.18, 0.15, 0.21, doubt="Inverted.")}, None, "Inverted."),
        ({"realised": performance(0.5, 0.46, 0.54)}, "performance", "0.500"),
        ({"request": ANN}, "manual", "Ann asked for a retraining: Another algorithm."),
        ({"request": ANN, "last_decision": APRIL}, "manual", "Ann"),
        ({"request": ANN, "refused": "Too few."}, "manual", "Ann"),
        ({"request": ANN, "drift_alarms": (ALARM,)}, "manual", "Ann"),
        ({"request": ANN, "labelled": None}, None, "No month has matured labels"),
        ({"production": serving(algorithm="gradient_boosting")}, None, "trained with gradient_boosting"),
        ({"ended": ("plan", "fee")}, "contract", "Version 3 reads plan, fee, which 2024-04-30 no longer has."),
        ({"ended": ("plan",), "last_decision": APRIL}, "contract", "plan"),
        ({"ended": ("plan",), "refused": "Too few."}, None, "Too few."),
        ({"ended": ("plan",), "labelled": None}, None, "No month has matured labels"),
        ({"redefined": True}, "contract", "labels of 2024-04-30 define churn in another way than those that version 3"),
        ({"redefined": True, "last_decision": APRIL}, None, "No labels have matured"),
        ({"redefined": True, "realised": FALLEN}, "contract", "define churn"),
        ({"untried": ("calls",)}, "contract", "learn from calls"),
        ({"untried": ("calls",), "drift_alarms": (ALARM,)}, "drift", "visits"),
        ({"untried": ("calls",), "last_decision": APRIL}, None, "No labels have matured"),
    ],
)  # fmt: skip
def test_each_trigger_has_its_reason(gym, changes, trigger, facts):
    answer = asked(gym, **changes)
    assert (answer.trigger, answer.retrain) == (trigger, trigger is not None)
    assert facts in answer.reason
    assert answer.fallen is None


@pytest.mark.parametrize(("high", "trigger"), [(0.76, None), (0.74, "performance")])
def test_a_figure_that_is_corrected_for_contacts_must_be_below_the_interval_at_promotion(
    gym, high, trigger
):
    corrected = performance(0.7, 0.66, high, contacts=ContactsInLabels(assigned=9))
    assert asked(gym, realised=corrected).trigger == trigger
    plain = performance(0.7, 0.66, high)
    assert asked(gym, realised=plain).trigger == "performance"


def test_a_changed_contract_waits_for_no_cooldown(declare):
    slow = declare(policy={"retraining": {"cooldown_cadences": 6}})
    assert asked(slow).trigger is None
    assert asked(slow, redefined=True).trigger == asked(slow, ended=("plan",)).trigger == "contract"


@pytest.mark.parametrize(
    ("features", "as_of", "ended"),
    [
        (("fee", "visits"), MARCH, ()),
        (("fee", "plan"), MARCH, ("plan",)),
        (None, MARCH, ("plan",)),
        (("fee", "visits"), FEBRUARY, ("plan",)),
    ],
)
def test_an_ended_column_asks_once_until_newer_labels_mature(features, as_of, ended):
    decision = decided(build()).model_copy(
        update={"as_of": as_of.isoformat(), "candidate_features": features}
    )
    found = RetrainingInputs.gather(
        APRIL,
        "s",
        window=Window(training=(MARCH,), holdout=(MARCH,), forward=()),
        left_out={},
        production=serving(),
        drift_alarms=(),
        performance=[],
        decisions=[decision],
        ended=("plan",),
    )
    assert found.ended == ended


@pytest.mark.parametrize(
    ("read", "untried"),
    [(None, ("calls", "plan")), (("fee", "plan"), ("calls",)), (("calls", "plan"), ())],
)
def test_a_new_column_asks_until_a_candidate_with_it_was_decided_on(read, untried):
    decisions = [decided(build()).model_copy(update={"candidate_features": read})]
    decisions.append(decided(build()))
    found = RetrainingInputs.gather(
        APRIL,
        "s",
        window=Window(training=(MARCH,), holdout=(MARCH,), forward=()),
        left_out={},
        production=serving(),
        drift_alarms=(),
        performance=[],
        decisions=decisions,
        added=("calls", "plan"),
    )
    assert found.untried == untried


def test_the_first_trigger_that_applies_is_named(aging):
    everything = {"realised": FALLEN, "drift_alarms": (ALARM,), "as_of": MAY}
    assert asked(aging, **everything, production=None).trigger == "first"
    assert asked(aging, **everything).trigger == "performance"
    assert asked(aging, drift_alarms=(ALARM,), as_of=MAY).trigger == "drift"
    assert asked(aging, as_of=MAY).trigger == "schedule"


def test_age_is_a_trigger_from_its_cadence_on(aging, gym, declare):
    assert "2024-01-31, 3 cadences" in asked(aging).reason
    assert asked(aging, as_of=dt.date(2024, 4, 29)).trigger is None
    assert asked(gym, as_of=dt.date(2030, 1, 31)).trigger is None
    for cadence, due in (("week", dt.date(2024, 2, 14)), ("day", dt.date(2024, 2, 2))):
        contract = declare(cadence=cadence, policy={"retraining": {"max_age_cadences": 2}})
        assert asked(contract, as_of=due).trigger == "schedule"
        assert asked(contract, as_of=due - dt.timedelta(days=1)).trigger is None


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"labelled": None}, "No month has matured labels"),
        ({"labelled": None} | FIRST, "No month has matured labels"),
        ({"labelled": None, "left_out": ("All are churners.",)} | FIRST, "No month can be trained on. All are churners."),
        ({"labelled": JANUARY, "left_out": ("All are churners.",)}, "2024-01-31. All are churners."),
        ({"labelled": FEBRUARY, "production": serving(as_of=MARCH)}, "2024-02-29 is older than production's 2024-03-31"),
        ({"last_decision": APRIL}, "since the decision on 2024-04-30"),
        ({"last_decision": APRIL, "production": None}, "since the decision on 2024-04-30"),
        ({"refused": "too few."}, "No candidate can be trained: too few. It is tried again"),
        # earlier versions recorded the complete sentence
        ({"refused": "No candidate can be trained: too few."} | FIRST, "No candidate can be trained: too few. It is"),
    ],
)  # fmt: skip
def test_nothing_is_trained_while_nothing_can_be_whatever_the_figures(gym, changes, facts):
    answer = asked(gym, drift_alarms=(ALARM,), **changes)
    assert answer.trigger is None
    assert facts in answer.reason


@pytest.mark.parametrize(
    ("cadences", "changes", "until"),
    [
        (0, {"labelled": FEBRUARY}, None), (1, {"labelled": FEBRUARY}, None), (2, {"labelled": FEBRUARY}, MARCH),
        (2, {"labelled": MARCH}, None), (3, {"labelled": MARCH}, APRIL), (3, {"labelled": APRIL}, None),
        # from the end of a short month to the end of a longer one
        (1, {"labelled": MARCH, "last_decision": FEBRUARY, "production": serving(as_of=FEBRUARY)}, None),
    ],
)  # fmt: skip
def test_cooling_down_lasts_calendar_months(declare, cadences, changes, until):
    contract = declare(policy={"retraining": {"cooldown_cadences": cadences}})
    answer = asked(contract, drift_alarms=(ALARM,), **changes)
    assert (answer.trigger == "drift") == (until is None)
    assert until is None or f"until {until} " in answer.reason


def test_performance_that_fell_is_reported_while_nothing_can_be_trained_and_is_new(declare):
    contract = declare(policy={"retraining": {"cooldown_cadences": 4}})
    answer = asked(contract, realised=FALLEN)
    assert answer.trigger is None
    assert answer.fallen == asked(declare(), realised=FALLEN).reason
    assert answer.reason.startswith(f"{answer.fallen} Cooling down until 2024-05-31")
    assert asked(contract).fallen is None
    assert asked(contract, realised=FALLEN, last_decision=APRIL).fallen is None


@pytest.mark.parametrize(
    "changes",
    [{"as_of": MAY}, {"inputs": "t"}, {"labelled": MARCH}, {"labelled": None}, {"production": serving(version=4)},
     {"production": None}, {"refused": "Too few."}, {"request": ANN}],
)  # fmt: skip
def test_the_key_changes_with_the_evidence_and_the_policy_and_not_with_the_features(
    gym, declare, changes
):
    assert asked(gym, **changes).key != asked(gym).key == asked(gym).key
    assert evidence_key(declare(policy={}), QUIET) != evidence_key(gym, QUIET)
    assert evidence_key(declare(slices=[]), QUIET) == evidence_key(gym, QUIET)
    for change in ({"ended": ("plan",)}, {"redefined": True}, {"untried": ("calls",)}):
        assert evidence_key(gym, dataclasses.replace(QUIET, **change)) != evidence_key(gym, QUIET)


def drift(share, target=None, prediction=None, **changes):
    """A month's drift with these figures."""
    figures = {"share": share, "target_drift": target, "prediction_drift": prediction}
    limits = {"share_threshold": 0.05, "target_threshold": 0.05, "prediction_threshold": 0.1}
    return DriftResult.model_construct(**{"drifted_columns": ()} | figures | limits | changes)


def test_each_drift_figure_raises_its_own_alarm_above_its_own_threshold():
    moved = drift(0.2, 0.0701, 0.25, drifted_columns=("visits", "minutes"))
    assert drift_alarms(moved, 0.8, alarmed=False) == (
        "drift share 20.0% is above 5.0% (visits, minutes)",
        "target drift 0.0701 is above 0.0500",
        "prediction drift 0.250 is above 0.100",
    )
    for figures in ((0.2, None, None), (0.0, 0.07, None), (0.0, None, 0.25)):
        assert len(drift_alarms(drift(*figures), 0.8, alarmed=False)) == 1
    assert drift_alarms(drift(0.0), 0.8, alarmed=True) == ()


@pytest.mark.parametrize(
    ("share", "alarmed", "limit"),
    [(0.05, False, None), (0.0501, False, "5.0%"), (0.045, False, None), (0.045, True, "4.0%"), (0.04, True, None),
     (0.0401, True, "4.0%")],
)  # fmt: skip
def test_an_alarm_begins_above_the_threshold_and_ends_below_four_fifths_of_it(
    share, alarmed, limit
):
    found = drift_alarms(drift(share), 0.8, alarmed=alarmed)
    assert bool(found) == (limit is not None)
    assert limit is None or f"above {limit}" in found[0]


@given(FIGURES, FIGURES, FIGURES, FIGURES, st.floats(0.1, 1), st.booleans())
def test_more_drift_never_silences_an_alarm_and_an_alarm_never_makes_the_next_harder(
    share, target, prediction, more, hysteresis, alarmed
):
    def count(extra, *, standing):
        figures = drift(share + extra, target + extra, prediction + extra)
        return len(drift_alarms(figures, hysteresis, alarmed=standing))

    assert count(more, standing=alarmed) >= count(0, standing=alarmed)
    assert count(0, standing=True) >= count(0, standing=False)
