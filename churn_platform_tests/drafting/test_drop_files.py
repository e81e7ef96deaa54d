"""Files that no contract describes: which drops there are, how they are written, and their tables."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.contract.parts import FileFormat
from churn_platform.drafting.drop_files import (
    data_files,
    detect_format,
    drops_in,
    monthly_files,
    read_tables,
)
from churn_platform_tests.drafting.sheets import refused

PLAIN = FileFormat()
PEOPLE = pd.DataFrame(
    {"id": ["001", "002"], "name": ["Zoë", "Ann, B."], "fee": [1.5, 20.25], "calls": [3, 4]}
)


@pytest.fixture
def write(tmp_path):
    """Write texts or bytes as files; their paths."""

    def files(**contents):
        paths = {tmp_path / f"{stem}.csv": content for stem, content in contents.items()}
        for path, content in paths.items():
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(paths)

    return files


def test_drops_are_folders_with_files_oldest_first(tmp_path):
    for name in ("2024-02-29", "2024-01-31", "2024-03-31", "notes"):
        (tmp_path / name).mkdir()
        file = "readme.md" if name == "2024-03-31" else "a.csv"
        (tmp_path / name / file).write_text("x\n1\n")
    january = dt.date(2024, 1, 31)
    assert list(drops_in(tmp_path)) == [january, dt.date(2024, 2, 29)]
    assert drops_in(tmp_path / "2024-01-31") == {january: tmp_path / "2024-01-31"}
    assert drops_in(tmp_path / "notes") == {None: tmp_path / "notes"}
    for name in ("2024-03-31", "nowhere"):
        assert name in refused("DROP_MISSING", drops_in, tmp_path / name)


def test_parquet_takes_precedence_over_csv_and_stays_typed(write, tmp_path):
    [path, _] = write(a="id,zip\n1,00123\n2,00007\n", b="")
    (tmp_path / "readme.md").touch()
    PEOPLE.to_parquet(tmp_path / "b.parquet", index=False)
    files = data_files(tmp_path)
    assert files == {"a": path, "b": tmp_path / "b.parquet"}
    tables = read_tables(files, PLAIN)
    assert tables["a"]["zip"].tolist() == ["00123", "00007"]
    assert tables["b"]["fee"].tolist() == [1.5, 20.25]
    assert str(tables["b"]["calls"].dtype) == "Int64"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_every_usual_format_is_detected_and_read_back(tmp_path, delimiter, encoding):
    PEOPLE.to_csv(tmp_path / "people.csv", sep=delimiter, encoding=encoding, index=False)
    files = data_files(tmp_path)
    written = detect_format(files.values())
    assert written == FileFormat(delimiter=delimiter, encoding=encoding)
    read = read_tables(files, written)["people"]
    assert read.to_dict("list") == PEOPLE.astype(str).to_dict("list")


@pytest.mark.parametrize(
    ("texts", "delimiter"),
    [
        (['id;said\n1;"a, b, c"\n2;"d, e, f"\n'], ";"),
        (["id,said\n1,a;b\n2,c\n3,d;e;f\n"], ","),
        (["id\n1\n2\n", "id;fee\n1;2,5\n"], ";"),
        ([" id  fee\r\n 01   2.5\r\n 02  10.5\r\n"], " "),
        (["id\n1\n2\n"], ","),
        ([], ","),
    ],
)
def test_the_delimiter_splits_most_lines_of_any_file(write, texts, delimiter):
    paths = write(**{f"t{n}": text for n, text in enumerate(texts)})
    assert detect_format(paths) == FileFormat(delimiter=delimiter)


@pytest.mark.parametrize(
    ("other", "what"),
    [("id;fee\n1;2\n", "delimiter"), (b"id,fee\n1,2\n" + "2,é".encode("cp1252"), "encoding")],
)
def test_files_with_different_formats_are_refused_with_both_names(write, other, what):
    paths = write(a="id,name\n1,Zoë\n", b=other)
    found = refused("FILE_UNREADABLE", detect_format, paths)
    for fact in (what, "a.csv", "b.csv"):
        assert fact in found


def test_a_byte_order_mark_and_a_repeated_header_are_no_values(write):
    paths = write(a=b"\xef\xbb\xbfid,fee\n1,2\nid,fee\n3,4\n")
    table = read_tables({"a": paths[0]}, detect_format(paths))["a"]
    assert table.to_dict("list") == {"id": ["1", "3"], "fee": ["2", "4"]}


def test_a_file_that_cannot_be_read_or_repeats_a_column_is_named(write, tmp_path):
    contents = {"twice": "id,fee,fee\n1,2,3\n", "empty": "", "ragged": "id,fee\n1,2,3\n"}
    (tmp_path / "p.parquet").write_text("id,fee")
    for path in [*write(**contents, bytes=b"id\n\xff\xfe\n"), tmp_path / "p.parquet"]:
        assert path.name in refused("FILE_UNREADABLE", read_tables, {path.stem: path}, PLAIN)
    gone = tmp_path / "gone.csv"
    assert gone.name in refused("FILE_UNREADABLE", detect_format, [gone])


@pytest.mark.parametrize(
    "first", ["00001,19970101,1,11.77", "C001,2024-01-03,card,12.5", "7,7,01.02.2024,card"]
)
def test_a_file_without_names_of_columns_says_what_to_add(write, first):
    rows = "C001,2024-01-04,card,12.5\n7,7,03.02.2024,card\n"
    [path] = write(log=f"{first}\n{rows}")
    message = refused("HEADER_MISSING", read_tables, {"log": path}, PLAIN)
    assert "customer_id,column_2,column_3,column_4" in message


@pytest.mark.parametrize("header", ["id,2023,2024", "customer,day", "a,b"])
def test_a_name_of_a_column_may_be_a_number(write, header):
    [path] = write(log=f"{header}\n" + ",".join("123"[: header.count(",") + 1]) + "\n")
    assert list(read_tables({"log": path}, PLAIN)["log"].columns) == header.split(",")


def test_files_of_one_table_by_months():
    stems = ["payments_2024-01", "payments_2024-02", "members", "visits2024", "visits2023"]
    assert monthly_files(stems) == {"payments": ["payments_2024-01", "payments_2024-02"]}
