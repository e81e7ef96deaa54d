"""The prediction log: what the API answered, as Parquet files that prediction drift and performance can read.

Belongs here: the files and their schema. Does not: when they are written (`bento/background.py`).
pyarrow is imported with the first file.
"""

import datetime as dt
import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import to_json

from churn_platform.adapters.files import replacing


@dataclass(frozen=True)
class Answered:
    """One answer; `moment` in seconds since 1970, `as_of` the month of its features, None where all were given."""

    moment: float
    key: str | int
    version: int
    as_of: dt.date | None
    probability: float
    features: Mapping[str, object]
    what_if: bool
    stale: bool


class PredictionLog:
    """The log in `folder`: one sub-folder a day (UTC), one file a lot of answers, each whole or not at all."""

    def __init__(self, folder: Path, entity: str) -> None:
        self._folder, self._entity = folder, entity

    def write(self, answers: Sequence[Answered]) -> None:
        """Append a lot of answers: time, key, version, probability, sha256 of the features as JSON, what-if, stale."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        moments = [dt.datetime.fromtimestamp(one.moment, dt.UTC) for one in answers]
        table = pa.table(
            {
                "time": pa.array(moments, pa.timestamp("us", tz="UTC")),
                self._entity: [one.key for one in answers],
                "version": pa.array([one.version for one in answers], pa.int64()),
                "probability": pa.array([one.probability for one in answers], pa.float64()),
                "features": [hashlib.sha256(to_json(one.features)).hexdigest() for one in answers],
                "what_if": pa.array([one.what_if for one in answers], pa.bool_()),
                "stale": pa.array([one.stale for one in answers], pa.bool_()),
            }
        )
        # The process in the name: two workers write at the same second.
        name = f"{moments[0]:%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:8]}.parquet"
        with replacing(self._folder / f"{moments[0]:%Y-%m-%d}" / name) as temporary:
            pq.write_table(table, temporary)
