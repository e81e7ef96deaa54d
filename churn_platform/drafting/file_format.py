"""The format that most columns of a drop are written in, and doubts of its encoding."""

from collections import Counter
from contextlib import suppress

import pandas as pd

from churn_platform.contract.parts import FileFormat
from churn_platform.drafting.keys import KeyColumn, Sheet
from churn_platform.drafting.tables import Parts
from churn_platform.drafting.texts import OTHER_SIGN
from churn_platform.ingestion.conversion import convert

CERTAIN = ("utf-8", "utf-8-sig", "utf-16", "ascii")
ALIKE = ("cp1250", "cp1252")
"""Windows encodings that read the same bytes as different letters."""
SHOWN = 30
LOOKED_AT = 10_000
"""Rows of each column that are searched for a letter beyond ASCII."""


def written_in(files: FileFormat, sheets: list[Sheet], key: KeyColumn, parts: Parts) -> FileFormat:
    """The files' format with the decimal sign of most columns; a column with the other sign has
    its own.
    """
    signs = Counter(
        guess.decimal
        for sheet in sheets
        for header, guess in sheet.guesses.items()
        if guess.decimal and header != key.header
    )
    usual = max(signs, key=lambda sign: (signs[sign], sign == "."), default=files.decimal)
    if usual == files.delimiter:
        usual = files.decimal
    for sheet in sheets:
        table = parts.tables.get(sheet.name)
        if table is None:
            continue
        columns = dict(table.columns)
        for name, column in table.columns.items():
            guess = sheet.guesses[column.source or name]
            sign = guess.decimal or OTHER_SIGN.get(column.thousands, "")
            if sign not in ("", usual):
                columns[name] = column.model_copy(update={"decimal": sign})
        parts.tables[sheet.name] = table.model_copy(update={"columns": columns})
    if files.encoding.lower() not in CERTAIN:
        parts.doubts["files",] = _encoding_doubt(files.encoding, sheets)
    return files.model_copy(update={"decimal": usual})


def _encoding_doubt(encoding: str, sheets: list[Sheet]) -> str:
    """The first word that another usual encoding reads differently, in both readings."""
    first = ""
    for sheet in sheets:
        for header in sheet.frame.columns:
            for word in _foreign_words(sheet.frame[header]):
                asked = f"{encoding} is a guess: is {word!r} in {header!r} spelled correctly?"
                first = first or asked
                for other in ALIKE:
                    with suppress(UnicodeError):
                        read = word.encode(encoding).decode(other)
                        if read != word:
                            return f"{asked} As {other} it would be {read!r}"
    return first or f"{encoding} is a guess"


def _foreign_words(values: pd.Series) -> list[str]:
    """The distinct texts with a letter beyond ASCII, cut to a readable length."""
    texts, _ = convert(values.head(LOOKED_AT), "string")
    words = texts.dropna().drop_duplicates()
    return [word[:SHOWN] for word in words if not word.isascii()]
