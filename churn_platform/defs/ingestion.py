"""Ingestion: a drop becomes a snapshot."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.events.derived_changes import made_from_logs
from churn_platform.ingestion.comparing import comparison_warnings
from churn_platform.ingestion.month_warnings import MonthWarning
from churn_platform.ingestion.validation import DropRefused
from churn_platform.lake.deliveries import Publication, QuarantineRecord, quarantined_in
from churn_platform.ledger.receipts import DELIVERED, Receipt
from churn_platform.reports.contract_status import changes_with
from churn_platform.services import Services

WORST = 3
"""Reasons shown a table; the page has all."""
NO_ROW_QUARANTINED = "no_row_quarantined"
NOTHING_FOUND = QuarantineRecord(rows=0, quarantined=0, duplicates=0, reasons=())


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="ingestion",
    kinds={"parquet", "pandera"},
    check_specs=[
        dg.AssetCheckSpec(
            NO_ROW_QUARANTINED,
            asset="snapshot",
            description=(
                "Every row of the drop fits the contract. Rows that do not are quarantined with"
                " their reasons."
            ),
        )
    ],
)
def snapshot(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """The month's tables, validated against the contract and published as typed Parquet.

    Publication is atomic. Files that were published before change nothing. Changed files are a
    correction; what was known before is kept. Faulty rows are quarantined, up to the share of a
    table that the contract allows.
    """
    opened = home.open()
    as_of = month_of(context)
    head = opened.ledger.head()
    try:
        publication = opened.ingestion.publish(as_of)
    except DropRefused as refusal:
        metadata: dict[str, object] = {
            "code": refusal.code,
            "faults": dg.MetadataValue.md("\n".join(f"- {f.sentence()}" for f in refusal.faults)),
        }
        if refusal.page is not None:
            metadata["page"] = dg.MetadataValue.url(report_url(opened, refusal.page))
        raise dg.Failure(description=str(refusal), metadata=metadata, allow_retries=False) from None
    return dg.MaterializeResult(
        metadata=_metadata(opened, publication) | _made_from_events(opened, head),
        check_results=[_check(opened, publication)],
    )


def _metadata(home: Services, publication: Publication) -> dict[str, object]:
    deliveries = home.lake.deliveries(publication.as_of)
    delivered = [
        (one.number, one.arrived.isoformat()[:19], one.kind, ", ".join(one.tables))
        for one in deliveries
    ]
    compared = home.lake.compared(publication.as_of)
    place = home.lake_uri
    change = "" if compared is None else compared.change_sentence
    return {
        "delivery": publication.kind,
        "contract": _contract(home, publication),
        "customers": change or "not compared with an earlier month",
        "warnings": warnings_metadata(comparison_warnings(home.lake, publication.as_of, compared)),
        "changed tables": ", ".join(publication.tables) or "none",
        "rows": _rows(home, publication),
        "deliveries": markdown_table(["delivery", "arrived", "kind", "tables"], delivered),
        "dagster/row_count": max(publication.rows.values(), default=0),
        "digest": publication.digest,
        **({"lake": place} if place else {}),
    }


def _made_from_events(home: Services, head: Receipt | None) -> dict[str, object]:
    """The months whose window tables or labels the events of this drop have changed; nothing
    without a log.

    Args:
        home: the home.
        head: the newest receipt before the drop was published.
    """
    if not home.contract.logs:
        return {}
    before = 0 if head is None else head.sequence
    lines = []
    for receipt in home.ledger.receipts()[before:]:
        if receipt.act in DELIVERED:
            delivered = home.lake.deliveries(dt.date.fromisoformat(receipt.subject))[-1]
            if set(delivered.tables) <= made_from_logs(home.contract):
                lines.append(f"- {receipt.subject}: {receipt.reason}")
    return {"made from events": dg.MetadataValue.md("\n".join(lines) or "no other month")}


def _contract(home: Services, publication: Publication) -> dg.MarkdownMetadataValue:
    """How the contract changed since the delivery before this one."""
    changes = changes_with(home.ledger, publication.as_of)
    return dg.MetadataValue.md(
        "\n".join(f"- {change}" for change in changes) or "as at the delivery before"
    )


def warnings_metadata(warnings: Sequence[MonthWarning]) -> dg.MarkdownMetadataValue:
    """Warnings of a month as a list for the UI."""
    return dg.MetadataValue.md(
        "\n".join(f"- {one.code}: {one.sentence}" for one in warnings) or "none"
    )


def _rows(home: Services, publication: Publication) -> dg.MarkdownMetadataValue:
    """Every table with its published rows, those quarantined or dropped, and the worst reasons."""
    quarantines = home.lake.quarantines(publication.as_of)
    lines = []
    for name, rows in publication.rows.items():
        found = quarantines.get(name, NOTHING_FOUND)
        reasons = " ".join(found.reasons[:WORST]).replace("|", "\\|")
        lines.append(
            (name, f"{rows:,}", f"{found.quarantined:,}", f"{found.duplicates:,}", reasons)
        )
    return markdown_table(
        ["table", "rows:", "quarantined:", "exact duplicates:", "worst reasons"], lines
    )


def _check(home: Services, publication: Publication) -> dg.AssetCheckResult:
    said = quarantined_in(home.lake.quarantines(publication.as_of))
    metadata: dict[str, object] = {
        "as_of": publication.as_of.isoformat(),
        "quarantined": said or "none",
    }
    page = home.reports / publication.as_of.isoformat() / "drop.html"
    if said and page.exists():
        metadata["page"] = dg.MetadataValue.url(report_url(home, page))
    return dg.AssetCheckResult(
        passed=not said,
        check_name=NO_ROW_QUARANTINED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )
