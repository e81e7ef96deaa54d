"""The anchor: what was written last is read back, whole, and what is no anchor is an error that names the file."""

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.ledger.receipts import Anchor
from churn_platform.ledger.store import read_anchor, write_anchor


def anchor(sequence, letter="a"):
    return Anchor(sequence=sequence, digest=letter * 64)


def test_there_is_no_anchor_before_the_first(tmp_path):
    assert read_anchor(tmp_path / "anchor.json") is None


@pytest.mark.parametrize("before", [1, 9, 10**15])
@pytest.mark.parametrize("after", [2, 10, 10**15 + 1])
def test_a_shorter_or_longer_number_replaces_the_one_before_exactly(tmp_path, before, after):
    file = tmp_path / "anchor.json"
    write_anchor(file, anchor(before, "b"))
    write_anchor(file, anchor(after))
    assert read_anchor(file) == anchor(after)
    assert file.stat().st_size == 128
    assert [path.name for path in tmp_path.iterdir()] == ["anchor.json"]


def test_what_somebody_added_behind_it_is_gone_with_the_next(tmp_path):
    file = tmp_path / "anchor.json"
    write_anchor(file, anchor(1))
    file.write_text(file.read_text() + "more\n")
    write_anchor(file, anchor(2))
    assert read_anchor(file) == anchor(2)


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"sequence": 1}', '{"sequence": 0, "digest": "x"}']
)
def test_a_file_that_is_no_anchor_is_named(tmp_path, text):
    (tmp_path / "anchor.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"anchor\.json"):
        read_anchor(tmp_path / "anchor.json")
