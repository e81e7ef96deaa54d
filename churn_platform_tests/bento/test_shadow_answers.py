"""Shadows in the API: every answer is scored after the response and logged, and no answer changes."""

import hashlib
import json

import pyarrow.dataset as ds
import pytest
from pydantic_core import to_json

from churn_platform.experiments.files import RUNNING_FILE
from churn_platform.monitoring.prediction_log import files
from churn_platform.promotion.promotions import released
from churn_platform.serving import shadow_scoring
from churn_platform_tests.api_client import FEWER, boosted, point, publish, with_contract
from churn_platform_tests.bento.test_canary_answers import batch
from churn_platform_tests.bento.test_server import baked
from churn_platform_tests.small_business import DECLARED
from churn_platform_tests.trying import KEYS, SINCE, Counting, arms, canary_of, run

RULE = "60 - months"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(shadow_scoring, "PAUSE_SECONDS", 0.002)


@pytest.fixture
def api_on(api_on):
    """Opens the API on a home; it looks for changes only when a test asks it to."""

    def on(home, **options):
        api = api_on(home, **options)
        api.server.watch.stop()
        return api

    return on


def logged(api, name="shadows", folder=None):
    """The rows of a log, after the server has ended."""
    api.server.stop()
    folder = folder or api.server._home
    return ds.dataset(folder / name, format="parquet").to_table().to_pylist()


def test_every_answer_is_scored_by_every_shadow_and_logged_with_what_was_served(
    served_copy, api_on
):
    run(served_copy, shadows=[3, RULE])
    before = batch(api_on(served_copy))
    run(served_copy)
    plain = api_on(served_copy)
    assert batch(plain) == before
    run(served_copy, shadows=[3, RULE])
    api = api_on(served_copy)
    answer = api.post("/predict", {"member": KEYS[1]}).json()
    what_if = api.post("/predict", {"member": KEYS[2], "features": {"months": 3}}).json()
    api.server.stop()
    [*_, log] = files(served_copy.folder / "shadows")
    rows = ds.dataset(log, format="parquet").to_table().to_pylist()
    predictions = {row["time"]: row for row in logged(api, "predictions")}
    assert len(rows) == 4
    model = released(served_copy.releases, 3).model
    import pandas as pd

    for row in rows:
        served = predictions[row["time"]]
        for name in ("member", "features_as_of", "features", "what_if", "stale"):
            assert row[name] == served[name]
        assert row["served_version"] == served["version"] == 2
        said = what_if if row["what_if"] else answer
        values = said["features_used"]
        assert row["features"] == hashlib.sha256(to_json(values)).hexdigest()
        if row["shadow"] == RULE:
            assert row["score"] == 60 - values["months"]
        else:
            assert row["score"] == pytest.approx(model.probability(pd.DataFrame([values]))[0])
    assert {row["shadow"] for row in rows} == {"version 3", RULE}
    assert list(rows[0]) == [
        "time", "member", "shadow", "served_version", "features_as_of", "score", "features",
        "what_if", "stale",
    ]  # fmt: skip


def test_the_canarys_version_scores_both_arms_for_its_guard(served_copy, api_on):
    canary = canary_of(served_copy)
    api = api_on(served_copy)
    guard = Counting()
    api.server.experiments._make_guard = lambda *_: guard
    run(served_copy, canary)
    api.server.watch.poll()
    answers = batch(api)
    api.server.experiments._shadows.stop()
    inside = {key for key, arm in arms(canary).items() if arm == "canary"}
    assert {key: arm for key, (arm, _) in guard.scored.items()} == arms(canary)
    rows = logged(api)
    assert {row["member"] for row in rows} == set(KEYS)
    assert {row["shadow"] for row in rows} == {"version 3"}
    own = {row["member"]: row["probability"] for row in answers if row["version"] == 3}
    by_shadow = {row["member"]: row["score"] for row in rows}
    assert own == {key: by_shadow[key] for key in inside}
    assert {key: score for key, (_, score) in guard.scored.items()} == by_shadow


def test_a_shadow_with_other_features_reads_them(served_copy, api_on):
    changed = with_contract(served_copy, feature_views=FEWER)
    publish(changed, 4, boosted(changed))
    home = with_contract(changed, feature_views=DECLARED["feature_views"])
    expected = {row["member"]: row["probability"] for row in batch(api_on(home))}
    point(home, 4)
    run(home, shadows=[2, "hours"])
    api = api_on(home)
    batch(api)
    rows = logged(api)
    assert {row["member"]: row["score"] for row in rows if row["shadow"] == "version 2"} == expected
    assert len(rows) == 2 * len(KEYS)


def test_the_model_shows_the_shadows_and_why_one_is_off(served_copy, api_on, capsys):
    run(served_copy, shadows=[3, RULE])
    (served_copy.releases.folder / "3" / "booster.txt").write_bytes(b"changed")
    api = api_on(served_copy)
    shown = api.get("/model").json()["shadows"]
    assert [(one["name"], one["since"]) for one in shown] == [("version 3", SINCE), (RULE, SINCE)]
    assert "booster.txt" in shown[0]["off"]
    assert shown[1]["off"] is None
    for _ in range(2):
        api.server.experiments._retry_at = 0.0
        api.server.watch.poll()
    batch(api)
    assert {row["shadow"] for row in logged(api)} == {RULE}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "event" in line]
    assert [line["shadow"] for line in lines if line["event"] == "shadow off"] == ["version 3"]


def test_failures_and_drops_are_counted(served_copy, api_on):
    run(served_copy, shadows=[3])
    api = api_on(served_copy)
    [thread] = api.server.experiments.followed.shadows
    thread._scorer.score = lambda rows: [float("nan")] * len(rows)
    batch(api)
    api.server.experiments.stop()
    (served_copy.folder / "shadows").write_text("a file where the folder should be")
    text = api.get("/metrics").text
    assert "churn_shadow_failures_total 400.0" in text
    assert "churn_shadow_dropped_total 0.0" in text


def test_a_shadow_log_that_cannot_be_written_costs_no_answer_and_is_counted(
    served_copy, api_on, capsys
):
    (served_copy.folder / "shadows").write_text("a file where the folder should be")
    run(served_copy, shadows=[3])
    api = api_on(served_copy)
    before = batch(api)
    api.server.experiments._shadows.stop()
    api.server.logs.shadows._empty()
    api.server.logs.scored("member", [])
    assert "churn_shadow_dropped_total 400.0" in api.get("/metrics").text
    assert batch(api) == before
    assert "400 log entries were dropped" in capsys.readouterr().err


def test_a_bento_follows_no_experiment(served_copy, api_on):
    run(served_copy, canary_of(served_copy), [3])
    baked(served_copy)
    api = api_on(served_copy)
    assert {row["arm"] for row in batch(api)} == {"production"}
    api.server.stop()
    assert not (served_copy.folder / "shadows").exists()
    assert (served_copy.releases.folder / RUNNING_FILE).exists()


def test_another_folder_for_predictions_has_the_shadows_too(served_copy, api_on, tmp_path):
    run(served_copy, shadows=[RULE])
    api = api_on(served_copy, prediction_log=tmp_path / "log")
    batch(api, KEYS[:3])
    assert len(logged(api, folder=tmp_path / "log")) == 3
    assert not (served_copy.folder / "shadows").exists()
