"""What the first bytes and the header of a file tell, each as one sentence with the way out."""

import gzip
import io
import zipfile

import pytest

from churn_platform.ingestion.delivered_file import header_of
from churn_platform.ingestion.table_reader import LISTED, inspect, listing
from churn_platform_tests.small_business import declared


@pytest.fixture
def said(tmp_path, small_contract):
    """The sentences about a file of the table `visits` with some content."""

    def ask(content, *, contract=None, name="visits.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [
            fault.sentence() for fault in inspect(path, contract or small_contract, "visits")[1]
        ]

    return ask


def workbook():
    """The bytes of an Excel file: a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return stream.getvalue()


def test_a_sound_file_passes_with_and_without_a_byte_order_mark_and_blank_lines(said):
    for text in (
        "member,hours\nm1,1\n",
        "\ufeffmember,hours\nm1,1\n",
        "\n\nmember,hours\r\nm1,1\r\n",
        '"member","hours"\n',
    ):
        assert said(text) == []


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("name", ["visits.csv", "visits.parquet"])
def test_an_empty_file_is_said_to_be_empty(said, content, name):
    assert said(content, name=name) == [f"{name}: the file is empty; deliver it again."]


@pytest.mark.parametrize(
    "content", [workbook(), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"], ids=["xlsx", "xls"]
)
def test_an_excel_file_that_was_renamed_is_recognised(said, content):
    assert said(content) == ["visits.csv: this is an Excel file; save the sheet as CSV."]


@pytest.mark.parametrize(
    "content", ["<!DOCTYPE html><p>Log in", "\n <html>", "\ufeff<table>", '<?xml version="1.0"?>']
)
def test_a_web_page_is_recognised(said, content):
    assert said(content) == [
        "visits.csv: this is an HTML page; download the data itself; a login page often comes instead."
    ]


@pytest.mark.parametrize(
    ("content", "form"), [(b"PAR1xx", "Parquet"), (gzip.compress(b"member", mtime=0), "gzip")]
)
def test_another_format_under_the_name_of_a_csv_is_named(said, content, form):
    assert said(content) == [f"visits.csv: this is a {form} file; deliver it as csv."]


@pytest.mark.parametrize(
    ("delimiter", "shown"), [(";", ";"), ("\t", "\\t"), ("|", "|"), (" ", "a blank")]
)
def test_another_delimiter_is_found_and_the_setting_named(said, delimiter, shown):
    assert said(f"member{delimiter}hours\nm1{delimiter}1\n") == [
        (
            f"visits.csv: the header is one column that contains {shown} (found {f'member{delimiter}hours'!r}); set "
            f'files.delimiter: "{shown}" in the contract (it is ",").'
        )
    ]


def test_a_comma_where_the_contract_has_another_delimiter_is_found_too(said):
    [sentence] = said("member,hours\nm1,1\n", contract=declared(files={"delimiter": ";"}))
    assert sentence.endswith('set files.delimiter: "," in the contract (it is ";").')


def test_a_file_without_a_header_is_recognised(said):
    assert said("m1,1.5\nm2,2\n") == [
        (
            "visits.csv: the first line names no column of the contract (found 'm1, 1.5'); begin with a header line: "
            "member, hours."
        )
    ]


def test_every_fault_of_the_header_comes_at_once(said):
    assert said("member,hour,hour\nm1,1,2\n") == [
        "visits.csv, column 'hour': the header names this column twice; name every column once.",
        "visits.csv, column 'hours': the column is missing; the file has the columns member, hour, hour: rename or add it.",
    ]


def test_a_header_in_another_encoding_is_said_to_be_in_the_header(said):
    content = "member,hours,größe\nm1,1,2\n".encode("cp1252")
    assert said(content) == [
        (
            "visits.csv: the text is not utf-8 in the header (found 'member,hours,größe'); set files.encoding in the contract, "
            "likely to cp1252."
        )
    ]


def test_a_mark_says_how_a_file_is_written_and_without_one_the_encoding_is_named(said):
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert (
            said(
                "member,hours\nm1,1\n".encode(encoding),
                contract=declared(files={"encoding": "cp1252"}),
            )
            == []
        )
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        content = "member,hours\nm1,1\n".encode(encoding)
        [sentence] = said(content)
        assert sentence.endswith(f"likely to {encoding}.")
        assert said(content, contract=declared(files={"encoding": encoding})) == []


def test_nul_bytes_are_named_with_their_line(said):
    [sentence] = said("member,hours\nm1,1\nm\x002,2\n")
    assert "NUL bytes, the first in line 3" in sentence


def test_a_character_that_the_head_cuts_in_two_is_no_fault():
    assert header_of("member,hours\né".encode()[:-1], "utf-8", ",") == ["member", "hours"]


def test_a_folder_is_listed_for_whoever_looks_for_a_misnamed_file(tmp_path):
    for name in ("b.CSV", "a.xlsx", "_SUCCESS"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert listing(tmp_path) == ("a.xlsx", "b.CSV")
    for number in range(LISTED):
        (tmp_path / f"c{number}.csv").touch()
    assert listing(tmp_path)[-1] == "..."
    assert len(listing(tmp_path)) == LISTED + 1
