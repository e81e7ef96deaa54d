"""Drops on disk: which folders are drops, when their files have changed, how CSV and Parquet become frames."""

import datetime as dt
import os

import pandas as pd
import pytest

from churn_platform.adapters.drop_reader import find_drops, open_drop, read_table
from churn_platform.errors import DropRefused
from churn_platform_tests.small_business import FEBRUARY, JANUARY

HEADER = "member,months,plan,has_app,town\n"


@pytest.fixture
def csv(tmp_path):
    """Write one table as CSV text or bytes; its path."""

    def write(content, name="members"):
        path = tmp_path / f"{name}.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_drops_are_the_dated_folders_with_a_table_oldest_first(tmp_path, small_contract):
    for name in ("2024-02-29", "2024-01-31", "2024-03-31", "notes", "2024-04-30"):
        (tmp_path / name).mkdir()
    (tmp_path / "2024-05-31").write_text("a file, no folder")
    (tmp_path / "2024-02-29" / "members.csv").write_text(HEADER)
    (tmp_path / "2024-01-31" / "visits.parquet").write_text("")
    (tmp_path / "2024-03-31" / "readme.csv").write_text("no table of the contract")
    (tmp_path / "notes" / "members.csv").write_text(HEADER)
    (tmp_path / "2024-04-30" / "members.csv").write_text(HEADER)
    (tmp_path / "2024-04-30" / "_INCOMING").touch()
    found = find_drops(tmp_path, small_contract)
    assert [(drop.as_of, list(drop.files)) for drop in found] == [(JANUARY, ["visits"]), (FEBRUARY, ["members"])]
    assert find_drops(tmp_path / "nowhere", small_contract) == []


def test_a_drop_knows_its_newest_change_and_whether_it_is_marked_complete(tmp_path, small_contract):
    for name, changed in (("members.csv", 1_700_000_000), ("visits.csv", 1_700_000_500), ("other.csv", 1_800_000_000)):
        (tmp_path / name).write_text("a\n")
        os.utime(tmp_path / name, (changed, changed))
    drop = open_drop(tmp_path, JANUARY, small_contract)
    assert (drop.last_change, drop.marked_complete) == (1_700_000_500, False)
    (tmp_path / "_SUCCESS").touch()
    assert open_drop(tmp_path, JANUARY, small_contract).marked_complete
    empty = open_drop(tmp_path / "nowhere", JANUARY, small_contract)
    assert (empty.files, empty.last_change) == ({}, 0.0)


def test_the_fingerprint_changes_with_any_file_and_the_content_digest_with_bytes_alone(tmp_path, small_contract):
    def state():
        drop = open_drop(tmp_path, JANUARY, small_contract)
        return drop.fingerprint, drop.content_digest()

    members = tmp_path / "members.csv"
    members.write_text("member\nm1\n")
    states = [state()]
    assert state() == states[0]
    os.utime(members, ns=(0, members.stat().st_mtime_ns + 1))
    states.append(state())
    members.write_text("member\nm2\n")
    states.append(state())
    (tmp_path / "visits.csv").write_text("member\n")
    states.append(state())
    assert len({fingerprint for fingerprint, _ in states}) == 4
    assert len({content for _, content in states}) == 3
    assert states[0][1] == states[1][1]


def test_a_csv_is_typed_by_the_contract_and_null_stays_null(csv, small_contract):
    path = csv(HEADER + "007,3,basic,TRUE,north\n008,4,plus,,south\n009,5,family,No,south\n")
    found = read_table(path, small_contract, "members")
    expected = pd.DataFrame(
        {
            "member": ["007", "008", "009"],
            "months": pd.array([3, 4, 5], "Int64"),
            "plan": ["basic", "plus", "family"],
            "has_app": pd.array([True, None, False], "boolean"),
            "town": ["north", "south", "south"],
        }
    )
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("word", ["", "NULL", "null", "None", "NaN", "nan", "NA", "n/a"])
def test_the_words_for_nothing_are_null_in_a_number_and_text_in_a_text(csv, small_contract, word):
    found = read_table(csv(f"member,hours\n{word},{word}\nm2,1.5\n", "visits"), small_contract, "visits")
    assert found["member"].tolist() == [word, "m2"]
    assert found["hours"].isna().tolist() == [True, False]
    assert found["hours"].dtype == "float64"


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("T", True), ("yes", True), ("1", True), ("False", False), ("n", False), ("0", False)],
)
def test_the_words_for_true_and_false_are_booleans(csv, small_contract, word, value):
    found = read_table(csv(f"member,has_left\nm1,{word}\n", "leavers"), small_contract, "leavers")
    assert found["has_left"].tolist() == [value]


def test_a_file_with_a_value_that_does_not_fit_is_read_as_it_stands(csv, small_contract):
    path = csv(HEADER + "m1,three,basic,TRUE,north\nm2,,plus,,\n")
    found = read_table(path, small_contract, "members")
    assert found.to_numpy().tolist() == [["m1", "three", "basic", "TRUE", "north"], ["m2", "", "plus", "", ""]]


def test_quotes_commas_line_ends_and_a_byte_order_mark_are_read(csv, small_contract):
    text = '\ufeffmember,hours\r\n"m,1",1.5\r\n"m\n2",2.5\r\n'
    found = read_table(csv(text, "visits"), small_contract, "visits")
    assert list(found.columns) == ["member", "hours"]
    assert found["member"].tolist() == ["m,1", "m\n2"]


@pytest.mark.parametrize(
    "content",
    [b"", b"member,hours\nm1,1.5,extra\n", b"member,hours\n\xe9t\xe9,1.5\n"],
    ids=["empty", "ragged", "latin"],
)
def test_a_csv_that_cannot_be_read_is_refused_by_name(csv, small_contract, content):
    with pytest.raises(
        DropRefused, match=r"^visits\.csv: the file cannot be read as csv: .*; deliver it again\.$"
    ) as c:
        read_table(csv(content, "visits"), small_contract, "visits")
    assert c.value.faults == (str(c.value),)


def test_a_parquet_file_keeps_its_types_and_a_cut_one_is_refused(tmp_path, small_contract):
    path = tmp_path / "members.parquet"
    frame = pd.DataFrame(
        {
            "member": ["m1", "m2"],
            "months": pd.array([1, None], "Int64"),
            "has_app": pd.array([None, True], "boolean"),
            "joined": [dt.date(2020, 1, 1), None],
        }
    )
    frame.to_parquet(path, index=False)
    found = read_table(path, small_contract, "members")
    pd.testing.assert_frame_equal(found, frame)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DropRefused, match=r"members\.parquet: the file cannot be read as parquet"):
        read_table(path, small_contract, "members")
