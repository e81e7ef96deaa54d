"""Predictions: the model's own figures, and what is unknown, missing, old or assumed."""

import sqlite3

import pytest

from churn_platform.base.files import read_json, write_json
from churn_platform.features.online.rows import entity_key
from churn_platform.promotion.promotions import released
from churn_platform.serving import score_history
from churn_platform_tests.api_client import point, with_contract
from churn_platform_tests.small_business import DECLARED, JANUARY

KEY = "m00001"


def online(home, statement, *values):
    with sqlite3.connect(home.folder / "feast" / "online_store.db") as database:
        assert database.execute(statement, values).rowcount > 0
    database.close()


def make_stale(home, key=KEY):
    write = entity_key(home.contract)
    online(
        home,
        "UPDATE gym_visits_fv SET event_ts = event_ts - 86400 WHERE entity_key = ?",
        write(key),
    )


def stands_down(home, reason):
    path = home.records.path("scores", JANUARY, ".json")
    write_json(path, read_json(path) | {"stand_down": reason})


def test_an_answer_is_what_churn_explain_says(served, api):
    found, said = api.post("/predict", {"member": KEY}).json(), served.status.explain(KEY, None)
    assert found["member"] == KEY
    assert found["probability"] == pytest.approx(said.probability, abs=1e-12)
    assert found["prediction"] == said.prediction
    assert found["reasons"] == said.reasons
    assert found["features_used"] == said.features
    assert list(found["features_used"]) == list(served.contract.features)
    assert (found["features_as_of"], found["stale"], found["what_if"]) == ("2024-01-31", False, [])


def test_an_answer_names_its_model_and_decile(served, api):
    found, manifest = api.post("/predict", {"member": KEY}).json(), served.releases.manifest(2)
    assert found["model"] == {
        "name": "gym_churn", "version": 2, "sha256": manifest.files["model.skops"], "stand_down": False,
        "stand_down_reason": None,
    }  # fmt: skip
    scores = served.records.frame("scores", JANUARY).set_index("member")
    [stays] = scores.index[scores["rank"] == 1]
    found = api.post("/predict", {"member": stays}).json()
    assert (found["decile"], found["already_left"]) == (1, False)


def test_a_customer_who_has_left_is_marked_and_has_no_decile(served, api):
    scores = served.records.frame("scores", JANUARY).set_index("member")
    left, stays = scores.index[-1], scores.index[0]
    for found in (
        api.post("/predict", {"member": left}).json(),
        api.get(f"/customers/{left}").json()["current"],
    ):
        assert (found["already_left"], found["decile"]) == (True, None)
    [month] = api.get(f"/customers/{left}").json()["history"]
    assert (month["already_left"], month["rank"], month["decile"]) == (True, None, None)
    rows = api.post("/predict/batch", {"keys": [left, stays]}).json()["results"]
    assert [row["already_left"] for row in rows] == [True, False]
    assert [row["decile"] for row in rows] == [None, 1]


def test_the_prediction_is_1_from_the_threshold_on(served, api):
    threshold = served.releases.manifest(2).threshold
    rows = api.post("/predict/batch", {"keys": [f"m{n:05d}" for n in range(400)]}).json()["results"]
    assert {row["prediction"] for row in rows} == {0, 1}
    assert all(row["prediction"] == (row["probability"] >= threshold) for row in rows)


def test_without_reasons_nothing_else_changes(api):
    full, short = (
        api.post("/predict", {"member": KEY, "reasons": wanted}).json() for wanted in (True, False)
    )
    assert len(full.pop("reasons")) == 3
    assert list(full.pop("contributions")) == list(full["features_used"])
    assert {**full, "request_id": ""} == {**short, "request_id": ""}


def test_a_what_if_takes_the_given_values_and_says_so(served, api):
    model = released(served.releases, 2).model
    found = api.post("/predict", {"member": KEY, "features": {"months": 59, "hours": None}}).json()
    assert found["what_if"] == ["hours", "months"]
    assert (found["features_used"]["months"], found["features_used"]["hours"]) == (59, None)
    import pandas as pd

    row = pd.DataFrame([found["features_used"]])
    assert found["probability"] == pytest.approx(model.probability(row)[0], abs=1e-12)
    assert found["probability"] != api.post("/predict", {"member": KEY}).json()["probability"]
    assert api.post("/predict", {"member": KEY}).json()["features_used"]["months"] != 59


def test_a_what_if_that_gives_every_feature_asks_no_store_and_needs_no_customer(
    served_copy, api_on
):
    (served_copy.folder / "feast" / "online.json").unlink()
    api = api_on(served_copy)
    given = {"hours": 2.5, "has_app": None, "plan": "plus", "months": 3}
    found = api.post("/predict", {"member": "nobody", "features": given}).json()
    assert found["features_used"] == given
    assert list(found["features_used"]) == ["months", "plan", "has_app", "hours"]
    assert (found["features_as_of"], found["stale"], found["what_if"]) == (
        None,
        False,
        sorted(given),
    )


def test_a_customer_with_legal_nulls_gets_a_prediction_and_an_unknown_one_a_404(api, is_refused):
    found = api.post("/predict", {"member": "m00000"})
    assert found.status_code == 200
    assert found.json()["features_used"]["has_app"] is None
    error = is_refused(api.post("/predict", {"member": "nobody"}), 404, "unknown_customer")
    assert "'nobody'" in error["message"]


def test_old_features_are_refused_with_their_names(served_copy, api_on, is_refused):
    make_stale(served_copy)
    api = api_on(served_copy)
    error = is_refused(api.post("/predict", {"member": KEY}), 409, "stale_features")
    assert (error["missing_features"], error["features_as_of"]) == (["hours"], "2024-01-30")
    assert api.post("/predict", {"member": "m00002"}).status_code == 200


def test_a_what_if_that_gives_all_that_is_old_is_answered(served_copy, api_on):
    make_stale(served_copy)
    found = api_on(served_copy).post("/predict", {"member": KEY, "features": {"hours": 3.0}})
    assert (found.status_code, found.json()["stale"]) == (200, False)


def test_by_policy_old_features_are_answered_and_marked(served_copy, api_on):
    with_contract(
        served_copy, policy={**DECLARED["policy"], "serving": {"stale_features": "answer"}}
    )
    make_stale(served_copy)
    api = api_on(served_copy)
    found = api.post("/predict", {"member": KEY}).json()
    assert (found["stale"], found["features_as_of"]) == (True, "2024-01-30")
    [row] = api.post("/predict/batch", {"keys": [KEY]}).json()["results"]
    assert row["stale"] is True
    assert "churn_stale_answers_total 2.0" in api.get("/metrics").text


def test_a_batch_answers_each_in_order_with_its_own_error(api):
    keys = ["m00003", "nobody", KEY, "m00003"]
    found = api.post("/predict/batch", {"keys": keys}).json()
    assert [row["member"] for row in found["results"]] == keys
    assert (found["answered"], found["failed"]) == (3, 1)
    assert found["results"][1]["error"]["code"] == "unknown_customer"
    single = api.post("/predict", {"member": KEY}).json()
    assert {name: single[name] for name in found["results"][2]} == found["results"][2]
    nobody = api.post("/predict/batch", {"keys": ["x", "y"]}).json()
    assert (nobody["answered"], nobody["failed"]) == (0, 2)


def test_a_batch_gives_reasons_only_when_asked(api):
    plain, why = (
        api.post("/predict/batch", {"keys": [KEY, "x"], "reasons": r}).json()["results"]
        for r in (False, True)
    )
    assert "reasons" not in plain[0]
    assert why[0]["reasons"] == api.post("/predict", {"member": KEY}).json()["reasons"]
    assert list(why[1]) == ["member", "error"]


def test_a_model_that_stands_down_says_so_in_every_answer(served_copy, api_on, monkeypatch):
    monkeypatch.setattr(score_history, "LOOK_SECONDS", 0.0)
    stands_down(served_copy, "Version 2 is no better than chance.")
    api = api_on(served_copy)
    for found in (
        api.post("/predict", {"member": KEY}),
        api.post("/predict/batch", {"keys": [KEY]}),
    ):
        assert found.json()["model"]["stand_down_reason"] == "Version 2 is no better than chance."
        assert found.json()["model"]["stand_down"] is True
    assert "churn_stand_down 1.0" in api.get("/metrics").text


def test_what_another_version_was_said_of_does_not_bind_a_new_one(served_copy, api_on):
    stands_down(served_copy, "Version 2 is worthless.")
    point(served_copy, 3)
    found = api_on(served_copy).post("/predict", {"member": KEY}).json()
    assert found["model"]["version"] == 3
    assert (found["model"]["stand_down"], found["decile"]) == (False, None)


def test_without_a_model_nothing_is_answered(served_copy, api_on, is_refused):
    served_copy.releases.pointer_file.unlink()
    api = api_on(served_copy)
    response = api.post("/predict", {"member": KEY})
    is_refused(response, 503, "no_model")
    assert response.headers["retry-after"] == "5"
    for path in ("/readyz", "/model"):
        is_refused(api.get(path), 503, "no_model")
    assert api.get("/livez").status_code == 200


def test_without_the_online_store_nothing_is_answered_until_it_is_back(
    served_copy, api_on, is_refused
):
    store = served_copy.folder / "feast" / "online_store.db"
    away = store.rename(store.with_name("away.db"))
    api = api_on(served_copy)
    response = api.post("/predict", {"member": KEY})
    is_refused(response, 503, "store_down")
    assert response.headers["retry-after"] == "5"
    is_refused(api.post("/predict/batch", {"keys": [KEY]}), 503, "store_down")
    is_refused(api.get("/readyz"), 503, "store_down")
    away.rename(store)
    assert api.get("/readyz").status_code == 200
    assert api.post("/predict", {"member": KEY}).status_code == 200


def test_every_answer_goes_to_the_prediction_log(served_copy, api_on):
    import pyarrow.dataset as ds

    api = api_on(served_copy)
    single = api.post("/predict", {"member": KEY, "features": {"months": 1}}).json()
    api.post("/predict/batch", {"keys": ["m00002", "nobody", "m00003"]})
    assert not (served_copy.folder / "predictions").exists()
    api.server.stop()
    rows = ds.dataset(served_copy.folder / "predictions", format="parquet").to_table().to_pylist()
    assert [(row["member"], row["what_if"]) for row in rows] == [
        (KEY, True),
        ("m00002", False),
        ("m00003", False),
    ]
    assert rows[0]["probability"] == single["probability"]


def test_without_the_rows_of_the_scored_month_no_answer_claims_to_know_who_has_left(
    served_copy, api_on
):
    served_copy.records.path("scores", JANUARY, ".parquet").unlink()
    api_now = api_on(served_copy)
    one = api_now.post("/predict", {"member": KEY}).json()
    [many] = api_now.post("/predict/batch", {"keys": [KEY]}).json()["results"]
    for found in (one, many):
        assert (found["already_left"], found["decile"]) == (None, None)
    assert api_now.get("/customers/at-risk").json()["already_left"] == 500
    assert api_now.get("/model").json()["costs_given"] is False
