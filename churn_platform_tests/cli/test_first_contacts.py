"""From raw files with a log of contacts to a checked contract and a first drop, in English and German."""

import json

import pytest

from churn_platform.contract.reading import read_contract
from churn_platform_tests.contact_files import CALLED, LABELLED, MONTHS, english, german


@pytest.mark.parametrize(
    ("files", "table", "rows", "action"),
    [(english, "contacts", CALLED + 20, "channel"), (german, "Kundenkontakte", CALLED + 10, "Kontaktart")],
)  # fmt: skip
def test_three_commands_lead_from_raw_files_to_a_checked_contract(
    churn, tmp_path, files, table, rows, action
):
    raw = files(tmp_path / "raw")
    home = tmp_path / "home"
    code, out, err = churn("init", "--from-drop", raw, "--json", home=home)
    assert (code, err) == (0, "")
    drafted = json.loads(out)
    assert {one["where"] for one in drafted["doubts"]} >= {"contacts.table", "contacts.action"}
    assert {one["table"]: one["rows"] for one in drafted["tables"]}[table] == rows
    contract = read_contract(home / "contract.yaml")
    assert (contract.contacts.table, contract.contacts.action) == (table, action)
    assert drafted["confirm"] == (home / "contract.yaml").read_text().count("# confirm:")
    code, out, _ = churn("contract", "check", home=home)
    assert (code, f"in {table}, by {action}" in out) == (0, True)
    code, out, _ = churn("contract", "check", raw, home=home)
    assert code == 0
    assert out.count(" contacts of 60 customers, from ") == len(MONTHS)
    drop = raw / LABELLED.isoformat()
    code, out, _ = churn("ingest", drop, "--as-of", LABELLED, home=home)
    assert code == 0
    assert f"{rows} contacts of {CALLED} customers." in out
    assert "Warning" not in out
