"""Promotion: the decision, the checks that show it, and the production model that carries it
out.
"""

import dagster as dg

from churn_platform.defs.partitions import as_of_partitions, month_of
from churn_platform.defs.resources import HomeResource
from churn_platform.defs.training import candidate_model
from churn_platform.promotion.criteria import CRITERIA, CriterionResult
from churn_platform.promotion.decision import Decision, Trigger

MARKS = {"pass": "pass", "fail": "**fail**", "warn": "warn", "not_applicable": "not applicable"}


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
    """Candidate and production scored on the same holdout rows: promoted or refused, one
    finding a criterion.

    A refusal is a normal day: the run stays green, production stays as it is.
    """
    decision = home.open().decision_maker.decide(month_of(context), config.trigger)
    return dg.MaterializeResult(metadata=_metadata(decision))


@dg.multi_asset_check(
    name="promotion_gate",
    specs=[
        dg.AssetCheckSpec(
            criterion.name,
            asset=promotion_decision,
            description=(
                f"{criterion.code} {criterion.title}. Shows the decision; production_model"
                " verifies it again."
            ),
        )
        for criterion in CRITERIA
    ],
)
def promotion_gate(home: HomeResource):  # noqa: ANN201 - a generator of results
    """Show the newest decision, one check a criterion: WARN when refused, ERROR when the
    comparison was unsound.
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
    """Verifies the decision again for exactly this candidate: promoted, or production is kept
    with the reason.

    A promotion sets the alias `production`, publishes the release for serving and writes the
    receipt.
    """
    opened = home.open()
    outcome = opened.decision_maker.carry_out()
    request = opened.approvals.waiting()
    return dg.MaterializeResult(
        metadata={
            "outcome": outcome.sentence,
            "waits for approval": ("none" if request is None else f"version {request[0].version}"),
            "production version": "none" if outcome.version is None else str(outcome.version),
            "production AUC at its decision": (outcome.auc if outcome.auc is not None else "none"),
            "release": dg.MetadataValue.path(outcome.release) if outcome.release else "none",
        }
    )


@dg.multi_asset_check(
    name="approval",
    specs=[
        dg.AssetCheckSpec(
            "nothing_waits_for_approval",
            asset=production_model,
            description="WARN while a candidate that passed waits for a person's word.",
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
        "production version": (
            "none" if decision.production_version is None else str(decision.production_version)
        ),
        **{name: round(value, 4) for name, value in figures.items() if value is not None},
        "difference interval": (
            "none" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"
        ),
        "findings": dg.MetadataValue.md(findings_table(decision.findings)),
        "attempt on this holdout": decision.attempt,
        "policy": decision.policy_hash[:12],
    }


def findings_table(findings: tuple[CriterionResult, ...]) -> str:
    """The findings as a Markdown table."""
    lines = ["| code | criterion | outcome | |", "| --- | --- | --- | --- |"]
    return "\n".join(
        [
            *lines,
            *(f"| {f.code} | {f.title} | {MARKS[f.outcome]} | {f.detail} |" for f in findings),
        ]
    )
