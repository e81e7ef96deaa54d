"""Texts in cells of spreadsheets."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from churn_platform.base.cells import FORMULA, plain, safe


@given(text=st.text(alphabet="='+-@\t\r\nab1＝", max_size=6))
@example("'=1")
@example("''=1")
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert plain(safe(text)) == text
    assert not safe(text).startswith(FORMULA)


@pytest.mark.parametrize("text", ["", "'quoted'", "a=b", "O'Neil", "1-2", " =1"])
def test_any_other_text_stays(text: str) -> None:
    assert safe(text) == plain(text) == text
