"""The files of a log in the lake, and what each holds of every day."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from churn_platform.contract.events import EVENT_DAY
from churn_platform.contract.parts import Table
from churn_platform.lake.arrow_tables import STAMPS
from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.lake import Lake

Days = Mapping[str, str]
"""Day as text -> a fingerprint of its events, whatever their order."""


@dataclass(frozen=True)
class LogFile:
    """The events of one drop.

    Attributes:
        as_of: The month of the drop.
        path: The Parquet file.
        days: The days that it holds.
    """

    as_of: dt.date
    path: Path
    days: Days

    def overlaps(self, first: dt.date, last: dt.date) -> bool:
        """Whether the file has an event from `first` to `last`."""
        return any(first.isoformat() <= day <= last.isoformat() for day in self.days)


class LogFiles:
    """The files of the logs in one lake.

    Attributes:
        days: What files hold, by the digest of their content, as far as it is known.
    """

    def __init__(self, lake: Lake, days: dict[str, Days] | None = None) -> None:
        """Nothing is read yet."""
        self.days = {} if days is None else days
        self._lake = lake
        self._read = set[str]()

    @property
    def read_days(self) -> dict[str, Days]:
        """What the files hold that were asked for."""
        return {digest: self.days[digest] for digest in sorted(self._read)}

    def known(self) -> dict[str, list[LogFile]]:
        """Log -> the files with everything that is known."""
        return {name: self.of(name, log, None) for name, log in self._lake.contract.logs.items()}

    def of(
        self,
        name: str,
        log: Table,
        known_by: dt.datetime | None,
        delivered: LogFile | None = None,
    ) -> list[LogFile]:
        """The files with the known events of a log, by the as_of of their drops.

        Args:
            name: the log.
            log: its declaration; a delivery that replaces is the only one.
            known_by: leave out what became known later; None for no limit.
            delivered: the file of a drop that is about to be published.
        """
        events = self._lake.contract.lake_name(name)
        found = {} if delivered is None else {delivered.as_of: delivered}
        for as_of in self._lake.months():
            if as_of in found:
                continue
            entry = self._lake.entry_known(as_of, events, known_by)
            if entry is not None:
                found[as_of] = self._file(as_of, entry)
        files = [found[as_of] for as_of in sorted(found)]
        return files[-1:] if log.delivery == "replace" else files

    def _file(self, as_of: dt.date, entry: TableEntry) -> LogFile:
        """A file of the lake; what it holds is read once."""
        path = self._lake.path(entry)
        if entry.digest not in self.days:
            self.days[entry.digest] = days_of(path)
        self._read.add(entry.digest)
        return LogFile(as_of, path, self.days[entry.digest])


def days_of(path: Path) -> dict[str, str]:
    """The days of a file of a log, each with the number of its events and a sum of hashes."""
    import duckdb

    with duckdb.connect() as connection:
        log = connection.read_parquet(str(path))
        stamped = [name for name in STAMPS if name in log.columns]
        without = f"EXCLUDE ({', '.join(stamped)})" if stamped else ""
        log.create_view("log")
        rows = connection.execute(
            f'SELECT "{EVENT_DAY}", count(*), sum(hash(event)::HUGEINT)'  # noqa: S608 - no values
            f" FROM (SELECT * {without} FROM log) AS event GROUP BY 1 ORDER BY 1"
        ).fetchall()
    return {day.isoformat(): f"{count} {total:x}" for day, count, total in rows}
