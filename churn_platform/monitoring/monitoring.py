"""Runs drift and realised performance on a home: reads snapshots and releases, keeps the
records.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from churn_platform.base.errors import IntegrityError
from churn_platform.drift.measure import Rows
from churn_platform.drift.result import (
    DriftFigures,
    DriftResult,
    Thresholds,
    aged_reference,
    drift_alarms,
)
from churn_platform.features.labels import with_a_rate
from churn_platform.features.training_dataset import AS_OF
from churn_platform.ingestion.month_warnings import repetition_sentence
from churn_platform.lake.tables import feature_frame
from churn_platform.lake.window import Months
from churn_platform.monitoring.challengers import (
    Labelled,
    Look,
    carry_out_proposal,
    record_proposal,
)
from churn_platform.monitoring.performance import realised
from churn_platform.monitoring.stand_down import record_stand_down
from churn_platform.promotion.promotions import production_candidate, released
from churn_platform.services import Services

ANSWERED_MONTHS = 2
"""Of how many matured months the answers are judged: labels come with the next drop at the
earliest.
"""


@dataclass(frozen=True)
class DriftOutcome:
    """A month's drift, or a note with the reason."""

    result: DriftResult | None
    alarms: tuple[str, ...]
    note: str
    html: Path


def report_drift(home: Services, as_of: dt.date) -> DriftOutcome:
    """Compare a month with every row of the months that production was trained on; keep report
    and record.

    Ages of the reference, and production's predictions, are those of the reference's customers
    as they are now old.
    """
    html = home.reports / as_of.isoformat() / "drift.html"
    record: dict[str, Any] = {
        **Months(home.lake, home.contract).made_from(as_of),
        "production_version": None,
    }
    production = production_candidate(home.releases)
    if production is None:
        home.records.write("drift_report", as_of, record | {"alarms": [], "result": None})
        return DriftOutcome(
            None,
            (),
            "There is no production model yet, so there is nothing to compare with.",
            html,
        )
    from churn_platform.drift.report import write_report

    months = [dt.date.fromisoformat(month) for month in production.card.months]
    known, reference_labels = _rows(home, months)
    current, current_labels = _rows(home, [as_of])
    reference = aged_reference(home.contract, known, known[AS_OF].tolist(), current, as_of)
    features = list(home.contract.features)
    result = write_report(
        home.contract,
        Rows(reference[features], reference_labels, production.model.probability(reference)),
        Rows(current[features], with_a_rate(current_labels), production.model.probability(current)),
        month=as_of.isoformat(),
        reference_months=production.card.months,
        html=html,
        json=html.with_suffix(".json"),
        seed=home.contract.policy.training.seed,
    )
    alarms = _alarms(home, as_of, production.version, result)
    note = f"{len(reference):,} rows of {', '.join(production.card.months)}"
    record |= {
        "production_version": production.version,
        "alarms": list(alarms),
        "result": result.as_dict(),
    }
    home.records.write("drift_report", as_of, record)
    return DriftOutcome(result, alarms, note, html)


def evaluate_versions(home: Services, as_of: dt.date) -> list[dict[str, Any]]:
    """Realised performance of the versions that are followed, on the newest matured month up to
    `as_of`.

    Keeps the record, with the verdict of time: whether one of them should be in production
    instead.
    """
    months = Months(home.lake, home.contract)
    matured = months.matured(as_of)
    made_from = months.made_from(as_of)
    look = Look(home)
    newest = matured[-home.contract.policy.verdict.months :]
    labelled = {month: found for month in newest if (found := _labelled(home, month)) is not None}
    evaluated: list[dict[str, Any]] = []
    if matured and matured[-1] in labelled:
        evaluated = _evaluated(home, look, matured[-1], labelled[matured[-1]])
    verdict, proposal = look.verdict(labelled)
    answered = review_answers(home, matured[-ANSWERED_MONTHS:])
    record = {**made_from, "evaluated": evaluated, "verdict": verdict, "answered": answered}
    home.records.write("performance", as_of, record)
    record_proposal(home, proposal, {**made_from, "policy": home.contract.policy_hash})
    if proposal is not None and home.contract.policy.verdict.automatic:
        carry_out_proposal(home, proposal)
    record_stand_down(home)
    return evaluated


def _evaluated(
    home: Services, look: Look, month: dt.date, labelled: Labelled
) -> list[dict[str, Any]]:
    """An entry a followed version, production's last; the others are of later months than they
    trained on.
    """
    rows, labels = labelled
    truth = pd.Series(labels.to_numpy(), index=rows[home.contract.entity.column])
    day = month.isoformat()
    sentence = repetition_sentence(home.lake.compared(month))
    if sentence:
        repeated = {"warning": f"The data of {day} is in doubt. {sentence}"}
    else:
        repeated = {}
    entries = []
    for number, version in look.versions.items():
        trained = version.card.as_of
        if trained < day or (number == look.production and trained == day):
            found = realised(home.contract, rows, truth, version, day)
            entries.append(found | {"state": look.state(number)} | repeated)
    unread = [
        {
            "version": number,
            "as_of": day,
            "rows": 0,
            "metrics": None,
            "note": why,
            "state": look.state(number),
        }
        for number, why in look.faults.items()
    ]
    return sorted(
        [*entries, *unread],
        key=lambda entry: (entry["state"] == "production", entry["version"]),
    )


def _labelled(home: Services, month: dt.date) -> Labelled | None:
    """A month's rows that have a label; None if absent."""
    rows, labels = _rows(home, [month])
    if labels is None:
        return None
    known = labels.notna().to_numpy(dtype=bool)
    return rows[known].reset_index(drop=True), labels[known].astype(bool).reset_index(drop=True)


def review_answers(home: Services, months: Sequence[dt.date]) -> list[dict[str, Any]]:
    """What the API answered about these matured months, by month and version; tidies the
    prediction log first.
    """
    from churn_platform.monitoring.prediction_log import last_answers, tidy
    from churn_platform.monitoring.served_performance import review, unjudged

    folder = home.predictions
    key = home.contract.entity.column
    tidy(folder, home.now().date(), home.contract.policy.serving.keep_answers_days)
    found = []
    answers = last_answers(folder, key, months)
    for number, month in sorted(
        {*zip(answers["version"].astype(int), answers["features_as_of"], strict=True)}
    ):
        labels = home.lake.labels(month, home.now())
        if labels is None or number not in home.releases.versions():
            continue
        rows = answers[(answers["version"] == number) & (answers["features_as_of"] == month)]
        try:
            version = released(home.releases, number)
        except IntegrityError as error:  # it does not serve: its answers must not stop the month
            found.append(unjudged(rows, number, month.isoformat(), str(error)))
            continue
        truth = labels.dropna().astype(bool)
        learnt, _ = _rows(home, [dt.date.fromisoformat(one) for one in version.card.months])
        reference = version.model.probability(learnt)
        found.append(review(home.contract, rows, truth, version, month.isoformat(), reference))
    return found


def _rows(home: Services, months: list[dt.date]) -> tuple[pd.DataFrame, pd.Series | None]:
    """Feature rows of whole months and their labels (rows,), null where unknown; None when no
    month has any.
    """
    key = home.contract.entity.column
    parts = []
    labels = []
    for month in months:
        rows = feature_frame(home.contract, home.lake.tables(month))
        known = home.lake.labels(month, home.now())
        parts.append(rows.assign(**{AS_OF: month}))
        labels.append(
            pd.Series(pd.NA, index=rows.index, dtype="boolean")
            if known is None
            else rows[key].map(known)
        )
    joined = pd.concat(labels, ignore_index=True).astype("boolean")
    return pd.concat(parts, ignore_index=True), joined if joined.notna().any() else None


def _alarms(
    home: Services, as_of: dt.date, version: int | None, result: DriftResult
) -> tuple[str, ...]:
    earlier = [month for month in home.records.months("drift_report") if month < as_of]
    if earlier:
        before = home.records.read("drift_report", earlier[-1])
    else:
        before = None
    alarmed = (
        before is not None and before["production_version"] == version and bool(before["alarms"])
    )
    hysteresis = home.contract.policy.retraining.hysteresis
    return drift_alarms(DriftFigures.of(result), Thresholds.of(result), hysteresis, alarmed=alarmed)
