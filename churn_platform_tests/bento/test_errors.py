"""The envelope."""

import json

import pytest

from bento.errors import Refusal, answer


def test_a_refusal_is_one_envelope_with_what_it_carries_besides():
    refusal = Refusal(
        409,
        "stale_features",
        "Too old.",
        "Wait.",
        headers={"Retry-After": "5"},
        missing_features=["a"],
    )
    response = refusal.response("id-1")
    assert (response.status_code, response.headers["retry-after"]) == (409, "5")
    assert response.headers["content-type"] == "application/json"
    assert json.loads(response.body) == {
        "error": {
            "code": "stale_features", "message": "Too old.", "hint": "Wait.", "missing_features": ["a"], "request_id": "id-1",
        }
    }  # fmt: skip
    assert str(refusal) == "Too old."


def test_an_answer_is_json_and_keeps_every_bit_of_a_probability():
    response = answer({"p": 0.1 + 0.2, "name": "ü", "none": None})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert json.loads(response.body) == {
        "p": pytest.approx(0.30000000000000004, abs=0),
        "name": "ü",
        "none": None,
    }
