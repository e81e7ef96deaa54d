"""When the loop asks for a new model: each trigger, their order, and every reason to wait."""

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.drift.result import DriftResult, drift_alarms
from churn_platform.ledger.receipts import append
from churn_platform.loop.retraining import (
    ManualRequest,
    ProductionModel,
    RetrainingAnswer,
    RetrainingInputs,
    evidence_key,
    open_request,
    should_retrain,
)
from churn_platform.monitoring.performance import VersionPerformance

JANUARY, FEBRUARY, MARCH, APRIL, MAY = (
    dt.date(2024, month, day) for month, day in ((1, 31), (2, 29), (3, 31), (4, 30), (5, 31))
)
ALARM = "drift share 20.0% is above 5.0% (visits)"
FIGURES = st.floats(0, 1)


def performance(auc, low, high):
    """The performance of version 3 in April."""
    metrics = {"auc": auc, "auc_interval": [low, high]}
    return VersionPerformance(version=3, as_of="2024-04-30", metrics=metrics)


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
    drift_alarms=(),
    realised=performance(0.8, 0.76, 0.84),
    last_decision=JANUARY,
)


def asked(contract, **changes):
    return should_retrain(contract, dataclasses.replace(QUIET, **changes))


@pytest.fixture(scope="module")
def aging(declare):
    """Asks for a new model three cadences after the last one, whatever the figures."""
    return declare(policy={"retraining": {"max_age_cadences": 3}})


def test_a_quiet_month_says_so_with_its_figures(gym):
    answer = asked(gym)
    assert (answer.trigger, answer.retrain) == (None, False)
    assert answer.reason == (
        "Nothing asks for a new model: no drift alarm, realised AUC 0.800 on 2024-04-30."
    )
    for realised in (None, UNMEASURED):
        assert (
            asked(gym, realised=realised).reason == "Nothing asks for a new model: no drift alarm."
        )


def test_without_a_production_model_the_first_is_asked_for(gym):
    answer = asked(
        gym,
        production=None,
        last_decision=None,
    )
    assert (answer.trigger, answer.retrain) == ("first", True)
    assert answer.reason == "There is no production model yet."


def test_a_fall_below_the_interval_at_promotion_is_the_trigger_performance(gym):
    answer = asked(gym, realised=FALLEN)
    assert answer.trigger == "performance"
    assert answer.reason == (
        "Realised AUC 0.600 on 2024-04-30 is below the interval [0.750, 0.850] version 3 had when it was promoted."
    )


def test_a_fall_on_data_that_came_again_says_so(gym):
    answer = asked(
        gym, realised=FALLEN.model_copy(update={"warning": "The data of 2024-04-30 is in doubt."})
    )
    assert answer.trigger == "performance"
    assert answer.reason.endswith("when it was promoted. The data of 2024-04-30 is in doubt.")


@pytest.mark.parametrize(
    ("realised", "trigger"),
    [
        (performance(0.749, 0.70, 0.799), "performance"),
        (performance(0.75, 0.70, 0.799), None),
        (performance(0.749, 0.70, 0.80), None),
        (performance(0.60, 0.30, 0.90), None),
        (performance(0.76, 0.75, 0.77), None),
    ],
)
def test_performance_has_fallen_only_when_both_bounds_say_so(gym, realised, trigger):
    assert asked(gym, realised=realised).trigger == trigger


@pytest.mark.parametrize("changes", [{"realised": None}, {"realised": UNMEASURED}])
def test_performance_that_cannot_be_compared_triggers_nothing(gym, changes):
    assert asked(gym, **changes).trigger is None


def test_a_drift_alarm_is_the_trigger_drift_with_its_figures(gym):
    answer = asked(gym, drift_alarms=(ALARM, "target drift 0.0700 is above 0.0500"))
    assert answer.trigger == "drift"
    assert (
        answer.reason
        == "Drift share 20.0% is above 5.0% (visits); target drift 0.0700 is above 0.0500."
    )


def test_age_is_the_trigger_schedule_from_its_cadence_on(aging, gym):
    assert asked(aging, as_of=dt.date(2024, 4, 29)).trigger is None
    answer = asked(aging, as_of=APRIL)
    assert answer.trigger == "schedule"
    assert answer.reason == "Production was trained on 2024-01-31, 3 cadences ago or more."
    assert asked(gym, as_of=dt.date(2030, 1, 31)).trigger is None


def test_weeks_and_days_age_in_their_own_cadence(declare):
    policy = {"retraining": {"max_age_cadences": 2}}
    for cadence, due in (("week", dt.date(2024, 2, 14)), ("day", dt.date(2024, 2, 2))):
        contract = declare(cadence=cadence, policy=policy)
        late, early = (
            dataclasses.replace(QUIET, as_of=due),
            dataclasses.replace(QUIET, as_of=due - dt.timedelta(days=1)),
        )
        assert should_retrain(contract, late).trigger == "schedule"
        assert should_retrain(contract, early).trigger is None


def test_the_first_trigger_that_applies_is_named(aging):
    everything = {"realised": FALLEN, "drift_alarms": (ALARM,), "as_of": MAY}
    nothing_serves = {**everything, "production": None}
    assert asked(aging, **nothing_serves).trigger == "first"
    assert asked(aging, **everything).trigger == "performance"
    assert asked(aging, drift_alarms=(ALARM,), as_of=MAY).trigger == "drift"
    assert asked(aging, as_of=MAY).trigger == "schedule"


@pytest.mark.parametrize("changes", [{}, {"production": None, "last_decision": None}])
def test_without_matured_labels_nothing_can_be_trained(gym, changes):
    answer = asked(gym, labelled=None, drift_alarms=(ALARM,), **changes)
    assert answer.trigger is None
    assert answer.reason == "No month has matured labels yet, so nothing can be trained."


def test_labels_older_than_production_train_nothing(gym):
    answer = asked(gym, labelled=FEBRUARY, production=serving(as_of=MARCH), drift_alarms=(ALARM,))
    assert answer.trigger is None
    assert (
        answer.reason
        == "The newest matured month 2024-02-29 is older than production's 2024-03-31."
    )
    assert (
        asked(gym, labelled=MARCH, production=serving(as_of=MARCH), drift_alarms=(ALARM,)).trigger
        == "drift"
    )


def test_nothing_is_decided_twice_on_the_same_labels(gym):
    answer = asked(gym, last_decision=APRIL, drift_alarms=(ALARM,))
    assert answer.trigger is None
    assert answer.reason == "No labels have matured since the decision on 2024-04-30."
    first = asked(gym, last_decision=APRIL, production=None)
    assert first.trigger is None


@pytest.mark.parametrize(
    ("cadences", "labelled", "trigger"),
    [(0, FEBRUARY, "drift"), (1, FEBRUARY, "drift"), (2, FEBRUARY, None), (2, MARCH, "drift"), (3, MARCH, None),
     (3, APRIL, "drift")],
)  # fmt: skip
def test_cooling_down_lasts_calendar_months(declare, cadences, labelled, trigger):
    contract = declare(policy={"retraining": {"cooldown_cadences": cadences}})
    answer = asked(contract, labelled=labelled, drift_alarms=(ALARM,))
    assert answer.trigger == trigger
    if trigger is None:
        end = {2: MARCH, 3: APRIL}[cadences]
        assert answer.reason == f"Cooling down until {end} after the decision on 2024-01-31."


def test_performance_that_fell_while_cooling_down_is_told_although_nothing_is_trained(declare):
    contract = declare(policy={"retraining": {"cooldown_cadences": 4}})
    answer = asked(contract, realised=FALLEN)
    assert answer.trigger is None
    assert answer.fallen == asked(declare(), realised=FALLEN).reason
    assert (
        answer.reason
        == f"{answer.fallen} Cooling down until 2024-05-31 after the decision on 2024-01-31."
    )
    assert asked(contract).fallen is None


def test_a_fall_that_the_newest_decision_answered_is_no_news(gym):
    answer = asked(gym, realised=FALLEN, last_decision=APRIL)
    assert answer.fallen is None
    assert answer.reason == "No labels have matured since the decision on 2024-04-30."


def test_cooling_down_is_over_before_the_end_of_a_longer_month(gym):
    answer = asked(
        gym,
        last_decision=FEBRUARY,
        production=serving(as_of=FEBRUARY),
        labelled=MARCH,
        drift_alarms=(ALARM,),
    )
    assert answer.trigger == "drift"


def test_the_key_is_the_same_for_the_same_evidence_and_in_the_verdict(gym):
    assert asked(gym).key == asked(gym).key == evidence_key(gym, QUIET)


@pytest.mark.parametrize(
    "changes",
    [{"as_of": MAY}, {"inputs": "t"}, {"labelled": MARCH}, {"labelled": None}, {"production": serving(version=4)},
     {"production": None}],
)  # fmt: skip
def test_the_key_changes_with_month_content_labels_and_production(gym, changes):
    assert asked(gym, **changes).key != asked(gym).key


def test_the_key_changes_with_the_policy_and_not_with_the_features(gym, declare):
    assert evidence_key(declare(policy={}), QUIET) != evidence_key(gym, QUIET)
    assert evidence_key(declare(slices=[]), QUIET) == evidence_key(gym, QUIET)


def test_a_verdict_retrains_when_it_has_a_trigger():
    assert RetrainingAnswer("manual", "", "").retrain
    assert not RetrainingAnswer(None, "", "").retrain


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


def test_a_figure_that_is_not_known_raises_no_alarm():
    assert drift_alarms(drift(0.0), 0.8, alarmed=True) == ()


@pytest.mark.parametrize(
    ("share", "alarmed", "alarm"),
    [(0.05, False, False), (0.0501, False, True), (0.045, False, False), (0.045, True, True), (0.04, True, False),
     (0.0401, True, True)],
)  # fmt: skip
def test_an_alarm_goes_on_above_the_threshold_and_off_below_four_fifths_of_it(
    share, alarmed, alarm
):
    assert bool(drift_alarms(drift(share), 0.8, alarmed=alarmed)) is alarm


def test_a_standing_alarm_names_the_threshold_that_keeps_it():
    assert drift_alarms(drift(0.045), 0.8, alarmed=True) == ("drift share 4.5% is above 4.0%",)


@given(FIGURES, FIGURES, FIGURES, FIGURES, st.floats(0.1, 1), st.booleans())
def test_more_drift_never_silences_an_alarm_and_an_alarm_never_makes_the_next_harder(
    share, target, prediction, more, hysteresis, alarmed
):
    def count(extra, *, standing):
        figures = drift(share + extra, target + extra, prediction + extra)
        return len(drift_alarms(figures, hysteresis, alarmed=standing))

    assert count(more, standing=alarmed) >= count(0, standing=alarmed)
    assert count(0, standing=True) >= count(0, standing=False)


ANN = ManualRequest("Ann", "Another algorithm.", "receipt")


def test_a_persons_request_is_answered_before_any_other_trigger_and_without_a_cool_down(gym):
    for changes in (
        {},
        {"last_decision": APRIL},
        {"refused": "Too few."},
        {"drift_alarms": (ALARM,)},
    ):
        answer = asked(gym, request=ANN, **changes)
        assert (answer.trigger, answer.reason) == (
            "manual",
            "Ann asked for a retraining: Another algorithm.",
        )
    assert asked(gym, request=ANN).key != asked(gym).key


def test_a_request_without_anything_to_train_on_waits(gym):
    assert asked(gym, request=ANN, labelled=None).trigger is None


def test_what_could_not_be_trained_is_not_tried_again_on_the_same_data(gym):
    said = "No candidate can be trained: too few churners."
    for why in ("too few churners.", said):  # earlier versions recorded the whole sentence
        answer = asked(gym, production=None, last_decision=None, refused=why)
        assert (answer.trigger, answer.reason.startswith(f"{said} It is tried")) == (None, True)
    assert asked(gym, production=None, last_decision=None).trigger == "first"


def test_months_that_are_left_out_are_named_with_the_reason_to_wait(gym):
    why = "All 300 labels of 2024-04-30 are churners."
    assert asked(gym, labelled=JANUARY, left_out=(why,)).reason.endswith(
        f"the decision on 2024-01-31. {why}"
    )
    quiet = asked(gym, left_out=(why,))
    assert (quiet.trigger, quiet.reason.endswith(f" {why}")) == (None, True)
    nothing = asked(gym, labelled=None, production=None, left_out=(why,))
    assert nothing.reason == f"No month can be trained on. {why}"


def test_turned_over_labels_are_not_a_fallen_model(gym):
    turned = performance(0.18, 0.15, 0.21).model_copy(update={"doubt": "The labels look inverted."})
    answer = asked(gym, realised=turned)
    assert (answer.trigger, answer.fallen) == (None, None)
    assert "The labels look inverted." in answer.reason
    assert asked(gym, realised=performance(0.5, 0.46, 0.54)).trigger == "performance"


def test_a_request_is_open_until_a_decision_or_a_refused_training_answers_it():
    def after(*acts):
        receipts = []
        for act in acts:
            receipts.append(
                append(
                    receipts[-1] if receipts else None,
                    time="2024-03-01T06:00:00+00:00", actor="Ann", act=act, subject="2024-02-29", reason="Why.",
                )
            )  # fmt: skip
        return open_request(receipts)

    assert after() is None
    assert after("decision", "manual retraining requested").by == "Ann"
    assert (
        after("manual retraining requested", "production kept", "retraining requested").reason
        == "Why."
    )
    assert after("manual retraining requested", "decision") is None
    assert after("manual retraining requested", "training refused") is None
