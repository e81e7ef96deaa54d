"""Builds, publishes and loads the training dataset of each month."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from pydantic import BaseModel, ConfigDict, JsonValue

from churn_platform.base.digests import frame_digest
from churn_platform.base.errors import IntegrityError
from churn_platform.contacts.labels import CorrectedLabels, MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.features.customer_draw import draw
from churn_platform.features.customer_sample import CustomerSample
from churn_platform.features.labels import judge_labels
from churn_platform.features.training_dataset import (
    AS_OF,
    HOLDOUT,
    LABEL,
    OUTSIDE,
    WEIGHT,
    Origin,
    TrainingDataset,
    assemble,
)
from churn_platform.lake.lake import Lake, View, view_digests
from churn_platform.lake.lake_file import LakeFile
from churn_platform.lake.records import Records
from churn_platform.lake.tables import canonical_dtypes
from churn_platform.lake.window import Months, Window

if TYPE_CHECKING:
    from churn_platform.features.feature_store import FeatureStore

KIND: Final = "training_dataset"


class DatasetRecord(BaseModel):
    """The record of a month's training dataset; `digest` is None while no labels have matured.

    Attributes:
        snapshot: Digest of the month's own snapshot.
        inputs: Digest of all snapshots it was made from.
        known_at: The knowledge time of the join, as ISO text.
        left_out: Matured months that were not used, with the reason.
        window: The months that train, are the holdout, and train the forward model.
        tables: `<table> <as_of>` -> digest of what was read.
        labels: The plausibility of the newest labels.
        failed_checks: Failed checks of the dataset, each with a sentence.
        sample: The sample of customers that it contains; None if it contains all.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    snapshot: str = ""
    inputs: str = ""
    known_at: str
    left_out: dict[str, str] = {}
    digest: str | None
    window: Window | None = None
    tables: dict[str, str] = {}
    labels: dict[str, JsonValue] = {}
    failed_checks: dict[str, str] = {}
    sample: CustomerSample | None = None


@dataclass(frozen=True)
class TrainingDatasets:
    """The training datasets of one home, one per month."""

    lake: Lake
    labels: CorrectedLabels
    feature_store: "FeatureStore"
    records: Records
    now: Callable[[], dt.datetime]

    def build(self, as_of: dt.date) -> TrainingDataset | None:
        """Join, assemble and publish the dataset of a month.

        Without matured labels, only a record is written and the answer is None.
        """
        months = self.labels.months()
        window = months.window(as_of)
        known_at = self.now()
        record = DatasetRecord(
            **months.made_from(as_of),
            known_at=known_at.isoformat(),
            left_out=months.left_out(as_of),
            digest=None,
        )
        if window is None:
            self._write(as_of, record)
            return None
        dataset = join(self.labels, self.feature_store, window, known_at)
        self._write(
            as_of,
            record.model_copy(
                update={
                    "digest": dataset.digest,
                    "window": window,
                    "tables": dict(dataset.origin.tables) if dataset.origin else {},
                    "labels": self._label_plausibility(months, as_of, window),
                    **({} if dataset.sample is None else {"sample": dataset.sample}),
                }
            ),
            dataset.frame,
        )
        return dataset

    def load(self, as_of: dt.date) -> TrainingDataset | None:
        """The published dataset of a month; None when no labels had matured.

        Raises:
            IntegrityError: there is no dataset, or its rows do not match the recorded digest.
        """
        record = self.record(as_of)
        if record is None:
            raise IntegrityError(
                f"There is no training dataset of {as_of}: materialize training_dataset first."
            )
        if record.digest is None or record.window is None:
            return None
        frame = typed(self.lake.contract, self.records.frame(KIND, as_of))
        if frame_digest(frame) != record.digest:
            raise IntegrityError(
                f"The training dataset of {as_of} is not what was published: materialize it again."
            )
        return TrainingDataset(
            frame,
            record.window,
            record.digest,
            Origin(record.known_at, record.tables),
            record.sample,
        )

    def record(self, as_of: dt.date) -> DatasetRecord | None:
        """The record of a month's dataset; None before the month was processed."""
        found = self.records.read(KIND, as_of)
        if found is None:
            return None
        return DatasetRecord.model_validate(found)

    def known_at(self, as_of: dt.date) -> dt.datetime:
        """The knowledge time of a month's dataset; now if it has no dataset."""
        record = self.record(as_of)
        if record is None:
            return self.now()
        return dt.datetime.fromisoformat(record.known_at)

    def month_of(self, digest: str) -> dt.date | None:
        """The newest month whose dataset has this digest; None when no dataset has it any more.

        Where labels mature later, it is later than the months the dataset trains on.
        """
        for month in reversed(self.records.months(KIND)):
            record = self.record(month)
            if record is not None and record.digest == digest:
                return month
        return None

    def record_failed_checks(self, as_of: dt.date, failed: dict[str, str]) -> None:
        """Keep the failed checks of a month's dataset for the warnings of the month."""
        record = self.record(as_of)
        if record is not None and record.failed_checks != failed:
            self._write(as_of, record.model_copy(update={"failed_checks": failed}))

    def mismatches(self, dataset: TrainingDataset, known_at: dt.datetime) -> int:
        """How many cells differ from a direct read of the lake, without Feast."""
        view = self.lake.view(known_at, as_at_scoring=True)
        dtypes: dict[str, Any] = {**canonical_dtypes(self.lake.contract)}
        wrong = 0
        for month in dataset.window.months:
            rows = dataset.frame[dataset.frame[AS_OF] == month.isoformat()]
            for spec in self.lake.contract.feature_views.values():
                truth = _looked_up(
                    self.lake, spec.table, view[spec.table].get(month), rows, spec.features
                )
                for name in spec.features:
                    ours = rows[name].reset_index(drop=True)
                    theirs = truth[name].astype(dtypes[name])
                    same = (ours == theirs).fillna(value=False) | (ours.isna() & theirs.isna())
                    wrong += int((~same).sum())
        return wrong

    def _write(
        self, as_of: dt.date, record: DatasetRecord, frame: pd.DataFrame | None = None
    ) -> None:
        self.records.write(KIND, as_of, record.model_dump(mode="json", exclude_unset=True), frame)

    def _label_plausibility(
        self, months: Months, as_of: dt.date, window: Window
    ) -> dict[str, JsonValue]:
        """Judge the newest labels of the window against those of the matured month before."""
        newest = window.training[-1]
        labels = _labels(self.labels, newest, self.now()).kept
        earlier = [month for month in months.matured(as_of) if month < newest]
        before = _labels(self.labels, earlier[-1], self.now()).kept if earlier else None
        contract = self.lake.contract
        may_return = contract.label.no_event is not None
        judged = judge_labels(labels, before, contract.policy.training, may_return=may_return)
        found = asdict(judged)
        return {"as_of": newest.isoformat(), **found, "warnings": list(found["warnings"])}


def join(
    labels: CorrectedLabels, store: "FeatureStore", window: Window, known_at: dt.datetime
) -> TrainingDataset:
    """The dataset of a window as known at an instant, whatever was corrected since.

    Features are joined for the sampled customers only, if the policy limits the rows.

    Raises:
        IntegrityError: the labels of a month are gone, or the join cannot be trusted.
    """
    lake = labels.lake
    view = lake.view(known_at, as_at_scoring=True)
    drawn = draw(
        lake.contract.policy.training, window, lambda month: _labels(labels, month, known_at)
    )
    spine = pd.concat(
        [_spine(lake, month, drawn.labels_of(month), view) for month in window.months],
        ignore_index=True,
    )
    dataset = assemble(lake.contract, spine, store.historical(view, spine), window)
    origin = Origin(known_at.isoformat(), view_digests(view, window.months))
    return replace(dataset, origin=origin, sample=drawn.sample)


def typed(contract: Contract, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a published dataset with the types that its digest covers."""
    dtypes = {n: dtype for n, dtype in canonical_dtypes(contract).items() if n in frame}
    frame = frame.astype({**dtypes, LABEL: "boolean"})
    for name in (LABEL, HOLDOUT, OUTSIDE):
        if name in frame:
            frame[name] = frame[name].astype(bool)
    return frame


def _spine(lake: Lake, month: dt.date, found: MonthLabels, view: View) -> pd.DataFrame:
    """The labelled entities of a month with the weights of their labels and their carried
    columns, all as known then.
    """
    spine = found.churned.rename(LABEL).reset_index().assign(as_of=month.isoformat())
    if found.correction is not None:
        spine[WEIGHT] = found.correction.weights
        spine[OUTSIDE] = found.correction.outside
    wanted: dict[str, list[str]] = {}
    for name, table in lake.contract.carried.items():
        wanted.setdefault(table, []).append(name)
    parts = [
        _looked_up(lake, table, view[table].get(month), spine, names)
        for table, names in wanted.items()
    ]
    return pd.concat([spine, *parts], axis=1)


def _labels(labels: CorrectedLabels, month: dt.date, known_at: dt.datetime) -> MonthLabels:
    found = labels.of(month, known_at)
    if found is None:
        raise IntegrityError(f"The lake has no labels of {month} any more.")
    return found


def _looked_up(
    lake: Lake, name: str, file: LakeFile | None, rows: pd.DataFrame, columns: Sequence[str]
) -> pd.DataFrame:
    """Columns of a table's file for the entities of `rows` (rows,); null where it has none."""
    key = lake.contract.entity.column
    if file is None:
        return pd.DataFrame(None, index=range(len(rows)), columns=list(columns), dtype=object)
    table = lake.read_table(name, file.path, [key, *columns])
    return table.set_index(key).reindex(rows[key]).reset_index(drop=True)
