"""Every error that the platform raises on purpose; each message is one sentence a person can
act on.

ChurnError
├── ContractError        the contract file is wrong, or a drop does not fit it
│   └── DropRefused      a drop broke the contract: nothing of it was published
├── UsageError           a command was called with something that is not there (unknown month,
unknown customer)
├── DataError            the data cannot support the step (no labels, one class, no rows)
│   └── NotANumber       a score or a metric is NaN
├── IntegrityError       something written earlier was changed: a digest or a chain does not
match
├── StoreDown            the online store, or MLflow's server, does not answer
├── WrongLayout          the home was laid out by another version of the platform
└── HomeBusy             another run holds this home

What does not belong here: findings and refusals of a promotion. Those are data, not errors.
"""

from pathlib import Path


class ChurnError(Exception):
    """Root of the tree; the CLI prints its message and exits 1."""


class ContractError(ChurnError):
    """The contract file is wrong, or a drop does not fit it."""


class DropRefused(ContractError):
    """A drop broke the contract; `faults` holds one sentence a fault, `page` the file that
    shows them to people.
    """

    def __init__(
        self, message: str, faults: tuple[str, ...] = (), page: Path | None = None
    ) -> None:
        super().__init__(message)
        self.faults = faults
        self.page = page


class UsageError(ChurnError):
    """A command asked for something that is not there; the CLI exits 2."""


class DataError(ChurnError):
    """The data cannot support the step."""


class NotANumber(DataError):
    """A score or a metric is NaN where a decision needs a number."""


class IntegrityError(ChurnError):
    """Something written earlier does not match its digest or its chain any more."""


class WrongLayout(ChurnError):
    """The home was laid out by a version of the platform that this one does not understand."""


class StoreDown(ChurnError):
    """A store does not answer, or the online store holds no month yet; trying again later may
    help.
    """


class StoreEmpty(StoreDown):
    """The online store answers and has lost all that it held; the loop fills it again."""


class HomeBusy(ChurnError):
    """Another run holds this home."""
