"""The record of what contacting was worth: its receipts, its save rate, what it withholds."""

import dataclasses
import datetime as dt

import pytest

from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.effect import EffectState, WithheldBecause, effect_of
from churn_platform.evaluation.statistics import Interval
from churn_platform_tests.contacts.campaigns import Campaign, drawn
from churn_platform_tests.contacts_business import worked_home
from churn_platform_tests.small_business import FEBRUARY, MARCH, copied

ACT = "campaign effect changed"


@pytest.fixture(scope="module")
def effect():
    return effect_of(drawn(Campaign(months=3), 1).months, 1.96)


def record_of(effect, /, **changes):
    return CampaignRecord(
        look=1, looks=12, level=0.95, effect=dataclasses.replace(effect, **changes)
    )


def test_an_effect_that_is_shown_is_one_receipt(worked):
    [receipt] = worked.ledger.receipts(ACT)
    record = worked.campaigns.record(MARCH)
    assert (receipt.subject, receipt.reason) == (MARCH.isoformat(), record.sentence)
    saved = record.effect.saved
    for name, value in {
        "about": "effect", "state": "shown", "saved": saved.value, "untouched": 144,
        "contaminated": 2, "interval": [saved.interval.low, saved.interval.high],
    }.items():  # fmt: skip
        assert receipt.evidence[name] == value


def test_the_same_verdict_is_not_recorded_again(worked_copy):
    worked_copy.campaigns.measure(MARCH)
    assert len(worked_copy.ledger.receipts(ACT)) == 1


def test_each_change_is_recorded_once_and_by_the_newest_month_only(worked_copy, effect):
    campaigns = worked_copy.campaigns
    shown = campaigns.record(MARCH).effect
    states = []
    for state in (EffectState.HARMFUL, EffectState.HARMFUL, EffectState.WITHHELD):
        changed = record_of(shown, state=state)
        campaigns._record_changes(MARCH, changed)
        states.append([one.evidence["state"] for one in worked_copy.ledger.receipts(ACT)])
    assert states[1] == ["shown", "harmful"]
    assert states[2] == ["shown", "harmful", "withheld"]
    withheld = worked_copy.ledger.receipts(ACT)[-1].evidence
    assert (withheld["saved"], withheld["interval"]) == (None, None)
    campaigns.measure(FEBRUARY)
    assert len(worked_copy.ledger.receipts(ACT)) == 3


@pytest.mark.parametrize(
    ("contaminated", "untouched", "expected"),
    [(2, 10, False), (3, 30, True), (3, 31, False), (15, 144, True), (14, 144, False)],
)
def test_contacts_with_untouched_customers_are_too_many_above_a_share(
    effect, contaminated, untouched, expected
):
    record = record_of(effect, contaminated=contaminated, untouched=untouched)
    assert record.contaminated is expected


def test_contamination_is_a_receipt_of_its_own(worked_copy):
    shown = worked_copy.campaigns.record(MARCH).effect
    for count in (40, 40, 1):
        worked_copy.campaigns._record_changes(MARCH, record_of(shown, contaminated=count))
    found = [
        (one.evidence["about"], one.evidence["state"]) for one in worked_copy.ledger.receipts(ACT)
    ]
    assert found == [("effect", "shown"), ("contamination", "high"), ("contamination", "low")]


def test_the_save_rate_is_assumed_until_the_effect_measures_it(effect):
    assumed = CampaignRecord().save_rate
    assert (assumed.alpha, assumed.beta, assumed.measured) == (6, 14, False)
    measured = record_of(effect).save_rate
    assert measured.measured
    assert measured.mean == pytest.approx(effect.effect.value / effect.untouched_churn, abs=0.06)
    few = record_of(effect, assigned=int(49 / effect.untouched_churn)).save_rate
    assert not few.measured
    assert not record_of(effect, state=EffectState.WITHHELD).save_rate.measured
    assert not record_of(effect, effect=None).save_rate.measured


def test_a_withheld_verdict_has_no_figure(effect):
    record = record_of(effect, state=EffectState.WITHHELD, doubts=(WithheldBecause.SAMPLE_RATIO,))
    shown = record.shown
    assert (shown.effect, shown.complier_effect, shown.saved, shown.money) == (None,) * 4
    assert (shown.by_action, shown.by_slice) == ((), ())
    assert shown.assigned == effect.assigned
    assert record_of(effect).shown == effect


def test_a_negative_effect_is_said_plainly(to_work, tmp_path):
    home = worked_home(copied(to_work, tmp_path / "home").folder, saved=-0.5)
    record = home.campaigns.record(MARCH)
    assert record.state is EffectState.HARMFUL
    left = -record.effect.saved.value
    assert left > 50
    assert f"{left:,.0f}" in record.sentence
    assert record.save_rate.mean < 0.1
    [receipt] = home.ledger.receipts(ACT)
    assert receipt.evidence["state"] == "harmful"


def test_a_verdict_that_is_not_shown_gives_both_ends(effect):
    saved = dataclasses.replace(effect.saved, interval=Interval(-3.0, 40.0))
    record = record_of(effect, saved=saved, state=EffectState.NOT_YET_SHOWN)
    assert "-3" in record.sentence
    assert "+40" in record.sentence


def test_the_record_is_read_back_as_written(worked):
    record = worked.campaigns.record(MARCH)
    assert worked.campaigns.newest() == record
    assert worked.campaigns.newest(dt.date(2024, 1, 1)) is None
