"""The ledger on disk: one JSON line a receipt, one writer at a time, fsynced before it is
acknowledged.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import filelock
from pydantic import JsonValue, ValidationError

from churn_platform.base.errors import HomeBusy, IntegrityError
from churn_platform.base.files import fsync_folder, read_json, write_text
from churn_platform.base.home import utc_now
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.acts import LedgerAct
from churn_platform.ledger.receipts import Act, Anchor, Break, Receipt, first_fault
from churn_platform.ledger.state import ProductionState

WIDTH = 127
"""Characters of the line, so every anchor overwrites the one before exactly: far less than a
disk's sector.
"""


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
        raise IntegrityError(
            f"{file} has {first_fault(error)}; put it back from a backup"
        ) from error


def write_anchor(file: Path, anchor: Anchor) -> None:
    """Have `anchor` in `file`.

    In place and not flushed: a line of one sector is written completely or not at all, a kill loses
    nothing, and a flush would double what an append costs. A power cut may leave an older
    anchor, which still holds.
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


TAIL_BYTES = 16_384
"""How much is read first to find the last line: several receipts of the usual 1-2 KB."""


class LedgerStore:
    """The ledger in `folder` (`receipts.jsonl` and `ledger.lock`); readers take no lock.

    A crash in the middle of an append leaves a torn last line. Its receipt was never
    acknowledged, so readers pass over it and the next append cuts it away.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime] = utc_now,
        lock_seconds: float = 30.0,
        anchor_file: Path | None = None,
        made_by: Callable[[], Mapping[str, JsonValue]] = dict,
        who: Callable[[], str] = lambda: "unknown",
    ) -> None:
        """Nothing is read or written yet.

        Args:
            folder: The ledger's own folder, made by the first append.
            now: The clock; it must give aware datetimes.
            lock_seconds: How long an append waits for another writer.
            anchor_file: Where every append leaves the head's number and digest, outside of
                `folder`; None: nowhere.
            made_by: What the evidence of every receipt records of the installation that acted.
            who: The actor of acts that name none.
        """
        self.folder = folder
        self.file = folder / "receipts.jsonl"
        self.anchor_file = anchor_file
        self._now = now
        self._made_by = made_by
        self._who = who
        self._lock_seconds = lock_seconds
        # The lines that were verified last and their receipts: a step asks a dozen times, `GET
        # /model` every time.
        self._read: tuple[list[bytes], list[Receipt]] = ([], [])
        self._folded: tuple[list[Receipt], ProductionState] = ([], ProductionState())

    def append(self, act: LedgerAct) -> Receipt:
        """Record one act; when this returns, the receipt is on the disk.

        Raises:
            DataError: a field has the wrong form, or the evidence is not plain, finite JSON.
            IntegrityError: the last receipt was changed, or the tail was cut.
            HomeBusy: another process keeps the lock.
            OSError: the disk refused the write; the ledger is as it was, or holds the receipt
                and the anchor is one behind.
        """
        with self._locked(), self._opened() as descriptor:
            last, end = _tail(descriptor)
            head = None if last is None else self._parsed(last)
            self._uncut(head)
            time = self._now().astimezone(UTC).isoformat(timespec="microseconds")
            receipt = act.receipt(head, time, self._who(), self._made_by())
            _write_at(descriptor, end, ledger.to_line(receipt) + b"\n")
            # After the receipt: a kill between the two leaves the anchor one behind.
            if self.anchor_file is not None:
                anchor = Anchor(sequence=receipt.sequence, digest=receipt.digest)
                write_anchor(self.anchor_file, anchor)
        if last is None:
            fsync_folder(self.folder)
            fsync_folder(self.folder.parent)
        return receipt

    def head(self) -> Receipt | None:
        """The newest receipt, None in an empty ledger; reads the end of the file only.

        Raises:
            IntegrityError: the receipt was changed.
        """
        try:
            with self.file.open("rb") as stream:
                last, _ = _tail(stream.fileno())
        except FileNotFoundError:
            return None
        if last is None:
            return None
        return self._parsed(last)

    def receipts(self, act: Act | None = None) -> list[Receipt]:
        """Every receipt, oldest first; those of one `act` where it is given.

        Raises:
            IntegrityError: the chain is broken anywhere, also at another act.
        """
        lines = self._lines()
        known, receipts = self._read
        if lines != known:
            broken = ledger.verify_lines(lines)
            if broken is not None:
                raise self._fault(broken.sequence, broken.detail)
            receipts = [self._parsed(line, number) for number, line in enumerate(lines, start=1)]
            self._read = (lines, receipts)
        return [receipt for receipt in receipts if act in (None, receipt.act)]

    def state(self) -> ProductionState:
        """The state of production after every receipt, folded once until the ledger changes.

        Raises:
            IntegrityError: the chain is broken.
        """
        self.receipts()
        _, receipts = self._read
        if self._folded[0] is not receipts:
            self._folded = (receipts, ProductionState.from_receipts(receipts))
        return self._folded[1]

    def since(self, sequence: int) -> list[Receipt]:
        """The receipts after `sequence`, oldest first; reads the end of the file only, as far
        back as needed.

        Raises:
            IntegrityError: one of them was changed; the chain before them is not looked at.
        """
        try:
            with self.file.open("rb") as stream:
                for lines, whole in _tails(stream.fileno()):
                    found = self._newer(lines, sequence)
                    if whole or (lines and (not found or found[0].sequence == sequence + 1)):
                        return found
        except FileNotFoundError:
            pass
        return []

    def verify(self, anchor: str | None = None) -> Break | None:
        """The first break of the chain, None where it holds.

        Args:
            anchor: The digest of a head recorded outside the ledger; a chain without it was
                cut.
        """
        return ledger.verify_lines(self._lines(), anchor)

    def anchor(self) -> Anchor | None:
        """The head as it was left outside the ledger; None where it never was.

        Raises:
            IntegrityError: the file was changed.
        """
        if self.anchor_file is None:
            return None
        return read_anchor(self.anchor_file)

    def snapshot(self) -> tuple[list[bytes], Anchor | None]:
        """The lines of the ledger and the anchor of one moment, also while another process
        appends.

        Raises:
            IntegrityError: the anchor's file was changed.
        """
        before = self.anchor()
        while True:
            lines = self._lines()
            after = self.anchor()
            if after == before:
                return lines, after
            before = after

    def _uncut(self, head: Receipt | None) -> None:
        """Refuse to write behind a cut tail: the new head would overwrite the anchor that shows
        it.
        """
        anchor = self.anchor()
        if anchor is None or (head is not None and head.sequence > anchor.sequence):
            return
        if head is None or (head.sequence, head.digest) != (anchor.sequence, anchor.digest):
            if head is None:
                ends = "is empty"
            else:
                ends = f"ends with receipt {head.sequence} ({head.digest[:12]})"
            raise IntegrityError(
                f"{self.file} {ends}, but {self.anchor_file} records that receipt"
                f" {anchor.sequence} ({anchor.digest[:12]}) was written: the tail was cut or"
                " rewritten; put the ledger back from a backup",
                code="LEDGER_DAMAGED",
            )

    def _newer(self, lines: list[bytes], sequence: int) -> list[Receipt]:
        """The receipts at the end of `lines` that come after `sequence`; older ones are not
        looked at.
        """
        found: list[Receipt] = []
        for line in reversed(lines):
            receipt = self._parsed(line, found[-1].sequence - 1 if found else None)
            if receipt.sequence > sequence:
                found.append(receipt)
            if receipt.sequence <= sequence + 1:
                break
        return found[::-1]

    def _lines(self) -> list[bytes]:
        try:
            return _whole_lines(self.file.read_bytes())
        except FileNotFoundError:
            return []

    def _parsed(self, line: bytes, number: int | None = None) -> Receipt:
        try:
            return ledger.parse(line)
        except IntegrityError as error:
            raise self._fault(number or len(self._lines()), str(error)) from error

    def _fault(self, number: int, detail: str) -> IntegrityError:
        return IntegrityError(
            f"{self.file}, line {number}: {detail}; put the ledger back from a backup"
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.folder / "ledger.lock", timeout=self._lock_seconds)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise HomeBusy(
                f"another process has been writing to {self.file} for {self._lock_seconds:g} s;"
                " try again"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _whole_lines(data: bytes) -> list[bytes]:
    """The lines of `data` without their ends and without a torn last one.

    Torn is what has no line end, or holds NUL bytes: blocks that never reached the disk in a
    power cut. Any other garbled line was written completely and changed later: it stays, for
    the reader to refuse.
    """
    lines = data.split(b"\n")[:-1]
    if lines and b"\0" in lines[-1]:
        return lines[:-1]
    return lines


def _tail(descriptor: int) -> tuple[bytes | None, int]:
    """The last complete line (None without one) and the offset behind it, reading only the end."""
    size = os.fstat(descriptor).st_size
    window = TAIL_BYTES
    while True:
        start = max(0, size - window)
        data = os.pread(descriptor, size - start, start)
        # the window may begin inside a line: what stands before its first line end does not
        # count
        skipped = 0 if start == 0 else data.find(b"\n") + 1
        lines = _whole_lines(data[skipped:])
        if lines:
            return lines[-1], start + skipped + sum(len(line) + 1 for line in lines)
        if start == 0:
            return None, 0
        window *= 2


def _tails(descriptor: int) -> Iterator[tuple[list[bytes], bool]]:
    """The complete lines at the end of the file, more of them each time; and whether these are
    all.
    """
    size = os.fstat(descriptor).st_size
    window = TAIL_BYTES
    while True:
        start = max(0, size - window)
        data = os.pread(descriptor, size - start, start)
        yield _whole_lines(data if start == 0 else data[data.find(b"\n") + 1 :]), start == 0
        if start == 0:
            return
        window *= 4


def _write_at(descriptor: int, offset: int, line: bytes) -> None:
    """Cut what is torn behind `offset` and put `line` there, on the disk or not at all."""
    try:
        os.ftruncate(descriptor, offset)
        written = os.pwrite(descriptor, line, offset)
        while written < len(line):  # a full disk takes a part, and says why at the next write
            written += os.pwrite(descriptor, line[written:], offset + written)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
