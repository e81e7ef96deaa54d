"""Scoring: every customer of the month, ranked by the model in production."""

import dagster as dg
import pandas as pd

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.features import feature_views
from churn_platform.defs.ingestion import warnings_metadata
from churn_platform.defs.monitoring import performance
from churn_platform.defs.promotion import production_model
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.scoring.scoring import scores_record


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="scoring",
    deps=[feature_views, performance, production_model],
    kinds={"parquet", "csv"},
)
def scores(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Every customer with a probability. Customers who can still leave have a rank and a decile,
    and the listed ones have reasons.

    When the model is no better than chance, every row is marked `stand_down`.
    """
    opened = home.open()
    as_of = month_of(context)
    scored = opened.month.scores(as_of)
    warnings = warnings_metadata(opened.month_warnings.record(as_of))
    if scored is None:
        unscored = scores_record(opened.records, as_of)
        note = "There is no production model yet, so no customer was scored."
        if unscored is not None and unscored.not_scored:
            note = unscored.not_scored
        return dg.MaterializeResult(metadata={"note": note, "warnings": warnings})
    record = scored.record
    metadata: dict[str, object] = {"warnings": warnings}
    if record.list_note:
        metadata["note"] = record.list_note
    newest = opened.status.newest_list()
    if newest is not None and newest.outdated and newest.as_of == as_of.isoformat():
        metadata["list is of"] = newest.outdated
    if record.already_left is not None:
        metadata["already left"] = record.already_left
    if record.canary is not None:
        metadata["canary"] = record.canary.sentence
    top = _top(scored.listed.head(10), opened.contract.entity.column)
    return dg.MaterializeResult(
        metadata={
            **metadata,
            "customers": record.customers,
            "dagster/row_count": record.customers,
            "model version": str(record.version),
            "stand down": record.stand_down or "no",
            "at or above the threshold": record.contacts,
            "top 10": top,
            "list": dg.MetadataValue.url(report_url(opened, scored.csv)),
            "list file": dg.MetadataValue.path(str(scored.csv)),
        }
    )


def _top(listed: pd.DataFrame, key: str) -> dg.MarkdownMetadataValue:
    """The first rows of the list, with the expected loss if the list is ranked by it."""
    figures = {"probability": "{:.3f}", "expected_loss": "{:,.2f}"}
    shown = [name for name in figures if name in listed.columns]
    rows = [
        (row["rank"], row[key], *(figures[n].format(row[n]) for n in shown), row["reason_1"])
        for _, row in listed.iterrows()
    ]
    numbers = [f"{name.replace('_', ' ')}:" for name in shown]
    return markdown_table(["rank:", "customer", *numbers, "strongest reason"], rows)
