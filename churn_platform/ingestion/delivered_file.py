"""One delivered table file, opened: what its name, mark, encoding and first lines mean, whoever
reads it.

Ingestion and `churn init` both open files here, so a draft describes what ingestion will read.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churn_platform.ingestion.faults import Mask, Positions

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

CSV = ".csv"
PACKED_CSV = ".csv.gz"
PARQUET = ".parquet"
SUFFIXES = (CSV, PACKED_CSV, PARQUET)
HEAD = 65_536
"""Bytes that hold the header, one hopes."""
BLOCK = 1 << 20
"""Bytes that pyarrow parses at a time."""
SEPARATOR_LINE = re.compile(rb'"?sep=([^\r\n"])"?\r?\n', re.IGNORECASE)
"""Excel's hint in the first line of a CSV file."""
ALIGNED_HEADER = re.compile(rb'[\r\n]*( [^\r\n"]*|[^\r\n"]*  [^\r\n"]*)(?=[\r\n]|$)')
"""A first line that begins with a space or has several in a row."""
EDGE_SPACES = re.compile(rb"^ +| +(?=\r?$)", re.MULTILINE)
SEVERAL_SPACES = re.compile(rb" {2,}")
SAMPLE = 65_536
"""Bytes, from the first beyond ASCII on, that show the language."""
MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CENTRAL = frozenset("ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽőűŐŰöüÖÜäßÄ")
"""Letters of the languages that Windows writes as cp1250: Polish, Czech, Slovak, Hungarian."""


class BrokenText(Exception):
    """A text file that cannot be parsed as it is; `code` is that of the kind of fault."""

    def __init__(self, code: str, line: int, example: str) -> None:
        super().__init__(code)
        self.code = code
        self.line = line
        self.example = example


@dataclass(frozen=True)
class Text:
    """The content of a CSV file in UTF-8, from its header on."""

    content: "memoryview[int]"
    delimiter: str
    encoding: str
    """That of the file."""

    @property
    def quoted(self) -> bool:
        """Whether there is a quote anywhere: a line end may then lie within a cell.

        Raises:
            BrokenText: there are NUL bytes.
        """
        return self._quotes_and_lines[0]

    @cached_property
    def _quotes_and_lines(self) -> tuple[bool, int]:
        """Whether there is a quote, and how many lines there are, found in one pass."""
        quoted = False
        ends = 0
        for start in range(0, len(self.content), BLOCK):
            block = bytes(self.content[start : start + BLOCK])
            where = block.find(b"\0")
            if where >= 0:
                raise _broken("nul_bytes", self.content, start + where)
            quoted = quoted or b'"' in block
            ends += block.count(b"\n")
        return quoted, ends + (bytes(self.content[-1:]) != b"\n")

    @property
    def header(self) -> list[str]:
        """The names in the first line that is not blank."""
        return header_of(bytes(self.content[:HEAD]), "utf-8", self.delimiter)

    def of_rows(self, chosen: Mask) -> "Text | None":
        """The header and the chosen rows (rows,); None where a row may not be one line."""
        if self._quotes_and_lines[1] != len(chosen) + 1:
            return None
        values = np.frombuffer(self.content, dtype=np.uint8)
        after_returns = np.minimum(_positions(values, b"\r") + 1, len(values) - 1)
        if (values[after_returns] != ord("\n")).any():
            return None  # pyarrow ends a line at a single CR, too
        edges = np.concatenate([[0], _positions(values, b"\n") + 1, [len(values)]])
        lines = np.concatenate([[0], np.flatnonzero(chosen) + 1])
        content = b"".join(
            self.content[start:end]
            for start, end in zip(edges[lines], edges[lines + 1], strict=True)
        )
        return replace(self, content=memoryview(content))

    def parse(self, convert: "arrow_csv.ConvertOptions") -> tuple["pa.Table", list[Any]]:
        """The rows, and those that have more or fewer cells than the header, which are left
        out.

        Raises:
            BrokenText: there are NUL bytes, or a quote is not closed in its cell.
        """
        import pyarrow as pa

        block = _block_size(self.content)
        while True:
            try:
                table, ragged = self._parse(convert, block)
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or block > len(self.content):
                    raise
                block *= 8  # a single row is longer than the block
                continue
            # As many lines as rows: no cell runs over a line end, so no quote can have
            # swallowed rows. In the last
            # line an odd quote may be one that is not closed.
            last = bytes(self.content[-HEAD:]).rstrip(b"\r\n").rsplit(b"\n", 1)[-1]
            odd = last.count(b'"') % 2 == 1
            if self.quoted and (
                odd or self._quotes_and_lines[1] != table.num_rows + len(ragged) + 1
            ):
                where = _open_quote(self.content, self.delimiter)
                if where >= 0:
                    raise _broken("open_quote", self.content, where)
            return table, ragged

    def _parse(
        self, convert: "arrow_csv.ConvertOptions", block: int
    ) -> tuple["pa.Table", list[Any]]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        ragged: list[Any] = []

        def keep(row: Any) -> str:  # noqa: ANN401 - pyarrow's InvalidRow
            ragged.append(row)
            return "skip"

        # A line end within quotes makes pyarrow look for the ends of blocks row by row.
        parsing = arrow_csv.ParseOptions(
            delimiter=self.delimiter, newlines_in_values=self.quoted, invalid_row_handler=keep
        )
        for threads in (True, False):  # row numbers are known without threads only
            ragged.clear()
            reading = arrow_csv.ReadOptions(use_threads=threads, block_size=block)
            source = pa.BufferReader(pa.py_buffer(self.content))
            table = arrow_csv.read_csv(source, reading, parsing, convert)
            if not ragged:
                break
        return table, ragged


def suffix_of(path: Path) -> str:
    """Which of `SUFFIXES` the file's name ends in, in capitals or not; empty for another."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """The file's name without its suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def is_text(path: Path) -> bool:
    """Whether the file's name is that of a CSV file, packed or not."""
    return suffix_of(path) in (CSV, PACKED_CSV)


def table_files(folder: Path) -> dict[str, list[Path]]:
    """The files of tables in a folder by their stems; CSV before Parquet where a table has
    both.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*")):
        if suffix_of(path) and path.is_file():
            found.setdefault(stem_of(path), []).append(path)
    return {
        stem: sorted(paths, key=lambda path: SUFFIXES.index(suffix_of(path)))
        for stem, paths in found.items()
    }


def reason_of(error: Exception, path: Path) -> str:
    """Why a file cannot be read, in one line; without its folder, which may be a temporary one."""
    return " ".join(str(error).split()).replace(str(path), path.name)[:200]


def head_bytes(path: Path) -> bytes:
    """The first bytes of a file, unpacked, enough for its header.

    Raises:
        OSError: the file cannot be read or unpacked.
    """
    if suffix_of(path) == PACKED_CSV:
        return bytes(raw_bytes(path)[:HEAD])
    with path.open("rb") as stream:
        return stream.read(HEAD)


def raw_bytes(path: Path) -> "memoryview[int]":
    """The bytes of a file, unpacked.

    Raises:
        OSError: the file cannot be read or unpacked.
    """
    if suffix_of(path) == PACKED_CSV:
        try:
            return memoryview(gzip.decompress(path.read_bytes()))
        except (EOFError, zlib.error) as error:
            raise OSError(f"it cannot be unpacked: {error}") from None
    # Not mapped: a file that is cut short while it is read would kill the process. NumPy asks for
    # large pages: for a file of 116 MB, half the time of read_bytes().
    with path.open("rb") as stream:
        return np.fromfile(stream, dtype=np.uint8).data


def last_bytes(path: Path) -> bytes:
    """The last two bytes of a file, unpacked.

    Raises:
        OSError: the file cannot be read or unpacked.
    """
    if suffix_of(path) == PACKED_CSV:
        return bytes(raw_bytes(path)[-2:])
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 2))
        return stream.read()


def open_text(raw: "memoryview[int]", encoding: str, delimiter: str) -> Text:
    """The content of a CSV file; a mark or a separator line in the file takes precedence over
    what is declared.

    Args:
        raw: the file's bytes, unpacked.
        encoding: the declared encoding.
        delimiter: the declared delimiter.

    Raises:
        UnicodeError: the bytes are not text in that encoding. UTF-8 is only checked when it is
            parsed.
    """
    mark, encoding = marked_encoding(raw[:4], encoding)
    content = raw[len(mark) :]
    if codecs.lookup(encoding).name not in ("utf-8", "ascii"):
        content = memoryview(str(content, encoding).encode())
    if hint := SEPARATOR_LINE.match(content):
        delimiter = hint[1].decode("latin-1")
        content = content[hint.end() :]
    if delimiter == " ":
        content = without_alignment(content)
    return Text(content, delimiter, encoding)


def without_alignment(content: "memoryview[int]") -> "memoryview[int]":
    """The content with one space between cells, if its header is aligned with several; a quote
    in the header shows that its spaces are part of a name.
    """
    if not ALIGNED_HEADER.match(content):
        return content
    return memoryview(SEVERAL_SPACES.sub(b" ", EDGE_SPACES.sub(b"", content)))


def header_of(head: bytes, encoding: str, delimiter: str) -> list[str]:
    """The names in the first line that is not blank.

    Raises:
        UnicodeDecodeError: the header is not in that encoding.
    """
    # Incremental: the last character of the head may be cut.
    text = codecs.getincrementaldecoder(encoding)().decode(head).lstrip("\ufeff")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return next((row for row in rows if row), [])


def _positions(values: "np.ndarray[Any, np.dtype[np.uint8]]", byte: bytes) -> Positions:
    """Where a byte is; by blocks, because a mask of a large file costs more than the search."""
    found = [
        start + np.flatnonzero(values[start : start + BLOCK] == ord(byte))
        for start in range(0, len(values), BLOCK)
    ]
    return np.concatenate(found)


def _block_size(content: "memoryview[int]") -> int:
    """A size at which no block ends within a CR LF: pyarrow 25.0.1 loses the LF of one within
    quotes.
    """
    size = BLOCK
    while any(
        bytes(content[end - 1 : end + 1]) == b"\r\n" for end in range(size, len(content), size)
    ):
        size += 1
    return size


def _open_quote(content: "memoryview[int]", delimiter: str) -> int:
    """Where a quoted cell begins that runs over a line end and is not closed before a
    delimiter; -1 without one.
    """
    values = np.frombuffer(content, dtype=np.uint8)
    quotes = np.flatnonzero(values == ord('"'))
    edge = np.zeros(256, dtype=bool)
    edge[[*delimiter.encode(), *b"\r\n"]] = True
    before = values[np.maximum(quotes - 1, 0)]
    after = values[np.minimum(quotes + 1, len(values) - 1)]
    begins = edge[before] | (quotes == 0)
    closes = edge[after] | (quotes == len(values) - 1)
    doubled = (before == ord('"'), after == ord('"'))
    if (
        len(quotes) % 2 == 0
        and (begins | doubled[0])[0::2].all()
        and (closes | doubled[1])[1::2].all()
    ):
        return -1
    opened = -1
    skipped = -1
    for at, begin, close in zip(quotes.tolist(), begins.tolist(), closes.tolist(), strict=True):
        if at == skipped:
            continue
        if opened < 0:
            opened = at if begin else -1
        elif bytes(content[at + 1 : at + 2]) == b'"':
            skipped = at + 1
        elif close or b"\n" not in bytes(content[opened:at]):
            opened = -1
        else:
            return opened
    return opened


def _broken(code: str, content: "memoryview[int]", where: int) -> BrokenText:
    before = bytes(content[:where])
    start = before.rfind(b"\n") + 1
    line = bytes(content[start : start + HEAD]).splitlines()[0]
    return BrokenText(code, before.count(b"\n") + 1, str(line, "utf-8", "replace"))


def marked_encoding(head: "memoryview[int] | bytes", declared: str) -> tuple[bytes, str]:
    """The byte order mark at the start of a file, and its encoding; without one the declared
    encoding.
    """
    start = bytes(head[:4])
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return mark, encoding
    name = codecs.lookup(declared).name if declared else ""
    return b"", {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(
        name, declared
    )


def likely_encoding(raw: "memoryview[int] | bytes") -> str:
    """The encoding of a text, as far as its bytes tell; empty where every usual encoding reads
    the same.
    """
    mark, encoding = marked_encoding(raw, "ascii")
    if mark:
        return encoding
    if b"\0" in bytes(raw[:SAMPLE]):
        return _likely_wide(bytes(raw[:SAMPLE]))
    if is_encoded(raw, "ascii"):
        return ""
    if is_encoded(raw, "utf-8"):
        return "utf-8"
    first = re.search(rb"[\x80-\xff]", raw)
    if first:
        sample = bytes(raw[max(first.start() - 1, 0) :][:SAMPLE])
    else:
        sample = b""
    if _fitting_letters(sample, "cp1250") > _fitting_letters(sample, "cp1252"):
        return "cp1250"
    if is_encoded(raw, "cp1252"):
        return "cp1252"
    return "latin-1"


def is_encoded(content: "memoryview[int] | bytes", encoding: str) -> bool:
    """Whether the bytes are text in an encoding."""
    try:
        str(content, encoding)
    except UnicodeDecodeError:
        return False
    return True


def _fitting_letters(sample: bytes, encoding: str) -> int:
    """How many characters beyond ASCII are letters next to a letter; in cp1250 those of its
    languages only.
    """
    text = f" {str(sample, encoding, 'replace')} "
    return sum(
        (here in CENTRAL if encoding == "cp1250" else here.isalpha())
        and (before.isalpha() or after.isalpha())
        for before, here, after in zip(text, text[1:], text[2:], strict=False)
        if not here.isascii()
    )


def _likely_wide(sample: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, by the places of its zeros; empty where they fit
    neither.
    """
    values = np.frombuffer(sample[: len(sample) // 4 * 4], dtype=np.uint8).reshape(-1, 4)
    zeros = (values == 0).mean(axis=0) > 0.5  # noqa: PLR2004 - most characters are ASCII
    forms = {
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
    }
    return forms.get(tuple(zeros.tolist()), "")
