"""`churn campaign` and what `churn status` shows of contacts."""

import dataclasses
import json

import pytest

from churn_platform.cli.effect import level_text
from churn_platform.contacts.effect import EffectState, WithheldBecause
from churn_platform_tests.outside.life import churn, shell
from churn_platform_tests.small_business import MARCH


@pytest.fixture(autouse=True)
def clean_shell(tmp_path):
    with shell(tmp_path):
        yield


def asked(home, *words):
    answer = churn(*words, "--json", "--home", home.folder)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def as_text(home, *words):
    answer = churn(*words, "--home", home.folder)
    assert answer.code == 0, answer.err
    return answer.out


def keep(home, **changes):
    """Replace figures of March's record."""
    record = home.campaigns.record(MARCH)
    effect = dataclasses.replace(record.effect, **changes)
    record = record.model_copy(update={"effect": effect})
    home.records.write("campaign_effect", MARCH, record.as_json())
    return record


def test_the_answer_is_the_record_with_the_sentence_first(worked):
    record = worked.campaigns.record(MARCH)
    found = asked(worked, "campaign")
    assert found == asked(worked, "campaign", MARCH.isoformat())
    assert (found["as_of"], found["sentence"]) == (MARCH.isoformat(), record.sentence)
    assert (found["state"], found["withheld"]) == ("shown", {})
    assert (found["look"], found["looks"]) == (1, 1)
    assert found["level"] == pytest.approx(0.95)
    effect = record.effect
    assert found["effect"]["saved"]["value"] == effect.saved.value > 30
    assert found["effect"]["saved"]["interval"]["low"] > 0
    assert found["effect"]["months"] == ["2024-02-29"]
    assert {part["name"] for part in found["effect"]["by_slice"]} == {"plan", "town"}
    assert [part["value"] for part in found["effect"]["by_action"]] == ["call", "letter"]
    text = as_text(worked, "campaign")
    assert text.index(record.sentence) < text.index("Look 1 of 1") < text.index("customers saved")
    for shown in (f"{effect.saved.value:+,.0f}", f"{effect.money.interval.low:+,.0f}", "letter"):
        assert shown in text
    assert record.contamination_sentence in text
    assert record.contamination_sentence.startswith("2 of 144 untouched customers")


def test_what_is_withheld_has_its_reason_and_no_figure(worked_copy):
    record = keep(worked_copy, state=EffectState.WITHHELD, doubts=(WithheldBecause.SAMPLE_RATIO,))
    found = asked(worked_copy, "campaign")
    assert (found["state"], list(found["withheld"])) == ("withheld", ["sample_ratio"])
    for name in ("effect", "complier_effect", "saved", "money"):
        assert found["effect"][name] is None
    assert found["effect"]["untouched"] == 144
    text = as_text(worked_copy, "campaign")
    assert record.sentence in text
    assert "customers saved" not in text
    assert f"{record.effect.saved.value:+,.0f}" not in text


def test_too_few_customers_are_a_sentence_and_never_a_zero(worked_copy):
    record = keep(
        worked_copy,
        effect=None, complier_effect=None, saved=None, money=None, state=EffectState.NOT_YET_SHOWN,
    )  # fmt: skip
    text = as_text(worked_copy, "campaign")
    assert record.sentence in text
    assert text.count("too few") >= 4
    assert "nan" not in text.lower()
    assert asked(worked_copy, "campaign")["effect"]["saved"] is None


def test_without_a_value_of_a_customer_there_is_no_money(worked_copy):
    keep(worked_copy, money=None)
    text = as_text(worked_copy, "campaign")
    assert "no value given" in text
    assert "too few" not in text
    found = asked(worked_copy, "campaign")["effect"]
    assert found["money"] is None
    assert found["saved"] is not None


@pytest.mark.parametrize(
    ("level", "text"), [(0.95, "95.00%"), (0.9998, "99.98%"), (1 - 8e-8, "more than 99.99%")]
)
def test_no_level_is_shown_as_100_percent(level, text):
    assert level_text(level) == text


def test_what_ranks_the_list_is_shown_with_its_reason(worked):
    ranking = asked(worked, "campaign")["ranking"]
    assert ranking["why_not"] == "TOO_FEW"
    assert ranking["sentence"] in as_text(worked, "campaign")


def test_before_the_first_plan_has_labels_the_answer_says_so(planned_copy):
    planned_copy.campaigns.measure(max(planned_copy.lake.months()))
    found = asked(planned_copy, "campaign")
    assert (found["state"], found["effect"], found["look"]) == ("not yet shown", None, 0)
    assert found["sentence"] in as_text(planned_copy, "campaign")


@pytest.mark.parametrize(
    ("words", "code"), [(["2023-12-31"], "MONTH_UNKNOWN"), (["soon"], "DATE_INVALID")]
)
def test_another_month_is_refused(worked, words, code):
    answer = churn("campaign", *words, "--home", worked.folder)
    assert answer.code == 2
    assert code in answer.err


def test_a_contract_without_contacts_is_refused(january):
    answer = churn("campaign", "--home", january.folder)
    assert answer.code == 2
    assert "CONTACTS_NOT_DECLARED" in answer.err
    assert "campaign" not in asked(january, "status")


def test_status_shows_the_corrected_and_the_naive_figure_side_by_side(worked):
    found = asked(worked, "status")
    assert found["campaign"] == asked(worked, "campaign")
    [newest] = [one for one in found["performance"] if one["as_of"] == "2024-02-29"]
    contacts = newest["contacts"]
    assert (contacts["assigned"], contacts["untouched"], contacts["outside"]) == (400, 144, 0)
    text = as_text(worked, "status")
    assert found["campaign"]["sentence"] in text
    assert f"corrected AUC {newest['metrics']['auc']:.3f}" in text
    assert f"naive AUC {contacts['naive_auc']:.3f}" in text
    assert abs(newest["metrics"]["auc"] - contacts["naive_auc"]) > 0.03


def test_status_counts_contacts_without_a_plan_with_their_bounds(worked_copy):
    performance = worked_copy.records.read("performance", MARCH)
    [entry] = [one for one in performance["evaluated"] if one["as_of"] == "2024-02-29"]
    entry["contacts"] |= {"outside": 7, "bounds": [0.412, 0.523]}
    worked_copy.records.write("performance", MARCH, performance)
    text = as_text(worked_copy, "status")
    assert "7 customers were contacted without a plan" in text
    assert "[0.412, 0.523]" in text
    entry["metrics"] = None
    worked_copy.records.write("performance", MARCH, performance)
    assert "corrected AUC not measurable, naive AUC" in as_text(worked_copy, "status")
