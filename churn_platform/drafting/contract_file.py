"""Drafts `contract.yaml` from a folder of files, checks it on them, and writes it with doubts
at the ends of lines.
"""

import datetime as dt
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Column, Table
from churn_platform.contract.parts import FileFormat
from churn_platform.contract.policy import Policy
from churn_platform.contract.reference import SCHEMA_FILE
from churn_platform.drafting.check import check_drops
from churn_platform.drafting.draft import Draft, draft
from churn_platform.drafting.drop_files import data_files, detect_format, drops_in, read_tables
from churn_platform.drafting.label import NoLabelError
from churn_platform.drafting.times import guess_times

WIDTH = 110
OTHERS = 3
"""So many drops before the one that is drafted from, and after it, are read for what the
contract must let through.
"""
CONFIRM = "# confirm"


def draft_from(
    folder: Path,
    *,
    name: str,
    as_of: dt.date | None = None,
    entity: str | None = None,
    label: str | None = None,
) -> tuple[Path, Draft]:
    """The draft from the newest drop under `folder` that has labels, and that drop; the others
    show the cadence.

    Raises:
        UsageError: there is no file, no key or label can be guessed from any drop, or the draft
            would refuse a drop that it was made from.
    """
    drops = drops_in(folder)
    dates = [date for date in drops if date is not None]
    first: NoLabelError | None = None
    oldest_first = list(drops.items())
    for place, (date, path) in reversed(list(enumerate(oldest_first))):
        files = data_files(path)
        written = detect_format(files.values())
        near = oldest_first[max(place - OTHERS, 0) : place] + oldest_first[place + 1 :][:OTHERS]
        others = [read_tables(data_files(other), written) for _, other in near]
        later = {
            stem
            for _, newer in oldest_first[place + 1 :]
            for stem in files
            if stem not in data_files(newer)
        }
        times = guess_times(dates, date) if date else None
        given: dict[str, Any] = {
            "files": written,
            "times": times,
            "entity": entity,
            "label": label,
        }
        try:
            frames = read_tables(files, written)
            found = draft(
                frames, name=name, others=others, later=later, as_of=date or as_of, **given
            )
        except NoLabelError as error:
            first = first or error
            continue
        needed = {found.contract.file_stem(table) for table in found.contract.feature_tables}
        complete = [other for _, other in near if needed <= set(data_files(other))]
        _check(found, [path, *complete], as_of)
        return path, found
    raise first or UsageError(f"{folder} holds no drop.")


def _check(found: Draft, drops: list[Path], as_of: dt.date | None) -> None:
    """Refuse a draft that would refuse the files that it was made from: one of the two is
    wrong.
    """
    for drop in drops:
        faults = [
            line
            for line in check_drops(found.contract, drop, undated=as_of)
            if line["state"] == "fail"
        ]
        if faults:
            others = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
            raise UsageError(
                "No draft was written, because the drafted contract would refuse these files: "
                f"{drop.name}: {faults[0]['says']}{others}",
                code="DRAFT_IMPOSSIBLE",
            )


def as_yaml(found: Draft) -> str:
    """The draft as the text of a contract."""
    return (
        "\n".join([*_head(found), "", *_tables(found), "", *_rest(found), "", *_policy(found)])
        + "\n"
    )


def _head(found: Draft) -> Iterator[str]:
    contract = found.contract
    rows, tables = max(found.rows.values()), len(found.rows)
    said = f"{tables} table{'s' if tables > 1 else ''}, {rows:,} customers"
    yield f"# yaml-language-server: $schema={SCHEMA_FILE}"
    yield "# Every field: docs/contract.md, or `churn contract schema`."
    yield (
        "# Drafted by `churn init --from-drop` from the"
        f" files{f' of {found.as_of}' if found.as_of else ''}: {said}."
    )
    yield (
        f'# Check every "{CONFIRM}". A column that was left out is a comment with the reason.'
        " To use it, uncomment it"
    )
    yield "# and add it to feature_views."
    yield f"name: {_scalar(contract.name)}"
    yield f"model_name: {_scalar(contract.model_name)}"
    yield 'description: ""      # what the business sells, who its customers are, what churn is'
    entity = contract.entity.model_dump(exclude_defaults=True) | {"dtype": contract.entity.dtype}
    yield _line(found, ("entity",), f"entity: {_flow(entity)}")
    yield _line(found, ("cadence",), f"cadence: {contract.cadence}")
    yield _line(found, ("delivery_days",), f"delivery_days: {contract.delivery_days}")
    if contract.files != FileFormat():
        usual = contract.files.model_dump(include={"delimiter", "decimal", "encoding"})
        others = contract.files.model_dump(mode="json", exclude_defaults=True)
        yield _line(found, ("files",), f"files: {_flow(usual | others)}")


def _tables(found: Draft) -> Iterator[str]:
    yield "tables:"
    for out in found.left_out:
        if not out.column:
            yield f"  # left out: {out.table}: {out.reason}"
    for name, table in found.contract.tables.items():
        yield from _table(found, name, table)
    kept = {*found.contract.tables}
    for out in found.left_out:
        if out.column and out.table not in kept:
            yield f"  # left out: {out.table}.{out.column}: {out.reason}"


def _table(found: Draft, name: str, table: Table) -> Iterator[str]:
    yield _line(found, ("tables", name), f"  {_scalar(name)}:")
    if table.file:
        yield f"    file: {_scalar(table.file)}"
    yield "    columns:"
    for column, spec in table.columns.items():
        yield from _entry(found, ("tables", name, "columns", column), _column(spec))
    for out in found.left_out:
        if out.table == name and out.spec is not None:
            yield (
                f"      # {_scalar(out.column)}: {_flow(_column(out.spec))}   # left out:"
                f" {out.reason}"
            )
    if table.ages:
        yield "    ages:"
        for age, made in table.ages.items():
            yield from _entry(
                found, ("tables", name, "ages", age), made.model_dump(exclude_defaults=True)
            )


def _rest(found: Draft) -> Iterator[str]:
    contract = found.contract
    horizon = contract.label.horizon.model_dump(exclude_defaults=True) or {"months": 0}
    label = contract.label.model_dump(mode="json", exclude_defaults=True, exclude={"horizon"}) | {
        "horizon": horizon
    }
    label["period"] = contract.label.period
    yield _line(found, ("label",), f"label: {_flow(label)}")
    yield ""
    yield "feature_views:"
    for name, view in contract.feature_views.items():
        text = f"{{table: {_scalar(view.table)}, features: {_flow(list(view.features))}}}"
        yield from [
            f"  {_scalar(name)}:",
            *textwrap.wrap(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6),
        ]
    yield ""
    yield _line(found, ("slices",), f"slices: {_flow(list(contract.slices))}")
    # A comment, because nobody has given these costs: see `Contract.costs_given`.
    yield (
        f"# costs: {{missed_churner: 5, needless_contact: 1}}   {CONFIRM}: only their ratio matters"
    )
    for costs in found.costs:
        yield f"# costs: {_flow(costs.model_dump())}   # or each customer's own"


def _policy(found: Draft) -> Iterator[str]:
    """What differs from the defaults, and these as comments: no one has to look them up, none
    is fixed by a draft.
    """
    drafted = found.contract.policy.ingestion.model_dump(exclude_defaults=True)
    if drafted:
        yield "policy:"
        yield _line(found, ("policy", "ingestion"), f"  ingestion: {_flow(drafted)}")
    head = "#" if drafted else "# policy:                #"
    yield f"{head} the defaults; docs/criteria.md shows what moves a decision"
    for name, part in Policy().model_dump(mode="json").items():
        yield from textwrap.wrap(
            f"{name}: {_flow(part)}",
            WIDTH,
            initial_indent="#   ",
            subsequent_indent="#     ",
            break_long_words=False,
        )


def _column(spec: Column) -> dict[str, Any]:
    """Only what a reader needs, the dtype first."""
    said = {"dtype": spec.dtype} | spec.model_dump(mode="json", exclude_defaults=True)
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in said.items()
    }


def _entry(found: Draft, place: tuple[str, ...], spec: Mapping[str, Any]) -> Iterator[str]:
    name = _scalar(place[-1])
    text = _flow(spec)
    if len(name) + len(text) <= WIDTH:
        yield _line(found, place, f"      {name}: {text}")
    else:
        yield f"      {name}:"
        yield _line(found, place, f"        {text}")


def _line(found: Draft, place: tuple[str, ...], text: str) -> str:
    doubt = found.doubts.get(place)
    if doubt:
        return f"{text}   {CONFIRM}: {doubt}"
    return text


def _flow(value: object) -> str:
    """A value on one line, as YAML that is safe within another."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    return text.strip()


def _scalar(text: str) -> str:
    """A text as written within a flow mapping or as a key."""
    return _flow([text])[1:-1]
