"""An object store that fails in the middle: one sentence, nothing half-published, and the next run succeeds."""

import os

import pytest

from churn_platform.base.errors import LakeUnreachable
from churn_platform.base.files import sha256_file
from churn_platform.lake import place as place_module
from churn_platform.lake.place import Patience, Place, object_name
from churn_platform_tests.faulty_store import Fault, faulty_store
from churn_platform_tests.lake.test_place import entry_of
from churn_platform_tests.object_stores import at_object_store, home_at
from churn_platform_tests.small_business import JANUARY, deliver, open_home

SHORT = Patience(1, 1, 1)


@pytest.fixture
def proxy(object_server, monkeypatch):
    """The proxy, through which every client of this test goes."""
    with faulty_store(object_server.port) as made:
        at_object_store(monkeypatch, made.endpoint)
        yield made


@pytest.fixture
def short(monkeypatch):
    """A client that gives up soon."""
    monkeypatch.setattr(place_module, "PATIENT", SHORT)
    monkeypatch.setattr(place_module, "QUICK", SHORT)


@pytest.fixture
def source(tmp_path):
    """A file of 300 kB."""
    path = tmp_path / "source"
    path.write_bytes(os.urandom(300_000))
    return path


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_a_store_that_is_busy_for_a_moment_is_asked_again(proxy, s3_uri, source, method):
    proxy.faults.append(Fault("slow_down", method, times=2))
    entry = entry_of(source)
    Place(s3_uri).put(source, entry)
    assert proxy.asked.count(method) >= 3
    proxy.faults.clear()
    assert Place(s3_uri).lacks([entry]) == []


def test_a_read_is_tried_again_while_the_store_is_busy(proxy, s3_uri, source, tmp_path):
    entry = entry_of(source)
    Place(s3_uri).put(source, entry)
    proxy.faults.append(Fault("slow_down", "GET", times=2))
    Place(s3_uri).fetch(entry, tmp_path / "copy")
    assert sha256_file(tmp_path / "copy") == entry.sha256


WRITES = [("slow_down", "PUT"), ("cut_request", "PUT"), ("silent", "any"), ("slow_down", "any")]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("kind", "method"), WRITES)
def test_a_write_that_fails_is_down_and_leaves_no_object(proxy, s3_uri, source, kind, method):
    proxy.faults.append(Fault(kind, method))
    entry = entry_of(source)
    with pytest.raises(LakeUnreachable):
        Place(s3_uri).put(source, entry)
    proxy.faults.clear()
    assert Place(s3_uri).objects() == {}
    Place(s3_uri).put(source, entry)
    assert list(Place(s3_uri).objects()) == [object_name(entry.file, entry.sha256)]


def test_a_write_that_is_cut_off_once_is_written_again(proxy, s3_uri, source, tmp_path):
    proxy.faults.append(Fault("cut_request", "PUT", times=1))
    entry = entry_of(source)
    Place(s3_uri).put(source, entry)
    Place(s3_uri).fetch(entry, tmp_path / "copy")


@pytest.mark.usefixtures("short")
def test_a_large_write_whose_last_request_fails_is_down(proxy, s3_uri, tmp_path):
    """It goes in parts, and the store makes an object of them when a POST asks it to."""
    source = tmp_path / "large"
    source.write_bytes(os.urandom(12_000_000))
    entry = entry_of(source)
    proxy.faults.append(Fault("none", "POST", times=1))
    proxy.faults.append(Fault("slow_down", "POST"))
    with pytest.raises(LakeUnreachable):
        Place(s3_uri).put(source, entry)
    assert proxy.asked.count("POST") >= 2
    proxy.faults.clear()
    assert Place(s3_uri).objects() == {}


READS = [("slow_down", "GET"), ("cut_answer", "GET"), ("silent", "GET"), ("slow_down", "any")]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("kind", "method"), READS)
def test_a_read_that_fails_is_down_and_leaves_no_file(
    proxy, s3_uri, source, tmp_path, kind, method
):
    entry = entry_of(source)
    Place(s3_uri).put(source, entry)
    proxy.faults.append(Fault(kind, method))
    target = tmp_path / "target" / "copy"
    with pytest.raises(LakeUnreachable):
        Place(s3_uri).fetch(entry, target)
    assert list(target.parent.iterdir()) == []
    proxy.faults.clear()
    Place(s3_uri).fetch(entry, target)
    assert target.read_bytes() == source.read_bytes()


CASES = [
    ("slow_down", "PUT", 0), ("slow_down", "PUT", 2), ("cut_request", "PUT", 0), ("cut_request", "PUT", 2),
    ("silent", "any", 0),
]  # fmt: skip


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("kind", "method", "after"), CASES)
def test_a_month_whose_files_cannot_be_stored_is_not_published_and_the_next_try_publishes_it(
    proxy, s3_uri, tmp_path, kind, method, after
):
    """At the first file, and at the third: two files are stored, and no manifest names them."""
    home = home_at(tmp_path / "home", s3_uri)
    deliver(home, JANUARY)
    proxy.faults.append(Fault("none", method, times=after))
    proxy.faults.append(Fault(kind, method))
    with pytest.raises(LakeUnreachable) as caught:
        home.ingestion.publish(JANUARY)
    assert "\n" not in str(caught.value)
    home = open_home(tmp_path / "home")
    assert home.lake.months() == []
    assert home.ledger.receipts("drop accepted") == []
    proxy.faults.clear()
    assert home.ingestion.publish(JANUARY).kind == "first"
    place = Place(s3_uri)
    assert place.lacks(list(home.lake.entries(JANUARY).values())) == []
    assert len(place.objects()) == len(home.lake.entries(JANUARY))


@pytest.mark.parametrize(
    ("size", "written", "read"), [(100_000, ["PUT"], 1), (17_000_000, ["POST", "PUT", "POST"], 2)]
)
def test_the_number_of_requests_is_that_of_the_documentation(
    proxy, s3_uri, tmp_path, size, written, read
):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    entry = entry_of(source)
    Place(s3_uri).put(source, entry)
    assert proxy.asked[:2] == ["HEAD", "GET"]
    parts = max(1, -(-size // 10_485_760))
    assert sorted(proxy.asked[2:]) == sorted([*written, *["PUT"] * (parts - 1)])
    proxy.asked.clear()
    Place(s3_uri).put(source, entry)
    assert proxy.asked == ["HEAD"]
    proxy.asked.clear()
    Place(s3_uri).fetch(entry, tmp_path / "copy")
    assert proxy.asked == ["HEAD", *["GET"] * read]
