"""The contacts of all months as one log: late rows, cumulative files, corrections, other spellings."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.contract.model import Contract
from churn_platform.ingestion.drop_page import page
from churn_platform.ingestion.rules import conform
from churn_platform.ingestion.validation import DropRefused
from churn_platform_tests.contacts_business import declared, without_labels
from churn_platform_tests.small_business import FEBRUARY, JANUARY, make_home, open_home

COLUMNS = ("member", "Called on", "action", "outcome", "cost", "on_list", "agent")
CUSTOMERS = 60
LATER = dt.datetime(2024, 3, 20, tzinfo=dt.UTC)
ROW = ("m00001", "2024-01-10", "call", "stays", 2.0, True, "A")


def log_of(*rows):
    """A file of contacts; missing cells at the end of a row are empty."""
    return pd.DataFrame(
        [(*row, *[None] * (len(COLUMNS) - len(row))) for row in rows], columns=COLUMNS
    )


class Business:
    """A gym that delivers months with contacts."""

    def __init__(self, folder, contract=None):
        self.now = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
        self.folder = folder
        self.home = make_home(folder / "home", contract or declared(), now=lambda: self.now)

    def accept(self, as_of, calls, others=True):
        """Accept and publish a month, or its contacts alone; what validation found."""
        files = self.folder / f"{as_of}-{self.now:%d%H%M}"
        files.mkdir()
        tables = without_labels(as_of) if others else {}
        tables = {name: table[:CUSTOMERS] for name, table in tables.items()}
        for name, table in {**tables, "calls": calls}.items():
            table.to_csv(files / f"{name}.csv", index=False)
        self.home = open_home(self.folder / "home", lambda: self.now)
        found = self.home.ingestion.accept(files, as_of)[1]
        self.home.ingestion.publish(as_of)
        self.now += dt.timedelta(hours=5)
        return found

    def log(self, known_at=LATER):
        """The contacts as known at an instant: key, day, action, outcome."""
        rows = open_home(self.folder / "home", lambda: LATER).contact_log.known(known_at)
        days = rows["contacted_on"].dt.strftime("%Y-%m-%d")
        return sorted(
            zip(rows["member"], days, rows["action"], rows["outcome"].fillna(""), strict=True)
        )


@pytest.fixture
def gym(tmp_path):
    """The gym before its first month."""
    return Business(tmp_path)


def test_a_cumulative_log_counts_a_contact_once_and_late_rows_are_added(gym):
    gym.accept(JANUARY, log_of(ROW, ROW, ("m00002", "2024-01-11", "letter")))
    between = gym.now - dt.timedelta(hours=1)
    late = ("m00003", "2024-01-05", "call")
    gym.accept(
        FEBRUARY,
        log_of(ROW, ("m00002", "2024-01-11", "letter"), late, ("m00001", "2024-02-02", "call")),
    )
    assert gym.log() == [
        ("m00001", "2024-01-10", "call", "stays"),
        ("m00001", "2024-02-02", "call", ""),
        ("m00002", "2024-01-11", "letter", ""),
        ("m00003", "2024-01-05", "call", ""),
    ]
    assert len(gym.log(between)) == 2


def test_an_outcome_that_comes_later_completes_its_contact(gym):
    gym.accept(
        JANUARY,
        log_of(
            ROW[:3], ("m00002", "2024-01-11", "call", None, 1.0), ("m00003", "2024-01-12", "call")
        ),
    )
    gym.accept(
        FEBRUARY,
        log_of(
            ROW, ("m00002", "2024-01-11", "call", "leaves", 3.0), ("m00003", "2024-01-13", "call")
        ),
    )
    assert gym.log() == [
        ("m00001", "2024-01-10", "call", "stays"),
        ("m00002", "2024-01-11", "call", ""),
        ("m00002", "2024-01-11", "call", "leaves"),
        ("m00003", "2024-01-12", "call", ""),
        ("m00003", "2024-01-13", "call", ""),
    ]


def test_two_contacts_of_a_day_stay_two_in_a_cumulative_log(gym):
    first, second = ROW[:3], ROW
    gym.accept(JANUARY, log_of(first))
    gym.accept(FEBRUARY, log_of(first, second))
    assert [outcome for *_, outcome in gym.log()] == ["", "stays"]


def test_a_correction_replaces_the_contacts_of_its_month(gym):
    gym.accept(JANUARY, log_of(ROW, ("m00002", "2024-01-11", "letter")))
    before = gym.now - dt.timedelta(hours=1)
    gym.accept(JANUARY, log_of(ROW), others=False)
    assert gym.log() == [("m00001", "2024-01-10", "call", "stays")]
    assert len(gym.log(before)) == 2
    assert gym.home.ledger.receipts("drop corrected")[-1].evidence["compared"]["contacts"] == {
        "contacts": 1, "customers": 1, "unknown": 0,
    }  # fmt: skip


def test_contacts_are_counted_and_those_of_strangers_warned_about(gym):
    stranger = ("x1", "2024-01-12", "call")
    found = gym.accept(
        JANUARY,
        log_of(ROW, stranger, ("x1", "2024-01-13", "call"), ("m00002", "2024-01-11", "letter")),
    )
    assert found.comparison.contacts.model_dump() == {"contacts": 4, "customers": 3, "unknown": 1}
    assert [one.code for one in found.warnings] == ["CONTACTS_OF_UNKNOWN_CUSTOMERS"]
    assert "x1" not in found.warnings[0].sentence
    html = page(found)
    assert "4 contacts of 3 customers." in html
    assert "1 of these customers are in no month's tables." in html.replace("\n", " ")
    known = gym.accept(FEBRUARY, log_of(("m00059", "2024-02-03", "call"), ROW))
    assert (known.comparison.contacts.unknown, list(known.warnings)) == (0, [])


def test_a_customer_of_an_earlier_month_is_no_stranger(gym):
    gym.accept(JANUARY, log_of())
    tables = {name: table[:50] for name, table in without_labels(FEBRUARY).items()}
    files = gym.folder / "few"
    files.mkdir()
    for name, table in {**tables, "calls": log_of(("m00055", "2024-02-03", "call"))}.items():
        table.to_csv(files / f"{name}.csv", index=False)
    assert gym.home.ingestion.accept(files, FEBRUARY)[1].comparison.contacts.unknown == 0


def test_faulty_contacts_are_quarantined_up_to_the_share(gym):
    rows = [
        (f"m{n % CUSTOMERS:05d}", f"2024-01-{n % 28 + 1:02d}", "call", "stays", n)
        for n in range(200)
    ]
    found = gym.accept(
        JANUARY, log_of(*rows, ("m00001", "not a day", "call"), (None, "2024-01-01", "call"))
    )
    assert len(found.tables["calls"].report.faulty) == 2
    assert len(gym.log()) == 200
    with pytest.raises(DropRefused):
        gym.accept(FEBRUARY, log_of(*rows, *[("m00001", "soon", "call")] * 3))


def test_headers_values_and_keys_that_changed_are_read_as_before(tmp_path):
    contract = declared()
    calls = dict(contract["tables"]["calls"])
    columns = {name: dict(column) for name, column in calls["columns"].items()}
    columns["called_on"]["sources"] = {"Datum": FEBRUARY}
    columns["action"]["renamed"] = {"phone": {"was": "call", "since": FEBRUARY}}
    columns["agent"]["until"] = FEBRUARY
    spelling = {"since": FEBRUARY, "remove_prefix": "K-"}
    calls |= {"columns": columns, "key_spellings": [spelling]}
    contract["tables"] = {**contract["tables"], "calls": calls}
    gym = Business(tmp_path, contract)
    gym.accept(JANUARY, log_of(ROW))
    february = log_of(
        ("K-m00001", "2024-02-02", "phone"), ("K-m00001", "2024-01-10", "phone", "stays", 2.0, True)
    )
    found = gym.accept(
        FEBRUARY, february.rename(columns={"Called on": "Datum"}).drop(columns="agent")
    )
    assert (found.comparison.contacts.unknown, list(found.warnings)) == (0, [])
    assert gym.log() == [
        ("m00001", "2024-01-10", "call", "stays"),
        ("m00001", "2024-02-02", "call", ""),
    ]


def test_a_table_that_begins_later_has_no_contacts_before(tmp_path):
    contract = declared()
    contract["tables"] = {
        **contract["tables"],
        "calls": {**contract["tables"]["calls"], "since": FEBRUARY},
    }
    gym = Business(tmp_path, contract)
    assert gym.accept(JANUARY, log_of(ROW)).comparison.contacts is None
    assert gym.log() == []
    gym.accept(FEBRUARY, log_of(ROW))
    assert len(gym.log()) == 1


CONTRACT = Contract.model_validate(declared())
ROWS = st.tuples(
    st.sampled_from(["m1", "m2", "m3"]),
    st.dates(dt.date(2024, 1, 1), dt.date(2024, 1, 4)).map(str),
    st.sampled_from(["call", "letter"]),
    st.sampled_from(["stays", "no answer", ""]),
    st.sampled_from(["1", "2.5", ""]),
    st.sampled_from(["yes", "no", ""]),
    st.sampled_from(["Anna", "Ben", ""]),
)


@given(st.lists(ROWS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_row_that_is_no_exact_repetition_is_kept(rows):
    valid, faults = conform(CONTRACT, "calls", pd.DataFrame(rows, columns=COLUMNS, dtype=str))
    assert faults == []
    assert len(valid) == len(set(rows))
    kept = valid.astype({"called_on": str}).fillna({"agent": ""})
    assert {(row.member, row.called_on, row.action) for row in kept.itertuples()} == {
        row[:3] for row in rows
    }
