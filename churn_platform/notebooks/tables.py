"""What a home has recorded as DataFrames: one row per month, version, act, column or group."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.effect import Estimate
from churn_platform.drift.result import DriftResult
from churn_platform.lake.keys import label_count
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import Receipt
from churn_platform.monitoring.drift import CHURN, drift_record
from churn_platform.monitoring.performance import PerformanceRecord, VersionPerformance
from churn_platform.monitoring.track_record import ShownEstimate
from churn_platform.scoring.scoring import scores_record

if TYPE_CHECKING:
    from churn_platform.services import Services

AS_OF = "as_of"
PREDICTIONS = "predictions"
EVERYONE = "all customers"
_MONTHS = {
    "customers": "int64",
    "churners": "Int64",
    "churn_rate": "float64",
    "quarantined_rows": "int64",
    "drifted_share": "float64",
    "drift_detected": "boolean",
    "scored_by": "Int64",
    "at_risk": "Int64",
    "decision": "object",
    "candidate_version": "Int64",
}
_PERFORMANCE = {
    "version": "Int64",
    "state": "object",
    "rows": "Int64",
    "churners": "Int64",
    "auc": "float64",
    "auc_low": "float64",
    "auc_high": "float64",
    "brier": "float64",
    "log_loss": "float64",
    "lift_at_10": "float64",
    "recall_at_10": "float64",
    "naive_auc": "float64",
    "estimated_auc": "float64",
    "estimated_low": "float64",
    "estimated_high": "float64",
    "note": "object",
}
_EFFECT = {
    "group": "object",
    "value": "object",
    "assigned": "int64",
    "untouched": "int64",
    "prevented": "float64",
    "low": "float64",
    "high": "float64",
    "randomised": "bool",
}


def with_month(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its column as_of as timestamps."""
    return frame.assign(**{AS_OF: pd.to_datetime(frame[AS_OF])})


def months_table(home: "Services") -> pd.DataFrame:
    """One row per published month."""
    decisions = {one.as_of: one for one in home.decisions.all()}
    rows = []
    for month in home.lake.months():
        quarantines = home.lake.quarantines(month).values()
        row: dict[str, Any] = dict.fromkeys(_MONTHS) | {
            AS_OF: month.isoformat(),
            "customers": label_count(home.lake, month).customers,
            "quarantined_rows": sum(found.quarantined for found in quarantines),
        }
        if home.lake.has_labels(month):
            classes = home.lake.classes(month)
            labelled = classes.churners + classes.stayers
            row["churners"] = classes.churners
            row["churn_rate"] = classes.churners / labelled if labelled else None
        drift = drift_record(home.records, month).result
        if drift is not None:
            row |= {"drifted_share": drift.share, "drift_detected": drift.drift_detected}
        scores = scores_record(home.records, month)
        if scores is not None and scores.version is not None:
            row |= {"scored_by": scores.version, "at_risk": scores.contacts}
        decision = decisions.get(month.isoformat())
        if decision is not None:
            version = decision.candidate_version
            row |= {"decision": decision.decision, "candidate_version": version}
        rows.append(row)
    return _typed(rows, _MONTHS)


def performance_table(stored: Records) -> pd.DataFrame:
    """One row per month and version: what labels showed, and what was estimated before."""
    months = stored.months("performance")
    records = [
        PerformanceRecord.read(
            stored.read("performance", month), f"The performance record of {month}"
        )
        for month in months
    ]
    rows: dict[tuple[str, int | None], dict[str, Any]] = {}
    for place, record in enumerate(records):
        for entry in record.evaluated:
            rows.setdefault((entry.as_of, entry.version), {}).update(_measured(entry))
        shown = ShownEstimate.of(records[: place + 1])
        if shown is not None and shown.auc is not None:
            low, high = shown.auc.interval
            rows.setdefault((shown.as_of, shown.version), {}).update(
                as_of=shown.as_of,
                version=shown.version,
                estimated_auc=shown.auc.value,
                estimated_low=low,
                estimated_high=high,
            )
    ordered = [rows[key] for key in sorted(rows, key=lambda key: (key[0], key[1] or 0))]
    return _typed(ordered, _PERFORMANCE)


def _measured(entry: VersionPerformance) -> dict[str, Any]:
    metrics = entry.metrics
    names = ("churners", "auc", "brier", "log_loss", "lift_at_10", "recall_at_10")
    low, high = (None, None) if metrics is None else metrics.auc_interval
    return {
        AS_OF: entry.as_of,
        "version": entry.version,
        "state": entry.state,
        "rows": entry.rows,
        **{name: getattr(metrics, name, None) for name in names},
        "auc_low": low,
        "auc_high": high,
        "naive_auc": None if entry.contacts is None else entry.contacts.naive_auc,
        "note": entry.note or entry.doubt or entry.warning,
    }


def history_table(receipts: Sequence[Receipt]) -> pd.DataFrame:
    """One row per receipt of the ledger, oldest first."""
    columns = [name for name in Receipt.model_fields if name != "previous"]
    rows = [one.model_dump(mode="json", include=set(columns)) for one in receipts]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(time=pd.to_datetime(frame["time"], utc=True, format="ISO8601"))


def drift_table(result: DriftResult) -> pd.DataFrame:
    """One row per feature, the most moved first, then the label and the predictions."""
    rows = [
        {
            "column": one.column,
            "kind": "feature",
            "method": one.method,
            "distance": one.value,
            "threshold": one.threshold,
            "drifted": one.drifted,
            "reason": one.reason,
            "null_share_before": one.null_share_reference,
            "null_share_now": one.null_share_current,
        }
        for one in result.columns
    ]
    rows.sort(key=_times_threshold, reverse=True)
    for name, kind, distance, threshold, drifted in (
        (CHURN, "label", result.target_drift, result.target_threshold, result.target_exceeded),
        (
            PREDICTIONS,
            "predictions",
            result.prediction_drift,
            result.prediction_threshold,
            result.prediction_exceeded,
        ),
    ):
        rows.append(
            {
                "column": name,
                "kind": kind,
                "distance": distance,
                "threshold": threshold,
                "drifted": drifted,
                "reason": result.not_applicable.get(name),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.astype({"distance": "float64", "threshold": "float64", "drifted": bool})


def _times_threshold(row: dict[str, Any]) -> float:
    if row["distance"] is None or not row["threshold"]:
        return -1.0
    return float(row["distance"] / row["threshold"])


def effect_table(record: CampaignRecord) -> pd.DataFrame:
    """One row for all customers, then one per group and per action: the share of customers
    whose leaving the list prevented; NaN where a group is too small or the verdict is withheld.
    """
    found = record.shown
    if found is None:
        return pd.DataFrame(columns=list(_EFFECT)).astype(_EFFECT)
    rows = [
        {
            "group": EVERYONE,
            "value": "",
            "assigned": found.assigned,
            "untouched": found.untouched,
            "randomised": True,
            **_interval(found.effect),
        }
    ]
    rows += [
        {
            "group": part.name,
            "value": part.value,
            "assigned": part.assigned,
            "untouched": part.untouched,
            "randomised": part.randomised,
            **_interval(part.effect),
        }
        for part in (*found.by_slice, *found.by_action)
    ]
    return pd.DataFrame(rows)[list(_EFFECT)].astype(_EFFECT)


def _interval(estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {"prevented": None, "low": None, "high": None}
    interval = estimate.interval
    return {"prevented": estimate.value, "low": interval.low, "high": interval.high}


def _typed(rows: Sequence[dict[str, Any]], dtypes: dict[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[AS_OF, *dtypes]).astype(dtypes)
    return with_month(frame)
