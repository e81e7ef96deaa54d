"""Contacts from a worked list: what is recorded, what is refused, and that nothing is half-written."""

import csv
import datetime as dt
import threading

import openpyxl
import pandas as pd
import pytest
from filelock import FileLock

from churn_platform.base.errors import HomeBusy, UsageError
from churn_platform.ingestion.validation import DropRefused
from churn_platform.scoring.contact_list import contact_list
from churn_platform_tests.contacts_business import NOW, declared
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    make_home,
    open_home,
    with_changes,
)

CALLED = {"Called on": "2024-03-05", "action": "call", "outcome": "stays", "cost": "1.5"}


@pytest.fixture
def home(planned_copy):
    return planned_copy


def worked(home, path, rows=3, **cells):
    """The list as CSV after the team called the first customers on it."""
    with contact_list(home.reports, FEBRUARY).open(encoding="utf-8-sig", newline="") as file:
        listed = list(csv.DictReader(file))
    for row in listed[:rows]:
        row.update(CALLED | cells)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    return path


def table(path, *rows):
    """A table of calls that is no list."""
    columns = ["member", "Called on", "action", "outcome", "cost", "on_list", "agent"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


def delivered(home):
    """The calls in the newest month's drop, as texts."""
    return pd.read_csv(home.drops / f"{FEBRUARY}/calls.csv", dtype=str, keep_default_na=False)


def published(home):
    """The calls that the lake has after the drop is published."""
    home.ingestion.publish(FEBRUARY)
    return home.contact_log.known(home.now())


def test_the_worked_list_becomes_contacts(home, tmp_path):
    found = home.contact_recording.record(worked(home, tmp_path / "worked.csv"))
    assert (found.as_of, found.rows, found.contacts, found.added) == (FEBRUARY, 40, 3, 3)
    assert (found.recorded, found.unknown, found.repeated) == (True, (), 0)
    contacts = published(home)
    rows = home.contact_plans.rows(FEBRUARY)
    first = rows.loc[rows["arm"].isin(["contact", "explore"]), "member"].head(3)
    assert set(contacts["member"]) == set(first)
    assert contacts["contacted_on"].eq(pd.Timestamp("2024-03-05")).all()
    assert contacts["assigned"].tolist() == [True] * 3
    assert contacts["cost"].tolist() == [1.5] * 3
    receipt = home.ledger.receipts()[-1]
    assert (receipt.act, receipt.subject) == ("drop accepted", FEBRUARY.isoformat())
    assert home.lake.deliveries(FEBRUARY)[-1].tables.keys() == {"calls"}


def test_an_excel_list_comes_back_the_same(home, tmp_path):
    path = contact_list(home.reports, FEBRUARY).with_suffix(".xlsx")
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    header = [cell.value for cell in sheet[1]]
    cells = {**CALLED, "Called on": dt.datetime(2024, 3, 5), "cost": 1.5}
    for name, value in cells.items():
        for row in (2, 3, 4):
            sheet.cell(row, header.index(name) + 1, value)
    book.save(tmp_path / "worked.xlsx")
    home.contact_recording.record(tmp_path / "worked.xlsx")
    as_excel = delivered(home)
    (home.drops / f"{FEBRUARY}/calls.csv").unlink()
    home.contact_recording.record(worked(home, tmp_path / "worked.csv"))
    pd.testing.assert_frame_equal(as_excel, delivered(home))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_of_the_drop_stay_and_repetitions_are_dropped(home, tmp_path, suffix):
    home = with_changes(home, {"policy.ingestion.quarantine_share": 0.5})
    own = {
        "member": ["m00001", "m00002", "m00003"],
        "Called on": ["2024-02-01", "2024-02-02", "not a day"],
        "action": ["call"] * 3,
        "outcome": ["stays", None, "leaves"],
        "cost": [2.0, None, 0.1],
        "on_list": [False, True, None],
        "agent": ["-Ann", "'=Bob", "Cy"],
        "note": ["our own column", "", ""],
    }
    file = home.drops / f"{FEBRUARY}/calls{suffix}"
    frame = pd.DataFrame(own)
    frame.to_csv(file, index=False) if suffix == ".csv" else frame.to_parquet(file)
    same = ("m00001", "2024-02-01", "call", "stays", "2.00", "no", "-Ann")
    new = ("m00009", "2024-03-01", "letter", "", "", "", "'=Eve")
    found = home.contact_recording.record(table(tmp_path / "calls.csv", same, new, new))
    assert (found.contacts, found.repeated, found.added) == (3, 2, 1)
    after = delivered(home)
    assert after["member"].tolist() == ["m00001", "m00002", "m00003", "m00009"]
    assert after["agent"].tolist() == ["-Ann", "'=Bob", "Cy", "=Eve"]
    assert after["note"].tolist() == ["our own column", "", "", ""]
    assert after["Called on"].tolist()[2] == "not a day"
    assert not (home.drops / f"{FEBRUARY}/calls.parquet").exists()
    again = home.contact_recording.record(tmp_path / "calls.csv")
    assert (again.added, again.repeated) == (0, 3)
    assert len(published(home)) == 3
    assert home.lake.quarantines(FEBRUARY)["calls"].quarantined == 1


def test_a_drop_that_breaks_the_contract_is_refused_as_ever(home, tmp_path):
    broken = table(home.drops / f"{FEBRUARY}/calls.csv", ("m1", "no day", "hug", "", "", "", ""))
    before = broken.read_bytes()
    with pytest.raises(DropRefused) as refusal:
        home.contact_recording.record(worked(home, tmp_path / "worked.csv"))
    assert {"not_a_date", "unknown_category"} <= {one.code for one in refusal.value.faults}
    assert broken.read_bytes() == before


def test_contacts_that_only_the_lake_has_are_not_lost(home, tmp_path):
    home.contact_recording.record(worked(home, tmp_path / "worked.csv"))
    published(home)
    (home.drops / f"{FEBRUARY}/calls.csv").unlink()
    late = ("m00009", "2024-01-20", "letter", "", "", "", "")
    home.contact_recording.record(table(tmp_path / "late.csv", late))
    assert len(delivered(home)) == 4
    assert len(published(home)) == 4


def test_a_list_of_an_older_month_and_its_repetition(home, tmp_path):
    late = ("m00009", "2024-01-20", "letter", "", "", "", "")
    (home.drops / f"{JANUARY}").mkdir(exist_ok=True)
    table(home.drops / f"{JANUARY}/calls.csv", late)
    home.ingestion.publish(JANUARY)
    other = ("m00010", "2024-01-21", "letter", "", "", "", "")
    found = home.contact_recording.record(table(tmp_path / "late.csv", late, other))
    assert (found.added, found.repeated) == (1, 1)
    assert delivered(home)["member"].tolist() == ["m00010"]


@pytest.mark.parametrize(
    ("cells", "code", "column", "rows"),
    [
        ({"outcome": "moved"}, "unknown_category", "outcome", (1, 2)),
        ({"Called on": "5.3.2024"}, "date_in_another_form", "Called on", (1, 2)),
        ({"cost": "-1"}, "below_min", "cost", (1, 2)),
        ({"cost": "1,5"}, "decimal_comma", "cost", (1, 2)),
        ({"action": ""}, "empty", "action", (1, 2)),
    ],
)
def test_a_value_that_breaks_the_contract_is_refused(home, tmp_path, cells, code, column, rows):
    path = worked(home, tmp_path / "worked.csv", rows=2, **cells)
    with pytest.raises(DropRefused) as refusal:
        home.contact_recording.record(path)
    [fault] = refusal.value.faults
    assert (fault.code, fault.column, fault.rows, fault.file) == (code, column, rows, "worked.csv")
    assert not (home.drops / f"{FEBRUARY}/calls.csv").exists()


def test_rows_are_counted_in_the_file_and_not_among_the_contacts(home, tmp_path):
    path = tmp_path / "calls.csv"
    table(path, ("m00001", "", "", "", "", "", ""), ("m00002", "2024-03-01", "hug", "", "", "", ""))
    with pytest.raises(DropRefused) as refusal:
        home.contact_recording.check(path)
    assert refusal.value.faults[0].rows == (2,)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("member,action\nm00001,call\n", "missing_column"),
        ("a,b\n1,2\n", "no_header"),
        ("", "empty_file"),
        ("member,Called on,action,outcome,cost,agent\nm00001,2024-03-01\n", "ragged_rows"),
    ],
)
def test_another_table_is_refused(home, tmp_path, content, code):
    path = tmp_path / "calls.csv"
    path.write_text(content)
    with pytest.raises(DropRefused) as refusal:
        home.contact_recording.check(path)
    assert {fault.code for fault in refusal.value.faults} == {code}


def test_a_list_saved_by_another_excel_is_read(home, tmp_path):
    path = worked(home, tmp_path / "worked.csv", agent="Zoë")
    text = path.read_text(encoding="utf-8").replace(",", ";")
    path.write_text(text, encoding="cp1252")
    home.contact_recording.record(path)
    assert set(delivered(home)["agent"]) == {"Zoë"}


def test_broken_files_are_refused(home, tmp_path):
    for name, error in (("a.xlsx", DropRefused), ("a.pdf", UsageError), ("no.csv", UsageError)):
        path = tmp_path / name
        if name != "no.csv":
            path.write_bytes(b"PK\x03\x04 broken")
        with pytest.raises(error):
            home.contact_recording.check(path)


def test_unknown_customers_are_named_and_recorded(home, tmp_path):
    path = table(
        tmp_path / "calls.csv",
        ("m00001", "2024-03-01", "call", "", "", "", ""),
        ("new one", "2024-03-01", "call", "", "", "", ""),
        ("m00002", "2062-03-01", "call", "", "", "", ""),
        ("m00003", "", "call", "stays", "", "", ""),
    )
    found = home.contact_recording.check(path)
    assert found.unknown == ("new one",)
    assert (found.contacts, found.in_future, found.without_date) == (3, 1, 1)
    assert not found.recorded
    assert not (home.drops / f"{FEBRUARY}/calls.csv").exists()


def test_a_file_of_another_home_is_refused(home, tmp_path):
    rows = [(f"x{number}", "2024-03-01", "call", "", "", "", "") for number in range(3)]
    with pytest.raises(UsageError) as refusal:
        home.contact_recording.check(table(tmp_path / "calls.csv", *rows))
    assert refusal.value.code == "CONTACTS_UNKNOWN"


def test_nothing_is_recorded_during_a_run(home, tmp_path):
    path = worked(home, tmp_path / "worked.csv")
    other = open_home(home.folder, lambda: NOW, lock_seconds=0.1)
    held, done = threading.Event(), threading.Event()

    def run():
        with FileLock(home.folder / "home.lock"):
            held.set()
            done.wait(30)

    thread = threading.Thread(target=run)
    thread.start()
    held.wait(30)
    try:
        assert other.contact_recording.check(path).added == 3
        with pytest.raises(HomeBusy):
            other.contact_recording.record(path)
    finally:
        done.set()
        thread.join()
    assert not (home.drops / f"{FEBRUARY}/calls.csv").exists()


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        (declared(), "MONTH_UNKNOWN"),
        ({k: v for k, v in declared().items() if k != "contacts"}, "CONTACTS_NOT_DECLARED"),
    ],
)
def test_a_home_without_a_month_or_without_contacts(tmp_path, contract, code):
    made = make_home(tmp_path / "home", contract)
    path = table(tmp_path / "calls.csv", ("m00001", "2024-03-01", "call", "", "", "", ""))
    with pytest.raises(UsageError) as refusal:
        made.contact_recording.record(path)
    assert refusal.value.code == code
