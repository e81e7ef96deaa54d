"""A file system of a test's own that can really be full."""

import contextlib
import errno
import subprocess
from pathlib import Path

import pytest

BLOCK = 1 << 16


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int):
    """Mount an empty file system of this size at `folder`; skips the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    try:
        made = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("a disk of its own needs the command `mount`")
    if made.returncode:
        pytest.skip(f"a disk of its own needs the right to mount one: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(disk: Path, left: int = 0):
    """Leave `left` bytes of a disk free; there is room again afterwards."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as stream:
            for block in (BLOCK, 512):
                with contextlib.suppress(OSError):
                    while stream.write(bytes(block)) == block:
                        pass
            stream.truncate(max(0, stream.tell() - left))
        if not left:
            with pytest.raises(OSError, match="No space") as refused:
                (disk / "one more").write_bytes(bytes(BLOCK))
            assert refused.value.errno == errno.ENOSPC
            (disk / "one more").unlink()
        yield
    finally:
        filler.unlink()
