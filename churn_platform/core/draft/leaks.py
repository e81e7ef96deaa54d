"""Which columns of a draft are no features, and why: keys, constants, texts, and what is known only after churning.

Belongs here: the reason for each column that is left out. Does not: how well a column alone tells the label
(`core/leaks.py`), what a column's values look like (`core/draft/columns.py`).
"""

import datetime as dt
from collections.abc import Mapping

import pandas as pd

from churn_platform.core.contract import Column
from churn_platform.core.conversion import NULL_WORDS
from churn_platform.core.draft.columns import TEXT, Guess
from churn_platform.core.draft.keys import Key, LabelColumn, Sheet, truths
from churn_platform.core.draft.words import is_personal, key_likeness, known_late, label_likeness
from churn_platform.core.leaks import MOST_ROWS, leaks, single_feature_aucs
from churn_platform.core.policy import TrainingPolicy

LIMIT = TrainingPolicy().leak_auc
FEWEST_FILLED = 5
"""A column that fewer churners have filled may be filled for them by chance alone."""


def reasons_left_out(
    sheet: Sheet, key: Key, label: LabelColumn, labels: pd.Series, as_of: dt.date | None, *, only_table: bool
) -> dict[str, str]:
    """Header -> why it is left out, for the columns of a sheet that are; the key and the label are not named.

    Args:
        sheet: one row a customer.
        key: the key.
        label: the label.
        labels: true, false or null by customer, the key as text.
        as_of: when the tables were true; None when that is not known.
        only_table: whether there is no other table that features could come from.
    """
    own = {key.header} | ({label.header} if sheet.name == label.table else set())
    found = {header: _by_itself(header, guess) for header, guess in sheet.guesses.items() if header not in own}
    late = _late_table(sheet, label, only_table=only_table)
    for header, reason in found.items():
        found[header] = reason or late or ("known only after churning, by its name" if known_late(header) else "")
    if as_of is not None:
        found |= {h: _after(sheet.frame[h], as_of) for h in _dates(sheet, found)}
    found |= _told_by_churn(sheet, key, labels, [header for header, reason in found.items() if not reason])
    return {header: reason for header, reason in found.items() if reason}


def is_empty(values: pd.Series) -> pd.Series:
    """Whether each value (rows,) is missing, as read or typed."""
    if values.dtype != object:
        return values.isna()
    return values.isna() | values.astype(TEXT).str.strip().str.lower().isin(NULL_WORDS)


def as_dates(values: pd.Series) -> pd.Series:
    """Dates (rows,) as written, midnight, without a time zone; null where there is none."""
    text = values.astype(object).astype(TEXT).str.strip().str[:10]
    return pd.to_datetime(text, errors="coerce", format="%Y-%m-%d")


def _by_itself(header: str, guess: Guess) -> str:
    if guess.useless:
        return guess.useless
    if guess.unique and guess.column.dtype in ("integer", "string") and key_likeness(header):
        return "another key: a value of its own for every customer"
    if guess.column.dtype == "category" and is_personal(header):
        return "personal: it says who somebody is"
    return ""


def _late_table(sheet: Sheet, label: LabelColumn, *, only_table: bool) -> str:
    """Why a whole table is known too late: it is about churn, or is delivered with the label."""
    if only_table or not (known_late(sheet.name) or label_likeness(sheet.name) > 1):
        return ""
    return "delivered with the label" if sheet.name == label.table else "known only after churning, by its table's name"


def _dates(sheet: Sheet, found: Mapping[str, str]) -> list[str]:
    return [h for h, reason in found.items() if not reason and sheet.guesses[h].column.dtype == "date"]


def _after(values: pd.Series, as_of: dt.date) -> str:
    dates = as_dates(values)
    after = float((dates > pd.Timestamp(as_of)).sum() / max(dates.notna().sum(), 1))
    shown = f"{after:.0%}" if after >= 0.01 else "under 1%"  # noqa: PLR2004 - what %.0f shows as 0
    return f"{shown} of its dates lie after {as_of}" if after else ""


def _told_by_churn(sheet: Sheet, key: Key, labels: pd.Series, headers: list[str]) -> dict[str, str]:
    """Columns that only churners have filled, and those that alone tell who churns."""
    known = labels.dropna().astype(bool)
    rows = sheet.frame.set_index(sheet.frame[key.header].astype(str))
    rows = rows.loc[rows.index.isin(known.index)]
    if len(rows) > MOST_ROWS:
        rows = rows.sample(MOST_ROWS, random_state=0)
    churned = known.reindex(rows.index)
    if churned.nunique() < 2:  # noqa: PLR2004 - both classes
        return {}
    filled = {header: ~is_empty(rows[header]) for header in headers}
    found = {
        header: "filled for churners only"
        for header, there in filled.items()
        if (there & churned).sum() >= FEWEST_FILLED and not (there & ~churned).any()
    }
    columns = {h: sheet.guesses[h].column for h in headers if h not in found}
    typed = pd.DataFrame({h: _typed(rows[h], column) for h, column in columns.items()}, index=rows.index)
    told = leaks(single_feature_aucs(typed, columns, churned), LIMIT)
    return found | {header: f"alone tells who churns, AUC {auc:.2f}" for header, auc in told.items()}


def _typed(values: pd.Series, column: Column) -> pd.Series:
    if column.dtype == "date":
        return as_dates(values)
    if column.dtype == "boolean":
        return truths(values)
    if column.dtype in ("integer", "float"):
        return pd.to_numeric(values.mask(is_empty(values)), errors="coerce").astype("Float64")
    return values.astype(object)
