"""What contacting was worth, as the UI shows it."""

import dataclasses

from churn_platform.contacts.campaign import WHY_WITHHELD
from churn_platform.contacts.effect import EffectState, WithheldBecause
from churn_platform.defs.contacts import _effect_metadata, campaign_effect
from churn_platform_tests.small_business import JANUARY, MARCH


def test_the_effect_is_shown_with_its_figures(worked_copy, shown):
    values = shown(worked_copy, MARCH, campaign_effect)
    record = worked_copy.campaigns.record(MARCH)
    saved = record.effect.saved
    assert values["what it was worth"] == record.sentence
    assert (values["verdict"], values["look"], values["months"]) == (
        "shown",
        "1 of 1",
        "2024-02-29",
    )
    ends = f"[{saved.interval.low:+,.0f}, {saved.interval.high:+,.0f}]"
    assert values["customers saved"] == f"{saved.value:+,.0f} {ends}"
    assert values["untouched"].startswith("144; 157.2 expected")
    assert values["untouched but contacted"] == record.contamination_sentence
    assert "| action | letter |" in values["by group"]
    assert "withheld because" not in values


def test_a_withheld_effect_has_reasons_and_no_figures(worked):
    record = worked.campaigns.record(MARCH)
    doubts = (WithheldBecause.SAMPLE_RATIO, WithheldBecause.SAMPLE_RATIO_IN_STRATA)
    effect = dataclasses.replace(record.effect, state=EffectState.WITHHELD, doubts=doubts)
    withheld = record.model_copy(update={"effect": effect})
    values = _effect_metadata(withheld, withheld.shown)
    for doubt in doubts:
        assert WHY_WITHHELD[doubt] in str(values["withheld because"])
    assert not {"customers saved", "churn prevented", "worth, less its cost"} & set(values)
    assert "by group" not in values


def test_without_contacts_a_note_says_so(january_copy, shown):
    assert list(shown(january_copy, JANUARY, campaign_effect)) == ["note"]
