"""Events that several drops deliver are kept once, and the newest drop with an event counts."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.ingestion.repeated_events import new_events, without_events
from churn_platform.ingestion.rules import conform
from churn_platform.lake.arrow_tables import to_arrow, write_stamped
from churn_platform.lake.tables import lake_tables
from churn_platform_tests.ingestion.test_logs import ID, contract

MONTHS = [dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31), dt.date(2024, 4, 30)]
NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
WITH_ID = contract(*ID)
WITHOUT = contract()


def events(declared, *cells):
    """The events of a drop as the lake keeps them: key, time, amount and, with an id, id."""
    header = ["customer", "paid_at", "amount", "payment"][
        : 4 if declared.tables["payments"].id else 3
    ]
    raw = pd.DataFrame([cell[: len(header)] for cell in cells], columns=header, dtype=object)
    frame, faults = conform(declared, "payments", raw)
    assert not faults
    return lake_tables(declared, {"payments": frame}, MONTHS[0])["payments_events"]


def written(folder, declared, drops):
    """The events of each month in a file of the lake."""
    files = {}
    for month, cells in drops.items():
        path = folder / f"{month}.parquet"
        rows = events(declared, *cells)
        table = to_arrow(rows, declared.published["payments_events"])
        write_stamped(table, path, event=NOW, created=NOW)
        files[month] = path
    return files


def found(declared, month, cells, files):
    return new_events(declared, "payments", month, events(declared, *cells), files)


def test_overlap_without_an_id(tmp_path):
    january = [("a", "2024-01-30", "1"), ("a", "2024-01-31", ""), ("b", "2024-01-31", "1")]
    files = written(tmp_path, WITHOUT, {MONTHS[0]: january})
    february = [("a", "2024-01-31", ""), ("b", "2024-01-31", "2"), ("b", "2024-02-01", "1")]
    made = found(WITHOUT, MONTHS[1], february, files)
    assert (made.repeated, made.outdated, made.corrected) == (1, 0, {})
    assert made.rows["amount"].tolist() == [2, 1]
    assert found(WITHOUT, MONTHS[0], january, files).repeated == 0


def test_an_id_that_comes_again_is_repeated_or_a_correction(tmp_path):
    january = [
        ("a", "2024-01-30", "1", "p1"),
        ("a", "2024-01-31", "1", "p2"),
        ("b", "2024-01-31", "1", "p3"),
    ]
    files = written(tmp_path, WITH_ID, {MONTHS[0]: january})
    february = [
        ("a", "2024-01-31", "1", "p2"),
        ("a", "2024-02-20", "9", "p1"),
        ("b", "2024-02-01", "1", "p4"),
    ]
    made = found(WITH_ID, MONTHS[1], february, files)
    assert (made.repeated, made.outdated, made.corrected) == (1, 0, {MONTHS[0]: ["p1"]})
    assert sorted(made.rows["payment"]) == ["p1", "p4"]
    kept = without_events(files[MONTHS[0]], "payment", ["p1"])
    assert kept["payment"].tolist() == ["p2", "p3"]
    assert list(kept) == list(WITH_ID.published["payments_events"])


def test_an_earlier_drop_does_not_undo_a_correction(tmp_path):
    later = [("a", "2024-01-30", "9", "p1")]
    files = written(tmp_path, WITH_ID, {MONTHS[1]: later})
    january = [("a", "2024-01-30", "1", "p1"), ("a", "2024-01-31", "1", "p2")]
    made = found(WITH_ID, MONTHS[0], january, files)
    assert (made.repeated, made.outdated, made.corrected) == (0, 1, {})
    assert made.rows["payment"].tolist() == ["p2"]


def test_a_file_of_before_a_column_is_compared_by_what_it_has(tmp_path):
    files = written(tmp_path, WITHOUT, {MONTHS[0]: [("a", "2024-01-30", "1")]})
    column = ("tables.payments.columns.method", {"dtype": "category", "since": "2024-02-01"})
    declared = contract(column).at(MONTHS[1])
    raw = pd.DataFrame(
        [("a", "2024-01-30", "1", "card"), ("a", "2024-02-01", "1", "card")],
        columns=["customer", "paid_at", "amount", "method"],
    )
    frame, _ = conform(declared, "payments", raw)
    rows = lake_tables(declared, {"payments": frame}, MONTHS[1])["payments_events"]
    made = new_events(declared, "payments", MONTHS[1], rows, files)
    assert (made.repeated, len(made.rows)) == (1, 1)


CELLS = st.tuples(
    st.sampled_from("ab"), st.sampled_from(["2024-01-30", "2024-02-01"]), st.sampled_from(["1", "2", ""]),
    st.sampled_from(["p1", "p2", "p3", ""]),
)  # fmt: skip
OPTIONAL_ID = contract(
    ("tables.payments.columns.payment", {"dtype": "string", "nullable": True}),
    ("tables.payments.id", "payment"),
)
DROPS = {
    None: st.lists(CELLS.map(lambda cell: cell[:3]), max_size=5, unique=True),
    "payment": st.lists(CELLS, max_size=5, unique_by=lambda cell: cell[3] or cell),
}


def by_hand(month, cells, known):
    """How many events are new, repeated and outdated, and the ids that are corrected."""
    counts = [0, 0, 0]
    corrected = {}
    for cell in cells:
        hits = {
            other: held == cell
            for other in sorted(known)
            for held in known[other]
            if other != month and (held == cell or (held[3:] == cell[3:] and cell[3:] > ("",)))
        }
        newest = max(hits, default=None)
        if newest is not None and hits[newest]:
            counts[1] += 1
        elif newest is not None and newest > month:
            counts[2] += 1
        else:
            counts[0] += 1
        if newest is not None and newest < month:
            for other in (other for other, same in hits.items() if not same):
                corrected.setdefault(other, set()).add(cell[3])
    return counts, corrected


@pytest.mark.parametrize("declared", [WITHOUT, OPTIONAL_ID], ids=["without", "with an id"])
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_plain_python_agrees(tmp_path_factory, declared, data):
    drop = DROPS[declared.tables["payments"].id]
    known = data.draw(st.dictionaries(st.sampled_from(MONTHS), drop, min_size=1))
    month = data.draw(st.sampled_from(MONTHS))
    cells = data.draw(drop)
    files = written(tmp_path_factory.mktemp("lake"), declared, known)
    made = found(declared, month, cells, files)
    counts, corrected = by_hand(month, cells, known)
    assert [len(made.rows), made.repeated, made.outdated] == counts
    assert {other: set(ids) for other, ids in made.corrected.items()} == corrected
