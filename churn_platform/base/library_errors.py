"""Any error as one sentence with a code and what to do; imports no library.

A library's error is recognised by the package that defines its class or one of its bases.
"""

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn_platform.base.errors import ChurnError

LONGEST = 300
DISK_FULL = (
    "The disk is full. Nothing was half published. Free some space, then run the same command"
    " again. [DISK_FULL]"
)
DISK = {
    errno.ENOSPC: DISK_FULL,
    errno.EROFS: (
        "The home is on a read-only file system. Nothing was published. Mount it writable, or"
        " choose another folder. [FILE_SYSTEM_READ_ONLY]"
    ),
}
SQLITE_FULL = "database or disk is full"
"""SQLite's message; Dagster and MLflow pass it on as errors of their own kinds."""
RESTORE = "put the home back from a backup (`churn restore FILE --home NEW`)"


@dataclass(frozen=True)
class Known:
    """How errors of one kind are reported."""

    code: str
    what: str
    remedy: str


DATABASE = Known(
    "DATABASE_FAILED",
    "A database failed",
    "check that it answers, then run the same command again",
)
TABLE_FILE = Known(
    "TABLE_FILE_UNREADABLE",
    "A Parquet or CSV file cannot be read",
    f"`churn verify --deep` names it; {RESTORE}",
)
TEXT_FILE = Known(
    "FILE_UNREADABLE",
    "A file cannot be read as what it should be",
    f"`churn verify --deep` names it; {RESTORE}",
)
MODEL = Known(
    "MODEL_UNREADABLE", "A model cannot be used", "`churn doctor --fix` makes a release again"
)
RECORD = Known("RECORD_UNREADABLE", "A record has other fields than expected", TEXT_FILE.remedy)
BY_TEXT = (
    (
        "database is locked",
        Known("DATABASE_LOCKED", "A database is in use", "wait for the other run, then try again"),
    ),
    ("malformed", Known("DATABASE_DAMAGED", "A database is damaged", RESTORE)),
    ("file is not a database", Known("DATABASE_DAMAGED", "A database is damaged", RESTORE)),
    ("no such table", Known("DATABASE_DAMAGED", "A database lacks a table", RESTORE)),
)
DATABASES = ("sqlite3", "sqlalchemy", "psycopg", "psycopg_pool", "psycopg2", "alembic")
FEAST_AGAIN = "remove feast/registry.db, then `churn run` makes it again"
BY_PACKAGE = {
    "mlflow": Known("MLFLOW_FAILED", "MLflow cannot do this", "`churn doctor` shows what is wrong"),
    "feast": Known("FEAST_FAILED", "Feast cannot do this", FEAST_AGAIN),
    "duckdb": TABLE_FILE,
    "_duckdb": TABLE_FILE,
    "pyarrow": TABLE_FILE,
    "redis": Known(
        "STORE_FAILED", "Redis failed", "check that it answers, then run the same command again"
    ),
    "dagster": Known("DAGSTER_FAILED", "Dagster cannot do this", "`churn ui` shows the run"),
    "bentoml": Known(
        "BENTOML_FAILED", "BentoML cannot do this", "check the file or folder that it names"
    ),
    "evidently": Known(
        "EVIDENTLY_FAILED", "Evidently cannot do this", "`churn verify --deep` checks its input"
    ),
    "lightgbm": MODEL,
    "skops": MODEL,
    "yaml": TEXT_FILE,
    "json": TEXT_FILE,
    "pydantic_core": RECORD,
    "google": Known(
        "FEAST_FAILED",
        "Feast's registry is damaged",
        "remove feast/registry.db; `churn run` makes it again",
    ),
    **dict.fromkeys(DATABASES, DATABASE),
}
BY_TYPE: tuple[tuple[type[Exception], Known], ...] = (
    (
        MemoryError,
        Known(
            "OUT_OF_MEMORY",
            "There is not enough memory",
            "close other programs or use a larger machine",
        ),
    ),
    (UnicodeError, TEXT_FILE),
)
UNEXPECTED = Known(
    "UNEXPECTED", "Unexpected error", "report it with the traceback of `churn --debug ...`"
)


LIBRARY_ERRORS = tuple(
    dict.fromkeys(
        [
            *(known for _, known in BY_TEXT),
            *BY_PACKAGE.values(),
            *(known for _, known in BY_TYPE),
            UNEXPECTED,
        ]
    )
)
"""Every kind, for the list of codes."""


def sentence_of(error: BaseException) -> str:
    """What failed, why and what to do, with the code of the error at the end."""
    if isinstance(error, ChurnError):
        return f"{error} [{error.code}]"
    if SQLITE_FULL in str(error):
        return DISK_FULL
    if isinstance(error, PermissionError) and error.filename:
        denied = _denied(Path(error.filename))
        return (
            f"{error.filename} cannot be {denied}: {error.strerror}; check its owner and mode."
            " [FILE_DENIED]"
        )
    if isinstance(error, OSError) and not _packages(error) & BY_PACKAGE.keys():
        if error.errno in DISK:
            return DISK[error.errno]
        reason = error.strerror or _message(error)
        if error.filename:
            reason += f" ({error.filename})"
        return f"{reason}. [SYSTEM_FAILED]"
    known = _known(error)
    return (
        f"{known.what} ({type(error).__name__}: {_message(error)}): {known.remedy}. [{known.code}]"
    )


def as_churn_error(error: Exception) -> ChurnError | None:
    """An error of ours, or that of a known library or of the disk as one of ours, with the
    sentence and the code of the terminal; None for any other.
    """
    if isinstance(error, ChurnError):
        return error
    if not isinstance(error, OSError) and _known(error) is UNEXPECTED:
        return None
    sentence, _, code = sentence_of(error).rpartition(" [")
    return ChurnError(sentence, code=code.removesuffix("]"))


def _denied(path: Path) -> str:
    """What this user may not do with a file; the error itself does not say what was tried."""
    if not os.access(path.parent, os.X_OK):
        return "reached"
    if not path.exists():
        return "written"
    modes = {"read": os.R_OK, "written": os.W_OK}
    return (
        " or ".join(word for word, mode in modes.items() if not os.access(path, mode)) or "changed"
    )


def _known(error: BaseException) -> Known:
    packages = _packages(error)
    if packages & set(DATABASES) or "mlflow" in packages:
        for text, known in BY_TEXT:
            if text in str(error):
                return known
    for package, known in BY_PACKAGE.items():
        if package in packages:
            return known
    return next((known for kind, known in BY_TYPE if isinstance(error, kind)), UNEXPECTED)


def _packages(error: BaseException) -> set[str]:
    return {kind.__module__.partition(".")[0] for kind in type(error).__mro__}


def one_line(text: str) -> str:
    """A library's message on one line, cut where it is long; without SQL, whose parameters may
    be customers' values.
    """
    line = " ".join(re.split(r"\[SQL:|For further information visit", text)[0].split()).rstrip(".")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def _message(error: BaseException) -> str:
    said: Any = getattr(error, "orig", None) or error
    return one_line(str(said))
