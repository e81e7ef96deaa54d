"""Proposes the change of a contract under which the files of a new month can be published: what
is new, gone, renamed, moved, or written in another way.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Column, Contract
from churn_platform.contract.parts import KeySpelling
from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.words import (
    counted,
    description,
    free_name,
    is_personal,
    known_late,
    valid_name,
)
from churn_platform.drafting.yaml_edits import Edit, parsed, with_edits
from churn_platform.ingestion.renames import likely_renames, likely_spelling


@dataclass(frozen=True)
class MonthBefore:
    """What the newest published month shows, by table of the contract.

    Attributes:
        headers: The columns of its files, also those that the contract leaves out.
        values: Column of a `category` -> its values, with the number of rows.
        keys: Its keys.
    """

    headers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    keys: Mapping[str, pd.Series] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """A contract that accepts a month's files, as text and as a value."""

    text: str
    contract: Contract
    edits: tuple[Edit, ...]


def update_for(
    contract: Contract,
    text: str,
    frames: Mapping[str, pd.DataFrame],
    as_of: dt.date,
    before: MonthBefore,
) -> Update:
    """The contract with what the files of a month show to have changed from that month on.

    Args:
        contract: the contract in use.
        text: its file; comments and order stay.
        frames: the tables of the drop by file stem, column names as in the files.
        as_of: the month.
        before: what the month before shows.

    Raises:
        UsageError: a file lacks the key.
    """
    edits = tuple(_Comparison(contract, frames, as_of, before).edits())
    changed = with_edits(text, edits)
    return Update(changed, Contract.model_validate(parsed(changed)), edits)


class _Comparison:
    """The files of a month next to the contract."""

    def __init__(
        self,
        contract: Contract,
        frames: Mapping[str, pd.DataFrame],
        as_of: dt.date,
        before: MonthBefore,
    ) -> None:
        self._contract = contract
        self._month = contract.delivery(as_of)
        self._frames = frames
        self._as_of = as_of
        self._before = before
        self._key = contract.key.source or contract.entity.column
        self._taken = {
            name for table in contract.tables.values() for name in (*table.columns, *table.ages)
        }
        stems = {self._month.file_stem(name): name for name in self._month.deliverable}
        self._tables = {name: frames[stem] for stem, name in stems.items() if stem in frames}
        self._new_stems = [stem for stem in frames if stem not in stems]

    def edits(self) -> Iterator[Edit]:
        """Every proposal, in the order of the contract."""
        self._require_keys()
        missing = {name: self._missing(name) for name in self._tables}
        moved = list(self._moved(missing))
        yield from moved
        elsewhere = {column for edit in moved for column in edit.value["columns"]}
        yield from self._ended(missing, elsewhere)
        for name, frame in self._tables.items():
            yield from self._new_columns(name, frame)
            yield from self._values(name, frame)
            yield from self._spelling(name, frame)
        files = {edit.path[-1] for edit in moved}
        for stem in self._new_stems:
            if stem not in files:
                yield from self._new_table(stem)

    def _moved(self, missing: Mapping[str, Mapping[str, str]]) -> Iterator[Edit]:
        """Columns that a new file holds in place of their table's."""
        for stem in self._new_stems:
            held = self._frames[stem].columns
            for name, columns in missing.items():
                here = [own for own, header in columns.items() if header in held]
                if here and name in self._contract.tables:
                    part = {"columns": here, "since": self._as_of}
                    path = ("tables", name, "parts", stem)
                    yield Edit(path, part, f"{stem} is a new file")

    def _ended(
        self, missing: Mapping[str, Mapping[str, str]], elsewhere: Collection[str]
    ) -> Iterator[Edit]:
        """Columns and tables that the files no longer have."""
        for name, columns in missing.items():
            for own in columns:
                if own not in elsewhere:
                    yield Edit(("tables", name, "columns", own, "until"), self._as_of)
        if not any(name in self._tables for name in self._month.feature_tables):
            return  # labels alone, of a month whose other tables came before
        for name in self._month.feature_tables:
            if name not in self._tables and name not in self._month.pulled:
                yield Edit(("tables", name, "until"), self._as_of)

    def _require_keys(self) -> None:
        for name, frame in self._tables.items():
            if self._key not in frame:
                raise UsageError(
                    f"{self._month.file_stem(name)} has no column {self._key!r}, the customer's"
                    " key; if it has another header now, write that into entity.source.",
                    code="KEY_NOT_FOUND",
                )

    def _missing(self, name: str) -> dict[str, str]:
        """Columns of the contract that a file lacks -> their headers; labels may come later."""
        label = (self._month.label.table, self._month.label.column)
        return {
            own: column.source or own
            for own, column in self._month.delivered(name).items()
            if (column.source or own) not in self._tables[name]
            and own != self._month.entity.column
            and (name, own) != label
        }

    def _new_columns(self, name: str, frame: pd.DataFrame) -> Iterator[Edit]:
        views = self._contract.feature_views.values()
        if name == self._contract.label.table and all(view.table != name for view in views):
            return  # delivered with the label, perhaps the label itself
        known = {column.source or own for own, column in self._month.delivered(name).items()}
        known |= self._before.headers.get(name, frozenset())
        features = []
        for header in map(str, frame.columns):
            if header in known or name not in self._contract.tables:
                continue
            own = free_name(valid_name(header), name, self._taken)
            column, doubt = _guessed(header, own, frame[header])
            if column is None:
                continue
            since = column.model_copy(update={"since": self._as_of})
            yield Edit(("tables", name, "columns", own), since, doubt)
            if column.dtype != "date":
                features.append(own)
        yield from self._features(name, features)

    def _features(self, table: str, features: list[str]) -> Iterator[Edit]:
        if not features:
            return
        views = self._contract.feature_views.items()
        place = next((name for name, view in views if view.table == table), None)
        if place is None:
            view = {"table": table, "features": features}
            yield Edit(("feature_views", f"{table}_fv"), view)
        else:
            known = list(self._contract.feature_views[place].features)
            yield Edit(("feature_views", place, "features"), known + features)

    def _values(self, name: str, frame: pd.DataFrame) -> Iterator[Edit]:
        for own, column in self._month.delivered(name).items():
            header = column.source or own
            if column.dtype != "category" or header not in frame:
                continue
            counts = (
                frame[header]
                .dropna()
                .astype(str)
                .replace(column.names_kept(self._as_of))
                .value_counts()
            )
            now = {str(value): int(rows) for value, rows in counts.items() if str(value)}
            then = self._before.values.get(name, {}).get(own, {})
            listed = column.values if column.values is not None else tuple(then)
            new = {v: n for v, n in now.items() if v not in listed and v not in column.missing}
            gone = {v: n for v, n in then.items() if v not in now}
            pairs = likely_renames(new, gone) if listed else {}
            table = next((t for t in self._contract.tables if own in self._columns(t)), name)
            path = ("tables", table, "columns", own)
            for value, was in pairs.items():
                says = f"{value!r} is new in {new[value]:,} rows, {was!r} is gone: a rename?"
                spec = {"was": was, "since": self._as_of}
                yield Edit((*path, "renamed", value), spec, says)
            others = [value for value in new if value not in pairs]
            if column.values is not None and others:
                yield Edit((*path, "values"), [*column.values, *others], "new values")

    def _columns(self, table: str) -> Mapping[str, Column]:
        return self._contract.tables[table].columns

    def _spelling(self, name: str, frame: pd.DataFrame) -> Iterator[Edit]:
        known = self._before.keys.get(name)
        if known is None or name not in self._contract.tables:
            return
        found = self._spelled(frame, known)
        if found is not None:
            given = self._contract.tables[name].key_spellings
            doubt = self._spelling_doubt(frame, found)
            yield Edit(("tables", name, "key_spellings"), [*given, found], doubt)

    def _spelled(self, frame: pd.DataFrame, known: pd.Series) -> KeySpelling | None:
        """The spelling of a file's keys from this month on, if it is another one."""
        found = likely_spelling(frame[self._key], known)
        if found is None:
            return None
        return found.model_copy(update={"since": self._as_of})

    def _spelling_doubt(self, frame: pd.DataFrame, spelling: KeySpelling) -> str:
        example = str(frame[self._key].iloc[0])
        return f"{example!r} is read as {spelling.read(example)!r}"

    def _new_table(self, stem: str) -> Iterator[Edit]:
        frame = self._frames[stem]
        if self._key not in frame or frame[self._key].duplicated().any():
            return
        name = free_name(valid_name(stem, "table"), "table", set(self._contract.tables))
        columns = {}
        doubts = []
        for header in map(str, frame.columns):
            if header == self._key:
                continue
            own = free_name(valid_name(header), name, self._taken)
            column, doubt = _guessed(header, own, frame[header])
            if column is not None:
                columns[own] = column
                doubts += [f"{own}: {doubt}"] if doubt else []
        if not columns:
            return
        table: dict[str, Any] = {"since": self._as_of, "columns": columns}
        if stem != name:
            table["file"] = stem
        known = next(iter(self._before.keys.values()), pd.Series(dtype=object))
        spelling = self._spelled(frame, known)
        if spelling is not None:
            table["key_spellings"] = [spelling]
            doubts.append(self._spelling_doubt(frame, spelling))
        yield Edit(("tables", name), table, "; ".join(doubts))
        features = [own for own, spec in columns.items() if spec.dtype not in ("date", "string")]
        if features:
            yield Edit(("feature_views", f"{name}_fv"), {"table": name, "features": features})


def _guessed(header: str, own: str, values: pd.Series) -> tuple[Column | None, str]:
    """A new column in words, and why to confirm it; None if nothing can be learned from it."""
    guess = guess_column(header, values)
    column = guess.column
    if guess.useless or column.dtype == "string" or (is_personal(header) and guess.unique):
        return None, ""
    words = {"source": "" if header == own else header}
    if column.dtype != "date":
        phrase = counted(own) if column.dtype == "integer" else ""
        words |= {"description": description(own), "phrase": phrase}
    doubt = guess.doubt
    if known_late(header):
        doubt = "its name suggests that it is known only after churning"
    return column.model_copy(update=words), doubt
