"""A file without one customer's rows is the same file otherwise, byte for byte where it is text."""

import codecs
import csv
import gzip
import io

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


def without(path, key, delimiter=",", encoding="utf-8"):
    if not isinstance(key, Key):
        key = Key(key, NAMED)
    return without_customer(path, key, delimiter=delimiter, encoding=encoding)


def text(path, content, key="m2", delimiter=",", encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return without(path, key, delimiter, encoding)


def test_the_rows_go_and_every_other_byte_stays(tmp_path):
    kept = '\n\r\n"member",note\r\nm1,"two\r\nlines, m2"\r\nm22,m2\r\n'
    found = text(tmp_path / "a.csv", kept + 'm2,x\r\n"m2","a\nb"\r\n m2 ,y\r\nm3,z')
    assert found == ((kept + "m3,z").encode(), 3)


@pytest.mark.parametrize("content", ["member,note\nm1,m2\n", "other,note\nm2,m2\n", ""])
def test_a_file_without_the_customer_or_the_column_is_left_alone(tmp_path, content):
    assert text(tmp_path / "a.csv", content) is None


def test_the_key_has_the_header_delimiter_and_encoding_of_the_contract(tmp_path):
    found = text(tmp_path / "a.csv", "Größe;Member No\n1;jürgen\n2;m1\n", "jürgen", ";", "cp1252")
    assert found == ("Größe;Member No\n2;m1\n".encode("cp1252"), 1)


KEYS = ["m2", "m22", 'm"2"', " m2", "jürgen"]
CELLS = [*KEYS, "note", 'a\nb,"', "; '"]
ENCODINGS = ["utf-8", "utf-8-sig", "UTF-8-SIG", "utf-16", "UTF16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"]  # fmt: skip


def marked(content, encoding, mark):
    """`content` as programs write it, some with a byte order mark and some without."""
    name = codecs.lookup(encoding).name.removesuffix("-sig")
    if name == "utf-16":
        return (mark + content).encode(f"utf-16-{'be' if mark else 'le'}")
    return ((mark if name.startswith("utf") else "") + content).encode(name)


@settings(deadline=None)
@given(
    st.sampled_from(ENCODINGS),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(KEYS),
    st.lists(st.tuples(st.sampled_from(CELLS), st.sampled_from(CELLS)), max_size=12),
)
@example("utf-16", "\ufeff", "m2", [("m2", "m2")])
@example("UTF-8-SIG", "\ufeff", "jürgen", [("jürgen", "m2")])
@example("utf-8", "", 'm"2"', [('m"2"', "m2")])
def test_the_bytes_are_those_of_the_same_text_without_the_rows(
    tmp_path_factory, encoding, mark, key, rows
):
    def written(kept):
        stream = io.StringIO(newline="")
        csv.writer(stream).writerows([("member", "note"), *kept])
        return marked(stream.getvalue(), encoding, mark)

    path = tmp_path_factory.getbasetemp() / "encoded.csv"
    path.write_bytes(written(rows))
    found = without(path, key.strip(), encoding=encoding)
    kept = [row for row in rows if row[0].strip() != key.strip()]
    assert found == (None if kept == rows else (written(kept), len(rows) - len(kept)))


def test_a_text_in_another_encoding_is_not_taken_for_one_without_the_customer(tmp_path):
    (tmp_path / "a.csv").write_bytes("member,note\nm2,x\n".encode("utf-16-le"))
    with pytest.raises(ValueError, match="no text in utf-8"):
        without(tmp_path / "a.csv", "m2")


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
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"member": column, "n": [1, 2, 3, 4]}), path)
    content, gone = without(path, key)
    left = pq.read_table(io.BytesIO(content))
    assert (left["n"].to_pylist(), gone) == ([1, 3], 2)
    assert left.schema.equals(pq.read_table(path).schema)
    assert without(path, 9 if key == 2 else "m9") is None


def test_what_is_no_table_is_an_error(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises((ValueError, OSError)):
        without(tmp_path / "a.parquet", "m2")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_file_with_a_mark_is_searched_in_the_encoding_of_its_mark(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes("member,n\nm1,1\nm2,2\n".encode(encoding))
    found = without(path, "m2")
    assert found == ("member,n\nm1,1\n".encode(encoding), 1)


@pytest.mark.parametrize("value", [7, "7"])
def test_a_quarantined_row_of_a_parquet_file_has_a_whole_float_as_text(tmp_path, value):
    (tmp_path / "a.csv").write_text("member,n\n7.0,a\n7,b\n70,c\n")
    key = Key(value, NAMED, Writing(decimal=","), quarantined=True)
    assert without(tmp_path / "a.csv", key) == (b"member,n\n70,c\n", 2)


NUMBERS = [7, 1234, -5, 123456789012, 2**53 - 1, 2**53 + 1, 1234567890123456789, 1234567890123456790]  # fmt: skip
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


def check_erasure(path, contract, number):
    """What ingestion reads as the key is removed, and nothing that it reads as another key."""

    def keys():
        raw, faults = read_table(path, contract, "leavers")
        assert not faults
        found = convert(raw["member"], contract.entity.dtype, named.writing)[0]
        return found.str.strip() if isinstance(key, str) else found

    key = str(number) if contract.entity.dtype == "string" else number
    named = Key(key, {"member"}, Writing.of(contract.files, contract.key))
    before = keys()
    own = (before == key).fillna(value=False)
    found = without(path, named, contract.files.delimiter, contract.files.encoding)
    assert (found is not None) == bool(own.any())
    if found is not None:
        path.write_bytes(found[0])
        assert keys().tolist() == before[~own].tolist()


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
    delimiter = "|" if hinted else files.delimiter
    lines = ["sep=|"] if hinted else []
    lines.append(f"member{delimiter}has_left")
    for key, form in [*rows, (9, "{}")]:
        cell = form.format(key)
        if form == "{:,}":
            cell = cell.replace(",", files.thousands or ",")
        if delimiter in cell and not cell.startswith('"'):
            cell = f'"{cell}"'
        lines.append(f"{cell}{delimiter}true")
    content = "".join(f"{line}\n" for line in lines).encode(files.encoding)
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
