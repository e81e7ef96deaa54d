"""The key of a draft, guessed from names and values or taken as given, and the sheets it is
looked for in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.drafting.columns import Guess, repeated_rows
from churn_platform.drafting.words import is_row_number, key_likeness, valid_name
from churn_platform.ingestion.conversion import TEXT

SHOWN = 8
AS_SQL = (
    "aggregate it to one row per customer: in the file, or by a query under `source:` "
    '(docs/your-own-tables.md, "Tables in a database")'
)
"""What to do about a log of events."""


@dataclass(frozen=True)
class Sheet:
    """One file of a drop with what its columns look like."""

    stem: str
    """The file's name without suffix."""
    name: str
    """The table's name."""
    frame: pd.DataFrame
    guesses: Mapping[str, Guess]
    """By header."""


@dataclass(frozen=True)
class Key:
    """The customer's key: its header, whether it is a whole number, and why to confirm it."""

    header: str
    integer: bool
    doubt: str = ""


def guess_key(sheets: Iterable[Sheet], wanted: str | None) -> Key:
    """The column that is unique in most tables and looks like a key; `wanted` (a header or
    name) is taken as given.

    Raises:
        UsageError: none can be guessed, or `wanted` is in no table or repeats itself
            everywhere.
    """
    sheets = list(sheets)
    headers = dict.fromkeys(header for sheet in sheets for header in sheet.guesses)
    if wanted is not None:
        return _given(sheets, headers, wanted)
    unique = {
        h: [s for s in sheets if h in s.guesses and _can_be_key(h, s.guesses[h])] for h in headers
    }
    usual = {
        h: (len(where), key_likeness(h))
        for h, where in unique.items()
        if len(where) > len(sheets) / 2
    }
    best = [h for h, score in usual.items() if score == max(usual.values())]
    if len(best) > 1:
        said = "No key can be guessed, because several columns could be the key"
        raise UsageError(f"{said}: pass --entity with one of {listed(best)}.", code="KEY_NOT_FOUND")
    if not best:
        raise UsageError(
            _why_no_key(sheets, [header for header, where in unique.items() if where]),
            code="KEY_NOT_FOUND",
        )
    found = best[0]
    return Key(found, _integer(unique[found], found), _key_doubt(*usual[found], len(sheets)))


def keys_of(sheet: Sheet, key: Key) -> pd.Series:
    """The key of each row (rows,) as text; whole numbers without a fraction, however the file
    writes them.
    """
    if key.integer:
        return sheet.guesses[key.header].values.astype("Int64").astype(TEXT)
    return sheet.frame[key.header].astype(object).astype(TEXT)


def listed(names: Iterable[object]) -> str:
    """The first names for a person, and how many more there are."""
    words = [str(name) for name in names]
    return ", ".join(words[:SHOWN]) + (
        f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    )


def why_not_one_row(sheet: Sheet, header: str) -> str:
    """What keeps a table from having one row per customer, and what to do."""
    repeated = int(repeated_rows(sheet.frame[header]).sum())
    customers = max(int(sheet.frame[header].nunique()), 1)
    return (
        f"{header!r} is empty or repeats in {repeated:,} of {len(sheet.frame):,} rows "
        f"({len(sheet.frame) / customers:.1f} rows per customer): {AS_SQL}"
    )


def _given(sheets: list[Sheet], headers: Iterable[str], wanted: str) -> Key:
    header = next((h for h in headers if wanted in (h, valid_name(h))), None)
    if header is None:
        raise UsageError(
            f"--entity {wanted}: no file has such a column; the columns are {listed(headers)}.",
            code="KEY_NOT_FOUND",
        )
    where = [sheet for sheet in sheets if header in sheet.guesses]
    unique = [sheet for sheet in where if sheet.guesses[header].unique]
    if not unique:
        raise UsageError(
            f"--entity {wanted}: {where[0].stem}: {why_not_one_row(where[0], header)}.",
            code="KEY_NOT_FOUND",
        )
    return Key(header, _integer(unique, header))


def _why_no_key(sheets: list[Sheet], elsewhere: list[str]) -> str:
    """Why no key can be guessed, and what to do: a log of events has several rows per customer."""
    logs = [
        (s, h) for s in sheets for h in s.guesses if key_likeness(h) > 1 and not s.guesses[h].unique
    ]
    if elsewhere:
        found = (
            "because no column is unique in most files: pass --entity with one of"
            f" {listed(elsewhere)}"
        )
    elif logs:
        sheet, header = logs[0]
        return f"{sheet.stem} is a log of events: {why_not_one_row(sheet, header)}."
    else:
        found = "because every column repeats its values: add a column that identifies the customer"
    return f"No key can be guessed, {found}."


def _key_doubt(unique: int, likeness: int, files: int) -> str:
    """Nothing for what has a key's name and is unique in every one of several files."""
    if unique == files > 1 and likeness > 1:
        return ""
    where = f"{unique} of {files} files" if files > 1 else "the file"
    return f"guessed from {'its name and ' if likeness else ''}being unique in {where}"


def _can_be_key(header: str, guess: Guess) -> bool:
    """A row number changes from month to month, an amount or a date identifies no one."""
    if not guess.unique or not header.strip() or guess.column.dtype == "date":
        return False
    if guess.useless == "row numbers" and is_row_number(header):
        return False
    return guess.column.dtype != "float" or (guess.whole and key_likeness(header) > 0)


def _integer(sheets: list[Sheet], header: str) -> bool:
    return all(sheet.guesses[header].whole for sheet in sheets)
