"""Every fault is one sentence a person can act on, and every kind is in the documents as the code says it."""

import re
from pathlib import Path

import numpy as np
import pytest

from churn_platform.ingestion.faults import CELL_KINDS, KINDS, STRUCTURAL_KINDS, fault, percent

DROPS = (Path(__file__).parents[2] / "docs" / "drops.md").read_text(encoding="utf-8")


def rows(*numbers):
    return np.array(numbers) - 1


def test_a_fault_of_cells_says_where_what_which_values_and_what_to_do():
    found = fault(
        "below_min", "plans", "Monthly Fee", file="plans.csv", positions=rows(3, 5, 8, 9), examples=["-1", "-2.5", "-3", "-4"],
        bound="0",
    )  # fmt: skip
    assert found.sentence() == (
        "plans.csv, column 'Monthly Fee': 4 values below the minimum 0 (found '-1', '-2.5', '-3' in rows 3, 5, 8, ...); "
        "fix the file or widen min in the contract."
    )
    assert (found.rows, found.of_cells) == ((3, 5, 8, 9), True)


def test_one_row_is_said_in_the_singular_and_a_file_s_fault_without_rows():
    assert fault("empty", "t", "x", positions=rows(4)).sentence() == (
        "table 't', column 'x': 1 value empty (in row 4); fill them or set nullable: true in the contract."
    )
    assert (
        fault("no_rows", "t", file="t.csv").sentence()
        == "t.csv: the table has no rows; deliver the month's rows."
    )
    ragged = fault("ragged_rows", "t", file="t.csv", positions=rows(2, 7), examples=["2,3,4"])
    assert ragged.sentence().startswith(
        "t.csv: 2 rows with more or fewer cells than the header (found '2,3,4' in rows 2, 7)"
    )
    assert not ragged.of_cells


def test_a_fault_of_the_drop_names_no_table():
    found = fault("future", "", as_of="2042-01-31", cadence="month", year=2042)
    assert found.sentence() == (
        "the drop: the as_of 2042-01-31 is more than one month ahead; correct the date: the year is 2042."
    )


def test_a_long_example_is_shown_cut():
    assert (
        len(fault("too_long", "t", "x", positions=rows(1), examples=["x" * 10_000]).sentence())
        < 160
    )


def test_thousands_are_shown_as_such_and_row_numbers_are_not_listed():
    found = fault("empty", "t", "x", positions=np.arange(1_000_000))
    assert found.problem == "1,000,000 values empty"
    assert found.shown_rows == "1, 2, 3, ..."


@pytest.mark.parametrize(
    ("share", "said"), [(0.01, "1%"), (0.0025, "0.25%"), (1, "100%"), (0.123456, "12.3%")]
)
def test_a_share_is_said_as_a_percentage(share, said):
    assert percent(share) == said


def test_codes_are_unique():
    assert len(KINDS) == len(CELL_KINDS) + len(STRUCTURAL_KINDS)


@pytest.mark.parametrize(
    ("heading", "kinds"),
    [("What is quarantined", CELL_KINDS), ("What is refused", STRUCTURAL_KINDS)],
)
def test_the_page_about_drops_lists_exactly_the_kinds_of_the_code_in_its_words(heading, kinds):
    section = re.search(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", DROPS, flags=re.MULTILINE | re.DOTALL
    ).group(1)
    listed = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section, flags=re.MULTILINE)
    assert listed == [(kind.code, words(kind.says), words(kind.remedy)) for kind in kinds]


def words(template):
    """A template as the page shows it: what is filled in stands in italics."""
    return re.sub(r"\{(\w+)\}", r"*\1*", template)
