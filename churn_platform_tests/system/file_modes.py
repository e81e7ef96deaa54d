"""Folders that cannot be written, also for root: the modes of files hold for everybody."""

import contextlib
import ctypes
import os
from pathlib import Path

VERSION, OVERRIDE = 0x20080522, 1 << 1
"""Of Linux's `capset`: the layout of its arguments, and CAP_DAC_OVERRIDE."""


@contextlib.contextmanager
def not_writable(folder: Path):
    """Nobody may write in `folder` meanwhile, this thread included: what root may is given up for that long."""
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        with _as_modes_say():
            yield
    finally:
        folder.chmod(mode)


@contextlib.contextmanager
def _as_modes_say():
    if os.geteuid() != 0:
        yield
        return
    library, header, held = (
        ctypes.CDLL(None),
        (ctypes.c_uint32 * 2)(VERSION, 0),
        (ctypes.c_uint32 * 6)(),
    )
    assert library.capget(header, held) == 0
    effective, held[0] = held[0], held[0] & ~OVERRIDE
    assert library.capset(header, held) == 0
    try:
        yield
    finally:
        held[0] = effective
        assert library.capset(header, held) == 0
