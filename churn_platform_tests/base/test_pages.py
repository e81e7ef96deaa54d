"""Every value on a page is escaped, and a value that a template lacks is an error."""

import jinja2
import pytest

from churn_platform.base.pages import render


@pytest.fixture
def page(tmp_path):
    template = tmp_path / "page.html.j2"
    template.write_text("<p>{{ name | repr }} {{ rows | grouped }}{{ note }}</p>", encoding="utf-8")
    return template


def test_values_are_escaped_and_numbers_are_grouped(page):
    shown = render(page, name="<b>", rows=12345, note="")
    assert shown.startswith("<p>")
    assert "&lt;b&gt;" in shown
    assert "12,345" in shown


def test_a_missing_value_is_an_error_and_never_an_empty_place(page):
    with pytest.raises(jinja2.UndefinedError):
        render(page, name="a", rows=1)
