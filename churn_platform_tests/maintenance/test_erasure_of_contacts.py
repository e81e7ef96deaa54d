"""Erasing a customer who is on a contact list."""

import openpyxl
import pyarrow.parquet as pq
import pytest

from churn_platform.contacts.plan import ARM
from churn_platform.scoring.contact_list import contact_list
from churn_platform_tests.contacts_business import NOW
from churn_platform_tests.small_business import FEBRUARY, open_home


@pytest.mark.parametrize("arm", ["contact", "untouched"])
def test_the_plan_stays_the_registered_one_without_the_customer(planned_copy, arm):
    rows = planned_copy.contact_plans.rows(FEBRUARY)
    key = rows.loc[rows[ARM] == arm, "member"].iloc[1]
    excel = contact_list(planned_copy.reports, FEBRUARY).with_suffix(".xlsx")
    book = openpyxl.load_workbook(excel)
    book.worksheets[0]["I2"] = "filled in"
    book.save(excel)
    planned_copy.erasure.erase(key, "ann", "asked by letter")
    home = open_home(planned_copy.folder, lambda: NOW)
    assert home.contact_plans.rows(FEBRUARY)["member"].tolist() == [
        member for member in rows["member"] if member != key
    ]
    assert key.encode() not in contact_list(home.reports, FEBRUARY).read_bytes()
    served = pq.read_table(excel.with_suffix(".parquet"))["member"].to_pylist()
    cells = [cell for row in openpyxl.load_workbook(excel).worksheets[0].values for cell in row]
    assert key not in [*served, *cells]
    assert "filled in" in cells
    assert home.records.broken("contact_plan", FEBRUARY) is None
