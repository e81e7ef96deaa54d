"""The API of one home in one process."""

import asyncio
import datetime as dt
import json
import sqlite3

import pytest
import yaml

from bento.errors import ApiError
from bento.metrics import ApiMetrics
from bento.server import ApiServer
from churn_platform.base.errors import ContractError
from churn_platform.base.settings import Settings
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.serving.contract_file import ContractFile
from churn_platform_tests.api_client import FEWER, boosted, client, point, publish, with_contract
from churn_platform_tests.small_business import DECLARED


def test_the_contract_is_that_of_the_settings_then_the_homes_then_the_packages(tmp_path):
    home, other = tmp_path / "home", tmp_path / "other.yaml"
    assert ContractFile(Settings(home=home)).read() == read_contract(default_contract_path())
    home.mkdir()
    (home / "contract.yaml").write_text(yaml.safe_dump(DECLARED))
    assert ContractFile(Settings(home=home)).read().name == "gym"
    other.write_text(yaml.safe_dump({**DECLARED, "name": "other"}))
    assert ContractFile(Settings(home=home, contract=other)).read().name == "other"


@pytest.mark.parametrize("text", ["name: [", "name: gym"])
def test_a_worker_that_starts_while_the_contract_is_broken_answers_as_before(
    served_copy, api_on, text
):
    before = api_on(served_copy).post("/predict", {"member": "m00001"}).json()
    (served_copy.folder / "contract.yaml").write_text(text)
    after = api_on(served_copy).post("/predict", {"member": "m00001"}).json()
    assert after == before | {"request_id": after["request_id"]}
    (served_copy.folder / "feast" / "contract.json").unlink()
    with pytest.raises(ContractError):
        api_on(served_copy)


def test_a_caller_in_python_gets_the_same_answer_and_the_same_refusals(api):
    found = asyncio.run(api.server.predict({"member": "m00001"}))
    assert found["probability"] == api.post("/predict", {"member": "m00001"}).json()["probability"]
    many = asyncio.run(api.server.predict_batch({"keys": ["m00001", "x"]}))
    assert (many["answered"], many["failed"]) == (1, 1)
    for asked in ({"member": 1}, [], None, {"member": "nobody"}):
        with pytest.raises(ApiError):
            asyncio.run(api.server.predict(asked))


def test_a_release_that_becomes_active_or_is_refused_is_counted_and_logged(
    served_copy, api_on, capsys
):
    api = api_on(served_copy)
    point(served_copy, 3)
    api.server.watch.poll()
    (served_copy.releases.folder / "2" / "booster.txt").write_bytes(b"changed")
    pointer = json.loads(served_copy.releases.pointer_file.read_text())
    served_copy.releases.pointer_file.write_text(json.dumps(pointer | {"version": 2}))
    api.server.watch.poll()
    text = api.get("/metrics").text
    assert "churn_refused_releases_total 1.0" in text
    assert "churn_model_version 3.0" in text
    api.server.stop()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "event" in line]
    # Another server of this session may print its line now.
    assert list(dict.fromkeys((line["event"], line["version"]) for line in lines)) == [
        ("release active", 2), ("release active", 3), ("release refused", 2),
    ]  # fmt: skip
    assert "booster.txt" in lines[-1]["reason"]


def test_a_log_that_cannot_be_written_costs_no_answer_and_is_counted(served_copy, api_on, capsys):
    (served_copy.folder / "predictions").write_text("a file where the folder should be")
    api = api_on(served_copy)
    assert api.post("/predict", {"member": "m00001"}).status_code == 200
    api.server.logs.predictions._empty()
    assert api.server.logs.predictions.dropped == 1
    api.post("/predict", {"member": "m00001"})
    assert "churn_log_dropped_total 1.0" in api.get("/metrics").text
    assert "1 log entries were dropped" in capsys.readouterr().err


def test_nothing_is_written_before_it_is_started(served_copy):
    from prometheus_client import CollectorRegistry

    before = sorted(str(path) for path in served_copy.folder.rglob("*"))
    made = ApiServer(Settings(home=served_copy.folder), ApiMetrics(CollectorRegistry()))
    assert made.watch.current is None
    assert sorted(str(path) for path in served_copy.folder.rglob("*")) == before


def test_a_promotion_under_another_contract_changes_schemas_document_and_model_at_once(
    served_copy, api_on
):
    api = api_on(served_copy)
    body = {"member": "m00001", "features": {"has_app": True}}
    assert list(api.post("/predict", body).json()["features_used"]) == [
        "months",
        "plan",
        "has_app",
        "hours",
    ]
    changed = with_contract(served_copy, feature_views=FEWER)
    publish(changed, 4, boosted(changed))
    earlier, front = api.server.active, api.server

    async def asked_before_answered_after():
        """A request whose body comes after the change: it meets the contract that its first byte met."""

        async def body_after_the_change():
            yield b'{"member": "m00001", '
            point(changed, 4)
            async with asyncio.timeout(60):
                while api.server.active is earlier:  # the server looks by itself
                    await asyncio.sleep(0.01)
            yield b'"features": {"has_app": true}}'

        async with client(front) as one:
            headers = {"content-type": "application/json"}
            return await one.post("/predict", content=body_after_the_change(), headers=headers)

    late = asyncio.run(asked_before_answered_after())
    assert (late.status_code, late.json()["model"]["version"]) == (200, 2)
    assert api.post("/predict", body).json()["error"]["code"] == "malformed"  # the feature is gone
    found = api.post("/predict", {"member": "m00001"}).json()
    assert (found["model"]["version"], list(found["features_used"])) == (4, ["months", "plan"])
    features = api.get("/openapi.json").json()["components"]["schemas"]["Features"]
    assert list(features["properties"]) == ["months", "plan"]
    assert asyncio.run(api.server.predict({"member": "m00001"}))["model"]["version"] == 4


@pytest.fixture
def two_contracts(served_copy):
    """Version 2 with four features in production, version 4 with two; the contract has version 4's, and another
    name for their view."""
    views = {"people_fv": {"table": "members", "features": ["months", "plan"]}}
    changed = with_contract(served_copy, feature_views=views)
    publish(changed, 4, boosted(changed))
    return changed


def schema(api, name):
    return list(api.get("/openapi.json").json()["components"]["schemas"][name]["properties"])


def test_requests_answers_and_document_follow_the_release_in_both_directions(
    two_contracts, api_on, is_refused
):
    """Nothing is materialized between: the online store is as January left it."""
    every = ["months", "plan", "has_app", "hours"]
    body = {"member": "m00001", "features": {"hours": 3.0}}
    api = api_on(two_contracts)
    found = {2: api.post("/predict", {"member": "m00001"}).json()}
    for version, features in ((4, every[:2]), (2, every), (4, every[:2]), (3, every)):
        point(two_contracts, version)
        api.server.watch.poll()
        answer = api.post("/predict", {"member": "m00001"}).json()
        assert answer["model"]["version"] == version
        assert list(answer["features_used"]) == list(answer["contributions"]) == features
        assert len(answer["reasons"]) == min(3, len(features))
        assert schema(api, "Features") == schema(api, "FeaturesUsed") == features
        assert api.get("/readyz").json()["version"] == version
        assert (
            api.get("/customers/m00001").json()["current"]["features_used"]
            == answer["features_used"]
        )
        [row] = api.post("/predict/batch", {"keys": ["m00001"]}).json()["results"]
        assert row["probability"] == answer["probability"]
        found.setdefault(version, answer)
        assert answer["probability"] == found[version]["probability"]
        if version == 4:
            is_refused(api.post("/predict", body), 422, "malformed")
        else:
            assert api.post("/predict", body).json()["features_used"]["hours"] == 3.0


def test_a_worker_that_starts_before_the_instant_changes_features_at_the_instant(
    two_contracts, api_on
):
    instant = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1.5)
    point(two_contracts, 4, instant)
    api = api_on(two_contracts)
    found = {}
    while 4 not in found and dt.datetime.now(dt.UTC) < instant + dt.timedelta(seconds=60):
        answer = api.post("/predict", {"member": "m00001"}).json()
        found.setdefault(answer["model"]["version"], set()).add(len(answer["features_used"]))
    assert found[4] == {2}
    assert found.get(2, {4}) == {4}


def test_a_changed_policy_applies_without_a_restart_and_a_broken_contract_changes_nothing(
    served_copy, api_on, is_refused
):
    with sqlite3.connect(served_copy.folder / "feast" / "online_store.db") as database:
        database.execute("UPDATE gym_visits_fv SET event_ts = event_ts - 86400")
    database.close()
    api = api_on(served_copy)
    is_refused(api.post("/predict", {"member": "m00001"}), 409, "stale_features")
    file = served_copy.folder / "contract.yaml"
    file.write_text("name: [")
    api.server.watch.poll()
    is_refused(api.post("/predict", {"member": "m00001"}), 409, "stale_features")
    file.write_text(yaml.safe_dump(DECLARED))
    with_contract(
        served_copy, policy={**DECLARED["policy"], "serving": {"stale_features": "answer"}}
    )
    api.server.watch.poll()
    assert api.post("/predict", {"member": "m00001"}).json()["stale"] is True


def baked(home, **changes):
    """The home as it is inside a Bento."""
    note = {"version": 2, "built_at": "2024-03-01T00:00:00+00:00", "features_as_of": "2024-01-31"}
    inside = {"store": "sqlite", "customers": 9}
    (home.folder / "baked.json").write_text(json.dumps(note | inside | changes))


def test_a_baked_home_logs_predictions_only_where_it_is_told_to(served_copy, api_on, tmp_path):
    baked(served_copy)
    for settings in ({}, {"prediction_log": tmp_path / "log"}):
        api = api_on(served_copy, **settings)
        assert api.post("/predict", {"member": "m00001"}).status_code == 200
        api.server.stop()
    assert not (served_copy.folder / "predictions").exists()
    assert len(list((tmp_path / "log").rglob("*.parquet"))) == 1


def test_a_baked_home_without_customers_answers_what_is_given_whole_and_says_what_is_missing(
    served_copy, api_on, is_refused
):
    baked(served_copy, features_as_of=None, store="", customers=0)
    api = api_on(served_copy)
    ready = api.get("/readyz").json()
    assert (ready["status"], ready["features_as_of"], ready["baked_at"]) == (
        "ready",
        None,
        "2024-03-01T00:00:00+00:00",
    )
    assert ready["missing"] == ["the customers: only what-ifs that give every feature are answered"]
    is_refused(api.post("/predict", {"member": "m00001"}), 503, "store_down")
    whole = {"months": 3, "plan": "plus", "has_app": None, "hours": 2.5}
    assert (
        api.post("/predict", {"member": "m00001", "features": whole}).json()["features_used"]
        == whole
    )
    whole.pop("hours")
    is_refused(api.post("/predict", {"member": "m00001", "features": whole}), 503, "store_down")
