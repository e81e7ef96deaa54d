"""Values and keys that files write in a new way: which old one each probably is."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile

import pandas as pd

from churn_platform.contract.parts import KeySpelling

LEAST_SHARE = 0.5
"""A renamed value occurs about as often as before: at least half as often, at most twice."""
SAMPLE = 2000
READABLE = 0.9
"""Share of keys that a spelling must turn into known ones; the others are new customers."""
CASES = ("", "lower", "upper")


def likely_renames(new: Mapping[str, int], gone: Mapping[str, int]) -> dict[str, str]:
    """New value -> the value that it probably replaces; only pairs without a rival.

    Args:
        new: values that no earlier month has, with the number of rows.
        gone: values of the month before that no row has now, with the number of rows then.
    """
    first = {value: _best(value, rows, gone) for value, rows in new.items()}
    second = {value: _best(value, rows, new) for value, rows in gone.items()}
    return {value: old for value, old in first.items() if old and second[old] == value}


def likely_spelling(keys: pd.Series, known: pd.Series) -> KeySpelling | None:
    """How the keys of a file (rows,) are written, if most of them match known keys only in
    another spelling, the best one; None if they match as they are, or in no spelling. The
    other keys are those of new customers.

    The `since` of the answer is the earliest date there is: the caller gives it another.
    """
    texts = keys.dropna().astype(str).drop_duplicates().head(SAMPLE)
    wanted = frozenset(known.dropna().astype(str))
    if texts.empty or not wanted or texts.isin(wanted).mean() >= LEAST_SHARE:
        return None
    found = None
    most = LEAST_SHARE
    for spelling in _spellings(texts, wanted):
        share = texts.map(spelling.read).isin(wanted).mean()
        if share > most:
            found = spelling
            most = share
    return found


def _best(value: str, rows: int, others: Mapping[str, int]) -> str:
    """The other value that occurs most nearly as often; of equals the one with the most similar
    name. Empty without one.
    """
    scores = {
        other: (_alike(rows, count), difflib.SequenceMatcher(None, value, other).ratio())
        for other, count in others.items()
        if _alike(rows, count) >= LEAST_SHARE
    }
    return max(scores, key=lambda other: scores[other], default="")


def _alike(rows: int, others: int) -> float:
    return min(rows, others) / max(rows, others, 1)


def _spellings(keys: pd.Series, known: Iterable[str]) -> Iterator[KeySpelling]:
    """Every spelling worth trying, the simplest first."""
    known = list(known)
    lengths = {len(_digits_of(key)) for key in known}
    digits = (0, lengths.pop()) if len(lengths) == 1 else (0,)
    for remove in dict.fromkeys(["", _prefix(keys)]):
        for add in dict.fromkeys(["", _prefix(known)]):
            for width in digits:
                for case in CASES:
                    yield KeySpelling.model_validate(
                        {"since": "0001-01-01", "remove_prefix": remove, "add_prefix": add,
                         "digits": width, "case": case}
                    )  # fmt: skip


def _prefix(keys: Iterable[str]) -> str:
    """What all keys begin with, without its digits at the end."""
    ordered = sorted(keys)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(ordered[0], ordered[-1], strict=False))
    return "".join(letter for letter, _ in same).rstrip("0123456789")


def _digits_of(key: str) -> str:
    return key[len(key.rstrip("0123456789")) :]
