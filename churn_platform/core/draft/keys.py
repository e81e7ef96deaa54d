"""The key and the label of a draft: guessed from names and values, or taken as told.

Belongs here: the sheets a draft is made of, which column is the customer's key, which one says who churned.
Does not: what becomes of the other columns (`core/draft/leaks.py`, `core/draft`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from churn_platform.core.conversion import FALSE_WORDS, TRUE_WORDS
from churn_platform.core.draft.columns import TEXT, Guess
from churn_platform.core.draft.words import key_likeness, label_likeness, valid_name
from churn_platform.errors import UsageError

SHOWN = 8
HIGH_RATE = 0.6


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


@dataclass(frozen=True)
class LabelColumn:
    """The label: its sheet's name, its header, the share that churned, and why to confirm it."""

    table: str
    header: str
    rate: float
    doubt: str = ""


def guess_key(sheets: Iterable[Sheet], wanted: str | None) -> Key:
    """The column that is unique in most tables and looks like a key; `wanted` (a header or name) is taken as told.

    Raises:
        UsageError: none can be guessed, or `wanted` is in no table or repeats itself everywhere.
    """
    sheets = list(sheets)
    headers = dict.fromkeys(header for sheet in sheets for header in sheet.guesses)
    unique = {h: [s for s in sheets if h in s.guesses and _can_be_key(s.guesses[h])] for h in headers}
    if wanted is not None:
        header = next((h for h in headers if wanted in (h, valid_name(h))), None)
        if header is None:
            raise UsageError(f"--entity {wanted}: no file has such a column; the columns are {_listed(headers)}.")
        if not unique[header]:
            raise UsageError(f"--entity {wanted}: it is empty or repeated in every file, one row a customer is needed.")
        return Key(header, _integer(unique[header], header))
    usual = {h: (len(where), key_likeness(h)) for h, where in unique.items() if len(where) > len(sheets) / 2}
    best = [h for h, score in usual.items() if score == max(usual.values())]
    if len(best) != 1:
        candidates = best or [h for h in headers if unique[h] or key_likeness(h)] or list(headers)
        said = "several columns could be it" if best else "no column is unique in most files"
        raise UsageError(f"No key can be guessed, {said}: say --entity with one of {_listed(candidates)}.")
    found = best[0]
    return Key(found, _integer(unique[found], found), _key_doubt(*usual[found], len(sheets)))


def guess_label(sheets: Iterable[Sheet], key: Key, wanted: str | None) -> LabelColumn:
    """The yes-or-no column whose name, or whose table's, says that it is about churn; `wanted` is taken as told.

    Raises:
        UsageError: none or several can be guessed, or `wanted` does not exist or holds more than yes and no.
    """
    usable = [sheet for sheet in sheets if key.header in sheet.guesses and sheet.guesses[key.header].unique]
    flags = [
        (sheet, header)
        for sheet in usable
        for header, guess in sheet.guesses.items()
        if header != key.header and guess.column.dtype == "boolean" and guess.distinct
    ]
    if wanted is not None:
        return _told(usable, flags, wanted)
    scores = [_label_score(sheet, header, key) for sheet, header in flags]
    best = [flag for flag, score in zip(flags, scores, strict=True) if score == max(scores) and score > 0]
    if not best:
        names = [f"{sheet.name}.{header}" for sheet, header in flags]
        hint = f"the columns with two values are {_listed(names)}" if names else "no column holds yes and no or 0 and 1"
        raise UsageError(f"No label can be guessed: say --label TABLE.COLUMN; {hint}.")
    truths = [labels_of(sheet, header, key) for sheet, header in best]
    if any(not truth.equals(truths[0]) for truth in truths[1:]):
        names = [f"{sheet.name}.{header}" for sheet, header in best]
        raise UsageError(f"No label can be guessed: say --label with one of {_listed(names)}.")
    found = _label(*best[0])
    return LabelColumn(
        found.table, found.header, found.rate, "; ".join(filter(None, ["guessed from its name", found.doubt]))
    )


def labels_of(sheet: Sheet, header: str, key: Key) -> pd.Series:
    """True, false or null by customer; sorted by the key as text."""
    truth = truths(sheet.frame[header])
    truth.index = sheet.frame[key.header].astype(str)
    return truth.sort_index().rename(None).rename_axis(None)


def truths(values: pd.Series) -> pd.Series:
    """A yes-or-no column (rows,) as nullable booleans, whichever way it is written."""
    words = values.astype(object).astype(TEXT).str.strip().str.lower()
    said = words.isin(TRUE_WORDS)
    return said.astype("boolean").mask(~said & ~words.isin(FALSE_WORDS).fillna(value=False))


def _key_doubt(unique: int, likeness: int, files: int) -> str:
    """Nothing for what has a key's name and is unique in every one of several files."""
    if unique == files > 1 and likeness > 1:
        return ""
    where = f"{unique} of {files} files" if files > 1 else "the file"
    return f"guessed from {'its name and ' if likeness else ''}being unique in {where}"


def _can_be_key(guess: Guess) -> bool:
    return guess.unique and guess.column.dtype not in ("float", "date")


def _integer(sheets: list[Sheet], header: str) -> bool:
    return all(sheet.guesses[header].column.dtype == "integer" for sheet in sheets)


def _label_score(sheet: Sheet, header: str, key: Key) -> int:
    """Nothing for a column of which neither its own name nor, where it is alone in it, its table's speaks of churn."""
    alone = set(sheet.guesses) == {key.header, header}
    own, table = label_likeness(header), min(label_likeness(sheet.name), 2)
    return 2 * own + table + alone if own or (alone and table) else 0


def _told(sheets: list[Sheet], flags: list[tuple[Sheet, str]], wanted: str) -> LabelColumn:
    def is_it(sheet: Sheet, header: str) -> bool:
        return wanted in {f"{t}.{c}" for t in (sheet.stem, sheet.name) for c in (header, valid_name(header))}

    found = [(sheet, header) for sheet in sheets for header in sheet.guesses if is_it(sheet, header)]
    if not found:
        names = [f"{sheet.name}.{header}" for sheet, header in flags]
        raise UsageError(f"--label {wanted}: there is no such column; those with two values are {_listed(names)}.")
    if found[0] not in [(sheet, header) for sheet, header in flags]:
        seen = found[0][0].frame[found[0][1]].dropna().astype(str).unique()
        raise UsageError(f"--label {wanted}: it must hold yes and no, true and false or 1 and 0, not {_listed(seen)}.")
    return _label(*found[0])


def _label(sheet: Sheet, header: str) -> LabelColumn:
    rate = float(truths(sheet.frame[header]).mean())
    odd = "nobody churned" if rate == 0 else f"{rate:.0%} churn: the right way round?" if rate > HIGH_RATE else ""
    return LabelColumn(sheet.name, header, rate, odd)


def _listed(names: Iterable[object]) -> str:
    words = [str(name) for name in names]
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")
