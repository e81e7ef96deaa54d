"""What the first bytes and the header of a file show, each as one fault."""

import gzip
import io
import zipfile

import pytest

from churn_platform.ingestion.delivered_file import header_of
from churn_platform.ingestion.table_reader import LISTED, inspect, listing
from churn_platform_tests.small_business import declared


@pytest.fixture
def faults(tmp_path, small_contract):
    """The faults of a file of the table `visits` with some content."""

    def ask(content, *, name="visits.csv", **files):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        contract = declared(files=files) if files else small_contract
        return inspect(path, contract, "visits")[1]

    return ask


def workbook():
    """The bytes of an Excel file: a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "member,hours\nm1,1\n",
        "\ufeffmember,hours\nm1,1\n",
        "\n\nmember,hours\r\nm1,1\r\n",
        '"member","hours"\n',
    ],
)
def test_a_valid_file_passes_with_and_without_a_byte_order_mark_and_blank_lines(faults, text):
    assert faults(text) == []


@pytest.mark.parametrize("name", ["visits.csv", "visits.parquet"])
@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_recognised(faults, content, name):
    [fault] = faults(content, name=name)
    assert (fault.code, fault.where) == ("empty_file", name)


@pytest.mark.parametrize(
    ("content", "code", "fact"),
    [
        (workbook(), "excel_file", ""),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel_file", ""),
        ("<!DOCTYPE html><p>Log in", "html_file", ""),
        ("\n <html>", "html_file", ""),
        ("\ufeff<table>", "html_file", ""),
        ('<?xml version="1.0"?>', "html_file", ""),
        (b"PAR1xx", "other_format", "Parquet"),
        (gzip.compress(b"member", mtime=0), "other_format", "gzip"),
        ("member,hours\nm1,1\nm\x002,2\n", "nul_bytes", "line 3"),
        ("member;hours\nm1;1\n", "wrong_delimiter", '";"'),
        ("member\thours\nm1\t1\n", "wrong_delimiter", '"\\t"'),
        ("member|hours\nm1|1\n", "wrong_delimiter", '"|"'),
        ("member hours\nm1 1\n", "wrong_delimiter", "a blank"),
        ("m1,1.5\nm2,2\n", "no_header", "member, hours"),
        ("member,hours,größe\n".encode("cp1252"), "wrong_encoding", "cp1252"),
    ],
)
def test_a_file_that_is_not_the_table_has_one_fault_with_what_it_is(faults, content, code, fact):
    [fault] = faults(content)
    assert fault.code == code
    assert fact in f"{fault.says} {fault.remedy}"


def test_a_comma_where_the_contract_has_another_delimiter_is_found_too(faults):
    [fault] = faults("member,hours\nm1,1\n", delimiter=";")
    assert fault.code == "wrong_delimiter"
    assert '","' in fault.remedy
    assert '";"' in fault.remedy


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_without_a_mark_the_likely_encoding_is_named(faults, encoding):
    content = "member,hours\nm1,1\n".encode(encoding)
    [fault] = faults(content)
    assert fault.remedy.endswith(encoding)
    assert faults(content, encoding=encoding) == []


def test_a_character_that_the_head_cuts_in_two_is_not_a_fault():
    assert header_of("member,hours\né".encode()[:-1], "utf-8", ",") == ["member", "hours"]


def test_a_folder_is_listed_for_people_who_look_for_a_misnamed_file(tmp_path):
    for name in ("b.CSV", "a.xlsx", "_SUCCESS"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert listing(tmp_path) == ("a.xlsx", "b.CSV")
    for number in range(LISTED):
        (tmp_path / f"c{number}.csv").touch()
    assert listing(tmp_path)[-1] == "..."
    assert len(listing(tmp_path)) == LISTED + 1
