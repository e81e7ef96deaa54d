"""What a check says of a table of contacts before it is delivered."""

import pandas as pd
import pytest

from churn_platform.contract.model import Contract
from churn_platform.drafting.check import check_contract, check_drops
from churn_platform_tests.contacts_business import declared, without_labels
from churn_platform_tests.small_business import FEBRUARY, JANUARY

CONTRACT = Contract.model_validate(declared())
CUSTOMERS = 60


@pytest.fixture
def drops(tmp_path):
    """Two months of the gym, to which contacts are added."""

    def with_calls(*rows, month=JANUARY):
        for as_of, first in ((JANUARY, 0), (FEBRUARY, 10)):
            folder = tmp_path / as_of.isoformat()
            folder.mkdir(exist_ok=True)
            for name, table in without_labels(as_of).items():
                table[first : first + CUSTOMERS].to_csv(folder / f"{name}.csv", index=False)
        calls = pd.DataFrame(rows, columns=["member", "Called on", "action"])
        empty = dict.fromkeys(["outcome", "cost", "on_list", "agent"])
        calls.assign(**empty).to_csv(tmp_path / month.isoformat() / "calls.csv", index=False)
        return check_drops(CONTRACT, tmp_path)

    return with_calls


def said(lines, where, state):
    return [line.says for line in lines if (line.where, line.state) == (where, state)]


def test_rows_customers_and_dates_are_counted_and_a_repeated_key_is_no_fault(drops):
    rows = [("m00001", "2024-01-10", "call"), ("m00001", "2024-01-10", "call"),
            ("m00001", "2024-01-12", "letter"), ("m00002", "2024-01-05", "call")]  # fmt: skip
    lines = drops(*rows)
    assert {line.state for line in lines if line.where.startswith("calls")} == {"ok"}
    [says] = said(lines, "calls", "ok")
    assert says == "3 contacts of 2 customers, from 2024-01-05 to 2024-01-12"
    assert [line.drop for line in lines] == sorted(line.drop for line in lines)


def test_customers_of_no_file_and_odd_days_are_notes_with_their_number(drops):
    rows = [("m00065", "2024-01-10", "call"), ("m00001", "2024-02-03", "call"),
            ("x1", "2024-01-12", "letter"), ("x1", "2024-01-13", "letter"),
            ("m00002", "2014-01-05", "call"), ("m00003", "2014-01-05", "call")]  # fmt: skip
    lines = drops(*rows)
    [stranger] = said(lines, "calls", "note")
    assert stranger.startswith("2 contacts of 1 customer ")
    after, before = said(lines, "calls.called_on", "note")
    assert after == "1 contact dated after 2024-01-31"
    assert before.startswith("2 contacts dated before 2019-")
    assert not [line for line in lines if line.state == "fail"]


def test_rows_that_would_be_quarantined_are_counted(drops):
    distinct = [(f"m{n % CUSTOMERS:05d}", f"2024-01-{n % 28 + 1:02d}", "call") for n in range(200)]
    lines = drops(*distinct, ("m00001", "soon", "call"))
    [says] = said(lines, "calls", "ok")
    assert says.endswith("; 1 row would be quarantined")


def test_the_contract_names_its_contacts():
    lines = {line.where: line.says for line in check_contract(CONTRACT)}
    assert lines["contacts"] == "in calls, by action"
    assert lines["do_not_contact"] == "no column"
    without = Contract.model_validate({**declared(), "contacts": None})
    assert "contacts" not in {line.where for line in check_contract(without)}
