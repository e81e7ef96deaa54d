"""Rows of customers and versions of a home, with one sentence for what is not there."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from churn_platform.base.errors import ContractError, DataError, UsageError
from churn_platform.base.text import Month, month_of
from churn_platform.contract.model import Contract
from churn_platform.drift.result import DriftResult
from churn_platform.evaluation.curves import calibration_bins
from churn_platform.features.training_dataset import (
    LABEL,
    OUTSIDE,
    WEIGHT,
    TrainingDataset,
    row_weights,
    trained_on,
)
from churn_platform.features.training_datasets import KIND
from churn_platform.lake.tables import feature_frame, unknown_customer
from churn_platform.monitoring.drift import drift_record
from churn_platform.notebooks.tables import AS_OF, with_month
from churn_platform.promotion.promotions import released
from churn_platform.scoring.scoring import list_file
from churn_platform.training.candidate import Candidate
from churn_platform.training.stored_version import stored_version

if TYPE_CHECKING:
    from churn_platform.contacts.campaign import CampaignRecord
    from churn_platform.services import Services


def table_of_month(home: "Services", table: str, as_of: Month | None) -> pd.DataFrame:
    """A table of a month, the newest delivery.

    Raises:
        UsageError: the month was not published, or has no such table.
    """
    month = published_month(home, as_of)
    entries = home.lake.entries(month)
    if table not in entries:
        raise UsageError(
            f"There is no table {table!r} of {month}; there are {', '.join(sorted(entries))}.",
            code="TABLE_UNKNOWN",
        )
    return home.lake.read_table(table, home.lake.path(entries[table]))


def feature_rows(
    home: "Services", keys: Iterable[object] | None, as_of: Month | None
) -> pd.DataFrame:
    """The features of customers of a month as scoring reads them, in the order of the keys.

    Raises:
        UsageError: the month was not published, or lacks a customer.
    """
    month = published_month(home, as_of)
    contract = home.lake.contract
    key = contract.entity.column
    rows = feature_frame(contract, home.lake.tables(month))
    rows.insert(1, AS_OF, pd.Timestamp(month))
    if keys is None:
        return rows
    # A key is compared as text, as in the terminal and by the API.
    wanted = [str(one) for one in ([keys] if isinstance(keys, str) else keys)]
    places = pd.Index(rows[key].astype(str)).get_indexer(pd.Index(wanted, dtype=object))
    unknown = np.flatnonzero(places < 0)
    if unknown.size:
        raise unknown_customer(contract, wanted[unknown[0]], month)
    return rows.iloc[places].reset_index(drop=True)


def recorded_dataset(home: "Services", as_of: Month | None) -> TrainingDataset:
    """The training dataset of a month, or the newest one.

    Raises:
        UsageError: the month has no dataset.
        DataError: no labels had matured by then.
        IntegrityError: its rows are not those that were recorded.
    """
    datasets = home.training_datasets
    months = home.records.months(KIND)
    if as_of is not None:
        month = chosen_month(months, as_of, "training dataset")
    else:
        with_labels = [one for one in months if (home.records.read(KIND, one) or {}).get("digest")]
        if not with_labels:
            raise DataError("No labels have matured yet.", code="LABELS_NOT_MATURED")
        month = with_labels[-1]
    found = datasets.load(month)
    if found is None:
        raise DataError(
            f"No labels had matured by {month}, so there is no training dataset.",
            code="LABELS_NOT_MATURED",
        )
    return found


def dataset_frame(dataset: TrainingDataset) -> pd.DataFrame:
    """The rows of a training dataset with their weights and what each is used for."""
    frame = dataset.frame
    training = dataset.chosen(dataset.window.training, holdout=False)
    held = dataset.chosen(dataset.window.holdout, holdout=True)
    weight = frame[WEIGHT].astype(float) if WEIGHT in frame else 1.0
    part = pd.Series(np.where(training, "training", ""), index=frame.index).mask(held, "holdout")
    shown = frame.drop(columns=[name for name in (WEIGHT, OUTSIDE) if name in frame])
    return with_month(shown).assign(weight=weight, part=part)


@dataclass(frozen=True)
class HoldoutCalibration:
    """The calibration of a version on holdout customers.

    Attributes:
        bins: (bins,) predicted, observed, rows.
        weighted: Whether rows stand for more than one customer each.
    """

    version: int | None
    bins: pd.DataFrame
    weighted: bool


def holdout_calibration(
    home: "Services", version: int | None, as_of: Month | None
) -> HoldoutCalibration:
    """The calibration of a version, without customers that it was trained on.

    Raises:
        UsageError, DataError: as `candidate_of_version` and `recorded_dataset`.
    """
    found = candidate_of_version(home, version)
    if not len(found.training_entities):
        raise DataError(
            f"Version {found.version} does not record which customers it was trained on, so the"
            " holdout may not be new to it.",
            code="NOT_MEASURED",
        )
    dataset = recorded_dataset(home, as_of)
    rows = dataset.holdout_rows()
    seen = trained_on(rows[home.contract.entity.column], found.training_entities)
    rows = rows[~seen].reset_index(drop=True)
    if rows.empty:
        raise DataError(
            f"Version {found.version} was trained on every customer of the holdout.",
            code="NOT_MEASURED",
        )
    weights = row_weights(rows)
    bins = calibration_bins(
        rows[LABEL].to_numpy(dtype=bool), found.model.probability(rows), weights
    )
    return HoldoutCalibration(found.version, bins, weights is not None)


def candidate_of_version(home: "Services", version: int | None) -> Candidate:
    """A version with its files verified; the one in production by default.

    Raises:
        UsageError: there is no such version, or none in production.
        IntegrityError: a file was changed.
    """
    if version is None:
        pointer = home.releases.pointer()
        if pointer is None:
            raise UsageError("No version is in production yet.", code="NO_PRODUCTION")
        version = pointer.version
    if version in home.releases.versions():
        return released(home.releases, version)
    return stored_version(home.folder, home.contract.model_name, version)


def contract_of_version(home: "Services", version: Candidate) -> Contract:
    """The words of a version: as the contract in use has them, else as its model card has."""
    try:
        return home.version_contracts.of(version.card)
    except ContractError:
        return home.version_contracts.own(version.card)


def scored_customers(home: "Services", as_of: Month | None) -> pd.DataFrame:
    """The scores of a month with the reasons of its list.

    Raises:
        UsageError: the month was not scored.
    """
    wanted = None if as_of is None else month_of(as_of).isoformat()
    month, _, _ = home.status.scored_month(wanted)
    scores = with_month(home.records.frame("scores", month))
    path = list_file(home.reports, month).with_suffix(".parquet")
    if not path.exists():
        return scores
    listed = home.lake.read(path)
    key = scores.columns[0]
    reasons = [name for name in listed.columns if name.startswith("reason_")]
    if key not in listed.columns:
        return scores
    return scores.merge(listed[[key, *reasons]], on=key, how="left")


def planned_customers(home: "Services", as_of: Month | None) -> pd.DataFrame:
    """The registered plan of a month.

    Raises:
        UsageError: the contract names no contacts, or the month has no plan.
        IntegrityError: its rows are not those that were registered.
    """
    require_contacts(home)
    month = chosen_month(home.contact_plans.months(), as_of, "contact plan")
    rows = home.contact_plans.rows(month).copy()
    rows.insert(1, AS_OF, pd.Timestamp(month))
    return rows


@dataclass(frozen=True)
class MeasuredDrift:
    """The drift of a month against the training data of a version."""

    as_of: dt.date
    version: int | None
    result: DriftResult


def recorded_drift(home: "Services", as_of: Month | None) -> MeasuredDrift:
    """The drift of a month; of the newest one by default.

    Raises:
        UsageError: the month has no drift report.
        DataError: drift was not measured, because no version was in production.
    """
    months = home.records.months("drift_report")
    if as_of is not None:
        month = chosen_month(months, as_of, "drift report")
        months = [month]
    for month in reversed(months):
        record = drift_record(home.records, month)
        if record.result is not None:
            return MeasuredDrift(month, record.production_version, record.result)
    named = f" of {as_of}" if as_of is not None else ""
    raise DataError(
        f"The drift{named} was not measured: no version was in production before the month.",
        code="NOT_MEASURED",
    )


def recorded_effect(home: "Services") -> "CampaignRecord":
    """What contacting was worth.

    Raises:
        UsageError: the contract names no contacts.
        DataError: nothing is known yet.
    """
    require_contacts(home)
    record = home.campaigns.newest()
    if record is None or record.effect is None:
        why = record.sentence if record is not None else "No month was measured yet."
        raise DataError(why, code="NOT_MEASURED")
    return record


def require_contacts(home: "Services") -> None:
    """Raise UsageError if the contract names no contacts."""
    if home.contract.contacts is None:
        raise UsageError(
            "The contract names no contacts (docs/contacts.md).", code="CONTACTS_NOT_DECLARED"
        )


def published_month(home: "Services", as_of: Month | None) -> dt.date:
    """A published month; the newest by default.

    Raises:
        UsageError: it was not published.
    """
    return chosen_month(home.lake.months(), as_of, "snapshot")


def chosen_month(months: Sequence[dt.date], as_of: Month | None, what: str) -> dt.date:
    """The asked month, or the newest of the months.

    Raises:
        UsageError: it is not one of them.
    """
    wanted = months[-1] if as_of is None and months else None
    if as_of is not None:
        wanted = month_of(as_of)
    if wanted is None or wanted not in months:
        named = f" of {as_of}" if as_of is not None else ""
        known = ", ".join(month.isoformat() for month in months) or "none yet"
        raise UsageError(f"There is no {what}{named}; months: {known}.", code="MONTH_UNKNOWN")
    return wanted
