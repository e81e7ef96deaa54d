"""The first look at a file of a drop: does it match its name, and does its header fit the
contract?
"""

import csv
import io
from pathlib import Path
from typing import Any

from churn_platform.contract.model import Contract
from churn_platform.ingestion.delivered_file import (
    HEAD,
    PARQUET,
    BrokenText,
    Text,
    head_bytes,
    header_of,
    open_text,
    raw_bytes,
    suffix_of,
)
from churn_platform.ingestion.encodings import likely_encoding, marked_encoding
from churn_platform.ingestion.faults import Fault, fault
from churn_platform.ingestion.snapshot import header_faults

LISTED = 10
DELIMITERS = (",", ";", "\t", "|", " ")
OFFICE = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
FORMATS = {b"PAR1": "Parquet", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"SQLi": "SQLite"}
HTML = (b"<!doctype", b"<html", b"<table", b"<?xml", b"<head")


def inspect(path: Path, contract: Contract, table: str) -> tuple[Text | None, list[Fault]]:
    """What keeps the file from being read as the table at all; without a fault, the text of a
    CSV file.

    Raises:
        OSError: the file cannot be read or unpacked.
    """
    parquet = suffix_of(path) == PARQUET
    raw = memoryview(head_bytes(path)) if parquet else raw_bytes(path)
    head = bytes(raw[:HEAD])
    if not head.strip(b"\xef\xbb\xbf\xff\xfe\r\n\t \0"):
        return None, [fault("empty_file", table, file=path.name)]
    if parquet:
        return None, []
    if found := _other_format(path, table, head):
        return None, [found]
    return _opened(path, contract, table, raw)


def _opened(
    path: Path, contract: Contract, table: str, raw: "memoryview[int]"
) -> tuple[Text | None, list[Fault]]:
    try:
        text = open_text(raw, contract.files.encoding, contract.files.delimiter)
        _ = text.quoted
        return text, _header_faults(path, contract, table, text)
    except UnicodeError:
        return None, [encoding_fault(path, contract, table)]
    except BrokenText as broken:
        if broken.code == "nul_bytes" and likely_encoding(raw).startswith("utf-"):
            return None, [encoding_fault(path, contract, table)]
        return None, [broken_fault(path, table, broken)]


def broken_fault(path: Path, table: str, broken: BrokenText) -> Fault:
    """The fault that a text has which cannot be parsed as it is."""
    return fault(
        broken.code, table, file=path.name, line=f"{broken.line:,}", examples=[broken.example]
    )


def _other_format(path: Path, table: str, head: bytes) -> Fault | None:
    start = head.lstrip(b"\xef\xbb\xbf\r\n\t ").lower()
    if head.startswith(OFFICE):
        return fault("excel_file", table, file=path.name)
    if start.startswith(HTML):
        return fault("html_file", table, file=path.name)
    other = [form for magic, form in FORMATS.items() if head.startswith(magic)]
    if other:
        return fault("other_format", table, file=path.name, format=other[0], suffix="csv")
    return None


def encoding_fault(path: Path, contract: Contract, table: str) -> Fault:
    """Where a text leaves its encoding, and which one it is likely to be."""
    raw = raw_bytes(path)
    mark, encoding = marked_encoding(raw, contract.files.encoding)
    content = bytes(raw[len(mark) :])
    likely = likely_encoding(content)
    words: dict[str, Any] = {
        "encoding": encoding,
        "likely": f", likely to {likely}" if likely else "",
    }
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        before = io.StringIO(content[: error.start].decode(encoding), newline="")
        row = (
            sum(1 for cells in csv.reader(before, delimiter=contract.files.delimiter) if cells) - 1
        )
        line = content[content.rfind(b"\n", 0, error.start) + 1 :].split(b"\n", 1)[0].strip()
        seen = line.decode(likely or "latin-1", errors="replace")
        where = f" in row {row}" if row > 0 else " in the header"
        return fault("wrong_encoding", table, file=path.name, row=where, examples=[seen], **words)
    return fault("wrong_encoding", table, file=path.name, row="", **words)


def _header_faults(path: Path, contract: Contract, table: str, text: Text) -> list[Fault]:
    header = text.header
    wanted = {spec.source or own for own, spec in contract.delivered(table).items()}
    head = bytes(text.content[:HEAD])
    others = (
        d for d in DELIMITERS if d != text.delimiter and wanted & set(header_of(head, "utf-8", d))
    )
    if not wanted & set(header) and (other := next(others, None)):
        words: dict[str, Any] = {"found": _shown(other), "delimiter": _shown(text.delimiter)}
        return [
            fault("wrong_delimiter", table, file=path.name, examples=[",".join(header)], **words)
        ]
    return header_faults(contract, table, header, path.name)


def _shown(delimiter: str) -> str:
    return {"\t": "\\t", " ": "a blank"}.get(delimiter, delimiter)


def listing(folder: Path) -> tuple[str, ...]:
    """The names of the files in a folder, for a person who looks for a misnamed one; the first
    of many.
    """
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_file() and not entry.name.startswith("_")
    )
    return (*names[:LISTED], *(["..."] if len(names) > LISTED else []))
