"""Ingestion: a drop becomes a snapshot."""

import dagster as dg

from churn_platform.adapters.ingestion import publish_drop
from churn_platform.adapters.lake import Lake, Publication
from churn_platform.defs.partitions import as_of_partitions, month_of
from churn_platform.defs.resources import HomeResource
from churn_platform.errors import DropRefused


@dg.asset(partitions_def=as_of_partitions, group_name="ingestion", kinds={"parquet", "pandera"})
def snapshot(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """The month's tables, validated against the contract and published as typed Parquet, all or nothing.

    The same files again change nothing; changed files are a correction, kept beside what was known before.
    """
    opened, as_of = home.open(), month_of(context)
    try:
        publication = publish_drop(opened, as_of)
    except DropRefused as refusal:
        faults = dg.MetadataValue.md("\n".join(f"- {fault}" for fault in refusal.faults))
        raise dg.Failure(description=str(refusal), metadata={"faults": faults}, allow_retries=False) from None
    return dg.MaterializeResult(metadata=_metadata(opened.lake, publication))


def _metadata(lake: Lake, publication: Publication) -> dict[str, object]:
    deliveries = lake.deliveries(publication.as_of)
    lines = ["| delivery | arrived | kind | tables |", "| --- | --- | --- | --- |"]
    lines += [f"| {d['number']} | {d['arrived'][:19]} | {d['kind']} | {', '.join(d['tables'])} |" for d in deliveries]
    rows = ["| table | rows |", "| --- | ---: |", *(f"| {name} | {n:,} |" for name, n in publication.rows.items())]
    return {
        "delivery": publication.kind,
        "changed tables": ", ".join(publication.tables) or "none",
        "rows": dg.MetadataValue.md("\n".join(rows)),
        "deliveries": dg.MetadataValue.md("\n".join(lines)),
        "dagster/row_count": max(publication.rows.values(), default=0),
        "digest": publication.digest,
    }
