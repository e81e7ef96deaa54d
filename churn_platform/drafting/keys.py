"""The customer's key, guessed or given, and which files have one row for each customer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.drafting.columns import Guess, repeated_rows
from churn_platform.drafting.words import is_row_number, key_likeness, valid_name
from churn_platform.ingestion.conversion import TEXT, convert
from churn_platform.lake.keys import NearKeys, apart, everyone, near_keys, same_digits

SHOWN = 8
AS_SQL = (
    "aggregate it to one row per customer: in the file, or by a query under `source:` "
    '(docs/your-own-tables.md, "Tables in a database")'
)
"""What to do about a log of events."""
STRANGERS_SHARE = 0.01
"""Largest share of a file's customers that may be missing from all other files unnoticed."""
COMMON_SHARE = 0.5
"""Files that share fewer customers, measured on the smaller one, have different customers."""
REPAIRED_SHARE = 0.5
"""If this share of the unmatched keys match after a repair, the files have the same customers."""
TOTALS = frozenset({
    "total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "gesamtsumme",
    "total general", "totale", "razem", "suma", "totaal", "average", "mean",
})  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """One file of a drop, and what its columns look like."""

    stem: str
    """The file's name without suffix."""
    name: str
    """The table's name."""
    frame: pd.DataFrame
    guesses: Mapping[str, Guess]
    """By header."""


@dataclass(frozen=True)
class KeyColumn:
    """The customer's key: its header, whether it is an integer, and why to confirm it."""

    header: str
    integer: bool
    doubt: str = ""


def guess_key(sheets: Iterable[Sheet], wanted: str | None) -> KeyColumn:
    """The column that is unique in most files and looks like a key.

    Args:
        sheets: the files.
        wanted: the key's header or name, if it is given.

    Raises:
        UsageError: no key can be guessed, or `wanted` is in no file or repeats in all of them.
    """
    sheets = list(sheets)
    headers = dict.fromkeys(header for sheet in sheets for header in sheet.guesses)
    if wanted is not None:
        return _given_key(sheets, headers, wanted)
    unique = {
        header: [
            s for s in sheets if header in s.guesses and _can_be_key(header, s.guesses[header])
        ]
        for header in headers
    }
    scores = {
        header: (len(where), key_likeness(header))
        for header, where in unique.items()
        if len(where) > len(sheets) / 2
    }
    best = [header for header, score in scores.items() if score == max(scores.values())]
    if not best:
        raise UsageError(
            _why_no_key(sheets, [header for header, where in unique.items() if where]),
            code="KEY_NOT_FOUND",
        )
    if len(best) > 1:
        raise UsageError(
            "No key can be guessed, because several columns could be the key: pass --entity with"
            f" one of {listed(best)}.",
            code="KEY_NOT_FOUND",
        )
    header = best[0]
    return KeyColumn(
        header, _integer(unique[header], header), _key_doubt(*scores[header], len(sheets))
    )


def keys_of(sheet: Sheet, key: KeyColumn) -> pd.Series:
    """The key of each row (rows,) as text; integers without a fraction, however the file writes
    them.
    """
    if key.integer:
        return sheet.guesses[key.header].values.astype("Int64").astype(TEXT)
    texts, _ = convert(sheet.frame[key.header], "string")
    return texts


def listed(names: Iterable[object]) -> str:
    """The first names for a person, and how many more there are."""
    words = [str(name) for name in names]
    text = ", ".join(words[:SHOWN])
    if len(words) > SHOWN:
        text += f" and {len(words) - SHOWN} more"
    return text


def why_not_one_row(sheet: Sheet, header: str) -> str:
    """Why a file does not have one row per customer, and what to do."""
    rows = len(sheet.frame)
    repeated = int(repeated_rows(sheet.frame[header]).sum())
    customers = max(int(sheet.frame[header].nunique()), 1)
    return (
        f"{header!r} is empty or repeats in {repeated:,} of {rows:,} rows "
        f"({rows / customers:.1f} rows per customer): {AS_SQL}"
    )


def why_no_customer(sheet: Sheet, header: str) -> str:
    """Which row of the file is not a customer, and what to do; empty without such a row."""
    keys, _ = convert(sheet.frame[header], "string")
    words = keys.str.strip().reset_index(drop=True)
    totals = words[words.str.lower().isin(TOTALS)]
    if totals.empty:
        return ""
    where = f"{sheet.stem}, row {totals.index[0] + 1:,}"
    return f"{where} is {totals.iloc[0]!r}, which is not a customer: remove the row"


def why_no_match(keys: Mapping[str, pd.Series], header: str) -> str:
    """Why the files cannot be joined, as one sentence with the repair; empty if they can.

    Args:
        keys: by file name, the distinct keys (rows,) as texts.
        header: the key's column.
    """
    if len(keys) == 1:
        return ""
    known = {file: own.dropna() for file, own in keys.items()}
    for file, own in known.items():
        others = {other: theirs for other, theirs in known.items() if other != file}
        everybody = everyone(others)
        strangers, unmatched = apart(own, everybody)
        if len(strangers) <= STRANGERS_SHARE * len(own):
            continue
        missing = (
            f"{len(strangers):,} of {len(own):,} customers of {file} are not in {', '.join(others)}"
        )
        near = _mostly_near(strangers, unmatched)
        if near is not None:
            mine, theirs = near.pairs[0]
            return (
                f"{missing}, because their keys differ by {near.spelling.difference} ({header} is"
                f" {mine!r} in {file}, {theirs!r} in another file): {near.spelling.repair}."
            )
        if len(own) - len(strangers) < COMMON_SHARE * min(len(own), len(everybody)):
            other = max(others, key=lambda name: len(others[name]))
            return (
                f"{missing} ({header} is {strangers.iloc[0]!r} in {file},"
                f" {others[other].iloc[0]!r} in {other}): deliver all files for the same"
                " customers, with the same key."
            )
    return ""


def without_repeated(sheet: Sheet, key: KeyColumn) -> Sheet:
    """The sheet without the few rows that repeat a key or lack it."""
    repeated = repeated_rows(sheet.frame[key.header]).to_numpy()
    if not repeated.any():
        return sheet
    guesses = {
        header: replace(guess, values=guess.values[~repeated].reset_index(drop=True))
        for header, guess in sheet.guesses.items()
    }
    return replace(sheet, frame=sheet.frame[~repeated].reset_index(drop=True), guesses=guesses)


def _given_key(sheets: list[Sheet], headers: Iterable[str], wanted: str) -> KeyColumn:
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
    return KeyColumn(header, _integer(unique, header))


def _why_no_key(sheets: list[Sheet], elsewhere: list[str]) -> str:
    """Why no key can be guessed, and what to do: a log of events has several rows per customer."""
    if elsewhere:
        return (
            "No key can be guessed, because no column is unique in most files: pass --entity with"
            f" one of {listed(elsewhere)}."
        )
    for sheet in sheets:
        for header, guess in sheet.guesses.items():
            if key_likeness(header) > 1 and not guess.unique:
                return f"{sheet.stem} is a log of events: {why_not_one_row(sheet, header)}."
    return (
        "No key can be guessed, because every column repeats its values: add a column that"
        " identifies the customer."
    )


def _key_doubt(unique: int, likeness: int, files: int) -> str:
    """Empty for a column with a key's name that is unique in every one of several files."""
    if unique == files > 1 and likeness > 1:
        return ""
    doubt = "guessed from "
    if likeness:
        doubt += "its name and "
    if files == 1:
        return f"{doubt}being unique in the file"
    return f"{doubt}being unique in {unique} of {files} files"


def _can_be_key(header: str, guess: Guess) -> bool:
    """A row number changes from month to month; an amount or a date identifies no one."""
    if not guess.unique or not header.strip() or guess.column.dtype == "date":
        return False
    if guess.useless == "row numbers" and is_row_number(header):
        return False
    return guess.column.dtype != "float" or (guess.whole and key_likeness(header) > 0)


def _integer(sheets: list[Sheet], header: str) -> bool:
    return all(sheet.guesses[header].whole for sheet in sheets)


def _mostly_near(strangers: pd.Series, others: pd.Series) -> NearKeys | None:
    """How most of the unmatched keys are written differently; None if they are other customers."""
    for compare in (near_keys, same_digits):
        near = compare(strangers, others)
        if near is not None and near.count >= REPAIRED_SHARE * len(strangers):
            return near
    return None
