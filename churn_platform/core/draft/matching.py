"""Whether the tables of a draft have the same customers, and what to do about keys that are written differently."""

from collections.abc import Mapping

import pandas as pd

from churn_platform.core.keys_compared import NearKeys, apart, everyone, near_keys, same_digits

COMMON_SHARE = 0.5
"""With fewer customers in common, measured on the smaller of two sets, tables are about different customers."""
STRANGERS_SHARE = 0.01
REPAIRED_SHARE = 0.5
"""If so many of the unmatched keys match after a repair, the files have the same customers."""


def why_no_match(keys: Mapping[str, pd.Series], header: str) -> str:
    """Why the tables cannot be joined, as one sentence with the repair; empty where they can.

    Args:
        keys: by file name, the distinct keys (rows,) as texts.
        header: what the key's column is called.
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
        said = f"{len(strangers):,} of {len(own):,} customers of {file} are not in {', '.join(others)}"
        near = _mostly_near(strangers, unmatched)
        if near is not None:
            mine, theirs = near.pairs[0]
            shown = f"{header} is {mine!r} in {file}, {theirs!r} in another file"
            what = near.spelling.difference
            return f"{said}, because their keys differ by {what} ({shown}): {near.spelling.repair}."
        if len(own) - len(strangers) < COMMON_SHARE * min(len(own), len(everybody)):
            other = max(others, key=lambda name: len(others[name]))
            shown = f"{header} is {strangers.iloc[0]!r} in {file}, {others[other].iloc[0]!r} in {other}"
            return f"{said} ({shown}): deliver all files for the same customers, with the same key."
    return ""


def _mostly_near(strangers: pd.Series, others: pd.Series) -> NearKeys | None:
    """How most of the strangers' keys are written differently; None where they are other customers."""
    for compare in (near_keys, same_digits):
        near = compare(strangers, others)
        if near is not None and near.count >= REPAIRED_SHARE * len(strangers):
            return near
    return None
