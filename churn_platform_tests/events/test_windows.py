"""Window features equal plain Python that reads every event, on a thousand random logs."""

import datetime as dt
import math
import random
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn_platform.contract.events import EVENT_DAY
from churn_platform.contract.parts import Table
from churn_platform.events.windows import (
    EventValueTooLarge,
    keys_with_events,
    window_table,
)

AGGREGATES = (
    "count", "sum", "mean", "min", "max", "last", "distinct", "days_since_last", "share", "trend"
)  # fmt: skip
PICKS = {
    "": lambda event: True,
    "kind = 'refund'": lambda event: event["kind"] == "refund",
    "not (amount > 1)": lambda event: event["amount"] is not None and not event["amount"] > 1,
    "items is null or amount < 0": lambda event: (
        event["items"] is None or (event["amount"] is not None and event["amount"] < 0)
    ),
    "items * 2 >= 4 and amount is not null": lambda event: (
        event["items"] is not None and event["items"] >= 2 and event["amount"] is not None
    ),
}
LENGTHS = ("1d", "2d", "7d", "30d", "90d", "2w", "4w", "1m", "2m", "3m", "12m", "all")
HALVES = ("2d", "30d", "90d", "2w", "4w", "2m", "12m")
COLUMNS = {"amount": "float", "items": "integer", "kind": "category", "paid": "boolean"}
ARROW = {
    "amount": pa.float64(), "items": pa.int64(), "kind": pa.string(), "paid": pa.bool_()
}  # fmt: skip
MOMENT = pa.timestamp("us", "UTC")
AS_OFS = (
    dt.date(2024, 2, 29), dt.date(2023, 2, 28), dt.date(2024, 3, 31), dt.date(2024, 3, 30),
    dt.date(2024, 10, 27), dt.date(2023, 3, 26), dt.date(2024, 12, 31), dt.date(2024, 4, 30),
    dt.date(2024, 5, 15), dt.date(2024, 3, 29), dt.date(2024, 1, 1), dt.date(2024, 7, 31),
)  # fmt: skip
ZONES = ("UTC", "Europe/Vienna", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu")
LOGS, BATCHES = 1_008, 36


# Plain Python, written apart from the package: one event after the other.


def days_before(length, as_of):
    """The day that a window of this length begins after."""
    if length == "all":
        return dt.date(1, 1, 1)
    number, unit = int(length[:-1]), length[-1]
    if unit in "dw":
        return as_of - dt.timedelta(days=number * (7 if unit == "w" else 1))
    month, year = as_of.month, as_of.year
    for _ in range(number):
        month -= 1
        if month == 0:
            month, year = 12, year - 1
    first_of_next = dt.date(year + month // 12, month % 12 + 1, 1)
    last = (first_of_next - dt.timedelta(days=1)).day
    ends_a_month = (as_of + dt.timedelta(days=1)).day == 1
    return dt.date(year, month, last if ends_a_month else min(as_of.day, last))


def day_of(moment, zone):
    return moment if type(moment) is dt.date else moment.astimezone(ZoneInfo(zone)).date()


def amount_of(events, of):
    """Their number, or the exact sum of a column: in millionths where it is a float."""
    if of is None:
        return len(events)
    values = [event[of] for event in events if event[of] is not None]
    return sum(round(value * 1_000_000) if of == "amount" else value for value in values)


def expected(window, events, as_of, log):  # noqa: C901, PLR0911 - one case per aggregate
    """The value of a window for one customer, from all its events."""
    start = days_before(window["window"], as_of)

    def counts(event):
        known = event.get("booked_at")
        return start < event["day"] <= as_of and (
            known is None or day_of(known, log.time_zone) <= as_of
        )

    every = [event for event in events if counts(event)]
    picked = [event for event in every if PICKS[window.get("where", "")](event)]
    of = window.get("of")
    present = [event for event in picked if of is not None and event[of] is not None]
    values = [event[of] for event in present]
    unit = 1_000_000 if of == "amount" else 1
    match window["aggregate"]:
        case "count":
            return len(picked)
        case "sum":
            return amount_of(picked, of) / unit
        case "mean":
            return amount_of(picked, of) / (len(values) * unit) if values else None
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
        case "last":
            return max(((event["at"], event[of]) for event in present), default=(0, None))[1]
        case "distinct":
            return len(set(values))
        case "days_since_last":
            newest = max((event["day"] for event in picked), default=None)
            return None if newest is None else (as_of - newest).days
        case "share":
            total = amount_of(every, of)
            return amount_of(picked, of) / total if total else None
        case "trend":
            number, unit = int(window["window"][:-1]), window["window"][-1]
            half = f"{number * 7 // 2}d" if unit == "w" else f"{number // 2}{unit}"
            turn = days_before(half, as_of)
            newer = amount_of([event for event in picked if event["day"] > turn], of)
            older = amount_of([event for event in picked if event["day"] <= turn], of)
            total = abs(newer) + abs(older)
            return (newer - older) / total if total else None


# Random logs.


def a_window(rng):
    aggregate = rng.choice(AGGREGATES)
    spec = {"aggregate": aggregate, "window": rng.choice(LENGTHS)}
    if aggregate == "trend":
        spec["window"] = rng.choice(HALVES)
    if aggregate in ("sum", "mean", "min", "max"):
        spec["of"] = rng.choice(("amount", "items"))
    elif aggregate in ("last", "distinct"):
        spec["of"] = rng.choice(list(COLUMNS))
    elif aggregate in ("share", "trend") and rng.random() < 0.5:
        spec["of"] = rng.choice(("amount", "items"))
    if aggregate == "share":
        spec["where"] = rng.choice([where for where in PICKS if where])
    elif rng.random() < 0.6:
        spec["where"] = rng.choice(list(PICKS))
    return spec


def a_moment(rng, as_of, zone, dated):
    """Often on a boundary: the as_of, the day that a window begins after, and their neighbours."""
    anchor = days_before(rng.choice(LENGTHS[:-1]), as_of) if rng.random() < 0.6 else as_of
    day = anchor + dt.timedelta(days=rng.choice((-400, -40, -8, -1, 0, 0, 0, 1, 1, 2)))
    if dated:
        return day
    hours = rng.choice((0, 0, 1, 2, 3, 12, 23, 23))
    seconds = rng.choice((0, 1, 59 * 60 + 59))
    micros = rng.choice((0, 999_999))
    local = dt.datetime.combine(day, dt.time(hours), ZoneInfo(zone)).astimezone(dt.UTC)
    return local + dt.timedelta(seconds=seconds, microseconds=micros)


def an_event(rng, as_of, log, dated):
    at = a_moment(rng, as_of, log.time_zone, dated)
    amounts = (None, float("nan"), 0.0, -0.0, 0.1, 0.2, 0.3, 1.0, -2.5, 19.99, 1e-7, 123456.789)
    event = {
        "at": at,
        "day": day_of(at, log.time_zone),
        "amount": rng.choice((*amounts, rng.uniform(-50, 50))),
        "items": rng.choice((None, -3, 0, 1, 2, 7, 2**40)),
        "kind": rng.choice((None, "payment", "refund", "Ä'\"")),
        "paid": rng.choice((None, True, False)),
    }
    if log.known_at is not None:
        later = rng.choice((0, 0, 1, 5, 40))
        event["booked_at"] = rng.choice((None, at + dt.timedelta(days=later)))
    return event


def parquet(path, log, rows, dated, columns):
    kinds = {"at": pa.date32() if dated else MOMENT, "customer": pa.string(), **ARROW}
    kinds |= {"booked_at": kinds["at"], EVENT_DAY: pa.date32()}
    renamed = [{**row, EVENT_DAY: row["day"]} for row in rows]
    table = pa.table(
        {name: pa.array([row[name] for row in renamed], kinds[name]) for name in columns}
    )
    pq.write_table(table, path, row_group_size=64)


def missing_as_none(row):
    amount = row["amount"]
    missing = amount is None or math.isnan(amount)
    return {**row, "amount": None if missing else amount + 0.0}


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_thousand_random_logs_equal_plain_python_in_every_cell(batch, tmp_path):
    """A batch of logs has one set of windows and one as_of; the logs differ in their customers."""
    rng = random.Random(batch)
    as_of = AS_OFS[batch % len(AS_OFS)]
    dated = batch % 5 == 0
    windows = {f"window_{n}": a_window(rng) for n in range(20)}
    kinds = {name: {"dtype": dtype, "nullable": True} for name, dtype in COLUMNS.items()}
    time = {"dtype": "date" if dated else "timestamp"}
    late = batch % 3 != 0
    log = Table(
        kind="events", time="at", known_at="booked_at" if late else None,
        time_zone=rng.choice(ZONES), windows=windows,
        columns={"at": time, **kinds, **({"booked_at": time} if late else {})},
    )  # fmt: skip
    customers = []
    rows = []
    for number in range(LOGS // BATCHES):
        own = [f"{number}:{place}" for place in range(rng.randint(1, 4))]
        customers += own
        for _ in range(rng.randint(0, 14)):
            owner = rng.choice([*own, f"{number}:stranger"])
            rows.append({"customer": owner, **an_event(rng, as_of, log, dated)})
    rng.shuffle(customers)
    rng.shuffle(rows)
    columns = ["customer", *log.columns, EVENT_DAY]
    parts = [rows[0::2], rows[1::2]]
    lacking = rng.choice(("paid", "items", None))
    for row in parts[0]:
        if lacking:
            row[lacking] = None
    held = [
        columns if place or not lacking else [c for c in columns if c != lacking]
        for place in (0, 1)
    ]
    folder = tmp_path / "kind=a"
    folder.mkdir()
    files = [folder / "a[1].parquet", folder / "b'2*.parquet"]
    for path, part, names in zip(files, parts, held, strict=True):
        parquet(path, log, part, dated, names)

    found = window_table(files, log, "customer", as_of, pd.Series(customers))

    assert found["customer"].to_pylist() == customers
    events = [missing_as_none(row) for row in rows]
    by_customer = {name: [row for row in events if row["customer"] == name] for name in customers}
    for name, window in windows.items():
        expect = [expected(window, by_customer[key], as_of, log) for key in customers]
        assert found[name].to_pylist() == expect, (window, log.time_zone, as_of)


def test_the_order_of_rows_threads_and_files_changes_no_bit(tmp_path):
    rng = random.Random(1)
    as_of = dt.date(2024, 5, 31)
    windows = {f"window_{n}": a_window(rng) for n in range(40)}
    log = a_log(windows)
    rows = [
        {"customer": str(rng.randint(0, 5)), **an_event(rng, as_of, log, False)}
        for _ in range(2_000)
    ]
    columns = ["customer", *log.columns, EVENT_DAY]
    customers = pd.Series([str(n) for n in range(6)])
    answers = set()
    for turn in range(3):
        rng.shuffle(rows)
        files = [tmp_path / f"{turn}{part}.parquet" for part in range(turn + 1)]
        for place, path in enumerate(files):
            parquet(path, log, rows[place :: len(files)], False, columns)
        found = window_table(files, log, "customer", as_of, customers)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, found.schema) as stream:
            stream.write_table(found.combine_chunks())
        answers.add(sink.getvalue().to_pybytes())
    assert len(answers) == 1


@pytest.mark.parametrize("kinds", [("a", "b"), ("b", "a")])
def test_the_largest_of_several_values_at_the_newest_instant_is_the_last(tmp_path, kinds):
    log = a_log({"k": {"aggregate": "last", "of": "kind", "window": "7d"}})
    event = {**an_event(random.Random(1), MAY, log, False), "customer": "one", "day": MAY}
    rows = [{**event, "kind": kind} for kind in kinds]
    path = tmp_path / "log.parquet"
    parquet(path, log, rows, False, ["customer", *log.columns, EVENT_DAY])
    found = window_table([path], log, "customer", MAY, pd.Series(["one"]))
    assert found["k"].to_pylist() == ["b"]


def a_log(windows, **fields):
    kinds = {name: {"dtype": dtype, "nullable": True} for name, dtype in COLUMNS.items()}
    return Table(
        kind="events", time="at", columns={"at": {"dtype": "timestamp"}, **kinds},
        windows=windows, **fields,
    )  # fmt: skip


ONE = {
    "n": {"aggregate": "count", "window": "7d"},
    "s": {"aggregate": "sum", "of": "amount", "window": "7d"},
}
MAY = dt.date(2024, 5, 31)


def test_customers_of_a_log_without_files_have_a_row(tmp_path):
    log = a_log({**ONE, "k": {"aggregate": "last", "of": "kind", "window": "all"}})
    found = window_table([], log, "customer", MAY, pd.Series([7, 3], dtype="Int64"))
    assert found.to_pydict() == {
        "customer": [7, 3],
        "n": [0, 0],
        "s": [0.0, 0.0],
        "k": [None, None],
    }
    assert [str(kind) for kind in found.schema.types] == ["int64", "int64", "double", "string"]
    assert list(keys_with_events([], log, "customer", "", MAY, MAY)) == []
    assert window_table([], a_log({}), "customer", MAY, pd.Series(["a"])).column_names == [
        "customer"
    ]


def test_a_number_too_large_for_an_exact_sum_is_named(tmp_path):
    log = a_log(ONE)
    row = {
        "customer": "a",
        **an_event(random.Random(1), MAY, log, False),
        "amount": 1e40,
        "day": MAY,
    }
    parquet(tmp_path / "log.parquet", log, [row], False, ["customer", *log.columns, EVENT_DAY])
    with pytest.raises(EventValueTooLarge) as refused:
        window_table([tmp_path / "log.parquet"], log, "customer", MAY, pd.Series(["a"]))
    assert refused.value.code == "EVENT_VALUE_TOO_LARGE"
    assert "32" in str(refused.value)


def test_who_has_an_event_on_some_days(tmp_path):
    log = a_log({}, known_at="at")
    rng = random.Random(4)
    rows = [
        {**an_event(rng, MAY, log, False), "customer": name, "day": MAY + dt.timedelta(days=days),
         "at": dt.datetime(2024, 5, 31 - early, 23, 59, tzinfo=dt.UTC), "amount": amount}
        for name, days, early, amount in [
            ("z", 0, 0, 5.0), ("a", 0, 0, 5.0), ("a", 0, 0, 7.0), ("b", -1, 1, 5.0), ("c", 1, 0, 5.0), ("d", 0, 0, None),
        ]
    ]  # fmt: skip
    parquet(tmp_path / "log.parquet", log, rows, False, ["customer", *log.columns, EVENT_DAY])
    files = [tmp_path / "log.parquet"]
    before = MAY - dt.timedelta(days=1)

    def keys(where, first, last, known_by=None):
        return list(keys_with_events(files, log, "customer", where, first, last, known_by))

    assert keys("amount > 0", MAY, MAY) == ["a", "z"]
    assert keys("", MAY, MAY) == ["a", "d", "z"]
    assert keys("", before, MAY + dt.timedelta(days=1)) == ["a", "b", "c", "d", "z"]
    assert keys("", before, MAY, before) == ["b"]
    assert keys("", before, MAY, MAY) == ["a", "b", "d", "z"]


def test_the_log_is_scanned_once(tmp_path, monkeypatch):
    log = a_log({f"w{n}": a_window(random.Random(n)) for n in range(12)})
    row = {"customer": "a", **an_event(random.Random(1), MAY, log, False)}
    parquet(tmp_path / "log.parquet", log, [row], False, ["customer", *log.columns, EVENT_DAY])
    asked = []
    own = duckdb.DuckDBPyConnection.sql

    class Watched:
        def __init__(self, connection):
            self._connection = connection

        def __getattr__(self, name):
            return getattr(self._connection, name)

        def sql(self, query):
            plan = self._connection.execute(f"EXPLAIN {query}").fetchall()[0][1]
            asked.append(
                plan.upper().count("PARQUET_SCAN") + plan.upper().count("FUNCTION: READ_PARQUET")
            )
            return own(self._connection, query)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._connection.close()

    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *a, **k: Watched(connect(*a, **k)))
    window_table([Path(tmp_path / "log.parquet")], log, "customer", MAY, pd.Series(["a"]))
    assert sum(asked) == 1
