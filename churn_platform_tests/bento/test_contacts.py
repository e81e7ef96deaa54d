"""The API where the contract names contacts: it answers who to contact, and not why others are not."""

import asyncio

import jsonschema
import pytest

from churn_platform_tests.api_client import client, running
from churn_platform_tests.small_business import FEBRUARY


def asked(home, *paths):
    async def all_of_them(front):
        async with client(front) as made:
            return [await made.get(path) for path in paths]

    with running(home) as front:
        return [answer.json() for answer in asyncio.run(all_of_them(front))]


@pytest.fixture(scope="module")
def arms(planned):
    """One customer of each arm."""
    rows = planned.contact_plans.rows(FEBRUARY)
    return rows.groupby("arm")["member"].first().to_dict()


@pytest.fixture(scope="module")
def answers(planned, arms):
    paths = {arm: f"/customers/{key}" for arm, key in arms.items()}
    paths |= {"list": "/customers/at-risk?top=1000", "openapi": "/openapi.json"}
    return dict(zip(paths, asked(planned, *paths.values()), strict=True))


def test_the_list_is_the_plans(planned, answers):
    rows = planned.contact_plans.rows(FEBRUARY)
    listed = rows[rows["arm"].isin(["contact", "explore"])]
    found = answers["list"]
    assert [one["member"] for one in found["customers"]] == listed["member"].tolist()
    assert [one["rank"] for one in found["customers"]] == list(range(1, len(listed) + 1))
    assert (found["listed"], found["to_contact"], found["list_note"]) == (len(listed), True, None)
    assert all(one["reasons"] for one in found["customers"])


def test_a_customer_is_to_be_contacted_or_not(answers):
    found = {
        arm: answers[arm]["to_contact"] for arm in ("contact", "explore", "untouched", "below")
    }
    assert found == {"contact": True, "explore": True, "untouched": False, "below": False}


def test_an_untouched_customer_looks_like_one_below_the_cut(answers):
    untouched, below = shape(answers["untouched"]), shape(answers["below"])
    assert untouched == below
    text = str([answer for name, answer in answers.items() if name != "openapi"])
    for word in ("untouched", "explore", "assignment", "stratum"):
        assert word not in text
    arms = {answers[name]["current"]["arm"] for name in ("untouched", "below", "contact")}
    assert arms == {"production"}  # of a canary, not of the plan


def shape(answer):
    if isinstance(answer, dict):
        own = {"contributions", "features_used"}  # a feature may be missing
        return {name: shape(part) for name, part in answer.items() if name not in own}
    if isinstance(answer, list):
        return [shape(part) for part in answer]
    return type(answer).__name__


def test_the_document_describes_the_added_fields(answers):
    described = answers["openapi"]
    for path, name in (("/customers/{key}", "untouched"), ("/customers/at-risk", "list")):
        answered = described["paths"][path]["get"]["responses"]["200"]
        schema = answered["content"]["application/json"]["schema"]
        resolvable = {"components": described["components"], **schema}
        jsonschema.Draft202012Validator(resolvable).validate(answers[name])
    assert "to_contact" in described["components"]["schemas"]["Customer"]["required"]


def test_before_the_plan_the_list_is_empty_and_says_why(planned_copy, arms):
    path = planned_copy.reports / FEBRUARY.isoformat() / "contact_list.parquet"
    path.unlink()
    record = planned_copy.contact_plans.record(FEBRUARY)
    waits = record.model_copy(update={"digest": None, "note": "A retraining is requested."})
    planned_copy.records.write("contact_plan", FEBRUARY, waits.as_json())
    listed, customer = asked(planned_copy, "/customers/at-risk", f"/customers/{arms['contact']}")
    assert (listed["customers"], listed["listed"]) == ([], 0)
    assert listed["list_note"] == "A retraining is requested."
    assert customer["to_contact"] is None


def test_the_model_shows_corrected_and_naive_figures_value_and_campaign(worked):
    [model, document] = asked(worked, "/model", "/openapi.json")
    newest = worked.performance_history.all()[-1]
    realised = model["realised"]
    assert (realised["as_of"], realised["auc"]) == ("2024-02-29", newest.metrics.auc)
    assert realised["naive_auc"] == newest.contacts.naive_auc
    assert (realised["assigned"], realised["untouched"], realised["outside"]) == (400, 144, 0)
    value = worked.decisions.newest().contact_value
    assert model["contact_value"]["value"] == value.candidate.value
    assert model["contact_value"]["save_rate_measured"] is False
    record = worked.campaigns.newest()
    assert (model["campaign"]["state"], model["campaign"]["sentence"]) == ("shown", record.sentence)
    assert model["campaign"]["saved"] == record.effect.saved.value
    schema = {"$ref": "#/components/schemas/ModelWithContacts", **document}
    jsonschema.validate(model, schema)


def test_the_model_without_contacts_has_no_such_field(january):
    [model, document] = asked(january, "/model", "/openapi.json")
    assert not {"realised", "contact_value", "campaign"} & set(model)
    assert "ModelWithContacts" not in document["components"]["schemas"]
