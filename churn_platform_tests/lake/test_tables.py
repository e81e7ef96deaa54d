"""What the lake keeps of a validated drop: ages made of dates, the labels of a wide table apart."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.contract.model import Contract
from churn_platform.lake.tables import age, canonical_dtypes, feature_frame, lake_tables
from churn_platform_tests.gym import plain

FEBRUARY = dt.date(2024, 2, 29)
WIDE = Contract.model_validate(
    {
        "name": "phone",
        "model_name": "phone_churn",
        "entity": {"column": "number", "dtype": "integer"},
        "tables": {
            "customers": {
                "columns": {
                    "since": {"dtype": "date", "nullable": True},
                    "fee": {"dtype": "float", "min": 0},
                    "left": {"dtype": "float", "nullable": True},
                },
                "ages": {"tenure": {"of": "since", "unit": "months"}},
            }
        },
        "label": {"table": "customers", "column": "left"},
        "feature_views": {"customers_fv": {"table": "customers", "features": ["fee", "tenure"]}},
    }
)
DATES = st.dates(dt.date(1990, 1, 1), dt.date(2024, 12, 31))


def customers(left):
    since = pd.to_datetime(pd.Series(["2024-01-31", "2022-03-01", None]))
    return pd.DataFrame({"number": [1, 2, 3], "since": since, "fee": [1.0, 2.0, 3.0], "left": left})


def test_a_wide_table_gives_its_labels_a_table_of_their_own_and_its_dates_their_ages():
    published = lake_tables(WIDE, {"customers": customers([1.0, None, 0.0])}, FEBRUARY)
    assert set(published) == {"customers", "customers_label"}
    assert published["customers"].columns.tolist() == ["number", "since", "fee", "tenure"]
    assert published["customers"]["tenure"].tolist() == [1, 23, pd.NA]
    assert published["customers_label"].to_dict("list") == {"number": [1, 3], "left": [1.0, 0.0]}


def test_a_wide_table_whose_labels_are_not_known_yet_publishes_none():
    assert set(lake_tables(WIDE, {"customers": customers([None] * 3)}, FEBRUARY)) == {"customers"}


@pytest.mark.parametrize("dtype", ["float", "boolean"])
def test_labels_that_say_who_stayed_are_turned_over(dtype):
    contract = WIDE.as_mapping()
    contract["tables"]["customers"]["columns"]["left"]["dtype"] = dtype
    contract["label"]["inverted"] = True
    turned = Contract.model_validate(contract)
    stayed = pd.Series([1.0, None, 0.0]).astype("float64" if dtype == "float" else "boolean")
    published = lake_tables(turned, {"customers": customers(stayed)}, FEBRUARY)
    assert published["customers_label"].astype({"left": float}).to_dict("list") == {
        "number": [1, 3],
        "left": [0.0, 1.0],
    }
    alone = pd.DataFrame({"number": [1, 2], "left": stayed.dropna().reset_index(drop=True)})
    published = lake_tables(turned, {"customers_label": alone}, FEBRUARY)
    assert published["customers_label"]["left"].astype(float).tolist() == [0.0, 1.0]
    assert turned.model_hash != WIDE.model_hash


def test_labels_that_come_alone_stand_in_place_of_the_wide_table_s():
    alone = pd.DataFrame({"number": [1, 2, 3], "left": [0.0, 1.0, 0.0]})
    both = lake_tables(
        WIDE, {"customers": customers([1.0, 1.0, 1.0]), "customers_label": alone}, FEBRUARY
    )
    assert both["customers_label"]["left"].tolist() == [0.0, 1.0, 0.0]
    assert set(lake_tables(WIDE, {"customers_label": alone}, FEBRUARY)) == {"customers_label"}


@pytest.mark.parametrize(
    ("date", "unit", "whole"),
    [
        ("2024-02-29", "days", 0),
        ("2024-02-01", "days", 28),
        ("2024-02-15", "weeks", 2),
        ("2024-02-16", "weeks", 1),
        (
            "2024-01-31",
            "months",
            1,
        ),  # the 31st does not exist in February: its last day completes the month
        ("2024-01-30", "months", 1),
        ("2023-03-01", "months", 11),
        ("2023-02-28", "years", 1),
        ("2023-03-01", "years", 0),
    ],
)
def test_ages_are_whole_units_rounded_down(date, unit, whole):
    assert age(pd.to_datetime(pd.Series([date])), FEBRUARY, unit).tolist() == [whole]


@given(DATES, DATES)
def test_a_month_is_complete_when_the_calendar_says_so(one, other):
    born, moment = sorted((one, other))
    months = age(pd.Series([pd.Timestamp(born)]), moment, "months").iloc[0]
    expected = WIDE.label.horizon.model_copy(update={"months": int(months)})
    assert expected.after(born) <= moment
    later = WIDE.label.horizon.model_copy(update={"months": int(months) + 1})
    assert later.after(born) > moment


def test_every_feature_has_one_dtype_whichever_store_it_came_from(gym):
    assert canonical_dtypes(gym) == {
        "monthly_fee": "float64", "tier": "object", "autopay": "boolean", "visits": "Int64", "minutes": "float64",
    }  # fmt: skip


@pytest.fixture
def tables():
    """A month's published tables; a is missing in plans, b in visits, c in people."""
    return {
        "people": pd.DataFrame(
            {"member": ["a", "b"], "joined": pd.NaT, "region": ["north", "south"]}
        ),
        "visits": pd.DataFrame(
            {
                "member": ["a", "c"],
                "visits": pd.array([3, 4], dtype="Int64"),
                "minutes": [30.0, 40.0],
            }
        ),
        "plans": pd.DataFrame(
            {
                "member": ["c", "b"],
                "tier": ["plus", "basic"],
                "autopay": pd.array([True, None], dtype="boolean"),
                "monthly_fee": [20.0, 10.0],
            }
        ),
    }


FEATURES = ["member", "monthly_fee", "tier", "autopay", "visits", "minutes"]


def test_the_feature_frame_has_every_customer_and_null_where_a_table_lacks_one(gym, tables):
    frame = feature_frame(gym, tables)
    assert frame.columns.tolist() == [*FEATURES, "region"]
    assert [plain(row) for row in frame.itertuples(index=False)] == [
        ["a", None, None, None, 3, 30.0, "north"],
        ["b", 10.0, "basic", None, None, None, "south"],
        ["c", 20.0, "plus", True, 4, 40.0, None],
    ]
    assert (frame["autopay"].dtype, frame["visits"].dtype) == ("boolean", "Int64")


def test_a_slice_that_is_a_feature_too_is_one_column_even_where_two_tables_have_the_name(
    declared, declare, tables
):
    people = {"columns": {"tier": {"dtype": "category"}, "region": {"dtype": "category"}}}
    contract = declare(tables={**declared["tables"], "people": people})
    assert contract.carried == {"region": "people"}
    frame = feature_frame(contract, {**tables, "people": tables["people"].assign(tier="other")})
    assert frame.columns.tolist() == [*FEATURES, "region"]
    assert plain(frame["tier"]) == [None, "basic", "plus"]
    assert feature_frame(declare(slices=[]), tables).columns.tolist() == FEATURES
