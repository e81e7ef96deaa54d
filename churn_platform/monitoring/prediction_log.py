"""The logs of the API as Parquet files: one log for served predictions, and what all share."""

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic_core import to_json

from churn_platform.base.files import replacing

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".parquet"
MERGED = "-merged.parquet"
DAY_FILE = re.compile(rf"\d{{4}}-\d\d-\d\d{re.escape(SUFFIX)}")
HOLDS = b"holds"
ROWS_AT_ONCE = 128
YIELD_SECONDS = 0.001
Row = TypeVar("Row")


class ServedPrediction(NamedTuple):
    """One prediction of the API: `moment` in seconds since 1970, `as_of` the month of its
    features, None where the request contained them all; `arm` is the customer's in a canary.
    """

    moment: float
    key: str | int
    version: int
    as_of: dt.date | None
    probability: float
    features: Mapping[str, object]
    what_if: bool
    stale: bool
    arm: str = "production"


class DailyLog:
    """A log in `folder`: one sub-folder per day (UTC), later one file per day. Files are written
    atomically. With the first lot of an hour this log's own files of the hour before become one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hour = ""
        self._written = list[Path]()

    def append(
        self,
        rows: Sequence[Row],
        columns: Callable[[Sequence[Row]], Mapping[str, Any]],
        moment: float,
    ) -> None:
        """Append rows.

        The rows become columns in small parts with pauses. A thread that computes for long
        makes every request of the process wait 5 ms for the interpreter, several times.

        Args:
            rows: at least one.
            columns: the name and the values of each column, for some of the rows.
            moment: of the first row, in seconds since 1970.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            parts.append(pa.table(columns(rows[start : start + ROWS_AT_ONCE])))
            time.sleep(YIELD_SECONDS)
        first = dt.datetime.fromtimestamp(moment, dt.UTC)
        # The process in the name: two workers write at the same second.
        name = f"{first:%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        target = self.folder / f"{first:%Y-%m-%d}" / f"{name}{SUFFIX}"
        with replacing(target) as temporary:
            pq.write_table(pa.concat_tables(parts).combine_chunks(), temporary)
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


class PredictionLog(DailyLog):
    """The log of served predictions."""

    def __init__(self, folder: Path, entity: str) -> None:
        super().__init__(folder)
        self._entity = entity

    def write(self, answers: Sequence[ServedPrediction]) -> None:
        """Append answers: time, key, version, features_as_of, probability, sha256 of the features
        as JSON, what-if, stale, arm.
        """
        self.append(answers, self._columns, answers[0].moment)

    def _columns(self, answers: Sequence[ServedPrediction]) -> dict[str, Any]:
        import pyarrow as pa

        served = served_columns(self._entity, answers)
        own = {
            "version": pa.array([one.version for one in answers], pa.int64()),
            "probability": pa.array([one.probability for one in answers], pa.float64()),
            "arm": pa.array([one.arm for one in answers], pa.string()),
        }
        order = ("time", self._entity, "version", "features_as_of", "probability", "features")
        return {name: {**served, **own}[name] for name in (*order, "what_if", "stale", "arm")}


def served_columns(entity: str, answers: Sequence[ServedPrediction]) -> dict[str, Any]:
    """The columns (rows,) by which the logs name served predictions."""
    import pyarrow as pa

    moments = [round(one.moment * 1e6) for one in answers]
    return {
        "time": pa.array(moments, pa.timestamp("us", tz="UTC")),
        entity: [one.key for one in answers],
        "features_as_of": pa.array([one.as_of for one in answers], pa.date32()),
        "features": [hashlib.sha256(to_json(one.features)).hexdigest() for one in answers],
        "what_if": pa.array([one.what_if for one in answers], pa.bool_()),
        "stale": pa.array([one.stale for one in answers], pa.bool_()),
    }


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
