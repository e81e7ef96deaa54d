"""Shared by the tests of the API: a client on a home that is only read."""

import asyncio

import pytest

from churn_platform_tests.api_client import client, running


class Api:
    """Requests to the API in this process, one after the other."""

    def __init__(self, server):
        self.server = server

    def request(self, method, path, address="127.0.0.1", **more):
        async def once():
            async with client(self.server, address) as made:
                return await made.request(method, path, **more)

        return asyncio.run(once())

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, json=None, **more):
        return self.request("POST", path, json=json, **more)


@pytest.fixture(scope="session")
def api(served):
    """The API on the gym with version 2 in production. Read only."""
    with running(served) as made:
        yield Api(made)


@pytest.fixture
def api_on():
    """Opens the API on a home, with settings."""
    opened = []

    def on(home, **settings):
        context = running(home, **settings)
        opened.append(context)
        return Api(context.__enter__())

    yield on
    for context in opened:
        context.__exit__(None, None, None)


def refused(response, status, code):
    """A refusal is one envelope with a code, what, what to do, and the request's id."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert response.headers["x-content-type-options"] == "nosniff"
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["hint"]
    assert error["request_id"] == response.headers["x-request-id"]
    return error


@pytest.fixture(scope="session")
def is_refused():
    """Asserts that a response is a refusal of a status and code; its error."""
    return refused
