"""One opened file: the same rows whichever way a tool wrote them, and never rows that were lost on the way."""

import gzip
import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv

from churn_platform.ingestion.delivered_file import (
    BLOCK,
    BrokenText,
    is_text,
    likely_encoding,
    marked_encoding,
    open_text,
    raw_bytes,
    reason_of,
    stem_of,
    suffix_of,
    table_files,
)

TEXT = "id,town\n1,Łódź\n2,Kraków\n"


def opened(content, encoding="utf-8", delimiter=","):
    content = content if isinstance(content, bytes) else content.encode()
    return open_text(memoryview(content), encoding, delimiter)


def rows(text):
    """The rows as tuples of text, and how many were left out."""
    strings = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(text.header, pa.string()), strings_can_be_null=False
    )
    table, ragged = text.parse(strings)
    return [tuple(row.values()) for row in table.to_pylist()], len(ragged)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1250"]
)
def test_every_encoding_gives_the_same_rows(encoding):
    assert rows(opened(TEXT.encode(encoding), encoding)) == ([("1", "Łódź"), ("2", "Kraków")], 0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_takes_precedence_over_what_is_declared(encoding):
    assert rows(opened(TEXT.encode(encoding), "cp1252"))[0] == [("1", "Łódź"), ("2", "Kraków")]


@pytest.mark.parametrize("hint", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_excel_s_hint_is_no_header_and_names_the_delimiter(hint):
    assert rows(opened(f"{hint}id;town\n1;Rome\n")) == ([("1", "Rome")], 0)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Zoë, Gdańsk\n", "utf-8"),
        ("Łódź,Gdańsk,Kraków\n", "cp1250"),
        ("Šťáhlavy,Plzeň\n", "cp1250"),
        ("Köln,Düsseldorf,Groß\n", "cp1252"),
        ("Besançon,Orléans,Nîmes\n", "cp1252"),
        ("Málaga,Cádiz,Logroño\n", "cp1252"),
        ("Malmö,Århus,Tromsø\n", "cp1252"),
        ("fee\n£ 5\n£ 6\n€ 7\n", "cp1252"),
        ("a\x81b", "latin-1"),
        ("id,x\n1,2\n", "utf-16-le"),
        ("id,x\n1,2\n", "utf-16-be"),
        ("id,x\n1,2\n", "utf-32-le"),
        ("id,x\n1,2\n", "utf-32-be"),
        ("id,x\n1,2\n", "utf-16"),
    ],
)
def test_an_encoding_is_recognised_by_its_letters_and_zeros(text, encoding):
    found = likely_encoding(text.encode(encoding))
    assert found == {"utf-16": "utf-16-le"}.get(encoding, encoding)
    assert likely_encoding(b"a,b\n1,2\n") == ""


def test_utf_16_without_a_mark_is_little_endian_as_windows_writes_it():
    assert marked_encoding(b"a\0", "utf-16") == (b"", "utf-16-le")
    assert marked_encoding(b"\xff\xfe\0\0", "utf-8") == (b"\xff\xfe\0\0", "utf-32-le")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_within_quotes_are_read_over_every_border_of_a_block(end):
    """Pads the header until a CR LF lies on the border of pyarrow's first block, within quotes and without."""
    cell = f"one{end}two"
    row = f'%07d,"{cell}",z{end}'
    count = BLOCK // 20
    for padding in range(len(row % 0)):
        text = opened(f"id,{'x' * (padding + 1)},y{end}" + "".join(row % n for n in range(count)))
        content = bytes(text.content)
        if content[BLOCK - 1 : BLOCK + 1] == b"\r\n" or padding == 0:
            found, ragged = rows(text)
            assert (len(found), ragged, {row[1:] for row in found}) == (count, 0, {(cell, "z")})


def test_a_cell_longer_than_a_block_is_read():
    long = "line\n" * (BLOCK // 3)
    assert rows(opened(f'id,note\n1,"{long}"\n2,b\n')) == ([("1", long), ("2", "b")], 0)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('1,"a\n2,b\n3,c\n', 2),
        ('1,a\n2,"b\n3,c\n4,"d"\n5,e\n', 3),
        ('1,a\n2,"b\n3,""\n4,c\n', 3),
        ('"1","a"\n"2","b\n"3","c"\n', 3),
        ('1,a\n2,b\n3,"c', 4),
        ('1,a\n2,b\n3,"c\n', 4),
        ('1,5" pipe\n2,"b\n3,"c"\n', 3),
    ],
)
def test_a_quote_that_is_not_closed_is_an_error_and_never_swallows_rows(body, line):
    with pytest.raises(BrokenText) as error:
        rows(opened("id,x\n" + body))
    assert (error.value.code, error.value.line) == ("open_quote", line)


@pytest.mark.parametrize(
    ("body", "cells"),
    [
        ('1,"a"\n', ["a"]),
        ('1,""\n2,"b ""c"" d"\n', ["", 'b "c" d']),
        ('1,5" pipe\n2,6""\n3,7"\n', ['5" pipe', '6""', '7"']),
        ('1,"two\nlines ""quoted"" "\n', ['two\nlines "quoted" ']),
        ('1,"""a"""\n', ['"a"']),
        ('1,"a"', ["a"]),
    ],
)
def test_quotes_that_are_closed_or_part_of_a_text_are_read(body, cells):
    assert rows(opened("id,x\n" + body))[0] == [(str(n + 1), cell) for n, cell in enumerate(cells)]


@given(
    cells=st.lists(st.text(alphabet='a"\n\r,; ', min_size=1, max_size=8), min_size=1, max_size=6)
)
@example(cells=['"\n"', ",\n"])
@settings(deadline=None, max_examples=60)
def test_every_properly_quoted_text_is_read_back(cells):
    body = "".join(f'{n},"{cell.replace(chr(34), chr(34) * 2)}"\n' for n, cell in enumerate(cells))
    found, ragged = rows(opened("id,x\n" + body))
    assert (found, ragged) == ([(str(n), cell) for n, cell in enumerate(cells)], 0)


@given(
    lines=st.lists(st.text(alphabet='ab"\r,', max_size=6), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    data=st.data(),
)
@example(lines=["1,a", "2,b\r3,c", "", "4,d"], end="\n", data=None)
@settings(deadline=None, max_examples=200)
def test_chosen_rows_are_those_of_the_complete_text_or_left_to_it(lines, end, data):
    text = opened(end.join(["id,x", *lines]))
    try:
        every, ragged = rows(text)
    except (BrokenText, pa.ArrowInvalid):
        return
    if ragged:
        return
    size = len(every)
    choice = (
        data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
        if data
        else [n == 2 for n in range(size)]
    )
    chosen = text.of_rows(np.array(choice, dtype=bool))
    if chosen is not None:
        assert rows(chosen)[0] == [row for row, wanted in zip(every, choice, strict=True) if wanted]


def test_chosen_rows_of_a_text_of_several_blocks_are_cut_at_their_lines():
    row = '%07d,"a ""b"""\r\n'
    count = 2 * BLOCK // len(row % 0)
    text = opened("id,x\r\n" + "".join(row % n for n in range(count)))
    wanted = [0, 1, BLOCK // len(row % 0), count - 1]
    chosen = text.of_rows(np.isin(np.arange(count), wanted))
    assert rows(chosen) == ([(f"{n:07d}", 'a "b"') for n in wanted], 0)
    assert text.of_rows(np.ones(count + 1, dtype=bool)) is None


def test_nul_bytes_are_an_error_with_the_line():
    with pytest.raises(BrokenText) as error:
        rows(opened("id,x\n1,a\n2,\0b\n"))
    assert (error.value.code, error.value.line) == ("nul_bytes", 3)


def test_a_packed_file_is_unpacked_and_a_cut_one_cannot_be_read(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert bytes(raw_bytes(path)).decode() == TEXT
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(OSError, match="cannot be unpacked"):
        raw_bytes(path)


def test_the_files_of_tables_are_found_by_their_endings_in_any_case(tmp_path):
    for name in (
        "a.CSV",
        "a.parquet",
        "b.csv.gz",
        "c.Parquet",
        "c.v2.csv",
        "readme.md",
        "_SUCCESS",
        "d.xlsx",
    ):
        (tmp_path / name).touch()
    found = {stem: [path.name for path in paths] for stem, paths in table_files(tmp_path).items()}
    assert found == {
        "a": ["a.CSV", "a.parquet"],
        "b": ["b.csv.gz"],
        "c": ["c.Parquet"],
        "c.v2": ["c.v2.csv"],
    }
    assert (suffix_of(tmp_path / "b.CSV.GZ"), stem_of(tmp_path / "b.CSV.GZ")) == (".csv.gz", "b")
    assert [is_text(tmp_path / name) for name in ("a.CSV", "b.csv.gz", "c.Parquet")] == [
        True,
        True,
        False,
    ]


def test_a_file_that_is_cut_short_while_it_is_read_keeps_its_content_and_the_process(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,x\n" + b"1,2\n" * 100_000)
    raw = raw_bytes(path)
    os.truncate(path, 0)
    assert bytes(raw[-4:]) == b"1,2\n"


@pytest.mark.parametrize(
    "body",
    [
        " id   town\r\n  1   Rome\r\n 22  Oslo \r\n",
        "id  town\n1   Rome\n22  Oslo",
        "\nid town  \n1 Rome \n22 Oslo\n",
    ],
)
def test_columns_that_are_aligned_with_spaces_are_read_as_one_cell_each(body):
    text = opened(body, delimiter=" ")
    assert text.header == ["id", "town"]
    assert rows(text) == ([("1", "Rome"), ("22", "Oslo")], 0)


def test_a_file_whose_header_has_single_spaces_keeps_its_empty_cells():
    text = opened("id town plan\n1  basic\n2 Oslo plus\n", delimiter=" ")
    assert rows(text)[0] == [("1", "", "basic"), ("2", "Oslo", "plus")]
    quoted = opened('id "home  town"\n1 "Rome  Nord"\n', delimiter=" ")
    assert (quoted.header, rows(quoted)[0]) == (["id", "home  town"], [("1", "Rome  Nord")])


def test_the_reason_of_a_file_has_one_line_and_no_folder(tmp_path):
    path = tmp_path / ".delivery.x.tmp" / "a.csv"
    error = PermissionError(13, "Permission denied", str(path))
    assert reason_of(error, path) == "[Errno 13] Permission denied: 'a.csv'"
    assert reason_of(ValueError("two\nlines"), path) == "two lines"
