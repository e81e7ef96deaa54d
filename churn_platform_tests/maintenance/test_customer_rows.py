"""A file without one customer's rows is the same file otherwise, byte for byte where it is text."""

import codecs
import csv
import gzip
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from churn_platform.contract.parts import FileFormat
from churn_platform.ingestion.conversion import Writing, convert
from churn_platform.ingestion.table_reader import read_table
from churn_platform.maintenance.customer_rows import Key, without_customer
from churn_platform_tests.small_business import declared

NAMED = {"member", "Member No"}


def text(path, content, key="m2", delimiter=",", encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return without_customer(path, Key(key, NAMED), delimiter=delimiter, encoding=encoding)


def test_the_rows_go_and_every_other_byte_stays(tmp_path):
    kept = '\ufeff"member",note\r\nm1,"two\r\nlines, m2"\r\nm22,m2\r\n'
    found = text(tmp_path / "a.csv", kept + 'm2,x\r\n"m2","a\nb"\r\n m2 ,y\r\nm3,z')
    assert found == ((kept + "m3,z").encode(), 3)


def test_a_file_without_the_customer_or_the_column_is_left_alone(tmp_path):
    assert text(tmp_path / "a.csv", "member,note\nm1,m2\n") is None
    assert text(tmp_path / "a.csv", "other,note\nm2,m2\n") is None
    assert text(tmp_path / "a.csv", "") is None


def test_the_key_has_the_header_delimiter_and_encoding_of_the_contract(tmp_path):
    found = text(tmp_path / "a.csv", "Größe;Member No\n1;jürgen\n2;m1\n", "jürgen", ";", "cp1252")
    assert found == ("Größe;Member No\n2;m1\n".encode("cp1252"), 1)


def test_a_whole_number_is_the_key_in_every_form_that_is_read_as_it(tmp_path):
    found = text(tmp_path / "a.csv", "member,n\n7,a\n007,b\n7.0,c\n 7,d\n77,e\n-7,f\nx7,g\n", 7)
    assert found == (b"member,n\n77,e\n-7,f\nx7,g\n", 4)
    assert text(tmp_path / "b.csv", "member,n\n1e1,a\n11,b\n", 10) == (b"member,n\n11,b\n", 1)


# No lone carriage return: pandas' own parser ends some of those files with "Buffer overflow caught".
@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["m1", "m2", "m3"]), st.text("ab,\"\n ;'", max_size=6)),
        max_size=12,
    )
)
def test_what_pandas_reads_afterwards_is_what_it_read_before_without_the_customer(
    tmp_path_factory, rows
):
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    pd.DataFrame(rows, columns=["member", "note"]).to_csv(path, index=False)
    before = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = without_customer(path, Key("m2", NAMED), delimiter=",", encoding="utf-8")
    wanted = before[before["member"] != "m2"].reset_index(drop=True)
    if found is None:
        assert len(wanted) == len(before)
    else:
        pd.testing.assert_frame_equal(
            pd.read_csv(io.BytesIO(found[0]), dtype=str, keep_default_na=False), wanted
        )
        assert found[1] == len(before) - len(wanted)


KEYS = ["m2", "m22", 'm"2"', " m2", "jürgen", "note"]
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "UTF-8-SIG",
    "utf-16",
    "UTF16",
    "utf-16-le",
    "utf-16-be",
    "latin-1",
    "cp1252",
]


def marked(content, encoding, mark):
    """`content` as programs write it: some with a byte order mark whatever the encoding is called, some without."""
    name = codecs.lookup(encoding).name.removesuffix("-sig")
    if name == "utf-16":
        return (mark + content).encode(f"utf-16-{'be' if mark else 'le'}")
    return ((mark if name.startswith("utf") else "") + content).encode(name)


@settings(deadline=None)
@given(
    st.sampled_from(ENCODINGS),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(KEYS[:-1]),
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS)), max_size=8),
)
@example("utf-16", "\ufeff", "m2", [("m2", "m2")])
@example("UTF-8-SIG", "\ufeff", "jürgen", [("jürgen", "m2")])
@example("utf-8", "", 'm"2"', [('m"2"', "m2")])
def test_in_no_encoding_a_cell_of_the_decoded_text_holds_the_key_and_all_others_stay(
    tmp_path_factory, encoding, mark, key, rows
):
    """The bytes are those of the same text without the rows: the mark, too, stands where it stood."""

    def written(kept):
        stream = io.StringIO(newline="")
        csv.writer(stream).writerows([("member", "note"), *kept])
        return marked(stream.getvalue(), encoding, mark)

    path = tmp_path_factory.getbasetemp() / "encoded.csv"
    path.write_bytes(written(rows))
    found = without_customer(path, Key(key.strip(), NAMED), delimiter=",", encoding=encoding)
    kept = [row for row in rows if row[0].strip() != key.strip()]
    assert found == (None if kept == rows else (written(kept), len(rows) - len(kept)))


def test_a_text_in_another_encoding_is_not_taken_for_one_without_the_customer(tmp_path):
    (tmp_path / "a.csv").write_bytes("member,note\nm2,x\n".encode("utf-16-le"))
    with pytest.raises(ValueError, match="no text in utf-8"):
        without_customer(tmp_path / "a.csv", Key("m2", NAMED), delimiter=",", encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "column"),
    [
        ("m2", pa.array(["m1", "m2", None, " m2"])),
        ("m2", pa.array(["m1", "m2", None, "m2"]).dictionary_encode()),
        (2, pa.array([1, 2, None, 2])),
        (2, pa.array([1.0, 2.0, None, 2.0])),
        (2, pa.array(["1", "2", None, "002"])),
    ],
    ids=["text", "dictionary", "integer", "float", "number as text"],
)
def test_parquet_rows_go_whatever_the_keys_type_and_the_schema_stays(tmp_path, key, column):
    table = pa.table({"member": column, "n": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "a.parquet")
    content, gone = without_customer(
        tmp_path / "a.parquet", Key(key, NAMED), delimiter=",", encoding="utf-8"
    )
    left = pq.read_table(io.BytesIO(content))
    assert (left["n"].to_pylist(), gone) == ([1, 3], 2)
    assert left.schema.equals(pq.read_table(tmp_path / "a.parquet").schema)
    assert (
        without_customer(
            tmp_path / "a.parquet",
            Key(9 if key == 2 else "m9", NAMED),
            delimiter=",",
            encoding="utf-8",
        )
        is None
    )


def test_what_is_no_table_is_an_error(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises((ValueError, OSError)):
        without_customer(tmp_path / "a.parquet", Key("m2", NAMED), delimiter=",", encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_file_with_a_mark_is_searched_in_the_encoding_of_its_mark(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes("member,n\nm1,1\nm2,2\n".encode(encoding))
    found = without_customer(path, Key("m2", NAMED), delimiter=",", encoding="utf-8")
    assert found == ("member,n\nm1,1\n".encode(encoding), 1)


def test_excel_s_hint_stays_and_its_delimiter_is_used(tmp_path):
    assert text(tmp_path / "a.csv", "sep=;\nmember;n\nm1;1\nm2;2\n") == (
        b"sep=;\nmember;n\nm1;1\n",
        1,
    )


def test_a_packed_file_is_packed_again(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"member,n\nm1,1\nm2,2\n"))
    content, rows = without_customer(path, Key("m2", NAMED), delimiter=",", encoding="utf-8")
    assert (gzip.decompress(content), rows) == (b"member,n\nm1,1\n", 1)
    assert without_customer(path, Key("m9", NAMED), delimiter=",", encoding="utf-8") is None


def test_a_text_key_is_found_in_a_column_of_whole_floats(tmp_path):
    pq.write_table(pa.table({"member": [100938.0, 7.0, None]}), tmp_path / "a.parquet")
    _, rows = without_customer(
        tmp_path / "a.parquet", Key("100938", NAMED), delimiter=",", encoding="utf-8"
    )
    assert rows == 1


@pytest.mark.parametrize("key", [123456789012, 2**53 - 1, -5])
def test_a_text_key_in_a_column_of_large_whole_floats_is_found(tmp_path, key):
    pq.write_table(pa.table({"member": [float(key), 7.0, None]}), tmp_path / "a.parquet")
    content, rows = without_customer(
        tmp_path / "a.parquet", Key(str(key), NAMED), delimiter=",", encoding="utf-8"
    )
    assert (rows, pq.read_table(io.BytesIO(content))["member"].to_pylist()) == (1, [7.0, None])


def test_a_whole_number_beyond_the_exact_floats_is_found_without_its_neighbours(tmp_path):
    key = 1234567890123456789
    found = text(tmp_path / "a.csv", f"member,n\n{key},a\n{key + 1},b\n", key)
    assert found == (f"member,n\n{key + 1},b\n".encode(), 1)
    pq.write_table(pa.table({"member": [key, key + 1]}), tmp_path / "a.parquet")
    content, rows = without_customer(
        tmp_path / "a.parquet", Key(key, NAMED), delimiter=",", encoding="utf-8"
    )
    assert (rows, pq.read_table(io.BytesIO(content))["member"].to_pylist()) == (1, [key + 1])


def test_blank_lines_before_the_header_stay(tmp_path):
    assert text(tmp_path / "a.csv", "\n\r\nmember,n\nm1,1\nm2,2\n") == (
        b"\n\r\nmember,n\nm1,1\n",
        1,
    )


def test_a_quarantined_row_of_a_parquet_file_has_a_whole_float_as_text(tmp_path):
    for value in (7, "7"):
        (tmp_path / "a.csv").write_text("member,n\n7.0,a\n7,b\n70,c\n")
        key = Key(value, NAMED, Writing(decimal=","), quarantined=True)
        assert without_customer(tmp_path / "a.csv", key, delimiter=",", encoding="utf-8") == (
            b"member,n\n70,c\n",
            2,
        )


NUMBERS = [7, 1234, -5, 123456789012, 2**53 + 1, 1234567890123456789]
FORMS = ("{}", " {}", "{} ", "00{}", "+{}", "{}.0", "{},0", "{:.0e}", "{:,}", "{:#x}", '"{}"')
PARQUET_TYPES = (
    pa.int64(),
    pa.uint64(),
    pa.float64(),
    pa.float32(),
    pa.string(),
    pa.large_string(),
    pa.decimal128(38, 2),
)
WAYS = [
    FileFormat(),
    FileFormat(delimiter=";", decimal=",", thousands=".", encoding="utf-16"),
    FileFormat(delimiter="\t", thousands=",", encoding="cp1252", missing=("-5",)),
]


def read_as(path, contract):
    """The key of each row of the table `leavers` as ingestion reads it; null where it is none."""
    raw, faults = read_table(path, contract, "leavers")
    assert not faults
    return convert(raw["member"], contract.entity.dtype, Writing.of(contract.files, contract.key))[
        0
    ]


def check_erasure(path, contract, number):
    """What is read as the key is removed, and nothing that is read as another key."""
    key = str(number) if contract.entity.dtype == "string" else number
    named = Key(key, {"member"}, Writing.of(contract.files, contract.key))
    before = read_as(path, contract).reset_index(drop=True)
    found = without_customer(
        path, named, delimiter=contract.files.delimiter, encoding=contract.files.encoding
    )
    assert (found is not None) == bool(
        (before.str.strip() == key if isinstance(key, str) else before == key).any()
    )
    if found is not None:
        path.write_bytes(found[0])
        after = read_as(path, contract).reset_index(drop=True)
        other = before[
            (before.str.strip() != key if isinstance(key, str) else before != key).fillna(
                value=True
            )
        ]
        assert after.tolist() == other.tolist()


DTYPES = st.sampled_from(["string", "integer"])


@settings(deadline=None)
@given(
    st.sampled_from(WAYS),
    DTYPES,
    st.sampled_from(NUMBERS),
    st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(FORMS)), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
@example(WAYS[1], "integer", 1234, [(1234, "{:,}"), (1234, "{},0")], True, True)
def test_what_ingestion_reads_from_text_as_a_key_is_removed(
    tmp_path_factory, files, dtype, number, rows, packed, hinted
):
    contract = declared(files=files, entity={"column": "member", "dtype": dtype})
    cells = [
        form.format(key).replace(",", files.thousands or ",")
        if form == "{:,}"
        else form.format(key)
        for key, form in rows
    ]
    delimiter = "|" if hinted else files.delimiter
    quoted = [
        cell if delimiter not in cell or cell.startswith('"') else f'"{cell}"' for cell in cells
    ]
    lines = [
        f"member{delimiter}has_left",
        *(f"{cell}{delimiter}true" for cell in quoted),
        f"9{delimiter}false",
    ]
    content = "".join(f"{line}\n" for line in [*(["sep=|"] if hinted else []), *lines]).encode(
        files.encoding
    )
    path = tmp_path_factory.getbasetemp() / f"leavers.csv{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content) if packed else content)
    check_erasure(path, contract, number)


@settings(deadline=None)
@given(st.sampled_from(PARQUET_TYPES), DTYPES, st.sampled_from(NUMBERS), st.booleans())
def test_what_ingestion_reads_from_parquet_as_a_key_is_removed(
    tmp_path_factory, kind, dtype, number, dictionary
):
    contract = declared(entity={"column": "member", "dtype": dtype})
    numbers = [n for n in NUMBERS if n >= 0 or kind != pa.uint64()]
    if pa.types.is_floating(kind):
        column = pa.array([float(n) for n in numbers], kind)
    elif pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        column = pa.array(numbers, pa.int64()).cast(kind)
    else:
        column = pa.array([str(n) for n in numbers], kind)
    path = tmp_path_factory.getbasetemp() / "leavers.parquet"
    column = column.dictionary_encode() if dictionary else column
    pq.write_table(pa.table({"member": column, "has_left": [True] * len(numbers)}), path)
    check_erasure(path, contract, number)
