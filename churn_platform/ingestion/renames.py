"""What files write in a new way: which old value, key or header each new one probably is."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile

import numpy as np
import pandas as pd

from churn_platform.contract.parts import KeySpelling

LEAST_SHARE = 0.5
"""A renamed value occurs about as often as before: at least half as often, at most twice."""
MOST = 50
"""Values that are compared, the most frequent ones."""
SAMPLE = 2000
READABLE = 0.5
"""Share of keys that a spelling must turn into known ones; the others are new customers."""
ALREADY = 0.1
"""Share of keys that are known as they are, from which on no other spelling is looked for."""
CASES = ("", "lower", "upper")
SAME_VALUES = 0.8
"""A renamed column has this share of equal values, or an overlap of distributions."""
SIMILAR_NAME = 0.5
EQUAL_VALUES = 0.9
"""With this share the names need not be similar."""
FEWEST_SHARED = 20
"""Customers in both months, from which on their values are compared one by one."""


def likely_renames(new: Mapping[str, int], gone: Mapping[str, int]) -> dict[str, str]:
    """New value -> the value that it probably replaces; only pairs without a rival.

    Args:
        new: values that no earlier month has, with the number of rows.
        gone: values of the month before that no row has now, with the number of rows then.
    """
    new = dict(sorted(new.items(), key=lambda pair: -pair[1])[:MOST])
    gone = dict(sorted(gone.items(), key=lambda pair: -pair[1])[:MOST])

    def score(value: str, other: str) -> tuple[float, float]:
        alike = _alike(new[value], gone[other])
        if alike < LEAST_SHARE:
            return 0.0, 0.0
        return alike, _similar(value, other)

    return _pairs(new, gone, score)


def likely_headers(overlaps: Mapping[tuple[str, str], float]) -> dict[str, str]:
    """New header -> the column that it probably replaces; only pairs without a rival.

    Args:
        overlaps: how much the values under a new header agree with those of a column whose
            header is gone (`same_values`), for each pair.
    """
    new = dict.fromkeys(header for header, _ in overlaps)
    gone = dict.fromkeys(column for _, column in overlaps)
    only = len(new) == len(gone) == 1

    def score(header: str, column: str) -> tuple[float, float]:
        overlap = overlaps[header, column]
        name = _similar(header.lower(), column.lower())
        if overlap < SAME_VALUES or not (only or name >= SIMILAR_NAME or overlap >= EQUAL_VALUES):
            return 0.0, 0.0
        return round(overlap, 1), name

    return _pairs(new, gone, score)


def same_values(before: pd.Series, now: pd.Series) -> float:
    """How much two columns (rows,) indexed by key agree, from 0 to 1: on the same customers, or
    by their distributions if that is more.
    """
    shares = [0.0]
    now = now[~now.index.duplicated()]
    both = before.index.intersection(now.index)
    if len(both) >= FEWEST_SHARED:
        pair = pd.DataFrame({"before": before[both], "now": now[both]}).astype(object)
        equal = (pair["before"] == pair["now"]) | (pair["before"].isna() & pair["now"].isna())
        shares.append(float(equal.fillna(value=False).mean()))
    empty = abs(float(before.isna().mean()) - float(now.isna().mean()))
    one = before.dropna()
    other = now.dropna()
    if one.empty or other.empty:
        return max(shares)
    if pd.api.types.is_numeric_dtype(one.dtype) and not pd.api.types.is_bool_dtype(one.dtype):
        left = np.sort(one.to_numpy(dtype=float))
        right = np.sort(other.to_numpy(dtype=float))
        every = np.concatenate([left, right])
        steps = [np.searchsorted(x, every, side="right") / len(x) for x in (left, right)]
        apart = float(np.abs(steps[0] - steps[1]).max())
    else:
        parts = [x.astype(str).value_counts(normalize=True) for x in (one, other)]
        apart = float(parts[0].sub(parts[1], fill_value=0).abs().sum()) / 2
    return max(*shares, 1 - apart - empty)


def likely_spelling(keys: pd.Series, known: pd.Series) -> KeySpelling | None:
    """How the keys of a file (rows,) are written, if most of them match known keys only in
    another spelling; of several, the one that matches most. None if they match as they are, or
    in no spelling.

    The `since` of the answer is the earliest date there is: the caller gives it another.
    """
    texts = keys.dropna().astype(str).drop_duplicates().head(SAMPLE)
    wanted = frozenset(known.dropna().astype(str))
    if texts.empty or not wanted or texts.isin(wanted).mean() >= ALREADY:
        return None
    best = None
    most = READABLE
    for spelling in _spellings(texts, wanted):
        share = float(texts.map(spelling.read).isin(wanted).mean())
        if share > most or (share == most and best is None):
            best = spelling
            most = share
    return best


def _pairs(
    new: Iterable[str], gone: Iterable[str], score: Callable[[str, str], tuple[float, float]]
) -> dict[str, str]:
    """Those of `new` and `gone` that are each other's best match with a score above 0."""
    scores = {(value, other): score(value, other) for value in new for other in gone}
    found = {pair: points for pair, points in scores.items() if points[0] > 0}
    best = {
        value: max((pair for pair in found if pair[0] == value), key=found.__getitem__)
        for value in dict.fromkeys(value for value, _ in found)
    }
    back = {
        other: max((pair for pair in found if pair[1] == other), key=found.__getitem__)
        for other in dict.fromkeys(other for _, other in found)
    }
    return dict(pair for value, pair in best.items() if back[pair[1]] == pair)


def _similar(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, name, other).ratio()


def _alike(rows: int, others: int) -> float:
    return min(rows, others) / max(rows, others, 1)


def _spellings(keys: pd.Series, known: Iterable[str]) -> Iterator[KeySpelling]:
    """Every spelling worth trying, the simplest first."""
    known = list(known)
    lengths = {len(_digits_of(key)) for key in known}
    digits = (0, lengths.pop()) if len(lengths) == 1 else (0, 1)
    for remove in dict.fromkeys(["", *_prefixes(keys)]):
        for add in dict.fromkeys(["", *_prefixes(known)]):
            for width in digits:
                for case in CASES:
                    yield KeySpelling.model_validate(
                        {"since": "0001-01-01", "remove_prefix": remove, "add_prefix": add,
                         "digits": width, "case": case}
                    )  # fmt: skip


def _prefixes(keys: Iterable[str]) -> tuple[str, str]:
    """What all keys begin with: without digits at its end, and with zeros only; keys that are
    counted begin alike by chance.
    """
    ordered = sorted(keys)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(ordered[0], ordered[-1], strict=False))
    common = "".join(letter for letter, _ in same)
    return common.rstrip("0123456789"), common.rstrip("123456789")


def _digits_of(key: str) -> str:
    return key[len(key.rstrip("0123456789")) :]
