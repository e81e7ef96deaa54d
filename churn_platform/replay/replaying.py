"""Backtests of a home: its past months under other policies. Reads only."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.base.provenance import code_digest
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import read_policy
from churn_platform.lake.lake import Lake, instant
from churn_platform.lake.tables import feature_frame
from churn_platform.replay.backtest import Alternative, with_policy
from churn_platform.replay.history import PastMonth, PastMonths
from churn_platform.replay.result import OnMonth, Replay, replay

THIS = "this policy"


def replay_home(
    contract: Contract,
    lake: Lake,
    known_at: dt.datetime,
    files: Sequence[Path],
    on_month: OnMonth = lambda _, __: None,
) -> list[Replay]:
    """The home's months under its own policy, never retraining, always retraining, and the
    policies in `files`.

    Raises:
        UsageError: a file's name is taken, or there is no month.
        ContractError: a file holds no valid policy, or the lake was written under another
            contract.
    """
    alternatives = [
        Alternative(THIS, contract),
        Alternative.never(contract),
        Alternative.always(contract),
    ]
    for file in files:
        policy = read_policy(file, contract)
        if file.stem in {one.name for one in alternatives}:
            raise UsageError(
                f"Two policies are called {file.stem!r}: a policy is named after its file,"
                " rename one."
            )
        alternatives.append(Alternative(file.stem, with_policy(contract, policy)))
    history = history_of(contract, lake, known_at)
    return replay(alternatives, history, code_digest(), contract.policy, on_month)


def history_of(contract: Contract, lake: Lake, known_at: dt.datetime) -> PastMonths:
    """Every published month as it was known.

    A month's tables are those of its scoring: what came up to `delivery_days` after it. Labels
    are known in a month when they were there as many days after its as_of.

    Raises:
        UsageError: no month was published.
        ContractError: the lake lacks columns of the contract.
    """
    months = lake.months()
    if not months:
        raise UsageError(
            "There is no month to replay yet: `churn run` publishes the months of the drops.",
            code="MONTH_UNKNOWN",
        )
    if behind := lake.behind():
        raise ContractError(
            f"The lake lacks {behind[0]}, which the contract names: the months were published"
            " under another contract. Give the column `since:` with the first month that has it.",
            code="CONTRACT_CHANGED",
        )
    view = lake.view(known_at, as_at_scoring=True)
    found = {}
    for month in months:
        known = {name: files[month] for name, files in view.items() if month in files}
        wanted = contract.at(month).feature_tables
        tables = {name: lake.read_table(name, known[name]) for name in wanted if name in known}
        if len(tables) == len(wanted):
            labels = _labels(contract, lake, month, months)
            found[month] = PastMonth(feature_frame(contract, tables), labels)
    return PastMonths(found)


def _labels(
    contract: Contract, lake: Lake, month: dt.date, months: Sequence[dt.date]
) -> tuple[tuple[dt.date, pd.Series], ...]:
    """Each delivery of the month's labels with the first month in which it was known; today's
    is known at the last.
    """
    found = []
    for delivery in lake.deliveries(month):
        entry = delivery.tables.get(contract.label_table)
        if entry is not None:
            wait = dt.timedelta(days=contract.delivery_days)
            since = next((m for m in months if entry.created <= instant(m) + wait), dt.date.max)
            found.append((since, lake.read_labels(lake.folder / entry.file, month)))
    return tuple(found)
