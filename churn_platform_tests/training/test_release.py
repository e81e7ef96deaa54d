"""What a manifest and a pointer may hold."""

import math

import pytest
from pydantic import ValidationError

from churn_platform.training.release import Pointer, ReleaseManifest, file_name, iso_date

MANIFEST = {
    "model_name": "a_churn_model",
    "version": 1,
    "algorithm": "lightgbm",
    "files": {"model.txt": "a" * 64},
    "features": [{"name": "b", "dtype": "int"}, {"name": "a", "dtype": "float"}],
    "threshold": 0.25,
    "contract_hash": "c" * 64,
    "training_as_of": "2024-01-31",
    "training_months": ["2024-01-31"],
    "metrics": {"auc": 0.81, "interval": [0.78, 0.84]},
    "golden": [{"features": {"a": None, "b": 3}, "probability": 0.1 + 0.2}],
    "candidate_digest": "d" * 64,
    "created_at": "2024-02-01T06:00:00+00:00",
}
POINTER = {
    "version": 2,
    "previous_version": 1,
    "activate_at": "2024-02-29T06:00:02+00:00",
    "ledger_head": "e" * 64,
    "as_of": "2024-02-29",
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1.5},
        {"metrics": {"auc": math.nan}},
        {"golden": [{"features": {"a": math.inf}, "probability": 0.1}]},
        {"files": {"model.txt": "abc"}},
        {"files": {"../model.txt": "a" * 64}},
        {"features": []},
        {"training_as_of": "31.01.2024"},
        {"created_at": "2024-02-01T06:00:00"},
        {"colour": "red"},
    ],
)
def test_a_manifest_refuses_a_wrong_field(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ReleaseManifest.model_validate(MANIFEST | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 0},
        {"ledger_head": "abc"},
        {"activate_at": "soon"},
        {"as_of": "2024-02-30"},
    ],
)
def test_a_pointer_refuses_a_wrong_field(wrong):
    assert Pointer.model_validate(POINTER).version == 2
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Pointer.model_validate(POINTER | wrong)


def test_a_plain_name_can_name_a_file_and_a_path_or_a_hidden_name_cannot():
    for name in ("model.txt", "feature_schema.json", "calibration-1.json", "7"):
        assert file_name(name) == name
    wrong = ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a\\b", "a b", "a\n", "é"]
    for name in (*wrong, "manifest.json", "manifest.sha256"):
        with pytest.raises(ValueError, match="cannot name a file of a release"):
            file_name(name)


@pytest.mark.parametrize("value", ["20240131", "2024-W05-3", "2024-1-31", "2024-02-30", ""])
def test_a_date_has_one_form(value):
    assert iso_date("2024-02-29") == "2024-02-29"
    with pytest.raises(ValueError, match=r"date|isoformat|day"):
        iso_date(value)
