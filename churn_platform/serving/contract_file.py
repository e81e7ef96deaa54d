"""The contract in use, as a running server follows it."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from churn_platform.base.errors import ContractError
from churn_platform.base.settings import Settings
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import (
    chosen_contract_path,
    default_contract_path,
    read_contract,
)


class ContractFile:
    """The contract of a home, read again when its file changes.

    While the file is missing or broken, the last valid contract stays in use.
    """

    def __init__(self, settings: Settings, broken: Callable[[str], None] = lambda _: None) -> None:
        """Nothing is read yet.

        Args:
            settings: name the home, and the contract if it is elsewhere.
            broken: called once per change of the file that cannot be read, with the reason.
        """
        self._settings = settings
        self._broken = broken
        self._seen = (default_contract_path(), 0, 0)
        self._contract: Contract | None = None

    def read(self) -> Contract:
        """The contract in use: the same object until the file changes.

        Raises:
            ContractError: the file cannot be read, and no month was prepared under an earlier
                contract.
        """
        # If the home's file was removed, the last one stays, not the package's.
        path = chosen_contract_path(self._settings) or self._seen[0]
        seen = _stamp(path)
        if self._contract is not None and seen == self._seen:
            return self._contract
        self._seen = seen
        try:
            self._contract = read_contract(path)
        except (ContractError, OSError, ValueError) as error:
            if self._contract is None:
                self._contract = self._of_online_store(error)
            self._broken(str(error))
        return self._contract

    def _of_online_store(self, error: Exception) -> Contract:
        """The contract under which the online store was filled: a worker that is started again
        while the file is broken answers with it.
        """
        path = self._settings.home_folder / "feast" / "contract.json"
        try:
            return Contract.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            raise error from None


def _stamp(path: Path) -> tuple[Path, int, int]:
    try:
        found = path.stat()
    except OSError:
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_ino
