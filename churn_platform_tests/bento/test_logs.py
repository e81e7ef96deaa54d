"""The queue that no request waits for."""

import threading
import time

import pytest

from bento.logs import Background


def waited(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_a_queue_that_fills_is_emptied_before_its_time():
    written = []
    queue = Background(written.extend, limit=100, seconds=3600)
    queue.start()
    queue.add(list(range(10)))
    queue.add([10])
    assert waited(lambda: written == list(range(11)))
    assert len(queue) == 0
    queue.stop()


@pytest.mark.parametrize("started", [True, False])
def test_what_waits_at_the_end_is_written(started):
    written = []
    queue = Background(written.extend, limit=100, seconds=3600)
    if started:
        queue.start()
    queue.add([1])
    queue.stop()
    assert written == [1]


def test_a_full_queue_drops_and_counts_and_never_waits():
    gate = threading.Event()
    queue = Background(lambda _: gate.wait(), limit=3, seconds=0.01)
    queue.add([1, 2])
    queue.add([3, 4, 5])
    assert (len(queue), queue.dropped) == (3, 2)
    queue.add([6])
    assert queue.dropped == 3
    gate.set()
    queue.stop()


@pytest.mark.parametrize("error", [OSError("the disk is full"), ValueError("no such type")])
def test_a_failed_write_is_counted_and_told_and_the_next_is_tried(capsys, error):
    written = []

    def write(items):
        if items == [1, 2]:
            raise error
        written.extend(items)

    queue = Background(write, limit=100, seconds=0.01)
    queue.start()
    queue.add([1, 2])
    assert waited(lambda: queue.dropped == 2)
    queue.add([3])
    assert waited(lambda: written == [3])
    queue.stop()
    assert f"2 log entries were dropped: {error}" in capsys.readouterr().err
