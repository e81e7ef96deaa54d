"""How the files of a draft are written: the decimal sign of most columns, and the doubt about the encoding."""

from collections import Counter

import pandas as pd

from churn_platform.core.contract_parts import FileFormat
from churn_platform.core.conversion import TEXT
from churn_platform.core.draft.keys import Key, Sheet
from churn_platform.core.draft.tables import Parts

CERTAIN = ("utf-8", "utf-8-sig", "utf-16", "ascii")
OTHER_SIGN = {".": ",", ",": "."}
"""By the thousands separator, the decimal sign of a column without fractions."""
ALIKE = ("cp1250", "cp1252")
"""The encodings of Windows that give other letters to the same bytes."""
SHOWN = 30
LOOKED_AT = 10_000
"""Rows of each column in which a letter beyond ASCII is looked for."""


def written_in(files: FileFormat, sheets: list[Sheet], key: Key, made: Parts) -> FileFormat:
    """The files' format with the decimal sign of most columns; a column of the other sign has its own."""
    signs = Counter(g.decimal for sheet in sheets for h, g in sheet.guesses.items() if g.decimal and h != key.header)
    usual = max(signs, key=lambda sign: (signs[sign], sign == ".")) if signs else files.decimal
    if usual == files.delimiter:
        usual = files.decimal
    for sheet in sheets:
        table = made.tables.get(sheet.name)
        if table is None:
            continue
        columns = {}
        for name, column in table.columns.items():
            sign = sheet.guesses[column.source or name].decimal or OTHER_SIGN.get(column.thousands, "")
            columns[name] = column.model_copy(update={"decimal": sign}) if sign not in ("", usual) else column
        made.tables[sheet.name] = table.model_copy(update={"columns": columns})
    if files.encoding.lower() not in CERTAIN:
        made.doubts["files",] = _encoding_doubt(files, sheets)
    return files.model_copy(update={"decimal": usual})


def _encoding_doubt(files: FileFormat, sheets: list[Sheet]) -> str:
    """A word in which a wrong encoding shows, as it is read and as the other usual encoding reads it."""
    first = ""
    for sheet in sheets:
        for header in sheet.frame.columns:
            for word in _foreign_words(sheet.frame[header]):
                asked = f"{files.encoding} is a guess: is {word!r} in {header!r} spelled correctly?"
                first = first or asked
                for encoding, other in _other_readings(word, files.encoding).items():
                    return f"{asked} As {encoding} it would be {other!r}"
    return first or f"{files.encoding} is a guess"


def _foreign_words(values: pd.Series) -> list[str]:
    """The distinct texts with a letter beyond ASCII, cut to a readable length."""
    texts = values.head(LOOKED_AT)
    if texts.dtype != object and not isinstance(texts.dtype, pd.StringDtype):
        return []
    words = texts.astype(object).astype(TEXT).dropna().drop_duplicates()
    return [str(word)[:SHOWN] for word in words[words.str.contains(r"[^\x00-\x7f]", regex=True)]]


def _other_readings(word: str, encoding: str) -> dict[str, str]:
    """Encoding -> the word as it reads in it, for the usual encodings that read it differently."""
    found = {}
    for other in ALIKE:
        try:
            read = word.encode(encoding).decode(other)
        except UnicodeError:
            continue
        if read != word:
            found[other] = read
    return found
