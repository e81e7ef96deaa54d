"""Contacts: whom to contact, and what contacting was worth."""

import dagster as dg

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.defs.scoring import scores
from churn_platform.scoring.contact_list import contact_list

NO_CONTACTS = "The contract names no table of contacts."


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="contacts",
    deps=[scores],
    kinds={"csv", "excel"},
)
def contact_plan(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Who to contact within the budget. Some customers above the cut are left untouched at
    random, so the effect can be measured.

    The ledger records who is in which group before the list exists.
    """
    opened = home.open()
    as_of = month_of(context)
    record = opened.month.contact_plan(as_of)
    if record is None or record.digest is None:
        note = NO_CONTACTS if record is None else record.note
        return dg.MaterializeResult(metadata={"note": note or ""})
    csv = contact_list(opened.reports, as_of)
    excluded = [(reason, f"{count:,}") for reason, count in record.excluded.items()]
    return dg.MaterializeResult(
        metadata={
            "to contact": record.assigned,
            "of them below the cut": record.explore,
            "left untouched": record.untouched,
            "excluded": markdown_table(["reason", "customers:"], excluded),
            "model version": str(record.version),
            "experiment": record.experiment or "",
            "digest": record.digest,
            "list": dg.MetadataValue.url(report_url(opened, csv)),
            "list file": dg.MetadataValue.path(str(csv)),
        }
    )
