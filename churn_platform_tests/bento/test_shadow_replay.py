"""What the API logs of its shadows is what an offline replay from log and lake gives, bit for bit."""

from churn_platform.experiments.files import read_running
from churn_platform.serving import shadow_scoring
from churn_platform_tests.bento.test_canary_answers import batch
from churn_platform_tests.small_business import JANUARY, open_home
from churn_platform_tests.trying import KEYS, run

RULE = "coalesce(hours, 0) / months"


def test_the_model_shows_how_a_shadow_compares(served_copy, api_on):
    shadows = [
        {"name": RULE, "sentence": "As a shadow: better."},
        {"name": "other", "sentence": ""},
    ]
    served_copy.records.write("experiments", JANUARY, {"shadows": shadows})
    run(served_copy, shadows=[3, RULE])
    shown = {
        one["name"]: one["shows"] for one in api_on(served_copy).get("/model").json()["shadows"]
    }
    assert shown == {"version 3": None, RULE: "As a shadow: better."}


def test_logged_scores_are_replayed_and_what_ifs_are_left_out(served_copy, api_on, monkeypatch):
    monkeypatch.setattr(shadow_scoring, "PAUSE_SECONDS", 0.002)
    home = served_copy
    run(home, shadows=[3, RULE])
    api = api_on(home)
    batch(api)
    api.post("/predict", {"member": KEYS[0], "features": {"months": 3}})
    api.server.stop()
    home = open_home(home.folder)
    running = read_running(home.releases.folder).shadows
    monkeypatch.setattr(type(home.shadow_scoring), "shadows", running)
    replays = home.shadow_monitor.replays()
    assert [(one.shadow, one.as_of, one.answers) for one in replays] == [
        (RULE, JANUARY, len(KEYS)),
        ("version 3", JANUARY, len(KEYS)),
    ]
    assert [(one.differ, one.changed, one.why_not) for one in replays] == [(0, 0, None)] * 2
