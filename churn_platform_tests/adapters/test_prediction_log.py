"""The prediction log as its readers find it."""

import datetime as dt
import hashlib

import pyarrow.dataset as ds
import pytest

from churn_platform.adapters.prediction_log import Answered, PredictionLog

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
    return Answered(**{**fields, "what_if": False, "stale": False, **changes})


def test_answers_are_read_back_with_time_key_version_probability_and_digest(tmp_path):
    log = PredictionLog(tmp_path, "member")
    log.write([answered(), answered(key="m00002", probability=0.5, what_if=True)])
    log.write([answered(key="m00003", version=3, stale=True)])
    rows = sorted(ds.dataset(tmp_path, format="parquet").to_table().to_pylist(), key=lambda row: row["member"])
    assert [row["member"] for row in rows] == ["m00001", "m00002", "m00003"]
    assert rows[0] == {
        "time": dt.datetime(2024, 3, 1, 23, 59, 59, 250_000, tzinfo=dt.UTC), "member": "m00001", "version": 2,
        "probability": 0.25, "features": DIGEST, "what_if": False, "stale": False,
    }  # fmt: skip
    assert (rows[1]["what_if"], rows[2]["stale"], rows[2]["version"]) == (True, True, 3)


def test_the_values_of_the_features_are_not_kept(tmp_path):
    PredictionLog(tmp_path, "member").write([answered(features={"plan": "a secret"})])
    [path] = tmp_path.rglob("*.parquet")
    assert b"a secret" not in path.read_bytes()


def test_each_day_has_its_folder_and_no_half_file_is_left(tmp_path, monkeypatch):
    log = PredictionLog(tmp_path, "member")
    log.write([answered()])
    log.write([answered(moment=MOMENT + 1)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2024-03-01", "2024-03-02"]
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        log.write([answered()])
    assert len(list(tmp_path.rglob("*"))) == 4


def test_integer_keys_stay_integers(tmp_path):
    PredictionLog(tmp_path, "reader_no").write([answered(key=7)])
    assert ds.dataset(tmp_path, format="parquet").to_table()["reader_no"].to_pylist() == [7]
