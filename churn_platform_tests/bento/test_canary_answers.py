"""A canary in the API: who is answered by which version, and that its faults fail no request."""

import datetime as dt
import json
import math

import pyarrow.dataset as ds
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_platform.base.files import write_json
from churn_platform.experiments.files import RUNNING_FILE, STOPPED_FILE, CanaryStop
from churn_platform.experiments.state import Canary
from churn_platform_tests.api_client import FEWER, boosted, point, publish, with_contract
from churn_platform_tests.bento.test_openapi import check, schema_of
from churn_platform_tests.bento.test_predictions import make_stale, stands_down
from churn_platform_tests.small_business import DECLARED
from churn_platform_tests.trying import KEYS, SINCE, STEPS, Counting, arms, digest_of, run, start


def batch(api, keys=KEYS, **more):
    found = api.post("/predict/batch", {"keys": keys, **more})
    assert found.status_code == 200, found.text
    return found.json()["results"]


def answered(api, keys=KEYS):
    return {row["member"]: (row["arm"], row["version"]) for row in batch(api, keys)}


def look(api):
    api.server.watch.poll()
    return api.server.experiments.followed.canary


@pytest.fixture
def api_on(api_on):
    """Opens the API on a home; it looks for changes only when a test asks it to."""

    def on(home, **options):
        api = api_on(home, **options)
        api.server.watch.stop()
        return api

    return on


@pytest.fixture
def canary_on(api_on):
    """Opens the API on a home with a canary whose guard is a `Counting`."""

    def on(home, **options):
        api = api_on(home, **options)
        guard = Counting()
        api.server.experiments._make_guard = lambda *_: guard
        return api, guard

    return on


def test_without_a_canary_every_answer_is_productions_and_says_so(api):
    assert set(answered(api).values()) == {("production", 2)}
    one = api.post("/predict", {"member": KEYS[1]}).json()
    assert (one["version"], one["arm"]) == (2, "production")
    model = api.get("/model").json()
    assert (model["canary"], model["shadows"]) == (None, [])
    assert "churn_canary_share 0.0" in api.get("/metrics").text


def test_each_customer_is_answered_by_the_version_of_the_arm(served_copy, api_on):
    before = {row["member"]: row for row in batch(api_on(served_copy))}
    point(served_copy, 3)
    by_three = {row["member"]: row["probability"] for row in batch(api_on(served_copy))}
    point(served_copy, 2)
    canary = start(served_copy)
    api = api_on(served_copy)
    expected = {"production": 2, "canary": 3}
    rows = batch(api, reasons=True)
    assert [row["member"] for row in rows] == KEYS
    for row in rows:
        key = row["member"]
        assert (row["arm"], row["version"]) == (arms(canary)[key], expected[row["arm"]])
        own = before[key]["probability"] if row["arm"] == "production" else by_three[key]
        assert row["probability"] == own
    assert {row["arm"] for row in rows} == {"production", "canary"}
    for row in (rows[0], next(row for row in rows if row["arm"] != rows[0]["arm"])):
        one = api.post("/predict", {"member": row["member"]}).json()
        assert {name: one[name] for name in row} == row
        assert one["model"]["version"] == one["version"] == row["version"]
    assert api.post("/predict/batch", {"keys": KEYS}).json()["model"]["version"] == 2
    assert api.get("/customers/" + rows[0]["member"]).json()["current"]["arm"] == rows[0]["arm"]


def test_a_raise_moves_only_new_customers_and_its_start_and_end_need_one_look(served_copy, api_on):
    api = api_on(served_copy)
    inside = set()
    for step in (1, 2, 3):
        start(served_copy, step=step)
        assert look(api).canary.step == step
        now = {key for key, (arm, _) in answered(api).items() if arm == "canary"}
        assert inside < now
        inside = now
    shown = api.get("/model").json()["canary"]
    assert (shown["version"], shown["share"], shown["step"]) == (3, 0.5, 3)
    assert (shown["since"], shown["steps"]) == (SINCE, list(STEPS))
    text = api.get("/metrics").text
    assert "churn_canary_share 0.5" in text
    assert "churn_model_version 2.0" in text
    run(served_copy)
    assert look(api) is None
    assert set(answered(api).values()) == {("production", 2)}


@given(share=st.floats(0.001, 0.999), salt=st.text(min_size=1, max_size=8))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_arm_is_that_of_the_assignment_whatever_salt_and_share(served, api, share, salt):
    experiments = api.server.experiments
    canary = Canary(
        experiment="e", salt=salt, version=2, manifest="", production=2, production_manifest="",
        steps=(share,), every_seconds=1, step=1, since=SINCE, raised=SINCE,
    )  # fmt: skip
    from churn_platform.serving.experiment_watch import CanaryArm, Followed

    loaded = api.server.watch.current
    before = experiments.followed
    experiments.followed = Followed(canary=CanaryArm(canary, loaded, loaded, Counting()))
    try:
        found = answered(api, KEYS[:60])
    finally:
        experiments.followed = before
    assert {key: arm for key, (arm, _) in found.items()} == arms(canary, KEYS[:60])


@pytest.mark.parametrize(
    "changed",
    [
        {"manifest": "0" * 64},
        {"production_manifest": "0" * 64},
        {"production": 1},
    ],
)
def test_a_canary_that_is_pinned_to_other_releases_is_off_and_says_so_once(
    served_copy, api_on, changed, capsys
):
    start(served_copy, **changed)
    api = api_on(served_copy)
    assert set(answered(api).values()) == {("production", 2)}
    look(api)
    api.server.stop()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "event" in line]
    assert [line["version"] for line in lines if line["event"] == "canary off"] == [3]


@pytest.mark.parametrize("name", ["booster.txt", "manifest.json"])
def test_a_damaged_release_is_off_and_answers_again_when_it_was_restored(
    served_copy, api_on, name, monkeypatch
):
    start(served_copy)
    file = served_copy.releases.folder / "3" / name
    good = file.read_bytes()
    file.write_bytes(b"{}")
    api = api_on(served_copy)
    assert set(answered(api).values()) == {("production", 2)}
    file.write_bytes(good)
    api.server.experiments._retry_at = 0.0
    assert look(api).loaded.manifest.version == 3


def test_a_release_that_is_replaced_while_it_answers_is_off_at_the_next_look(served_copy, api_on):
    start(served_copy)
    api = api_on(served_copy)
    assert look(api) is not None
    (served_copy.releases.folder / "3" / "manifest.json").write_text("{}")
    assert look(api) is None


def test_a_file_that_cannot_be_read_means_no_canary(served_copy, api_on):
    start(served_copy)
    api = api_on(served_copy)
    (served_copy.releases.folder / RUNNING_FILE).write_text("{")
    assert look(api) is None
    assert set(answered(api).values()) == {("production", 2)}


def test_at_a_switch_of_production_no_answer_is_the_canarys(served_copy, api_on):
    """The look that would end the canary has not happened yet."""
    start(served_copy)
    api = api_on(served_copy)
    watch = api.server.watch
    followed = api.server.experiments.followed
    assert followed.canary is not None
    publish(served_copy, 4, boosted(served_copy, seed=9))
    watch._looked = lambda _: None
    point(served_copy, 4)
    watch.poll()
    assert api.server.experiments.followed is followed
    assert set(answered(api).values()) == {("production", 4)}


def test_a_canary_is_not_loaded_while_production_is_about_to_switch(served_copy, api_on):
    api = api_on(served_copy)
    publish(served_copy, 4, boosted(served_copy, seed=9))
    point(served_copy, 4, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60))
    api.server.watch.poll()
    start(served_copy)
    assert look(api) is None
    point(served_copy, 2)
    assert look(api) is not None


def test_a_stop_of_a_guardrail_reaches_the_next_request(served_copy, canary_on):
    api, guard = canary_on(served_copy)
    canary = start(served_copy)
    look(api)
    assert "canary" in dict(answered(api).values())
    guard.stopped = True
    assert set(answered(api).values()) == {("production", 2)}
    assert api.get("/model").json()["canary"] is None
    assert canary.share == 0.5


def test_a_server_that_starts_after_a_stop_answers_by_production(served_copy, api_on):
    canary = start(served_copy)
    stop = CanaryStop(
        experiment=canary.experiment, version=3, guardrail="errors", sentence="Too many.",
        figures={}, time=SINCE,
    )  # fmt: skip
    write_json(served_copy.releases.folder / STOPPED_FILE, stop.as_json())
    assert set(answered(api_on(served_copy)).values()) == {("production", 2)}


class Broken:
    """A canary's scorer that fails for some customers."""

    def __init__(self, scorer, fails):
        self.scorer = scorer
        self.features = scorer.features
        self.threshold = scorer.threshold
        self.categories = scorer.categories
        self.fails = fails

    def probability(self, rows):
        found = self.scorer.probability(rows)
        for number, row in enumerate(rows):
            if row["months"] % 2:
                if isinstance(self.fails, Exception):
                    raise self.fails
                found[number] = self.fails
        return found

    def contributions(self, rows):
        return self.scorer.contributions(rows)


def break_canary(api, fails):
    experiments = api.server.experiments
    arm = experiments.followed.canary
    object.__setattr__(arm.loaded, "scorer", Broken(arm.loaded.scorer, fails))


@pytest.mark.parametrize("fails", [ValueError("broken"), math.nan, 1.5, -0.1], ids=str)
def test_what_the_canary_fails_is_answered_by_production_and_counted(served_copy, canary_on, fails):
    before = {row["member"]: row["probability"] for row in batch(canary_on(served_copy)[0])}
    api, guard = canary_on(served_copy)
    canary = start(served_copy)
    look(api)
    months = {key: api.post("/predict", {"member": key}).json() for key in KEYS[:40]}
    months = {key: one["features_used"]["months"] for key, one in months.items()}
    break_canary(api, fails)
    guard.calls.clear()
    rows = batch(api, KEYS[:40])
    failed = {
        key for key, arm in arms(canary, KEYS[:40]).items() if arm == "canary" and months[key] % 2
    }
    assert 0 < len(failed) < 20
    for row in rows:
        key = row["member"]
        assert row["arm"] == arms(canary)[key]
        by_canary = row["arm"] == "canary" and key not in failed
        assert row["version"] == (3 if by_canary else 2)
        assert (row["probability"] == before[key]) is not by_canary
    counted = {
        call[2]
        for call in guard.calls
        if call[1] == "canary" and (call[0] == "failed" or not 0 <= call[4] <= 1)
    }
    assert counted == failed
    assert len(guard.calls) == 40
    for key in failed:
        one = api.post("/predict", {"member": key}).json()
        assert (one["arm"], one["version"], one["model"]["version"]) == ("canary", 2, 2)


def test_what_ifs_and_stale_answers_are_marked_and_the_guard_does_not_count_them(
    served_copy, canary_on
):
    with_contract(
        served_copy, policy={**DECLARED["policy"], "serving": {"stale_features": "answer"}}
    )
    canary = start(served_copy)
    [one, other] = [key for key, arm in arms(canary).items() if arm == "canary"][:2]
    make_stale(served_copy, other)
    api, guard = canary_on(served_copy)
    run(served_copy)
    look(api)
    start(served_copy)
    look(api)
    what_if = api.post("/predict", {"member": one, "features": {"months": 3}}).json()
    stale = api.post("/predict", {"member": other}).json()
    assert (what_if["version"], stale["version"], stale["stale"]) == (3, 3, True)
    assert guard.calls == []
    api.post("/predict", {"member": one})
    [(kind, arm, key, in_batch, _)] = guard.calls
    assert (kind, arm, key, in_batch) == ("answered", "canary", one, False)
    batch(api, [one])
    assert guard.calls[-1][3] is True
    api.server.stop()
    rows = ds.dataset(served_copy.folder / "predictions", format="parquet").to_table().to_pylist()
    assert [(row["version"], row["arm"]) for row in rows] == [(3, "canary")] * 4


@pytest.mark.parametrize("mine", [2, 4])
def test_each_version_reads_its_own_features(served_copy, api_on, mine):
    """Version 4 has two of the four features of version 2; either is the canary of the other."""
    changed = with_contract(served_copy, feature_views=FEWER)
    publish(changed, 4, boosted(changed))
    home = with_contract(changed, feature_views=DECLARED["feature_views"])
    expected = {}
    for version in (2, 4):
        point(home, version)
        expected[version] = {row["member"]: row["probability"] for row in batch(api_on(home))}
    other = 6 - mine
    point(home, other)
    canary = start(
        home, mine, production=other,
        production_manifest=digest_of(home, other),
    )  # fmt: skip
    api = api_on(home)
    rows = batch(api, reasons=True)
    for row in rows:
        version = mine if arms(canary)[row["member"]] == "canary" else other
        assert row["version"] == version
        assert row["probability"] == expected[version][row["member"]]
    key = next(key for key, arm in arms(canary).items() if arm == "canary")
    one = api.post("/predict", {"member": key}).json()
    own = ["months", "plan", "has_app", "hours"][: 4 if mine == 2 else 2]
    assert list(one["features_used"]) == list(one["contributions"]) == own
    what_if = api.post("/predict", {"member": key, "features": {"months": 1}}).json()
    assert what_if["features_used"]["months"] == 1
    described = api.get("/openapi.json").json()
    schema = schema_of(described, "post", "/predict", 200)
    for found in (one, what_if, api.post("/predict", {"member": rows[0]["member"]}).json()):
        check(described, schema, found)
    run(home)
    look(api)
    described = api.get("/openapi.json").json()
    features = described["components"]["schemas"]["FeaturesUsed"]["properties"]
    assert len(features) == (2 if mine == 2 else 4)


def test_the_decile_and_the_stand_down_are_those_of_the_answering_version(served_copy, api_on):
    canary = start(served_copy)
    stands_down(served_copy, "Version 2 is no better than chance.")
    api = api_on(served_copy)
    for wanted, stands in (("production", True), ("canary", False)):
        key = next(key for key, arm in arms(canary).items() if arm == wanted)
        one = api.post("/predict", {"member": key}).json()
        assert one["model"]["stand_down"] is stands
        assert (one["decile"] is None) is (wanted == "canary" or one["already_left"])


def test_answers_of_the_canary_are_counted(served_copy, api_on):
    canary = start(served_copy)
    api = api_on(served_copy)
    batch(api)
    inside = sum(arm == "canary" for arm in arms(canary).values())
    assert f"churn_canary_answers_total {inside}.0" in api.get("/metrics").text
