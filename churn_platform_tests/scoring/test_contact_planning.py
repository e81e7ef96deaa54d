"""The contact plan of a home: its list is a file that can be made again."""

import pandas as pd
import pytest

from churn_platform.base.files import sha256_file
from churn_platform.scoring.contact_list import FILES, contact_list
from churn_platform_tests.contacts_business import BUDGET
from churn_platform_tests.small_business import FEBRUARY


def test_the_list_is_the_plans_and_the_record_has_its_digest(planned):
    csv = contact_list(planned.reports, FEBRUARY)
    rows = planned.contact_plans.rows(FEBRUARY)
    listed = rows[rows["arm"].isin(["contact", "explore"])]
    assert pd.read_csv(csv)["member"].tolist() == listed["member"].tolist()
    assert len(listed) == BUDGET
    record = planned.contact_plans.record(FEBRUARY)
    assert record.list_digest == sha256_file(csv)
    untouched = rows.loc[rows["arm"] == "untouched", "member"]
    assert len(untouched) == record.untouched > 0
    assert not set(untouched) & set(pd.read_csv(csv)["member"])


@pytest.mark.parametrize("lost", FILES)
def test_a_lost_file_of_the_list_is_made_again(planned, planned_copy, lost):
    home = planned_copy
    csv = contact_list(home.reports, FEBRUARY)
    before = {suffix: csv.with_suffix(suffix).read_bytes() for suffix in FILES}
    csv.with_suffix(lost).unlink()
    record = home.contact_planning.make(FEBRUARY)
    after = {suffix: csv.with_suffix(suffix).read_bytes() for suffix in FILES}
    assert after == before
    assert record == planned.contact_plans.record(FEBRUARY)
    assert home.records.broken("contact_plan", FEBRUARY) is None
