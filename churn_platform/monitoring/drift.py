"""Drift of a month against everything that the production model was trained on."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from churn_platform.base.stored import Stored
from churn_platform.contacts.labels import CorrectedLabels, MonthLabels
from churn_platform.contract.views import lacking_features
from churn_platform.drift.measure import Rows
from churn_platform.drift.result import DriftResult, aged_reference, drift_alarms
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.features.labels import with_a_rate
from churn_platform.features.training_dataset import AS_OF
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame, without_values
from churn_platform.monitoring.versions import Versions

CHURN = "churn label"
"""How a result names the label; no feature has a name with a space."""


class DriftRecord(Stored):
    """The record of the step `drift_report`."""

    snapshot: str = ""
    inputs: str = ""
    production_version: int | None = None
    alarms: tuple[str, ...] = ()
    result: DriftResult | None = None
    """None before there was a production model."""


@dataclass(frozen=True)
class DriftOutcome:
    """A month's drift; without a production model only the note why there is none."""

    result: DriftResult | None
    alarms: tuple[str, ...]
    note: str
    html: Path


@dataclass(frozen=True)
class DriftMonitor:
    """Reports the drift of one home's months and keeps the records."""

    labels: CorrectedLabels
    records: Records
    versions: Callable[[], Versions]
    reports: Path
    now: Callable[[], dt.datetime]

    def report(self, as_of: dt.date) -> DriftOutcome:
        """Compare a month with the months that production was trained on; write the page and
        the record.

        The ages in the reference, and production's predictions on it, are those of today.
        """
        html = self.reports / as_of.isoformat() / "drift.html"
        versions = self.versions()
        production = versions.production()
        if production is None:
            self._record(as_of, None, (), None)
            note = "There is no production model yet, so there is nothing to compare with."
            return DriftOutcome(None, (), note, html)
        contracts = versions.contracts
        why_not = contracts.why_not(production.card)
        if why_not:
            self._record(as_of, production.version, (), None)
            return DriftOutcome(None, (), f"Version {production.version}: {why_not}", html)
        months = [dt.date.fromisoformat(month) for month in production.card.months]
        if not months or not set(months) <= set(self.labels.lake.months()):
            self._record(as_of, production.version, (), None)
            note = (
                f"Version {production.version} was imported, and the home does not have the rows"
                " that it was trained on, so there is nothing to compare the month with."
            )
            return DriftOutcome(None, (), note, html)
        from churn_platform.drift.report import write_report

        contract = contracts.of(production.card)
        names = production.card.months
        known, reference_labels = feature_rows(self.labels, months, self.now())
        current, current_labels = feature_rows(self.labels, [as_of], self.now())
        lacking = lacking_features(contract, (as_of, *months))
        not_applicable = {name: f"{month} does not have it" for name, month in lacking.items()}
        for name in contracts.not_read(production.card):
            not_applicable[name] = f"version {production.version} does not read it"
        if not contracts.predicts(production.card, as_of):
            current_labels = LabelColumns()
            not_applicable[CHURN] = (
                f"{as_of} defines churn in another way than version {production.version}"
            )
        reference = aged_reference(contract, known, known[AS_OF].tolist(), current, as_of)
        features = list(contract.features)
        # What one side does not have is missing on both, or it would be drift of the predictions.
        empty = {name: contract.features[name].dtype for name in lacking}
        before = production.model.probability(without_values(reference, empty))
        now = production.model.probability(without_values(current, empty))
        result = write_report(
            contract,
            Rows(reference[features], reference_labels.churned, before, reference_labels.weights),
            Rows(
                current[features],
                with_a_rate(current_labels.churned),
                now,
                current_labels.weights,
            ),
            month=as_of.isoformat(),
            reference_months=names,
            html=html,
            json=html.with_suffix(".json"),
            seed=contract.policy.training.seed,
            not_applicable=not_applicable,
        )
        alarms = drift_alarms(
            result,
            contract.policy.retraining.hysteresis,
            alarmed=self._alarmed_before(as_of, production.version),
        )
        self._record(as_of, production.version, alarms, result)
        note = f"{len(reference):,} rows of {', '.join(names)}"
        if not_applicable:
            note += f"; not applicable: {', '.join(not_applicable)}"
        return DriftOutcome(result, alarms, note, html)

    def _record(
        self,
        as_of: dt.date,
        version: int | None,
        alarms: tuple[str, ...],
        result: DriftResult | None,
    ) -> None:
        made_from = self.labels.months().made_from(as_of)
        record = DriftRecord(**made_from, production_version=version, alarms=alarms, result=result)
        self.records.write("drift_report", as_of, record.as_json())

    def _alarmed_before(self, as_of: dt.date, version: int | None) -> bool:
        """Whether the report of the month before raised an alarm for the same version."""
        earlier = [month for month in self.records.months("drift_report") if month < as_of]
        if not earlier:
            return False
        before = drift_record(self.records, earlier[-1])
        return before.production_version == version and bool(before.alarms)


def drift_record(records: Records, as_of: dt.date) -> DriftRecord:
    """The record of a month's drift report; an empty one without a report."""
    return DriftRecord.read(records.read("drift_report", as_of), f"The drift record of {as_of}")


@dataclass(frozen=True, eq=False)
class LabelColumns:
    """Labels of feature rows, (rows,) booleans, null where unknown, and how many customers each
    stands for. None where no row has a label, or all count alike.
    """

    churned: pd.Series | None = None
    weights: FloatArray | None = None


def feature_rows(
    labels: CorrectedLabels, months: Sequence[dt.date], known_at: dt.datetime
) -> tuple[pd.DataFrame, LabelColumns]:
    """The feature rows of complete months with their labels, each of shape (rows,)."""
    lake = labels.lake
    parts = [
        feature_frame(lake.contract, lake.tables(month)).assign(**{AS_OF: month})
        for month in months
    ]
    keys = [rows[lake.contract.entity.column] for rows in parts]
    known = [labels.of(month, known_at) for month in months]
    return pd.concat(parts, ignore_index=True), label_columns(keys, known)


def label_columns(keys: Sequence[pd.Series], labels: Sequence[MonthLabels | None]) -> LabelColumns:
    """The labels of the rows of some months, below each other.

    Args:
        keys: the customers of each month.
        labels: the labels of each month; None without any.
    """
    churned = []
    weights = []
    for own, known in zip(keys, labels, strict=True):
        if known is None:
            churned.append(pd.Series(pd.NA, index=own.index, dtype="boolean"))
            weights.append(np.zeros(len(own)))
        else:
            churned.append(own.map(known.churned))
            weights.append(known.weights_of(own))
    joined = pd.concat(churned, ignore_index=True).astype("boolean")
    if not joined.notna().any():
        return LabelColumns()
    if not any(known is not None and known.correction is not None for known in labels):
        return LabelColumns(joined)
    return LabelColumns(joined, np.concatenate(weights))
