"""Scoring: every customer of the month, ranked by whatever is in production."""

import dagster as dg
import pandas as pd

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.features import feature_views
from churn_platform.defs.ingestion import warnings_metadata
from churn_platform.defs.monitoring import performance
from churn_platform.defs.partitions import as_of_partitions, month_of
from churn_platform.defs.promotion import production_model
from churn_platform.defs.resources import HomeResource
from churn_platform.scoring.scoring import score_month


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="scoring",
    deps=[feature_views, performance, production_model],
    kinds={"parquet", "csv"},
)
def scores(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Every customer with probability; who can still leave with rank and decile, the listed
    ones with reasons in words.

    A model that is no better than chance is never served silently: then every row carries
    `stand_down`.
    """
    opened = home.open()
    as_of = month_of(context)
    scored = score_month(opened, as_of)
    warnings = warnings_metadata(opened.month_warnings.record(as_of))
    if scored is None:
        record = opened.records.read("scores", as_of) or {}
        note = record.get(
            "not_scored", "There is no production model yet, so no customer was scored."
        )
        return dg.MaterializeResult(metadata={"note": note, "warnings": warnings})
    notes = {"note": scored.list_note} if scored.list_note else {}
    if scored.already_left is None:
        left = {}
    else:
        left = {"already left": scored.already_left}
    return dg.MaterializeResult(
        metadata={
            "warnings": warnings,
            **notes,
            **left,
            "customers": scored.customers,
            "dagster/row_count": scored.customers,
            "model version": str(scored.version),
            "stand down": scored.stand_down or "no",
            "at or above the threshold": scored.contacts,
            "top 10": dg.MetadataValue.md(
                _top(scored.listed.head(10), opened.contract.entity.column)
            ),
            "list": dg.MetadataValue.url(report_url(opened, scored.csv)),
            "list file": dg.MetadataValue.path(str(scored.csv)),
        }
    )


def _top(listed: pd.DataFrame, key: str) -> str:
    """The first rows of the list as a table in Markdown; the expected loss where the list is
    ranked by it.
    """
    figures = {"probability": "{:.3f}", "expected_loss": "{:,.2f}"}
    shown = [name for name in figures if name in listed.columns]
    heads = [
        "rank",
        "customer",
        *(name.replace("_", " ") for name in shown),
        "strongest reason",
    ]
    lines = [f"| {' | '.join(heads)} |", f"| ---: | --- | {'---: | ' * len(shown)}--- |"]
    for _, row in listed.iterrows():
        cells = [
            str(row["rank"]),
            str(row[key]),
            *(figures[name].format(row[name]) for name in shown),
            row["reason_1"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
