"""Questions of people who are no engineers, answered by the text of a page; the truth is known here."""

import re

import pytest

from churn_platform.contacts.effect import EffectState
from churn_platform.reports.monthly.figures import AUDIENCES
from churn_platform.reports.monthly.pages import page
from churn_platform_tests.contacts_business import LATER
from churn_platform_tests.reports.crowded_month import CUSTOMERS, crowded
from churn_platform_tests.reports.reading import answers
from churn_platform_tests.reports.test_monthly_pages import report_of
from churn_platform_tests.small_business import (
    FEBRUARY,
    copied,
    month_tables,
    open_home,
)


def pages_of(home):
    """Audience -> question -> answer, of the newest month."""
    month = home.lake.months()[-1]
    home.monthly_reports.make(month)
    texts = {one: home.monthly_reports.file(month, one).read_text() for one in AUDIENCES}
    return {audience: answers(text) for audience, text in texts.items()}


@pytest.fixture(scope="module")
def shown(worked, tmp_path_factory):
    """A home whose calls kept six of ten who would have left."""
    folder = copied(worked, tmp_path_factory.mktemp("asked") / "home").folder
    return open_home(folder, lambda: LATER)


@pytest.fixture(scope="module")
def asked(shown):
    return pages_of(shown)


def crowded_answers(state, audience):
    return answers(page(report_of(crowded(state)), audience, CUSTOMERS, "contact_list.xlsx"))


def numbers(text):
    return [float(one.replace(",", "")) for one in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def truly_saved(home):
    """Customers to be contacted whose label a contact has changed to stayed."""
    plan = home.contact_plans.rows(FEBRUARY)
    worked_on = plan.loc[plan["arm"] == "contact", "member"]
    would = month_tables(FEBRUARY)["leavers"].set_index("member")["has_left"]
    did = home.lake.labels(FEBRUARY, LATER)
    return int((would.reindex(worked_on) & ~did.reindex(worked_on)).sum())


def test_the_manager_reads_how_many_were_saved_and_the_truth_lies_between_the_ends(shown, asked):
    for audience, question in (
        ("manager", "How many customers did we save?"),
        ("team", "How many did we save?"),
    ):
        text = asked[audience][question]
        [saved] = numbers(re.search(r"We saved about [\d,]+ customers", text)[0])
        low, high = numbers(re.search(r"lies between [\d,]+ and [\d,]+", text)[0])
        assert low <= truly_saved(shown) <= high
        assert low <= saved <= high


def test_the_manager_reads_whether_it_was_worth_it_and_what_it_cost(asked):
    text = asked["manager"]["Was it worth it?"]
    assert "2,135" in text
    assert re.search(r"not clear yet: anything from a loss of [\d,]+ to a gain of [\d,]+", text)


def test_the_manager_reads_how_sure_it_is_how_many_leave_and_whether_the_model_is_good(asked):
    page = asked["manager"]
    assert "Sure enough to go on" in page["How sure are we?"]
    assert "29 February 2024, 26.0% left" in page["Do more customers leave than before?"]
    assert page["Is the model still good?"].split("? ", 1)[1].startswith("No: it is on hold")


def test_the_team_reads_whom_to_contact_why_and_who_is_new():
    page = crowded_answers(EffectState.SHOWN, "team")
    assert "5,000 customers are to be contacted" in page["Whom do we contact now?"]
    assert "2,000 are new and 3,000 are on it again" in page["Whom do we contact now?"]
    listed = page["Who comes first, and why?"]
    assert CUSTOMERS[0].key in listed
    assert "12 failed payments in 90 days" in listed
    assert "100 more are in contact_list.xlsx" in listed


def test_the_team_reads_what_became_of_its_list_and_what_changed():
    page = crowded_answers(EffectState.SHOWN, "team")
    became = page["What became of our last list?"]
    assert "5,100 customers: 1,200 left and 3,700 stayed" in became
    assert "We contacted 4,000 of them" in became
    assert "5,000 customers came and 4,000 went" in page["What has changed?"]


def test_the_approver_reads_what_waits_what_was_decided_by_whom_and_what_is_tried(
    february_pending, tmp_path
):
    page = pages_of(copied(february_pending, tmp_path / "home"))["approver"]
    waits = page["Does anything wait for me?"]
    assert "Version 2 waits for your answer until" in waits
    assert "churn approve 2" in waits
    decided = page["What was decided, and by whom?"]
    assert "version 1 was promoted automatically, by the rules of the contract" in decided
    assert "AUC of 0.465" in page["Was it right?"]
    assert "no shadow, no canary and no test" in page["What is being tried?"]


def test_the_approver_reads_who_overrode_the_rules_and_what_a_shadow_shows():
    page = crowded_answers(EffectState.SHOWN, "approver")
    assert (
        "put into production by A person of a long name" in page["What was decided, and by whom?"]
    )
    assert "Version 8 runs as a shadow" in page["What is being tried?"]


@pytest.mark.parametrize("audience", ["manager", "team"])
def test_a_number_is_claimed_only_where_the_interval_leaves_out_0(audience):
    question = {"manager": "How many customers did we save?", "team": "How many did we save?"}
    told = {state: crowded_answers(state, audience)[question[audience]] for state in EffectState}
    assert "We saved about 1,234 customers" in told[EffectState.SHOWN]
    assert "Stop contacting" in told[EffectState.HARMFUL]
    assert "30 customers leave" in told[EffectState.HARMFUL]
    unclear = told[EffectState.NOT_YET_SHOWN]
    assert "Anything from 5 lost to 47 saved" in unclear
    assert 21 not in numbers(unclear)
    withheld = told[EffectState.WITHHELD]
    assert "There is no verdict" in withheld
    assert numbers(withheld) == []


def test_the_manager_reads_how_many_months_it_takes_to_be_sure():
    text = crowded_answers(EffectState.NOT_YET_SHOWN, "manager")["How sure are we?"]
    assert "it takes 9 months of contacts to be sure. So far we have 6." in text
