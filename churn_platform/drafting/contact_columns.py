"""Recognises a table of contacts among the files of a drop: which column is what."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from churn_platform.base.text import percent
from churn_platform.drafting.columns import Guess
from churn_platform.drafting.keys import REPAIRED_SHARE, Sheet, listed
from churn_platform.drafting.words import (
    ACTION_NAMES,
    ASSIGNED_NAME,
    CHANNEL_NAME,
    CONTACT_NAME,
    COST_NAME,
    INBOUND_NAME,
    NOT_REACHED,
    OTHER_DATE_NAME,
    OUTCOME_NAME,
    key_likeness,
    spoken,
)
from churn_platform.ingestion.conversion import FALSE_WORDS, TEXT, convert
from churn_platform.lake.keys import apart, near_keys, same_digits

ENOUGH = 2
"""Signs that a table with several rows a customer is one of contacts."""
ENOUGH_ALONE = 3
"""The same of a table that has each of a few customers once."""
FEW_CUSTOMERS = 0.5
MOST_ACTIONS = 50
LONGEST_ACTION = 40
"""Characters, on average."""
KNOWN_SHARE = 0.1
"""Share of the customers in a table of contacts whom the other files must have; most of those
in a log of years may have left.
"""
MOST_A_MONTH = 5
"""Rows a customer and month; more are the log of a machine."""
DAYS_OF_MONTH = 30.44
UNREADABLE = 0.01
NEAR = 0.01


@dataclass(frozen=True)
class ContactColumns:
    """The headers of a table of contacts, and how many signs it has that it is one."""

    contacted_on: str
    action: str
    outcome: str = ""
    cost: str = ""
    assigned: str = ""
    signs: int = 0
    why: Mapping[str, str] = field(default_factory=dict)
    """By field: what to confirm."""

    @property
    def fields(self) -> dict[str, str]:
        """Field of the contract's `contacts` -> header."""
        headers = {
            "contacted_on": self.contacted_on,
            "action": self.action,
            "outcome": self.outcome,
            "cost": self.cost,
            "assigned": self.assigned,
        }
        return {name: header for name, header in headers.items() if header}


def contact_columns(sheet: Sheet, keys: Iterable[str] = ()) -> ContactColumns | None:
    """The columns of a table of contacts; None if the file does not look like one.

    A date and a short category are needed, and names or values that speak of contacts: payments
    and visits have a date and a category, too.
    """
    guesses = {h: guess for h, guess in sheet.guesses.items() if h.strip() and h not in keys}
    if INBOUND_NAME.search(spoken(sheet.name)):
        return None
    date = _date(guesses)
    categories = {h: _values(sheet, h) for h, guess in guesses.items() if _is_category(guess)}
    if any(INBOUND_NAME.search(value) for values in categories.values() for value in values):
        return None
    outcome = _outcome(guesses, categories)
    action = _action({h: values for h, values in categories.items() if h != outcome})
    if not date or not action or _machine_log(sheet, date, keys):
        return None
    assigned = _named(guesses, ASSIGNED_NAME, ("boolean",))
    channels = [value for value in categories[action] if CHANNEL_NAME.search(value)]
    names = f"{spoken(sheet.name)} {spoken(date)}"
    signs = 2 * bool(CONTACT_NAME.search(names)) or int(bool(CHANNEL_NAME.search(names)))
    signs += bool(ACTION_NAMES[0].search(spoken(action)) or CONTACT_NAME.search(spoken(action)))
    signs += 2 * len(channels) > len(categories[action])
    signs += 2 * bool(outcome and not_reached_in(sheet, outcome))
    signs += bool(assigned)
    dates = [h for h, guess in guesses.items() if guess.column.dtype == "date" and h != date]
    others = [h for h in categories if h not in (action, outcome)]
    why = {
        "contacted_on": _one_of("the day of the contact", dates),
        "action": _one_of(f"what was done: {_shown(sheet, action)}", others),
        "outcome": f"what came of it: {_shown(sheet, outcome)}",
        "cost": "the cost of one contact",
        "assigned": "no means that the list did not ask for the contact",
    }
    return ContactColumns(
        contacted_on=date,
        action=action,
        outcome=outcome,
        cost=_named(guesses, COST_NAME, ("integer", "float")),
        assigned=assigned,
        signs=signs,
        why=why,
    )


def may_hold_contacts(sheet: Sheet, customers: int) -> bool:
    """Whether a file looks like a table of contacts, whichever column is the customer's key.

    Args:
        sheet: the file.
        customers: rows of the largest file.
    """
    likely = [h for h in sheet.guesses if key_likeness(h)]
    found = contact_columns(sheet, likely)
    if found is None:
        return False
    repeats = any(not sheet.guesses[h].unique for h in likely)
    few = len(sheet.frame) < FEW_CUSTOMERS * customers
    return (repeats and found.signs >= ENOUGH) or (few and found.signs >= ENOUGH_ALONE)


def why_no_contacts(keys: pd.Series, customers: pd.Series) -> str:
    """Why a file that looks like one of contacts cannot be used as it is; empty if it can.

    Args:
        keys: of its rows (rows,), null where one cannot be read.
        customers: the distinct keys of all other files.
    """
    lost = float(keys.isna().mean())
    if lost > UNREADABLE:
        return f"{percent(lost)} of its rows have no key that can be read: give every row one"
    distinct = keys.dropna().drop_duplicates()
    strangers, others = apart(distinct, customers)
    for compare, least in (
        (near_keys, NEAR * len(distinct)),
        (same_digits, REPAIRED_SHARE * len(strangers)),
    ):
        near = compare(strangers, others)
        if near is not None and near.count > least:
            mine, theirs = near.pairs[0]
            return (
                f"its keys differ by {near.spelling.difference} ({mine!r} here, {theirs!r} in"
                f" another file): {near.spelling.repair}"
            )
    known = 1 - len(strangers) / max(len(distinct), 1)
    if known < KNOWN_SHARE:
        return f"only {percent(known)} of its customers are in the other files"
    return ""


def best_contacts(found: Sequence[tuple[Sheet, ContactColumns]]) -> tuple[Sheet, ContactColumns]:
    """The one of several tables that shows most signs, or has most rows."""
    return max(found, key=lambda one: (one[1].signs, len(one[0].frame)))


def _is_category(guess: Guess) -> bool:
    return guess.column.dtype == "category" and 0 < guess.distinct <= MOST_ACTIONS


def _values(sheet: Sheet, header: str) -> list[str]:
    """The distinct values of a category as they are spoken, the most frequent first."""
    counts = sheet.guesses[header].values.dropna().astype(str).value_counts()
    return list(dict.fromkeys(spoken(str(value)) for value in counts.index))


def _shown(sheet: Sheet, header: str) -> str:
    """The most frequent values of a column, as the file writes them; empty without a column."""
    if not header:
        return ""
    texts, _ = convert(sheet.frame[header].astype(object), "string")
    return listed(texts[texts.str.strip() != ""].value_counts().index)


def _date(guesses: Mapping[str, Guess]) -> str:
    dates = [header for header, guess in guesses.items() if guess.column.dtype == "date"]
    usable = [header for header in dates if not OTHER_DATE_NAME.search(spoken(header))]
    for pattern in (CONTACT_NAME, CHANNEL_NAME):
        for header in usable:
            if pattern.search(spoken(header)):
                return header
    return usable[0] if usable else ""


def _action(categories: Mapping[str, Sequence[str]]) -> str:
    """The short category that names what was done, by its name or else by its values."""
    short = {
        header: values
        for header, values in categories.items()
        if sum(map(len, values)) <= LONGEST_ACTION * len(values)
    }
    for pattern in ACTION_NAMES:
        for header in short:
            if pattern.search(spoken(header)):
                return header
    for header, values in short.items():
        if 2 * sum(bool(CHANNEL_NAME.search(value)) for value in values) > len(values):
            return header
    return ""


def _outcome(guesses: Mapping[str, Guess], categories: Mapping[str, Sequence[str]]) -> str:
    for header, values in categories.items():
        if any(NOT_REACHED.fullmatch(value) for value in values):
            return header
    for header, guess in guesses.items():
        boolean = guess.column.dtype == "boolean" and guess.distinct > 0
        if OUTCOME_NAME.search(spoken(header)) and (header in categories or boolean):
            return header
    return ""


def _named(guesses: Mapping[str, Guess], pattern: re.Pattern[str], dtypes: Sequence[str]) -> str:
    for header, guess in guesses.items():
        fits = guess.column.dtype in dtypes and guess.distinct > 0
        if fits and pattern.search(spoken(header)):
            return header
    return ""


def not_reached_in(sheet: Sheet, header: str) -> tuple[str, ...]:
    """The values that mean that the customer was not reached, as the file writes them; a no in
    a column of yes and no that is named "reached".
    """
    texts, _ = convert(sheet.frame[header].astype(object), "string")
    distinct = sorted(texts.dropna().str.strip().unique())
    if sheet.guesses[header].column.dtype == "boolean":
        return tuple(value for value in distinct if value.lower() in FALSE_WORDS)
    return tuple(value for value in distinct if NOT_REACHED.fullmatch(spoken(value)))


def _machine_log(sheet: Sheet, date: str, keys: Iterable[str]) -> bool:
    """Whether customers have more rows a month than a team makes contacts."""
    dates = sheet.guesses[date].values.dropna()
    repeating = [header for header in keys if not sheet.guesses[header].unique]
    customers = max((int(sheet.frame[h].nunique()) for h in repeating), default=0)
    if dates.empty or not customers:
        return False
    months = max(1.0, (dates.max() - dates.min()).days / DAYS_OF_MONTH)
    return bool(len(sheet.frame) / customers / months > MOST_A_MONTH)


def _one_of(text: str, others: Sequence[str]) -> str:
    return f"{text}; it may be {listed(others)}" if others else text


def keys_as_text(values: pd.Series, *, integer: bool) -> pd.Series:
    """Keys (rows,) as `keys_of` gives them, null where they cannot be read."""
    texts, _ = convert(values, "string")
    if not integer:
        return texts
    numbers = pd.to_numeric(texts, errors="coerce").astype("Float64")
    whole = numbers.mask(numbers % 1 != 0)
    return whole.astype("Int64").astype(TEXT)
