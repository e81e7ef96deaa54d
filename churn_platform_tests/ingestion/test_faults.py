"""Every fault is a sentence to act on, and the documents list every kind in the words of the code."""

import re
from pathlib import Path

import numpy as np
import pytest

from churn_platform.base.text import percent
from churn_platform.ingestion.faults import CELL_KINDS, KINDS, STRUCTURAL_KINDS, fault

DROPS = (Path(__file__).parents[2] / "docs" / "drops.md").read_text(encoding="utf-8")


def rows(*numbers):
    return np.array(numbers) - 1


@pytest.mark.parametrize(
    ("found", "facts"),
    [
        (
            fault("below_min", "plans", "Fee", file="plans.csv", positions=rows(3, 5, 8, 9), examples=["-1", "-2.5", "-3", "-4"], bound="0"),
            ["plans.csv, column 'Fee': 4 values", "minimum 0", "'-1', '-2.5', '-3' in rows 3, 5, 8, ..."],
        ),
        (fault("empty", "t", "x", positions=rows(4)), ["table 't', column 'x': 1 value ", "in row 4"]),
        (fault("no_rows", "t", file="t.csv"), ["t.csv: "]),
        (
            fault("ragged_rows", "t", file="t.csv", positions=rows(2, 7, 9), examples=["2,3,4"]),
            ["t.csv: 3 rows ", "'2,3,4' in rows 2, 7, 9)"],
        ),
        (fault("future", "", as_of="2042-01-31", cadence="month", year=2042), ["the drop: ", "2042-01-31"]),
    ],
    ids=lambda value: value.code if hasattr(value, "code") else "",
)  # fmt: skip
def test_a_sentence_contains_where_how_many_which_values_and_which_rows(found, facts):
    said = found.sentence()
    for fact in facts:
        assert fact in said
    assert said.endswith(f"; {found.remedy}.")
    assert found.of_cells == (found.code in ("below_min", "empty"))


def test_a_long_example_is_shown_cut():
    assert (
        len(fault("too_long", "t", "x", positions=rows(1), examples=["x" * 10_000]).sentence())
        < 160
    )


def test_thousands_are_shown_as_such_and_row_numbers_are_not_listed():
    found = fault("empty", "t", "x", positions=np.arange(1_000_000))
    assert found.problem.startswith("1,000,000 values ")
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
    """A template as the page shows it: what is filled in is in italics."""
    return re.sub(r"\{(\w+)\}", r"*\1*", template)
