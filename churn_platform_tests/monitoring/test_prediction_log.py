"""The prediction log as its readers find it."""

import datetime as dt
import hashlib

import pyarrow.dataset as ds
import pytest
from pyarrow.parquet import ParquetFile

from churn_platform.monitoring.prediction_log import (
    PredictionLog,
    ServedPrediction,
    files,
    last_served,
    tidy,
)

MOMENT = dt.datetime(2024, 3, 1, 23, 59, 59, 250_000, tzinfo=dt.UTC).timestamp()
FEATURES = {"months": 3, "plan": "plus", "has_app": None, "hours": 2.5}
AS_OF = dt.date(2024, 2, 29)
DIGEST = hashlib.sha256(b'{"months":3,"plan":"plus","has_app":null,"hours":2.5}').hexdigest()


def answered(**changes):
    fields = {
        "moment": MOMENT,
        "key": "m00001",
        "version": 2,
        "as_of": AS_OF,
        "probability": 0.25,
        "features": FEATURES,
    }
    return ServedPrediction(**{**fields, "what_if": False, "stale": False, **changes})


def test_answers_are_read_back_with_time_key_version_probability_and_digest(tmp_path):
    log = PredictionLog(tmp_path, "member")
    log.write([answered(), answered(key="m00002", probability=0.5, what_if=True)])
    log.write([answered(key="m00003", version=3, stale=True)])
    assert all(b"plus" not in path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    rows = sorted(
        ds.dataset(tmp_path, format="parquet").to_table().to_pylist(), key=lambda row: row["member"]
    )
    assert [row["member"] for row in rows] == ["m00001", "m00002", "m00003"]
    assert rows[0] == {
        "time": dt.datetime(2024, 3, 1, 23, 59, 59, 250_000, tzinfo=dt.UTC), "member": "m00001", "version": 2,
        "features_as_of": AS_OF, "probability": 0.25, "features": DIGEST, "what_if": False, "stale": False,
        "arm": "production",
    }  # fmt: skip
    assert (rows[1]["what_if"], rows[2]["stale"], rows[2]["version"]) == (True, True, 3)


def test_each_day_has_its_folder_and_no_half_file_is_left(tmp_path, monkeypatch):
    log = PredictionLog(tmp_path, "member")
    log.write([answered()])
    log.write([answered(moment=MOMENT + 1)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2024-03-01", "2024-03-02"]
    monkeypatch.setattr(
        "pyarrow.parquet.write_table", lambda *_: (_ for _ in ()).throw(OSError("the disk is full"))
    )
    with pytest.raises(OSError, match="full"):
        log.write([answered()])
    assert len(list(tmp_path.rglob("*"))) == 4


def rows_of(folder):
    return sum(ParquetFile(path).metadata.num_rows for path in files(folder))


def names(folder):
    return " ".join(sorted(path.name for path in folder.iterdir()))


def at(day, hour=0, minute=0):
    return dt.datetime(2024, 3, day, hour, minute, tzinfo=dt.UTC).timestamp()


def test_a_workers_own_files_of_an_hour_become_one_when_the_next_hour_begins(tmp_path):
    log, other = PredictionLog(tmp_path, "member"), PredictionLog(tmp_path, "member")
    for minute in range(0, 60, 10):
        log.write([answered(moment=at(1, 8, minute))])
        other.write([answered(moment=at(1, 8, minute))])
    assert len(files(tmp_path)) == 12
    log.write([answered(moment=at(1, 9))])
    assert (len(files(tmp_path)), rows_of(tmp_path)) == (8, 13)


def test_a_day_becomes_one_file_when_it_is_past_and_today_and_yesterday_stay(tmp_path):
    log = PredictionLog(tmp_path, "member")
    for day in (1, 2, 3, 4):
        for hour in range(3):
            log.write(
                [answered(moment=at(day, hour)), answered(moment=at(day, hour, 30), key="m00002")]
            )
    tidy(tmp_path, dt.date(2024, 3, 4), keep_days=400)
    assert names(tmp_path) == "2024-03-01.parquet 2024-03-02.parquet 2024-03-03 2024-03-04"
    assert rows_of(tmp_path) == 24
    log.write([answered(moment=at(1, 23))])  # handed over very late
    assert rows_of(tmp_path) == 25
    tidy(tmp_path, dt.date(2024, 3, 4), keep_days=400)
    assert (rows_of(tmp_path), len(files(tmp_path, dt.date(2024, 3, 2)))) == (25, 7)
    assert not (tmp_path / "2024-03-01").exists()


@pytest.mark.parametrize("step", ["merged", "half removed"])
def test_a_merge_that_was_cut_off_counts_nothing_twice_and_is_completed(
    tmp_path, step, monkeypatch
):
    log = PredictionLog(tmp_path, "member")
    for minute in range(5):
        log.write([answered(moment=at(1, 1, minute))])
    kept = {path: path.read_bytes() for path in (tmp_path / "2024-03-01").iterdir()}
    tidy(tmp_path, dt.date(2024, 3, 9), keep_days=400)
    for path, content in list(kept.items())[: 5 if step == "merged" else 2]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert rows_of(tmp_path) == 5
    tidy(tmp_path, dt.date(2024, 3, 9), keep_days=400)
    assert (rows_of(tmp_path), names(tmp_path)) == (5, "2024-03-01.parquet")


def test_a_file_of_an_earlier_version_has_no_arm_and_counts(tmp_path):
    import pyarrow.parquet as pq

    log = PredictionLog(tmp_path, "member")
    log.write([answered(moment=at(1, 1))])
    [old] = files(tmp_path)
    pq.write_table(ParquetFile(old).read().drop_columns(["arm"]), old)
    log.write([answered(moment=at(1, 2), arm="canary", probability=0.5)])
    tidy(tmp_path, dt.date(2024, 3, 9), keep_days=400)
    [merged] = files(tmp_path)
    assert ParquetFile(merged).read()["arm"].to_pylist() == [None, "canary"]
    assert last_served(tmp_path, "member", [AS_OF])["probability"].tolist() == [0.5]


def test_days_are_removed_when_the_policys_time_is_over(tmp_path):
    log = PredictionLog(tmp_path, "member")
    for day in (1, 2, 3):
        log.write([answered(moment=at(day))])
    tidy(tmp_path, dt.date(2024, 3, 3), keep_days=400)
    (tmp_path / "notes.txt").write_text("somebody's")
    tidy(tmp_path, dt.date(2024, 3, 5), keep_days=3)
    assert names(tmp_path) == "2024-03-02.parquet 2024-03-03.parquet notes.txt"


def test_the_last_answer_of_each_customer_about_a_month_counts_and_a_what_if_does_not(tmp_path):
    january = dt.date(2024, 1, 31)
    PredictionLog(tmp_path, "member").write(
        [
            answered(moment=at(1, 2), probability=0.2), answered(moment=at(1, 1), probability=0.1),
            answered(moment=at(1, 3), probability=0.9, what_if=True), answered(as_of=january, moment=at(1, 4)),
            answered(key="m00002", version=3, moment=at(1, 5)), answered(as_of=None, moment=at(1, 6)),
        ]
    )  # fmt: skip
    found = last_served(tmp_path, "member", [AS_OF])
    assert list(found.columns) == ["version", "features_as_of", "member", "probability", "answers"]
    assert list(found.itertuples(index=False, name=None)) == [
        (2, AS_OF, "m00001", 0.2, 2),
        (3, AS_OF, "m00002", 0.25, 1),
    ]
    assert len(last_served(tmp_path, "member", [AS_OF, january])) == 3


def test_where_nothing_was_answered_there_is_nothing(tmp_path):
    for entity, months in (("member", [AS_OF]), ("member", []), ("reader_no", [AS_OF])):
        assert last_served(tmp_path / "none", entity, months).empty
    PredictionLog(tmp_path / "log", "reader_no").write([answered(key=7)])
    assert last_served(tmp_path / "log", "member", [AS_OF]).empty  # of another contract
    assert last_served(tmp_path / "log", "reader_no", [dt.date(2024, 3, 31)]).empty
    assert last_served(tmp_path / "log", "reader_no", [AS_OF])["reader_no"].tolist() == [7]
