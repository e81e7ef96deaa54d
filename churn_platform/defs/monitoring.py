"""Monitoring: what drifted since production was trained, and what production was really worth."""

from typing import Any

import dagster as dg

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.features import training_dataset
from churn_platform.defs.ingestion import snapshot
from churn_platform.defs.partitions import as_of_partitions, month_of
from churn_platform.defs.resources import HomeResource
from churn_platform.monitoring.monitoring import DriftOutcome, evaluate_versions, report_drift
from churn_platform.services import Services


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="monitoring",
    deps=[snapshot],
    kinds={"evidently"},
)
def drift_report(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Evidently's report of this month against everything the production model was trained on.

    Reference = all rows of those months; method and threshold by column, with a noise floor
    from resampling.
    """
    opened = home.open()
    outcome = report_drift(opened, month_of(context))
    return dg.MaterializeResult(metadata=_drift_metadata(opened, outcome))


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="monitoring",
    deps=[training_dataset],
    kinds={"sklearn"},
)
def performance(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Realised performance of production and of the newest retired and refused versions, on the
    newest matured labels.

    When one of them beats production on rows that neither trained on, a rollback or promotion
    is proposed.
    """
    opened = home.open()
    as_of = month_of(context)
    measured = [
        record for record in evaluate_versions(opened, as_of) if record["metrics"] is not None
    ]
    record = opened.records.read("performance", as_of) or {}
    answered = record["answered"]
    proposal = record["verdict"]["proposal"]
    metadata: dict[str, object] = (
        {"answered": dg.MetadataValue.md(_answered_table(answered))} if answered else {}
    )
    metadata["proposal"] = "none" if proposal is None else proposal["sentence"]
    if not measured:
        metadata["note"] = "No version has matured labels to be judged on yet."
        return dg.MaterializeResult(metadata=metadata)
    metadata["performance"] = dg.MetadataValue.md(_performance_table(measured))
    production = [entry for entry in measured if entry["state"] == "production"]
    if production:
        metadata["realised AUC"] = production[-1]["metrics"]["auc"]
    return dg.MaterializeResult(metadata=metadata)


def _performance_table(measured: list[dict[str, Any]]) -> str:
    lines = [
        "| version | | month | rows | AUC | 95% interval | PR AUC | Brier |",
        "| ---: | --- | --- | ---: | ---: | --- | ---: | ---: |",
    ]
    for record in measured:
        m = record["metrics"]
        low, high = m["auc_interval"]
        lines.append(
            f"| {record['version']} | {record['state']} | {record['as_of']} |"
            f" {record['rows']:,} | {m['auc']:.3f} | [{low:.3f}, {high:.3f}] |"
            f" {m['pr_auc']:.3f} | {m['brier']:.4f} |"
        )
    return "\n".join(lines)


def _answered_table(answered: list[dict[str, Any]]) -> str:
    """What was answered through the API; a distance shows who was asked about as much as what
    the model shows.
    """
    lines = [
        (
            "| version | month | customers | answers | with a label | realised AUC | distance |"
            " more than chance |"
        ),
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in answered:
        if one["metrics"] is None:
            auc = "-"
        else:
            auc = f"{one['metrics']['auc']:.3f}"
        if one["distance"] is None:
            distance = "-"
        else:
            distance = f"{one['distance']:.3f}"
        lines.append(
            f"| {one['version']} | {one['as_of']} | {one['customers']:,} | {one['answers']:,} |"
            f" {one['rows']:,} | {auc} | {distance} | {'yes' if one['moved'] else 'no'} |"
        )
    return "\n".join(lines)


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
