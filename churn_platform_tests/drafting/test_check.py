"""What would fail if a folder were delivered, line by line and without a home."""

import shutil

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.drafting.check import check_contract, check_drops
from churn_platform_tests.small_business import DECLARED, JANUARY, declared, month_tables

CONTRACT = declared()


@pytest.fixture
def drop(tmp_path):
    """January's files, sound, in a folder named by its date."""
    folder = tmp_path / JANUARY.isoformat()
    folder.mkdir()
    for name, table in month_tables(JANUARY, 60).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def change(path, column, value, row=3):
    header, *rows = path.read_text().splitlines()
    cells = rows[row].split(",")
    cells[header.split(",").index(column)] = value
    path.write_text("\n".join([header, *rows[:row], ",".join(cells), *rows[row + 1 :]]) + "\n")


def faults(lines):
    return [line for line in lines if line.state == "fail"]


def test_the_contract_is_told_part_by_part():
    said = {line.where: line.says for line in check_contract(CONTRACT)}
    assert said == {
        "entity": "member, string",
        "tables": "members (4), visits (1), leavers (1) columns",
        "features": "4 in 2 views",
        "label": "leavers.has_left, known at its as_of",
        "slices": "plan, town",
    }
    late = Contract.model_validate(
        DECLARED
        | {"label": {"table": "leavers", "column": "has_left", "horizon": {"months": 1, "days": 2}}}
    )
    assert (
        check_contract(late)[3].says == "leavers.has_left, known 1 month and 2 days after its as_of"
    )


def test_a_sound_drop_is_told_column_by_column(drop):
    lines = check_drops(CONTRACT, drop)
    assert {line.state for line in lines} == {"ok"}
    assert [line.where for line in lines] == [
        "members.member", "members.months", "members.plan", "members.has_app", "members.town",
        "visits.member", "visits.hours", "leavers.member", "leavers.has_left",
    ]  # fmt: skip
    assert {line.drop for line in lines} == {"2024-01-31"}


def test_each_fault_is_a_line_with_its_sentence_and_the_other_columns_stay_ok(drop):
    change(drop / "members.csv", "plan", "gold")
    change(drop / "members.csv", "months", "many")
    change(drop / "visits.csv", "hours", "-1")
    lines = check_drops(CONTRACT, drop)
    found = {line.where for line in faults(lines)}
    assert found == {"members", "members.plan", "members.months", "visits", "visits.hours"}, (
        "1 row of 60 is too many"
    )
    assert any("gold" in line.says and "basic, plus, family" in line.says for line in faults(lines))
    sound = [line.where for line in lines if line.state == "ok"]
    assert "members.town" in sound
    assert "members.plan" not in sound


def test_a_row_that_would_be_quarantined_is_a_note_and_no_fault(tmp_path):
    folder = tmp_path / JANUARY.isoformat()
    folder.mkdir()
    for name, table in month_tables(JANUARY, 200).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    change(folder / "members.csv", "plan", "gold")
    lines = check_drops(CONTRACT, folder)
    assert faults(lines) == []
    [note] = [line for line in lines if line.state == "note"]
    assert note.where == "members.plan"
    assert note.says.startswith("would be quarantined: ")
    assert "gold" in note.says


def test_a_missing_column_is_a_fault_and_the_others_were_not_looked_at(drop):
    text = (drop / "members.csv").read_text()
    (drop / "members.csv").write_text(text.replace("has_app", "hasapp", 1))
    lines = check_drops(CONTRACT, drop)
    assert [line.where for line in faults(lines)] == ["members.has_app"]
    assert not [line for line in lines if line.state == "ok" and line.where.startswith("members")]


def test_a_missing_table_is_a_fault_but_missing_labels_are_a_note(drop):
    (drop / "visits.csv").unlink()
    (drop / "leavers.csv").unlink()
    lines = check_drops(CONTRACT, drop)
    assert [line.where for line in faults(lines)] == ["visits"]
    assert [(line.where, line.says) for line in lines if line.state == "note"] == [
        ("leavers", "no labels yet: they may come later")
    ]


def test_a_file_that_is_no_table_is_noted(drop):
    (drop / "extra.csv").write_text("a,b\n1,2\n")
    noted = [line for line in check_drops(CONTRACT, drop) if line.state == "note"]
    assert [(line.where, line.says) for line in noted] == [
        ("extra.csv", "no table of the contract: it is left alone")
    ]


def test_a_file_that_cannot_be_read_or_has_no_rows_is_a_fault_of_its_table(drop):
    (drop / "visits.csv").write_text("")
    (drop / "leavers.csv").write_text("member,has_left\n")
    found = faults(check_drops(CONTRACT, drop))
    assert [line.where for line in found] == ["visits", "leavers"]
    assert "cannot be read" in found[0].says or "empty" in found[0].says


def test_a_folder_of_drops_is_told_drop_by_drop_oldest_first(drop):
    later = drop.parent / "2024-02-29"
    shutil.copytree(drop, later)
    change(later / "visits.csv", "hours", "-1")
    lines = check_drops(CONTRACT, drop.parent)
    assert list(dict.fromkeys(line.drop for line in lines)) == ["2024-01-31", "2024-02-29"]
    assert {line.drop for line in faults(lines)} == {"2024-02-29"}


def test_a_folder_of_another_business_is_refused_with_the_files_that_are_expected(drop):
    for path in drop.iterdir():
        path.rename(path.with_name(f"my_{path.name}"))
    with pytest.raises(UsageError, match=r"members\.csv, visits\.csv, leavers\.csv"):
        check_drops(CONTRACT, drop)


def test_a_folder_without_a_date_in_its_name_can_be_checked(drop):
    assert not faults(check_drops(CONTRACT, drop.rename(drop.with_name("delivery"))))


def test_a_table_that_is_read_from_a_database_is_a_note_and_no_fault(drop):
    source = {"url": "${CRM_URL}", "table": "visits", "as_of_column": "valid_on"}
    tables = {**DECLARED["tables"], "visits": {**DECLARED["tables"]["visits"], "source": source}}
    contract = declared(tables=tables)
    assert faults(check_drops(contract, drop)) == []
    (drop / "visits.csv").unlink()
    lines = check_drops(contract, drop)
    assert faults(lines) == []
    assert [line.says for line in lines if line.where == "visits"] == [
        "it is read from its database by `churn ingest`"
    ]
    (drop / "members.csv").unlink()
    assert [line.where for line in faults(check_drops(contract, drop))] == ["members"]
