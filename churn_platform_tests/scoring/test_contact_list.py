"""The list for the team: its columns, its cells, and what it does not show."""

import csv
import datetime as dt
import io

import openpyxl
import pandas as pd
import pytest

from churn_platform.contacts.plan import ARM, CONTACT, EXPLORE, UNTOUCHED
from churn_platform.contract.model import Contract
from churn_platform.scoring.contact_list import ContactList, served_rows
from churn_platform_tests.contacts_business import CALLS, OUTCOMES, declared

AS_OF = dt.date(2024, 2, 29)
EVIL = "=cmd|'/c calc'!A1"
FILL_IN = ["Called on", "action", "outcome", "cost", "agent"]


def planned(keys: list[str] | None = None) -> pd.DataFrame:
    """A plan of four customers: one on the list by rank, one untouched, one below, one explored."""
    return pd.DataFrame(
        {
            "member": keys or ["m1", "m2", "m3", "m4"],
            "probability": [0.816, 0.7, 0.3, 0.204],
            "value": [100.0, 90, 80, 1234.5],
            ARM: [CONTACT, UNTOUCHED, "below", EXPLORE],
            "assignment_probability": [0.9, 0.9, 0.05, 0.05],
            "stratum": [0, 0, -1, -1],
            "rank": [1, 2, 3, 4],
            "reason_1": ["3 failed payments", None, None, "-1 of something"],
        }
    )


def made(planned: pd.DataFrame, **changes: object) -> ContactList:
    return ContactList.of(Contract.model_validate({**declared(), **changes}), AS_OF, planned)


def read(found: ContactList, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(found.csv().lstrip("\ufeff")), delimiter=delimiter))


def test_it_shows_whom_to_contact_and_why_with_empty_columns_to_fill_in() -> None:
    rows = read(made(planned()))
    assert [*rows[0]] == ["position", "member", "risk_percent", "value", "reason_1", *FILL_IN]
    assert [(row["position"], row["member"], row["risk_percent"]) for row in rows] == [
        ("1", "m1", "82"),
        ("2", "m4", "20"),
    ]
    assert rows[1]["value"] == "1234.50"
    assert {row[name] for row in rows for name in FILL_IN} == {""}


def test_nothing_shows_who_is_untouched_or_drawn_by_chance() -> None:
    found = made(planned())
    for text in (found.csv(), *map(str, sheet(found).values)):
        assert "m2" not in text
        assert "m3" not in text
        for word in (UNTOUCHED, EXPLORE, "0.9", "0.05", "stratum", "rank", "probability"):
            assert word not in text


def test_the_key_has_the_header_of_the_business_and_numbers_its_decimal_sign() -> None:
    found = made(
        planned(),
        entity={"column": "member", "source": "Member No"},
        files={"delimiter": ";", "decimal": ","},
    )
    row = read(found, ";")[0]
    assert row["Member No"] == "m1"
    assert row["value"] == "100,00"


def test_a_header_of_the_contact_table_stays_the_contracts() -> None:
    calls = {**CALLS["columns"], "value": {"dtype": "float", "nullable": True}}
    tables = {**declared()["tables"], "calls": {"columns": calls}}
    row = read(made(planned(), tables=tables))[0]
    assert row["list_value"] == "100.00"
    assert row["value"] == ""


@pytest.mark.parametrize("evil", [EVIL, "+1", "-1", "@SUM(1)", "\t=1", "'=1"])
def test_no_cell_is_executed(evil: str) -> None:
    rows = planned([evil, "m2", "m3", "m4"])
    found = made(rows)
    assert read(found)[0]["member"] == "'" + evil
    assert read(found)[1]["reason_1"] == "'-1 of something"
    cell = sheet(found)["B2"]
    assert (cell.value, cell.data_type) == (evil, "s")


def test_the_same_list_has_the_same_bytes() -> None:
    assert made(planned()).csv() == made(planned()).csv()
    assert made(planned()).excel() == made(planned()).excel()


def test_the_excel_file_is_ready_to_fill_in() -> None:
    found = sheet(made(planned()))
    assert found.freeze_panes == "A2"
    assert [cell.value for cell in found[1]][-5:] == FILL_IN
    assert found["A3"].value == 2
    choices = {str(one.sqref): one.formula1 for one in found.data_validations.dataValidation}
    assert choices["G2:G3"] == '"call,letter"'
    assert choices["H2:H3"] == f'"{",".join(OUTCOMES)}"'
    assert {"F2:F3", "I2:I3"} <= set(choices)
    assert found.column_dimensions["B"].width >= len("member")


def test_many_choices_are_listed_on_a_hidden_sheet() -> None:
    outcomes = [f"an outcome with number {number}" for number in range(30)]
    calls = {**CALLS["columns"], "outcome": {"dtype": "category", "values": [*outcomes, *OUTCOMES]}}
    tables = {**declared()["tables"], "calls": {"columns": calls}}
    found = openpyxl.load_workbook(io.BytesIO(made(planned(), tables=tables).excel()))
    hidden = found.worksheets[1]
    assert hidden.sheet_state == "hidden"
    assert [row[0] for row in hidden.values] == [*outcomes, *OUTCOMES]


def sheet(found: ContactList) -> "openpyxl.worksheet.worksheet.Worksheet":
    return openpyxl.load_workbook(io.BytesIO(found.excel())).worksheets[0]


def test_serving_gets_the_list_and_nothing_of_the_arms() -> None:
    rows = planned().assign(decile=[1, 2, 3, 4], trained_on=False)
    found = served_rows(Contract.model_validate(declared()), rows)
    assert set(found) == {"member", "probability", "decile", "trained_on", "reason_1", "rank"}
    assert found[["member", "rank"]].to_numpy().tolist() == [["m1", 1], ["m4", 2]]
