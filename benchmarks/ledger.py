"""A ledger of 100,000 receipts: how long an append takes early and late in the chain, and its
whole verification.

Floor of an append: the same bytes written behind the file and flushed to the disk, and over the
anchor. Floor of the
verification: reading the file and parsing every line. The long chain is made by the same rules
and written at once.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from benchmarks import harness
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import DecisionMade

RECEIPTS = 100_000
QUICK_RECEIPTS = 3_000
EARLY = 1_000
APPENDS = 300
APPEND_GOAL = 5.0
FLAT_GOAL = 1.3
VERIFY_GOAL = 3.0
EARLY_APPEND = "append to the early chain"
LATE_APPEND = "append to the whole chain"
APPEND_FLOOR = "floor: bare appends"
VERIFY = "verify the whole chain"
VERIFY_FLOOR = "floor: read and parse it"
TIME = "2024-02-29T06:00:00.000000+00:00"
DIGEST = 64 * "a"
ACT = DecisionMade(
    version=12,
    before=11,
    outcome="refused",
    actor="monthly",
    reason=(
        "The candidate's AUC is 0.8276, production's 0.8269 on the same 1,267 holdout rows: the"
        " difference +0.0007 is not more than the policy's 0.01."
    ),
    decision=DIGEST,
    trigger="drift",
    candidate=DIGEST,
    policy=DIGEST,
    dataset=DIGEST,
    holdout=DIGEST,
    contract=DIGEST,
)


def fill(folder: Path, count: int) -> None:
    """A ledger of `count` receipts with its anchor."""
    store = _store(folder)
    head = None
    with _made(folder).open("wb") as stream:
        for _ in range(count - 1):
            head = ACT.receipt(head, TIME)
            stream.write(ledger.to_line(head) + b"\n")
    store.append(ACT)


def _made(folder: Path) -> Path:
    file = _store(folder).file
    file.parent.mkdir(parents=True)
    return file


def _store(folder: Path) -> LedgerStore:
    return LedgerStore(folder / "ledger", anchor_file=folder / "anchor.json")


def _append(folder: Path, clock: harness.Clock) -> dict[str, Any]:
    store = _store(folder)
    return _timed(clock, lambda: store.append(ACT))


def _bare_append(folder: Path, clock: harness.Clock) -> dict[str, Any]:
    line = b"x" * len(ledger.to_line(ACT.receipt(None, TIME)))
    files = [os.open(folder / name, os.O_RDWR | os.O_CREAT) for name in ("bare", "bare_anchor")]
    os.pwrite(files[1], b"x" * 128, 0)

    def append() -> None:
        os.pwrite(files[0], line, os.fstat(files[0]).st_size)
        os.fsync(files[0])
        os.pwrite(files[1], b"y" * 128, 0)

    return _timed(clock, append)


def _timed(clock: harness.Clock, append: Callable[[], object]) -> dict[str, Any]:
    taken = []
    with clock.running():
        for _ in range(APPENDS):
            start = time.perf_counter()
            append()
            taken.append(time.perf_counter() - start)
    return {"median_ms": 1000 * statistics.median(taken), "worst_ms": 1000 * max(taken)}


def _verify(folder: Path, clock: harness.Clock) -> dict[str, Any]:
    store = _store(folder)
    with clock.running():
        lines, anchor = store.snapshot()
        broken = ledger.verify_lines(lines, None if anchor is None else anchor.digest)
    return {"receipts": len(lines), "broken": broken is not None}


def _parse(folder: Path, clock: harness.Clock) -> dict[str, Any]:
    with clock.running():
        receipts = [from_json(line) for line in _store(folder).file.read_bytes().splitlines()]
    return {"receipts": len(receipts)}


CONTENDERS: dict[str, harness.Contender] = {
    EARLY_APPEND: lambda options, clock: _append(options.early, clock),
    LATE_APPEND: lambda options, clock: _append(options.late, clock),
    APPEND_FLOOR: lambda options, clock: _bare_append(options.early, clock),
    VERIFY: lambda options, clock: _verify(options.late, clock),
    VERIFY_FLOOR: lambda options, clock: _parse(options.late, clock),
}


def _report(options: argparse.Namespace) -> None:
    count = QUICK_RECEIPTS if options.quick else RECEIPTS
    with tempfile.TemporaryDirectory(dir=options.disk) as made:
        folders = {"early": Path(made) / "early", "late": Path(made) / "late"}
        fill(folders["early"], EARLY)
        fill(folders["late"], count)
        measures = {name: lambda name=name: harness.run(name, **folders) for name in CONTENDERS}
        found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
        size = (folders["late"] / "ledger" / "receipts.jsonl").stat().st_size
    print(f"{count:,} receipts of {size / count:,.0f} bytes; {APPENDS} appends a round")
    appends = (EARLY_APPEND, LATE_APPEND, APPEND_FLOOR)
    verifying = (VERIFY, VERIFY_FLOOR)
    harness.table({name: found[name] for name in appends}, APPEND_FLOOR)
    harness.table({name: found[name] for name in verifying}, VERIFY_FLOOR)
    early, late, floor = (
        statistics.median(one.told["median_ms"] for one in found[name]) for name in appends
    )
    print(f"median of one append: early {early:.2f} ms, late {late:.2f} ms, floor {floor:.2f} ms")
    harness.verdict("append, median", late, APPEND_GOAL, " ms")
    cpu = harness.median(found[LATE_APPEND], "cpu") / harness.median(found[EARLY_APPEND], "cpu")
    harness.verdict("flat: late / early, processor time", cpu, FLAT_GOAL)
    harness.verdict("verify", harness.median(found[VERIFY]), VERIFY_GOAL, " s")
    if any(one.told["broken"] for one in found[VERIFY]):
        raise SystemExit("The chain is broken.")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--disk", type=Path, default=Path(), help="a folder on the disk to measure")
    parser.add_argument("--early", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--late", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
