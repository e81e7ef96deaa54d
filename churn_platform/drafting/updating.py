"""Proposes the change of a contract under which the files of a new month can be published: what
is new, gone, renamed, moved, or written in another way.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd
from pydantic import ValidationError

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.drafting.month_files import MonthFiles
from churn_platform.drafting.month_keys import MonthBefore
from churn_platform.drafting.yaml_edits import Edit, parsed, with_edits


@dataclass(frozen=True)
class Update:
    """A contract that accepts a month's files, as text and as a value.

    Attributes:
        text: The file.
        contract: The contract.
        edits: What was set.
        left_out: New columns and files that are not used, each with the reason.
        skipped: Those of the places to leave alone that had a proposal.
    """

    text: str
    contract: Contract
    edits: tuple[Edit, ...]
    left_out: tuple[str, ...] = ()
    skipped: frozenset[str] = frozenset()


def update_for(
    contract: Contract,
    text: str,
    frames: Mapping[str, pd.DataFrame],
    as_of: dt.date,
    before: MonthBefore,
    skip: Collection[str] = (),
) -> Update:
    """The contract with what the files of a month show to have changed from that month on.

    Args:
        contract: the contract in use.
        text: its file; comments and order stay.
        frames: the tables of the drop by file stem, column names as in the files.
        as_of: the month.
        before: what the month before shows.
        skip: places of the contract that no proposal may change, with everything below them.

    Raises:
        UsageError: a file lacks the key, or the changes do not make a contract.
    """
    comparison = MonthFiles(contract, frames, as_of, before, skip)
    edits = tuple(comparison.edits())
    changed = with_edits(text, edits)
    try:
        made = Contract.model_validate(parsed(changed))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise UsageError(
            f"The changes that the files show do not make a contract ({faults}). Leave one out"
            " with --skip, or edit the contract.",
            code="CONTRACT_CHANGED",
        ) from None
    return Update(changed, made, edits, tuple(comparison.left_out), frozenset(comparison.skipped))
