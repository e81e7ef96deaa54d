"""How a month's customers and tables compare with those of other months and with each other."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.core.faults import EXAMPLES


@dataclass(frozen=True)
class Spelling:
    """One way in which two files write the same key."""

    name: str
    how: str
    repair: str


SPELLINGS = {
    "blanks": Spelling("blanks", "blanks are removed", "write the key without blanks"),
    "case": Spelling("case", "upper and lower case are ignored", "write the key in the same case in every file"),
    "point_zero": Spelling(
        "point_zero", "a trailing .0 is removed", "write the key as text or as a whole number, not as a float"
    ),
    "zeros": Spelling(
        "zeros", "leading zeros are removed", "export the key as text, because a spreadsheet drops leading zeros"
    ),
    "several": Spelling(
        "several", "blanks, case, leading zeros and a trailing .0 are ignored", "write every key in the same way"
    ),
}  # fmt: skip
_POINT_ZERO = r"\.0+$"


@dataclass(frozen=True)
class NearKeys:
    """Keys that have no equal among other keys, but match one once both are normalised."""

    count: int
    spelling: Spelling
    examples: tuple[str, ...]
    """`100001 for 0100001`: the key, and the one it matches."""
    worse: bool
    """Whether these keys are the damaged ones of each pair: zeros lost, a `.0` or blanks added."""


@dataclass(frozen=True)
class CustomerChange:
    """The customers of a month next to those of an earlier one. The counts alone are stored."""

    before: dt.date
    customers: int
    still: int
    new: int
    gone: int
    near: NearKeys | None

    @property
    def share(self) -> float:
        """The larger of two shares: new customers of this month, and customers of the earlier month that are gone."""
        return max(self.new / self.customers, self.gone / (self.still + self.gone))

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values, without any key."""
        counts = {name: getattr(self, name) for name in ("customers", "still", "new", "gone")}
        near = 0 if self.near is None else self.near.count
        return {"before": self.before.isoformat(), **counts, "near": near, "share": round(self.share, 6)}


@dataclass(frozen=True)
class Lacking:
    """The customers of a month that one of its tables lacks."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class MonthComparison:
    """A month next to the months published before."""

    count: int
    """Customers of the month."""
    customers: CustomerChange | None
    """None for the first month."""
    lacking: Mapping[str, Lacking]
    """Table -> the customers of the other tables that it lacks."""
    repeated: Mapping[str, dt.date]
    """Table -> the other month whose table is equal cell for cell."""
    repeated_month: dt.date | None
    """The other month that is equal in every table."""
    extra_columns: Mapping[str, Sequence[str]]
    """Table -> the columns of its file that the contract does not name."""
    new_columns: Mapping[str, Sequence[str]]
    """Those of them that the month before did not have."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, without any key of a customer: this is what the lake and the ledger keep."""
        return {
            "count": self.count,
            "customers": None if self.customers is None else self.customers.as_dict(),
            "lacking": {table: found.count for table, found in self.lacking.items()},
            "repeated": {table: month.isoformat() for table, month in self.repeated.items()},
            "repeated_month": None if self.repeated_month is None else self.repeated_month.isoformat(),
            "extra_columns": {table: list(names) for table, names in self.extra_columns.items()},
            "new_columns": {table: list(names) for table, names in self.new_columns.items()},
        }


def change_sentence(compared: Mapping[str, Any] | None) -> str:
    """How many customers are still there, new and gone, from what was stored; empty where nothing was compared."""
    found = (compared or {}).get("customers")
    if found is None:
        return ""
    return (
        f"Customers since {found['before']}: {found['still']:,} still there, {found['new']:,} new, "
        f"{found['gone']:,} gone."
    )


def standing_comparison(
    compared: Mapping[str, Any], digests: Mapping[str, Mapping[str, str]], features: Collection[str]
) -> dict[str, Any]:
    """What was stored of a comparison, without what was found in tables of another month that have changed since.

    Args:
        compared: what was stored. `against` has the digests of the other months' tables then; one of an older version
            has no `against` and stands.
        digests: month -> table -> digest, as those months are now.
        features: the tables whose keys are the customers; corrected labels change no customer.
    """
    changed = {
        month: {table for table, digest in then.items() if digests[month].get(table) != digest}
        for month, then in (compared.get("against") or {}).items()
    }
    customers = compared["customers"]
    if customers is not None and not changed.get(customers["before"], set()).isdisjoint(features):
        customers = None
    return {
        **compared,
        "customers": customers,
        "repeated": {table: of for table, of in compared["repeated"].items() if table not in changed.get(of, ())},
        "repeated_month": None if changed.get(compared["repeated_month"]) else compared["repeated_month"],
    }


def shared_keys(keys: pd.Series, others: pd.Series) -> int:
    """How many distinct keys are also among other distinct keys."""
    return len(keys) - len(_apart(keys, others)[0])


def everyone(tables: Mapping[str, pd.Series]) -> pd.Series:
    """The distinct keys of several tables, each of which holds a key once."""
    distinct: list[pd.Series] = []
    for keys in tables.values():
        if not any(_same_keys(keys, known) for known in distinct):
            distinct.append(keys.reset_index(drop=True))
    if len(distinct) == 1:
        return distinct[0]
    return pd.concat(distinct, ignore_index=True).drop_duplicates(ignore_index=True)


def compare_customers(now: pd.Series, before: pd.Series, month: dt.date) -> CustomerChange:
    """Count who is new, gone and still there, and find keys that changed their spelling only.

    Args:
        now: the distinct keys of the month.
        before: those of the earlier month.
        month: the earlier month.
    """
    new, gone = _apart(now, before)
    return CustomerChange(month, len(now), len(now) - len(new), len(new), len(gone), near_keys(new, gone))


def near_keys(here: pd.Series, there: pd.Series) -> NearKeys | None:
    """Those of `here` that match one of `there` after normalising; None without any, or keys are numbers."""
    if here.empty or there.empty or not isinstance(here.dtype, pd.StringDtype):
        return None
    mine = pd.DataFrame({"here": here.array, "normal": normalised(here).array}).drop_duplicates("normal")
    theirs = pd.DataFrame({"there": there.array, "normal": normalised(there).array}).drop_duplicates("normal")
    pairs = mine.merge(theirs, on="normal")
    if pairs.empty:
        return None
    shown = list(zip(pairs["here"].head(EXAMPLES), pairs["there"].head(EXAMPLES), strict=True))
    first, second = str(shown[0][0]), str(shown[0][1])
    spelling = spelling_of(first, second)
    examples = tuple(f"{own} for {other}" for own, other in shown)
    return NearKeys(len(pairs), spelling, examples, worse=_damage(first) > _damage(second))


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


def lacking(tables: Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """Table -> the customers of the other tables that it lacks; only tables that lack some."""
    customers = everyone(tables)
    absent = {name: _apart(customers, keys)[0] for name, keys in tables.items()}
    return {name: keys for name, keys in absent.items() if len(keys)}


def near_tables(tables: Mapping[str, pd.Series]) -> dict[str, NearKeys]:
    """Table -> its keys that match keys of the other tables only after normalising; of a pair the damaged table.

    Where neither spelling is damaged (upper and lower case), the later table is named.
    """
    groups: list[tuple[list[str], pd.Series]] = []
    for name, keys in tables.items():  # tables with the same keys in the same order are compared once
        equal = next((names for names, known in groups if _same_keys(keys, known)), None)
        if equal is None:
            groups.append(([name], keys))
        else:
            equal.append(name)
    found: dict[str, NearKeys] = {}
    for place, (names, keys) in enumerate(groups):
        others = (
            everyone({names[0]: known for names, known in groups if known is not keys}) if len(groups) > 1 else keys
        )
        near = near_keys(*_apart(keys, others))
        if near is not None and (near.worse or (near.spelling.name == "case" and place > 0)):
            found |= dict.fromkeys(names, near)
    return found


def repeated_tables(
    content: Mapping[str, str], others: Mapping[dt.date, Mapping[str, str]], numeric: Mapping[str, bool]
) -> dict[str, dt.date]:
    """Table -> the newest other month whose table has the same content, for tables that should have changed.

    A table that may stay the same for months (customers' master data) is not named: one that was equal in earlier
    months too, or, with a single other month to compare with, one that holds few numbers.

    Args:
        content: table -> digest of its content.
        others: the same of every other month.
        numeric: table -> whether most of its columns are numbers.
    """
    found = {}
    for table, digest in content.items():
        earlier = {month: tables[table] for month, tables in sorted(others.items()) if table in tables}
        same = [month for month, other in earlier.items() if other == digest]
        if same and changes(list(earlier.values()), numeric=numeric.get(table, False)):
            found[table] = same[-1]
    return found


def changes(digests: Sequence[str], *, numeric: bool) -> bool:
    """Whether a table can be expected to change every month, by its digests in the other months."""
    distinct = len(set(digests))
    if numeric:
        return len(digests) == 1 or distinct > 1
    return len(digests) > 1 and distinct == len(digests)


def repeated_month(
    content: Mapping[str, str], others: Mapping[dt.date, Mapping[str, str]], repeated: Mapping[str, dt.date]
) -> dt.date | None:
    """The newest other month that equals the month in every table; None where no table should have changed."""
    if not repeated:
        return None
    same = [
        month for month, tables in others.items() if all(tables.get(name) == digest for name, digest in content.items())
    ]
    return max(same, default=None)


def _apart(one: pd.Series, other: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The keys that are only in `one`, and those that are only in `other`.

    By their codes: `isin` of text takes 15 times as long, 5 s for 1,000,000 keys.
    """
    if _same_keys(one, other):
        return one[:0], other[:0]
    codes, distinct = pd.factorize(pd.concat([one, other], ignore_index=True))
    in_one, in_other = codes[: len(one)], codes[len(one) :]
    times = np.bincount(in_one, minlength=len(distinct)) * np.bincount(in_other, minlength=len(distinct))
    return one[times[in_one] == 0], other[times[in_other] == 0]


def _same_keys(one: pd.Series, other: pd.Series) -> bool:
    """Whether two tables have the same keys in the same order: the usual case, and cheap to see."""
    return len(one) == len(other) and bool((one.array == other.array).all())


def _without_point_zero(keys: pd.Series) -> pd.Series:
    text: pd.Series = keys.str.replace(_POINT_ZERO, "", regex=True)
    return text


def _damage(key: str) -> tuple[int, int]:
    """How damaged a spelling is: what was added to it, then how many leading zeros it has lost."""
    added = len(key) - len(key.strip()) + int(key.strip().endswith(".0"))
    zeros = len(key.strip()) - len(key.strip().lstrip("0"))
    return added, -zeros
