"""Records: complete or absent, by kind and month, decisions in the order in which they were made."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.lake.records import KINDS, Records
from churn_platform_tests.small_business import FEBRUARY, JANUARY


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path)


def test_a_record_and_its_rows_are_read_back_with_null_as_null(records):
    frame = pd.DataFrame(
        {
            "member": ["a", "b"],
            "months": pd.array([1, None], "Int64"),
            "has_app": pd.array([None, True], "boolean"),
            "hours": [1.5, None],
        }
    )
    records.write("scores", JANUARY, {"version": 1}, frame)
    assert records.read("scores", JANUARY) == {"version": 1}
    pd.testing.assert_frame_equal(records.frame("scores", JANUARY), frame)


def test_a_step_that_has_not_run_has_no_record(records):
    assert records.read("scores", JANUARY) is None
    assert records.months("scores") == []
    records.write("performance", JANUARY, {"evaluated": []})
    assert records.read("scores", JANUARY) is None


def test_every_kind_has_its_own_months_oldest_first(records):
    for kind in KINDS:
        records.write(kind, FEBRUARY, {"kind": kind})
    records.write("scores", JANUARY, {})
    assert records.months("scores") == [JANUARY, FEBRUARY]
    assert [records.read(kind, FEBRUARY)["kind"] for kind in KINDS] == list(KINDS)
    assert records.months("drift_report") == [FEBRUARY]


def test_a_record_is_never_there_without_its_rows(records, monkeypatch):
    def torn(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", torn)
    with pytest.raises(OSError, match="disk full"):
        records.write("scores", JANUARY, {"version": 1}, pd.DataFrame({"a": [1]}))
    assert records.read("scores", JANUARY) is None


def test_decisions_keep_their_order_and_their_numbers(records):
    made = [
        {"as_of": f"{JANUARY + dt.timedelta(days=n)}", "decision": "refused"} for n in range(11)
    ]
    paths = [records.add_decision(decision) for decision in made]
    assert records.decisions() == made
    assert records.add_decision(made[3]).name == "000012.json"
    assert records.decisions() == [*made, made[3]]
    assert paths[0].name == "000001.json"


def test_a_record_and_its_rows_are_what_was_written_until_somebody_changes_them(tmp_path):
    records = Records(tmp_path)
    records.write("scores", JANUARY, {"version": 1}, pd.DataFrame({"rank": [1, 2]}))
    assert records.read("scores", JANUARY) == {"version": 1}
    assert records.broken("scores", JANUARY) is None
    records.write("scores", JANUARY, {"version": 1, "features": "f"})  # the rows stay
    assert records.broken("scores", JANUARY) is None
    rows, record = (records.path("scores", JANUARY, suffix) for suffix in (".parquet", ".json"))
    kept = rows.read_bytes()
    rows.write_bytes(kept + b"x")
    assert records.broken("scores", JANUARY) == f"{rows} is not what was written"
    rows.unlink()
    assert records.broken("scores", JANUARY) == f"{rows} is gone"
    rows.write_bytes(kept)
    record.write_text(record.read_text().replace('"version": 1', '"version": 2'))
    assert "changed by hand" in records.broken("scores", JANUARY)
    record.write_text('{"version": 2}')
    assert "of another make" in records.broken("scores", JANUARY)
