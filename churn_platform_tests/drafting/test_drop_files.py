"""Files that no contract describes: which drops there are, how they are written, and their tables as they stand."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.contract.parts import FileFormat
from churn_platform.drafting.drop_files import data_files, detect_format, drops_in, read_tables

PLAIN = FileFormat()
PEOPLE = pd.DataFrame(
    {"id": ["001", "002"], "name": ["Zoë", "Ann, B."], "fee": [1.5, 20.25], "calls": [3, 4]}
)


@pytest.fixture
def write(tmp_path):
    """Write texts or bytes as files; their paths."""

    def files(**contents):
        for stem, text in contents.items():
            path = tmp_path / f"{stem}.csv"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return [tmp_path / f"{stem}.csv" for stem in contents]

    return files


def test_a_folder_with_files_is_one_drop_dated_by_its_name(tmp_path):
    for name in ("2024-01-31", "delivery"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("x\n1\n")
    assert drops_in(tmp_path / "2024-01-31") == {dt.date(2024, 1, 31): tmp_path / "2024-01-31"}
    assert drops_in(tmp_path / "delivery") == {None: tmp_path / "delivery"}


def test_a_folder_of_drops_is_oldest_first_without_what_is_none(tmp_path):
    for name in ("2024-02-29", "2024-01-31", "2024-03-31", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ("readme.md" if name == "2024-03-31" else "a.csv")).write_text("x\n1\n")
    assert [date.isoformat() for date in drops_in(tmp_path)] == ["2024-01-31", "2024-02-29"]


@pytest.mark.parametrize("name", ["nowhere", "empty", "text"])
def test_without_a_file_there_is_one_sentence(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "readme.md").write_text("hello")
    with pytest.raises(UsageError, match=name) as refused:
        drops_in(tmp_path / name)
    assert refused.value.code == "DROP_MISSING"


def test_the_tables_are_the_data_files_and_parquet_goes_before_csv(tmp_path):
    for name in ("a.csv", "a.parquet", "b.csv", "_SUCCESS", "readme.md"):
        (tmp_path / name).touch()
    assert {stem: path.name for stem, path in data_files(tmp_path).items()} == {
        "a": "a.parquet",
        "b": "b.csv",
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_every_usual_way_to_write_is_seen_and_read_back(tmp_path, delimiter, encoding):
    PEOPLE.to_csv(tmp_path / "people.csv", sep=delimiter, encoding=encoding, index=False)
    files = data_files(tmp_path)
    written = detect_format(files.values())
    assert written == FileFormat(delimiter=delimiter, encoding=encoding)
    read = read_tables(files, written)["people"]
    assert read.to_dict("list") == PEOPLE.astype(str).to_dict("list")


def test_a_delimiter_within_quotes_or_within_texts_is_none(write):
    assert detect_format(write(a='id;said\n1;"a, b, c"\n2;"d, e, f"\n')).delimiter == ";"
    assert detect_format(write(a="id,said\n1,a;b\n2,c\n3,d;e;f\n")).delimiter == ","


def test_a_file_of_one_column_says_nothing_and_the_others_decide(write):
    paths = write(a="id\n1\n2\n", b="id;fee\n1;2,5\n")
    assert detect_format(paths) == FileFormat(delimiter=";")
    assert detect_format(paths[:1]) == PLAIN
    assert detect_format([]) == PLAIN


@pytest.mark.parametrize(
    ("other", "what"),
    [("id;fee\n1;2\n", "delimiter"), (b"id,fee\n1,2\n" + "2,é".encode("cp1252"), "encoding")],
)
def test_files_that_are_written_differently_are_refused_with_both_named(write, other, what):
    with pytest.raises(UsageError, match=rf"{what}.*[ab]\.csv.*[ab]\.csv"):
        detect_format(write(a="id,name\n1,Zoë\n", b=other))


def test_csv_stays_text_so_that_no_zero_is_lost_and_parquet_stays_typed(write, tmp_path):
    (path,) = write(a="id,zip\n1,00123\n2,00007\n")
    PEOPLE.to_parquet(tmp_path / "p.parquet", index=False)
    tables = read_tables({"a": path, "p": tmp_path / "p.parquet"}, PLAIN)
    assert tables["a"]["zip"].tolist() == ["00123", "00007"]
    assert tables["p"]["fee"].tolist() == [1.5, 20.25]
    assert str(tables["p"]["calls"].dtype) == "Int64"


def test_a_byte_order_mark_is_no_part_of_the_first_header(write):
    paths = write(a=b"\xef\xbb\xbfid,fee\n1,2\n")
    assert list(read_tables({"a": paths[0]}, detect_format(paths))["a"].columns) == ["id", "fee"]


def test_a_file_that_cannot_be_read_or_names_a_column_twice_is_named(write, tmp_path):
    twice, empty, ragged = write(twice="id,fee,fee\n1,2,3\n", empty="", ragged="id,fee\n1,2,3\n")
    other = tmp_path / "p.parquet"
    other.write_text("id,fee")
    for path in (twice, empty, ragged, other):
        with pytest.raises(UsageError, match=path.name) as refused:
            read_tables({path.stem: path}, PLAIN)
        assert refused.value.code == "FILE_UNREADABLE"
