"""Scoring: every customer of the month, ranked by whatever is in production."""

import dagster as dg

from churn_platform.adapters.dagster_ui import report_url
from churn_platform.adapters.month_warnings import record_warnings
from churn_platform.adapters.scoring import score_month
from churn_platform.defs.features import feature_views
from churn_platform.defs.ingestion import warnings_metadata
from churn_platform.defs.monitoring import performance
from churn_platform.defs.partitions import as_of_partitions, month_of
from churn_platform.defs.promotion import production_model
from churn_platform.defs.resources import HomeResource


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="scoring",
    deps=[feature_views, performance, production_model],
    kinds={"parquet", "csv"},
)
def scores(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Every customer with probability and decile; the listed ones with their three strongest reasons in words.

    A model that is no better than chance is never served silently: then every row carries `stand_down`.
    """
    opened, as_of = home.open(), month_of(context)
    scored = score_month(opened, as_of)
    warnings = warnings_metadata(record_warnings(opened, as_of))
    if scored is None:
        note = "There is no production model yet, so nobody was scored."
        return dg.MaterializeResult(metadata={"note": note, "warnings": warnings})
    key = opened.contract.entity.column
    lines = ["| rank | customer | probability | strongest reason |", "| ---: | --- | ---: | --- |"]
    lines += [
        f"| {r['rank']} | {r[key]} | {r['probability']:.3f} | {r['reason_1']} |"
        for _, r in scored.listed.head(10).iterrows()
    ]
    return dg.MaterializeResult(
        metadata={
            "warnings": warnings,
            "customers": scored.customers,
            "dagster/row_count": scored.customers,
            "model version": str(scored.version),
            "stand down": scored.stand_down or "no",
            "at or above the threshold": scored.contacts,
            "top 10": dg.MetadataValue.md("\n".join(lines)),
            "list": dg.MetadataValue.url(report_url(opened, scored.csv)),
            "list file": dg.MetadataValue.path(str(scored.csv)),
        }
    )
