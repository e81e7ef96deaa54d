"""Quarantined rows are files for people: complete or absent, the same for the same rows."""

import datetime as dt
import json

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.lake.deliveries import (
    Quarantine,
    QuarantineRecord,
    SnapshotManifest,
    write_quarantines,
)

RECORD = QuarantineRecord(rows=3, quarantined=1, duplicates=0, reasons=("why",))
ROWS = "row,reasons,member\n2,member: empty,\n"


def test_rows_are_written_and_the_lake_is_told_where_with_their_digest(tmp_path):
    made = write_quarantines(tmp_path, "2024-01-31/1", {"plans": Quarantine(ROWS, RECORD)})
    path = tmp_path / "quarantine" / "2024-01-31" / "1" / "plans.csv"
    assert path.read_text() == ROWS
    assert made["plans"].as_json() == {
        **RECORD.as_json(),
        "file": "quarantine/2024-01-31/1/plans.csv",
        "digest": Quarantine(ROWS, RECORD).digest,
    }


def test_duplicates_alone_are_counted_and_write_no_file(tmp_path):
    assert write_quarantines(tmp_path, "2024-01-31/1", {"plans": Quarantine("", RECORD)}) == {
        "plans": RECORD
    }
    assert not (tmp_path / "quarantine").exists()
    assert Quarantine("", RECORD).digest == ""


def test_what_a_delivery_that_was_cut_off_left_goes_first(tmp_path):
    rows = Quarantine(ROWS, RECORD)
    write_quarantines(tmp_path, "2024-01-31/2", {"plans": rows, "visits": rows, "bills": rows})
    write_quarantines(tmp_path, "2024-01-31/1", {"plans": rows})
    write_quarantines(tmp_path, "2024-01-31/2", {"visits": rows, "plans": Quarantine("", RECORD)})
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.csv"))
    assert left == ["quarantine/2024-01-31/1/plans.csv", "quarantine/2024-01-31/2/visits.csv"]


ENTRY = {
    "file": "visits/as_of=2024-01-31/delivery-0001.parquet",
    "sha256": "a",
    "digest": "b",
    "rows": 3,
    "created": "2024-01-31T00:00:00+00:00",
}
MANIFEST = {
    "as_of": "2024-01-31",
    "fingerprint": None,
    "deliveries": [
        {
            "number": 1,
            "arrived": "2024-02-01T10:00:00.000001+00:00",
            "kind": "first",
            "tables": {"visits": ENTRY | {"of a later version": [1]}},
        }
    ],
}


def read(tmp_path, manifest):
    path = tmp_path / "2024-01-31.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return SnapshotManifest.of_file(path, dt.date(2024, 1, 31))


def test_a_manifest_of_another_version_is_kept_as_it_is(tmp_path):
    assert read(tmp_path, MANIFEST).as_json() == MANIFEST


@pytest.mark.parametrize("change", [{"rows": "3"}, {"rows": None}, {"created": "yesterday"}])
def test_a_wrong_field_of_a_manifest_is_named_with_its_file(tmp_path, change):
    delivery = MANIFEST["deliveries"][0] | {"tables": {"visits": ENTRY | change}}
    [field] = change
    with pytest.raises(IntegrityError, match=rf"2024-01-31\.json.*deliveries\.0.*{field}"):
        read(tmp_path, MANIFEST | {"deliveries": [delivery]})
