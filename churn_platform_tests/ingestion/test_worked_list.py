"""A worked list is read whoever saved it: Excel, another Excel, or a database's Parquet."""

import datetime as dt

import openpyxl
import pandas as pd
import pytest

from churn_platform.contract.model import Contract
from churn_platform.ingestion.conversion import Writing
from churn_platform.ingestion.rules import conform
from churn_platform.ingestion.worked_list import read_worked_list, written
from churn_platform.scoring.contact_list import write_contact_list
from churn_platform_tests.contacts_business import CALLS, declared

AS_OF = dt.date(2024, 2, 29)
ROW = {
    "member": "m1",
    "Called on": dt.date(2024, 3, 5),
    "action": "call",
    "outcome": None,
    "cost": 1234.5,
    "on_list": True,
    "agent": "7",
}


def german() -> Contract:
    """Excel in German writes 05.03.2024 and 1234,5."""
    columns = {**CALLS["columns"]}
    columns["called_on"] = columns["called_on"] | {"date_format": "%d.%m.%Y"}
    return Contract.model_validate(
        declared()
        | {
            "files": {"delimiter": ";", "decimal": ",", "encoding": "cp1252"},
            "tables": {**declared()["tables"], "calls": {"columns": columns}},
        }
    )


def typed(path, contract):
    raw, faults = read_worked_list(path, contract, "calls")
    assert faults == []
    rows, faults = conform(contract, "calls", raw)
    assert faults == []
    return rows.iloc[0].to_dict()


@pytest.mark.parametrize("contract", [german(), Contract.model_validate(declared())])
@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_typed_cells_are_read_whatever_the_contract_writes(tmp_path, contract, suffix):
    path = tmp_path / f"worked{suffix}"
    if suffix == ".xlsx":
        book = openpyxl.Workbook()
        book.active.append(["A note above the table"])
        book.create_sheet("calls")
        for cells in ([], list(ROW), list(ROW.values())):
            book.worksheets[1].append(cells)
        book.save(path)
    else:
        pd.DataFrame([ROW]).to_parquet(path)
    found = typed(path, contract)
    assert found["called_on"] == pd.Timestamp("2024-03-05")
    assert (found["cost"], bool(found["on_list"]), found["agent"]) == (1234.5, True, "7")
    assert pd.isna(found["outcome"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_and_encoding_are_found_out(tmp_path, encoding, delimiter):
    row = {name: "" if value is None else str(value) for name, value in ROW.items()}
    path = tmp_path / "worked.csv"
    frame = pd.DataFrame([row | {"agent": "Zoë", "note": "more"}])
    frame.to_csv(path, index=False, sep=delimiter, encoding=encoding)
    assert typed(path, Contract.model_validate(declared()))["agent"] == "Zoë"


@pytest.mark.parametrize("key", ["=1+1", "'=1", "+49", "-1", "@a", "'a"])
@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_no_key_changes_on_its_way_to_the_team_and_back(tmp_path, key, suffix):
    contract = german()
    planned = pd.DataFrame(
        {
            "member": [key], "probability": [0.5], "value": [1.0], "arm": ["contact"],
            "rank": [1], "decile": [1], "trained_on": [False], "reason_1": ["=2"],
        }
    )  # fmt: skip
    path = write_contact_list(tmp_path, contract, AS_OF, planned).with_suffix(suffix)
    raw, faults = read_worked_list(path, contract, "calls")
    assert faults == []
    assert raw["member"].tolist() == [key]
    assert raw["reason_1"].tolist() == ["=2"]


@pytest.mark.parametrize(
    ("date_format", "text"),
    [("", "2024-03-05"), ("%d.%m.%Y", "05.03.2024"), ("excel", "45356"), ("epoch_seconds", "1709596800")],
)  # fmt: skip
def test_a_day_is_written_as_the_contract_does(date_format, text):
    assert written(dt.datetime(2024, 3, 5, 9), Writing(date_format=date_format)) == text
    frame = pd.DataFrame({"member": ["m"], "Called on": [text], "action": ["call"]})
    columns = {
        **CALLS["columns"],
        "called_on": CALLS["columns"]["called_on"] | {"date_format": date_format},
    }
    contract = Contract.model_validate(
        declared() | {"tables": {**declared()["tables"], "calls": {"columns": columns}}}
    )
    frame = frame.assign(outcome="", cost="", on_list="", agent="")
    rows, faults = conform(contract, "calls", frame)
    assert (faults, rows["called_on"].iloc[0]) == ([], pd.Timestamp("2024-03-05"))
