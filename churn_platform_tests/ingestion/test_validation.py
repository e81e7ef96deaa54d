"""A drop is judged with all of its files and faults at once, and no row is lost."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.ingestion.drop import open_drop
from churn_platform.ingestion.validation import validate
from churn_platform_tests.small_business import JANUARY, declared, month_tables

TODAY = dt.date(2024, 2, 1)


@pytest.fixture
def tables():
    """A valid January of 400 customers, as text."""
    return {name: table.astype(object) for name, table in month_tables(JANUARY, 400).items()}


@pytest.fixture
def judge(tmp_path):
    """Write tables as files and judge them as one drop; `known` holds the keys of tables that were published before."""

    def run(tables, *, known=None, today=TODAY, as_of=JANUARY, suffix="csv", contract=None):
        contract = contract or declared()
        for name, table in tables.items():
            if suffix == "csv":
                table.to_csv(tmp_path / f"{name}.csv", index=False)
            else:
                table.to_parquet(tmp_path / f"{name}.parquet", index=False)
        return validate(contract, open_drop(tmp_path, as_of, contract), today=today, known=known)

    return run


def keys(tables, *names):
    return {name: tables[name]["member"] for name in names}


def test_a_sound_drop_has_typed_tables_and_nothing_to_say(judge, tables):
    found = judge({name: table[::-1] for name, table in tables.items()})
    assert (found.refusals, found.faults, found.quarantined_sentence) == ((), (), "")
    members = found.tables["members"].valid
    assert members["member"].tolist() == [f"m{n:05d}" for n in range(400)]
    assert (str(members["has_app"].dtype), members["has_app"].isna().sum()) == ("boolean", 80)
    assert all(table.quarantined is None for table in found.tables.values())


def test_faulty_rows_are_put_aside_as_they_stood_and_the_others_are_sound(judge, tables):
    tables["members"]["months"] = [" 07", "-1", "many", *tables["members"]["months"][3:]]
    tables["members"]["note"] = "extra"
    found = judge(tables)
    assert found.refusals == ()
    assert found.quarantined_sentence == "2 rows quarantined: members 2."
    made = found.tables["members"]
    assert len(made.valid) == 398
    assert made.valid["months"].iloc[0] == 7
    assert made.quarantined[["row", "reasons", "member", "months", "note"]].to_numpy().tolist() == [
        [2, "months: below the minimum 0", "m00001", "-1", "extra"],
        [3, "months: not a whole number", "m00002", "many", "extra"],
    ]
    assert len(found.faults) == 2


def test_examples_are_the_words_of_the_file_even_where_it_could_be_read_typed(judge, tables):
    tables["visits"]["hours"] = ["-1.50", *["2"] * 399]
    [fault] = judge(tables).tables["visits"].report.faults
    assert (fault.code, fault.examples, fault.rows) == ("below_min", ("-1.50",), (1,))


def test_too_many_faulty_rows_refuse_the_drop_and_nothing_is_put_aside(judge, tables):
    tables["visits"]["hours"] = ["-1"] * 5 + ["2"] * 395
    found = judge(tables)
    assert [fault.code for fault in found.refusals] == ["too_many_faulty_rows"]
    assert found.tables["visits"].quarantined is None


def test_every_row_is_sound_put_aside_or_an_exact_duplicate(judge, tables):
    visits = pd.concat(
        [
            tables["visits"],
            tables["visits"].iloc[[3, 3, 9]],
            tables["visits"].iloc[[5]].assign(hours=99),
        ]
    )
    tables["visits"] = visits
    report = judge(tables).tables["visits"].report
    assert (report.rows, report.duplicates, report.faulty.tolist()) == (404, 3, [5, 403])
    assert len(judge(tables).tables["visits"].valid) == 404 - 3 - 2


def test_all_faults_of_all_files_come_at_once(judge, tables, tmp_path):
    tables["members"] = tables["members"].rename(columns={"town": "Town"})
    tables["leavers"]["has_left"] = ["perhaps", *["no"] * 399]
    (tmp_path / "visits.csv").write_bytes(b"PK\x03\x04")
    del tables["visits"]
    found = judge(tables)
    assert [(fault.code, fault.where) for fault in found.faults] == [
        ("missing_column", "members.csv, column 'town'"),
        ("excel_file", "visits.csv"),
        ("not_a_boolean", "leavers.csv, column 'has_left'"),
    ]
    assert found.refusals == found.faults[:2]


def test_a_first_drop_needs_every_feature_table_and_a_correction_does_not(judge, tables):
    members = {"members": tables["members"]}
    [fault] = judge(members).refusals
    assert (fault.code, fault.table) == ("missing_table", "visits")
    assert judge(members, known=keys(tables, "members", "visits")).refusals == ()


def test_a_table_with_two_files_is_ambiguous(judge, tables):
    judge(tables)
    found = judge({"visits": month_tables(JANUARY, 400)["visits"]}, suffix="parquet")
    [fault] = found.refusals
    assert (fault.code, fault.examples) == ("two_files", ("visits.csv", "visits.parquet"))


def test_the_tables_of_a_month_must_be_of_the_same_customers(judge, tables):
    tables["visits"] = tables["visits"][21:]
    [refusal] = judge(tables).refusals
    assert (refusal.code, refusal.file) == ("unmatched_customers", "visits.csv")


def test_a_customer_whose_row_was_put_aside_is_no_customer_that_a_table_lacks(judge, tables):
    policy = {"ingestion": {"quarantine_share": 0.1, "unmatched_share": 0.0}}
    tables["visits"]["hours"] = ["-1"] * 30 + ["2"] * 370
    assert judge(tables, contract=declared(policy=policy)).refusals == ()


def test_labels_alone_and_labels_of_some_customers_are_no_mismatch(judge, tables):
    labels = {"leavers": tables["leavers"][:5]}
    assert judge(labels, known=keys(tables, "members", "visits")).refusals == ()


def test_a_correction_must_fit_the_tables_that_were_published_before(judge, tables):
    half = {"visits": tables["visits"][:200]}
    [refusal] = judge(half, known=keys(tables, "members", "visits")).refusals
    assert refusal.code == "unmatched_customers"


def test_a_correction_that_completes_a_table_is_judged_by_what_the_month_then_is(judge, tables):
    published = {"members": tables["members"]["member"], "visits": tables["visits"]["member"][:50]}
    assert judge({"visits": tables["visits"]}, known=published).refusals == ()


@pytest.mark.parametrize(
    ("today", "refused"),
    [(dt.date(2023, 12, 31), False), (dt.date(2023, 12, 30), True), (dt.date(2030, 1, 1), False)],
)
def test_a_month_more_than_one_cadence_ahead_is_a_slip_of_the_pen(judge, tables, today, refused):
    codes = [fault.code for fault in judge(tables, today=today).refusals]
    assert codes == (["future"] if refused else [])


def test_parquet_is_judged_by_the_same_rules_with_its_own_values(judge):
    tables = month_tables(JANUARY, 400)
    tables["visits"].loc[3, "hours"] = float("inf")
    found = judge(tables, suffix="parquet")
    [fault] = found.tables["visits"].report.faults
    assert (fault.code, fault.file, fault.rows) == ("infinite", "visits.parquet", (4,))
    assert found.tables["visits"].quarantined[["row", "member"]].to_numpy().tolist() == [
        [4, "m00003"]
    ]
