"""Reads a pickle in a process of its own, and writes it as a skops file.

A pickle runs code when it is read. Nothing else of the platform reads one.
"""

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

from churn_platform.base.errors import UsageError
from churn_platform.base.settings import environment_of
from churn_platform.base.text import ended

SECONDS = 300.0
KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")
"""The environment that the code of a pickle gets: no keys, no addresses, no settings."""
NEW_USER_AND_NETWORK = 0x10000000 | 0x40000000
"""CLONE_NEWUSER and CLONE_NEWNET of Linux's unshare(2)."""


def to_skops(content: bytes, name: str) -> bytes:
    """The skops file of what a pickle holds.

    Args:
        content: the pickle, also one of joblib or cloudpickle.
        name: its file's name, for messages.

    Raises:
        UsageError: it cannot be read, or skops cannot store it.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.pkl"
        target = Path(folder) / "model.skops"
        source.write_bytes(content)
        command = [sys.executable, "-m", __name__, str(source), str(target)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={**environment_of(KEPT), "HOME": folder, "TMPDIR": folder},
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            fault = done.stderr.strip().splitlines()[-1:] or ["it ended without a file"]
        except subprocess.TimeoutExpired:
            fault = [f"reading it took more than {SECONDS:.0f} s"]
        if not target.exists():
            raise UsageError(
                f"{name} could not be read and stored as skops: {ended(fault[0])} It must hold a"
                " fitted classifier of installed libraries; a class of your own, or a lambda,"
                " cannot be stored without code.",
                code="MODEL_TYPES_NOT_ALLOWED",
            )
        return target.read_bytes()


def _without_network() -> None:
    """Leave the network, on Linux where users may have namespaces."""
    if sys.platform == "linux":
        ctypes.CDLL(None).unshare(NEW_USER_AND_NETWORK)


def main(source: str, target: str) -> None:
    """Convert one file."""
    _without_network()
    import joblib  # type: ignore[import-untyped] # noqa: TID251 - in a process of its own
    import skops.io

    stored = skops.io.dumps(joblib.load(source))
    Path(target).write_bytes(stored)


if __name__ == "__main__":
    main(*sys.argv[1:])
