"""The errors that the platform raises on purpose. Each has a message to act on and a stable code.

`error_codes.py` explains every code. A refused promotion is not an error: it is a decision.
"""


class ChurnError(Exception):
    """An error that the platform foresees; the CLI prints it and exits 1.

    `code` is that of the class unless the place that raises the error names a more specific one.
    """

    code = "FAILED"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class ContractError(ChurnError):
    """The contract file is wrong, or data does not match it."""

    code = "CONTRACT_INVALID"


class UsageError(ChurnError):
    """A command or a setting asks for something that does not exist; the CLI exits 2."""

    code = "USAGE_INVALID"


class DataError(ChurnError):
    """The data cannot support the step: no labels, one class, no rows."""

    code = "DATA_UNSUITABLE"


class NotANumber(DataError):
    """A score or a metric is NaN where a decision needs a number."""

    code = "NOT_A_NUMBER"


class IntegrityError(ChurnError):
    """Something written earlier does not match its digest or its chain."""

    code = "INTEGRITY_BROKEN"


class WrongLayout(ChurnError):
    """The home was written by a version of the platform with another layout."""

    code = "HOME_LAYOUT_UNKNOWN"


class StoreDown(ChurnError):
    """A store does not answer, or the online store contains no month yet."""

    code = "STORE_DOWN"


class LakeUnreachable(StoreDown):
    """The place where the lake keeps its files does not answer, or refuses this login."""

    code = "LAKE_UNREACHABLE"


class DropsUnreachable(StoreDown):
    """The place where drops are delivered does not answer, or refuses this login."""

    code = "DROPS_UNREACHABLE"


class StoreEmpty(StoreDown):
    """The online store answers but has lost its rows; the loop fills it again."""

    code = "STORE_EMPTY"


class HomeBusy(ChurnError):
    """Another run holds this home."""

    code = "HOME_BUSY"
