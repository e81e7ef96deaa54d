"""Where a lake keeps its files: what an object store or a shared folder must do, and what its URI may be."""

import datetime as dt
import errno
import os
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.lake import place as place_module
from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.place import Place, object_name
from churn_platform.lake.place_uri import HOSTS, OPTIONS, why_not_a_place
from churn_platform_tests.small_business import open_home

NAMES = ["visits", "my visits", "besøg", "50%", "a+b", "%20", "a=b&c", "x#y?z"]
SECRET = "wJalrXUtnFEMIbPxRfiCY"


def entry_of(source, table="visits"):
    """The entry of a file as a manifest has it."""
    file = f"{table}/as_of=2024-01-31/delivery-0001.parquet"
    now = dt.datetime.now(dt.UTC)
    return TableEntry(file=file, sha256=sha256_file(source), digest="d", rows=1, created=now)


@pytest.fixture
def source(tmp_path):
    """A file of 100 kB."""
    path = tmp_path / "source"
    path.write_bytes(os.urandom(100_000))
    return path


@pytest.fixture(params=["s3", "file"])
def place(request, tmp_path):
    """An empty place of each kind that needs no cloud."""
    if request.param == "s3":
        return Place(request.getfixturevalue("s3_uri"))
    (tmp_path / "a share").mkdir()
    return Place(f"file://{quote(str(tmp_path / 'a share'))}")


@pytest.mark.parametrize("table", NAMES)
def test_what_was_put_is_listed_fetched_and_deleted_under_any_name(place, source, tmp_path, table):
    entry = entry_of(source, table)
    assert place.away() is None
    assert place.objects() == {}
    assert place.lacks([entry]) == [entry]
    place.put(source, entry)
    [(name, stored)] = place.objects().items()
    assert name == stored.name == object_name(entry.file, entry.sha256)
    assert stored.size == 100_000
    assert abs(dt.datetime.now(dt.UTC) - stored.written) < dt.timedelta(hours=1)
    assert place.lacks([entry]) == []
    assert place.away() is None
    place.fetch(entry, tmp_path / "new folder" / "copy")
    assert (tmp_path / "new folder" / "copy").read_bytes() == source.read_bytes()
    place.delete(entry.file, entry.sha256)
    place.delete(entry.file, entry.sha256)
    assert place.objects() == {}


def test_a_file_above_one_part_arrives_complete(place, tmp_path):
    source = tmp_path / "large"
    source.write_bytes(os.urandom(12_000_000))
    entry = entry_of(source)
    place.put(source, entry)
    place.fetch(entry, tmp_path / "copy")
    assert sha256_file(tmp_path / "copy") == entry.sha256


def test_an_object_that_is_there_is_not_written_again(place, source):
    entry = entry_of(source)
    place.put(source, entry)
    before = place.objects()
    place.put(source, entry)
    assert place.objects() == before


def test_another_content_of_the_same_file_is_another_object(place, source):
    first = entry_of(source)
    place.put(source, first)
    source.write_bytes(b"corrected")
    second = entry_of(source)
    place.put(source, second)
    assert first.file == second.file
    assert len(place.objects()) == 2
    place.delete(first.file, first.sha256)
    assert place.lacks([first, second]) == [first]


def overwrite(place, entry, content):
    with place._system.open_output_stream(place._path(object_name(entry.file, entry.sha256))) as to:
        to.write(content)


@pytest.mark.parametrize("content", [b"", b"x" * 100_000, b"x" * 10])
def test_a_damaged_object_is_refused_and_leaves_no_file(place, source, tmp_path, content):
    entry = entry_of(source)
    place.put(source, entry)
    overwrite(place, entry, content)
    target = tmp_path / "target" / "copy"
    with pytest.raises(IntegrityError) as caught:
        place.fetch(entry, target)
    assert object_name(entry.file, entry.sha256) in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_an_object_that_was_cut_short_is_put_again(place, source, tmp_path):
    entry = entry_of(source)
    place.put(source, entry)
    overwrite(place, entry, b"x" * 10)
    place.put(source, entry)
    place.fetch(entry, tmp_path / "copy")


def test_a_missing_object_is_named_and_leaves_no_file(place, source, tmp_path):
    entry = entry_of(source)
    with pytest.raises(IntegrityError) as caught:
        place.fetch(entry, tmp_path / "target" / "copy")
    assert object_name(entry.file, entry.sha256) in str(caught.value)
    assert list((tmp_path / "target").iterdir()) == []


def test_a_full_disk_here_is_not_a_store_that_is_down(s3_uri, source, tmp_path):
    place = Place(s3_uri)
    place.put(source, entry_of(source))
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
        place._download(object_name(entry_of(source).file, sha256_file(source)), tmp_path / "full")
    assert caught.value.errno == errno.ENOSPC


def asked(place, source, tmp_path):
    """Every question to a place, by name."""
    entry = entry_of(source)
    return {
        "put": lambda: place.put(source, entry),
        "fetch": lambda: place.fetch(entry, tmp_path / "copy"),
        "objects": place.objects,
        "lacks": lambda: place.lacks([entry]),
        "delete": lambda: place.delete(entry.file, entry.sha256),
    }


def all_down(place, source, tmp_path):
    """What a place says to every question, each of which it refuses."""
    assert "does not answer" in place.away()
    said = []
    for question in asked(place, source, tmp_path).values():
        with pytest.raises(StoreDown) as caught:
            question()
        assert caught.value.code == "LAKE_UNREACHABLE"
        said.append(str(caught.value))
    assert not (tmp_path / "copy").exists()
    return said


@pytest.mark.usefixtures("object_server")
def test_a_bucket_that_is_not_there_is_not_an_empty_one(source, tmp_path):
    """Every file would seem gone, and a person would restore them."""
    for message in all_down(Place("s3://elsewhere/lake"), source, tmp_path):
        assert "elsewhere" in message


def test_a_share_that_is_not_mounted_is_not_an_empty_one_and_is_not_written(source, tmp_path):
    all_down(Place(f"file://{tmp_path}/share/lake"), source, tmp_path)
    assert not (tmp_path / "share").exists()


def test_a_wrong_login_is_refused_and_not_quoted(s3_uri, source, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    for message in all_down(Place(s3_uri), source, tmp_path):
        assert SECRET not in message


def test_nobody_at_the_address_is_down(s3_uri, source, tmp_path, monkeypatch):
    monkeypatch.setattr(place_module, "PATIENT", place_module.QUICK)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    all_down(Place(s3_uri), source, tmp_path)


def test_the_address_may_be_in_the_uri(object_server, s3_uri, source, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    query = f"endpoint_override=127.0.0.1:{object_server.port}&scheme=http&region=us-east-1"
    named = Place(f"{s3_uri}?{query}")
    entry = entry_of(source)
    named.put(source, entry)
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_server.endpoint)
    assert Place(s3_uri).lacks([entry]) == []


def test_the_variable_of_s3_alone_takes_precedence_and_an_empty_one_is_not_set(
    object_server, s3_uri, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", object_server.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert Place(s3_uri).objects() == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_server.endpoint)
    assert Place(s3_uri).objects() == {}


@pytest.mark.usefixtures("object_server")
@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:8333", "localhost:8333", f"http://me:{SECRET}@127.0.0.1"]
)
def test_an_address_without_a_scheme_or_with_a_login_is_refused(monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(UsageError) as caught:
        Place("s3://lakes/x").objects()
    assert caught.value.code == "SETTING_INVALID"
    assert SECRET not in str(caught.value)


ROOTS = {
    "s3://lakes/prefix": "lakes/prefix",
    "s3://lakes/a%20b/c+d/": "lakes/a b/c+d",
    "s3://lakes/100%25": "lakes/100%",
    "gs://lakes/prefix": "lakes/prefix",
    "gs://lakes/a b/é": "lakes/a b/é",
    "gs://anonymous@lakes/prefix?retry_limit_seconds=3": "lakes/prefix",
    "abfs://container@account.dfs.core.windows.net/path": "container/path",
    "abfss://container@account.dfs.core.windows.net/a b/c": "container/a b/c",
    "abfss://account.blob.core.windows.net/container/path": "container/path",
    "abfss://container@account.dfs.core.windows.net/p?credential_kind=environment": "container/p",
    "file:///mnt/share/lake/": "/mnt/share/lake",
    "file:///mnt/my%20share": "/mnt/my share",
    "file:///mnt/my share/é": "/mnt/my share/é",
    "file:/mnt/share": "/mnt/share",
}


@pytest.mark.usefixtures("object_server")
@pytest.mark.parametrize("uri", ROOTS)
def test_every_store_is_opened_without_a_connection(uri):
    assert Place(uri)._root == ROOTS[uri]


WRONG = [
    "", "lake", "/mnt/share", "C:\\lake", "s3:", "s3://", "s3://bucket", "s3://bucket/", "s3:///prefix", "s3:prefix",
    "S 3://b/p", "ftp://host/path", "http://bucket/prefix", "hdfs://host/p", "s3://b/p#fragment", "s3://[b/p",
    "s3://b//p", "s3://b/p//q", "s3://b/../p", "s3://b/./p", "s3://b/%2e%2e/p", "s3://b/p\n", "s3://b/p?unknown=1",
    "s3://b:80/p", "file:lake", "file://host/share", "file:///", "file:///a?b=c", "gs://b/p?region=x",
    "abfs://container@account.dfs.core.windows.net", "abfs://c@a.dfs.core.windows.net/p?client_secret=" + SECRET,
    "abfs://c@a.dfs.core.windows.net/p?account_key=" + SECRET, "s3://b/p?x=1&secret_key=" + SECRET,
    f"s3://AKIA:{SECRET}@b/p", f"s3://AKIA:{SECRET[:5]}/{SECRET[5:]}@b/p", f"s3://AKIA:{SECRET}/p",
    f"s3://{SECRET}@b/p", f"abfs://:{SECRET}@account/container/p", f"s3://b/p?{SECRET}", f"s3://b/p?{SECRET}=",
]  # fmt: skip


@pytest.mark.parametrize("uri", WRONG)
def test_what_is_no_uri_of_a_lake_is_refused_and_not_quoted(uri):
    with pytest.raises(UsageError) as caught:
        Place(uri)
    assert caught.value.code == "SETTING_INVALID"
    assert SECRET not in str(caught.value)
    assert SECRET[5:] not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_refused(text):
    """Never another error, and the answer depends on nothing but the text."""
    assert why_not_a_place(text) == why_not_a_place(text)


@given(
    scheme=st.sampled_from(sorted(OPTIONS)),
    login=st.sampled_from(["{}@", "{}:x@", "x:{}@", ":{}@", "anonymous:{}@"]),
    path=st.sampled_from(["/p", "/p/q", ""]),
    secret=st.text(alphabet="abcDEF0123456789+/=", min_size=16, max_size=40),
)
def test_a_login_before_the_host_is_never_accepted(scheme, login, path, secret):
    uri = f"{scheme}://{login.format(secret)}host.example{path}"
    reason = why_not_a_place(uri)
    if login == "{}@" and scheme.startswith("abfs") and path and secret.isalnum():
        return  # that is how Azure writes a container
    assert reason is not None
    assert secret not in reason


@given(
    scheme=st.sampled_from(sorted(OPTIONS)),
    name=st.text(alphabet="abcdefghij_", min_size=1, max_size=20),
    secret=st.text(alphabet="abcDEF0123456789+/", min_size=16, max_size=40),
)
def test_only_the_options_that_hold_no_secret_are_accepted(scheme, name, secret):
    host = "" if HOSTS[scheme] == "" else "host"
    reason = why_not_a_place(f"{scheme}://{host}/p?{name}={quote(secret)}")
    assert (reason is None) == (name in OPTIONS[scheme])
    assert secret not in str(reason)


def test_a_home_of_another_place_is_refused_without_the_login(tmp_path, monkeypatch):
    open_home(tmp_path / "home").create()
    monkeypatch.setenv("CHURN_LAKE", f"s3://AKIA:{SECRET}@b/p")
    with pytest.raises(UsageError) as caught:
        open_home(tmp_path / "home").create()
    assert caught.value.code == "LAKE_ELSEWHERE"
    assert SECRET not in str(caught.value)


def test_a_new_home_of_a_wrong_place_is_not_begun(tmp_path):
    with pytest.raises(UsageError):
        open_home(tmp_path / "home", lake="s3://bucket").create()
    assert not (tmp_path / "home").exists()


def test_homes_at_one_place_see_the_notes_of_the_others_and_no_file(place, source, tmp_path):
    entry = entry_of(source, "visits")
    first = Place(place.uri, tmp_path / "first" / "lake")
    second = Place(place.uri, tmp_path / "second" / "lake")
    assert first.other_homes() == {}
    assert not first.lake.exists()  # who only asks leaves nothing, neither here nor there
    first.put(source, entry)
    first.join()
    assert list(second.other_homes().values()) == [str(tmp_path / "first")]
    assert first.other_homes() == {}
    second.check_writable()
    second.join()
    assert list(first.other_homes().values()) == [str(tmp_path / "second")]
    assert list(place.objects()) == [object_name(entry.file, entry.sha256)]
    first.leave()
    first.leave()
    assert second.other_homes() == {}
