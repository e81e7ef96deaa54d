"""The routes other than predictions: the list, a customer, the model, health, metrics, the page."""

import shutil
import sqlite3

import pytest

from bento.app import PAGE
from churn_platform_tests.api_client import with_contract
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import DECLARED, JANUARY


def test_the_at_risk_list_is_paged(served, api):
    found = api.get("/customers/at-risk?top=3&offset=2").json()
    everyone = api.get("/customers/at-risk?top=1000").json()
    assert (found["as_of"], found["version"], found["stand_down"]) == (
        JANUARY.isoformat(),
        2,
        False,
    )
    assert (found["customers_scored"], found["listed"], found["offset"]) == (1500, 20, 2)
    assert found["already_left"] == 500
    assert "2024-01-31" in found["list_note"]
    scores = served.records.frame("scores", JANUARY)
    left = set(scores.loc[scores["already_left"], "member"])
    assert not left & {customer["member"] for customer in everyone["customers"]}
    assert [customer["rank"] for customer in found["customers"]] == [3, 4, 5]
    assert found["customers"] == everyone["customers"][2:5]
    assert len(everyone["customers"]) == 20
    assert api.get("/customers/at-risk?offset=20").json()["customers"] == []
    assert len(api.get("/customers/at-risk").json()["customers"]) == 20


@pytest.mark.parametrize(
    "query",
    ["top=0", "top=1001", "top=x", "offset=-1", "top=", "more=1", "offset=99999999999999999999"],
)
def test_a_wrong_parameter_is_422(api, is_refused, query):
    is_refused(api.get(f"/customers/at-risk?{query}"), 422, "malformed")


def test_a_customer_is_shown_as_it_is_now_and_was_scored(served, api):
    found, now = (
        api.get("/customers/m00001").json(),
        api.post("/predict", {"member": "m00001"}).json(),
    )
    assert {**found["current"], "request_id": ""} == {**now, "request_id": ""}
    [month] = found["history"]
    assert (month["as_of"], month["version"]) == (JANUARY.isoformat(), 2)
    assert month["probability"] == pytest.approx(now["probability"], abs=1e-12)
    assert found["no_current"] is None


def test_a_customer_who_left_the_online_store_has_a_history_only(served_copy, api_on, is_refused):
    with sqlite3.connect(served_copy.folder / "feast" / "online_store.db") as database:
        for view in ("members_fv", "visits_fv"):
            database.execute(f"DELETE FROM gym_{view}")
    database.close()
    api = api_on(served_copy)
    found = api.get("/customers/m00001").json()
    assert found["current"] is None
    assert found["no_current"]["code"] == "unknown_customer"
    assert len(found["history"]) == 1
    is_refused(api.get("/customers/nobody"), 404, "unknown_customer")


def test_a_key_may_hold_a_slash_and_must_not_be_too_long(api, is_refused):
    assert (
        "'a/b c'" in is_refused(api.get("/customers/a%2Fb%20c"), 404, "unknown_customer")["message"]
    )
    is_refused(api.get(f"/customers/{'x' * 257}"), 422, "malformed")


def test_the_model_says_what_it_is_since_when_and_by_which_receipt(served, api):
    found, manifest = api.get("/model").json(), served.releases.manifest(2)
    assert (found["version"], found["previous_version"], found["algorithm"]) == (2, 1, "lightgbm")
    assert (found["since"], found["training_as_of"]) == ("2024-02-01T00:00:00+00:00", "2024-01-31")
    assert (found["threshold"], found["metrics"]) == (manifest.threshold, manifest.metrics)
    assert (found["refused_release"], found["receipt"]) == (
        None,
        None,
    )  # version 2 was not promoted by the loop


def test_the_model_says_which_candidate_waits_for_an_approval_and_who_overrode_its_own_decision(
    february_pending_copy, api_on
):
    home = february_pending_copy
    (request,) = home.ledger.receipts("approval requested")
    found = api_on(home).get("/model").json()
    assert found["pending"] == {
        "version": 2,
        "since": request.time,
        "lapses": request.evidence["until"],
    }
    assert found["overridden"] is None
    evidence = {"request": request.digest, "override": True}
    approval = record_act(
        home.ledger,
        actor="Ann",
        act="approval",
        subject="version 1",
        reason="Now.",
        evidence=evidence,
    )
    found = api_on(home).get("/model").json()
    assert found["pending"] is None
    assert found["overridden"] == {"by": "Ann", "reason": "Now.", "at": approval.time}


def test_a_request_whose_time_is_over_waits_no_more_even_before_its_lapse_is_recorded(
    february_pending_copy, api_on
):
    home = february_pending_copy
    (request,) = home.ledger.receipts("approval requested")
    over = {**request.evidence, "until": "2024-03-01T00:00:00+00:00"}
    record_act(
        home.ledger,
        actor="tester",
        act="approval requested",
        subject="version 2",
        before="version 1",
        reason="r",
        evidence=over,
    )
    assert api_on(home).get("/model").json()["pending"] is None


def test_the_receipt_is_that_of_the_promotion_and_missing_where_the_ledger_is_away(
    january_copy, api_on
):
    api = api_on(january_copy)
    [receipt] = january_copy.ledger.receipts("promotion done")
    assert api.get("/model").json()["receipt"] == {
        name: getattr(receipt, name)
        for name in ("sequence", "time", "act", "actor", "reason", "digest")
    }
    (january_copy.folder / "ledger" / "receipts.jsonl").write_text("broken\n" * 3)
    assert api.get("/model").json()["receipt"] is None


def test_health_says_the_process_lives_and_readiness_with_what_it_answers(api):
    for path in ("/health", "/livez"):
        assert api.get(path).json()["status"] == "alive"
    ready = api.get("/readyz").json()
    assert (ready["status"], ready["version"], ready["features_as_of"]) == (
        "ready",
        2,
        "2024-01-31",
    )
    assert api.request("HEAD", "/readyz").status_code == 200


def published(home, month):
    """A newer month in the lake, whose features have yet to reach the online store."""
    snapshots = home.folder / "lake" / "snapshots"
    shutil.copyfile(snapshots / "2024-01-31.json", snapshots / f"{month}.json")


def test_readiness_follows_the_newest_month_and_the_policy(served_copy, api_on, is_refused):
    def answer(name):
        ready = api_on(served_copy).get("/readyz")
        return ready if ready.status_code != 200 else ready.json()[name]

    assert (answer("published_as_of"), answer("stale")) == ("2024-01-31", False)
    published(served_copy, "2024-02-29")
    message = is_refused(answer("stale"), 503, "features_behind")["message"]
    assert "2024-01-31" in message
    assert "2024-02-29" in message
    policy = {**DECLARED["policy"], "serving": {"stale_features": "answer"}}
    with_contract(served_copy, policy=policy)
    shown = [answer(name) for name in ("status", "features_as_of", "published_as_of", "stale")]
    assert shown == ["ready", "2024-01-31", "2024-02-29", True]


def test_it_is_not_ready_while_the_online_store_has_rows_of_an_older_month_only(
    served_copy, api_on, is_refused
):
    """As a store on a server that was put back from an older backup than the home."""
    with sqlite3.connect(served_copy.folder / "feast" / "online_store.db") as database:
        for view in served_copy.contract.feature_views:
            database.execute(f"UPDATE gym_{view} SET event_ts = event_ts - 2678400")
    database.close()
    is_refused(api_on(served_copy).get("/readyz"), 503, "features_behind")


def test_a_parameter_that_comes_twice_is_422(api, is_refused):
    assert (
        "'top'"
        in is_refused(api.get("/customers/at-risk?top=1&top=2"), 422, "malformed")["message"]
    )


def test_the_metrics_have_units_and_bounded_labels(served, api_on):
    api = api_on(served)
    tenth = f"{int(api.post('/predict', {'member': 'm00001'}).json()['probability'] * 10) / 10:.1f}"
    api.post("/predict", {"member": "nobody"})
    text = api.get("/metrics").text
    for line in (
        'churn_requests_total{route="/predict",status="200"} 1.0',
        'churn_requests_total{route="/predict",status="404"} 1.0',
        'churn_request_seconds_count{route="/predict"} 2.0',
        'churn_probabilities_total{from="' + tenth + '"} 1.0', "churn_model_version 2.0", "churn_stand_down 0.0", "churn_refused_releases_total 0.0",
        "churn_log_dropped_total 0.0", "churn_log_queue 1.0", "churn_stale_answers_total 0.0",
    ):  # fmt: skip
        assert line in text.splitlines()
    ages = {
        name: float(value)
        for name, value in (
            line.split(" ")
            for line in text.splitlines()
            if "_age_seconds " in line and line[0] != "#"
        )
    }
    assert set(ages) == {"churn_model_age_seconds", "churn_features_age_seconds"}
    assert all(age > 3e7 for age in ages.values())


def test_the_metrics_answer_without_a_model_and_without_a_store(served_copy, api_on):
    served_copy.releases.pointer_file.unlink()
    (served_copy.folder / "feast" / "online.json").unlink()
    assert api_on(served_copy).get("/metrics").status_code == 200


def test_the_page_is_ours_with_a_strict_policy_and_asks_nobody_else(api):
    response = api.get("/")
    assert (response.status_code, response.headers["content-type"]) == (
        200,
        "text/html; charset=utf-8",
    )
    policy = dict(
        part.split(" ", 1) for part in response.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "http" not in response.text.replace("http-equiv", "")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert api.get("/page/index.html").content == response.content


@pytest.mark.parametrize(
    "name",
    ["../service.py", "..%2Fservice.py", "%2e%2e/service.py", "no.html", "/etc/passwd", "a/b"],
)
def test_no_other_file_is_given_out(api, is_refused, name):
    assert is_refused(api.get(f"/page/{name}"), 404, "unknown_path")
    assert (PAGE / "index.html").exists()
