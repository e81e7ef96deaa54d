"""Keys of customers in several files: who is in which, and keys that differ only in how they
are written.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from churn_platform.base.text import EXAMPLES
from churn_platform.lake.window import LabelCount

if TYPE_CHECKING:
    from churn_platform.lake.lake import Lake


@dataclass(frozen=True)
class Spelling:
    """One way in which two files write the same key."""

    difference: str
    """What the keys differ by."""
    how: str
    repair: str


SPELLINGS = {
    "blanks": Spelling("blanks", "blanks are removed", "write the key without blanks"),
    "case": Spelling(
        "upper or lower case",
        "upper and lower case are ignored",
        "write the key in the same case in every file",
    ),
    "point_zero": Spelling(
        "a trailing .0",
        "a trailing .0 is removed",
        "write the key as text or as a whole number, not as a float",
    ),
    "zeros": Spelling(
        "leading zeros",
        "leading zeros are removed",
        "export the key as text, because a spreadsheet drops leading zeros",
    ),
    "several": Spelling(
        "blanks, case, leading zeros or a trailing .0",
        "blanks, case, leading zeros and a trailing .0 are ignored",
        "write every key in the same way",
    ),
    "prefix": Spelling(
        "a prefix or another sign",
        "everything except the digits is removed",
        "write every key with the same prefix and the same signs",
    ),
}


@dataclass(frozen=True)
class NearKeys:
    """Keys that have no equal among other keys, but match one once both are normalised."""

    count: int
    spelling: Spelling
    pairs: tuple[tuple[str, str], ...]
    """The first of these keys, each with the one that it matches."""

    @property
    def examples(self) -> tuple[str, ...]:
        """`100001 for 0100001`: the key, and the one it matches."""
        return tuple(f"{own} for {other}" for own, other in self.pairs)

    @property
    def worse(self) -> bool:
        """Whether these keys are the damaged ones of each pair: zeros lost, a `.0` or blanks
        added.
        """
        own, other = self.pairs[0]
        return _damage(own) > _damage(other)


def everyone(tables: Mapping[str, pd.Series]) -> pd.Series:
    """The distinct keys of several tables, each of which holds a key once."""
    distinct: list[pd.Series] = []
    for keys in tables.values():
        if not any(_same_keys(keys, known) for known in distinct):
            distinct.append(keys.reset_index(drop=True))
    if not distinct:
        return pd.Series(dtype=object)
    if len(distinct) == 1:
        return distinct[0]
    return pd.concat(distinct, ignore_index=True).drop_duplicates(ignore_index=True)


def apart(one: pd.Series, other: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The keys that are only in `one`, and those that are only in `other`.

    By their codes: `isin` of text takes 15 times as long, 5 s for 1,000,000 keys.
    """
    if _same_keys(one, other):
        return one[:0], other[:0]
    codes, distinct = pd.factorize(pd.concat([one, other], ignore_index=True))
    in_one = codes[: len(one)]
    in_other = codes[len(one) :]
    times = np.bincount(in_one, minlength=len(distinct)) * np.bincount(
        in_other, minlength=len(distinct)
    )
    return one[times[in_one] == 0], other[times[in_other] == 0]


def lacking(tables: Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """Table -> the customers of the other tables that it lacks; only tables that lack some."""
    customers = everyone(tables)
    absent = {name: apart(customers, keys)[0] for name, keys in tables.items()}
    return {name: keys for name, keys in absent.items() if len(keys)}


def near_keys(here: pd.Series, there: pd.Series) -> NearKeys | None:
    """Those of `here` that match one of `there` after normalising; None where there are none,
    or keys are numbers.
    """
    if here.empty or there.empty or not isinstance(here.dtype, pd.StringDtype):
        return None
    pairs = _pairs(here, normalised(here), there, normalised(there))
    if pairs.empty:
        return None
    return _near(pairs, spelling_of(str(pairs["here"].iloc[0]), str(pairs["there"].iloc[0])))


def same_digits(here: pd.Series, there: pd.Series) -> NearKeys | None:
    """Those of `here` that have the digits of one of `there`: keys with a prefix, or with other
    signs.

    Customers of other files may have equal digits by chance, so ask `near_keys` first.
    """
    if here.empty or there.empty:
        return None
    pairs = _pairs(here, _digits(here), there, _digits(there))
    if pairs.empty:
        return None
    return _near(pairs, SPELLINGS["prefix"])


def normalised(keys: pd.Series) -> pd.Series:
    """Text keys (rows,) without blanks, case, a trailing `.0` and leading zeros."""
    return _without_point_zero(keys.str.strip().str.lower()).str.lstrip("0")


def spelling_of(one: str, other: str) -> Spelling:
    """How two different keys of one normal form differ."""
    pair = pd.Series([one, other], dtype="string[pyarrow]")
    forms = {
        "blanks": pair.str.strip(),
        "case": pair.str.lower(),
        "point_zero": _without_point_zero(pair),
        "zeros": pair.str.lstrip("0"),
    }
    return SPELLINGS[next((name for name, form in forms.items() if form[0] == form[1]), "several")]


def near_tables(tables: Mapping[str, pd.Series]) -> dict[str, NearKeys]:
    """Table -> its keys that match keys of the other tables only after normalising; of a pair
    the damaged table.

    Where neither spelling is damaged (upper and lower case), the later table is named.
    """
    groups: list[tuple[list[str], pd.Series]] = []
    for name, keys in tables.items():
        # Tables with the same keys in the same order are compared once.
        equal = next((names for names, known in groups if _same_keys(keys, known)), None)
        if equal is None:
            groups.append(([name], keys))
        else:
            equal.append(name)
    if len(groups) == 1:
        return {}
    found: dict[str, NearKeys] = {}
    for place, (names, keys) in enumerate(groups):
        others = everyone({names[0]: known for names, known in groups if known is not keys})
        near = near_keys(*apart(keys, others))
        if near is not None and (near.worse or (near.spelling == SPELLINGS["case"] and place > 0)):
            found |= dict.fromkeys(names, near)
    return found


def _pairs(
    here: pd.Series, normal_here: pd.Series, there: pd.Series, normal_there: pd.Series
) -> pd.DataFrame:
    """(pairs, here and there) the keys of one normal form; of several keys with the same one,
    the first.
    """
    mine = pd.DataFrame({"here": here.array, "normal": normal_here.array}).drop_duplicates("normal")
    theirs = pd.DataFrame({"there": there.array, "normal": normal_there.array}).drop_duplicates(
        "normal"
    )
    return mine.merge(theirs, on="normal")


def _near(pairs: pd.DataFrame, spelling: Spelling) -> NearKeys:
    shown = pairs.head(EXAMPLES)
    return NearKeys(
        len(pairs),
        spelling,
        tuple(zip(map(str, shown["here"]), map(str, shown["there"]), strict=True)),
    )


def _digits(keys: pd.Series) -> pd.Series:
    """The digits of each key without leading zeros; a key without digits as it is:
    it matches no other.
    """
    digits: pd.Series = keys.str.replace("[^0-9]", "", regex=True).str.lstrip("0")
    return digits.mask(digits == "", keys)


def _same_keys(one: pd.Series, other: pd.Series) -> bool:
    """Whether two tables have the same keys in the same order: the usual case, and cheap to
    see.
    """
    return len(one) == len(other) and bool((one.array == other.array).all())


def _without_point_zero(keys: pd.Series) -> pd.Series:
    text: pd.Series = keys.str.replace(r"\.0+$", "", regex=True)
    return text


def _damage(key: str) -> tuple[int, int]:
    """How damaged a spelling is: what was added to it, then how many leading zeros it has lost."""
    added = len(key) - len(key.strip()) + int(key.strip().endswith(".0"))
    zeros = len(key.strip()) - len(key.strip().lstrip("0"))
    return added, -zeros


def label_count(lake: "Lake", as_of: dt.date) -> LabelCount:
    """How many customers of a month have a label, by the newest labels; labels of strangers do
    not count.
    """
    features = lake.keys(as_of, lake.contract.feature_tables)
    customers = everyone(features)
    entry = lake.entries(as_of).get(lake.contract.label_table)
    if entry is None or not features:
        return LabelCount(0, len(customers))
    known = lake.keys(as_of, [lake.contract.label_table])[lake.contract.label_table]
    column = lake.contract.label.at(as_of).column
    labels = lake.read(lake.path(entry), [column])[column]
    labelled = known[labels.notna()]
    strangers, _ = apart(labelled, customers)
    return LabelCount(len(labelled) - len(strangers), len(customers))
