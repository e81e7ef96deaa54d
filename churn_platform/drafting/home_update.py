"""Changes the contract of a home: from the files of a new month, or as a person edited it."""

import contextlib
import datetime as dt
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.base.files import write_text
from churn_platform.base.home import Home
from churn_platform.contract.changes import ContractChange, changes_between
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import read_contract
from churn_platform.drafting.drop_files import data_files, drops_in, read_tables
from churn_platform.drafting.month_keys import MonthBefore
from churn_platform.drafting.updating import update_for
from churn_platform.ingestion.comparing import compared
from churn_platform.ingestion.drop import open_drop, source_folder
from churn_platform.ingestion.validation import validate
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
        left_out: New columns and files that are not used, each as "file.column: reason".
        remaining: Why the drop would still be refused under the contract.
    """

    contract: Contract
    text: str
    changes: tuple[ContractChange, ...]
    confirm: tuple[str, ...]
    refused: tuple[ContractChange, ...]
    left_out: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()


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

    def propose(
        self, named: Sequence[Path], as_of: dt.date | None, skip: Collection[str] = ()
    ) -> ContractProposal:
        """The contract that accepts the files of a month.

        Args:
            named: the folder of the drop, or its files; none if all tables are in databases.
            as_of: the month; None if the name of the folder is its date.
            skip: places of the contract that no proposal may change.

        Raises:
            UsageError: there are no files, the month is not known or a later one is published,
                or nothing is proposed for a place to skip.
            ContractError: the contract in use does not fit the published months.
            DataError: a database does not answer, or has no rows of the month.
        """
        self._history.check()
        with contextlib.ExitStack() as stack:
            month, folder = self._files(stack, named, as_of)
            later = [other for other in self._lake.months() if other > month]
            if later:
                raise UsageError(
                    f"{later[-1]} is published, and a change from {month} on would change how it"
                    " is read, too. Name the files of the newest month, or edit the contract.",
                    code="USAGE_INVALID",
                )
            frames = read_tables(data_files(folder), self._contract.files)
            text = self._path.read_text(encoding="utf-8")
            before = self._before(month)
            found = update_for(self._contract, text, frames, month, before, skip)
            unknown = sorted(set(skip) - found.skipped)
            if unknown:
                places = ", ".join(edit.where for edit in found.edits) or "none"
                raise UsageError(
                    f"--skip {unknown[0]}: the files show no change there. Changes: {places}.",
                    code="USAGE_INVALID",
                )
            remaining = self._remaining(found.contract, folder, month)
        return ContractProposal(
            contract=found.contract,
            text=found.text,
            changes=tuple(changes_between(self._contract, found.contract)),
            confirm=tuple(f"{edit.where}: {edit.doubt}" for edit in found.edits if edit.doubt),
            refused=tuple(self._history.refused(found.contract)),
            left_out=found.left_out,
            remaining=remaining,
        )

    def _files(
        self, stack: contextlib.ExitStack, named: Sequence[Path], as_of: dt.date | None
    ) -> tuple[dt.date, Path]:
        """The month, and a folder with all its files, also those of database tables."""
        month = as_of
        folder = None
        if named:
            given = stack.enter_context(source_folder(named, self._contract))
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
        delivery = self._contract.delivery(month)
        if folder is not None and not delivery.pulled:
            return month, folder
        from churn_platform.ingestion.database_source import pull

        temporary = tempfile.TemporaryDirectory(prefix=".delivery.", suffix=".tmp")
        staging = Path(stack.enter_context(temporary))
        files = {} if folder is None else data_files(folder)
        for path in files.values():
            (staging / path.name).symlink_to(path.resolve())
        delivered = [name for name in delivery.pulled if delivery.file_stem(name) in files]
        pull(delivery, month, staging, delivered, every_column=True)
        return month, staging

    def _remaining(self, contract: Contract, folder: Path, as_of: dt.date) -> tuple[str, ...]:
        """Why a drop would be refused under a contract."""
        lake = self._lake.by(contract)
        drop = open_drop(folder, as_of, contract)
        months = lake.months()
        found = validate(
            contract,
            drop,
            today=self._home.now().date(),
            known=lake.keys(as_of) if as_of in months else None,
            published=months,
        )
        return tuple(fault.sentence() for fault in compared(lake, drop, found).refusals)

    def undone(self) -> ContractProposal:
        """The contract as it was before the last update, to be written again.

        Raises:
            UsageError: there was no update.
            ContractError: the file of then is not a contract.
        """
        kept = self._kept_path
        if not kept.exists():
            raise UsageError(
                f"There is no {kept.name} next to {self._path}: no update was written.",
                code="USAGE_INVALID",
            )
        contract = read_contract(kept)
        return ContractProposal(
            contract=contract,
            text=kept.read_text(encoding="utf-8"),
            changes=tuple(changes_between(self._contract, contract)),
            confirm=(),
            refused=tuple(self._history.refused(contract)),
        )

    @property
    def _kept_path(self) -> Path:
        """Where the contract of before the last update is kept."""
        return self._path.with_name(f"{self._path.name}.before")

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
                "\n".join(one.refusal for one in proposal.refused),
                code="CONTRACT_CHANGED",
            )
        with self._home.exclusive("churn contract update"):
            self._history.record()
            known = self._path.read_text(encoding="utf-8")
            if known != proposal.text:
                write_text(self._kept_path, known)
                write_text(self._path, proposal.text)
            self._history.of(proposal.contract).record()

    def _before(self, as_of: dt.date) -> MonthBefore:
        """What the newest published month before this one shows."""
        month = self._lake.month_before(as_of)
        if month is None:
            return MonthBefore()
        compared = self._lake.compared(month)
        extra = {} if compared is None else compared.extra_columns
        return MonthBefore(
            headers={table: frozenset(names) for table, names in extra.items()},
            tables=self._lake.tables(month),
        )
