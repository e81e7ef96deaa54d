"""Do the tables of a draft speak of the same customers? Keys that match only after a repair are named with it."""

import re
from collections.abc import Callable, Mapping

import pandas as pd

COMMON_SHARE = 0.5
"""With fewer customers in common, measured on the smaller of two sets, tables are about different customers."""
STRANGERS_SHARE = 0.01
REPAIRED_SHARE = 0.5
REPAIRS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("leading zeros", lambda key: key.lstrip("0")),
    ("blanks", str.strip),
    ("upper or lower case", str.casefold),
    ("a decimal point", lambda key: re.sub(r"\.0+$", "", key)),
    ("a prefix or another sign", lambda key: re.sub(r"[^0-9]", "", key).lstrip("0")),
)
"""What two writings of one key differ by, and how a key looks without it."""


def why_no_match(keys: Mapping[str, pd.Series], header: str) -> str:
    """Why the tables cannot be joined, as one sentence with the repair; empty where they can.

    Args:
        keys: by file name, the distinct keys (rows,) as texts.
        header: what the key's column is called.
    """
    for file, own in keys.items():
        others = {other: theirs for other, theirs in keys.items() if other != file}
        if not others:
            continue
        everybody = pd.concat(list(others.values())).drop_duplicates()
        strangers = own[~own.isin(everybody)]
        apart = len(own) - len(strangers) < COMMON_SHARE * min(len(own), len(everybody))
        if len(strangers) <= STRANGERS_SHARE * len(own):
            continue
        twins = _twins(strangers, everybody[~everybody.isin(own)])
        if not twins and not apart:
            continue
        other = max(others, key=lambda name: len(others[name]))
        said = f"{len(strangers):,} of {len(own):,} customers of {file} are not in {', '.join(others)}"
        if not twins:
            shown = f"{header} is {strangers.iloc[0]!r} in {file}, {others[other].iloc[0]!r} in {other}"
            return f"{said} ({shown}): deliver all files for the same customers, with one key."
        what, mine, theirs = twins
        shown = f"{header} is {mine!r} in {file}, {theirs!r} elsewhere"
        return f"{said}: their keys differ by {what} ({shown}); write the key alike in all files, as text."
    return ""


def _twins(strangers: pd.Series, others: pd.Series) -> tuple[str, str, str] | None:
    """What most strangers' keys differ by from others', and one pair; None where they are just other customers."""
    for what, repair in REPAIRS:
        repaired = others.map(repair)
        found = strangers.map(repair).isin(repaired[repaired != ""])
        if found.mean() >= REPAIRED_SHARE:
            mine = str(strangers[found].iloc[0])
            return what, mine, str(others[repaired == repair(mine)].iloc[0])
    return None
