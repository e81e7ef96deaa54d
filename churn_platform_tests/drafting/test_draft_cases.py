"""Tables as people have them: a draft from each passes on its own files, or is refused with what to do."""

import runpy
import sys
import types

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.contract.reading import read_contract
from churn_platform.drafting.check import check_drops
from churn_platform.drafting.contract_file import as_yaml, draft_from
from churn_platform_tests.cases import CASES, case

NAMES = sorted(path.parent.name for path in CASES.glob("*/make.py"))
SMALLEST = (
    "d1-19-digit-key", "d1-19-digit-key-told", "d1-float-key-told", "d2-disjoint-keys", "d3-label-table-later",
    "d4-nameless-column", "d5-comma-with-NULL", "d5-point-with-NULL", "d6-comma-beside-version", "d7-gap-words",
    "d8-money", "d9-dates", "d10-dot-thousands", "d11-spaces-case", "d12-not-churned", "d13-utf16",
    "d14-quoted-newlines", "d15-header-again", "d16-sep", "d17-cp1250", "d18-codes", "d19-total", "d20-row-number",
)  # fmt: skip
REFUSED = {
    "61-zeros-lost-one-table": "leading zeros",
    "d2-disjoint-keys": "leading zeros",
    "d19-total": "row 401 is 'Total'",
}
"""What stops a draft, and a word of the refusal."""


def drafted(folder, tmp_path, entity=None):
    """The contract as it is written and read again, its text, and that its own files pass it."""
    _, found = draft_from(folder, name="small", entity=entity)
    text = as_yaml(found)
    (tmp_path / "contract.yaml").write_text(text, encoding="utf-8")
    contract = read_contract(tmp_path / "contract.yaml")
    assert [line.says for line in check_drops(contract, folder) if line.state == "fail"] == []
    return contract, text


@pytest.mark.parametrize("name", NAMES)
def test_the_draft_of_a_case_passes_on_its_own_files_or_is_refused_with_what_to_do(name, tmp_path):
    folder = case(name, tmp_path)
    if name in REFUSED:
        with pytest.raises(UsageError, match=REFUSED[name]):
            draft_from(folder, name="small")
        return
    contract, text = drafted(folder, tmp_path)
    assert (
        "unmatched_share" not in text.split("the defaults")[0]
        or "outcome" not in contract.feature_tables
    )
    facts = FACTS.get(name, {})
    for column, expected in facts.items():
        spec = next(
            table.columns[column] for table in contract.tables.values() if column in table.columns
        )
        assert spec.model_dump(include=set(expected)) == expected, column
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{column}:"))
        where = text[text.index(line) :].splitlines()[:2]
        assert name in UNDOUBTED or "# confirm" in " ".join(where), column
    for word in ABSENT.get(name, ()):
        assert word not in contract.features


FACTS = {
    "40-german-mixed": {
        "monthly_fee": {"dtype": "float"},
        "app_version": {"dtype": "float", "decimal": "."},
    },
    "41-german-gaps": {"monthly_fee": {"dtype": "float", "nullable": True}},
    "41c-point-gaps-hours": {"hours_30d": {"dtype": "float", "nullable": True}},
    "54-dates-excel": {"joined": {"dtype": "date", "date_format": "excel"}},
    "56-sentinels": {
        "logins_30d": {"min": 0, "missing": ("-1",), "nullable": True},
        "tickets_90d": {"max": 20, "missing": ("999",), "nullable": True},
    },
    "57-percent-currency": {
        "monthly_fee": {"dtype": "float", "unit": "€"},
        "discount": {"dtype": "float", "unit": "%"},
        "paid_total": {"dtype": "float", "thousands": ","},
    },
    "65-null-words": {
        "m0_30d": {"dtype": "integer", "missing": ("-",)},
        "m2_30d": {"dtype": "integer", "missing": ("\\N",)},
    },
    "95-label-9-unknown": {"churned": {"dtype": "boolean", "missing": ("9",), "nullable": True}},
}
UNDOUBTED = ("40-german-mixed", "41-german-gaps", "95-label-9-unknown")
"""Columns without a doubt of their own; the doubt about the label is on its line."""
ABSENT = {
    "74-index-column": ("column", "unnamed_0", "usage_unnamed_0"),
    "76-outcome-with-more": ("closed_via",),
    "77-index-only": ("column",),
}
KEYS = {
    "59-float-key-one-table": "integer",
    "60-float-key-everywhere": "integer",
    "71-big-int-key": "integer",
}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_keys_with_a_decimal_point_or_of_19_digits_are_whole_numbers(name, tmp_path):
    contract, _ = drafted(case(name, tmp_path), tmp_path)
    assert contract.entity.dtype == KEYS[name]
    assert contract.policy.ingestion.unmatched_share == pytest.approx(0.05)


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    """The files of `drafts_min.py`, with churn that the number of logins does not tell."""
    script = CASES / "drafts_min.py"
    if not script.exists():
        pytest.skip(f"{script} is missing: the small inputs are not part of the repository")
    folder = tmp_path_factory.mktemp("smallest")
    copy = folder / "cases" / "drafts_min.py"
    copy.parent.mkdir()
    text = script.read_text(encoding="utf-8")
    assert "(i * 7) % 10" in text
    copy.write_text(text.replace("(i * 7) % 10", "(i * 2654435761 >> 7) % 10"), encoding="utf-8")
    said = types.ModuleType("inproc")
    said.call = lambda *_: ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "inproc", said)
        patch.chdir(folder)
        runpy.run_path(str(copy))
    return folder / "d"


@pytest.mark.parametrize("name", SMALLEST)
def test_the_draft_of_a_smallest_file_passes_on_it_or_is_refused_with_what_to_do(
    name, smallest, tmp_path
):
    folder = smallest / name / "in"
    entity = "customer_id" if name.endswith("told") else None
    if name in REFUSED:
        with pytest.raises(UsageError, match=REFUSED[name]):
            draft_from(folder, name="small", entity=entity)
        return
    contract, text = drafted(folder, tmp_path, entity)
    for column, expected in SMALLEST_FACTS.get(name, {}).items():
        spec = next(
            table.columns[column] for table in contract.tables.values() if column in table.columns
        )
        assert spec.model_dump(include=set(expected)) == expected, column
    assert not {"closed_via", "column", "unnamed_0"} & set(contract.features)
    assert contract.label.inverted == (name == "d12-not-churned")
    assert ("is a guess: is" in text) == (name == "d17-cp1250")
    assert ("differ by case or blanks" in text) == (name == "d11-spaces-case")


SMALLEST_FACTS = {
    "d5-comma-with-NULL": {
        "hours": {"dtype": "float", "nullable": True},
        "fee": {"dtype": "float"},
    },
    "d5-point-with-NULL": {"hours": {"dtype": "float", "nullable": True}},
    "d6-comma-beside-version": {
        "hours": {"dtype": "float"},
        "version": {"dtype": "float", "decimal": "."},
    },
    "d7-gap-words": {"hours": {"missing": ("-",)}, "visits": {"missing": ("?",)}},
    "d8-money": {
        "fee": {"dtype": "float", "unit": "€"},
        "discount": {"dtype": "float", "unit": "%"},
    },
    "d9-dates": {
        "compact": {"dtype": "date"},
        "excel": {"dtype": "date", "date_format": "excel"},
        "epoch": {"dtype": "date", "date_format": "epoch_seconds"},
    },
    "d10-dot-thousands": {"pages": {"dtype": "integer", "thousands": "."}},
    "d18-codes": {"product": {"dtype": "category", "values": ("12E3", "1E2", "2E5")}},
}
