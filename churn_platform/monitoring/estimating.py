"""Estimates the performance of production on a month without labels, and explains why a realised
figure fell. Nothing is decided by either.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.contacts.campaign import Campaigns
from churn_platform.contacts.labels import CorrectedLabels, MonthLabels
from churn_platform.contacts.plan import contacts_of
from churn_platform.contacts.profit import SaveRate
from churn_platform.contacts.saved_value import saved_values
from churn_platform.contacts.value import ContactTerms
from churn_platform.contract.model import Contract
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.monitoring.challengers import LabelledRows
from churn_platform.monitoring.estimate import (
    FallSplit,
    FigureEstimate,
    PerformanceEstimate,
    ReferenceRows,
    ScoredRows,
    Spending,
    estimate,
    split_fall,
)
from churn_platform.monitoring.estimated_month import (
    EstimatedMonth,
    EstimatedValue,
    FallExplained,
)
from churn_platform.monitoring.performance import (
    VersionPerformance,
    fell_below,
    seen_in_training,
)
from churn_platform.monitoring.versions import Versions
from churn_platform.training.candidate import Candidate

TWO_SIDED = 1.96
ENOUGH_ROWS = 5_000
"""Older months are added to the reference until it has as many rows."""


@dataclass(frozen=True)
class Estimating:
    """Makes the estimates of one home."""

    labels: CorrectedLabels
    records: Records

    @property
    def contract(self) -> Contract:
        """The home's."""
        return self.labels.lake.contract

    def of_month(
        self,
        as_of: dt.date,
        version: Candidate,
        versions: Versions,
        labelled: Mapping[dt.date, LabelledRows],
    ) -> EstimatedMonth | None:
        """The estimate of a month without labels; None before production has any reference.

        Args:
            as_of: the month.
            version: in production.
            versions: of the home.
            labelled: the newest months with matured labels.
        """
        number = _number(version)
        found = self._reference(version, versions, labelled)
        if found is None or "auc_interval" not in version.card.metrics:
            return None
        reference, months = found
        tables = self.labels.lake.tables(as_of)
        rows = feature_frame(self.contract, tables)
        made = EstimatedMonth(
            as_of=as_of.isoformat(),
            version=number,
            rows=len(rows),
            promoted_interval=version.card.metrics["auc_interval"],
            reference_months=months,
            reference_rows=len(reference.churned),
        )
        fewest = self.contract.policy.promotion.min_holdout_churners
        churners, others = reference.classes
        if min(churners, others) < fewest:
            note = (
                f"The reference has {churners:,} effective churners and {others:,} others that the"
                f" version did not learn from; {fewest} of each are needed."
            )
            return made.model_copy(update={"note": note})
        spending = self._spending(as_of, rows, tables)
        seed = self.contract.policy.training.seed
        figures = estimate(reference, scored(version, rows), spending, seed)
        if figures is None:
            note = (
                "The customers are too different from those of the reference months"
                f" {', '.join(months)}: fewer than a fifth of these are like them. Wait for the"
                " labels."
            )
            return made.model_copy(update={"note": note})
        corrected = self.contract.contacts is not None
        update = {
            "reference_auc": figures.reference_auc,
            "effective_share": figures.effective_share,
            "auc": _recorded(figures.auc),
            "brier": _recorded(figures.brier),
            "churn_rate": _recorded(figures.churn_rate),
            "contacts": spending.contacts,
            "hits": _recorded(figures.hits),
            "fell": fell_by_customers(figures, made.promoted_interval, corrected=corrected),
        }
        if figures.value is not None:
            update["value"] = _recorded(figures.value)
            update["unit"] = "money" if self.contract.contact_value_given else "customers"
        return made.model_copy(update=update)

    def explained(
        self,
        entry: VersionPerformance,
        version: Candidate,
        versions: Versions,
        month: LabelledRows,
    ) -> FallExplained | None:
        """Why the realised AUC of production is below that of its promotion; None where it is
        not.

        Args:
            entry: its realised performance on a month.
            version: in production.
            versions: of the home.
            month: the rows of that month.
        """
        metrics = entry.judged
        if metrics is None or metrics.inverted or entry.as_of <= version.card.as_of:
            return None
        if "auc_interval" not in version.card.metrics:  # imported: never measured at a promotion
            return None
        promoted = version.card.metrics["auc_interval"]
        corrected = entry.contacts is not None
        if not fell_below(metrics.auc, metrics.auc_interval, promoted, corrected=corrected):
            return None
        found = self._reference(version, versions, self._training_months(version))
        rows, labels = month
        kept = _kept(labels)
        if found is None or not kept.any():
            return FallExplained(sentence=_unknown(version, entry.as_of))
        reference, _ = found
        rows = rows[kept].reset_index(drop=True)
        split = split_fall(
            reference,
            scored(version, rows),
            labels.churned.to_numpy(dtype=bool)[kept],
            labels.weights_of(rows[self.contract.entity.column]),
        )
        if split is None:
            return FallExplained(sentence=_unknown(version, entry.as_of))
        return explanation(split, _number(version), entry.as_of)

    def _training_months(self, version: Candidate) -> dict[dt.date, LabelledRows]:
        """The labelled rows of the months that a version was trained on."""
        key = self.contract.entity.column
        found = {}
        for name in version.card.months:
            month = dt.date.fromisoformat(name)
            labels = self.labels.of(month, self.labels.now())
            if labels is None:
                continue
            rows = feature_frame(self.contract, self.labels.lake.tables(month))
            rows = rows[rows[key].isin(labels.churned.index)].reset_index(drop=True)
            found[month] = (rows, labels.of_customers(rows[key]))
        return found

    def _reference(
        self, version: Candidate, versions: Versions, labelled: Mapping[dt.date, LabelledRows]
    ) -> tuple[ReferenceRows, tuple[str, ...]] | None:
        """The rows of the newest of these months that the version did not learn from, and whose
        label no contact may have changed; and these months. None without a row of each class.
        """
        key = self.contract.entity.column
        first = min(version.card.months, default="")
        frames: list[pd.DataFrame] = []
        churned = []
        weights = []
        months: list[str] = []
        rows_so_far = 0
        for month, (rows, labels) in sorted(labelled.items(), reverse=True):
            day = month.isoformat()
            if rows_so_far >= ENOUGH_ROWS:
                break
            if day < first or versions.why_not_comparable(_number(version), month):
                continue
            kept = _kept(labels) & ~seen_in_training(rows[key], version, day)
            if not labels.measurable or not kept.any():
                continue
            rows_so_far += int(kept.sum())
            months.append(day)
            frames.append(rows[kept])
            churned.append(labels.churned.to_numpy(dtype=bool)[kept])
            weights.append(labels.weights_of(rows[key])[kept])
        if not frames:
            return None
        joined = pd.concat(frames, ignore_index=True)
        truth = np.concatenate(churned)
        if truth.all() or not truth.any():
            return None
        customers = pd.factorize(joined[key])[0]
        reference = ReferenceRows(
            scored(version, joined), truth, np.concatenate(weights), customers
        )
        return reference, tuple(sorted(months))

    def _spending(
        self, as_of: dt.date, rows: pd.DataFrame, tables: dict[str, pd.DataFrame]
    ) -> Spending:
        """The budget of a month, and what contacts are worth where the contract names them."""
        policy = self.contract.policy.contacts
        if self.contract.contacts is None:
            return Spending(min(self.contract.policy.scoring.listed, len(rows)))
        in_money = self.contract.contact_value_given
        value = np.ones(len(rows))
        if in_money:
            value = saved_values(self.contract, tables, rows[self.contract.entity.column])
        newest = Campaigns(self.labels, self.records).newest(as_of)
        rate = SaveRate() if newest is None else newest.save_rate
        return Spending(
            contacts=min(contacts_of(policy, len(rows)), len(rows)),
            value=value,
            terms=ContactTerms(
                rate.mean,
                policy.contact_cost if in_money else 0.0,
                policy.incentive if in_money else 0.0,
            ),
        )


def scored(version: Candidate, rows: pd.DataFrame) -> ScoredRows:
    """Rows as a version sees them."""
    return ScoredRows(*version.model.scored(rows))


def fell_by_customers(
    figures: PerformanceEstimate, promoted: tuple[float, float], *, corrected: bool
) -> bool:
    """Whether the customers of a month lower the AUC below that of the promotion. A reference
    that fell already is a change of what drives churn, which realised figures show.

    Args:
        figures: of the month.
        promoted: interval of the AUC at promotion.
        corrected: whether labels are corrected for contacts.
    """
    if figures.reference_auc < promoted[0]:
        return False
    interval = (figures.auc.interval.low, figures.auc.interval.high)
    return fell_below(figures.auc.value, interval, promoted, corrected=corrected)


def explanation(split: FallSplit, version: int, as_of: str) -> FallExplained:
    """Which part of a fall is more than chance, and what to do about it.

    Args:
        split: of the fall.
        version: in production.
        as_of: the month.
    """
    customers = _with_error(split.customers, split.customers_error)
    drivers = _with_error(split.drivers, split.drivers_error)
    of_customers = customers.interval[1] < 0
    of_drivers = drivers.interval[1] < 0
    head = (
        f"Since its promotion version {version} lost {-split.change:.3f} in AUC on {as_of}:"
        f" {-split.customers:.3f} because the customers changed, {-split.drivers:.3f} because what"
        " drives churn changed."
    )
    if of_customers and of_drivers:
        cause = "both"
        said = (
            "Both are more than chance. Retrain, and see the drift report for the features that"
            " moved: a new model wins back the second part at most."
        )
    elif of_drivers:
        cause = "drivers"
        said = "What drives churn changed. Retrain: a model of the new labels can learn it."
    elif of_customers:
        cause = "customers"
        said = (
            "The customers changed. They are harder to tell apart, and a new model will hardly be"
            " better. See the drift report for the features that moved, and where these customers"
            " come from."
        )
    else:
        cause = "unknown"
        said = "Neither is more than chance yet. Wait for another month of labels."
    return FallExplained(
        reference_auc=split.reference_auc,
        customers=customers,
        drivers=drivers,
        cause=cause,
        sentence=f"{head} {said}",
    )


def _with_error(value: float, error: float) -> EstimatedValue:
    half = TWO_SIDED * error
    return EstimatedValue(value=value, interval=(value - half, value + half))


def _unknown(version: Candidate, as_of: str) -> str:
    return (
        f"Why version {version.version} fell on {as_of} cannot be said: too few of the customers"
        " of its training months, whom it did not learn from, are like those of the month."
    )


def _recorded(figure: FigureEstimate) -> EstimatedValue:
    ends = (figure.interval.low, figure.interval.high)
    return EstimatedValue(value=figure.value, interval=ends)


def _kept(labels: MonthLabels) -> np.ndarray:
    """Which labels no contact may have changed, shape (rows,)."""
    if labels.correction is None:
        return np.ones(len(labels.churned), dtype=bool)
    return np.asarray((labels.correction.weights > 0) & ~labels.correction.outside)


def _number(version: Candidate) -> int:
    if version.version is None:
        raise ValueError("a version in production has a number")
    return version.version
