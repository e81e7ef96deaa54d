"""The contract of one month and of one version."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from churn_platform.contract import views
from churn_platform.contract.model import Contract

DAYS = st.dates(dt.date(2025, 1, 1), dt.date(2027, 12, 31))
JULY = dt.date(2026, 7, 31)
JUNE = dt.date(2026, 6, 30)


def gym(**changes: Any) -> Contract:
    """A contract of two tables and a label; a change is a value by its path with dots."""
    parts: dict[str, Any] = {
        "name": "gym",
        "model_name": "gym_churn",
        "entity": {"column": "member"},
        "tables": {
            "members": {
                "columns": {
                    "plan": {"dtype": "category", "values": ["basic", "plus"]},
                    "fee": {"dtype": "float", "min": 0},
                    "joined_on": {"dtype": "date"},
                },
                "ages": {"months_member": {"of": "joined_on", "unit": "months"}},
            },
            "visits": {"columns": {"visits": {"dtype": "integer"}}},
            "labels": {
                "columns": {"has_left": {"dtype": "boolean"}, "cancelled": {"dtype": "boolean"}}
            },
        },
        "label": {"table": "labels", "column": "has_left", "horizon": {"months": 1}},
        "feature_views": {
            "profile": {"table": "members", "features": ["plan", "fee", "months_member"]},
            "use": {"table": "visits", "features": ["visits"]},
        },
        "slices": ["plan"],
    }
    for path, value in changes.items():
        place = parts
        *above, last = path.split("__")
        for name in above:
            place = place[name]
        place[last] = value
    return Contract.model_validate(parts)


def column(path: str, **fields: Any) -> dict[str, Any]:
    return {f"tables__{path}": fields}


def test_a_contract_without_dates_is_that_of_every_month():
    contract = gym()
    assert contract.at(JULY) is contract
    assert contract.delivery(JULY) is contract


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tables__visits__columns__classes": {"dtype": "integer", "since": JULY}},
        {"tables__members__parts": {"prices": {"columns": ["fee"], "since": JULY}}},
    ],
)
def test_equal_contracts_are_equal_after_their_months_were_read(changes):
    one = gym(**changes)
    other = gym(**changes)
    for month in (JUNE, JULY):
        one.delivery(month)
        other.delivery(month)
    assert one == other
    assert one != gym(**changes, cadence="week")


@given(since=DAYS, until=DAYS, month=DAYS)
def test_a_month_has_a_column_from_since_on_and_before_until(since, until, month):
    spec = {"dtype": "integer", "since": since, "until": until}
    if since >= until:
        with pytest.raises(ValidationError):
            gym(tables__visits__columns__classes=spec)
        return
    contract = gym(
        tables__visits__columns__classes=spec,
        feature_views__use__features=["visits", "classes"],
    )
    has = since <= month < until
    assert ("classes" in contract.at(month).features) == has
    assert ("classes" in contract.at(month).delivered("visits")) == has
    assert contract.has_column("visits", "classes", month) == has
    assert "classes" in contract.features


def test_an_age_and_a_slice_end_with_their_column():
    contract = gym(
        tables__members__columns__joined_on={"dtype": "date", "until": JULY},
        tables__members__columns__plan={"dtype": "category", "until": JULY},
    )
    assert set(contract.at(JUNE).features) == {"plan", "fee", "months_member", "visits"}
    assert set(contract.at(JULY).features) == {"fee", "visits"}
    assert contract.at(JULY).slices == ()


def test_a_value_has_its_new_name_from_its_date_on():
    renamed = {"standard": {"was": "basic", "since": JULY}, "premium": "plus"}
    spec = {"dtype": "category", "values": ["basic", "plus"], "renamed": renamed}
    contract = gym(tables__members__columns__plan=spec)
    names = {m: contract.at(m).tables["members"].columns["plan"].renamed for m in (JUNE, JULY)}
    assert names == {JUNE: {"premium": "plus"}, JULY: {"premium": "plus", "standard": "basic"}}


@pytest.mark.parametrize("renamed", [{"standard": "gold"}, {"standard": "basic", "basic": "plus"}])
def test_a_renamed_value_needs_one_that_is_kept(renamed):
    with pytest.raises(ValidationError):
        gym(
            tables__members__columns__plan={
                "dtype": "category", "values": ["basic", "plus"], "renamed": renamed,
            }
        )  # fmt: skip


def test_part_of_a_table_arrives_in_its_own_file():
    parts = {"prices": {"columns": ["fee", "joined_on"], "since": JULY}}
    contract = gym(tables__members__parts=parts)
    assert contract.delivery(JUNE).deliverable == gym().deliverable
    delivery = contract.delivery(JULY)
    assert list(delivery.delivered("members")) == ["member", "plan"]
    assert list(delivery.delivered("prices")) == ["member", "fee", "joined_on"]
    assert set(delivery.features) == set(contract.features)
    assert "prices" in delivery.feature_tables
    assert contract.at(JULY).published == gym().published


@pytest.mark.parametrize(
    "part",
    [
        {"visits": {"columns": ["fee"], "since": JULY}},
        {"prices": {"columns": ["tariff"], "since": JULY}},
        {"prices": {"columns": ["plan", "fee", "joined_on"], "since": JULY}},
    ],
)
def test_a_part_that_cannot_be_a_file_of_its_own_is_refused(part):
    with pytest.raises(ValidationError):
        gym(tables__members__parts=part)


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ({"remove_prefix": "CUST-"}, "12a"),
        ({"remove_prefix": "CUST-", "digits": 5}, "0012a"),
        ({"remove_prefix": "CUST-", "case": "upper", "add_prefix": "C"}, "C12A"),
        ({"case": "lower"}, "cust-12a"),
    ],
)
def test_a_key_is_read_in_the_earlier_spelling(spelling, key):
    contract = gym(tables__members__key_spellings=[{"since": JULY, **spelling}])
    assert contract.tables["members"].key_spelling(JUNE) is None
    assert contract.tables["members"].key_spelling(JULY).read("CUST-12a") == key


def test_an_unknown_key_in_the_newest_spelling_is_answered_with_the_one_that_is_known():
    spellings = [{"since": JULY, "remove_prefix": "CUST-"}]
    contract = gym(tables__visits__key_spellings=spellings)
    assert "'12a'" in contract.advice_on_key("CUST-12a")
    assert "member" in contract.advice_on_key("12a")
    assert "member" in gym().advice_on_key("CUST-12a")


def test_each_month_has_its_own_definition_of_churn():
    label = {
        "table": "labels", "column": "cancelled", "horizon": {"months": 2}, "since": JULY,
        "earlier": [{"column": "has_left", "horizon": {"months": 1}}],
    }  # fmt: skip
    contract = gym(label=label)
    assert contract.label.at(JUNE).column == "has_left"
    assert contract.label.at(JULY).column == "cancelled"
    assert contract.matures(JUNE) == JULY - dt.timedelta(days=1)
    assert contract.matures(JULY) == dt.date(2026, 9, 30)


def test_definitions_of_churn_that_overlap_are_refused():
    earlier = [{"column": "has_left", "since": JULY}]
    with pytest.raises(ValidationError):
        gym(label={"table": "labels", "column": "cancelled", "since": JULY, "earlier": earlier})


def test_the_label_must_be_in_every_month_that_has_features():
    with pytest.raises(ValidationError, match="has_left"):
        gym(tables__labels__columns__has_left={"dtype": "boolean", "until": JULY})


def test_a_feature_must_be_left_in_every_month():
    with pytest.raises(ValidationError, match="no feature is left"):
        gym(tables__members__until=JULY, tables__visits__until=JULY)


def test_a_version_keeps_what_it_reads_whatever_the_contract_becomes():
    contract = gym()
    version = views.of_version(contract, JUNE, ("plan", "months_member"))
    assert list(version.features) == ["plan", "months_member"]
    stored = Contract.model_validate_json(version.model_dump_json(exclude_unset=True))
    assert stored == version
    assert stored.model_hash == version.model_hash
    later = gym(
        tables__members__columns__plan={"dtype": "category", "description": "Tariff"},
        feature_views={"use": {"table": "visits", "features": ["visits"]}},
        policy={"scoring": {"listed": 3}},
    )
    both = views.with_versions(later, [stored])
    assert set(both.features) == {"visits", "plan", "months_member"}
    assert views.with_versions(both, [stored]) is both
    own = views.for_version(both, stored)
    assert list(own.features) == ["plan", "months_member"]
    assert own.features["plan"] == contract.features["plan"]
    assert own.policy == later.policy
    assert own.model_hash == version.model_hash


def test_a_version_with_every_feature_has_the_hash_of_the_contract():
    contract = gym()
    assert views.of_version(contract, JUNE, tuple(contract.features)).model_hash == (
        contract.model_hash
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"entity": {"column": "person"}},
        {"entity": {"column": "member", "dtype": "integer"}},
        {"tables__members__columns__plan": {"dtype": "string"},
         "feature_views__profile__features": ["fee"], "slices": []},
        {"tables__members__columns": {"fee": {"dtype": "float"}}, "tables__members__ages": {},
         "feature_views__profile__features": ["fee"], "slices": []},
        {"tables__members__ages": {"months_member": {"of": "joined_on", "unit": "days"}}},
    ],
)  # fmt: skip
def test_a_version_needs_its_key_columns_and_dtypes(changes):
    version = views.of_version(gym(), JUNE, ("plan", "months_member"))
    assert views.why_not_readable(gym(), version) == ""
    assert views.why_not_readable(gym(**changes), version)
    assert views.with_versions(gym(**changes), [version]) == gym(**changes)


@pytest.mark.parametrize(
    ("months", "matured", "learned"),
    [(1, [JUNE], False), (1, [JUNE, JULY], True), (2, [JUNE, JULY], False), (0, [JUNE], True)],
)
def test_a_candidate_learns_from_a_new_column_once_enough_months_have_it(months, matured, learned):
    contract = gym(
        tables__visits__columns__classes={"dtype": "integer", "since": JULY},
        feature_views__use__features=["visits", "classes"],
        policy={"training": {"new_column_months": months}},
    )
    features = views.learned_features(contract, dt.date(2026, 8, 31), matured)
    assert ("classes" in features) == learned
    assert "visits" in features


def test_a_candidate_does_not_learn_from_a_column_that_has_ended():
    contract = gym(tables__visits__columns__classes={"dtype": "integer", "until": JULY},
                   feature_views__use__features=["visits", "classes"])  # fmt: skip
    assert "classes" not in views.learned_features(contract, JULY, [JUNE])
    assert views.ended_features(contract, JULY) == ("classes",)
    assert views.ended_features(contract, JUNE) == ()
    assert views.lacking_features(contract, [JUNE, JULY]) == {"classes": JULY}


def test_a_column_that_is_yet_to_come_is_lacking_and_has_not_ended():
    contract = gym(tables__visits__columns__classes={"dtype": "integer", "since": JULY},
                   feature_views__use__features=["visits", "classes"])  # fmt: skip
    assert views.lacking_features(contract, [JULY, JUNE]) == {"classes": JUNE}
    assert views.ended_features(contract, JUNE) == ()


def test_a_version_keeps_its_label_after_the_column_has_ended():
    old = gym()
    version = views.of_version(old, JUNE, old.features)
    parts = column("labels__columns__has_left", dtype="boolean", until=JULY)
    label = {
        "table": "labels", "column": "cancelled", "since": JULY,
        "earlier": [{"column": "has_left", "horizon": {"months": 1}}],
    }  # fmt: skip
    now = gym(**parts, label=label)
    assert views.of_version(now, JUNE, now.features).label == version.label
    assert views.for_version(now, version).label.column == "has_left"
    assert views.for_version(now, version).at(JULY).label.column == "has_left"
