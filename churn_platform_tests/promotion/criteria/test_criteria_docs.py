"""Each criterion has its heading, its paragraph, its module and its test file, and no other."""

import re
from pathlib import Path

import pytest

from churn_platform.contract.policy import Policy
from churn_platform.promotion.criteria import CRITERIA

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "criteria.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", PAGE, re.MULTILINE))


def test_the_page_has_one_heading_a_criterion_in_their_order():
    assert list(SECTIONS) == [f"{criterion.code} {criterion.title}" for criterion in CRITERIA]


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.code)
def test_each_paragraph_says_what_to_do_and_which_policy_moves_it(criterion):
    text = SECTIONS[f"{criterion.code} {criterion.title}"]
    assert len(text.split()) > 40
    assert re.search(r"\*When it\s(refuses|warns):\*", text)
    assert re.search(r"\*Moved\sby:\*", text)


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.code)
def test_each_criterion_is_a_module_that_names_its_code_and_a_test_file_that_does(criterion):
    module = ROOT / "churn_platform" / "promotion" / "criteria" / f"{criterion.name}.py"
    proof = Path(__file__).parent / f"test_{criterion.name}.py"
    assert module.read_text(encoding="utf-8").startswith(f'"""{criterion.code}: ')
    assert proof.read_text(encoding="utf-8").startswith(f'"""{criterion.code}: ')


def test_every_module_of_the_folder_is_a_criterion_that_is_asked():
    modules = {
        path.stem for path in (ROOT / "churn_platform" / "promotion" / "criteria").glob("*.py")
    }
    assert modules - {"__init__", "base"} == {criterion.name for criterion in CRITERIA}


def test_every_policy_field_that_the_page_names_exists_and_every_promotion_field_is_named():
    named = {tuple(path.split(".")[1:]) for path in re.findall(r"`(policy\.[a-z_.]+)`", PAGE)}
    for path in named:
        model = Policy()
        for part in path:
            model = getattr(model, part)
    assert {("training", "holdout_months"), ("training", "salt")} <= named
    assert all(f"`{name}`" in PAGE for name in type(Policy().promotion).model_fields)
