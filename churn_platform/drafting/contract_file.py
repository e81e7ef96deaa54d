"""Drafts `contract.yaml` from a folder of files, checks it on them, and writes it with the doubts
as comments.
"""

import datetime as dt
import textwrap
from collections.abc import Iterator, Mapping
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
from churn_platform.drafting.draft import Draft, draft
from churn_platform.drafting.drop_files import (
    data_files,
    detect_format,
    drops_in,
    monthly_files,
    read_tables,
)
from churn_platform.drafting.label import NoLabelError
from churn_platform.drafting.tables import Place
from churn_platform.drafting.times import guess_times

WIDTH = 110
OTHERS = 3
"""The most drops, on each side of the one that is drafted from, that the contract must accept."""
LOGS = 12
"""The most older drops whose logs show how many customers are inactive."""
MOST_OLDER = 12
"""The most older drops that are searched for a label where there is a log to make one from."""
MOST_SHOWN = 24
"""The most drops whose command to ingest them is shown."""
CONFIRM = "# confirm"
EVENT_FIELDS = ("kind", "time", "known_at", "id", "delivery")


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
    for place, inactivity in _tries(len(drops)):
        has_log = first is not None and first.has_log
        if inactivity and (not has_log or label is not None):
            break
        if has_log and not inactivity and place < len(drops) - 1 - MOST_OLDER:
            continue
        date, path = drops[place]
        older = [other for _, other in drops[:place]]
        newer = [other for _, other in drops[place + 1 :]]
        near = older[-(LOGS if inactivity else OTHERS) :] + newer[:OTHERS]
        files = data_files(path)
        _require_one_file_a_table(files)
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
                inactivity=inactivity,
            )
        except NoLabelError as error:
            first = first or error
            continue
        needed = {found.contract.file_stem(table) for table in found.contract.feature_tables}
        complete = [other for other in near if needed <= set(data_files(other))]
        _require_accepted(found, [path, *complete], as_of)
        return path, found
    raise first or UsageError(f"{folder} holds no drop.")


def _require_one_file_a_table(files: Mapping[str, Path]) -> None:
    """Refuse the months of a table as files of one drop."""
    for name, stems in monthly_files(files).items():
        raise UsageError(
            f"{', '.join(stems[:3])} seem to be the months of one table: put each into a folder"
            f" that is named by the last day of its month, as 2024-01-31/{name}.csv, and name the"
            " folder of these folders.",
            code="DRAFT_IMPOSSIBLE",
        )


def _tries(drops: int) -> Iterator[tuple[int, bool]]:
    """The places of the drops in the order in which a label is looked for, newest first; then the
    newest with a label that is made from a log.
    """
    for place in reversed(range(drops)):
        yield place, False
    yield drops - 1, True


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


def drops_to_ingest(
    folder: Path, drafted_from: Path, found: Draft
) -> list[tuple[Path, dt.date | None]]:
    """The drops that a first run needs, oldest first, each with its as_of: the one that the draft
    was made from, and the others if each holds a part of a log or a label must be made.
    """
    drops: list[tuple[Path, dt.date | None]] = [
        (path, day) for day, path in drops_in(folder).items() if day is not None
    ]
    if len(drops) > 1 and found.contract.logs:
        return drops[-MOST_SHOWN:]
    return [(drafted_from, day) for day in found.as_ofs]


def as_yaml(found: Draft) -> str:
    """The draft as the text of a contract."""
    parts = [_head(found), _tables(found), _label_and_views(found), _policy(found)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(found: Draft) -> Iterator[str]:
    contract = found.contract
    files = "files"
    if found.as_of:
        files += f" of {found.as_of}"
    size = f"{counted(len(found.rows), 'table')}, {found.customers:,} customers"
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
    if table.kind == "events":
        yield from _event_fields(found, name, table)
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
    if table.windows:
        yield "    windows:"
    for window, spec_of_window in table.windows.items():
        text = inline_yaml(spec_of_window.model_dump(exclude_defaults=True))
        yield from _entry(found, ("tables", name, "windows", window), text)


def _event_fields(found: Draft, name: str, table: Table) -> Iterator[str]:
    for field in EVENT_FIELDS:
        value = getattr(table, field)
        if value is not None:
            yield _line(found, ("tables", name, field), f"    {field}: {inline_yaml(value)}")


def _label_and_views(found: Draft) -> Iterator[str]:
    contract = found.contract
    yield from _label(found)
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


def _label(found: Draft) -> Iterator[str]:
    label = found.contract.label
    if label.no_event is not None:
        yield f"# A customer without an event of {label.no_event.table} in the days after the as_of"
        yield "# churned. The shares are of earlier as_ofs, whose outcome is known."
        yield "label:"
        yield "  no_event:"
        for field, value in label.no_event.model_dump(exclude_defaults=True).items():
            place = ("label", "no_event", field)
            yield _line(found, place, f"    {field}: {inline_yaml(value)}")
        return
    horizon = label.horizon.model_dump(exclude_defaults=True) or {"months": 0}
    fields = label.model_dump(mode="json", exclude_defaults=True, exclude={"horizon"})
    fields |= {"horizon": horizon, "period": label.period}
    yield _line(found, ("label",), f"label: {inline_yaml(fields)}")


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
    for name in ("ingestion", "training", "contacts"):
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
            break_on_hyphens=False,
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
