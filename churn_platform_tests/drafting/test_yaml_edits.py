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


@pytest.mark.parametrize("word", ["No", "yes", "1", "2024-01-31", "null", "a: b", "# x", "x"])
def test_a_value_is_read_back_as_the_text_it_was(word):
    path = ("tables", "members", "columns", "plan")
    edits = [
        Edit((*path, "values"), ["basic", "No", word]),
        Edit((*path, "renamed", word), {"was": word}, "a rename?"),
    ]
    read = yaml.safe_load(with_edits(TEXT, edits))["tables"]["members"]["columns"]["plan"]
    assert read["values"] == ["basic", "No", word]
    assert read["renamed"] == {word: {"was": word}}


def test_doubts_about_one_line_are_one_comment():
    path = ("tables", "members", "columns")
    edits = [
        Edit((*path, "fee", "until"), "2026-07-31", "first"),
        Edit((*path, "fee", "nullable"), True, "second"),
        Edit((*path, "town", "nullable"), True, "third"),
    ]
    found = with_edits(TEXT, edits)
    assert found.count("# confirm: ") == 2
    assert "# confirm: first; second" in found


def test_a_list_that_grows_keeps_the_comments_of_its_lines():
    text = "features:\n      - plan  # first\n      - fee\n"
    found = with_edits(text, [Edit(("features",), ["plan", "fee", "nps"])])
    assert yaml.safe_load(found) == {"features": ["plan", "fee", "nps"]}
    assert "      - plan  # first\n" in found
