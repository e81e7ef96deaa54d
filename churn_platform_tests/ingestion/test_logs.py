"""The file of a log: its rows, its faults, and the events that the lake keeps."""

import copy
import datetime as dt
import random

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import yaml

from churn_platform.contract.model import Contract
from churn_platform.ingestion.database_source import pull
from churn_platform.ingestion.drop import open_drop
from churn_platform.ingestion.rules import conform
from churn_platform.ingestion.table_reader import read_table
from churn_platform.ingestion.validation import validate
from churn_platform.lake.arrow_tables import read_frame, table_digest, to_arrow, write_stamped
from churn_platform.lake.instants import INSTANTS
from churn_platform.lake.tables import lake_tables, with_missing

DECLARED = yaml.safe_load("""
name: shop
model_name: shop_churn
entity: {column: customer}
tables:
  payments:
    kind: events
    time: paid_at
    time_zone: Europe/Vienna
    columns:
      paid_at: {dtype: timestamp}
      amount: {dtype: float, nullable: true}
    windows:
      payments_30d: {aggregate: count, window: 30d}
  members:
    columns:
      age: {dtype: integer}
feature_views:
  paying: {table: payments, features: [payments_30d]}
  members: {table: members, features: [age]}
label: {table: gone, column: gone}
""")
DECLARED["tables"]["gone"] = {"columns": {"gone": {"dtype": "boolean"}}}
JANUARY = dt.date(2024, 1, 31)


def contract(*changes, members=True):
    """The contract with values at paths such as `tables.payments.id`."""
    declared = copy.deepcopy(DECLARED)
    if not members:
        del declared["tables"]["members"]
        del declared["feature_views"]["members"]
    for path, value in changes:
        *places, last = path.split(".")
        part = declared
        for place in places:
            part = part[place]
        part[last] = value
    return Contract.model_validate(declared)


ID = (("tables.payments.id", "payment"), ("tables.payments.columns.payment", {"dtype": "string"}))


def rows(*cells, header=("customer", "paid_at", "amount")):
    return pd.DataFrame(list(cells), columns=list(header), dtype=object)


def found(faults):
    return {(fault.column, fault.code, fault.rows) for fault in faults}


def test_a_log_has_any_number_of_rows_a_customer_in_one_order():
    delivered = rows(
        ("b", "2024-01-31 10:00", "1"),
        ("a", "2024-01-02T09:00Z", ""),
        ("b", "2024-01-30", "2"),
        ("a", "2024-01-02 10:00", None),
        ("b", "2024-01-31 10:00:00.0", "1.0"),
    )
    frame, faults = conform(contract(), "payments", delivered, as_of=JANUARY)
    assert faults == []
    assert [str(dtype) for dtype in frame.dtypes] == ["string", INSTANTS, "float64"]
    assert [
        (key, time.isoformat())
        for key, time in frame[["customer", "paid_at"]].itertuples(index=False)
    ] == [
        ("a", "2024-01-02T09:00:00+00:00"),
        ("b", "2024-01-29T23:00:00+00:00"),
        ("b", "2024-01-31T09:00:00+00:00"),
    ]
    for seed in range(5):
        mixed = delivered.sample(frac=1, random_state=seed)
        pd.testing.assert_frame_equal(conform(contract(), "payments", mixed)[0], frame)


def test_an_empty_log_is_a_quiet_month():
    frame, faults = conform(contract(), "payments", rows(), as_of=JANUARY)
    assert (len(frame), faults) == (0, [])
    assert lake_tables(contract(), {"payments": frame}, JANUARY)["payments_events"].empty


def test_what_is_wrong_with_a_row_of_a_log():
    delivered = rows(
        ("", "2024-01-01", "1"),
        ("a", "", "1"),
        ("a", "yesterday", "1"),
        ("a", "2024-01-31 23:59:59", "1"),
        ("a", "2024-02-01 00:00:00", "1"),
        ("a", "2024-01-31 23:30Z", "x"),
    )
    frame, faults = conform(contract(), "payments", delivered, as_of=JANUARY)
    assert found(faults) == {
        ("customer", "empty_key", (1,)),
        ("paid_at", "empty", (2,)),
        ("paid_at", "not_a_timestamp", (3,)),
        ("paid_at", "after_as_of", (5, 6)),
        ("amount", "not_a_number", (6,)),
    }
    assert len(frame) == 1


def test_an_id_names_one_event():
    header = ("customer", "paid_at", "payment", "amount")
    delivered = rows(
        ("a", "2024-01-02", "p1", "1"),
        ("a", "2024-01-02", "p1", "1.00"),
        ("a", "2024-01-02", "p2", "1"),
        ("a", "2024-01-02", "p3", "2"),
        ("b", "2024-01-02", "p3", "2"),
        header=header,
    )
    frame, faults = conform(contract(*ID), "payments", delivered, as_of=JANUARY)
    assert found(faults) == {("payment", "conflicting_id", (4, 5))}
    assert frame["payment"].tolist() == ["p1", "p2"]


def test_duplicates_are_those_of_plain_python():
    chance = random.Random(4)
    for _ in range(30):
        cells = [
            (chance.choice("ab"), f"2024-01-0{chance.randint(1, 2)}", chance.choice(["1", "", "x"]))
            for _ in range(chance.randint(0, 12))
        ]
        frame, faults = conform(contract(), "payments", rows(*cells))
        faulty = sum(len(fault.rows) for fault in faults)
        assert faulty == sum(amount == "x" for _, _, amount in cells)
        assert len(frame) == len({cell for cell in cells if cell[2] != "x"})


def drop(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def judged(declared, folder, **files):
    opened = open_drop(drop(folder, **files), JANUARY, declared)
    return validate(declared, opened, today=JANUARY, known=None)


MEMBERS = "customer,age\na,30\nb,40\n"


def test_a_complete_log_may_be_newer_than_its_month(tmp_path):
    declared = contract(("tables.payments.delivery", "replace"))
    log = "customer,paid_at,amount\na,2024-01-31 12:00,1\na,2024-02-01 00:00,1\nb,2024-03-01,1\n"
    table = judged(declared, tmp_path, members=MEMBERS, payments=log).tables["payments"]
    assert (len(table.valid), table.report.later, table.report.duplicates) == (1, 2, 0)
    assert table.report.faults == ()


def test_the_customers_of_a_log_are_not_all_customers(tmp_path):
    log = "customer,paid_at,amount\nb,2024-01-31 12:00,1\nb,2024-01-30 12:00,1\nz,2024-01-30,1\n"
    validated = judged(contract(), tmp_path, members=MEMBERS, payments=log)
    assert validated.faults == ()
    assert validated.tables["payments"].keys.tolist() == ["b", "z"]


def test_keys_that_a_log_writes_in_another_way_are_found(tmp_path):
    members = "customer,age\n0100,30\n0200,40\n"
    log = "customer,paid_at,amount\n100,2024-01-31,1\n200,2024-01-30,1\n"
    validated = judged(contract(), tmp_path, members=members, payments=log)
    assert [(fault.code, fault.table) for fault in validated.of_the_drop] == [
        ("keys_differ_between_tables", "payments")
    ]


@pytest.mark.parametrize(
    ("log", "code", "column"),
    [
        ("paid_at,amount\n2024-01-31,1\n", "missing_column", "customer"),
        ("customer,amount\na,1\n", "missing_column", "paid_at"),
        ("customer,paid_at,amount\na,2024-02-01,1\n", "after_as_of", "paid_at"),
        ("customer,paid_at,amount\na,31.01.2024 08:00,1\n", "not_a_timestamp", "paid_at"),
    ],
)
def test_one_sentence_for_what_refuses_a_log(tmp_path, log, code, column):
    validated = judged(contract(), tmp_path, members=MEMBERS, payments=log)
    assert (code, column) in {(fault.code, fault.column) for fault in validated.faults}
    assert validated.refusals


def test_a_month_needs_its_log(tmp_path):
    validated = judged(contract(), tmp_path, members=MEMBERS)
    assert [(fault.code, fault.table) for fault in validated.faults] == [
        ("missing_table", "payments")
    ]


def test_parquet_and_csv_become_the_same_events(tmp_path):
    text = [
        "2024-01-31T08:00:00Z",
        "2024-03-31T02:30:00",
        "2023-10-29 02:30",
        "2024-01-31T23:30:00.5",
    ]
    frame = pd.DataFrame({"customer": list("aabb"), "paid_at": text, "amount": [1.0, np.nan, 2, 3]})
    declared = contract(("tables.payments.delivery", "replace"))
    made = {}
    for suffix in ("csv", "parquet"):
        folder = tmp_path / suffix
        folder.mkdir()
        drop(folder, members=MEMBERS)
        if suffix == "csv":
            frame.to_csv(folder / "payments.csv", index=False)
        else:
            utc = pd.to_datetime(
                format="ISO8601",
                arg=[
                    "2024-01-31T08:00Z",
                    "2024-03-31T01:30Z",
                    "2023-10-29T00:30Z",
                    "2024-01-31T22:30:00.5Z",
                ],
            )
            frame.assign(paid_at=utc.tz_convert("America/New_York")).to_parquet(
                folder / "payments.parquet"
            )
        opened = open_drop(folder, JANUARY, declared)
        table = validate(declared, opened, today=JANUARY, known=None).tables["payments"]
        assert table.report.later == 1
        events = lake_tables(declared, {"payments": table.valid}, JANUARY)["payments_events"]
        made[suffix] = table_digest(to_arrow(events, declared.published["payments_events"]))
    assert made["csv"] == made["parquet"]


def test_each_event_lies_on_a_day_of_its_time_zone(tmp_path):
    delivered = rows(("a", "2024-01-30 23:30Z", "1"), ("b", "2024-01-30 22:30Z", "1"))
    frame, _ = conform(contract(), "payments", delivered, as_of=JANUARY)
    made = lake_tables(contract(), {"payments": frame}, JANUARY)
    assert list(made) == ["payments_events"]
    columns = contract().published["payments_events"]
    assert list(made["payments_events"]) == list(columns)
    path = tmp_path / "events.parquet"
    now = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
    write_stamped(to_arrow(made["payments_events"], columns), path, event=now, created=now)
    kept = read_frame(path)
    assert kept["event day"].tolist() == [dt.date(2024, 1, 31), dt.date(2024, 1, 30)]
    assert str(kept["paid_at"].dtype) == INSTANTS
    assert kept["paid_at"].tolist() == frame["paid_at"].tolist()
    complete = with_missing(contract(), "payments_events", kept.drop(columns="paid_at"))
    assert str(complete["paid_at"].dtype) == INSTANTS


def test_a_log_in_a_database_is_read_by_a_query(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    monkeypatch.setenv("CRM_URL", url)
    engine = sa.create_engine(url)
    log = pd.DataFrame(
        {
            "customer": ["b", "a", "a", "a"],
            "paid_at": pd.to_datetime(["2024-01-31", "2024-01-05", "2024-01-04", "2023-12-30"]),
            "amount": [1.0, 2.5, 3.0, 4.0],
        }
    )
    log.to_sql("payments", engine, index=False)
    query = "SELECT * FROM payments WHERE paid_at > date(:as_of, '-1 month') AND paid_at < date(:as_of, '+1 day')"
    declared = contract(("tables.payments.source", {"url": "${CRM_URL}", "query": query}))
    assert pull(declared, JANUARY, tmp_path) == {"payments": 3}
    raw, faults = read_table(tmp_path / "payments.parquet", declared, "payments")
    frame, more = conform(declared, "payments", raw, as_of=JANUARY)
    assert faults + more == []
    assert frame["customer"].tolist() == ["a", "a", "b"]
    assert frame["amount"].tolist() == [3.0, 2.5, 1.0]
    assert pull(declared, dt.date(2025, 1, 31), tmp_path) == {"payments": 0}
    raw, faults = read_table(tmp_path / "payments.parquet", declared, "payments")
    assert (len(conform(declared, "payments", raw)[0]), faults) == (0, [])


def test_all_events_may_be_of_one_customer():
    moments = pd.Series(pd.date_range("2024-01-01", periods=100_000, freq="20s").as_unit("us"))
    log = pd.DataFrame({"customer": "a", "paid_at": moments, "amount": 1.0})
    frame, faults = conform(contract(), "payments", log, as_of=JANUARY)
    assert (len(frame), faults) == (100_000, [])
