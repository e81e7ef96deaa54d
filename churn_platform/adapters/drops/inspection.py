"""The first look at a file of a drop: is it what its name says, and does its header fit the contract?

Belongs here: what the first bytes and the header tell, and where a text leaves its encoding. Does not: reading rows
(`adapters/drops/table_reader.py`) or judging them (`core/snapshot.py`).
"""

import codecs
import csv
import io
from pathlib import Path
from typing import Any

from churn_platform.core.contract import Contract
from churn_platform.core.faults import Fault, fault
from churn_platform.core.snapshot import header_faults

HEAD = 65_536
"""Bytes that hold the header, one hopes."""
LISTED = 10
DELIMITERS = (",", ";", "\t", "|")
OFFICE = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
FORMATS = {b"PAR1": "Parquet", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"SQLi": "SQLite"}
HTML = (b"<!doctype", b"<html", b"<table", b"<?xml", b"<head")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def inspect(path: Path, contract: Contract, table: str) -> list[Fault]:
    """What keeps the file from being read as the table at all; none when its rows can be read."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head.strip(b"\xef\xbb\xbf\r\n\t "):
        return [fault("empty_file", table, file=path.name)]
    if path.suffix == ".parquet":
        return []
    start = head.lstrip(b"\xef\xbb\xbf\r\n\t ").lower()
    if head.startswith(OFFICE) or start.startswith(HTML):
        return [fault("excel_file" if head.startswith(OFFICE) else "html_file", table, file=path.name)]
    other = [form for magic, form in FORMATS.items() if head.startswith(magic)]
    if other:
        return [fault("other_format", table, file=path.name, format=other[0], suffix="csv")]
    if head.startswith(UTF_16) and not contract.files.encoding.lower().startswith("utf"):
        return [encoding_fault(path, contract, table)]
    return _header_faults(path, contract, table, head)


def encoding_fault(path: Path, contract: Contract, table: str) -> Fault:
    """Where a text leaves the contract's encoding, and which one it is likely to be."""
    content, encoding = path.read_bytes(), contract.files.encoding
    likely = "utf-16" if content.startswith(UTF_16) else next((e for e in ("utf-8", "cp1252") if _is(content, e)), "")
    details: dict[str, Any] = {"encoding": encoding, "likely": f", likely to {likely}" if likely else ""}
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        before = io.StringIO(content[: error.start].decode(encoding), newline="")
        row = sum(1 for cells in csv.reader(before, delimiter=contract.files.delimiter) if cells) - 1
        line = content[content.rfind(b"\n", 0, error.start) + 1 :].split(b"\n", 1)[0].strip()
        seen = line.decode(likely or "latin-1", errors="replace")
        where = f" in row {row}" if row > 0 else " in the header"
        return fault("wrong_encoding", table, file=path.name, row=where, examples=[seen], **details)
    return fault("wrong_encoding", table, file=path.name, row="", **details)


def header_of(content: bytes, encoding: str, delimiter: str) -> list[str]:
    """The names in the first line that is not blank.

    Raises:
        UnicodeDecodeError: the header is not in that encoding.
    """
    # Incremental: the last character of the head may be cut.
    text = codecs.getincrementaldecoder(encoding)().decode(content).lstrip("\ufeff")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return next((row for row in rows if row), [])


def _header_faults(path: Path, contract: Contract, table: str, head: bytes) -> list[Fault]:
    files = contract.files
    try:
        header = header_of(head, files.encoding, files.delimiter)
    except UnicodeError:
        return [encoding_fault(path, contract, table)]
    wanted = {spec.source or own for own, spec in contract.delivered(table).items()}
    others = (d for d in DELIMITERS if d != files.delimiter and wanted & set(header_of(head, files.encoding, d)))
    if not wanted & set(header) and (other := next(others, None)):
        words: dict[str, Any] = {"found": _shown(other), "delimiter": _shown(files.delimiter)}
        return [fault("wrong_delimiter", table, file=path.name, examples=[",".join(header)], **words)]
    return header_faults(contract, table, header, path.name)


def _shown(delimiter: str) -> str:
    return "\\t" if delimiter == "\t" else delimiter


def _is(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def listing(folder: Path) -> tuple[str, ...]:
    """The names of the files in a folder, for a person who looks for a misnamed one; the first of many."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("_"))
    return (*names[:LISTED], *(["..."] if len(names) > LISTED else []))
