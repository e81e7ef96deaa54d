"""The head of the ledger outside the ledger: one small file, overwritten in place after every append.

Belongs here: its bytes. Does not: the ledger (`adapters/ledger/store.py`), comparing the two
(`adapters/proof/verifying.py`).
"""

import os
from pathlib import Path

from pydantic import ValidationError

from churn_platform.adapters.files import read_json, write_text
from churn_platform.core.ledger import Anchor, first_fault
from churn_platform.errors import IntegrityError

WIDTH = 127
"""Characters of the line, so every anchor overwrites the one before exactly: far less than a disk's sector."""


def read_anchor(file: Path) -> Anchor | None:
    """The anchor in `file`; None if absent.

    Raises:
        IntegrityError: the file was changed.
    """
    try:
        return Anchor.model_validate(read_json(file))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise IntegrityError(f"{file} has {first_fault(error)}; put it back from a backup") from error


def write_anchor(file: Path, anchor: Anchor) -> None:
    """Have `anchor` in `file`.

    In place and not flushed: a line of one sector is written whole or not at all, a kill loses nothing, and a flush
    would double what an append costs. A power cut may leave an older anchor, which still holds.
    """
    line = anchor.model_dump_json().ljust(WIDTH) + "\n"
    try:
        descriptor = os.open(file, os.O_WRONLY)
    except FileNotFoundError:
        write_text(file, line)
        return
    try:
        os.pwrite(descriptor, line.encode(), 0)
        os.ftruncate(descriptor, len(line))
    finally:
        os.close(descriptor)
