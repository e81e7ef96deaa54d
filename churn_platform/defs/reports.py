"""The monthly report for people."""

import dagster as dg

from churn_platform.alerting.dagster_ui import report_url
from churn_platform.defs.contacts import campaign_effect, contact_plan
from churn_platform.defs.experiments import experiments
from churn_platform.defs.promotion import production_model
from churn_platform.defs.resources import HomeResource, as_of_partitions, month_of
from churn_platform.reports.monthly.figures import AUDIENCES


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="reports",
    deps=[contact_plan, campaign_effect, experiments, production_model],
    kinds={"html"},
)
def monthly_report(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """One page each for the team, the manager and the approver: what became of the last list,
    what contacting was worth, what was decided and what waits.
    """
    opened = home.open()
    as_of = month_of(context)
    report = opened.monthly_reports.make(as_of)
    metadata: dict[str, dg.RawMetadataValue] = {}
    for audience in AUDIENCES:
        page = opened.monthly_reports.file(as_of, audience)
        metadata[f"page for the {audience}"] = dg.MetadataValue.url(report_url(opened, page))
        answers = report.answers(audience)
        metadata[f"for the {audience}"] = dg.MetadataValue.md(
            "\n\n".join(
                f"**{answer.question}** {' '.join(one.plain for one in answer.sentences)}"
                for answer in answers
            )
        )
    return dg.MaterializeResult(metadata=metadata)
