"""A month with everything that a monthly report can say, and long names."""

import datetime as dt

from churn_platform.contacts.assigned import SampleRatio
from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.effect import Effect, EffectState, Estimate
from churn_platform.evaluation.statistics import Interval
from churn_platform.experiments.month import ExperimentsMonthRecord
from churn_platform.experiments.shadow_monitor import ShadowFigures
from churn_platform.ingestion.month_warnings import MonthWarning
from churn_platform.lake.month_comparison import CustomerChange
from churn_platform.ledger.state import Signature
from churn_platform.monitoring.performance import MeasuredMetrics, VersionPerformance
from churn_platform.promotion.decision import Decision
from churn_platform.reports.monthly.facts import (
    BusinessChange,
    Campaigning,
    CurrentList,
    MonthFacts,
    NumberChange,
    PastDecision,
    PastList,
    Realised,
    ValueChange,
)
from churn_platform.reports.monthly.figures import Point
from churn_platform.reports.monthly.pages import CustomerRow
from churn_platform.reports.status_record import (
    AnsweredDecision,
    ProductionStatus,
    WaitingCandidate,
)
from churn_platform_tests.reports.month_facts import CONTRACT, MONTHS

NOW = dt.date.fromisoformat(MONTHS[-1])
BEFORE = dt.date.fromisoformat(MONTHS[-2])
LONG = "a very long description of what the customers of this business do " * 3
CUSTOMERS = [
    CustomerRow(
        key=f"{number:04d}-{'K' * (40 if number % 5 else 12)}",
        risk=0.9 - number / 100,
        new=number % 2 == 0,
        reasons=("12 failed payments in 90 days raises the risk", LONG[:90], "no app"),
    )
    for number in range(120)
]


def crowded(state: EffectState = EffectState.NOT_YET_SHOWN) -> MonthFacts:
    """The facts of the month, with this verdict about the contacts."""
    saved = {
        EffectState.NOT_YET_SHOWN: Estimate(21.0, 13.0, Interval(-5.0, 47.0)),
        EffectState.SHOWN: Estimate(1234.0, 100.0, Interval(834.0, 1634.0)),
        EffectState.HARMFUL: Estimate(-30.0, 9.0, Interval(-48.0, -12.0)),
        EffectState.WITHHELD: Estimate(21.0, 13.0, Interval(2.0, 47.0)),
    }[state]
    effect = Effect(
        months=MONTHS[-6:], rows=6000, assigned=5400, untouched=600, left_out=0, in_two_arms=0,
        contaminated=7, reached=0.8, assigned_churn=0.2, untouched_churn=0.25,
        effect=Estimate(saved.value / 5400, 0.01, Interval(saved.interval.low / 5400, saved.interval.high / 5400)),
        complier_effect=None, saved=saved, spent=12345.5,
        money=Estimate(saved.value * 100, 1.0, Interval(saved.interval.low * 100, saved.interval.high * 100)),
        by_action=(), by_slice=(), sample_ratio=SampleRatio(6000, 600, 600.0, 0.5, 0.5), doubts=(), state=state,
    )  # fmt: skip
    record = CampaignRecord(look=6, looks=12, level=0.999, effect=effect)
    sources = {f"campaign_effect/{NOW}": "0" * 64}
    return MonthFacts(
        contract=CONTRACT.model_copy(update={"name": "The long name of a business " * 7}),
        as_of=NOW,
        change=BusinessChange(
            customers=CustomerChange(
                before=BEFORE, customers=90_000, still=85_000, new=5_000, gone=4_000, near=0, share=0.1
            ),
            features=(
                NumberChange("hours", LONG, 12.3, 14.5),
                ValueChange("plan", LONG, "family", 0.31, 0.22),
                *(NumberChange(f"n{n}", f"number {n}", n + 0.5, n + 1.5) for n in range(4)),
            ),
            before=BEFORE,
            drift_known=True,
            sources={f"snapshot/{NOW}": "1" * 64, f"snapshot/{BEFORE}": "2" * 64},
        ),
        current=CurrentList(
            planned=True, listed=5_000, sources={f"contact_plan/{NOW}": "3" * 64}, new=2_000, gone=2_100,
            before=BEFORE,
        ),
        past=PastList(BEFORE, 5_100, 1_200, 3_700, 4_000, 90_000, 9_000, {f"contact_plan/{BEFORE}": "4" * 64}),
        warnings=tuple(MonthWarning("NEW_VALUE", "plan", f"{LONG}{n}.") for n in range(9)),
        campaigning=Campaigning(record, sources, 9, 0.02),
        churn=tuple(
            Point(as_of=month, value=0.1 + place % 5 / 100, sources={f"snapshot/{month}": "5" * 64})
            for place, month in enumerate(MONTHS[-24:])
        ),
        performance=tuple(
            Point(
                as_of=month, value=0.8 - place % 4 / 50, interval=(0.7, 0.83), estimated=place == 23,
                sources={f"performance/{month}": "6" * 64},
            )
            for place, month in enumerate(MONTHS[-24:])
        ),
        production=ProductionStatus(
            version=7, as_of=MONTHS[-3], auc=0.81, stand_down=True, stand_down_reason=LONG, algorithm="lightgbm",
            threshold=0.5, since=f"{NOW}T10:00:00+00:00", previous_version=6, overridden=None, contact_value=None,
        ),
        in_production={"release/7": "7" * 64},
        realised=Realised(
            VersionPerformance(
                version=7, as_of=MONTHS[-2], metrics=MeasuredMetrics(auc=0.74, auc_interval=(0.7, 0.78)),
                warning=LONG,
            ),
            {f"performance/{NOW}": "8" * 64},
        ),
        decisions=tuple(_decision(version) for version in (7, 6, 5, 4, 3)),
        waiting=WaitingCandidate(
            version=8, state="pending", since=f"{NOW}T10:00:00+00:00", until=f"{NOW}T10:00:00+00:00", by=None,
            reason=None, at=None, sentence="", lapsed=None, shadow=LONG, contact_value=None,
            how="`churn approve 8 --by NAME --reason TEXT` promotes it, `churn reject 8 ...` does not.",
        ),
        experiments=ExperimentsMonthRecord(
            shadows=(ShadowFigures(name="version 8", version=8, since=f"{NOW}T10:00:00+00:00", sentence=LONG),)
        ),
        canary=LONG,
        sources={f"snapshot/{NOW}": "1" * 64},
    )  # fmt: skip


def _decision(version: int) -> PastDecision:
    fields = dict.fromkeys(Decision.model_fields) | {
        "as_of": MONTHS[version], "candidate_version": version, "candidate_digest": "d",
        "production_version": version - 1, "decision": "refused", "trigger": "first", "reason": LONG,
        "candidate_auc": 0.8, "production_auc": 0.79, "drifted_columns": (), "findings": (), "stand_down": False,
        "attempt": 1, "policy_hash": "p", "evidence": {},
    }  # fmt: skip
    signed = Signature("A person of a long name", LONG, f"{NOW}T10:00:00+00:00")
    decision = AnsweredDecision(**fields, approval=None, overridden=signed if version % 2 else None)
    return PastDecision(decision, {f"decision/{version:06d}": "9" * 64})
