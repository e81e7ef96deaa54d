"""How the files of a draft are written: the decimal sign of most columns, and the doubt about the encoding."""

from collections import Counter

import pandas as pd

from churn_platform.core.contract_parts import FileFormat
from churn_platform.core.conversion import TEXT
from churn_platform.core.draft.keys import Key, Sheet
from churn_platform.core.draft.tables import Parts

CERTAIN = ("utf-8", "utf-8-sig", "utf-16", "ascii")
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
            sign = sheet.guesses[column.source or name].decimal
            thousands = column.thousands
            other = sign or ("," if thousands == "." else "." if thousands == "," else "")
            columns[name] = column.model_copy(update={"decimal": other}) if other not in ("", usual) else column
        made.tables[sheet.name] = table.model_copy(update={"columns": columns})
    if files.encoding.lower() not in CERTAIN:
        made.doubts["files",] = _encoding_doubt(files, sheets)
    return files.model_copy(update={"decimal": usual})


def _encoding_doubt(files: FileFormat, sheets: list[Sheet]) -> str:
    """A word in which a wrong encoding shows."""
    for sheet in sheets:
        for header in sheet.frame.columns:
            texts = sheet.frame[header].head(LOOKED_AT)
            if texts.dtype != object and not isinstance(texts.dtype, pd.StringDtype):
                continue
            words = texts.astype(object).astype(TEXT).dropna()
            foreign = words[words.str.contains(r"[^\x00-\x7f]", regex=True)]
            if len(foreign):
                return f"{files.encoding} is a guess: is {str(foreign.iloc[0])[:30]!r} in {header!r} spelled right?"
    return f"{files.encoding} is a guess"
