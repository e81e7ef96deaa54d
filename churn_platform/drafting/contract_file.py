"""Drafts `contract.yaml` from a folder of files, checks it on them, and writes it with the doubts
as comments.
"""

import datetime as dt
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted
from churn_platform.contract.model import Column, Table
from churn_platform.contract.parts import FileFormat
from churn_platform.contract.policy import Policy
from churn_platform.contract.reading import SCHEMA_FILE
from churn_platform.drafting.check import check_drops
from churn_platform.drafting.contacts import HORIZON_NEEDED, ContactDraft
from churn_platform.drafting.draft import Draft, draft, guess_times
from churn_platform.drafting.drop_files import data_files, detect_format, drops_in, read_tables
from churn_platform.drafting.label import NoLabelError
from churn_platform.drafting.tables import Place

WIDTH = 110
OTHERS = 3
"""The most drops, on each side of the one that is drafted from, that the contract must accept."""
CONFIRM = "# confirm"


def draft_from(
    folder: Path,
    *,
    name: str,
    as_of: dt.date | None = None,
    entity: str | None = None,
    label: str | None = None,
) -> tuple[Path, Draft]:
    """The newest drop under `folder` that has labels, and the draft from it; the other drops
    show the cadence.

    Raises:
        UsageError: there is no file, no key or label can be guessed from any drop, or the draft
            would refuse a drop that it was made from.
    """
    drops = list(drops_in(folder).items())
    dates = [date for date, _ in drops if date is not None]
    first: NoLabelError | None = None
    for place in reversed(range(len(drops))):
        date, path = drops[place]
        older = [other for _, other in drops[:place]]
        newer = [other for _, other in drops[place + 1 :]]
        near = older[-OTHERS:] + newer[:OTHERS]
        files = data_files(path)
        written = detect_format(files.values())
        others = [read_tables(data_files(other), written) for other in near]
        try:
            found = draft(
                read_tables(files, written),
                name=name,
                others=others,
                later={stem for other in newer for stem in files if stem not in data_files(other)},
                as_of=date or as_of,
                files=written,
                times=guess_times(dates, date),
                entity=entity,
                label=label,
            )
        except NoLabelError as error:
            first = first or error
            continue
        needed = {found.contract.file_stem(table) for table in found.contract.feature_tables}
        complete = [other for other in near if needed <= set(data_files(other))]
        _require_accepted(found, [path, *complete], as_of)
        return path, found
    raise first or UsageError(f"{folder} holds no drop.")


def _require_accepted(found: Draft, drops: list[Path], as_of: dt.date | None) -> None:
    """Refuse a draft that would refuse the files that it was made from."""
    for drop in drops:
        lines = check_drops(found.contract, drop, undated=as_of)
        faults = [line.says for line in lines if line.state == "fail"]
        if faults:
            first = f"{drop.name}: {faults[0]}"
            if len(faults) > 1:
                first += f" ({len(faults) - 1} more)"
            raise UsageError(
                "No draft was written, because the drafted contract would refuse these files: "
                f"{first}",
                code="DRAFT_IMPOSSIBLE",
            )


def as_yaml(found: Draft) -> str:
    """The draft as the text of a contract."""
    parts = [_head(found), _tables(found), _label_and_views(found), _policy(found)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(found: Draft) -> Iterator[str]:
    contract = found.contract
    files = "files"
    if found.as_of:
        files += f" of {found.as_of}"
    events = contract.event_tables
    customers = max(rows for table, rows in found.rows.items() if table not in events)
    size = f"{counted(len(found.rows), 'table')}, {customers:,} customers"
    yield f"# yaml-language-server: $schema={SCHEMA_FILE}"
    yield "# Every field: docs/contract.md, or `churn contract schema`."
    yield f"# Drafted by `churn init --from-drop` from the {files}: {size}."
    yield f'# Check every "{CONFIRM}". A column that was left out is a comment with the reason.'
    yield "# To use it, remove the comment sign and add the column to feature_views."
    yield f"name: {inline_yaml(contract.name)}"
    yield f"model_name: {inline_yaml(contract.model_name)}"
    yield 'description: ""      # what the business sells, who its customers are, what churn is'
    entity = contract.entity.model_dump(exclude_defaults=True) | {"dtype": contract.entity.dtype}
    yield _line(found, ("entity",), f"entity: {inline_yaml(entity)}")
    yield _line(found, ("cadence",), f"cadence: {contract.cadence}")
    yield _line(found, ("delivery_days",), f"delivery_days: {contract.delivery_days}")
    if contract.files != FileFormat():
        usual = contract.files.model_dump(include={"delimiter", "decimal", "encoding"})
        others = contract.files.model_dump(mode="json", exclude_defaults=True)
        yield _line(found, ("files",), f"files: {inline_yaml(usual | others)}")


def _tables(found: Draft) -> Iterator[str]:
    yield "tables:"
    for out in found.left_out:
        if not out.column:
            yield f"  # left out: {out.table}: {out.reason}"
    for name, table in found.contract.tables.items():
        yield from _table(found, name, table)
    waiting = _waiting(found)
    if waiting is not None:
        yield from (f"  # {line[2:]}" for line in _table(found, waiting.table, waiting.declared))
    for out in found.left_out:
        known = waiting is not None and out.table == waiting.table
        if out.column and out.table not in found.contract.tables and not known:
            yield f"  # left out: {out.table}.{out.column}: {out.reason}"


def _table(found: Draft, name: str, table: Table) -> Iterator[str]:
    yield _line(found, ("tables", name), f"  {inline_yaml(name)}:")
    if table.file:
        yield f"    file: {inline_yaml(table.file)}"
    yield "    columns:"
    for column, spec in table.columns.items():
        yield from _entry(found, ("tables", name, "columns", column), _column(spec))
    for out in found.left_out:
        if out.table == name and out.spec is not None:
            text = f"{inline_yaml(out.column)}: {_column(out.spec)}"
            yield f"      # {text}   # left out: {out.reason}"
    if table.ages:
        yield "    ages:"
        for age, made in table.ages.items():
            text = inline_yaml(made.model_dump(exclude_defaults=True))
            yield from _entry(found, ("tables", name, "ages", age), text)


def _label_and_views(found: Draft) -> Iterator[str]:
    contract = found.contract
    horizon = contract.label.horizon.model_dump(exclude_defaults=True) or {"months": 0}
    label = contract.label.model_dump(mode="json", exclude_defaults=True, exclude={"horizon"})
    label |= {"horizon": horizon, "period": contract.label.period}
    yield _line(found, ("label",), f"label: {inline_yaml(label)}")
    yield ""
    yield "feature_views:"
    for name, view in contract.feature_views.items():
        text = f"{{table: {inline_yaml(view.table)}, features: {inline_yaml(list(view.features))}}}"
        yield f"  {inline_yaml(name)}:"
        yield from textwrap.wrap(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6)
    yield ""
    yield _line(found, ("slices",), f"slices: {inline_yaml(list(contract.slices))}")
    # A comment, because `Contract.costs_given` must stay false until a person gives costs.
    yield (
        f"# costs: {{missed_churner: 5, needless_contact: 1}}   {CONFIRM}: only their ratio matters"
    )
    for costs in found.costs:
        yield f"# costs: {inline_yaml(costs.model_dump())}   # or each customer's own"
    if found.contacts is not None:
        yield ""
        yield from _contacts(found, found.contacts)


def _waiting(found: Draft) -> ContactDraft | None:
    """The table of contacts that is not a part of the contract yet."""
    return found.contacts if found.contract.contacts is None else None


def _contacts(found: Draft, made: ContactDraft) -> Iterator[str]:
    """The section `contacts`, every line to confirm; a comment while the label is known at the
    as_of.
    """
    sign = ""
    if found.contract.contacts is None:
        sign = "# "
        yield f"# To use the contacts, {HORIZON_NEEDED}."
        yield f"# Then remove the comment signs below and at the table {made.table}, and add"
        budget = f"contacts: {{budget: {made.budget}}}"
        yield f"# to policy:   {budget}   {CONFIRM}: {made.doubts['budget']}"
    yield f"{sign}contacts:"
    fields = made.contacts.model_dump(mode="json", exclude_defaults=True)
    for name, value in fields.items():
        yield f"{sign}  {name}: {inline_yaml(value)}   {CONFIRM}: {made.doubts[name]}"
    objections = found.objections
    if objections.column:
        yield f"{sign}do_not_contact: {objections.column}   {CONFIRM}: {objections.doubt}"
    if objections.remedy:
        yield from textwrap.wrap(
            f"{objections.remedy}.", WIDTH, initial_indent="# ", subsequent_indent="# "
        )


def _policy(found: Draft) -> Iterator[str]:
    """What differs from the defaults, and the defaults as comments, so a draft fixes none of
    them.
    """
    policy = found.contract.policy
    drafted = {}
    for name in ("ingestion", "contacts"):
        drafted[name] = getattr(policy, name).model_dump(exclude_defaults=True)
    if found.contract.contacts is not None:
        drafted["contacts"] = {"budget": policy.contacts.budget}
    drafted = {name: part for name, part in drafted.items() if part}
    if drafted:
        yield "policy:"
        for name, part in drafted.items():
            yield _line(found, ("policy", name), f"  {name}: {inline_yaml(part)}")
    head = "#" if drafted else "# policy:                #"
    yield f"{head} the defaults; docs/criteria.md shows what moves a decision"
    for name, part in Policy().model_dump(mode="json").items():
        yield from textwrap.wrap(
            f"{name}: {inline_yaml(part)}",
            WIDTH,
            initial_indent="#   ",
            subsequent_indent="#     ",
            break_long_words=False,
        )


def _column(spec: Column) -> str:
    """The fields that differ from the defaults, the dtype first, bounds without a fraction."""
    fields = {"dtype": spec.dtype} | spec.model_dump(mode="json", exclude_defaults=True)
    for name, value in fields.items():
        if isinstance(value, float) and value.is_integer():
            fields[name] = int(value)
    return inline_yaml(fields)


def _entry(found: Draft, place: Place, text: str) -> Iterator[str]:
    name = inline_yaml(place[-1])
    if len(name) + len(text) <= WIDTH:
        yield _line(found, place, f"      {name}: {text}")
    else:
        yield f"      {name}:"
        yield _line(found, place, f"        {text}")


def _line(found: Draft, place: Place, text: str) -> str:
    doubt = found.doubts.get(place)
    if doubt:
        return f"{text}   {CONFIRM}: {doubt}"
    return text


def inline_yaml(value: object) -> str:
    """A value on one line, as YAML that is safe within another."""
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    return text.strip()[1:-1]
