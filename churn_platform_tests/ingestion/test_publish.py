"""From drop to snapshot: all or nothing, every fault at once, one receipt an act."""

import copy
import datetime as dt
import errno
import os
from pathlib import Path

import pandas as pd
import pytest
import yaml

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ContractError, UsageError
from churn_platform.base.provenance import provenance
from churn_platform.ingestion import publish as publishing
from churn_platform.ingestion.drop import Drop, FileDigests, find_drops, open_drop
from churn_platform.ingestion.publish import Ingestion
from churn_platform.ingestion.validation import DropRefused
from churn_platform.lake.lake import Lake
from churn_platform.ledger.store import LedgerStore
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)


@pytest.fixture
def tables():
    """A valid January of twelve customers."""
    return month_tables(JANUARY, 12)


@pytest.fixture
def source(tmp_path):
    """Write tables as CSV files outside the home; their folder."""

    def write(tables, folder="source"):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, table in tables.items():
            table.to_csv(tmp_path / folder / f"{name}.csv", index=False)
        return tmp_path / folder

    return write


class PowerCut(Exception):
    """Raised where a process would die."""


def cut_off(*_):
    raise PowerCut


def published(home, as_of, tables):
    """A month's drop, delivered and published."""
    deliver(home, as_of, tables)
    return home.ingestion.publish(as_of)


def refused(home, as_of, tables):
    """The error of a drop that is refused."""
    with pytest.raises(DropRefused) as caught:
        published(home, as_of, tables)
    return caught.value


def published_until(home, monkeypatch, where, step):
    """January published up to a step, at which the process dies."""
    with monkeypatch.context() as patch:
        patch.setattr(where, step, cut_off)
        with pytest.raises(PowerCut):
            home.ingestion.publish(JANUARY)


def acts(home):
    return [(receipt.act, receipt.subject) for receipt in home.ledger.receipts()]


def test_a_valid_drop_is_published_and_accepted_with_its_digest(home, tables):
    publication = published(home, JANUARY, tables)
    assert (publication.kind, publication.rows) == (
        "first",
        {"members": 12, "visits": 12, "leavers": 12},
    )
    (receipt,) = home.ledger.receipts()
    assert (receipt.act, receipt.subject, receipt.actor) == (
        "drop accepted",
        "2024-01-31",
        "tester",
    )
    assert receipt.reason == "First delivery of members, visits, leavers."
    drop = open_drop(home.drops / "2024-01-31", JANUARY, home.contract)
    assert receipt.evidence == {
        "snapshot": publication.digest,
        "delivery": home.lake.deliveries(JANUARY)[0].record_digest,
        "fingerprint": drop.fingerprint,
        "compared": home.lake.compared(JANUARY).as_json(),
        "labelled": [12, 12],
        **provenance(),
    }
    assert home.lake.snapshots(JANUARY) == [publication.digest]
    assert home.lake.digest(JANUARY) == publication.digest
    assert home.lake.fingerprint(JANUARY) == drop.fingerprint


def reordered(tables):
    """The same rows in files of other bytes."""
    return {name: table.iloc[::-1] for name, table in tables.items()}


def by_times(drop):
    """The fingerprint that versions up to 2026 recorded."""
    return digest_of(
        {n: [f.name, f.stat().st_size, f.stat().st_mtime_ns] for n, f in drop.files.items()}
    )


@pytest.fixture
def of_before(home, monkeypatch):
    """January as an earlier version published it, February by today's; then copied, with other times."""
    for month in (JANUARY, FEBRUARY):
        deliver(home, month, month_tables(month, 12))
    with monkeypatch.context() as before:
        before.setattr(Drop, "fingerprint", property(by_times))
        home.ingestion.publish(JANUARY)
    home.ingestion.publish(FEBRUARY)
    for folder in home.drops.iterdir():
        for file in folder.iterdir():
            os.utime(file, (1_700_000_000, 1_700_000_000))
    return home


def test_a_drop_of_an_earlier_version_is_recognised_by_its_content_after_a_copy(of_before):
    home = of_before
    receipts = len(home.ledger.receipts())
    assert home.ingestion.recognise() == JANUARY
    assert home.ingestion.recognise() is None
    drop = open_drop(home.drops / "2024-01-31", JANUARY, home.contract)
    assert home.lake.fingerprint(JANUARY) == drop.fingerprint
    assert [(r.act, r.subject) for r in home.ledger.receipts()[receipts:]] == [
        ("drop repeated", "2024-01-31")
    ]
    assert len(home.lake.deliveries(JANUARY)) == 1


def test_a_drop_of_an_earlier_version_with_another_content_is_read_once_and_stays_due(
    of_before, monkeypatch
):
    home = of_before
    tables = month_tables(JANUARY, 12)
    deliver(home, JANUARY, tables | {"visits": tables["visits"].assign(hours=3.5)})
    judged = []
    original = Ingestion.judge
    monkeypatch.setattr(Ingestion, "judge", lambda *given: judged.append(given) or original(*given))
    before = home.lake.fingerprint(JANUARY)
    assert [open_home(home.folder).ingestion.recognise() for _ in range(3)] == [
        None
    ] * 3  # of three ticks
    assert len(judged) == 1
    assert home.lake.fingerprint(JANUARY) == before


def test_labels_of_some_customers_are_counted_in_the_receipt(home, tables):
    published(home, JANUARY, tables | {"leavers": tables["leavers"].head(6)})
    (receipt,) = home.ledger.receipts()
    assert receipt.evidence["labelled"] == [6, 12]
    assert "6 of 12 customers have a label" in receipt.reason


def test_the_same_drop_again_publishes_nothing_and_has_one_receipt(home, tables):
    folder = deliver(home, JANUARY, tables)
    home.ingestion.publish(JANUARY)
    assert home.ingestion.publish(JANUARY).kind == "unchanged"
    assert acts(home) == [("drop accepted", "2024-01-31")]  # the same bytes are no delivery
    deliver(home, JANUARY, reordered(tables))
    for _ in range(2):
        assert home.ingestion.publish(JANUARY).kind == "unchanged"
    assert acts(home) == [("drop accepted", "2024-01-31"), ("drop repeated", "2024-01-31")]
    fingerprint = open_drop(folder, JANUARY, home.contract).fingerprint
    evidence = {"snapshot": home.lake.digest(JANUARY), "fingerprint": fingerprint, **provenance()}
    assert home.ledger.receipts()[-1].evidence == evidence
    assert home.lake.fingerprint(JANUARY) == fingerprint
    assert len(home.lake.deliveries(JANUARY)) == 1


@pytest.mark.parametrize(("where", "step"), [(LedgerStore, "append"), (Lake, "acknowledge")])
def test_a_repetition_that_was_cut_off_comes_again_and_has_one_receipt(
    home, tables, monkeypatch, where, step
):
    published(home, JANUARY, tables)
    deliver(home, JANUARY, reordered(tables))
    before = home.lake.fingerprint(JANUARY)
    published_until(home, monkeypatch, where, step)
    assert home.lake.fingerprint(JANUARY) == before  # the drop is still due
    home.ingestion.publish(JANUARY)
    assert acts(home) == [("drop accepted", "2024-01-31"), ("drop repeated", "2024-01-31")]
    assert home.lake.fingerprint(JANUARY) != before


def test_a_delivery_whose_receipt_was_cut_off_gets_it_before_the_next_one(
    home, tables, monkeypatch
):
    deliver(home, JANUARY, tables)
    published_until(home, monkeypatch, LedgerStore, "append")
    first = home.lake.fingerprint(JANUARY)
    tables["visits"]["hours"] = 3.5
    published(home, JANUARY, tables)
    assert acts(home) == [("drop accepted", "2024-01-31"), ("drop corrected", "2024-01-31")]
    assert [r.evidence["fingerprint"] for r in home.ledger.receipts()] == [
        first,
        home.lake.fingerprint(JANUARY),
    ]
    assert [r.evidence["snapshot"] for r in home.ledger.receipts()] == home.lake.snapshots(JANUARY)


def test_labels_that_come_later_are_accepted_by_themselves(home, tables):
    labels = {"leavers": tables.pop("leavers")}
    assert published(home, JANUARY, tables).tables == ("members", "visits")
    assert published(home, JANUARY, labels).kind == "addition"
    assert acts(home) == [("drop accepted", "2024-01-31")] * 2
    assert home.lake.labelled() == {JANUARY}


def test_a_refused_drop_publishes_nothing_and_writes_one_receipt_with_every_fault(home, tables):
    del tables["members"]["town"]
    tables["visits"]["hours"] = ["-1", "many", *["2"] * 10]
    error = refused(home, JANUARY, {name: tables[name] for name in ("members", "visits")})
    assert error.page == home.reports / "2024-01-31" / "drop.html"
    assert str(error.page) in str(error)
    assert [(fault.code, fault.file, fault.column, fault.examples) for fault in error.faults] == [
        ("missing_column", "members.csv", "town", ()),
        ("too_many_faulty_rows", "visits.csv", "", ()),
        ("not_a_number", "visits.csv", "hours", ("many",)),
        ("below_min", "visits.csv", "hours", ("-1",)),
    ]
    assert home.lake.months() == []
    assert not list(home.lake.folder.rglob("*.parquet"))
    (receipt,) = home.ledger.receipts()
    assert (receipt.act, receipt.subject) == ("drop refused", "2024-01-31")
    # A value may be a customer's key, and the ledger keeps it forever.
    assert "16.7%" in receipt.reason
    assert "many" not in receipt.reason
    assert "'-1'" not in receipt.reason


def test_a_month_without_a_drop_is_an_error_until_it_has_been_published(home, tables):
    with pytest.raises(UsageError) as missing:
        home.ingestion.publish(JANUARY)
    assert missing.value.code == "DROP_MISSING"
    folder = deliver(home, JANUARY, tables)
    first = home.ingestion.publish(JANUARY)
    for path in folder.iterdir():
        path.unlink()
    again = home.ingestion.publish(JANUARY)
    assert (again.kind, again.digest) == ("unchanged", first.digest)


def test_accepting_copies_the_tables_and_marks_the_drop_complete(home, tables, source):
    folder = source(tables)
    (folder / "notes.txt").write_text("mine")
    target, _ = home.ingestion.accept(folder, JANUARY)
    assert sorted(path.name for path in target.iterdir()) == [
        "_SUCCESS",
        "leavers.csv",
        "members.csv",
        "visits.csv",
    ]
    assert (target / "visits.csv").read_bytes() == (folder / "visits.csv").read_bytes()
    (drop,) = find_drops(home.drops, home.contract)
    assert drop.marked_complete
    fingerprint = drop.fingerprint
    home.ingestion.accept(folder, JANUARY)
    assert find_drops(home.drops, home.contract)[0].fingerprint == fingerprint


def test_accepting_a_parquet_file_replaces_the_csv_of_its_table(home, tables, source):
    home.ingestion.accept(source(tables), JANUARY)
    other = source({}, "other")
    tables["visits"].to_parquet(other / "visits.parquet", index=False)
    home.ingestion.publish(JANUARY)
    target, _ = home.ingestion.accept(other, JANUARY)
    assert sorted(path.name for path in target.glob("visits*")) == ["visits.parquet"]
    assert home.ingestion.publish(JANUARY).kind == "unchanged"


def test_accepting_what_breaks_the_contract_copies_nothing(home, tables, source):
    tables["visits"]["hours"] = -1.0
    with pytest.raises(DropRefused, match=r"visits\.csv.*'hours'"):
        home.ingestion.accept(source(tables), JANUARY)
    assert list(home.drops.iterdir()) == []
    with pytest.raises(UsageError, match=r"members\.csv, visits\.csv, leavers\.csv") as missing:
        home.ingestion.accept(source({}, "empty"), JANUARY)
    assert missing.value.code == "DROP_MISSING"
    assert acts(home) == []


@pytest.mark.parametrize("after", [0, 1, 2])
def test_half_of_a_drop_accepted_is_no_drop_and_accepting_again_completes_it(
    home, tables, source, monkeypatch, after
):
    copy, copies = publishing._copy, []

    def cut(one, other):
        if len(copies) == after:
            raise PowerCut
        copies.append(other)
        copy(one, other)

    monkeypatch.setattr(publishing, "_copy", cut)
    with pytest.raises(PowerCut):
        home.ingestion.accept(source(tables), JANUARY)
    monkeypatch.undo()
    assert find_drops(home.drops, home.contract) == []
    with pytest.raises(UsageError, match="2024-01-31"):
        home.ingestion.publish(JANUARY)
    home.ingestion.accept(source(tables), JANUARY)
    assert [drop.as_of for drop in find_drops(home.drops, home.contract)] == [JANUARY]
    assert home.ingestion.publish(JANUARY).kind == "first"


@pytest.fixture
def many():
    """A valid January of 400 customers, as text: up to four rows of a table may be faulty."""
    return {name: table.astype(object) for name, table in month_tables(JANUARY, 400).items()}


def aside(home, delivery=1, table="visits"):
    return home.folder / "quarantine" / "2024-01-31" / str(delivery) / f"{table}.csv"


def test_faulty_rows_are_put_aside_counted_and_receipted_and_the_rest_is_published(home, many):
    many["visits"].loc[[3, 7], "hours"] = ["-1", "many"]
    many["visits"] = pd.concat([many["visits"], many["visits"][:1]])
    publication = published(home, JANUARY, many)
    assert publication.rows == {"members": 400, "visits": 398, "leavers": 400}
    assert aside(home).read_text().splitlines() == [
        "row,reasons,member,hours",
        "4,hours: below the minimum 0,m00003,-1",
        "8,hours: not a number,m00007,many",
    ]
    found = home.lake.quarantines(JANUARY)
    assert list(found) == ["visits"]
    visits = found["visits"]
    assert (visits.rows, visits.quarantined, visits.duplicates) == (401, 2, 1)
    assert visits.file == "quarantine/2024-01-31/1/visits.csv"
    (receipt,) = home.ledger.receipts()
    assert (
        receipt.reason
        == "First delivery of members, visits, leavers. 2 rows quarantined: visits 2."
    )
    assert receipt.evidence["quarantine"] == {"visits": visits.digest}
    assert (home.reports / "2024-01-31" / "drop.html").exists()


def test_the_same_faulty_files_again_change_nothing_but_bring_back_a_lost_page(home, many):
    many["visits"].loc[3, "hours"] = "-1"
    first = published(home, JANUARY, many)
    before = aside(home).read_bytes()
    page = home.reports / "2024-01-31" / "drop.html"
    page.unlink()
    again = published(home, JANUARY, many)
    assert (again.kind, again.digest, aside(home).read_bytes()) == (
        "unchanged",
        first.digest,
        before,
    )
    assert page.exists()
    assert acts(home) == [("drop accepted", "2024-01-31")]


def test_a_mended_row_is_a_correction_and_leaves_the_quarantine(home, many):
    many["visits"].loc[3, "hours"] = "-1"
    published(home, JANUARY, many)
    many["visits"].loc[3, "hours"] = "1"
    assert published(home, JANUARY, many).rows["visits"] == 400
    assert home.lake.quarantines(JANUARY) == {}
    assert not (home.reports / "2024-01-31" / "drop.html").exists()
    assert aside(home).exists()  # of the first delivery: what was left out then
    assert not aside(home, 2).exists()


def test_a_receipt_of_rows_put_aside_that_was_cut_off_is_written_once(home, many, monkeypatch):
    published(home, JANUARY, many)
    many["visits"] = pd.concat([many["visits"], pd.DataFrame({"member": ["n1"], "hours": ["-1"]})])
    deliver(home, JANUARY, many)
    published_until(home, monkeypatch, LedgerStore, "append")
    for _ in range(2):
        assert home.ingestion.publish(JANUARY).kind == "unchanged"
    assert [act for act, _ in acts(home)] == ["drop accepted", "drop corrected"]


@pytest.mark.parametrize("typed", [dt.date(2042, 1, 31), dt.date(2024, 4, 30)])
def test_a_month_far_ahead_of_the_clock_is_refused_wherever_it_comes_from(
    tmp_path, tables, source, typed
):
    now = dt.datetime(2024, 3, 3, tzinfo=dt.UTC)
    home = make_home(tmp_path / "home", now=lambda: now)
    with pytest.raises(DropRefused, match=str(typed)):
        home.ingestion.accept(source(tables), typed)
    assert str(typed) in str(refused(home, typed, tables))
    assert home.lake.months() == []


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


FULL_DISK = [
    ("rows put aside", "churn_platform.lake.deliveries.write_text"),
    ("a table", "pyarrow.parquet.write_table"),
    ("the fsync", "churn_platform.base.files.fsync_file"),
    ("the rename", "pathlib.Path.replace"),
    ("the manifest", "churn_platform.lake.lake.write_json"),
]


@pytest.mark.parametrize(
    "target", [target for _, target in FULL_DISK], ids=[where for where, _ in FULL_DISK]
)
@pytest.mark.parametrize("known", [False, True], ids=["first", "correction"])
def test_a_full_disk_publishes_nothing_and_the_next_run_completes(
    home, many, monkeypatch, target, known
):
    if known:
        published(home, JANUARY, many)
    months, digest = home.lake.months(), home.lake.digest(JANUARY)
    many["visits"].loc[3, "hours"] = "-1"
    folder = deliver(home, JANUARY, many)
    delivered = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(target, full)
        with pytest.raises(OSError, match="No space left on device"):
            home.ingestion.publish(JANUARY)
    assert (home.lake.months(), home.lake.digest(JANUARY)) == (months, digest)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == delivered
    assert not list(home.folder.rglob("*.tmp"))
    assert home.ingestion.publish(JANUARY).rows["visits"] == 399
    assert home.ingestion.publish(JANUARY).kind == "unchanged"
    assert len(acts(home)) == 1 + known


def test_a_delivery_arrives_when_the_clock_says(tmp_path, tables):
    now = dt.datetime(2024, 3, 3, 4, 5, tzinfo=dt.UTC)
    home = make_home(tmp_path / "home")
    deliver(
        home,
        FEBRUARY,
        {name: pd.DataFrame(table) for name, table in month_tables(FEBRUARY, 5).items()},
    )
    open_home(home.folder, lambda: now).ingestion.publish(FEBRUARY)
    assert home.lake.deliveries(FEBRUARY)[0].arrived == dt.datetime(2024, 3, 3, 4, 5, tzinfo=dt.UTC)
    assert home.ledger.receipts()[0].time == "2024-03-03T04:05:00.000000+00:00"


def test_a_column_that_is_new_in_the_contract_is_refused_before_a_month_is_mixed(january_copy):
    declared = copy.deepcopy(DECLARED)
    declared["tables"]["visits"]["columns"]["lessons"] = {"dtype": "integer", "nullable": True}
    (january_copy.folder / "contract.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    home = open_home(january_copy.folder)
    tables = month_tables(FEBRUARY)
    tables["visits"]["lessons"] = 1
    deliver(home, FEBRUARY, tables)
    with pytest.raises(ContractError, match=r"visits\.lessons"):
        home.ingestion.publish(FEBRUARY)
    assert home.lake.months() == [JANUARY]


def test_a_column_that_the_contract_no_longer_names_is_no_hindrance(january_copy):
    declared = copy.deepcopy(DECLARED)
    del declared["tables"]["members"]["columns"]["town"]
    (january_copy.folder / "contract.yaml").write_text(
        yaml.safe_dump(declared | {"slices": ["plan"]}), encoding="utf-8"
    )
    home = open_home(january_copy.folder)
    deliver(home, FEBRUARY)
    assert home.ingestion.publish(FEBRUARY).kind == "first"


def test_a_second_as_of_within_one_cadence_is_refused_and_a_correction_of_the_first_is_not(
    tmp_path,
):
    home = make_home(tmp_path / "home")
    for day in (30, 31):
        deliver(home, dt.date(2024, 1, day), month_tables(JANUARY, 40))
    first = dt.date(2024, 1, 30)
    home.ingestion.publish(first)
    with pytest.raises(DropRefused) as close:
        home.ingestion.publish(JANUARY)
    [fault] = close.value.faults
    assert fault.code == "as_of_too_close"
    for fact in ("2024-01-31", "1 day", "2024-01-30"):
        assert fact in fault.says
    assert home.lake.months() == [first]
    assert home.ledger.receipts("drop refused")[-1].subject == "2024-01-31"
    assert published(home, first, month_tables(JANUARY, 41)).kind == "correction"
    published(home, FEBRUARY, month_tables(FEBRUARY, 40))
    assert home.lake.months() == [first, FEBRUARY]


def rewritten(home, **changes):
    """The home of a new process, with other parts of the contract."""
    (home.folder / "contract.yaml").write_text(
        yaml.safe_dump({**DECLARED, **changes}, sort_keys=False)
    )
    return open_home(home.folder)


def churned(home, as_of):
    table = home.lake.tables(as_of)["leavers"]
    return dict(zip(table["member"], table["has_left"], strict=True))


def test_published_months_are_due_again_when_their_files_are_to_be_read_otherwise(home):
    for month in (JANUARY, FEBRUARY):
        published(home, month, month_tables(month, 12))
    before = {month: churned(home, month) for month in (JANUARY, FEBRUARY)}
    inverted = rewritten(home, label={**DECLARED["label"], "inverted": True})
    changed = [month.drop != month.published for month in inverted.progress().months()]
    assert changed == [True, True]
    for month in (JANUARY, FEBRUARY):
        step = inverted.progress().next_step()
        assert (step.kind, step.as_of) == ("monthly", JANUARY)  # until its records are made as well
        assert inverted.ingestion.publish(month).kind == "correction"
        assert churned(inverted, month) == {
            member: not left for member, left in before[month].items()
        }
    assert [month.drop == month.published for month in inverted.progress().months()] == [True, True]


def test_a_declaration_that_changes_no_value_is_noted_and_publishes_nothing(home, tables):
    published(home, JANUARY, tables)
    before = home.lake.fingerprint(JANUARY)
    declared_again = rewritten(home, files={"missing": ["-"]})
    assert declared_again.ingestion.publish(JANUARY).kind == "unchanged"
    assert declared_again.lake.fingerprint(JANUARY) != before


def test_a_file_that_cannot_be_read_is_named_and_keeps_no_other_month_from_its_state(
    home, monkeypatch
):
    for month in (JANUARY, FEBRUARY):
        deliver(home, month, month_tables(month, 12))
    home.ingestion.publish(JANUARY)
    locked = home.drops / "2024-02-29" / "visits.csv"
    opened = Path.open

    def denied(path, *given, **named):
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *given, **named)

    monkeypatch.setattr(Path, "open", denied)
    states = {month.as_of: month for month in open_home(home.folder).progress().months()}
    assert states[JANUARY].drop == states[JANUARY].published
    with pytest.raises(DropRefused, match=r"visits\.csv: permission denied"):
        home.ingestion.publish(FEBRUARY)
    locked_state = states[FEBRUARY].drop
    monkeypatch.undo()
    assert open_drop(locked.parent, FEBRUARY, home.contract).fingerprint != locked_state
    home.ingestion.publish(FEBRUARY)


def test_files_that_are_still_uploaded_are_not_hashed(of_before, monkeypatch):
    home = of_before
    for folder in home.drops.iterdir():
        (folder / "_SUCCESS").unlink()
        for file in folder.iterdir():
            os.utime(file)
    with monkeypatch.context() as patch:
        patch.setattr(FileDigests, "of", cut_off)
        assert home.ingestion.recognise() is None
        assert [(month.settled, month.arriving) for month in home.progress().months()] == [
            (False, True)
        ] * 2
    for folder in home.drops.iterdir():
        (folder / "_SUCCESS").touch()
    assert home.ingestion.recognise() == JANUARY
    assert [month.arriving for month in home.progress().months()] == [False, False]
