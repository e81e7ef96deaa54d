"""A drop is compared with the months before: by customer, by content, by the columns of its files."""

import datetime as dt
import json

import pandas as pd
import pytest
import yaml

from churn_platform.ingestion.comparing import comparison_warnings
from churn_platform.ingestion.validation import DropRefused
from churn_platform_tests.cases import BUSINESS, case
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)

MARCH = dt.date(2024, 3, 31)


@pytest.fixture
def home(tmp_path):
    """A gym of 60 customers whose January is published."""
    made = make_home(tmp_path / "home")
    published(made, JANUARY, month_tables(JANUARY, 60))
    return made


def published(home, as_of, tables):
    deliver(home, as_of, tables)
    home.ingestion.publish(as_of)
    return stored(home, as_of)


def stored(home, as_of):
    """The comparison of a month as the lake keeps it."""
    return home.lake.compared(as_of).as_json()


def refusal(home, as_of, tables):
    """The codes of the drop's faults, and the sentences."""
    deliver(home, as_of, tables)
    with pytest.raises(DropRefused) as caught:
        home.ingestion.publish(as_of)
    assert as_of not in home.lake.months()
    return caught.value


def rekeyed(tables, change):
    return {
        name: table.assign(member=table["member"].map(change)) for name, table in tables.items()
    }


def with_ingestion(home, **ingestion):
    policy = {**DECLARED["policy"], "ingestion": ingestion}
    (home.folder / "contract.yaml").write_text(
        yaml.safe_dump({**DECLARED, "policy": policy}, sort_keys=False)
    )
    return open_home(home.folder)


def test_new_and_gone_customers_are_counted_in_lake_and_receipt(home):
    tables = rekeyed(month_tables(FEBRUARY, 60), lambda key: key if key < "m00050" else f"n{key}")
    found = published(home, FEBRUARY, tables)["customers"]
    assert {name: found[name] for name in ("before", "customers", "still", "new", "gone", "near")} == {
        "before": "2024-01-31", "customers": 60, "still": 50, "new": 10, "gone": 10, "near": 0,
    }  # fmt: skip
    receipt = home.ledger.receipts("drop accepted")[-1]
    assert receipt.evidence["compared"]["customers"] == found
    assert "50 still there, 10 new, 10 gone" in receipt.reason


@pytest.mark.parametrize("change", [str.upper, "{}.0".format, "0{}".format])
def test_keys_that_nearly_match_the_month_before_refuse_the_drop(home, change):
    caught = refusal(home, FEBRUARY, rekeyed(month_tables(FEBRUARY, 60), change))
    assert "60 of the month's 60 keys match a key of 2024-01-31" in str(caught)
    assert f"{change('m00000')} for m00000" in str(caught)
    (receipt,) = home.ledger.receipts("drop refused")
    assert "m00000" not in receipt.reason


def test_a_few_keys_that_nearly_match_are_counted_and_the_policy_allows_more(home):
    few = rekeyed(month_tables(FEBRUARY, 60), lambda key: key if key > "m00001" else key.upper())
    assert "2 of the month's 60 keys" in str(refusal(home, FEBRUARY, few))
    lenient = with_ingestion(home, near_key_share=0.05)
    assert published(lenient, FEBRUARY, few)["customers"]["near"] == 2


def test_the_older_month_is_repaired_first_where_its_keys_are_the_wrong_ones(home):
    right = rekeyed(month_tables(FEBRUARY, 60), lambda key: f"0{key}")
    refusal(home, FEBRUARY, right)
    published(home, JANUARY, rekeyed(month_tables(JANUARY, 60), lambda key: f"0{key}"))
    assert published(home, FEBRUARY, right)["customers"]["still"] == 60


def test_customers_that_a_table_lacks_are_counted(home):
    tables = month_tables(FEBRUARY, 60)
    found = published(home, FEBRUARY, tables | {"visits": tables["visits"].iloc[2:]})
    assert found["lacking"] == {"visits": 2}


def test_a_month_that_came_again_is_refused_unless_the_policy_says_so(home):
    again = month_tables(JANUARY, 60)
    assert "identical to the one of 2024-01-31" in str(refusal(home, FEBRUARY, again))
    lenient = with_ingestion(home, repeated_month="warn")
    found = published(lenient, FEBRUARY, again)
    assert (found["repeated_month"], found["customers"]["still"]) == ("2024-01-31", 60)
    # What is published already may come again.
    deliver(home, FEBRUARY, again)
    assert open_home(home.folder).ingestion.publish(FEBRUARY).kind == "unchanged"


def test_labels_that_come_alone_are_no_repeated_month(home):
    tables = month_tables(FEBRUARY, 60)
    leavers = tables.pop("leavers")
    published(home, FEBRUARY, tables)
    (home.drops / "2024-02-29" / "leavers.csv").unlink(missing_ok=True)
    assert published(home, FEBRUARY, {"leavers": leavers})["repeated"] == {}


def test_a_column_that_is_new_in_a_file_is_named_once(home):
    tables = month_tables(FEBRUARY, 60)
    with_clicks = tables | {"visits": tables["visits"].assign(clicks=1)}
    found = published(home, FEBRUARY, with_clicks)
    assert (found["extra_columns"]["visits"], found["new_columns"]) == (
        ["clicks"],
        {"visits": ["clicks"]},
    )
    tables = month_tables(MARCH, 60)
    assert (
        published(home, MARCH, tables | {"visits": tables["visits"].assign(clicks=2)})[
            "new_columns"
        ]
        == {}
    )


def test_a_month_of_an_older_version_is_compared_with_as_far_as_it_is_known(home):
    path = home.folder / "lake" / "snapshots" / "2024-01-31.json"
    manifest = json.loads(path.read_text())
    del manifest["deliveries"][0]["compared"]
    path.write_text(json.dumps(manifest))
    assert home.lake.compared(JANUARY) is None
    tables = month_tables(FEBRUARY, 60)
    found = published(home, FEBRUARY, tables | {"visits": tables["visits"].assign(clicks=1)})
    assert (found["customers"]["still"], found["new_columns"]) == (60, {})


@pytest.mark.parametrize(
    ("name", "refused", "code", "table"),
    [
        ("01-zeros-lost-next-month", "2024-02-29", "keys_nearly_match", ""),
        ("03-same-file-again", "2024-03-31", "month_repeated", ""),
        ("59-float-key-one-table", "2024-01-31", "keys_differ_between_tables", "usage"),
        ("61-zeros-lost-one-table", "2024-01-31", "keys_differ_between_tables", "usage"),
    ],
)
def test_the_small_inputs_that_were_accepted_are_refused(tmp_path, name, refused, code, table):
    source = case(name, tmp_path)
    found = {}
    home = make_home(tmp_path / "home", BUSINESS)
    for folder in sorted(source.iterdir()):
        as_of = dt.date.fromisoformat(folder.name)
        try:
            home.ingestion.accept(folder, as_of)
            home.ingestion.publish(as_of)
        except DropRefused as error:
            found[folder.name] = [(fault.code, fault.table) for fault in error.faults]
    assert found == {refused: [(code, table)]}


def test_master_data_with_ages_is_compared_without_them(tmp_path):
    home = make_home(tmp_path / "home", BUSINESS)
    key = [f"c{n}" for n in range(30)]
    members = pd.DataFrame(
        {
            "customer_id": key,
            "joined": "2020-05-05",
            "country": "DE",
            "plan": "a",
            "monthly_fee": 1.5,
        }
    )
    outcome = pd.DataFrame({"customer_id": key, "churned": [n % 3 == 0 for n in range(30)]})

    def usage(logins):
        return pd.DataFrame(
            {"customer_id": key, "logins_30d": logins, "hours_30d": 0.5, "tickets_90d": 1}
        )

    published(home, JANUARY, {"customers": members, "usage": usage(1), "outcome": outcome})
    changed = outcome.assign(churned=~outcome["churned"])
    assert (
        published(home, FEBRUARY, {"customers": members, "usage": usage(2), "outcome": changed})[
            "repeated"
        ]
        == {}
    )
    assert "identical to" in str(
        refusal(home, MARCH, {"customers": members, "usage": usage(2), "outcome": changed})
    )


def numbered(as_of, form):
    """The month's tables with keys such as 0100, or 100 without the zero."""
    tables = month_tables(as_of, 60)
    return {
        name: table.assign(member=[form.format(100 + n) for n in range(60)])
        for name, table in tables.items()
    }


def deliver_only(home, as_of, tables):
    folder = deliver(home, as_of, tables)
    for file in folder.glob("*.csv"):
        if file.stem not in tables:
            file.unlink()


def test_a_drop_is_not_refused_for_the_keys_of_tables_published_before(home, monkeypatch):
    """A version without the check published March with keys that had lost their zero."""
    published(home, FEBRUARY, numbered(FEBRUARY, "0{}"))
    zeros, lost = numbered(MARCH, "0{}"), numbered(MARCH, "{}")
    deliver_only(home, MARCH, {"members": lost["members"], "visits": lost["visits"]})
    with monkeypatch.context() as earlier:
        earlier.setattr("churn_platform.ingestion.comparing._faults", lambda *_: [])
        home.ingestion.publish(MARCH)
    for labels in (
        zeros["leavers"],
        lost["leavers"],
    ):  # the keys of the business, then those of the month
        deliver_only(home, MARCH, {"leavers": labels})
        home.ingestion.publish(MARCH)
        assert home.lake.tables(MARCH)["leavers"]["member"].tolist() == labels["member"].tolist()
        assert stored(home, MARCH)["customers"]["near"] == 60
    deliver_only(home, MARCH, {"visits": lost["visits"].assign(hours=1.0)})
    with pytest.raises(DropRefused, match="keys match a key of 2024-02-29"):
        home.ingestion.publish(MARCH)


def test_of_two_tables_that_differ_by_case_the_delivered_one_is_refused(home):
    tables = month_tables(JANUARY, 60)
    folder = deliver(
        home,
        JANUARY,
        {"members": tables["members"].assign(member=tables["members"]["member"].str.upper())},
    )
    for name in ("visits", "leavers"):
        (folder / f"{name}.csv").unlink()
    with pytest.raises(DropRefused, match=r"members\.csv"):
        home.ingestion.publish(JANUARY)


def test_what_was_found_in_a_month_is_gone_once_that_months_table_is_another(home):
    published(
        home, FEBRUARY, month_tables(FEBRUARY, 60) | {"visits": month_tables(JANUARY, 60)["visits"]}
    )
    published(home, JANUARY, {"leavers": month_tables(FEBRUARY, 60)["leavers"]})
    assert stored(home, FEBRUARY)["repeated"] == {"visits": "2024-01-31"}
    assert stored(home, FEBRUARY)["customers"]["before"] == "2024-01-31"
    visits = month_tables(JANUARY, 60)["visits"]
    published(home, JANUARY, {"visits": visits.assign(hours=visits["hours"] + 1)})
    found = stored(home, FEBRUARY)
    assert (found["repeated"], found["customers"], found["count"]) == ({}, None, 60)


def test_a_repeated_month_is_none_once_that_month_is_corrected(home):
    lenient = with_ingestion(home, repeated_month="warn")
    assert published(lenient, FEBRUARY, month_tables(JANUARY, 60))["repeated_month"] == "2024-01-31"
    visits = month_tables(JANUARY, 60)["visits"]
    published(lenient, JANUARY, {"visits": visits.assign(hours=visits["hours"] + 1)})
    found = stored(lenient, FEBRUARY)
    assert (found["repeated_month"], "visits" in found["repeated"]) == (None, False)


def test_a_comparison_of_an_older_version_stands(home):
    again = month_tables(FEBRUARY, 60) | {"visits": month_tables(JANUARY, 60)["visits"]}
    published(home, FEBRUARY, again)
    path = home.folder / "lake" / "snapshots" / "2024-02-29.json"
    manifest = json.loads(path.read_text())
    del manifest["deliveries"][0]["compared"]["against"]
    path.write_text(json.dumps(manifest))
    visits = month_tables(JANUARY, 60)["visits"]
    published(home, JANUARY, {"visits": visits.assign(hours=visits["hours"] + 1)})
    assert stored(home, FEBRUARY)["repeated"] == {"visits": "2024-01-31"}


@pytest.mark.parametrize(
    ("cut", "named"),
    [((), []), (("visits",), ["visits.csv"]), (("members", "visits", "leavers"), [])],
)
def test_a_file_that_ends_in_the_middle_of_a_row_is_named_where_the_others_end_with_a_line(
    home, cut, named
):
    folder = deliver(home, FEBRUARY, month_tables(FEBRUARY, 60))
    for table in cut:
        path = folder / f"{table}.csv"
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
    home.ingestion.publish(FEBRUARY)
    assert stored(home, FEBRUARY)["without_line_end"] == named
    found = comparison_warnings(home.lake, FEBRUARY, home.lake.compared(FEBRUARY))
    assert [w.about for w in found if w.code == "FILE_MAY_BE_CUT"] == named
