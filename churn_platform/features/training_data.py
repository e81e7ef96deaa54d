"""Reads and writes training datasets: spine from the lake, features through Feast, the
published frame.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from churn_platform.base.digests import frame_digest
from churn_platform.base.errors import IntegrityError
from churn_platform.contract.model import Contract
from churn_platform.features.labels import judge_labels
from churn_platform.features.training_dataset import (
    AS_OF,
    LABEL,
    Origin,
    TrainingDataset,
    assemble,
)
from churn_platform.lake.lake import Lake, Months, View
from churn_platform.lake.tables import canonical_dtypes
from churn_platform.lake.window import Window
from churn_platform.services import Services

if TYPE_CHECKING:
    from churn_platform.features.feature_store import FeatureStore


def build_training_dataset(home: Services, as_of: dt.date) -> TrainingDataset | None:
    """Join, assemble and publish the dataset of a month; None (and a record of that) without
    matured labels.
    """
    progress = Months(home.lake, home.contract)
    window = progress.window(as_of)
    known_at = home.now()
    record: dict[str, Any] = {
        **progress.made_from(as_of), "known_at": known_at.isoformat(), "left_out": progress.left_out(as_of),
    }  # fmt: skip
    if window is None:
        home.records.write("training_dataset", as_of, record | {"digest": None})
        return None
    dataset = join(home.lake, home.feature_store, window, known_at)
    months = {
        name: [m.isoformat() for m in getattr(window, name)] for name in ("training", "holdout", "forward")
    }  # fmt: skip
    if dataset.origin is None:
        tables = {}
    else:
        tables = dict(dataset.origin.tables)
    labels = label_plausibility(home, progress, as_of, window)
    record |= {"digest": dataset.digest, "window": months, "tables": tables, "labels": labels}
    home.records.write("training_dataset", as_of, record, dataset.frame)
    return dataset


def label_plausibility(
    home: Services, progress: Months, as_of: dt.date, window: Window
) -> dict[str, Any]:
    """Whether the newest labels of a window look like churn, next to those of the matured month
    before.
    """
    newest = window.training[-1]
    earlier = [month for month in progress.matured(as_of) if month < newest]
    labels = home.lake.labels(newest, home.now())
    if labels is None:
        raise IntegrityError(f"The labels of {newest} are gone from the lake.")
    if earlier:
        before = home.lake.labels(earlier[-1], home.now())
    else:
        before = None
    found = asdict(judge_labels(labels, before, home.contract.policy.training))
    return {"as_of": newest.isoformat(), **found, "warnings": list(found["warnings"])}


def record_failed_checks(home: Services, as_of: dt.date, failed: dict[str, str]) -> None:
    """Keep the failed checks of a month's dataset with its record, so its warnings name them."""
    record = home.records.read("training_dataset", as_of) or {}
    if failed != record.get("failed_checks", {}):
        home.records.write("training_dataset", as_of, record | {"failed_checks": failed})


def join(
    lake: Lake, store: "FeatureStore", window: Window, known_at: dt.datetime
) -> TrainingDataset:
    """The dataset of a window as it was known at an instant, whatever has been corrected since;
    writes nothing.

    Raises:
        IntegrityError: the labels of a month are gone, or the join cannot be trusted.
    """
    view = lake.view(known_at, as_at_scoring=True)
    spine = pd.concat(
        [_spine(lake, month, known_at, view) for month in window.months], ignore_index=True
    )
    dataset = assemble(lake.contract, spine, store.historical(view, spine), window)
    return replace(dataset, origin=Origin(known_at.isoformat(), lake.digests(view, window.months)))


def load_training_dataset(home: Services, as_of: dt.date) -> TrainingDataset | None:
    """The published dataset of a month; None when no labels had matured.

    Raises:
        IntegrityError: the file does not match the digest it was published with, or there is
            none.
    """
    record = home.records.read("training_dataset", as_of)
    if record is None:
        raise IntegrityError(
            f"There is no training dataset of {as_of}: materialize training_dataset first."
        )
    if record["digest"] is None:
        return None
    frame = typed(home.contract, home.records.frame("training_dataset", as_of))
    if frame_digest(frame) != record["digest"]:
        raise IntegrityError(
            f"The training dataset of {as_of} is not what was published: materialize it again."
        )
    window = {
        name: tuple(dt.date.fromisoformat(m) for m in months)
        for name, months in record["window"].items()
    }
    origin = Origin(record["known_at"], record.get("tables", {}))
    return TrainingDataset(frame, Window(**window), record["digest"], origin)


def typed(contract: Contract, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a published dataset in the types that its digest is over."""
    frame = frame.astype({**canonical_dtypes(contract), LABEL: "boolean"})
    for name in (LABEL, "holdout"):
        frame[name] = frame[name].astype(bool)
    return frame


def knowledge_time(home: Services, as_of: dt.date) -> dt.datetime:
    """The knowledge time recorded with a month's dataset."""
    record = home.records.read("training_dataset", as_of) or {}
    return dt.datetime.fromisoformat(record.get("known_at", home.now().isoformat()))


def oracle_mismatches(home: Services, dataset: TrainingDataset, known_at: dt.datetime) -> int:
    """Cells of the dataset that differ from a direct read of the lake as known at scoring,
    without Feast.
    """
    view = home.lake.view(known_at, as_at_scoring=True)
    wrong = 0
    dtypes: dict[str, Any] = {**canonical_dtypes(home.contract)}
    for month in dataset.window.months:
        rows = dataset.frame[dataset.frame[AS_OF] == month.isoformat()]
        for spec in home.contract.feature_views.values():
            truth = _looked_up(home.lake, view[spec.table].get(month), rows, spec.features)
            for name in spec.features:
                ours = rows[name].reset_index(drop=True)
                theirs = truth[name].astype(dtypes[name])
                same = (ours == theirs).fillna(value=False) | (ours.isna() & theirs.isna())
                wrong += int((~same).sum())
    return wrong


def dataset_month(home: Services, digest: str) -> dt.date | None:
    """The newest month whose published dataset has this digest; None when it was remade from
    other data since.

    It is later than the months the dataset trains on where labels mature later.
    """
    records = home.records
    found = (month for month in reversed(records.months("training_dataset")))
    return next(
        (m for m in found if (records.read("training_dataset", m) or {}).get("digest") == digest),
        None,
    )


def _spine(lake: Lake, month: dt.date, known_at: dt.datetime, view: View) -> pd.DataFrame:
    """Labelled entities of a month with their carried columns, both as they were known."""
    labels = lake.labels(month, known_at)
    if labels is None:
        raise IntegrityError(f"The labels of {month} are gone from the lake.")
    spine = labels.rename(LABEL).reset_index().assign(as_of=month.isoformat())
    wanted: dict[str, list[str]] = {}
    for name, table in lake.contract.carried.items():
        wanted.setdefault(table, []).append(name)
    parts = [
        _looked_up(lake, view[table].get(month), spine, names) for table, names in wanted.items()
    ]
    return pd.concat([spine, *parts], axis=1)


def _looked_up(
    lake: Lake, file: Path | None, rows: pd.DataFrame, columns: Sequence[str]
) -> pd.DataFrame:
    """`columns` of a table's file for the entities of `rows` (rows,); null where the file has
    none or is not there.
    """
    key = lake.contract.entity.column
    if file is None:
        return pd.DataFrame(None, index=range(len(rows)), columns=list(columns), dtype=object)
    table = lake.read(file, [key, *columns])
    return table.set_index(key).reindex(rows[key]).reset_index(drop=True)
