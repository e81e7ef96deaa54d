"""docs/python.md: its examples run, and it has every public name."""

import doctest
import re
from pathlib import Path

import matplotlib
import pandas as pd

import churn_platform as churn

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_examples_of_the_page_are_true(worked, tmp_path, monkeypatch):
    (tmp_path / "my_home").symlink_to(worked.folder)
    monkeypatch.chdir(tmp_path)
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    failures: list[str] = []
    with pd.option_context("display.width", 200):
        doctest.DocTestRunner().run(test, out=failures.append)
    assert failures == []
    assert len(test.examples) > 15
    assert matplotlib.image.imread(tmp_path / "effect.png").shape[2] == 4


def test_every_public_name_is_on_the_page():
    from churn_platform.notebooks.plots import HomePlots

    for kind in (churn.OpenedHome, churn.OpenedModel, HomePlots):
        for name in vars(kind):
            if not name.startswith("_"):
                assert re.search(rf"\b{name}\b", TEXT), f"{kind.__name__}.{name}"
    for name in set(churn.__all__) - {"__version__"}:
        assert f"churn.{name}" in TEXT or f"`{name}`" in TEXT, name


def test_every_column_is_on_the_page(worked, february):
    home = churn.open(worked.folder)
    for frame in (home.months(), home.performance(), home.history(), home.effect(), home.scores()):
        for column in frame.columns.drop(["member"], errors="ignore"):
            if not column.startswith("reason_"):
                assert f"`{column}`" in TEXT, column
