"""Rows put aside are files for people, whole or not there, the same for the same rows."""

import pytest

from churn_platform.base import files
from churn_platform.lake.deliveries import Quarantine, put_aside

SUMMARY = {"rows": 3, "quarantined": 1, "duplicates": 0, "reasons": ["why"]}
ROWS = "row,reasons,member\n2,member: empty,\n"


def test_rows_are_written_and_the_lake_is_told_where_with_their_digest(tmp_path):
    made = put_aside(tmp_path, "2024-01-31/1", {"plans": Quarantine(ROWS, SUMMARY)})
    path = tmp_path / "quarantine" / "2024-01-31" / "1" / "plans.csv"
    assert path.read_text() == ROWS
    assert made == {
        "plans": {
            **SUMMARY,
            "file": "quarantine/2024-01-31/1/plans.csv",
            "digest": Quarantine(ROWS, {}).digest,
        }
    }


def test_duplicates_alone_are_counted_and_write_no_file(tmp_path):
    assert put_aside(tmp_path, "2024-01-31/1", {"plans": Quarantine("", SUMMARY)}) == {
        "plans": SUMMARY
    }
    assert not (tmp_path / "quarantine").exists()
    assert Quarantine("", SUMMARY).digest == ""


def test_what_a_delivery_that_was_cut_off_left_goes_first(tmp_path):
    put_aside(
        tmp_path,
        "2024-01-31/2",
        {"plans": Quarantine(ROWS, SUMMARY), "visits": Quarantine(ROWS, SUMMARY)},
    )
    put_aside(tmp_path, "2024-01-31/1", {"plans": Quarantine(ROWS, SUMMARY)})
    put_aside(
        tmp_path,
        "2024-01-31/2",
        {"visits": Quarantine(ROWS, SUMMARY), "plans": Quarantine("", SUMMARY)},
    )
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.csv"))
    assert left == ["quarantine/2024-01-31/1/plans.csv", "quarantine/2024-01-31/2/visits.csv"]


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "fsync_file", full)
    with pytest.raises(OSError, match="No space left"):
        put_aside(tmp_path, "2024-01-31/1", {"plans": Quarantine(ROWS, SUMMARY)})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
