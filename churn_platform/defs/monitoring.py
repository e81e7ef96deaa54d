"""Monitoring: drift since production was trained, and realised performance."""

from collections.abc import Sequence

import dagster as dg

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.features import training_dataset
from churn_platform.defs.ingestion import snapshot
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.monitoring.drift import DriftOutcome
from churn_platform.monitoring.estimate_history import EstimateHistory
from churn_platform.monitoring.performance import ServedPerformance, VersionPerformance
from churn_platform.monitoring.track_record import CheckedMonth, ShownEstimate
from churn_platform.services import Services


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="monitoring",
    deps=[snapshot],
    kinds={"evidently"},
)
def drift_report(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Evidently's report of this month against everything the production model was trained on.

    The reference is every row of those months. Each column has its own method and threshold,
    and a noise floor from resampling.
    """
    opened = home.open()
    outcome = opened.month.drift_report(month_of(context))
    return dg.MaterializeResult(metadata=_drift_metadata(opened, outcome))


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="monitoring",
    deps=[training_dataset],
    kinds={"sklearn"},
)
def performance(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Realised performance of production and of the newest other versions, on the newest
    matured labels.

    A rollback or promotion is proposed when another version is better than production on rows
    that neither was trained on.
    """
    opened = home.open()
    as_of = month_of(context)
    record = opened.month.performance(as_of)
    metadata = _estimate_metadata(EstimateHistory(opened.records).newest(as_of))
    for entry in record.evaluated:
        if entry.fall is not None:
            metadata["why performance fell"] = entry.fall.sentence
    if record.served:
        metadata["answered"] = _served_table(record.served)
    proposal = record.challengers.proposal
    metadata["proposal"] = "none" if proposal is None else proposal.sentence
    with_contacts = [entry for entry in record.evaluated if entry.contacts is not None]
    if with_contacts:
        metadata["corrected and naive"] = _contacts_table(with_contacts)
    measured = [entry for entry in record.evaluated if entry.metrics is not None]
    if not measured:
        metadata["note"] = "No version has matured labels to be measured on yet."
        return dg.MaterializeResult(metadata=metadata)
    metadata["performance"] = _performance_table(measured)
    production = [entry.metrics for entry in measured if entry.state == "production"]
    if production and production[-1] is not None:
        metadata["realised AUC"] = production[-1].auc
    naive = [entry.contacts for entry in with_contacts if entry.state == "production"]
    if naive and naive[-1] is not None and naive[-1].naive_auc is not None:
        metadata["naive AUC"] = naive[-1].naive_auc
    return dg.MaterializeResult(metadata=metadata)


def _estimate_metadata(estimate: ShownEstimate | None) -> dict[str, object]:
    """The estimate of a month without labels, and how earlier ones did."""
    if estimate is None:
        return {}
    metadata: dict[str, object] = {"estimated, before labels": estimate.sentence}
    if estimate.auc is not None:
        metadata["estimated AUC"] = estimate.auc.value
    if estimate.checked:
        metadata["estimates and later labels"] = _checked_table(estimate.checked)
    return metadata


def _checked_table(checked: Sequence[CheckedMonth]) -> dg.MarkdownMetadataValue:
    """What was estimated before labels, and what labels showed."""
    lines = []
    for one in checked:
        figures = (f"{one.estimated:.3f}", f"{one.realised:.3f}", f"{one.miss:+.3f}")
        lines.append((one.version, one.as_of, *figures, "yes" if one.hit else "no"))
    heads = ["version:", "month", "estimated AUC:", "realised AUC:", "difference:", "confirmed"]
    return markdown_table(heads, lines)


def _performance_table(measured: Sequence[VersionPerformance]) -> dg.MarkdownMetadataValue:
    lines = []
    for entry in measured:
        if (metrics := entry.metrics) is not None:
            low, high = metrics.auc_interval
            figures = (f"{metrics.auc:.3f}", f"[{low:.3f}, {high:.3f}]", f"{metrics.pr_auc:.3f}")
            of = (entry.version, entry.state, entry.as_of, f"{entry.rows:,}")
            lines.append((*of, *figures, f"{metrics.brier:.4f}"))
    heads = ["version:", "", "month", "rows:", "AUC:", "95% interval", "PR AUC:", "Brier:"]
    return markdown_table(heads, lines)


def _contacts_table(entries: Sequence[VersionPerformance]) -> dg.MarkdownMetadataValue:
    """AUC by labels corrected for contacts and by the labels as they arrived."""
    lines = []
    for entry in entries:
        if (contacts := entry.contacts) is None:
            continue
        corrected = "not measurable" if entry.metrics is None else f"{entry.metrics.auc:.3f}"
        naive = "-" if contacts.naive_auc is None else f"{contacts.naive_auc:.3f}"
        bounds = "-"
        if contacts.bounds is not None:
            bounds = f"[{contacts.bounds[0]:.3f}, {contacts.bounds[1]:.3f}]"
        counts = (contacts.assigned, contacts.untouched, contacts.outside)
        shown = (f"{count:,}" for count in counts)
        lines.append((entry.version, entry.as_of, corrected, naive, *shown, bounds))
    heads = ["version:", "month", "corrected AUC:", "naive AUC:", "assigned:", "untouched:"]
    return markdown_table([*heads, "contacted without a plan:", "bounds of the AUC"], lines)


def _served_table(served: Sequence[ServedPerformance]) -> dg.MarkdownMetadataValue:
    """The served predictions. A distance shows which customers were asked about as much as what
    the model predicts.
    """
    lines = []
    with_contacts = any(one.contacts is not None for one in served)
    for one in served:
        auc = "-" if one.metrics is None else f"{one.metrics.auc:.3f}"
        distance = "-" if one.distance is None else f"{one.distance:.3f}"
        moved = "yes" if one.moved else "no"
        counts = (f"{one.customers:,}", f"{one.answers:,}", f"{one.rows:,}")
        naive = []
        if with_contacts:
            known = None if one.contacts is None else one.contacts.naive_auc
            naive.append("-" if known is None else f"{known:.3f}")
        lines.append((one.version, one.as_of, *counts, auc, *naive, distance, moved))
    if with_contacts:
        heads = ["version:", "month", "customers:", "answers:", "with a label:"]
        heads += ["corrected AUC:", "naive AUC:", "distance:", "more than chance"]
        return markdown_table(heads, lines)
    heads = ["version:", "month", "customers:", "answers:", "with a label:", "realised AUC:"]
    return markdown_table([*heads, "distance:", "more than chance"], lines)


def _drift_metadata(home: Services, outcome: DriftOutcome) -> dict[str, object]:
    if outcome.result is None:
        return {"note": outcome.note}
    from churn_platform.drift.report import drift_plot_png
    from churn_platform.evaluation.plots import markdown_image

    result = outcome.result
    drifted = [f"- {column.column}: {column.reason}" for column in result.columns if column.drifted]
    figures = {"target drift": result.target_drift, "prediction drift": result.prediction_drift}
    return {
        "drift share": round(result.share, 4),
        "drifted columns": dg.MetadataValue.md("\n".join(drifted) or "none"),
        **{name: round(value, 4) for name, value in figures.items() if value is not None},
        "alarms": "; ".join(outcome.alarms) or "none",
        "reference": outcome.note,
        "plot": dg.MetadataValue.md(markdown_image(drift_plot_png(result), "drift by column")),
        "report": dg.MetadataValue.url(report_url(home, outcome.html)),
        "report file": dg.MetadataValue.path(str(outcome.html)),
    }
