"""The window tables and inactivity labels of each month, kept up to date with the logs."""

import datetime as dt
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from churn_platform.base.digests import digest_of, hashed_values
from churn_platform.base.files import read_json, write_json
from churn_platform.contract.events import NoEvent
from churn_platform.contract.model import Contract
from churn_platform.contract.parts import Table
from churn_platform.events.days import first_day
from churn_platform.events.log_files import Days, LogFile, LogFiles, days_of
from churn_platform.lake.arrow_tables import table_digest, to_frame, written_columns
from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.lake import Lake, instant

if TYPE_CHECKING:
    import pyarrow as pa

RECIPE: Final = 1
"""Goes up when the same events give other values: every month is made again then."""
STATE_FILE: Final = "event_windows.json"
"""In the lake's folder: what the window tables of each month were made from. Without it they are
made again, and equal tables are not published again.
"""

NOTHING_RENAMED: Final[Mapping[str, str]] = MappingProxyType({})
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Touched:
    """The tables of a published month that the logs give other rows now.

    Attributes:
        as_of: The month.
        tables: The tables.
        known_since: When their content was known, for those made from what was known then.
    """

    as_of: dt.date
    tables: dict[str, pd.DataFrame]
    known_since: dict[str, dt.datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class _MadeOf:
    """The window tables of a drop's month, and what they were made from."""

    events: dict[str, Any]
    customers: pd.Series
    tables: dict[str, pd.DataFrame]


class DerivedTables:
    """Makes the window tables and labels of the months of one lake."""

    def __init__(self, lake: Lake, days: dict[str, Days] | None = None) -> None:
        """Nothing is read yet. The contract of the lake has the windows of every version that is
        in use. `days` is what files of logs hold, by their digest, as far as it is known.
        """
        self._lake = lake
        self._files = LogFiles(lake, days)
        self._of_drop: dict[dt.date, _MadeOf] = {}

    @property
    def contract(self) -> Contract:
        """The contract in use."""
        return self._lake.contract

    @property
    def state_file(self) -> Path:
        """Month -> what its tables were made from, as JSON."""
        return self._lake.folder / STATE_FILE

    def of_drop(self, as_of: dt.date, tables: Tables) -> dict[str, pd.DataFrame]:
        """The window tables of the month of a drop that is about to be published.

        The first time they hold what was known when the month is scored. Of a published month
        they hold everything that is known, as `touched` makes them.

        Args:
            as_of: the month.
            tables: the validated tables of the drop as the lake keeps them, logs included.
        """
        month = self.contract.at(as_of)
        if not month.logs:
            return {}
        self._read_state()
        published = as_of in self._lake.months()
        known_by = None if published else self._scored(as_of)
        with ExitStack() as stack:
            files = {
                name: self._with_drop(stack, as_of, name, log, tables, known_by)
                for name, log in month.logs.items()
            }
            customers = self._customers(month, as_of, tables, files, known_by)
            found = self._window_tables(month, as_of, customers, files)
            events = self._events_of(month, as_of, as_of, files)
            self._of_drop = {as_of: _MadeOf(events, customers, found)}
        return self._changed(as_of, found) if published else found

    def touched(self) -> Iterator[Touched]:
        """The published months whose window tables or labels are not what the logs give, oldest
        first. Publish each before the next one is asked for.
        """
        if not self.contract.logs:
            return
        made = self._read_state()
        months = self._lake.months()
        files = self._files.known()
        for as_of in months:
            source = self._source(as_of, months[-1], files)
            if made.get(as_of.isoformat()) == source:
                continue
            widened = self._widened(as_of)
            if widened.tables:
                yield widened
            found = self._made_of_drop(as_of, files)
            lacking = [n for n in self._published_by(as_of, months[-1]) if n not in found]
            if lacking:
                found |= self.again(as_of, lacking)
            tables = self._changed(as_of, found)
            if tables:
                yield Touched(as_of, tables)
            made[as_of.isoformat()] = source
            write_json(self.state_file, self._state(made))

    def days_held(self, name: str) -> dict[dt.date, dict[str, int]]:
        """The drops of a log -> the days of their events, as text, with the number of events."""
        self._read_state()
        return {
            file.as_of: {day: int(held.split()[0]) for day, held in file.days.items()}
            for file in self._files.of(name, self.contract.logs[name], None)
        }

    def waiting(self) -> list[dt.date]:
        """The published months that `touched` has not seen as they are now."""
        if not self.contract.logs:
            return []
        made = self._read_state()
        months = self._lake.months()
        files = self._files.known()
        return [m for m in months if made.get(m.isoformat()) != self._source(m, months[-1], files)]

    def after_erasure(
        self, renamed: Mapping[str, str], staged: Callable[[Path], Path | None]
    ) -> dict[str, Any]:
        """What the state file holds once the rows of a customer are gone, so nothing is made
        again for the others.

        Args:
            renamed: digest of a table of the lake -> what it becomes.
            staged: path of a file of the lake -> the new file; None if it does not change.
        """
        made = self._read_state()
        months = self._lake.months()
        files = self._files.known()
        seen = [m for m in months if made.get(m.isoformat()) == self._source(m, months[-1], files)]
        after = DerivedTables(self._lake, dict(self._files.days))
        for as_of in months:
            for name in self.contract.logs:
                entry = self._lake.entries(as_of).get(self.contract.lake_name(name))
                file = None if entry is None else staged(self._lake.path(entry))
                if entry is not None and file is not None:
                    after._files.days[entry.digest] = days_of(file)
        files = after._files.known()
        left = {m.isoformat(): after._source(m, months[-1], files, renamed) for m in seen}
        held = after._state({})["files"]
        return {
            "months": left,
            "files": {renamed.get(digest, digest): days for digest, days in held.items()},
        }

    def again(
        self, as_of: dt.date, names: Collection[str], *, at_scoring: bool = False
    ) -> dict[str, pd.DataFrame]:
        """Window tables and labels of a published month, made again from the lake's events.

        Args:
            as_of: the month.
            names: the tables.
            at_scoring: of window tables, by what was known when the month was scored instead of
                everything that is known.
        """
        month = self.contract.at(as_of)
        known_by = self._scored(as_of) if at_scoring else None
        files = {name: self._files.of(name, log, known_by) for name, log in month.logs.items()}
        customers = self._customers(month, as_of, {}, files, known_by)
        logs = [name for name in month.logs if name in names]
        tables = self._window_tables(month, as_of, customers, files, logs)
        no_event = month.label.no_event
        if no_event is not None and month.label_table in names:
            labels = self._labels(month, no_event, as_of, customers, files[no_event.table])
            tables[month.label_table] = labels
        return tables

    def made_again(self, as_of: dt.date, name: str, entry: TableEntry) -> "pa.Table":
        """A window table or the labels of a month, as one delivery of it must be.

        Args:
            as_of: the month; the lake has the deliveries that there were then.
            name: the table.
            entry: the delivery of the table: what was known by the scoring of the month, or
                later.
        """
        at_scoring = entry.created <= self._scored(as_of)
        frame = self.again(as_of, [name], at_scoring=at_scoring)[name]
        return self._lake.typed(as_of, name, frame)

    def _made_of_drop(
        self, as_of: dt.date, files: Mapping[str, Sequence[LogFile]]
    ) -> dict[str, pd.DataFrame]:
        """The window tables that `of_drop` made, if the same events and customers are known now."""
        made = self._of_drop.pop(as_of, None)
        month = self.contract.at(as_of)
        if made is None or made.events != self._events_of(month, as_of, as_of, files):
            return {}
        customers = self._customers(month, as_of, {}, files, None)
        same = made.customers.astype("string").equals(customers.astype("string"))
        return made.tables if same else {}

    def _published_by(self, as_of: dt.date, newest: dt.date) -> list[str]:
        """The tables that a month has once `newest` is published."""
        month = self.contract.at(as_of)
        names = [*month.logs]
        if month.label.no_event is not None and self.contract.matures(as_of) <= newest:
            names.append(month.label_table)
        return names

    def _scored(self, as_of: dt.date) -> dt.datetime:
        """The instant by which a month's tables were known when it was scored."""
        return instant(as_of) + dt.timedelta(days=self.contract.delivery_days)

    def _widened(self, as_of: dt.date) -> Touched:
        """The tables as known at scoring that lack a window which the contract has now, with it.

        They are known since then: the events of the new window were.
        """
        known_since = {}
        published = self.contract.at(as_of).published
        for name in self.contract.at(as_of).logs:
            entry = self._lake.entry_known(as_of, name, self._scored(as_of))
            if entry is not None and not set(published[name]) <= set(
                written_columns(self._lake.path(entry))
            ):
                known_since[name] = entry.created
        tables = self.again(as_of, known_since, at_scoring=True) if known_since else {}
        return Touched(as_of, tables, known_since)

    def _changed(self, as_of: dt.date, tables: Tables) -> dict[str, pd.DataFrame]:
        """The tables that are not those known; a window that the contract has no more is no
        change.
        """
        known = self._lake.entries(as_of)
        changed = {}
        for name, frame in tables.items():
            made = self._lake.typed(as_of, name, frame)
            if name not in known or not self._holds(known[name], made):
                changed[name] = frame
        return changed

    def _holds(self, entry: TableEntry, made: "pa.Table") -> bool:
        """Whether a published table has the columns of a table, and their values."""
        import pyarrow.parquet as pq

        if table_digest(made) == entry.digest:
            return True
        if not set(made.column_names) <= set(written_columns(self._lake.path(entry))):
            return False
        stored = pq.ParquetFile(self._lake.path(entry)).read(columns=made.column_names)
        stored = stored.select(made.column_names).replace_schema_metadata(None)
        return table_digest(stored) == table_digest(made)

    def _window_tables(
        self,
        month: Contract,
        as_of: dt.date,
        customers: pd.Series,
        files: Mapping[str, Sequence[LogFile]],
        names: Collection[str] | None = None,
    ) -> dict[str, pd.DataFrame]:
        """Log, of these or of all -> one row a customer: the key and every window feature."""
        from churn_platform.events.windows import window_table

        key = month.entity.column
        found = {}
        for name, log in month.logs.items():
            if names is not None and name not in names:
                continue
            start = _reach(month, name, as_of)
            paths = [file.path for file in files[name] if file.overlaps(start, as_of)]
            table = window_table(paths, log, key, as_of, customers)
            found[name] = to_frame(table)
        return found

    def _labels(
        self,
        month: Contract,
        no_event: NoEvent,
        as_of: dt.date,
        customers: pd.Series,
        files: Sequence[LogFile],
    ) -> pd.DataFrame:
        """The key and whether a customer had no event after the as_of, for each customer."""
        from churn_platform.events.windows import keys_with_events

        first = as_of + dt.timedelta(days=1)
        last = self.contract.matures(as_of)
        log = month.logs[no_event.table]
        paths = [file.path for file in files if file.overlaps(first, last)]
        active = keys_with_events(paths, log, month.entity.column, no_event.where, first, last)
        inactive = ~customers.isin(active)
        return pd.DataFrame(
            {month.entity.column: customers, month.label.column: inactive.astype("boolean")}
        )

    def _customers(
        self,
        month: Contract,
        as_of: dt.date,
        tables: Tables,
        files: Mapping[str, Sequence[LogFile]],
        known_by: dt.datetime | None,
    ) -> pd.Series:
        """The keys of the month's customers, sorted: those of the tables with one row each, else
        the population of the label.
        """
        from churn_platform.events.windows import keys_with_events

        key = month.entity.column
        snapshots = month.snapshot_tables
        if snapshots:
            delivered = {name: tables[name][key] for name in snapshots if name in tables}
            known: dict[str, pd.Series] = {}
            if as_of in self._lake.months():
                lacking = [name for name in snapshots if name not in delivered]
                known = self._lake.keys(as_of, lacking, known_by)
            keys = pd.concat([*known.values(), *delivered.values()], ignore_index=True)
        else:
            no_event = month.label.no_event
            assert no_event is not None  # noqa: S101 - the contract has customers
            population = no_event.population
            assert population is not None  # noqa: S101 - the contract says who they are
            first = first_day(population.window, as_of)
            paths = [file.path for file in files[population.table] if file.overlaps(first, as_of)]
            log = month.logs[population.table]
            keys = keys_with_events(paths, log, key, population.where, first, as_of, known_by=as_of)
        return keys.drop_duplicates().sort_values(ignore_index=True).rename(key)

    def _with_drop(
        self,
        stack: ExitStack,
        as_of: dt.date,
        name: str,
        log: Table,
        tables: Tables,
        known_by: dt.datetime | None,
    ) -> list[LogFile]:
        """The files of a log as they will be once the drop is published."""
        events = self.contract.lake_name(name)
        if events not in tables:
            return self._files.of(name, log, known_by)
        folder = stack.enter_context(self._scratch())
        path = Path(folder) / "delivered.parquet"
        table = self._lake.typed(as_of, events, tables[events])
        _write(table, path)
        delivered = LogFile(as_of, path, days_of(path))
        return self._files.of(name, log, known_by, delivered)

    def _scratch(self) -> "tempfile.TemporaryDirectory[str]":
        """A folder in the lake: /tmp may be memory."""
        self._lake.folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".events.", suffix=".tmp", dir=self._lake.folder)

    def _source(
        self,
        as_of: dt.date,
        newest: dt.date,
        files: Mapping[str, Sequence[LogFile]],
        renamed: Mapping[str, str] = NOTHING_RENAMED,
    ) -> str:
        """Digest of everything that the month's window tables and labels are made from; `renamed`
        has other digests of some tables.
        """
        month = self.contract.at(as_of)
        matured = month.label.no_event is not None and self.contract.matures(as_of) <= newest
        last = self.contract.matures(as_of) if matured else as_of
        entries = self._lake.entries(as_of)
        digests = {n: entries[n].digest for n in month.snapshot_tables if n in entries}
        return digest_of(
            {
                "recipe": RECIPE,
                "logs": self._events_of(month, as_of, last, files),
                "label": hashed_values(month.label) if matured else None,
                "customers": {name: renamed.get(one, one) for name, one in digests.items()},
            }
        )

    def _events_of(
        self,
        month: Contract,
        as_of: dt.date,
        last: dt.date,
        files: Mapping[str, Sequence[LogFile]],
    ) -> dict[str, Any]:
        """Log -> its declaration, and fingerprints of the events that a month is made from."""
        logs = {}
        for name, log in month.logs.items():
            start = _reach(month, name, as_of)
            events = [
                [day, fingerprint]
                for file in files[name]
                for day, fingerprint in file.days.items()
                if start.isoformat() <= day <= last.isoformat()
            ]
            logs[name] = {"declared": hashed_values(log), "events": sorted(events)}
        return logs

    def _state(self, made: Mapping[str, str]) -> dict[str, Any]:
        """The content of the state file."""
        return {
            "months": dict(made),
            "files": self._files.read_days,
        }

    def _read_state(self) -> dict[str, str]:
        """Month -> what its window tables were made from; also what the files of the logs hold."""
        if not self.state_file.exists():
            return {}
        state = read_json(self.state_file)
        self._files.days = {**state["files"], **self._files.days}
        return dict(state["months"])


def _reach(month: Contract, name: str, as_of: dt.date) -> dt.date:
    """The first day from which on events of a log count for a month."""
    lengths = [window.window for window in month.logs[name].windows.values()]
    no_event = month.label.no_event
    if no_event is not None and no_event.population is not None:
        lengths.append(no_event.population.window)
    return min((first_day(length, as_of) for length in lengths), default=as_of)


def _write(table: "pa.Table", path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")
