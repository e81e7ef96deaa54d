"""Rows of a file that belong to no customer: a total at the end."""

import pandas as pd

TOTALS = frozenset({
    "total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "gesamtsumme", "total general", "totale",
    "razem", "suma", "totaal", "average", "mean",
})  # fmt: skip


def why_no_customer(stem: str, frame: pd.DataFrame, header: str) -> str:
    """Which row of the file is not a customer's and what to do; empty without such a row.

    Args:
        stem: the file's name.
        frame: (rows, columns) the table as read.
        header: the key's column.
    """
    keys = frame[header]
    if pd.api.types.is_numeric_dtype(keys.dtype):
        return ""
    words = keys.astype("string[pyarrow]").str.strip().reset_index(drop=True)
    totals = words.index[words.str.lower().isin(TOTALS)]
    if len(totals):
        row = totals[0]
        return f"{stem}, row {row + 1:,} is {words[row]!r}, which is not a customer: remove the row"
    return ""
