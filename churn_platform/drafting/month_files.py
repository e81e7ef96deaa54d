"""The files of a month next to the contract: each change that they show."""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.drafting.columns import new_column
from churn_platform.drafting.contact_updates import (
    ContactUpdate,
    new_contacts,
    renamed_contact_headers,
    sheet_of,
    why_not_ended,
)
from churn_platform.drafting.log_updates import (
    as_read,
    form_of,
    new_column_of_log,
    new_log,
    why_needed,
)
from churn_platform.drafting.month_keys import MonthBefore, MonthKeys
from churn_platform.drafting.words import free_name, valid_name
from churn_platform.drafting.yaml_edits import Edit
from churn_platform.ingestion.conversion import Writing, convert
from churn_platform.ingestion.renames import (
    likely_headers,
    likely_renames,
    likely_spelling,
)
from churn_platform.ingestion.rules import read_keys


class MonthFiles:
    """What the files of a month propose, one kind of change after the other."""

    def __init__(
        self,
        contract: Contract,
        frames: Mapping[str, pd.DataFrame],
        as_of: dt.date,
        before: MonthBefore,
        skip: Collection[str],
    ) -> None:
        self._contract = contract
        self._month = contract.delivery(as_of)
        self._frames = frames
        self._as_of = as_of
        self._before = before
        self._skip = skip
        self._key = contract.key.source or contract.entity.column
        self._keys = MonthKeys(contract, as_of, before.tables)
        self._taken = {
            name.lower()
            for table in contract.tables.values()
            for name in (*table.columns, *table.ages, *table.windows)
        }
        stems = {self._month.file_stem(name): name for name in self._month.deliverable}
        self._tables = {name: frames[stem] for stem, name in stems.items() if stem in frames}
        self._new_stems = [stem for stem in frames if stem not in stems]
        self._explained: set[tuple[str, str]] = set()
        """Missing columns of a file that are somewhere else, or have another header."""
        self._renamed: dict[tuple[str, str], str] = {}
        """Columns of a file that have another header -> the header."""
        self._learned: dict[str, list[str]] = {}
        """The new features of a view."""
        self._dtypes: dict[str, str] = {}
        """The dtypes of new columns."""
        self.left_out: list[str] = []
        self.skipped: set[str] = set()

    def edits(self) -> Iterator[Edit]:
        """Every proposal, in the order of the contract."""
        yield from self._kept(self._renamed_files())
        self._require_keys()
        missing = {name: self._missing(name) for name in self._tables}
        yield from self._kept(self._moved(missing))
        yield from self._kept(self._renamed_headers(missing))
        yield from self._kept(self._ended_columns(missing))
        yield from self._kept(self._ended_tables())
        for name, frame in self._tables.items():
            yield from self._new_columns(name, frame)
            yield from self._kept(self._values(name, frame))
            yield from self._kept(self._spelling(name, frame))
        for stem in self._new_stems:
            contacts = self._new_contacts(stem)
            if contacts is None:
                yield from self._new_table(stem)
                continue
            self.left_out += contacts.left_out
            if all(self._wanted(edit.path) for edit in contacts.edits[:2]):
                yield from self._kept(contacts.edits)

    def _kept(self, edits: Iterable[Edit]) -> Iterator[Edit]:
        return (edit for edit in edits if self._wanted(edit.path))

    def _wanted(self, path: tuple[str, ...]) -> bool:
        """Whether no place to leave alone contains a path."""
        where = ".".join(path)
        skips = {one for one in self._skip if where == one or where.startswith(f"{one}.")}
        self.skipped |= skips
        return not skips

    def _renamed_files(self) -> Iterator[Edit]:
        """Tables whose file is gone, and whose columns are all in a new one."""
        for name in self._month.feature_tables:
            if name in self._tables or name in self._month.pulled:
                continue
            if name not in self._contract.tables:
                continue
            headers = {c.source or own for own, c in self._month.delivered(name).items()}
            same = [stem for stem in self._new_stems if headers <= set(self._frames[stem].columns)]
            path = ("tables", name, "files", *same[:1])
            if len(same) == 1 and self._wanted(path):
                yield Edit(path, self._as_of, f"{same[0]} has all columns of {name}")
                self._tables[name] = self._frames[same[0]]
                self._new_stems.remove(same[0])

    def _moved(self, missing: Mapping[str, Mapping[str, str]]) -> Iterator[Edit]:
        """Columns that a new file holds in place of their table's."""
        for stem in list(self._new_stems):
            held = self._frames[stem].columns
            for name, columns in missing.items():
                here = [own for own, header in columns.items() if header in held]
                if not here or name not in self._contract.tables or self._key not in held:
                    continue
                if name in self._contract.logs:
                    continue  # an event has one row in one file
                parts = {part for table in self._contract.tables.values() for part in table.parts}
                names = {known.lower() for known in (*self._contract.tables, *parts)}
                part = free_name(valid_name(stem, "part"), name, names)
                path = ("tables", name, "parts", part)
                if not self._wanted(path):
                    continue
                self._new_stems.remove(stem)
                known = {columns[own] for own in here}
                added = []
                for own, edit in self._guessed_columns(name, stem, known):
                    yield edit
                    added.append(own)
                value: dict[str, Any] = {"columns": [*here, *added], "since": self._as_of}
                if part != stem:
                    value["file"] = stem
                yield Edit(path, value, f"{stem} is a new file")
                learned = [own for own in added if self._learnable(own)]
                yield from self._features(name, learned)
                self._explained |= {(name, own) for own in here}
                break

    def _renamed_headers(self, missing: Mapping[str, Mapping[str, str]]) -> Iterator[Edit]:
        """Columns whose header is gone, and whose values are under a new one."""
        for name, columns in missing.items():
            owner = self._contract.owner(name)
            then = self._before.tables.get(owner, pd.DataFrame())
            if name in self._contract.event_tables:
                yield from self._renamed_contacts(name, columns)
                continue
            if name in self._contract.logs:
                yield from self._renamed_in_log(name, columns)
                continue
            gone = [own for own in columns if own in then and (name, own) not in self._explained]
            overlaps = {
                (header, own): self._keys.overlap(name, self._tables[name], own, header, then)
                for own in gone
                for header in self._new_headers(name)
            }
            for header, own in likely_headers(overlaps).items():
                path = ("tables", owner, "columns", own, "sources", header)
                if self._wanted(path):
                    self._explained.add((name, own))
                    self._renamed[name, own] = header
                    doubt = f"{columns[own]!r} is gone, {header!r} has such values: a rename?"
                    yield Edit(path, self._as_of, doubt)

    def _renamed_contacts(self, name: str, columns: Mapping[str, str]) -> Iterator[Edit]:
        sheet = sheet_of(name, name, self._tables[name])
        new = set(self._new_headers(name))
        found = renamed_contact_headers(self._contract, sheet, self._key, columns, new)
        for own, header in found:
            self._explained.add((name, own))
            self._renamed[name, own] = header
            doubt = f"{columns[own]!r} is gone, {header!r} may be the same: a rename?"
            yield Edit(("tables", name, "columns", own, "sources", header), self._as_of, doubt)

    def _renamed_in_log(self, name: str, columns: Mapping[str, str]) -> Iterator[Edit]:
        """The values of a log differ from month to month, so only the one missing column and the
        one new header of its form show a rename.
        """
        log = self._contract.logs[name]
        frame = self._tables[name]
        forms = {header: form_of(header, frame[header]) for header in self._new_headers(name)}
        for own, header in columns.items():
            dtype = log.columns[own].dtype
            fitting = [new for new, form in forms.items() if form == as_read(dtype)]
            rivals = [one for one in columns if as_read(log.columns[one].dtype) == as_read(dtype)]
            if len(fitting) != 1 or len(rivals) != 1:
                continue
            self._explained.add((name, own))
            self._renamed[name, own] = fitting[0]
            doubt = f"{header!r} is gone, {fitting[0]!r} may be the same: a rename?"
            yield Edit(("tables", name, "columns", own, "sources", fitting[0]), self._as_of, doubt)

    def _ended_columns(self, missing: Mapping[str, Mapping[str, str]]) -> Iterator[Edit]:
        """Columns that the files no longer have."""
        for name, columns in missing.items():
            owner = self._contract.owner(name)
            for own, header in columns.items():
                if name in self._contract.event_tables and (name, own) not in self._explained:
                    why = why_not_ended(self._contract, own, header, self._as_of)
                    self.left_out += [why] if why else []
                    self._explained |= {(name, own)} if why else set()
                needed = why_needed(self._contract, name, own, header)
                if needed and (name, own) not in self._explained:
                    self.left_out.append(needed)
                    continue
                if (name, own) not in self._explained and owner in self._contract.tables:
                    doubt = f"{header!r} is not in {self._month.file_stem(name)} any more"
                    yield Edit(("tables", owner, "columns", own, "until"), self._as_of, doubt)

    def _ended_tables(self) -> Iterator[Edit]:
        """Tables and parts of tables without a file."""
        if not any(name in self._tables for name in self._month.feature_tables):
            return  # labels alone, of a month whose other tables came before
        for name in self._month.feature_tables:
            if name in self._tables or name in self._month.pulled:
                continue
            stem = self._month.file_stem(name)
            owner = self._contract.owner(name)
            if owner == name:
                yield Edit(("tables", name, "until"), self._as_of, f"there is no file {stem}")
                continue
            for own, column in self._month.delivered(name).items():
                held = self._tables.get(owner, pd.DataFrame()).columns
                if own in self._contract.tables[owner].columns and (column.source or own) in held:
                    self.left_out.append(
                        f"{owner}.{own}: it is in the file of {owner} again, which no change of"
                        f" the contract describes; deliver {stem}"
                    )
                elif own in self._contract.tables[owner].columns:
                    doubt = f"there is no file {stem}"
                    yield Edit(("tables", owner, "columns", own, "until"), self._as_of, doubt)

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

    def _new_headers(self, name: str) -> Iterator[str]:
        """Headers of a table's file that neither the contract nor the month before has."""
        if name == self._contract.label_table or self._contract.owner(name) not in (
            self._contract.tables
        ):
            return
        known = {column.source or own for own, column in self._month.delivered(name).items()}
        known |= self._before.headers.get(name, frozenset())
        known |= {header for (file, _), header in self._renamed.items() if file == name}
        yield from (
            header for header in map(str, self._tables[name].columns) if header not in known
        )

    def _new_columns(self, name: str, frame: pd.DataFrame) -> Iterator[Edit]:
        owner = self._contract.owner(name)
        known = set(map(str, frame.columns)) - set(self._new_headers(name))
        added = []
        for own, edit in self._guessed_columns(owner, self._month.file_stem(name), known, frame):
            yield edit
            added.append(own)
        if added and owner != name:
            known_columns = self._contract.tables[owner].parts[name].columns
            yield Edit(("tables", owner, "parts", name, "columns"), [*known_columns, *added])
        yield from self._features(owner, [own for own in added if self._learnable(own)])

    def _guessed_columns(
        self, table: str, stem: str, known: Collection[str], frame: pd.DataFrame | None = None
    ) -> Iterator[tuple[str, Edit]]:
        """A new column of a table for each header of a file that is not known."""
        frame = self._frames[stem] if frame is None else frame
        for header in map(str, frame.columns):
            if header in known or header == self._key:
                continue
            own = free_name(valid_name(header), table, self._taken)
            column, doubt = new_column(header, own, frame[header])
            if column is not None and table in self._contract.logs:
                column, doubt = new_column_of_log(column, frame[header], doubt)
            if column is None:
                self.left_out.append(f"{stem}.{header}: {doubt}")
                continue
            path = ("tables", table, "columns", own)
            if self._wanted(path):
                self._dtypes[own] = column.dtype
                yield own, Edit(path, column.model_copy(update={"since": self._as_of}), doubt)

    def _learnable(self, own: str) -> bool:
        return self._dtypes[own] not in ("date", "string")

    def _features(self, table: str, features: list[str]) -> Iterator[Edit]:
        if not features or self._contract.has_many_rows(table):
            return
        views = self._contract.feature_views.items()
        place = next((name for name, view in views if view.table == table), None)
        if place is None:
            view = {"table": table, "features": features}
            yield Edit(("feature_views", f"{table}_fv"), view)
        else:
            known = self._learned.setdefault(place, [])
            known += features
            given = self._contract.feature_views[place].features
            yield Edit(("feature_views", place, "features"), [*given, *known])

    def _values(self, name: str, frame: pd.DataFrame) -> Iterator[Edit]:
        owner = self._contract.owner(name)
        if owner not in self._contract.tables:
            return
        then_all = self._before.tables.get(owner, pd.DataFrame())
        for own, column in self._month.delivered(name).items():
            header = self._renamed.get((name, own)) or column.source or own
            if column.dtype != "category" or header not in frame:
                continue
            if column.values is None and self._contract.has_many_rows(owner):
                continue  # other campaigns or events each month are no renames
            read, _ = convert(frame[header], "category", Writing.of(self._contract.files, column))
            now = _counts(read)
            then = _counts(then_all[own]) if own in then_all else {}
            listed = column.values if column.values is not None else tuple(then)
            new = {value: rows for value, rows in now.items() if value not in listed}
            gone = {value: rows for value, rows in then.items() if value not in now}
            pairs = likely_renames(new, gone) if listed else {}
            path = ("tables", owner, "columns", own)
            for value, was in list(pairs.items()):
                says = f"{value!r} is new in {new[value]:,} rows, {was!r} is gone: a rename?"
                edit = Edit((*path, "renamed", value), {"was": was, "since": self._as_of}, says)
                if self._wanted(edit.path):
                    yield edit
                else:
                    del pairs[value]
            others = [value for value in new if value not in pairs]
            if column.values is not None and others:
                says = ", ".join(f"{value!r} is new in {new[value]:,} rows" for value in others)
                yield Edit((*path, "values"), [*column.values, *others], says)

    def _spelling(self, name: str, frame: pd.DataFrame) -> Iterator[Edit]:
        if name not in self._contract.tables:
            return
        keys = read_keys(self._month, name, frame[self._key])
        if likely_spelling(keys, self._keys.known(name)) is None:
            return
        found = self._keys.spelled(frame, self._keys.known(name))
        if found is not None:
            given = self._contract.tables[name].key_spellings
            doubt = self._keys.doubt(frame, found)
            yield Edit(("tables", name, "key_spellings"), [*given, found], doubt)

    def _new_table(self, stem: str) -> Iterator[Edit]:
        frame = self._frames[stem]
        if self._key not in frame:
            self.left_out.append(f"{stem}: it has no column {self._key!r}, the customer's key")
            return
        if frame[self._key].duplicated().any():
            yield from self._new_log(stem)
            return
        name = self._new_name(stem)
        if not self._wanted(("tables", name)):
            return
        columns = {}
        doubts = []
        for own, edit in self._guessed_columns(name, stem, ()):
            columns[own] = edit.value.model_copy(update={"since": None})
            doubts += [f"{own}: {edit.doubt}"] if edit.doubt else []
        if not columns:
            return
        table: dict[str, Any] = {"since": self._as_of, "columns": columns}
        if stem != name:
            table["file"] = stem
        spelling = self._keys.spelled(frame, self._keys.known(name))
        if spelling is not None:
            table["key_spellings"] = [spelling]
            doubts.append(self._keys.doubt(frame, spelling))
        yield Edit(("tables", name), table, "; ".join(doubts))
        features = [own for own in columns if self._learnable(own)]
        if features:
            yield Edit(("feature_views", f"{name}_fv"), {"table": name, "features": features})

    def _new_log(self, stem: str) -> Iterator[Edit]:
        """A log as an event table; a file with several rows a customer and no times is left out."""
        name = self._new_name(stem)
        made = new_log(self._contract, stem, name, self._frames[stem], self._as_of, self._taken)
        if isinstance(made, str):
            self.left_out.append(f"{stem}: {made}")
        elif self._wanted(("tables", name)):
            yield from made

    def _new_name(self, stem: str) -> str:
        tables = {known.lower() for known in self._contract.tables}
        return free_name(valid_name(stem, "table"), "table", tables)

    def _new_contacts(self, stem: str) -> ContactUpdate | None:
        frame = self._frames[stem]
        if self._key not in frame:
            return None
        name = self._new_name(stem)
        known = self._keys.known(name)
        features = [n for n in self._tables if n in self._month.feature_tables]
        keys = [known.astype(str), *(self._keys.read(n, self._tables[n]) for n in features)]
        customers = pd.concat(keys, ignore_index=True).drop_duplicates(ignore_index=True)
        spelling = self._keys.spelled(frame, known)
        sheet = sheet_of(stem, name, frame)
        keys_here = self._keys.read(name, frame)
        return new_contacts(
            self._contract, sheet, self._key, keys_here, customers, self._taken, spelling
        )


def _counts(values: pd.Series) -> dict[str, int]:
    counts = values.dropna().astype(str).value_counts()
    return {str(value): int(rows) for value, rows in counts.items()}
