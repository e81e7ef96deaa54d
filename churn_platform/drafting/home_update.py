"""Changes the contract of a home: from the files of a new month, or as a person edited it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.base.files import write_text
from churn_platform.base.home import Home
from churn_platform.contract.changes import ContractChange, changes_between
from churn_platform.contract.model import Contract
from churn_platform.drafting.drop_files import data_files, drops_in, read_tables
from churn_platform.drafting.updating import MonthBefore, update_for
from churn_platform.ingestion.drop import source_folder
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.lake.lake import Lake


@dataclass(frozen=True)
class ContractProposal:
    """A changed contract that is not written yet.

    Attributes:
        contract: The contract.
        text: Its file.
        changes: How it differs from the contract in use.
        confirm: What a person should check, each as "part: reason".
        refused: What published months or released versions forbid.
    """

    contract: Contract
    text: str
    changes: tuple[ContractChange, ...]
    confirm: tuple[str, ...]
    refused: tuple[ContractChange, ...]


class ContractUpdates:
    """Changes of the contract of one home."""

    def __init__(
        self, home: Home, contract: Contract, path: Path, lake: Lake, history: ContractHistory
    ) -> None:
        self._home = home
        self._contract = contract
        self._path = path
        self._lake = lake
        self._history = history

    def propose(self, named: Sequence[Path], as_of: dt.date | None) -> ContractProposal:
        """The contract that accepts the files of a month.

        Args:
            named: the folder of the drop, or its files.
            as_of: the month; None if the name of the folder is its date.

        Raises:
            UsageError: there are no files, or the month is not known.
            ContractError: the contract in use does not fit the published months.
        """
        self._history.check()
        with source_folder(named, self._contract) as given:
            drops = drops_in(given.folder)
            if len(drops) > 1:
                raise UsageError(
                    f"{given.folder} contains several months: name the folder of one.",
                    code="USAGE_INVALID",
                )
            [(date, folder)] = drops.items()
            month = as_of or date
            if month is None:
                raise UsageError(
                    "The folder's name is not a date: add --as-of with the month of the files.",
                    code="USAGE_INVALID",
                )
            frames = read_tables(data_files(folder), self._contract.files)
        text = self._path.read_text(encoding="utf-8")
        found = update_for(self._contract, text, frames, month, self._before(month))
        return ContractProposal(
            contract=found.contract,
            text=found.text,
            changes=tuple(changes_between(self._contract, found.contract)),
            confirm=tuple(f"{'.'.join(e.path)}: {e.doubt}" for e in found.edits if e.doubt),
            refused=tuple(self._history.refused(found.contract)),
        )

    def edited(self) -> ContractProposal:
        """The contract in use, as a person edited it since it was last recorded."""
        return ContractProposal(
            contract=self._contract,
            text=self._path.read_text(encoding="utf-8"),
            changes=tuple(self._history.pending()),
            confirm=(),
            refused=tuple(self._history.refused()),
        )

    def write(self, proposal: ContractProposal) -> None:
        """Write a proposal to the contract's file and record it in the ledger.

        Raises:
            ContractError: published months or released versions forbid it; nothing was written.
        """
        if proposal.refused:
            raise ContractError(
                "\n".join(
                    f"{one.where}: {one.sentence}. {one.refused}" for one in proposal.refused
                ),
                code="CONTRACT_CHANGED",
            )
        with self._home.exclusive("churn contract update"):
            self._history.record()
            if self._path.read_text(encoding="utf-8") != proposal.text:
                write_text(self._path, proposal.text)
            self._history.of(proposal.contract).record()

    def _before(self, as_of: dt.date) -> MonthBefore:
        """What the newest published month before this one shows."""
        month = self._lake.month_before(as_of)
        if month is None:
            return MonthBefore()
        compared = self._lake.compared(month)
        extra = {} if compared is None else compared.extra_columns
        values = {}
        tables = self._lake.tables(month)
        for name, frame in tables.items():
            values[name] = {
                own: {str(v): int(n) for v, n in frame[own].value_counts().items()}
                for own, column in self._contract.published.get(name, {}).items()
                if column.dtype == "category" and own in frame
            }
        return MonthBefore(
            headers={table: frozenset(names) for table, names in extra.items()},
            values=values,
            keys={name: frame[self._contract.entity.column] for name, frame in tables.items()},
        )
