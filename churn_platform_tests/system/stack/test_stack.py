"""The stack comes up, and a real month that is dropped in is served: without hands, behind logins, seen by Prometheus."""

import httpx
import pytest

from churn_platform_tests.real_months import JANUARY
from churn_platform_tests.system.stack.asking import (
    CUSTOMER,
    MINUTES,
    deliver,
    due,
    predict,
    promoted,
    runs,
    through_the_proxy,
    until_all_answer,
)
from churn_platform_tests.system.test_dashboards import expressions

pytestmark = pytest.mark.stack
OF_A_SECOND_MONTH = ("churn_realised_", "churn_drift_")


def test_a_real_month_that_is_dropped_in_is_in_production_without_hands(stack, opened):
    deliver(stack, JANUARY)
    took = stack.wait(
        "version 1 is in production",
        6 * MINUTES,
        lambda: promoted(opened(), 1, JANUARY),
        lambda: due(opened()),
    )
    stack.figures["seconds_to_production"] = round(took)
    assert opened().registry.alias("production") == 1
    assert sorted(runs(stack)) == [("monthly", "SUCCESS"), ("retraining", "SUCCESS")]
    assert not (stack.home / "mlflow.db").exists()
    assert list((stack.home / "dagster").glob("**/*.db")) == []
    assert any((stack.folder / "mlflow").rglob("model.skops"))


def test_the_api_answers_with_that_version_and_asks_for_a_key(stack):
    stack.wait("the API is ready", MINUTES, lambda: predict(stack).status_code == 200)
    answer = predict(stack).json()
    assert answer["model"]["version"] == 1
    assert 0 < answer["probability"] < 1
    url = f"http://127.0.0.1:{stack.port('api', 3002)}"
    assert httpx.post(f"{url}/predict", json={"user_id": CUSTOMER}).status_code == 401
    assert httpx.get(f"{url}/metrics").status_code == 401


def test_the_proxy_asks_for_a_login_before_what_has_none_and_leads_to_each_name(stack):
    assert through_the_proxy(stack, "dagster").status_code == 401
    login = ("churn", stack.proxy_password)
    assert "Dagster" in through_the_proxy(stack, "dagster", auth=login).text
    listed = through_the_proxy(stack, "dagster", "/reports/2024-01-31/at_risk.csv", auth=login)
    assert listed.text.startswith("user_id,probability")
    assert (
        through_the_proxy(stack, "mlflow", "/api/2.0/mlflow/experiments/search").status_code == 401
    )
    key = {"Authorization": f"Bearer {stack.api_key}"}
    assert through_the_proxy(stack, "api", "/model", headers=key).json()["version"] == 1
    assert through_the_proxy(stack, "api", "/metrics", headers=key).status_code == 404


def test_each_ui_takes_what_its_own_pages_send_and_nothing_from_another_page(stack):
    """The headers are those of a browser: its own address as Origin, and whether the page is the site's own."""
    path, login = (
        "/ajax-api/2.0/mlflow/experiments/search",
        ("churn", stack.values["MLFLOW_PASSWORD"]),
    )
    for origin, status in (
        ("https://mlflow.localhost:8443", 200),
        ("https://elsewhere.example", 403),
    ):
        asked = {
            "method": "POST",
            "json": {"max_results": 1},
            "headers": {"Origin": origin},
            "auth": login,
        }
        assert through_the_proxy(stack, "mlflow", path, **asked).status_code == status
    login = ("churn", stack.proxy_password)
    for site, status in (
        ("same-origin", 200),
        ("none", 200),
        ("same-site", 403),
        ("cross-site", 403),
    ):
        asked = {"headers": {"Sec-Fetch-Site": site}, "auth": login}
        assert (
            through_the_proxy(stack, "dagster", "/graphql?query={version}", **asked).status_code
            == status
        )


def test_every_expression_that_one_month_can_answer_returns_a_series(stack):
    wanted = {
        place: asked
        for place, asked in expressions().items()
        if not any(name in asked for name in OF_A_SECOND_MONTH)
    }
    until_all_answer(stack, wanted)
