"""The asset contact_plan as the UI shows it."""

from churn_platform.defs.contacts import contact_plan
from churn_platform.scoring.contact_list import contact_list
from churn_platform_tests.contacts_business import BUDGET
from churn_platform_tests.small_business import FEBRUARY, JANUARY


def test_the_plan_is_shown_with_its_list(planned_copy, shown):
    values = shown(planned_copy, FEBRUARY, contact_plan)
    record = planned_copy.contact_plans.record(FEBRUARY)
    assert (values["to contact"], values["left untouched"]) == (BUDGET, record.untouched)
    assert values["digest"] == record.digest
    csv = contact_list(planned_copy.reports, FEBRUARY)
    assert values["list file"] == str(csv)
    assert values["list as Excel"] == "http://127.0.0.1:3001/2024-02-29/contact_list.xlsx"


def test_without_contacts_the_asset_says_so(january_copy, shown):
    assert set(shown(january_copy, JANUARY, contact_plan)) == {"note"}


def test_before_a_plan_the_reason_is_shown(planned_copy, shown):
    values = shown(planned_copy, JANUARY, contact_plan)
    assert values["waits for a decision"] is False
    assert values["note"]
