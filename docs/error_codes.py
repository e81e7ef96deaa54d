"""Writes "Error codes" in docs/troubleshooting.md: uv run python docs/error_codes.py."""

from pathlib import Path

from churn_platform.base.error_codes import error_code_table

PAGE = Path(__file__).parent / "troubleshooting.md"
MARK = "<!-- generated below this line by docs/error_codes.py -->\n"

if __name__ == "__main__":
    written, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(f"{written}{MARK}\n{error_code_table()}", encoding="utf-8")
