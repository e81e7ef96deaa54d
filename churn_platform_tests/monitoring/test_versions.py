"""Any version, wherever it is kept: released on disk, else in MLflow; read once."""

import shutil

import pytest
import yaml

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform_tests.small_business import FEBRUARY, JANUARY, open_home


def test_a_released_version_is_read_from_its_release_and_one_that_waits_from_mlflow(
    february_decided,
):
    versions = open_home(february_decided.folder).versions()
    assert versions.released == {1}
    first, second = versions.load(1), versions.load(2)
    assert (first.version, first.card.as_of) == (1, "2024-01-31")
    assert (second.version, second.card.as_of) == (2, "2024-02-29")
    assert versions.load(2) is second


def test_a_released_version_needs_no_mlflow(february_decided_copy):
    (february_decided_copy.folder / "mlflow.db").unlink()
    shutil.rmtree(february_decided_copy.folder / "artifacts")
    assert february_decided_copy.versions().load(1).version == 1


def test_an_unknown_version_and_a_changed_one_are_errors(february_decided_copy):
    with pytest.raises(UsageError, match="no version 9"):
        february_decided_copy.versions().load(9)
    model = february_decided_copy.releases.path(1, "model.skops")
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(IntegrityError):
        february_decided_copy.versions().load(1)


def test_a_version_scores_without_its_feature_in_the_contract_and_not_without_its_column(
    february_decided_copy,
):
    home = february_decided_copy
    assert home.versions().why_not_scored(1) == ""
    path = home.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["feature_views"]["members_fv"]["features"].remove("has_app")
    path.write_text(yaml.safe_dump(declared), encoding="utf-8")
    assert open_home(home.folder).versions().why_not_scored(1) == ""
    del declared["tables"]["members"]["columns"]["has_app"]
    path.write_text(yaml.safe_dump(declared), encoding="utf-8")
    assert "members.has_app" in open_home(home.folder).versions().why_not_scored(1)


def test_a_version_is_comparable_on_months_of_its_own_definition_of_churn(february_decided_copy):
    home = february_decided_copy
    path = home.folder / "contract.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    old = declared["label"]
    declared["label"] = {
        **old,
        "horizon": {"days": 30},
        "since": FEBRUARY,
        "earlier": [{"column": old["column"]}],
    }
    path.write_text(yaml.safe_dump(declared), encoding="utf-8")
    versions = open_home(home.folder).versions()
    assert versions.why_not_comparable(1, JANUARY) == ""
    assert "2024-02-29" in versions.why_not_comparable(1, FEBRUARY)
    declared["label"] = {**old, "period": "before"}
    path.write_text(yaml.safe_dump(declared), encoding="utf-8")
    assert open_home(home.folder).versions().why_not_comparable(1, FEBRUARY) == ""
