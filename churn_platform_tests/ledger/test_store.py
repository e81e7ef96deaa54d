"""The ledger file: what was acknowledged stays, what was torn never counts, what was changed is named."""

import json
import multiprocessing
import os
import resource
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import filelock
import pytest

from churn_platform.base.errors import DataError, HomeBusy, IntegrityError
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger import store as ledger_store
from churn_platform.ledger.store import LedgerStore
from churn_platform_tests.gym import record_act

NOON = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def store_in(folder):
    return LedgerStore(folder / "ledger", now=lambda: NOON)


def record(store, subject="version 1", act="decision", **more):
    return record_act(store, act=act, subject=subject, **more)


def filled(folder, count):
    store = store_in(folder)
    return store, [record(store, f"version {number}") for number in range(1, count + 1)]


def test_what_was_appended_is_read_back_by_another_store(tmp_path):
    store = store_in(tmp_path)
    first = record(store, act="drop accepted", subject="2024-02-29", evidence={"rows": 7043})
    second = record(store, before="version 1", after="version 2", subject="Zoë\n\u2028 said so")
    assert (first.sequence, second.sequence, second.previous) == (1, 2, first.digest)
    assert store_in(tmp_path).receipts() == [first, second]
    assert store_in(tmp_path).receipts("drop accepted") == [first]
    assert store_in(tmp_path).receipts("promotion done") == []
    assert store_in(tmp_path).head() == second
    assert store.verify() is None
    assert store.verify(anchor=first.digest) is None


def test_a_store_that_has_read_the_ledger_sees_what_is_appended_and_what_is_changed_since(tmp_path):
    store, receipts = filled(tmp_path, 2)
    assert store.receipts() == receipts
    store.receipts().clear()
    assert store.receipts() == receipts
    other = record(store_in(tmp_path), "version 3")
    assert store.receipts() == [*receipts, other]
    content = store.file.read_bytes()
    store.file.write_bytes(content.replace(b'"version 2"', b'"version 9"'))
    with pytest.raises(IntegrityError, match="line 2"):
        store.receipts()
    store.file.write_bytes(content)
    assert store.receipts() == [*receipts, other]
    store.file.unlink()
    assert store.receipts() == []


def test_the_file_is_plain_json_lines(tmp_path):
    store, receipts = filled(tmp_path, 3)
    assert store.file == tmp_path / "ledger" / "receipts.jsonl"
    lines = store.file.read_text().splitlines(keepends=True)
    assert [line[-1] for line in lines] == ["\n"] * 3
    assert [json.loads(line) for line in lines] == [receipt.model_dump() for receipt in receipts]


def test_the_time_is_the_injected_clock_in_utc(tmp_path):
    store = LedgerStore(tmp_path, now=lambda: NOON.astimezone(timezone(timedelta(hours=2))))
    assert record(store).time == "2024-02-29T12:00:00.000000+00:00"
    assert datetime.fromisoformat(record(LedgerStore(tmp_path)).time).utcoffset() == timedelta(0)


def test_an_empty_ledger_reads_as_nothing_and_reading_makes_no_file(tmp_path):
    store = store_in(tmp_path)
    assert (store.head(), store.receipts(), store.verify()) == (None, [], None)
    assert store.verify(anchor="a" * 64).what == "cut"
    assert names(tmp_path) == []


def test_a_receipt_is_on_the_disk_before_it_is_acknowledged(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync

    def noting_fsync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append((path.name, path.stat().st_size if path.is_file() else None))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    store, _ = filled(tmp_path, 1)
    one = store.file.stat().st_size
    assert flushed == [("receipts.jsonl", one), ("ledger", None), (tmp_path.name, None)]
    record(store)
    assert flushed[3:] == [("receipts.jsonl", store.file.stat().st_size)]


@pytest.mark.parametrize("window", [1, 7, 300, 400, 401, 402, 450, 803, 5000])
def test_the_head_is_found_whatever_the_window_cuts(tmp_path, monkeypatch, window):
    monkeypatch.setattr(ledger_store, "TAIL_BYTES", window)
    store = store_in(tmp_path)
    for number in range(1, 5):
        receipt = record(store, evidence={"filler": "x" * 100 * number})
        assert store.head() == receipt
        assert receipt.sequence == number
    assert store.verify() is None


def test_the_head_is_read_from_the_end_however_large_the_file_or_the_receipt(tmp_path):
    store, receipts = filled(tmp_path, 2)
    with store.file.open("wb") as stream:
        stream.truncate(1 << 40)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\n" + ledger.to_line(receipts[1]) + b"\n")
    assert store.head() == receipts[1]
    large = record(store, evidence={"filler": "x" * 5 * ledger_store.TAIL_BYTES})
    assert large.previous == receipts[1].digest
    assert store.head() == large
    assert record(store).previous == large.digest


@pytest.mark.parametrize("count", [1, 3])
def test_a_last_line_torn_at_any_byte_never_counts_and_is_cut_by_the_next_append(tmp_path, count):
    store, receipts = filled(tmp_path, count)
    whole = store.file.read_bytes()
    *others, last = receipts
    start = len(whole) - len(ledger.to_line(last)) - 1
    for end in range(start, len(whole)):
        store.file.write_bytes(whole[:end])
        assert store.head() == (others[-1] if others else None)
        assert store.receipts() == others
        assert store.verify() is None
        assert store.verify(anchor=last.digest).what == "cut"
        assert record(store, f"version {count}") == last
        assert store.file.read_bytes() == whole


def test_a_torn_line_longer_than_the_next_receipt_leaves_nothing_behind(tmp_path):
    store, receipts = filled(tmp_path, 1)
    with store.file.open("ab") as stream:
        stream.write(b'{"act":"' + b"x" * 5000)
    second = record(store)
    assert store.file.read_bytes() == b"".join(
        ledger.to_line(one) + b"\n" for one in (*receipts, second)
    )


@pytest.mark.parametrize("lost", [slice(0, 40), slice(-40, -1), slice(0, -1)])
def test_blocks_that_never_reached_the_disk_make_a_torn_line(tmp_path, lost):
    store, receipts = filled(tmp_path, 2)
    whole = store.file.read_bytes()
    line = bytearray(whole[len(ledger.to_line(receipts[0])) + 1 :])
    line[lost] = bytes(len(line[lost]))
    store.file.write_bytes(whole[: -len(line)] + line)
    assert store.head() == receipts[0]
    assert store.verify() is None
    assert record(store, "version 2") == receipts[1]
    assert store.file.read_bytes() == whole


def test_any_changed_byte_of_the_file_is_found_under_the_anchor(tmp_path):
    store, receipts = filled(tmp_path, 3)
    whole = store.file.read_bytes()
    for at in range(len(whole)):
        store.file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        verdict = store.verify(anchor=receipts[2].digest)
        assert verdict is not None
        if at < len(whole) - 1:
            assert (verdict.sequence, verdict.what) == (whole[:at].count(b"\n") + 1, "changed")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_reading_a_changed_line_names_it(tmp_path, number):
    store, _ = filled(tmp_path, 3)
    lines = store.file.read_text().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace("It is so.", "It was so")
    store.file.write_text("".join(lines))
    for act in (None, "promotion done"):
        with pytest.raises(IntegrityError, match=rf"receipts\.jsonl, line {number}: .* digest"):
            store.receipts(act)
    assert store.verify().sequence == number


@pytest.mark.parametrize("garbled", [b'{"act":"decision"}\n', b"not even JSON\n", b"\n"])
def test_a_last_line_that_was_whole_and_is_garbled_is_no_torn_line(tmp_path, garbled):
    store, receipts = filled(tmp_path, 3)
    before = store.file.read_bytes()[: -len(ledger.to_line(receipts[2])) - 1] + garbled
    store.file.write_bytes(before)
    for read in (store.head, store.receipts, lambda: record(store)):
        with pytest.raises(IntegrityError, match=r"line 3: .* does not match its digest"):
            read()
    assert store.verify().what == "changed"
    assert store.file.read_bytes() == before


def test_a_deleted_line_is_missing_and_nothing_is_read_past_it(tmp_path):
    store, _ = filled(tmp_path, 3)
    lines = store.file.read_bytes().splitlines(keepends=True)
    store.file.write_bytes(lines[0] + lines[2])
    assert (store.verify().sequence, store.verify().what) == (2, "missing")
    with pytest.raises(IntegrityError, match="line 2: receipt 2 is missing"):
        store.receipts()


def test_a_writer_that_waits_too_long_says_so_and_writes_nothing(tmp_path):
    store, receipts = filled(tmp_path, 1)
    impatient = LedgerStore(store.folder, lock_seconds=0.05)
    with filelock.FileLock(store.folder / "ledger.lock"), pytest.raises(HomeBusy, match=r"0\.05 s"):
        record(impatient)
    assert store.receipts() == receipts
    assert record(impatient).sequence == 2


def test_evidence_that_is_no_json_is_refused_and_nothing_is_written(tmp_path):
    store, receipts = filled(tmp_path, 1)
    with pytest.raises(DataError, match="Out of range float values"):
        record(store, evidence={"auc": float("nan")})
    assert store.receipts() == receipts
    assert record(store).sequence == 2


@pytest.mark.parametrize("room", [0, 1, 200])
def test_a_full_disk_is_an_error_and_leaves_the_ledger_as_it_was(tmp_path, room):
    store, receipts = filled(tmp_path, 2)
    whole = store.file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + room, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            record(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.file.read_bytes() == whole
    assert store.head() == receipts[1]
    assert record(store).sequence == 3


def anchored(folder):
    return LedgerStore(folder / "ledger", now=lambda: NOON, anchor_file=folder / "anchor.json")


def test_every_append_leaves_the_head_outside_the_ledger(tmp_path):
    store = anchored(tmp_path)
    assert store.anchor() is None
    for number in (1, 2, 3):
        receipt = record(store)
        assert (store.anchor().sequence, store.anchor().digest) == (number, receipt.digest)
    lines, anchor = store.snapshot()
    assert (len(lines), anchor) == (3, store.anchor())


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_behind_a_cut_tail_nothing_is_written_and_the_anchor_stays(tmp_path, keep):
    store = anchored(tmp_path)
    for _ in range(3):
        record(store)
    store.file.write_bytes(b"".join(store.file.read_bytes().splitlines(keepends=True)[:keep]))
    left, anchor = store.file.read_bytes(), store.anchor()
    with pytest.raises(IntegrityError, match=r"anchor\.json .* receipt 3 ") as refused:
        record(store)
    assert refused.value.code == "LEDGER_DAMAGED"
    assert (store.file.read_bytes(), store.anchor()) == (left, anchor)


def test_behind_a_rewritten_head_nothing_is_written(tmp_path):
    store, other = anchored(tmp_path), LedgerStore(tmp_path / "other", now=lambda: NOON)
    record(store)
    record(other, actor="a forger")
    store.file.write_bytes(other.file.read_bytes())
    with pytest.raises(IntegrityError) as refused:
        record(store)
    assert refused.value.code == "LEDGER_DAMAGED"


def test_a_kill_between_receipt_and_anchor_leaves_the_anchor_one_behind_and_the_next_append_goes_on(
    tmp_path, monkeypatch
):
    store = anchored(tmp_path)
    first = record(store)
    with monkeypatch.context() as patch:
        patch.setattr(
            ledger_store, "write_anchor", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            record(store)
    assert [receipt.sequence for receipt in store.receipts()] == [1, 2]
    assert store.anchor().digest == first.digest
    third = record(store)
    assert (third.sequence, store.anchor().sequence) == (3, 3)


def append_some(folder, actor):
    store = anchored(folder)
    for number in range(25):
        record(store, f"version {number}", actor=actor)


def test_many_processes_at_once_write_one_sound_chain_and_its_head_is_the_anchor(tmp_path):
    context = multiprocessing.get_context("fork")
    actors = [f"writer {number}" for number in range(6)]
    processes = [context.Process(target=append_some, args=(tmp_path, actor)) for actor in actors]
    for process in processes:
        process.start()
    reader, sound = anchored(tmp_path), True
    while any(process.is_alive() for process in processes):
        lines, anchor = reader.snapshot()
        head = ledger.parse(lines[-1]).sequence if lines else 0
        sound = sound and (anchor is None or anchor.sequence in (head, head - 1))
    assert sound
    assert [process.exitcode for process in processes] == [0] * 6
    receipts = reader.receipts()
    assert [receipt.sequence for receipt in receipts] == list(range(1, 151))
    assert {(r.actor, r.subject) for r in receipts} == {
        (a, f"version {n}") for a in actors for n in range(25)
    }
    assert reader.anchor().digest == receipts[-1].digest


@pytest.mark.parametrize("window", [1, 300, 16_384])
def test_the_receipts_after_one_are_read_whatever_the_window_cuts(tmp_path, monkeypatch, window):
    monkeypatch.setattr(ledger_store, "TAIL_BYTES", window)
    store, written = filled(tmp_path, 40)
    for sequence in (0, 1, 17, 39, 40, 41):
        assert store.since(sequence) == written[sequence:]
    assert store_in(tmp_path / "new").since(0) == []


def test_the_receipts_after_one_are_read_from_the_end_however_large_the_file(tmp_path, monkeypatch):
    store, written = filled(tmp_path, 400)
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *where: read.append(where[1]) or pread(*where))
    assert store.since(398) == written[398:]
    assert sum(read) <= ledger_store.TAIL_BYTES < store.file.stat().st_size / 4


def test_a_changed_receipt_after_one_is_named(tmp_path):
    store, _ = filled(tmp_path, 5)
    lines = store.file.read_bytes().splitlines(keepends=True)
    store.file.write_bytes(
        b"".join([*lines[:3], lines[3].replace(b"It is so", b"It is no"), lines[4]])
    )
    assert len(store.since(4)) == 1
    with pytest.raises(IntegrityError, match="line 4: the receipt does not match its digest"):
        store.since(2)
