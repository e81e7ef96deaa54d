"""Promotion: the candidate, the decision, the checks that show it, and the production model."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from churn_platform.defs.features import sample_metadata, training_dataset
from churn_platform.defs.resources import (
    HomeResource,
    as_of_partitions,
    markdown_table,
    month_of,
)
from churn_platform.loop.run_month import RefusedTraining
from churn_platform.loop.training import TrainedCandidate
from churn_platform.promotion.contact_value import ContactValue
from churn_platform.promotion.criteria import CRITERIA
from churn_platform.promotion.decision import Decision, Trigger
from churn_platform.training.release import CHOICE_HEADS, ChosenFrom

MARKS = {"pass": "pass", "fail": "**fail**", "warn": "warn", "not_applicable": "not applicable"}


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="training",
    deps=[training_dataset],
    kinds={"sklearn", "mlflow"},
    output_required=False,
)
def candidate_model(
    context: dg.AssetExecutionContext, home: HomeResource, mlflow: dg.ResourceParam[Any]
) -> Iterator[dg.MaterializeResult]:
    """One scikit-learn pipeline fitted on the training rows, registered in MLflow as
    `candidate`.

    The same data, recipe and code are registered once. When the data cannot support a training,
    the reason is recorded, the run succeeds, and the assets that follow are skipped.
    """
    as_of = month_of(context)
    run_id = mlflow.active_run().info.run_id
    trained = home.open().candidate_training.train(as_of, run_id)
    mlflow.end_run()
    if isinstance(trained, RefusedTraining):
        # Where people look for it in the UI: the run's log and the asset's events.
        context.log.warning(trained.reason)
        context.log_event(
            dg.AssetObservation(
                asset_key=context.asset_key,
                partition=as_of.isoformat(),
                description=trained.reason,
            )
        )
        return
    yield dg.MaterializeResult(metadata=_candidate_metadata(trained, run_id))


def _candidate_metadata(trained: TrainedCandidate, run_id: str) -> dict[str, object]:
    from churn_platform.evaluation.plots import markdown_image

    card = trained.candidate.card
    figures = {
        name: round(value, 4) for name, value in card.metrics.items() if isinstance(value, float)
    }
    plots = "\n".join(markdown_image(png, name) for name, png in trained.plots.items())
    earlier = "earlier: same data, recipe and code"
    return {
        "version": str(trained.version),
        "registered": "now" if trained.fitted else earlier,
        "algorithm": card.algorithm,
        "threshold": card.threshold,
        **figures,
        **_choice_metadata(card.chosen_from),
        **sample_metadata(card.sample),
        "plots": dg.MetadataValue.md(plots),
        "MLflow run": run_id,
        "digest": trained.candidate.digest,
    }


def _choice_metadata(choice: ChosenFrom | None) -> dict[str, object]:
    if choice is None:
        return {}
    return {
        "chosen recipe": choice.chosen,
        "recipes": markdown_table(CHOICE_HEADS, choice.table()),
        "fits": choice.fits,
    }


class DecisionConfig(dg.Config):
    """What asked for this decision."""

    trigger: Trigger = "manual"


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="promotion",
    deps=[candidate_model],
    kinds={"python"},
)
def promotion_decision(
    context: dg.AssetExecutionContext, config: DecisionConfig, home: HomeResource
) -> dg.MaterializeResult:
    """Candidate and production scored on the same holdout rows, with one result per criterion.

    The candidate is promoted, refused, or waits for an approval. A refusal is a normal outcome:
    the run succeeds and production stays as it is.
    """
    decision = home.open().month.decision(month_of(context), config.trigger)
    return dg.MaterializeResult(metadata=_metadata(decision))


@dg.multi_asset_check(
    name="promotion_gate",
    specs=[
        dg.AssetCheckSpec(
            criterion.name,
            asset=promotion_decision,
            description=(
                f"{criterion.code} {criterion.title}. This check shows the decision;"
                " production_model verifies it again."
            ),
        )
        for criterion in CRITERIA
    ],
)
def promotion_gate(home: HomeResource):  # noqa: ANN201 - a generator of results
    """Show the newest decision, one check per criterion: WARN when it refuses, ERROR when the
    comparison was invalid.
    """
    opened = home.open()
    decision = opened.decisions.newest()
    for finding in decision.findings:
        yield dg.AssetCheckResult(
            check_name=finding.name,
            passed=finding.outcome in ("pass", "not_applicable") and not finding.refuses,
            severity=(
                dg.AssetCheckSeverity.ERROR if finding.unsound else dg.AssetCheckSeverity.WARN
            ),
            description=finding.detail,
            metadata={
                "code": finding.code,
                "outcome": finding.outcome,
                "as_of": decision.as_of,
                "candidate version": str(decision.candidate_version),
            },
        )


@dg.asset(
    partitions_def=as_of_partitions,
    group_name="promotion",
    deps=[promotion_decision],
    kinds={"mlflow", "python"},
)
def production_model(home: HomeResource) -> dg.MaterializeResult:
    """Verifies the decision again for exactly this candidate, then promotes it or keeps
    production, with the reason.

    A promotion publishes the release for serving, sets the alias `production` and records it in
    the ledger.
    """
    opened = home.open()
    outcome = opened.month.production()
    request = opened.approvals.waiting()
    newest = opened.status.newest_list()
    if newest is None:
        listed = "none"
    else:
        listed = newest.outdated or f"The list is of version {newest.version}."
    return dg.MaterializeResult(
        metadata={
            "outcome": outcome.sentence,
            "waits for approval": "none" if request is None else f"version {request[0].version}",
            "production version": str(outcome.version or "none"),
            "newest list": listed,
            "production AUC at its decision": "none" if outcome.auc is None else outcome.auc,
            "release": dg.MetadataValue.path(outcome.release) if outcome.release else "none",
        }
    )


@dg.multi_asset_check(
    name="approval",
    specs=[
        dg.AssetCheckSpec(
            "nothing_waits_for_approval",
            asset=production_model,
            description="WARN while a candidate that passed the gate waits for an approval.",
        )
    ],
)
def approval(home: HomeResource) -> dg.AssetCheckResult:
    """Whether no approval is pending; approval_job and rejection_job answer."""
    request = home.open().approvals.waiting()
    said = "No candidate waits for an approval."
    if request is not None:
        said = (
            f"{request[0].sentence()} Answer with approval_job or rejection_job, or with `churn"
            " approve`."
        )
    return dg.AssetCheckResult(
        passed=request is None, severity=dg.AssetCheckSeverity.WARN, description=said
    )


def _value_metadata(value: ContactValue | None) -> dict[str, object]:
    """What the versions' contacts would be worth; nothing where the contract names no contacts."""
    if value is None:
        return {}
    lines = []
    for name, one in (("candidate", value.candidate), ("production", value.production)):
        if one is not None:
            low, high = one.interval
            empc = "-" if one.empc is None else f"{one.empc:,.4f}"
            interval = f"[{low:,.0f}, {high:,.0f}]"
            lines.append((name, f"{one.version}", f"{one.value:,.0f}", interval, empc))
    if value.difference is not None and value.difference_interval is not None:
        low, high = value.difference_interval
        lines.append(
            ("difference", "", f"{value.difference:+,.0f}", f"[{low:+,.0f}, {high:+,.0f}]", "")
        )
    found: dict[str, object] = {"value at the budget": value.sentence}
    if lines:
        heads = ["", "version:", "worth a month:", "interval", "EMPC a customer:"]
        found["value by version"] = markdown_table(heads, lines)
    return found


def _metadata(decision: Decision) -> dict[str, object]:
    figures = {
        "candidate AUC": decision.candidate_auc,
        "production AUC": decision.production_auc,
        "gain that would be seen": decision.detectable_gain,
        "forward AUC": decision.forward_auc,
        "drift share": decision.drift_share,
        "target drift": decision.target_drift,
    }
    interval = decision.difference_interval
    return {
        "decision": decision.decision,
        "why": decision.reason,
        "trigger": decision.trigger,
        "candidate version": str(decision.candidate_version),
        "production version": str(decision.production_version or "none"),
        **{name: round(value, 4) for name, value in figures.items() if value is not None},
        "difference interval": (
            "none" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"
        ),
        "findings": markdown_table(
            ["code", "criterion", "outcome", ""],
            [(one.code, one.title, MARKS[one.outcome], one.detail) for one in decision.findings],
        ),
        **_value_metadata(decision.contact_value),
        **sample_metadata(decision.sample),
        "attempt on this holdout": decision.attempt,
        "policy": decision.policy_hash[:12],
    }
