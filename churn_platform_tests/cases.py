"""Small inputs that failed once, made by the `make.py` of each case in a copy, so that tests can run side by side."""

import runpy
import shutil
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


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
