"""Texts in cells of spreadsheets: Excel executes a text of a CSV file that begins like a formula.

Such a text gets an apostrophe in front (OWASP, "CSV Injection"), which `plain` removes again.
"""

from typing import Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that spreadsheets execute; the wide signs are those of East Asian keyboards."""
MARK: Final = "'"


def safe(text: str) -> str:
    """A text as no spreadsheet executes it."""
    if text.lstrip(MARK).startswith(FORMULA):
        return MARK + text
    return text


def plain(text: str) -> str:
    """The text that `safe` was given; any other text as it is."""
    if text.startswith(MARK) and text.lstrip(MARK).startswith(FORMULA):
        return text.removeprefix(MARK)
    return text
