"""Writes docs/contract.md and the JSON schema of the contract: uv run python
docs/contract_reference.py.
"""

from pathlib import Path

from churn_platform.contract.reference import SCHEMA_FILE, page, schema_text

ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    (ROOT / "docs" / "contract.md").write_text(page(), encoding="utf-8")
    (ROOT / "churn_platform" / "contract" / SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
