"""Which columns of a draft are not features, and why: keys, constants, texts, and what is known
only after churning.
"""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pandas as pd

from churn_platform.contract.policy import TrainingPolicy
from churn_platform.drafting.columns import Guess
from churn_platform.drafting.keys import Key, Sheet, keys_of
from churn_platform.drafting.label import LabelColumn
from churn_platform.drafting.words import is_personal, key_likeness, known_late, label_likeness
from churn_platform.evaluation.leaks import MOST_ROWS, leaks, single_feature_aucs

LIMIT = TrainingPolicy().leak_auc
FEWEST_FILLED = 5
"""A column that fewer churners have filled may be filled for them by chance alone."""


def reasons_left_out(
    sheet: Sheet,
    key: Key,
    label: LabelColumn,
    labels: pd.Series,
    as_of: dt.date | None,
    *,
    only_table: bool,
    delivered_later: bool = False,
) -> dict[str, str]:
    """Header -> why it is left out, for the columns of a sheet that are; the key and the label
    are not named.

    Args:
        sheet: one row per customer.
        key: the key.
        label: the label.
        labels: true, false or null by customer, the key as text.
        as_of: when the tables were true; None when that is not known.
        only_table: whether there is no other table that features could come from.
        delivered_later: whether a newer drop has other tables but not yet this one.
    """
    own = {key.header} | ({label.header} if sheet.name == label.table else set())
    found = {
        header: _by_itself(header, guess)
        for header, guess in sheet.guesses.items()
        if header not in own
    }
    if only_table:
        late = ""
    else:
        late = _late_table(sheet, label, delivered_later=delivered_later)
    for header, reason in found.items():
        found[header] = (
            reason
            or late
            or (
                "its name suggests that it is known only after churning"
                if known_late(header)
                else ""
            )
        )
    if as_of is not None:
        found |= {h: _after(sheet.guesses[h].values, as_of) for h in _dates(sheet, found)}
    found |= _told_by_churn(
        sheet, key, labels, [header for header, reason in found.items() if not reason]
    )
    return {header: reason for header, reason in found.items() if reason}


def _by_itself(header: str, guess: Guess) -> str:
    if not header.strip():
        return "it has no name; pandas and R write an index this way"
    if guess.useless:
        return guess.useless
    if guess.unique and guess.column.dtype in ("integer", "string") and key_likeness(header):
        return "another key: every customer has a different value"
    if guess.column.dtype == "category" and is_personal(header):
        return "personal: it identifies a person"
    return ""


def _late_table(sheet: Sheet, label: LabelColumn, *, delivered_later: bool) -> str:
    """Why a complete table is known too late: it is about churn, or is delivered with the
    label.
    """
    is_labels = sheet.name == label.table
    if is_labels and (delivered_later or label_likeness(sheet.name)):
        return "delivered with the label"
    if known_late(sheet.name) or label_likeness(sheet.name) > 1:
        if is_labels:
            return "delivered with the label"
        return "the table's name suggests that it is known only after churning"
    return ""


def _dates(sheet: Sheet, found: Mapping[str, str]) -> list[str]:
    return [
        h for h, reason in found.items() if not reason and sheet.guesses[h].column.dtype == "date"
    ]


def _after(dates: pd.Series, as_of: dt.date) -> str:
    after = float((dates > pd.Timestamp(as_of)).sum() / max(dates.notna().sum(), 1))
    shown = f"{after:.0%}" if after >= 0.01 else "under 1%"  # noqa: PLR2004 - what %.0f shows as 0
    if after:
        return f"{shown} of its dates lie after {as_of}"
    return ""


def _told_by_churn(sheet: Sheet, key: Key, labels: pd.Series, headers: list[str]) -> dict[str, str]:
    """Columns that only churners have filled, and those that alone tell who churns."""
    known = labels.dropna().astype(bool)
    place = known.index.get_indexer(pd.Index(keys_of(sheet, key)))
    rows = np.flatnonzero(place >= 0)
    if len(rows) > MOST_ROWS:
        rows = np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False)
    churned = known.iloc[place[rows]].set_axis(rows)
    if not headers or churned.nunique() < 2:  # noqa: PLR2004 - both classes
        return {}
    typed = pd.DataFrame({header: sheet.guesses[header].values for header in headers}).loc[rows]
    found = {
        header: "filled for churners only"
        for header, there in typed.notna().items()
        if (there & churned).sum() >= FEWEST_FILLED and not (there & ~churned).any()
    }
    columns = {str(h): sheet.guesses[h].column for h in headers if h not in found}
    told = leaks(single_feature_aucs(typed, columns, churned), LIMIT)
    return {str(h): why for h, why in found.items()} | {
        header: f"alone predicts churn, AUC {auc:.2f}" for header, auc in told.items()
    }
