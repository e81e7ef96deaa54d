"""Every error code is explained, and the page about them is up to date."""

import ast
import inspect
import pickle
from pathlib import Path

import pytest

from churn_platform.base import errors
from churn_platform.base.error_codes import ERROR_CODES, error_code_table
from churn_platform.base.errors import ChurnError, DataError, UsageError
from churn_platform.base.library_errors import DISK, LIBRARY_ERRORS
from churn_platform.ingestion.faults import fault
from churn_platform.ingestion.validation import DropRefused

ROOT = Path(__file__).parents[2]
WRITE = "write it with: uv run python docs/error_codes.py"
SENTENCES = {"FILE_DENIED", "SYSTEM_FAILED", *(text.split("[")[-1][:-1] for text in DISK.values())}


def codes_in_source() -> set[str]:
    """What places that raise an error name, and the codes of classes."""
    found = set()
    for path in [*ROOT.glob("churn_platform/**/*.py"), *ROOT.glob("bento/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found |= {
                    given.value.value
                    for given in node.keywords
                    if given.arg == "code" and isinstance(given.value, ast.Constant)
                }
            if isinstance(node, ast.ClassDef) and {
                "ChurnError",
                "ContractError",
                "DataError",
                "EstimatorError",
                "UsageError",
            } & {ast.unparse(base) for base in node.bases}:
                found |= {
                    ast.literal_eval(line.value)
                    for line in node.body
                    if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code"
                }
    return found | {
        kind.code
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ChurnError)
    }


def test_every_code_is_explained_and_every_explained_code_is_used():
    assert codes_in_source() | SENTENCES == set(ERROR_CODES)


def test_the_page_lists_every_code():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert page.endswith(f"\n\n{error_code_table()}"), WRITE
    for code in [*ERROR_CODES, *(known.code for known in LIBRARY_ERRORS)]:
        assert f"| `{code}` |" in page


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("no rows"), "DATA_UNSUITABLE"),
        (UsageError("no such version", code="VERSION_UNKNOWN"), "VERSION_UNKNOWN"),
        (DropRefused("no", (fault("empty_file", "visits"),)), "DROP_REFUSED"),
    ],
)
def test_an_error_keeps_its_code_in_another_process(error, code):
    assert error.code == pickle.loads(pickle.dumps(error)).code == code
    assert UsageError.code == "USAGE_INVALID", "a code of one error is not that of its class"
