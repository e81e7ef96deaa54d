"""The API of a home put together."""

import asyncio
import json

import pytest
import yaml

from bento.assembly import Assembly, contract_in_use
from bento.errors import Refusal
from bento.metrics import Metrics
from churn_platform.adapters.contract_file import default_contract_path, read_contract
from churn_platform.settings import Settings
from churn_platform_tests.serving import point
from churn_platform_tests.small_business import DECLARED


def test_the_contract_is_that_of_the_settings_then_the_homes_then_the_packages(tmp_path):
    home, other = tmp_path / "home", tmp_path / "other.yaml"
    assert contract_in_use(Settings(home=home)) == read_contract(default_contract_path())
    home.mkdir()
    (home / "contract.yaml").write_text(yaml.safe_dump(DECLARED))
    assert contract_in_use(Settings(home=home)).name == "gym"
    other.write_text(yaml.safe_dump({**DECLARED, "name": "other"}))
    assert contract_in_use(Settings(home=home, contract=other)).name == "other"


def test_a_caller_in_python_gets_the_same_answer_and_the_same_refusals(api):
    found = asyncio.run(api.assembly.predict({"member": "m00001"}))
    assert found["probability"] == api.post("/predict", {"member": "m00001"}).json()["probability"]
    many = asyncio.run(api.assembly.predict_batch({"keys": ["m00001", "x"]}))
    assert (many["answered"], many["failed"]) == (1, 1)
    for asked in ({"member": 1}, [], None, {"member": "nobody"}):
        with pytest.raises(Refusal):
            asyncio.run(api.assembly.predict(asked))


def test_a_release_that_becomes_active_or_is_refused_is_counted_and_logged(served_copy, api_on, capsys):
    api = api_on(served_copy)
    point(served_copy, 3)
    api.assembly.watch.poll()
    (served_copy.releases.folder / "2" / "booster.txt").write_bytes(b"changed")
    pointer = json.loads(served_copy.releases.pointer_file.read_text())
    served_copy.releases.pointer_file.write_text(json.dumps(pointer | {"version": 2}))
    api.assembly.watch.poll()
    text = api.get("/metrics").text
    assert "churn_refused_releases_total 1.0" in text
    assert "churn_model_version 3.0" in text
    api.assembly.stop()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "event" in line]
    assert [(line["event"], line["version"]) for line in lines] == [
        ("release active", 2), ("release active", 3), ("release refused", 2),
    ]  # fmt: skip
    assert "booster.txt" in lines[2]["reason"]


def test_a_log_that_cannot_be_written_costs_no_answer_and_is_counted(served_copy, api_on, capsys):
    (served_copy.folder / "predictions").write_text("a file where the folder should be")
    api = api_on(served_copy)
    assert api.post("/predict", {"member": "m00001"}).status_code == 200
    api.assembly._given._empty()
    assert api.assembly._given.dropped == 1
    api.post("/predict", {"member": "m00001"})
    assert "churn_log_dropped_total 1.0" in api.get("/metrics").text
    assert "1 log entries are lost" in capsys.readouterr().err


def test_nothing_is_written_before_it_is_started(served_copy):
    from prometheus_client import CollectorRegistry

    before = sorted(str(path) for path in served_copy.folder.rglob("*"))
    made = Assembly(Settings(home=served_copy.folder), Metrics(CollectorRegistry()))
    assert made.watch.current is None
    assert sorted(str(path) for path in served_copy.folder.rglob("*")) == before
