"""What Dagster loads: the assets, checks, jobs, sensors and schedule of `defs/`, with their
resources.

Named one by one: loading by folder needs the project's pyproject.toml next to the package,
which a wheel does not have.
"""

import dagster as dg

from churn_platform.base.settings import dagster_is_temporary
from churn_platform.defs import (
    automation,
    contacts,
    experiments,
    features,
    ingestion,
    monitoring,
    people,
    promotion,
    reports,
    resources,
    scoring,
)

TEMPORARY = (
    "DAGSTER_HOME is not set, so this UI shows no runs of your home and does not keep its own."
    " Run `churn ui`, or set DAGSTER_HOME to the absolute path of churn_home/dagster."
)


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that users see in the UI. A run uses one process, because each process would
    pay for the imports again.
    """
    if dagster_is_temporary():
        dg.get_dagster_logger().warning(TEMPORARY)
    return dg.Definitions(
        assets=[
            ingestion.snapshot,
            features.feature_views,
            features.training_dataset,
            promotion.candidate_model,
            promotion.promotion_decision,
            promotion.production_model,
            monitoring.drift_report,
            monitoring.performance,
            scoring.scores,
            contacts.contact_plan,
            contacts.campaign_effect,
            experiments.experiments,
            reports.monthly_report,
        ],
        asset_checks=[
            features.training_dataset_checks,
            promotion.promotion_gate,
            promotion.approval,
        ],
        jobs=[
            automation.monthly,
            automation.retraining,
            people.approval_job,
            people.rejection_job,
            people.rollback_job,
            people.unblocking_job,
            people.retraining_request_job,
            people.canary_job,
            people.canary_raise_job,
            people.canary_end_job,
            people.shadow_job,
            people.model_test_job,
            people.model_test_end_job,
            automation.pull,
        ],
        sensors=[
            automation.drop_sensor,
            automation.drift_sensor,
            automation.experiments_sensor,
            automation.alert_sensor,
        ],
        schedules=[automation.monthly_schedule, automation.pull_schedule],
        resources={"home": resources.HomeResource(), "mlflow": resources.mlflow_tracking},
        loggers={
            "console": dg.colored_console_logger,
            "progress": resources.progress_logger,
        },
        executor=dg.in_process_executor,
    )
