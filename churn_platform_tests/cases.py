"""Small inputs that failed once, made by the `make.py` of each case in a copy, so that tests can run side by side."""

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
BUSINESS: dict[str, Any] = {
    "name": "biz",
    "model_name": "biz_churn",
    "entity": {"column": "customer_id"},
    "tables": {
        "customers": {
            "columns": {
                "joined": {"dtype": "date"},
                "country": {"dtype": "category"},
                "plan": {"dtype": "category"},
                "monthly_fee": {"dtype": "float"},
            },
            "ages": {"months_since_joined": {"of": "joined", "unit": "months"}},
        },
        "usage": {
            "columns": {
                "logins_30d": {"dtype": "integer"},
                "hours_30d": {"dtype": "float"},
                "tickets_90d": {"dtype": "integer"},
            }
        },
        "outcome": {"columns": {"churned": {"dtype": "boolean"}}},
    },
    "label": {"table": "outcome", "column": "churned"},
    "feature_views": {
        "customers_fv": {
            "table": "customers",
            "features": ["country", "plan", "monthly_fee", "months_since_joined"],
        },
        "usage_fv": {"table": "usage", "features": ["logins_30d", "hours_30d", "tickets_90d"]},
    },
}
"""The contract of the business that most cases are months of."""


def case(name: str, tmp_path: Path) -> Path:
    """The input folder of a case, freshly made under `tmp_path`; skips the test where the cases are missing."""
    if not (CASES / name / "make.py").exists():
        pytest.skip(f"{CASES / name} is missing: the small inputs are not part of the repository")
    copy = tmp_path / "cases"
    copy.mkdir(exist_ok=True)
    for script in CASES.glob("*.py"):
        shutil.copy(script, copy)
    (copy / name).mkdir()
    shutil.copy(CASES / name / "make.py", copy / name)
    # StreamFlow's months are looked for next to the folder of the cases.
    data = tmp_path / "data"
    if (CASES.parent / "data").exists() and not data.exists():
        data.symlink_to(CASES.parent / "data")
    runpy.run_path(str(copy / name / "make.py"))
    return copy / name / "in"
