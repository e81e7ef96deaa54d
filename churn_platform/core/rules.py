"""The contract's rules as one Pandera schema: which typed values break which rule.

Belongs here: every rule that one typed table can be asked. Does not: what a broken rule is called
(`core/faults.py`), and reading values (`core/conversion.py`).
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from churn_platform.core.contract import Column, Contract
from churn_platform.core.faults import TEXT_LIMIT, Mask

if TYPE_CHECKING:
    import pandera.pandas as pa

Rule = Callable[[pd.Series], pd.Series]
"""Typed values (rows,) -> whether each breaks the rule; null breaks only the rule that forbids it."""


def broken_rules(
    contract: Contract, table: str, frame: pd.DataFrame, as_of: dt.date | None
) -> dict[tuple[str, str], Mask]:
    """(column, code of the kind) -> the rows (rows,) that break that rule; rules that hold are left out.

    Args:
        contract: the contract.
        table: the table.
        frame: (rows, columns) typed values, null where a value is absent or could not be read.
        as_of: the month; None leaves dates after it alone.
    """
    import pandera.errors

    try:
        schema(contract, table, as_of).validate(frame, lazy=True, inplace=True)  # without a copy: nothing is coerced
    except pandera.errors.SchemaErrors as found:
        return {(e.schema.name, e.check.name): ~e.check_output.to_numpy(dtype=bool) for e in found.schema_errors}
    return {}


def schema(contract: Contract, table: str, as_of: dt.date | None = None) -> "pa.DataFrameSchema":
    """The Pandera schema of one table of typed values; each check is named by the code of its kind of fault."""
    import pandera.pandas as pa

    def check(code: str, breaks: Rule) -> "pa.Check":
        # The whole mask is in the error; assembling a case a row would cost seconds on a bad file.
        return pa.Check(lambda values: ~breaks(values), name=code, ignore_na=False, n_failure_cases=1)

    ages = contract.tables[table].ages.values() if table in contract.tables else ()
    dated = {age.of for age in ages}
    key = contract.entity.column
    columns = {}
    for name, spec in contract.delivered(table).items():
        rules = [*_rules(spec), *(_key_rules(spec) if name == key else _nullability(spec))]
        if name == contract.label.column and table in (contract.label.table, contract.label_table):
            rules.append(("label_not_binary", lambda values: values.notna() & ~values.isin([0, 1])))
        if as_of is not None and name in dated:
            rules.append(("after_as_of", _after(pd.Timestamp(as_of))))
        columns[name] = pa.Column(checks=[check(code, rule) for code, rule in rules], nullable=True)
    return pa.DataFrameSchema(columns)


def bounds(spec: Column) -> Mapping[str, str]:
    """The words of a column's own limits, for the sentence of a fault: code -> bound."""
    return {"below_min": _number(spec.min), "above_max": _number(spec.max)}


def _rules(spec: Column) -> Iterator[tuple[str, Rule]]:
    if spec.values is not None:
        allowed = list(spec.values)
        yield "unknown_category", lambda values: values.notna() & ~values.isin(allowed)
    if spec.min is not None:
        least = spec.min
        yield "below_min", lambda values: (values < least).fillna(value=False)
    if spec.max is not None:
        most = spec.max
        yield "above_max", lambda values: (values > most).fillna(value=False)
    if spec.dtype in ("string", "category"):
        yield "too_long", lambda values: (values.str.len() > TEXT_LIMIT).fillna(value=False)


def _nullability(spec: Column) -> Iterator[tuple[str, Rule]]:
    if not spec.nullable:
        yield "empty", lambda values: values.isna()


def _key_rules(spec: Column) -> Iterator[tuple[str, Rule]]:
    yield "empty_key", lambda values: values.isna()
    if spec.dtype == "string":
        yield "key_with_spaces", lambda values: (values.str.strip() != values).fillna(value=False)


def _after(moment: pd.Timestamp) -> Rule:
    return lambda values: values > moment


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
