"""Access and limits: what is refused, with which status, in one envelope."""

import asyncio
import contextlib
import hashlib
import json

import pytest

from bento import middleware
from churn_platform_tests.api_client import client

KEY, OTHER, FOR_METRICS = "a-key", "another-key", "metrics-key"
BODY = {"member": "m00001"}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def locked(served):
    """The API with two keys and one for the metrics."""
    from churn_platform_tests.api_client import running
    from churn_platform_tests.bento.conftest import Api

    keys = {"api_keys": f"{sha256(KEY)},{sha256(OTHER)}", "metrics_keys": sha256(FOR_METRICS)}
    with running(served, **keys) as made:
        yield Api(made)


# Paths and methods


@pytest.mark.parametrize(
    "path", ["/nope", "/predict/", "/PREDICT", "/customers", "/customers/", "/docs.json", "/schema.json",
             "/healthz", "/static_content/x.js", "/.env", "/page", "/page/"],
)  # fmt: skip
def test_an_unknown_path_is_404(api, is_refused, path):
    is_refused(api.get(path), 404, "unknown_path")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/predict", "POST"), ("DELETE", "/predict/batch", "POST"), ("POST", "/model", "GET, HEAD"),
     ("PUT", "/customers/m00001", "GET, HEAD"), ("OPTIONS", "/", "GET, HEAD")],
)  # fmt: skip
def test_another_method_is_405_and_says_which_is_allowed(api, is_refused, method, path, allowed):
    response = api.request(method, path)
    is_refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


def test_many_unknown_paths_leave_the_metrics_small(api):
    for number in range(300):
        api.get(f"/random-{number}")
        api.get(f"/customers/random-{number}")
    text = api.get("/metrics").text
    assert 'churn_requests_total{route="(none)",status="404"}' in text
    assert len(text) < 30_000
    assert "random" not in text


# Bodies


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/vnd.bentoml+pickle",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "",
    ],
)
def test_another_content_type_is_415(api, is_refused, kind):
    headers = {"content-type": kind} if kind else {}
    content = json.dumps(BODY).encode()
    is_refused(api.post("/predict", content=content, headers=headers), 415, "not_json")


def test_json_has_a_charset_but_no_encoding_and_a_length_that_is_a_number(api, is_refused):
    content = json.dumps(BODY).encode()
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert api.post("/predict", content=content, headers=kind).status_code == 200
    zipped = kind | {"content-encoding": "gzip"}
    is_refused(api.post("/predict", content=content, headers=zipped), 415, "not_json")
    negative = kind | {"content-length": "-1"}
    is_refused(api.post("/predict", content=content, headers=negative), 413, "too_long")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_long_is_413_before_it_is_read_whole(api, is_refused, declared):
    read = []

    async def parts():
        for _ in range(100):
            read.append(1)
            yield b" " * 100_000

    length = {"content-length": "10000000"} if declared else {}
    headers = {"content-type": "application/json", **length}
    response = api.post("/predict", content=parts(), headers=headers)
    is_refused(response, 413, "too_long")
    assert response.headers["connection"] == "close"
    assert len(read) <= (1 if declared else 12)


def test_a_body_that_does_not_come_is_408(api, is_refused, monkeypatch):
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.05)

    async def never():
        yield b"{"
        await asyncio.sleep(30)

    is_refused(
        api.post("/predict", content=never(), headers={"content-type": "application/json"}),
        408,
        "too_slow",
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"7", b'"m00001"', b"{}", b'{"member": null}', b'{"member": 1}', b'{"member": ""}',
     b'{"member": ["m00001"]}', b'{"member": "m00001", "more": 1}', b'{"member": "m00001", "reasons": "yes"}',
     b'{"member": "m00001", "features": {"hours": NaN}}', b'{"member": "m00001", "features": {"hours": Infinity}}',
     b'{"member": "m00001", "features": {"hours": -1}}', b'{"member": "m00001", "features": {"months": 2.5}}',
     b'{"member": "m00001", "features": {"months": null}}', b'{"member": "m00001", "features": {"plan": "gold"}}',
     b'{"member": "m00001", "features": {"has_app": 1}}', b'{"member": "m00001", "features": {"town": "north"}}',
     b'{"member": "m00001", "features": []}', b'{"member": "\\ud800"}', b"\xff\xfe", b'{"member": "' + b"x" * 900_000 + b'"}',
     b"[" * 400_000, b'{"member":' * 90_000],
)  # fmt: skip
def test_a_malformed_request_is_422_with_its_first_fault_and_not_its_whole_body(
    api, is_refused, body
):
    response = api.post("/predict", content=body, headers={"content-type": "application/json"})
    is_refused(response, 422, "malformed")
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"member": "m1", "member": "m2"}', "member"),
        (b'{"member": "m1", "features": {"months": 1, "m\\u006fnths": 2}}', "months"),
        (b'{"member": "m1", "features": {"months": 1}, "features": {}}', "features"),
        (b'{"reasons": true, "member": "a:b", "reasons": true}', "reasons"),
    ],
)
def test_a_field_that_is_given_twice_is_refused_and_named(api, is_refused, body, name):
    response = api.post("/predict", content=body, headers={"content-type": "application/json"})
    assert repr(name) in is_refused(response, 422, "malformed")["message"]


@pytest.mark.parametrize("digits", [20, 400, 4300, 5000])
def test_a_number_that_no_model_can_read_is_refused(api, is_refused, digits):
    for feature in ("months", "hours"):
        body = f'{{"member": "m1", "features": {{"{feature}": -{"9" * digits}}}}}'.encode()
        response = api.post("/predict", content=body, headers={"content-type": "application/json"})
        is_refused(response, 422, "malformed")


@pytest.mark.parametrize("keys", [[], ["x"] * 1001, "m00001", [1], None])
def test_a_batch_has_1_to_1000_keys(api, is_refused, keys):
    is_refused(api.post("/predict/batch", {"keys": keys}), 422, "malformed")
    assert api.post("/predict/batch", {"keys": ["m00001"] * 1000}).json()["answered"] == 1000


# Who may ask


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "10.0.0.1", "[::2]:80"]
)
def test_a_foreign_host_name_is_refused_except_for_health(api, is_refused, host):
    is_refused(api.get("/model", headers={"host": host}), 400, "wrong_host")
    is_refused(api.get("/", headers={"host": host}), 400, "wrong_host")
    assert api.get("/livez", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:3002", "127.0.0.1:9", "[::1]:3002", "[::1]"]
)
def test_our_own_names_are_answered(api, host):
    assert api.get("/model", headers={"host": host}).status_code == 200


def test_a_name_of_the_settings_is_ours_too(served, api_on, is_refused):
    api = api_on(served, api_hosts="churn.example, other.example", api_keys=sha256(KEY))
    for name in ("churn.example", "other.example:80"):
        assert api.get("/model", headers={"host": name, "x-api-key": KEY}).status_code == 200
    is_refused(
        api.get("/model", address="10.1.2.3", headers={"host": "evil.example", "x-api-key": KEY}),
        400,
        "wrong_host",
    )


def test_without_keys_only_the_loopback_is_answered(api, is_refused):
    is_refused(api.get("/model", address="10.1.2.3"), 403, "key_required")
    is_refused(
        api.get("/model", address="10.1.2.3", headers={"host": "localhost"}), 403, "key_required"
    )
    assert api.get("/readyz", address="10.1.2.3").status_code == 200


@pytest.mark.parametrize(
    "path", ["/model", "/customers/m00001", "/customers/at-risk", "/openapi.json"]
)
def test_each_key_opens_and_nothing_else_does(locked, is_refused, path):
    for key in (KEY, OTHER):
        assert locked.get(path, headers={"authorization": f"Bearer {key}"}).status_code == 200
        assert locked.get(path, headers={"x-api-key": key}).status_code == 200
    for headers in (
        {},
        {"x-api-key": "wrong"},
        {"authorization": f"Bearer {sha256(KEY)}"},
        {"x-api-key": FOR_METRICS},
    ):
        response = locked.get(path, headers=headers)
        is_refused(response, 401, "wrong_key")
        assert response.headers["www-authenticate"] == "Bearer"
        assert KEY not in response.text


def test_health_and_the_page_stay_open_and_the_metrics_have_their_own_key(locked, is_refused):
    for path in ("/health", "/livez", "/readyz", "/"):
        assert locked.get(path).status_code == 200
    assert locked.get("/metrics", headers={"x-api-key": FOR_METRICS}).status_code == 200
    is_refused(locked.get("/metrics", headers={"x-api-key": KEY}), 401, "wrong_key")


def test_without_a_key_of_their_own_the_metrics_ask_for_an_api_key(served, api_on, is_refused):
    api = api_on(served, api_keys=sha256(KEY))
    is_refused(api.get("/metrics"), 401, "wrong_key")
    assert api.get("/metrics", headers={"x-api-key": KEY}).status_code == 200


def test_a_key_is_refused_before_method_and_body_are_looked_at(locked, is_refused):
    is_refused(locked.request("DELETE", "/predict"), 401, "wrong_key")

    async def never():
        pytest.fail("the body was read")
        yield b""

    is_refused(
        locked.post("/predict", content=never(), headers={"content-type": "application/json"}),
        401,
        "wrong_key",
    )


# Ids, log, overload, faults


def test_a_request_keeps_a_decent_id_of_its_own_and_gets_one_else(api):
    assert (
        api.get("/model", headers={"x-request-id": "abc-1.2_3"}).json()["request_id"] == "abc-1.2_3"
    )
    for given in ("", "a b", "x" * 65, '"; drop'):
        found = api.get("/model", headers={"x-request-id": given}).headers["x-request-id"]
        assert len(found) == 16
        assert found != given


def test_each_request_is_one_line_of_the_log_without_its_features(served, api_on, capsys):
    api, mine = api_on(served), ("first", "second", "third")
    first, second, third = ({"x-request-id": one} for one in mine)
    api.post("/predict", {"member": "m00001", "features": {"months": 59}}, headers=first)
    api.post("/predict/batch", {"keys": ["m00001", "x"]}, headers=second)
    api.get("/nope?email=somebody@example.com", headers=third)
    api.server.stop()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    requests = [
        line for line in lines if line.get("request_id") in mine
    ]  # other servers of the session log as well
    assert [(r["method"], r["route"], r["status"]) for r in requests] == [
        ("POST", "/predict", 200), ("POST", "/predict/batch", 200), ("GET", "(none)", 404),
    ]  # fmt: skip
    assert (requests[0]["request_id"], requests[0]["key"], requests[0]["version"]) == (
        "first",
        "m00001",
        2,
    )
    assert (requests[1]["keys"], requests[1]["version"]) == (2, 2)
    assert "59" not in json.dumps(requests[0] | {"time": 0, "ms": 0})
    assert "example" not in json.dumps(requests[2])


def test_too_many_requests_in_flight_are_429_with_a_time_to_wait(api, is_refused, monkeypatch):
    monkeypatch.setattr(middleware, "MAX_IN_FLIGHT", 1)

    async def slow():
        yield b"{"
        await asyncio.sleep(0.5)
        yield b'"member": "m00001"}'

    async def both():
        headers = {"content-type": "application/json"}
        async with client(api.server) as one, client(api.server) as two:
            first = asyncio.create_task(one.post("/predict", content=slow(), headers=headers))
            await asyncio.sleep(0.1)
            return await two.get("/model"), await two.get("/livez"), await first

    second, health, first = asyncio.run(both())
    is_refused(second, 429, "overload")
    assert second.headers["retry-after"] == "1"
    assert (health.status_code, first.status_code) == (200, 200)
    assert api.get("/model").status_code == 200


def test_only_requests_in_flight_count_however_the_earlier_ones_ended(served, api_on, monkeypatch):
    api = api_on(served)
    monkeypatch.setattr(middleware, "MAX_IN_FLIGHT", 1)
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.05)
    json_type = {"content-type": "application/json"}

    async def never():
        yield b"{"
        await asyncio.sleep(1)

    async def given_up():
        async with client(api.server) as one:
            pending = asyncio.create_task(one.post("/predict", content=never(), headers=json_type))
            await asyncio.sleep(0.01)
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pending

    for _ in range(3):
        assert api.post("/predict", BODY).status_code == 200
        assert api.post("/predict", content=b"{", headers=json_type).status_code == 422
        assert api.post("/predict", content=never(), headers=json_type).status_code == 408
        assert api.get("/nowhere").status_code == 404
        asyncio.run(given_up())
    assert api.server.active.app.state.in_flight == 0
    assert api.get("/model").status_code == 200


def test_a_fault_of_ours_has_the_envelope_and_says_nothing_of_its_inside(
    served, api_on, is_refused, capsys, monkeypatch
):
    api = api_on(served)

    async def broken(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(api.server.active.backend.predictor, "predict", broken)
    response = api.post("/predict", BODY)
    is_refused(response, 500, "internal")
    assert "secret" not in response.text
    assert "RuntimeError: a secret" in capsys.readouterr().err
