"""Values set in the text of a contract."""

import pytest
import yaml

from churn_platform.drafting.yaml_edits import Edit, with_edits

TEXT = """\
# The gym.
tables:
  members:   # who
    columns:
      plan:
        {dtype: category, values: [basic, "No"]}
      fee: {dtype: float, min: 0}   # a month
      town:
        {dtype: category}

costs: {missed_churner: 5}
"""


@pytest.mark.parametrize(("column", "lines"), [("fee", 1), ("town", 2)])
def test_a_changed_line_leaves_the_layout_of_the_others(column, lines):
    path = ("tables", "members", "columns", column, "until")
    found = with_edits(TEXT, [Edit(path, "2026-07-31", "gone?")])
    [made] = set(found.splitlines()) - set(TEXT.splitlines())
    assert made.endswith("# confirm: gone?")
    assert len(set(TEXT.splitlines()) - set(found.splitlines())) == lines


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tables", "members", "columns", "age"), {"dtype": "integer"}),
        (("tables", "members", "columns", "plan", "values"), ["basic", "No", "plus"]),
        (("tables", "members", "columns", "plan", "renamed", "Off"), {"was": "No"}),
        (("tables", "visits"), {"columns": {"visits": {"dtype": "integer"}}}),
        (("files", "thousands"), "1"),
    ],
)
def test_what_was_set_is_read_and_all_else_is_as_before(path, value):
    found = yaml.safe_load(with_edits(TEXT, [Edit(path, value, "a doubt")]))
    wanted = yaml.safe_load(TEXT)
    place = wanted
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = value
    assert found == wanted


def test_a_comment_is_not_within_a_mapping_on_one_line():
    path = ("tables", "members", "columns", "fee", "renamed", "a")
    found = with_edits(TEXT, [Edit(path, {"was": "b"}, "a rename?")])
    [line] = [line for line in found.splitlines() if "a rename?" in line]
    assert "}}}  # confirm: a rename?" in line


def test_nothing_to_set_changes_nothing():
    assert with_edits(TEXT, []) == TEXT
