"""What a contract may contain, what follows from it, and its faults."""

import copy
import datetime as dt

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from churn_platform.base.digests import hashed_values
from churn_platform.base.errors import ContractError
from churn_platform.contract.model import CADENCES, Contract, Costs, Span
from churn_platform.contract.policy import Policy
from churn_platform.contract.reading import read_contract

DATES = st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1))
SPANS = st.builds(
    Span, months=st.integers(0, 40), weeks=st.integers(0, 60), days=st.integers(0, 400)
)


def changed(declared, path, value):
    """The gym's contract with one value replaced; `path` is dotted."""
    whole = copy.deepcopy(declared)
    *parents, last = path.split(".")
    part = whole
    for name in parents:
        part = part[name]
    part[last] = value
    return whole


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tables.visits.columns.visits.values", ["1"], "values are for dtype category, not integer"),
        ("tables.plans.columns.tier.min", 1, "min and max are for dtype integer or float, not category"),
        ("tables.plans.columns.autopay.max", 1, "min and max are for dtype integer or float, not boolean"),
        ("tables.visits.columns.visits.max", -1, "min 0 is above max -1"),
        ("tables.plans.columns.tier.unit", "%", "unit is for dtype integer or float, not category"),
        ("tables.plans.columns.autopay.thousands", ",", "thousands is for dtype integer or float, not boolean"),
        ("tables.people.columns.joined.decimal", ",", "decimal is for dtype integer or float, not date"),
        ("tables.visits.columns.visits.date_format", "excel", "date_format is for dtype date or timestamp, not integer"),
        ("tables.people.columns.joined.date_format", "european", "date_format must be excel, epoch_seconds or a format such as"),
        ("tables.visits.columns.visits.thousands", ".", "thousands: '.' is the decimal sign, too"),
        ("files", {"thousands": "."}, "thousands is '.', as decimal or delimiter is"),
        ("files", {"thousands": ","}, "thousands is ',', as decimal or delimiter is"),
        ("tables.visits.columns.visits.phrase", "{count} visits", "phrase may hold {value} and {s} only"),
        ("tables.visits.columns.visits.phrase", "{} visits", "phrase may hold {value} and {s} only"),
        ("tables.visits.columns.visits.phrase", "{value.real} visits", "phrase may hold {value} and {s} only"),
        ("tables.visits.columns.visits.phrase", "{value visits", "phrase may hold {value} and {s} only"),
        ("tables.visits.columns.member", {"dtype": "string"}, "tables.visits.columns.member: the entity column is"),
        ("entity.column", "model", "entity.column: 'model' is a field of the API's answers, give it another name and"),
        ("entity.column", "reasons", "another name and `source: reasons`"),
        ("label.table", "nowhere", "label.table: there is no table 'nowhere'"),
        ("label.column", "nothing", "label.column: table 'leavers' has no column 'nothing'"),
        ("tables.leavers.columns.has_left.dtype", "date", "label.column: 'has_left' must be boolean or 0/1"),
        ("feature_views.visits_fv.table", "nowhere", "feature_views.visits_fv.table: there is no table 'nowhere'"),
        ("feature_views.visits_fv.features", ["fee"], "feature_views.visits_fv.features: table 'visits' has no column"),
        ("feature_views.x", {"table": "people", "features": ["joined"]}, "'joined' is a date, not a feature dtype"),
        ("feature_views.x", {"table": "leavers", "features": ["has_left"]}, "feature_views.x.features: 'has_left' is the"),
        ("feature_views.x", {"table": "plans", "features": ["tier"]}, "feature_views.x.features: 'tier' is in two views"),
        ("slices", ["tier", "shoe_size"], "slices: no feature table has a column 'shoe_size'"),
        ("slices", ["has_left"], "slices: no feature table has a column 'has_left'"),
        ("costs", {"missed_churner": {"column": "nothing"}}, "costs: no feature table has a column 'nothing'"),
        ("costs", {"missed_churner": {"column": "minutes"}}, "costs: 'minutes' must be a number that is never empty"),
        ("costs", {"needless_contact": {"column": "region"}}, "costs: 'region' must be a number that is never empty"),
        ("costs", {"missed_churner": {"column": "has_left"}}, "costs: no feature table has a column 'has_left'"),
        ("tables.people.ages", {"tenure": {"of": "region"}}, "tables.people.ages.tenure.of: table 'people' has no date"),
        ("tables.people.ages", {"region": {"of": "joined"}}, "tables.people.ages.region: 'region' is a column already"),
        ("tables.people.ages", {"as_of": {"of": "joined"}}, "tables.people.ages: 'as_of' is a name of our own"),
        ("tables.people.file", "visits", "tables: two tables are read from the file 'visits'"),
        ("tables.people.columns.region.source", "joined", "two columns are read from the header 'joined'"),
        ("files", {"delimiter": ",", "decimal": ","}, "delimiter and decimal are both ','"),
        ("files", {"encoding": "utf-9"}, "encoding 'utf-9' is not a text encoding"),
        ("files", {"encoding": "base64"}, "encoding 'base64' is not a text encoding"),
        ("tables.visits.source", {"url": "${CRM}"}, "source needs a query, or a table with its as_of_column"),
        ("tables.visits.source", {"url": "${CRM}", "table": "v"}, "table and as_of_column go together"),
        ("tables.visits.source", {"url": "${CRM}", "query": "q", "as_of_column": "c"}, "query has no :as_of"),
        ("tables.visits.source", {"url": "${CRM}", "query": ":as_of", "table": "v"}, "and not both"),
        ("tables.visits.source", {"url": "${CRM}", "query": "SELECT 1"}, "query has no :as_of: it would give the same"),
        ("tables.visits.source", {"url": "${CRM}", "query": "x::as_of"}, "query has no :as_of"),
    ],
)  # fmt: skip
def test_each_rule_refuses_what_breaks_it(declared, path, value, message):
    with pytest.raises(ValidationError) as refused:
        Contract.model_validate(changed(declared, path, value))
    assert message in str(refused.value)


def test_every_fault_of_the_names_is_reported_at_once(declared):
    wrong = changed(changed(declared, "label.column", "nothing"), "slices", ["shoe_size"])
    wrong = changed(wrong, "feature_views.visits_fv.features", ["steps", "jumps"])
    with pytest.raises(ValidationError) as refused:
        Contract.model_validate(wrong)
    for name in ("'nothing'", "'steps'", "'jumps'", "'shoe_size'"):
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tables.plans.columns.monthly_fee", {"dtype": "float", "min": 2, "max": 2}),
        ("tables.plans.columns.monthly_fee", {"dtype": "integer", "max": 3}),
        ("tables.leavers.columns.has_left.dtype", "integer"),
        ("tables.leavers.columns.has_left.dtype", "float"),
    ],
)
def test_what_keeps_the_rules_is_read_and_frozen(declared, path, value):
    contract = Contract.model_validate(changed(declared, path, value))
    with pytest.raises(ValidationError, match="frozen"):
        contract.tables["visits"].columns["visits"].nullable = True


def test_features_are_in_the_order_of_the_views_and_other_slices_are_carried(gym):
    assert list(gym.features) == ["monthly_fee", "tier", "autopay", "visits", "minutes"]
    assert gym.feature_tables == ("people", "visits", "plans")
    assert gym.carried == {"region": "people"}, "the other slice is a feature"
    assert (gym.wide, gym.label_table, gym.deliverable) == (False, "leavers", tuple(gym.tables))
    assert {table: list(columns) for table, columns in gym.published.items()} == {
        table: list(gym.delivered(table)) for table in gym.tables
    }
    assert Contract.model_validate(gym.as_mapping()) == gym


def test_the_contract_that_ships_has_14_features_and_the_default_policy(streamflow):
    contract = Contract.model_validate(streamflow)
    sizes = {name: len(view.features) for name, view in contract.feature_views.items()}
    assert sizes == {
        "subs_profile_fv": 6, "usage_agg_30d_fv": 5, "payments_agg_90d_fv": 1, "support_agg_90d_fv": 2,
    }  # fmt: skip
    assert (contract.model_name, len(contract.feature_tables)) == ("streamflow_churn", 5)
    assert (contract.costs, contract.delivery_days) == (Costs(), 5)
    assert contract.slices == ("contract_type", "net_service", "user_is_senior")
    assert all(column.description and column.phrase for column in contract.features.values())
    drift = contract.policy.drift
    assert len(drift.methods) == 3
    usual = contract.policy.model_copy(update={"drift": drift.model_copy(update={"methods": {}})})
    assert usual == Policy()


def test_a_label_in_a_feature_table_has_a_table_of_its_own_in_the_lake(declared):
    whole = changed(declared, "label", {"table": "plans", "column": "autopay"})
    whole["feature_views"]["plans_fv"]["features"] = ["monthly_fee", "tier"]
    wide = Contract.model_validate(whole)
    assert (wide.wide, wide.label_table) == (True, "plans_label")
    assert list(wide.published["plans"]) == ["member", "tier", "monthly_fee"]
    assert (
        list(wide.published["plans_label"])
        == list(wide.delivered("plans_label"))
        == ["member", "autopay"]
    )
    assert list(wide.delivered("plans")) == ["member", "tier", "autopay", "monthly_fee"]
    assert wide.feature_tables == ("people", "visits", "plans", "leavers")
    assert wide.deliverable == (*wide.tables, "plans_label")
    taken = changed(whole, "tables.plans_label", {"columns": {"x": {"dtype": "date"}}})
    with pytest.raises(ValidationError, match="the name is kept for the labels of 'plans'"):
        Contract.model_validate(taken)


def test_an_age_is_a_feature_and_its_unit_part_of_what_a_model_depends_on(declared):
    hashes = set()
    for unit in ("days", "months"):
        whole = changed(declared, "tables.people.ages", {"tenure": {"of": "joined", "unit": unit}})
        whole["feature_views"]["people_fv"] = {"table": "people", "features": ["tenure"]}
        contract = Contract.model_validate(whole)
        assert contract.features["tenure"].dtype == "integer"
        assert contract.features["tenure"].phrase == f"{{value}} {unit[:-1]}{{s}} since joined"
        assert "tenure" not in contract.delivered("people")
        hashes.add(contract.model_hash)
    assert len(hashes) == 2


def test_costs_that_are_not_features_are_carried_with_the_rows(declared):
    costs = {"missed_churner": {"column": "monthly_fee", "times": 12}}
    whole = changed(declared, "costs", costs)
    whole["feature_views"]["plans_fv"]["features"] = ["tier", "autopay"]
    contract = Contract.model_validate(whole)
    assert contract.carried == {"region": "people", "monthly_fee": "plans"}
    assert contract.costs.columns == ("monthly_fee",)


HASHES = ("model_hash", "policy_hash", "list_hash")
SOURCE = {"url": "${CRM_URL}", "table": "crm.visits", "as_of_column": "day"}


@pytest.mark.parametrize(
    ("path", "value", "changes"),
    [
        ("feature_views.visits_fv.features", ["visits"], "model list"),
        ("tables.visits.columns.minutes.dtype", "integer", "model"),
        ("entity", {"column": "person"}, "model"),
        ("entity", {"column": "member", "dtype": "integer"}, "model"),
        ("label", {"table": "plans", "column": "autopay"}, "model"),
        ("label.horizon", {"months": 1}, "model"),
        ("policy", {"promotion": {"delta": 0.02}}, "policy"),
        ("policy", {"training": {"algorithm": "logistic_regression", "seed": 8}}, "policy"),
        ("policy", {}, "policy"),
        ("policy", {"training": {"algorithm": "logistic_regression"}, "scoring": {"listed": 9}}, "policy list"),
        ("costs", {"missed_churner": 6}, "policy list"),
        ("costs", {"missed_churner": 5, "needless_contact": 1}, ""),
        ("slices", [], ""),
        ("description", "A gym.", ""),
        ("delivery_days", 9, ""),
        ("label.period", "before", "list"),
        ("tables.visits.columns.visits.max", 99, ""),
        ("tables.visits.columns.visits.missing", ["-1"], ""),
        ("tables.visits.columns.minutes.description", "Minutes", "list"),
        ("tables.visits.columns.minutes.phrase", "{value} minutes", "list"),
        ("tables.visits.source", SOURCE, ""),
        ("tables.people.file", "Members 2024", ""),
        ("tables.people.columns.region.source", "Home Region", ""),
    ],
)  # fmt: skip
def test_each_hash_changes_with_what_it_is_about(declared, gym, path, value, changes):
    whole = changed(declared, path, value)
    if value == {"table": "plans", "column": "autopay"}:
        whole["feature_views"]["plans_fv"]["features"].remove("autopay")
        changes += " list"
    other = Contract.model_validate(whole)
    found = [name for name in HASHES if getattr(other, name) != getattr(gym, name)]
    assert found == [name for name in HASHES if name.removesuffix("_hash") in changes.split()]


def test_costs_are_given_if_the_author_wrote_them_even_with_the_default_values(declared, gym):
    given = Contract.model_validate(changed(declared, "costs", Costs().model_dump()))
    assert (gym.costs_given, given.costs_given) == (False, True)
    card = {"made_from": {"recipe": {"costs": Costs().model_dump()}}}
    assert [given.threshold_given(passport) for passport in (card, {})] == [True, False]
    assert not gym.threshold_given(card)


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [
        (Span(months=1), "2024-01-31", "2024-02-29"),
        (Span(months=1), "2024-02-29", "2024-03-29"),
        (Span(months=13), "2022-12-31", "2024-01-31"),
        (Span(months=1, days=1), "2024-01-31", "2024-03-01"),
        (Span(weeks=2, days=3), "2024-02-20", "2024-03-08"),
    ],
)
def test_a_month_after_the_31st_of_january_is_the_last_day_of_february(span, start, end):
    assert span.after(dt.date.fromisoformat(start)) == dt.date.fromisoformat(end)


@given(SPANS, DATES, DATES)
def test_a_later_start_never_ends_earlier(span, one, other):
    first, second = sorted((one, other))
    assert first <= span.after(first) <= span.after(second)


@given(SPANS, DATES)
def test_calendar_months_keep_the_day_where_the_month_has_it(span, start):
    end = Span(months=span.months).after(start)
    assert (end.year - start.year) * 12 + end.month - start.month == span.months
    assert end.day == start.day or (end.day < start.day and (end + dt.timedelta(days=1)).day == 1)


def test_a_label_matures_a_horizon_after_as_of_and_one_step_is_one_cadence(declare):
    january = dt.date(2024, 1, 31)
    late = declare(label={"table": "leavers", "column": "has_left", "horizon": {"months": 1}})
    assert (declare().matures(january), late.matures(january)) == (january, dt.date(2024, 2, 29))
    ends = [declare(cadence=cadence).step.after(january) for cadence in CADENCES]
    assert ends == [dt.date(2024, 2, 29), dt.date(2024, 2, 7), dt.date(2024, 2, 1)]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://crm:pa55word@db/crm",
        "postgresql+psycopg2://crm:pa55word${MORE}@db:5432/crm?x=1",
        "postgresql://db/crm?user=crm&password=pa55word",
        "mssql+pyodbc://db/crm?PWD=pa55word",
    ],
)
def test_a_password_in_a_contract_is_refused_without_showing_it(declared, tmp_path, url):
    source = {"url": url, "query": "SELECT :as_of"}
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(changed(declared, "tables.visits.source", source)))
    with pytest.raises(
        ContractError, match=r"contract\.yaml:[0-9]+: tables\.visits\.source: url holds a password"
    ) as refused:
        read_contract(path)
    assert "pa55word" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "${CRM_URL}",
        "postgresql+psycopg2://crm:${CRM_PASSWORD}@db:5432/crm",
        "postgresql://crm@db/crm?host=/tmp/socket:1",
        "postgresql://db/crm?password=${CRM_PASSWORD}",
        "sqlite:////srv/crm.db",
    ],
)
def test_a_url_without_a_password_may_stand_in_the_contract(declared, url):
    source = {"url": url, "query": "SELECT * FROM visits WHERE day = :as_of"}
    contract = Contract.model_validate(changed(declared, "tables.visits.source", source))
    assert contract.pulled["visits"].url == url


@pytest.mark.parametrize(
    ("cadence", "as_of", "other", "close"),
    [
        ("month", (2024, 1, 31), (2024, 1, 30), True),
        ("month", (2024, 1, 30), (2024, 1, 31), True),
        ("month", (2024, 1, 31), (2024, 2, 15), True),
        ("month", (2024, 2, 29), (2024, 1, 31), False),
        ("month", (2024, 2, 23), (2024, 1, 26), False),  # last Fridays
        ("month", (2024, 1, 31), (2024, 1, 31), False),  # a correction
        ("week", (2024, 1, 5), (2024, 1, 8), True),
        ("week", (2024, 1, 5), (2024, 1, 11), False),
        ("day", (2024, 1, 5), (2024, 1, 6), False),
    ],
)
def test_two_as_ofs_within_one_step_of_the_cadence_are_too_close(
    declare, cadence, as_of, other, close
):
    published = [dt.date(2023, 6, 30), dt.date(*other)]
    found = declare(cadence=cadence).too_close(dt.date(*as_of), published)
    assert found == (dt.date(*other) if close else None)


def test_a_field_of_a_later_version_is_part_of_a_digest_only_if_it_is_declared(declared):
    added = {"missing", "decimal", "thousands", "unit", "date_format"}
    before = Contract.model_validate(declared)
    after = Contract.model_validate(
        changed(declared, "tables.visits.columns.visits.missing", ["-1"])
    )
    assert not added & hashed_values(before.tables["visits"].columns["visits"]).keys()
    assert not {"missing", "thousands"} & hashed_values(before.files).keys()
    assert hashed_values(after.tables["visits"].columns["visits"])["missing"] == ["-1"]
    assert (before.reading, after.reading) == (
        {},
        {"columns": {"visits.visits": {"missing": ["-1"]}}},
    )
