"""Few faulty rows are quarantined with their reasons; too many, or customers that a table lacks, refuse the drop."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.ingestion.faults import fault
from churn_platform.ingestion.validation import (
    TableReport,
    in_words_of,
    quarantined_rows,
    unmatched,
)
from churn_platform.lake.deliveries import quarantined_sentence


def cells(code, *rows, column="fee", **words):
    details = {"bound": "0", "values": "", "as_of": None} | words
    return fault(code, "plans", column, file="plans.csv", positions=np.array(rows) - 1, **details)


def report(*faults, rows=200, duplicates=0, allowed=0.01):
    return TableReport("plans", "plans.csv", rows, duplicates, faults, allowed)


def test_a_row_with_two_faults_is_one_faulty_row():
    found = report(cells("below_min", 3, 9), cells("empty", 3, column="tier"))
    assert found.faulty.tolist() == [2, 8]
    assert report().faulty.tolist() == []


@pytest.mark.parametrize(
    ("rows", "allowed", "refused"), [(200, 0.01, False), (199, 0.01, True), (10_000, 0, True)]
)
def test_exactly_the_allowed_share_is_quarantined_and_more_refuses(rows, allowed, refused):
    found = report(cells("below_min", 3, 9), rows=rows, allowed=allowed)
    assert [fault.code for fault in found.refusals] == (["too_many_faulty_rows"] if refused else [])


def test_the_refusal_says_how_many_and_how_many_are_allowed():
    [refusal] = report(cells("below_min", *range(1, 51)), rows=1200).refusals
    for fact in ("50", "1,200", "4.17%", "1%"):
        assert fact in refusal.says


def test_a_fault_of_the_file_refuses_whatever_its_rows():
    structural = fault("no_rows", "plans", file="plans.csv")
    assert report(structural, rows=0).refusals == (structural,)


def test_the_summary_counts_and_names_the_worst_reason_first():
    found = report(cells("empty", 3, column="tier"), cells("below_min", 3, 9), duplicates=4)
    record = found.record()
    assert (record.rows, record.quarantined, record.duplicates) == (200, 2, 4)
    assert record.reasons == tuple(fault.sentence() for fault in reversed(found.faults))


def test_faulty_rows_stand_as_they_were_after_their_number_and_reasons():
    delivered = pd.DataFrame(
        {"member": ["a", "b", "c"], "fee": ["-1", " 2", "x"], "row": ["my", "own", "column"]}
    )
    found = report(
        cells("not_a_number", 3),
        cells("below_min", 1),
        cells("empty", 1, column="Your Tier"),
        rows=3,
    )
    assert quarantined_rows(found, delivered).to_csv(index=False).splitlines() == [
        "row,reasons,member,fee,row",
        "1,fee: below the minimum 0; Your Tier: empty,a,-1,my",
        "3,fee: not a number,c,x,column",
    ]
    assert list(delivered.columns) == ["member", "fee", "row"]


def test_the_sentence_counts_the_tables_that_have_rows_put_aside():
    assert quarantined_sentence({"plans": 1_200, "people": 0, "visits": 1}) == (
        "1,201 rows quarantined: plans 1,200, visits 1."
    )
    assert quarantined_sentence({"plans": 1}) == "1 row quarantined: plans 1."
    assert quarantined_sentence({"plans": 0}) == quarantined_sentence({}) == ""


@pytest.mark.parametrize("dtype", ["string[pyarrow]", "Int64"])
def test_a_table_that_lacks_too_many_of_the_month_s_customers_is_named_with_some(dtype):
    everyone = pd.Series(range(100)).astype(dtype)
    keys = {"people": everyone[:99], "visits": everyone[6:], "plans": everyone[5:]}
    [found] = unmatched(keys, {"visits": "visits.csv"}, 0.05)
    assert (found.code, found.file, found.examples) == (
        "unmatched_customers",
        "visits.csv",
        ("0", "1", "2"),
    )
    for fact in ("6", "100", "6%", "5%"):
        assert fact in found.says
    assert unmatched(keys, {}, 0.06) == []
    assert unmatched({}, {}, 0.05) == []


def test_examples_are_shown_in_the_words_of_the_file():
    delivered = pd.DataFrame({"fee": ["-1.50", "3", "x" * 100, "-2", "-3"]})
    found = fault(
        "below_min",
        "plans",
        "fee",
        positions=np.array([0, 2, 3, 4]),
        examples=[-1.5, -2],
        bound="0",
    )
    assert in_words_of(delivered, found).examples == ("-1.50", "x" * 60, "-2")
    empty = cells("empty", 1)
    assert in_words_of(delivered, empty) == empty
