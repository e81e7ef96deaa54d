"""How every method of the Python API fails: as the terminal does."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from churn_platform.base.library_errors import as_churn_error

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def reading(read: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """A method whose errors have the sentence and the code of the terminal, also where a library
    or the disk fails. A foreseen error shows no lines of this package: its sentence is enough.
    """

    @functools.wraps(read)
    def answered(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return read(*args, **kwargs)
        except Exception as error:
            known = as_churn_error(error)
            if known is None:
                raise
            known.add_note(f"[{known.code}]")
            cause = None if known is error else error
            raise known.with_traceback(None) from cause

    return answered
