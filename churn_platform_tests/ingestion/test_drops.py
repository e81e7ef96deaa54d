"""Drops on disk: which folders and files are drops, and when their files have changed."""

import os

from churn_platform.base.digests import digest_of
from churn_platform.ingestion.drop import find_drops, open_drop
from churn_platform_tests.small_business import DECLARED, FEBRUARY, JANUARY, declared

HEADER = "member,months,plan,has_app,town\n"


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
    assert [(drop.as_of, list(drop.files)) for drop in found] == [
        (JANUARY, ["visits"]),
        (FEBRUARY, ["members"]),
    ]
    assert find_drops(tmp_path / "nowhere", small_contract) == []


def test_a_drop_knows_its_newest_change_and_whether_it_is_marked_complete(tmp_path, small_contract):
    for name, changed in (
        ("members.csv", 1_700_000_000),
        ("visits.csv", 1_700_000_500),
        ("other.csv", 1_800_000_000),
    ):
        (tmp_path / name).write_text("a\n")
        os.utime(tmp_path / name, (changed, changed))
    drop = open_drop(tmp_path, JANUARY, small_contract)
    assert (drop.last_change, drop.marked_complete) == (1_700_000_500, False)
    (tmp_path / "_SUCCESS").touch()
    assert open_drop(tmp_path, JANUARY, small_contract).marked_complete
    empty = open_drop(tmp_path / "nowhere", JANUARY, small_contract)
    assert (empty.files, empty.last_change) == ({}, 0.0)


def test_the_fingerprint_is_of_names_and_bytes_and_of_no_times(tmp_path, small_contract):
    def state():
        return open_drop(tmp_path, JANUARY, small_contract).fingerprint

    members = tmp_path / "members.csv"
    members.write_text("member\nm1\n")
    states = [state()]
    changed = members.stat().st_mtime_ns
    for other in (0, changed + 1, changed // 10**9 * 10**9):  # touched, and as GNU tar puts it back
        os.utime(members, ns=(0, other))
        assert state() == states[0]
    members.write_text("member\nm2\n")  # as long, and with the time of before
    os.utime(members, ns=(changed, changed))
    states.append(state())
    (tmp_path / "visits.csv").write_text("member\n")
    states.append(state())
    members.rename(tmp_path / "members.parquet")
    states.append(state())
    assert len(set(states)) == 4


def by_times(folder):
    """The fingerprint that versions up to 2026 recorded."""
    found = {
        path.stem: [path.name, path.stat().st_size, path.stat().st_mtime_ns]
        for path in folder.glob("*.csv")
    }
    return digest_of(found)


def test_a_drop_that_an_earlier_version_published_is_known_by_the_fingerprint_of_that_version(
    tmp_path, small_contract
):
    (tmp_path / "members.csv").write_text(HEADER)
    (tmp_path / "visits.csv").write_text("member\n")
    recorded = by_times(tmp_path)
    drop = open_drop(tmp_path, JANUARY, small_contract)
    assert drop.fingerprint_as(recorded) == recorded
    assert (
        drop.fingerprint_as(None)
        == drop.fingerprint_as(drop.fingerprint)
        == drop.fingerprint
        != recorded
    )
    os.utime(tmp_path / "members.csv", (0, 0))
    assert drop.fingerprint_as(recorded) == drop.fingerprint


def test_a_table_with_a_csv_and_a_parquet_file_has_a_double_that_the_fingerprint_sees(
    tmp_path, small_contract
):
    (tmp_path / "members.csv").write_text(HEADER)
    alone = open_drop(tmp_path, JANUARY, small_contract)
    (tmp_path / "members.parquet").write_text("x")
    both = open_drop(tmp_path, JANUARY, small_contract)
    assert (alone.doubles, both.doubles) == ({}, {"members": tmp_path / "members.parquet"})
    assert both.files == alone.files
    assert both.fingerprint != alone.fingerprint


def test_a_file_is_found_by_the_name_that_the_contract_gives_it(tmp_path):
    tables = declared().as_mapping()["tables"]
    contract = declared(tables=tables | {"members": tables["members"] | {"file": "Member list"}})
    (tmp_path / "Member list.csv").write_text(HEADER)
    (tmp_path / "members.csv").write_text(HEADER)
    assert open_drop(tmp_path, JANUARY, contract).files == {"members": tmp_path / "Member list.csv"}


def test_what_is_declared_about_reading_is_part_of_the_fingerprint_and_nothing_declared_is_not(
    tmp_path,
):
    (tmp_path / "visits.csv").write_text("member,hours\n")
    plain = open_drop(tmp_path, JANUARY, declared())
    assert (
        plain.fingerprint
        == f"content:{digest_of({'visits': ['visits.csv', plain.digests.of(plain.files['visits'])]})}"
    )
    recorded = by_times(tmp_path)
    assert plain.fingerprint_as(recorded) == recorded
    found = {plain.fingerprint}
    for changes in (
        {"files": {"missing": ["-"]}},
        {"files": {"thousands": "'"}},
        {"label": {**DECLARED["label"], "inverted": True}},
        *({"tables": with_another(**declaration)} for declaration in OTHERS),
    ):
        drop = open_drop(tmp_path, JANUARY, declared(**changes))
        assert drop.fingerprint_as(recorded) == drop.fingerprint
        found.add(drop.fingerprint)
    assert len(found) == 4 + len(OTHERS)


OTHERS = (
    {"missing": ["-1"]},
    {"decimal": ","},
    {"thousands": ","},
    {"unit": "h"},
    {"dtype": "date", "date_format": "excel"},
)


def with_another(**declaration):
    """The gym's tables with something declared about one more column."""
    other = {"dtype": "float", "nullable": True, **declaration}
    return DECLARED["tables"] | {
        "visits": {"columns": {"hours": {"dtype": "float"}, "other": other}}
    }
