"""Tables as people have them: a draft from each passes on its own files, or is refused with what to do."""

import runpy
import sys
import types

import pytest

from churn_platform.contract.reading import read_contract
from churn_platform.drafting.check import check_drops
from churn_platform.drafting.contract_file import as_yaml, draft_from
from churn_platform_tests.cases import CASES, case
from churn_platform_tests.drafting.sheets import refused

SMALLEST = (
    "d1-19-digit-key", "d1-19-digit-key-told", "d1-float-key-told", "d2-disjoint-keys", "d3-label-table-later",
    "d4-nameless-column", "d5-comma-with-NULL", "d5-point-with-NULL", "d6-comma-beside-version", "d7-gap-words",
    "d8-money", "d9-dates", "d10-dot-thousands", "d11-spaces-case", "d12-not-churned", "d13-utf16",
    "d14-quoted-newlines", "d15-header-again", "d16-sep", "d17-cp1250", "d18-codes", "d19-total", "d20-row-number",
)  # fmt: skip
NAMES = [*sorted(path.parent.name for path in CASES.glob("*/make.py")), *SMALLEST]
REFUSED = {
    "61-zeros-lost-one-table": "leading zeros",
    "d2-disjoint-keys": "leading zeros",
    "d19-total": "row 401 is 'Total'",
}
"""What stops a draft, and a fact of the refusal."""
NUMBER, GAPS = {"dtype": "float"}, {"dtype": "float", "nullable": True}
POINT = {"dtype": "float", "decimal": "."}
EURO, PERCENT = {"dtype": "float", "unit": "€"}, {"dtype": "float", "unit": "%"}
EXCEL = {"dtype": "date", "date_format": "excel"}
FACTS = {
    "40-german-mixed": {"monthly_fee": NUMBER, "app_version": POINT},
    "41-german-gaps": {"monthly_fee": GAPS},
    "41c-point-gaps-hours": {"hours_30d": GAPS},
    "54-dates-excel": {"joined": EXCEL},
    "56-sentinels": {
        "logins_30d": {"min": 0, "missing": ("-1",), "nullable": True},
        "tickets_90d": {"max": 20, "missing": ("999",), "nullable": True},
    },
    "57-percent-currency": {
        "monthly_fee": EURO, "discount": PERCENT, "paid_total": NUMBER | {"thousands": ","},
    },
    "65-null-words": {
        "m0_30d": {"dtype": "integer", "missing": ("-",)}, "m2_30d": {"dtype": "integer", "missing": ("\\N",)},
    },
    "95-label-9-unknown": {"churned": {"dtype": "boolean", "missing": ("9",), "nullable": True}},
    "d5-comma-with-NULL": {"hours": GAPS, "fee": NUMBER},
    "d5-point-with-NULL": {"hours": GAPS},
    "d6-comma-beside-version": {"hours": NUMBER, "version": POINT},
    "d7-gap-words": {"hours": {"missing": ("-",)}, "visits": {"missing": ("?",)}},
    "d8-money": {"fee": EURO, "discount": PERCENT},
    "d9-dates": {
        "compact": {"dtype": "date"}, "excel": EXCEL, "epoch": {"dtype": "date", "date_format": "epoch_seconds"},
    },
    "d10-dot-thousands": {"pages": {"dtype": "integer", "thousands": "."}},
    "d18-codes": {"product": {"dtype": "category", "values": ("12E3", "1E2", "2E5")}},
}  # fmt: skip
CONFIRMED = ("54-dates-excel", "56-sentinels", "57-percent-currency", "65-null-words", "d8-money")
"""Cases whose columns are guesses to confirm."""
INTEGER_KEYS = (
    "59-float-key-one-table",
    "60-float-key-everywhere",
    "71-big-int-key",
    "d1-19-digit-key",
)
NO_FEATURES = {"closed_via", "column", "unnamed_0", "usage_unnamed_0"}


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    """The files of `drafts_min.py`, with churn that the number of logins does not predict."""
    script = CASES / "drafts_min.py"
    if not script.exists():
        pytest.skip(f"{script} is missing: the small inputs are not part of the repository")
    folder = tmp_path_factory.mktemp("smallest")
    copy = folder / "cases" / "drafts_min.py"
    copy.parent.mkdir()
    text = script.read_text(encoding="utf-8")
    assert "(i * 7) % 10" in text
    copy.write_text(text.replace("(i * 7) % 10", "(i * 2654435761 >> 7) % 10"), encoding="utf-8")
    stub = types.ModuleType("inproc")
    stub.call = lambda *_: ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "inproc", stub)
        patch.chdir(folder)
        runpy.run_path(str(copy))
    return folder / "d"


@pytest.mark.parametrize("name", NAMES)
def test_the_draft_of_a_case_passes_on_its_own_files_or_is_refused(name, request, tmp_path):
    if name in SMALLEST:
        folder = request.getfixturevalue("smallest") / name / "in"
    else:
        folder = case(name, tmp_path)
    entity = "customer_id" if name.endswith("told") else None
    if name in REFUSED:
        found = refused("DRAFT_IMPOSSIBLE", lambda: draft_from(folder, name="x", entity=entity))
        assert REFUSED[name] in found
        return
    text = as_yaml(draft_from(folder, name="small", entity=entity)[1])
    (tmp_path / "contract.yaml").write_text(text, encoding="utf-8")
    contract = read_contract(tmp_path / "contract.yaml")
    assert [line.says for line in check_drops(contract, folder) if line.state == "fail"] == []
    columns = {
        name: spec for table in contract.tables.values() for name, spec in table.columns.items()
    }
    for column, expected in FACTS.get(name, {}).items():
        assert columns[column].model_dump(include=set(expected)) == expected, column
        place = text.index(f"      {column}:")
        assert name not in CONFIRMED or "# confirm" in " ".join(text[place:].splitlines()[:2])
    assert not NO_FEATURES & set(contract.features)
    assert contract.label.inverted == (name == "d12-not-churned")
    assert ("is a guess: is" in text) == (name == "d17-cp1250")
    assert ("differ by case or blanks" in text) == (name == "d11-spaces-case")
    if name in INTEGER_KEYS:
        assert contract.entity.dtype == "integer"
        assert contract.policy.ingestion.unmatched_share == pytest.approx(0.05)
