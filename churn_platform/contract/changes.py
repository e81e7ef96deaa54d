"""The difference between two contracts: in words, and what of it published months forbid."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from churn_platform.base.digests import canonical_json
from churn_platform.contract.columns import Column
from churn_platform.contract.outcome import Label
from churn_platform.contract.parts import Table
from churn_platform.contract.views import why_not_readable

if TYPE_CHECKING:
    from churn_platform.contract.model import Contract


EVENT_FIELDS = ("kind", "time", "known_at", "id", "time_zone", "delivery")
"""What published events are read by, and which deliveries count."""


@dataclass(frozen=True)
class ContractChange:
    """One difference between two contracts.

    Attributes:
        where: The part of the contract, as a path.
        sentence: What changed.
        refused: Why it cannot be applied to this home, and the way that works; empty if it can.
    """

    where: str
    sentence: str
    refused: str = ""

    @property
    def refusal(self) -> str:
        """Where, what changed, and why it cannot be applied."""
        return f"{self.where}: {self.sentence}. {self.refused}"


def changes_between(old: "Contract", new: "Contract") -> list[ContractChange]:
    """Every difference, in the order of the contract."""
    return [*_entity(old, new), *_tables(old, new), *_label(old.label, new.label), *_rest(old, new)]


def refused_changes(
    old: "Contract",
    new: "Contract",
    months: Sequence[dt.date],
    versions: Mapping[int, "Contract"],
) -> list[ContractChange]:
    """What would make published months unreadable, or a released version unable to score.

    Args:
        old: the contract under which the months were published.
        new: the contract that replaces it.
        months: the published months.
        versions: what each released version reads.
    """
    if not months:
        return []
    return [
        *_other_business(old, new),
        *_months_read_otherwise(old, new, months),
        *_versions_left_behind(old, new, versions),
    ]


def _entity(old: "Contract", new: "Contract") -> Iterator[ContractChange]:
    yield from _fields("entity", old.entity, new.entity)
    for field in ("name", "model_name", "description", "cadence", "delivery_days"):
        before = getattr(old, field)
        after = getattr(new, field)
        if before != after:
            yield ContractChange(field, f"{field} was {before!r} and is {after!r}")
    yield from _fields("files", old.files, new.files)


def _tables(old: "Contract", new: "Contract") -> Iterator[ContractChange]:
    for name in _both(old.tables, new.tables):
        where = f"tables.{name}"
        before = old.tables.get(name)
        after = new.tables.get(name)
        if before is None:
            since = after.since if after is not None else None
            yield ContractChange(where, f"table {name} was added{_from(since)}")
        elif after is None:
            yield ContractChange(where, f"table {name} was removed")
        else:
            yield from _table(name, before, after)
    for name in _both(old.feature_views, new.feature_views):
        yield from _view(old, new, name)


def _table(name: str, old: Table, new: Table) -> Iterator[ContractChange]:
    for own in _both(old.columns, new.columns):
        where = f"tables.{name}.columns.{own}"
        before = old.columns.get(own)
        after = new.columns.get(own)
        if before is None and after is not None:
            text = f"column {name}.{own} ({after.dtype}) was added{_from(after.since)}"
            yield ContractChange(where, text)
        elif after is None:
            yield ContractChange(where, f"column {name}.{own} was removed")
        elif before is not None and before != after:
            yield from _column(where, f"{name}.{own}", before, after)
    yield from _ages(name, old, new)
    yield from _windows(name, old, new)
    yield from _parts(name, old, new)
    if old.key_spellings != new.key_spellings:
        where = f"tables.{name}.key_spellings"
        since = new.key_spellings[-1].since if new.key_spellings else None
        yield ContractChange(where, f"the keys of {name} are written in another way{_from(since)}")
    apart = {"columns", "ages", "windows", "parts", "key_spellings"}
    for file, since in new.files.items():
        if old.files.get(file) != since:
            text = f"table {name} is in the file {file!r} from {since} on"
            yield ContractChange(f"tables.{name}.files", text)
    if set(old.files) <= set(new.files):
        apart.add("files")
    if old.until != new.until and new.until is not None:
        yield ContractChange(
            f"tables.{name}.until", f"table {name} ends: {new.until} is without it"
        )
        apart.add("until")
    yield from _fields(f"tables.{name}", old, new, without=apart)


def _ages(name: str, old: Table, new: Table) -> Iterator[ContractChange]:
    for own in _both(old.ages, new.ages):
        where = f"tables.{name}.ages.{own}"
        if own not in old.ages:
            yield ContractChange(where, f"age {name}.{own} was added")
        elif own not in new.ages:
            yield ContractChange(where, f"age {name}.{own} was removed")
        else:
            yield from _fields(where, old.ages[own], new.ages[own])


def _windows(name: str, old: Table, new: Table) -> Iterator[ContractChange]:
    for own in _both(old.windows, new.windows):
        where = f"tables.{name}.windows.{own}"
        if own not in old.windows:
            made = new.windows[own]
            text = f"window {name}.{own} ({made.aggregate}, {made.window}) was added"
            yield ContractChange(where, text)
        elif own not in new.windows:
            yield ContractChange(where, f"window {name}.{own} was removed")
        else:
            yield from _fields(where, old.windows[own], new.windows[own])


def _parts(name: str, old: Table, new: Table) -> Iterator[ContractChange]:
    for stem in _both(old.parts, new.parts):
        part = new.parts.get(stem)
        if old.parts.get(stem) == part:
            continue
        if part is None:
            text = f"the file {stem!r} no longer holds a part of table {name}"
        else:
            held = ", ".join(part.columns)
            text = f"the file {stem!r} holds {held} of table {name}{_from(part.since)}"
        yield ContractChange(f"tables.{name}.parts.{stem}", text)


def _column(where: str, name: str, old: Column, new: Column) -> Iterator[ContractChange]:
    if old.until != new.until and new.until is not None:
        yield ContractChange(f"{where}.until", f"column {name} ends: {new.until} is without it")
        old = old.model_copy(update={"until": new.until})
    yield from _later_headers(where, name, old, new)
    if old.sources.items() <= new.sources.items():
        old = old.model_copy(update={"sources": new.sources})
    yield from _renamed_values(where, name, old, new)
    if set(old.renamed) <= set(new.renamed):
        old = old.model_copy(update={"renamed": new.renamed})
    if old.values is not None and new.values is not None:
        added = [value for value in new.values if value not in old.values]
        gone = [value for value in old.values if value not in new.values]
        for text, values in (("may have", added), ("may no longer have", gone)):
            if values:
                listed = ", ".join(map(repr, values))
                yield ContractChange(f"{where}.values", f"{name} {text} {listed}")
        if added or gone:
            old = old.model_copy(update={"values": new.values})
    yield from _fields(where, old, new)


def _renamed_values(where: str, name: str, old: Column, new: Column) -> Iterator[ContractChange]:
    for value in _both(old.renamed, new.renamed):
        if old.renamed.get(value) != new.renamed.get(value) and value in new.renamed:
            kept = new.renamed[value]
            if isinstance(kept, str):
                text = f"{value!r} in {name} is the new name of {kept!r}"
            else:
                text = f"{value!r} in {name} is the new name of {kept.was!r}{_from(kept.since)}"
            yield ContractChange(f"{where}.renamed", text)


def _later_headers(where: str, name: str, old: Column, new: Column) -> Iterator[ContractChange]:
    for header, since in new.sources.items():
        if old.sources.get(header) != since:
            text = f"column {name} has the header {header!r} from {since} on"
            yield ContractChange(f"{where}.sources", text)


def _view(old: "Contract", new: "Contract", name: str) -> Iterator[ContractChange]:
    where = f"feature_views.{name}"
    before = old.feature_views.get(name)
    after = new.feature_views.get(name)
    had = before.features if before else ()
    has = after.features if after else ()
    added = [feature for feature in has if feature not in old.features]
    gone = [feature for feature in had if feature not in new.features]
    if added:
        yield ContractChange(where, f"candidates learn from {', '.join(added)}")
    if gone:
        yield ContractChange(where, f"candidates no longer learn from {', '.join(gone)}")
    if before != after and not (added or gone):
        yield ContractChange(where, f"feature view {name} changed")


def _label(old: Label, new: Label) -> Iterator[ContractChange]:
    if old == new:
        return
    since = _from(new.since)
    known = f"known {_span(new)} after the as_of"
    text = f"churn is {new.in_words}, {known}{since}"
    yield ContractChange("label", text)


def _rest(old: "Contract", new: "Contract") -> Iterator[ContractChange]:
    if old.slices != new.slices:
        yield ContractChange("slices", f"slices are {', '.join(new.slices) or 'none'}")
    if old.contacts != new.contacts:
        recorded = "not recorded"
        if new.contacts is not None:
            recorded = f"recorded in table {new.contacts.table}"
        yield ContractChange("contacts", f"contacts with customers are {recorded}")
    if old.do_not_contact != new.do_not_contact:
        text = f"customers who object are in {new.do_not_contact or 'no column'}"
        yield ContractChange("do_not_contact", text)


def _other_business(old: "Contract", new: "Contract") -> Iterator[ContractChange]:
    for field in ("column", "dtype"):
        before = getattr(old.entity, field)
        after = getattr(new.entity, field)
        if before != after:
            yield ContractChange(
                f"entity.{field}",
                f"entity.{field} was {before!r} and is {after!r}",
                "The published months and all versions are by the old key. Put it back; if only"
                " its header changed, set entity.source; if its values are written in another"
                " way, set key_spellings of the tables.",
            )
    for field in ("name", "model_name"):
        if getattr(old, field) != getattr(new, field):
            yield ContractChange(
                field,
                f"{field} was {getattr(old, field)!r} and is {getattr(new, field)!r}",
                "The versions of this home are registered under the old name. Put it back.",
            )


def _months_read_otherwise(
    old: "Contract", new: "Contract", months: Sequence[dt.date]
) -> Iterator[ContractChange]:
    """What published months do not hold, or hold in another dtype; each once, by the newest
    such month.
    """
    found: dict[str, ContractChange] = {}
    after = max(months)
    for month in sorted(months, reverse=True):
        before = old.at(month)
        now = new.at(month)
        for table, columns in now.tables.items():
            if table in now.event_tables and table not in before.tables:
                continue  # a drop need not have it
            for change in _events_read_otherwise(before, now, table, month):
                found.setdefault(change.where, change)
            held = before.tables[table].columns if table in before.tables else {}
            for own, column in columns.columns.items():
                where = f"tables.{table}.columns.{own}"
                if own not in held:
                    found.setdefault(where, _lacking(where, f"{table}.{own}", month, after))
                elif held[own].dtype != column.dtype:
                    found.setdefault(where, _retyped(where, held[own], column, month))
        if _definition(old.label.at(month)) != _definition(new.label.at(month)):
            change = _relabelled(month, after)
            if new.label.no_event is not None or old.label.no_event is not None:
                change = _made_otherwise(month)
            found.setdefault("label", change)
    yield from found.values()


def _events_read_otherwise(
    old: "Contract", new: "Contract", name: str, month: dt.date
) -> Iterator[ContractChange]:
    """What decides the day and the identity of published events, and what a window means: months
    as they were scored keep the values of before.
    """
    if name not in old.tables:
        return
    before = old.tables[name]
    after = new.tables[name]
    for field in EVENT_FIELDS:
        was = getattr(before, field)
        now = getattr(after, field)
        if was != now:
            yield ContractChange(
                f"tables.{name}.{field}",
                f"{field} was {was!r} and is {now!r}, and {month} is published so",
                "Put it back, or declare the log as another table with `since:` and `file:`.",
            )
    for own in before.windows:
        if own in after.windows and before.windows[own].made_of != after.windows[own].made_of:
            yield ContractChange(
                f"tables.{name}.windows.{own}",
                f"it is made in another way, and {month} is published as it was",
                "Put it back, and add the other window under a name of its own: it is made for"
                " the published months, too.",
            )


def _lacking(where: str, name: str, month: dt.date, newest: dt.date) -> ContractChange:
    return ContractChange(
        where,
        f"{name} was added, and the published month {month} does not have it",
        f"Give it `since:` with the first month that has it, after {newest}.",
    )


def _retyped(where: str, old: Column, new: Column, month: dt.date) -> ContractChange:
    return ContractChange(
        where,
        f"its dtype was {old.dtype} and is {new.dtype}, and {month} is published as {old.dtype}",
        "Put the dtype back, or add a column under another name with `since:` and `source:`,"
        " and give this one `until:`.",
    )


def _relabelled(month: dt.date, newest: dt.date) -> ContractChange:
    return ContractChange(
        "label",
        f"the definition of churn changed for {month}, whose snapshot is published",
        f"Give the new definition `since:` with a month after {newest}, and put the old one"
        " into `earlier:`.",
    )


def _made_otherwise(month: dt.date) -> ContractChange:
    return ContractChange(
        "label",
        f"the definition of churn changed for {month}, whose snapshot is published",
        "Put it back. Models of two definitions cannot be compared, so another inactivity label"
        " needs a home of its own.",
    )


def _versions_left_behind(
    old: "Contract", new: "Contract", versions: Mapping[int, "Contract"]
) -> Iterator[ContractChange]:
    """Tables and columns that a released version reads and that are gone, each once."""
    for number, version in sorted(versions.items(), reverse=True):
        why = why_not_readable(new, version)
        if why and not why_not_readable(old, version):
            yield ContractChange(
                "tables",
                f"version {number} cannot score: {why}",
                "Put it back. If new drops do not have it, give it `until:` with the first month"
                " without it.",
            )
            return


def _fields(
    where: str, old: BaseModel, new: BaseModel, without: Collection[str] = ()
) -> Iterator[ContractChange]:
    """Each field of one part that differs."""
    before = old.model_dump(mode="json", exclude=set(without))
    after = new.model_dump(mode="json", exclude=set(without))
    for field, value in after.items():
        if before[field] != value:
            shown = f"was {canonical_json(before[field])} and is {canonical_json(value)}"
            yield ContractChange(f"{where}.{field}", f"{where}.{field} {shown}")


def _definition(label: Label) -> tuple[object, ...]:
    made = (label.table, label.column, label.horizon, label.inverted, label.since)
    return made if label.no_event is None else (*made, label.no_event)


def _span(label: Label) -> str:
    parts = label.horizon.model_dump(exclude_defaults=True)
    return (
        " and ".join(f"{n} {unit if n > 1 else unit[:-1]}" for unit, n in parts.items()) or "0 days"
    )


def _from(since: dt.date | None) -> str:
    return "" if since is None else f" from {since} on"


def _both(old: Collection[str], new: Collection[str]) -> list[str]:
    return list(dict.fromkeys([*old, *new]))
