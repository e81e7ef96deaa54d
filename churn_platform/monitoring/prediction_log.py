"""The prediction log: the served predictions as Parquet files."""

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import to_json

from churn_platform.base.files import replacing

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".parquet"
MERGED = "-merged.parquet"
DAY_FILE = re.compile(rf"\d{{4}}-\d\d-\d\d{re.escape(SUFFIX)}")
HOLDS = b"holds"


class ServedPrediction(NamedTuple):
    """One prediction of the API: `moment` in seconds since 1970, `as_of` the month of its
    features, None where the request contained them all.
    """

    moment: float
    key: str | int
    version: int
    as_of: dt.date | None
    probability: float
    features: Mapping[str, object]
    what_if: bool
    stale: bool


class PredictionLog:
    """The log in `folder`: one sub-folder per day (UTC), later one file per day. Files are
    written atomically.
    """

    def __init__(self, folder: Path, entity: str) -> None:
        self.folder = folder
        self._entity = entity
        self._hour = ""
        self._written = list[Path]()

    def write(self, answers: Sequence[ServedPrediction]) -> None:
        """Append a lot of answers: time, key, version, features_as_of, probability, sha256 of
        the features as JSON, what-if, stale. With the first lot of an hour this log's own files
        of the hour before become one.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = dt.datetime.fromtimestamp(answers[0].moment, dt.UTC)
        table = pa.table(
            {
                "time": pa.array(
                    [round(one.moment * 1e6) for one in answers], pa.timestamp("us", tz="UTC")
                ),
                self._entity: [one.key for one in answers],
                "version": pa.array([one.version for one in answers], pa.int64()),
                "features_as_of": pa.array([one.as_of for one in answers], pa.date32()),
                "probability": pa.array([one.probability for one in answers], pa.float64()),
                "features": [hashlib.sha256(to_json(one.features)).hexdigest() for one in answers],
                "what_if": pa.array([one.what_if for one in answers], pa.bool_()),
                "stale": pa.array([one.stale for one in answers], pa.bool_()),
            }
        )
        # The process in the name: two workers write at the same second.
        name = f"{first:%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        target = self.folder / f"{first:%Y-%m-%d}" / f"{name}{SUFFIX}"
        with replacing(target) as temporary:
            pq.write_table(table, temporary)
        self._note(target, f"{first:%Y-%m-%d %H}")

    def _note(self, written: Path, hour: str) -> None:
        if self._hour != hour and len(self._written) > 1:
            first = self._written[0]
            with contextlib.suppress(
                OSError, ValueError
            ):  # they stay as they are; the answers are not lost
                _merge(self._written, first.with_name(first.name.removesuffix(SUFFIX) + MERGED))
        if self._hour != hour:
            self._hour = hour
            self._written = []
        self._written.append(written)


def files(folder: Path, since: dt.date = dt.date.min) -> list[Path]:
    """The files of the days from `since` on, without those that another file contains."""
    found: list[Path] = []
    for day, place in _days(folder):
        if day < since:
            continue
        if place.is_dir():
            found += sorted(place.glob(f"*{SUFFIX}"))
        else:
            found.append(place)
    held = {name for path in found if _is_merged(path) for name in _held(path)}
    return [path for path in found if path.name not in held]


def tidy(folder: Path, today: dt.date, keep_days: int) -> None:
    """Make one file of each day before yesterday, and remove the days that are older than
    `keep_days`.

    Yesterday's folder may still be written: a worker hands over late.
    """
    for day, place in _days(folder):
        expired = day < today - dt.timedelta(days=keep_days)
        if expired and place.is_dir():
            shutil.rmtree(place)
        elif expired:
            place.unlink()
        elif place.is_dir() and day < today - dt.timedelta(days=1):
            merged = folder / f"{day}{SUFFIX}"
            counted = set(files(folder, day))
            sources = [
                path for path in (merged, *sorted(place.glob(f"*{SUFFIX}"))) if path in counted
            ]
            if sources != [merged]:
                _merge(sources, merged, also=[path.name for path in place.iterdir()])
            shutil.rmtree(place)


def last_served(folder: Path, entity: str, months: Sequence[dt.date]) -> "pd.DataFrame":
    """The last prediction of each customer, month and version; what-if requests do not count.

    Returns:
        version, features_as_of (date), the entity's column, probability, answers (how many
        there were).
    """
    import duckdb
    import pandas as pd

    columns = ["version", "features_as_of", entity, "probability", "answers"]
    if months and folder.is_dir():
        paths = [str(path) for path in files(folder, min(months))]
    else:
        paths = []
    if not paths:
        return pd.DataFrame(columns=columns)
    with duckdb.connect() as connection:
        try:
            found = connection.execute(
                # The name is the contract's.
                f'SELECT version, features_as_of, "{entity}",'  # noqa: S608
                " arg_max(probability, time) AS probability, "
                "count(*) AS answers FROM read_parquet($paths, union_by_name = true) "
                f'WHERE NOT what_if AND "{entity}" IS NOT NULL AND list_contains($months,'
                " features_as_of) "
                f'GROUP BY ALL ORDER BY version, features_as_of, "{entity}"',
                {"paths": paths, "months": list(months)},
            ).df()
        except duckdb.BinderException:  # every file is of another contract
            return pd.DataFrame(columns=columns)
    found["features_as_of"] = pd.to_datetime(found["features_as_of"]).dt.date
    return found[columns]


def _days(folder: Path) -> Iterator[tuple[dt.date, Path]]:
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        with contextlib.suppress(ValueError):
            yield dt.date.fromisoformat(place.name.removesuffix(SUFFIX)), place


def _is_merged(path: Path) -> bool:
    return path.name.endswith(MERGED) or DAY_FILE.fullmatch(path.name) is not None


def _held(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    held: list[str] = json.loads((pq.read_metadata(path).metadata or {}).get(HOLDS, b"[]"))
    return held


def _merge(sources: Sequence[Path], target: Path, also: Sequence[str] = ()) -> None:
    """Put the rows of `sources` into `target` and remove those files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # ParquetFile, not read_table: that takes a folder's name like 2024-03-01 for a partition's
    # value.
    tables = [pq.ParquetFile(path).read() for path in sources]
    merged = pa.concat_tables(tables, promote_options="default")
    held = {
        *also,
        *(path.name for path in sources),
        *(name for path in sources for name in _held(path)),
    }
    with replacing(target) as temporary:
        holds = json.dumps(sorted(held - {target.name}))
        pq.write_table(merged.replace_schema_metadata({HOLDS: holds}), temporary)
    for path in sources:
        if path != target:
            path.unlink()
