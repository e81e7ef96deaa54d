"""The rows that validation put aside, as files for people:
`quarantine/<as_of>/<delivery>/<table>.csv`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.base.files import write_text


@dataclass(frozen=True)
class Quarantine:
    """What validation put aside of one table: the rows as CSV, and the summary of why."""

    rows: str
    """Empty when rows were only dropped as exact duplicates."""
    summary: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the rows; empty without any."""
        if self.rows:
            return digest_of(self.rows)
        return ""


def put_aside(
    home: Path, delivery: str, quarantines: Mapping[str, Quarantine]
) -> dict[str, dict[str, Any]]:
    """Write the rows of one delivery; what one that was cut off left under its name goes first.

    Args:
        home: the folder above `quarantine/`.
        delivery: `<as_of>/<number>`.
        quarantines: table -> what was put aside.

    Returns:
        Table -> what the lake keeps: the summary, and the file with its digest where there are
        rows.
    """
    folder = home / "quarantine" / delivery
    for stale in folder.glob("*.csv"):
        if stale.stem not in quarantines or not quarantines[stale.stem].rows:
            stale.unlink()
    entries = {}
    for table, quarantine in quarantines.items():
        entries[table] = dict(quarantine.summary)
        if quarantine.rows:
            path = folder / f"{table}.csv"
            write_text(path, quarantine.rows)
            entries[table] |= {"file": str(path.relative_to(home)), "digest": quarantine.digest}
    return entries


def quarantined_sentence(rows: Mapping[str, int]) -> str:
    """How many rows of which tables were put aside, for a person; empty when none was."""
    found = {table: count for table, count in rows.items() if count}
    total = sum(found.values())
    if not total:
        return ""
    return (
        f"{total:,} row{'s' if total > 1 else ''} quarantined:"
        f" {', '.join(f'{t} {n:,}' for t, n in found.items())}."
    )
