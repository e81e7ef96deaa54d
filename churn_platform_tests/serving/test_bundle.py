"""A server finds the home that was baked beside its sources, unless another is named."""

import asyncio

import pytest

from churn_platform.base.errors import IntegrityError, StoreDown
from churn_platform.base.files import write_json
from churn_platform.serving.bundle import (
    FOLDER,
    NOTE,
    Bundle,
    NoCustomers,
    read_bundle,
    settings_in_use,
)

FACTS = {
    "version": 2,
    "built_at": "2024-03-01T00:00:00+00:00",
    "features_as_of": "2024-02-29",
    "store": "sqlite",
    "customers": 7,
}


def test_a_bundled_home_is_served_unless_the_environment_names_one(monkeypatch, tmp_path):
    monkeypatch.delenv("CHURN_HOME", raising=False)
    monkeypatch.delenv("CHURN_CONTRACT", raising=False)
    assert settings_in_use(tmp_path).home_folder.name == "churn_home"
    (tmp_path / FOLDER).mkdir()
    assert settings_in_use(tmp_path).home_folder == tmp_path / FOLDER
    monkeypatch.setenv("CHURN_HOME", str(tmp_path / "live"))
    assert settings_in_use(tmp_path).home_folder == tmp_path / "live"


def test_the_note_of_a_bundle_is_read_back_and_a_real_home_has_none(tmp_path):
    assert read_bundle(tmp_path) is None
    write_json(tmp_path / NOTE, FACTS)
    assert read_bundle(tmp_path) == Bundle.model_validate(FACTS)
    write_json(tmp_path / NOTE, FACTS | {"customers": "many"})
    with pytest.raises(IntegrityError, match="build the Bento again"):
        read_bundle(tmp_path)


def test_a_store_without_customers_says_what_to_do():
    with pytest.raises(
        StoreDown, match="give every feature in `features`, or start it with CHURN_HOME"
    ):
        asyncio.run(asyncio.run(NoCustomers().read(["m00001"])))
