"""What would fail if a folder were delivered, line by line and without a home."""

import shutil

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.drafting.check import check_contract, check_drops
from churn_platform_tests.small_business import DECLARED, JANUARY, declared, month_tables

CONTRACT = declared()


@pytest.fixture
def drop(tmp_path):
    """January's files in a folder named by its date."""
    folder = tmp_path / JANUARY.isoformat()
    folder.mkdir()
    for name, table in month_tables(JANUARY, 200).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def change(path, column, value, rows=1):
    """Replace the first values of a column."""
    header, *lines = path.read_text().splitlines()
    place = header.split(",").index(column)
    for row in range(rows):
        cells = lines[row].split(",")
        lines[row] = ",".join([*cells[:place], value, *cells[place + 1 :]])
    path.write_text("\n".join([header, *lines]) + "\n")


def places(lines, *states):
    return [line.where for line in lines if line.state in states]


def test_the_contract_has_a_line_per_part():
    lines = {line.where: line.says for line in check_contract(CONTRACT)}
    assert list(lines) == ["entity", "tables", "features", "label", "slices"]
    for part, fact in (
        ("entity", "member, string"),
        ("tables", "members (4), visits (1), leavers (1)"),
        ("features", "4 in 2 views"),
        ("label", "leavers.has_left, known at its as_of"),
        ("slices", "plan, town"),
    ):
        assert fact in lines[part]
    late = DECLARED["label"] | {"horizon": {"months": 1, "days": 2}}
    assert "1 month and 2 days" in check_contract(declared(label=late))[3].says


def test_a_valid_drop_has_a_line_per_column(drop):
    lines = check_drops(CONTRACT, drop)
    assert places(lines, "fail", "note") == []
    assert places(lines, "ok") == [
        "members.member", "members.months", "members.plan", "members.has_app", "members.town",
        "visits.member", "visits.hours", "leavers.member", "leavers.has_left",
    ]  # fmt: skip
    assert {line.drop for line in lines} == {JANUARY.isoformat()}
    undated = check_drops(CONTRACT, drop.rename(drop.with_name("delivery")))
    assert {line.state for line in undated} == {"ok"}


def test_too_many_faulty_rows_fail_and_a_few_are_a_note(drop):
    change(drop / "members.csv", "plan", "gold")
    change(drop / "visits.csv", "hours", "-1", rows=4)
    lines = check_drops(CONTRACT, drop)
    assert set(places(lines, "fail")) == {"visits", "visits.hours"}
    [note] = [line for line in lines if line.state == "note"]
    assert note.where == "members.plan"
    for fact in ("gold", "basic, plus, family"):
        assert fact in note.says
    assert {"members.town", "visits.member"} <= set(places(lines, "ok"))
    assert not {"members.plan", "visits.hours"} & set(places(lines, "ok"))


def test_a_missing_column_is_a_fault_and_the_others_of_its_table_are_not_checked(drop):
    text = (drop / "members.csv").read_text()
    (drop / "members.csv").write_text(text.replace("has_app", "hasapp", 1))
    lines = check_drops(CONTRACT, drop)
    assert places(lines, "fail") == ["members.has_app"]
    assert not [place for place in places(lines, "ok") if place.startswith("members")]


def test_a_missing_table_is_a_fault_but_missing_labels_and_other_files_are_notes(drop):
    (drop / "visits.csv").unlink()
    (drop / "leavers.csv").rename(drop / "extra.csv")
    lines = check_drops(CONTRACT, drop)
    assert (places(lines, "fail"), places(lines, "note")) == (["visits"], ["leavers", "extra.csv"])


def test_a_file_that_cannot_be_read_or_has_no_rows_is_a_fault_of_its_table(drop):
    (drop / "visits.csv").write_text("")
    (drop / "leavers.csv").write_text("member,has_left\n")
    assert places(check_drops(CONTRACT, drop), "fail") == ["visits", "leavers"]


def test_a_folder_of_drops_is_checked_oldest_first(drop):
    later = drop.parent / "2024-02-29"
    shutil.copytree(drop, later)
    change(later / "visits.csv", "hours", "-1", rows=4)
    lines = check_drops(CONTRACT, drop.parent)
    assert list(dict.fromkeys(line.drop for line in lines)) == [JANUARY.isoformat(), later.name]
    assert {line.drop for line in lines if line.state == "fail"} == {later.name}


def test_a_folder_of_another_business_is_refused_with_the_expected_files(drop):
    for path in drop.iterdir():
        path.rename(path.with_name(f"my_{path.name}"))
    with pytest.raises(UsageError, match=r"members\.csv, visits\.csv, leavers\.csv") as refused:
        check_drops(CONTRACT, drop)
    assert refused.value.code == "DROP_MISSING"


def test_a_table_that_is_read_from_a_database_is_a_note(drop):
    source = {"url": "${CRM_URL}", "table": "visits", "as_of_column": "valid_on"}
    tables = {**DECLARED["tables"], "visits": {**DECLARED["tables"]["visits"], "source": source}}
    contract = declared(tables=tables)
    assert places(check_drops(contract, drop), "fail") == []
    (drop / "visits.csv").unlink()
    lines = check_drops(contract, drop)
    assert (places(lines, "fail"), places(lines, "note")) == ([], ["visits"])
    (drop / "members.csv").unlink()
    assert places(check_drops(contract, drop), "fail") == ["members"]
