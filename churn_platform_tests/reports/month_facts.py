"""Random facts of a month for the monthly report: anything may be missing, zero, huge or hostile."""

import datetime as dt
import re
from dataclasses import replace

from hypothesis import strategies as st

from churn_platform.contacts.assigned import SampleRatio
from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.effect import Effect, EffectState, Estimate, WithheldBecause
from churn_platform.evaluation.statistics import Interval
from churn_platform.experiments.month import ExperimentsMonthRecord
from churn_platform.experiments.shadow_monitor import ShadowFigures
from churn_platform.ingestion.month_warnings import MonthWarning
from churn_platform.lake.month_comparison import CustomerChange
from churn_platform.ledger.state import RequestRecord, Signature
from churn_platform.ledger.version_acts import Proposal
from churn_platform.monitoring.estimated_month import FallExplained
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
from churn_platform_tests.small_business import declared

CONTRACT = declared()
HOSTILE = (
    "plain", "<script>alert(1)</script>", "a & b", "{saved}", "}{", "{{0}}", "\"quoted\" 'twice'",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627", "\u202eabc", "x" * 200, "5 < 6 > 4", "100%", "</style>",
)  # fmt: skip
MONTHS = tuple(
    (dt.date(2021 + n // 12, n % 12 + 1, 1) - dt.timedelta(days=1)).isoformat() for n in range(40)
)
FORBIDDEN = re.compile(r"nan|none|inf|undefined|-0", re.IGNORECASE)
"""What no page may show; a business may not be called so here."""
texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(
        lambda text: not FORBIDDEN.search(text)
    ),
)
counts = st.one_of(st.sampled_from([0, 1, 2, 999, 1000, 10**7, 10**12]), st.integers(0, 5000))
shares = st.one_of(st.sampled_from([0.0, 1.0, 1e-6, 0.99999]), st.floats(0, 1))
numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 1e-9, -0.4, 0.3, 1e300, -1e18, 123456.789]),
    st.floats(-1e6, 1e6, allow_nan=False),
)
months = st.sampled_from(MONTHS)
dates = months.map(dt.date.fromisoformat)
sources = st.just({"scores/2024-01-31": "0" * 64})
auc_intervals = st.tuples(shares, shares).map(lambda ends: (min(ends), max(ends)))
instants = months.map(lambda month: f"{month}T10:00:00+00:00")
signatures = st.builds(Signature, by=texts, reason=texts, at=instants)


@st.composite
def estimates(draw, states=numbers):
    """An estimate inside its interval."""
    low, value, high = sorted(draw(st.tuples(states, states, states)))
    return Estimate(value, abs(draw(numbers)), Interval(low, high))


positive = st.floats(0.001, 1e9)
ESTIMATES = {
    EffectState.SHOWN: estimates(positive),
    EffectState.HARMFUL: estimates(positive.map(lambda value: -value)),
    EffectState.NOT_YET_SHOWN: st.tuples(positive, positive, shares).map(
        lambda ends: Estimate(
            ends[2] * (ends[0] + ends[1]) - ends[0], 1.0, Interval(-ends[0], ends[1])
        )
    ),
    EffectState.WITHHELD: estimates(),
}


@st.composite
def effects(draw):
    """The effect of some months; its state agrees with its interval."""
    state = draw(st.sampled_from(list(EffectState)))
    measured = draw(st.booleans()) or state in {EffectState.SHOWN, EffectState.HARMFUL}
    estimate = ESTIMATES[state]
    count = draw(st.integers(1, 40))
    doubts = draw(st.lists(st.sampled_from(list(WithheldBecause)), unique=True))
    return Effect(
        months=MONTHS[:count],
        rows=draw(counts),
        assigned=draw(counts),
        untouched=draw(counts),
        left_out=0,
        in_two_arms=0,
        contaminated=draw(counts),
        reached=1.0,
        assigned_churn=draw(shares),
        untouched_churn=draw(shares),
        effect=draw(estimate) if measured else None,
        complier_effect=None,
        saved=draw(estimate) if measured else None,
        spent=abs(draw(numbers)),
        money=draw(st.none() | estimates()) if measured else None,
        by_action=(),
        by_slice=(),
        sample_ratio=SampleRatio(1, 1, 1.0, 1.0, 1.0),
        doubts=tuple(doubts) if state is EffectState.WITHHELD else (),
        state=state,
    )


campaigns = st.builds(
    Campaigning,
    record=st.builds(
        CampaignRecord, look=counts, looks=counts, level=st.none() | shares, effect=st.none() | effects()
    ),
    sources=sources,
    months_needed=st.none() | counts,
    expected_effect=st.none() | shares,
    why_unknown=st.sampled_from(["", "It cannot be forecast."]),
)  # fmt: skip
past_lists = st.builds(
    PastList, as_of=dates, listed=counts, left=counts, stayed=counts, contacted=st.none() | counts,
    all_customers=counts, all_left=counts, sources=sources,
).map(
    lambda one: one if one.all_left <= one.all_customers else PastList(
        one.as_of, one.listed, one.left, one.stayed, one.contacted, one.all_left, one.all_customers, one.sources
    )
)  # fmt: skip
current_lists = st.builds(
    CurrentList, planned=st.booleans(), listed=counts, sources=sources, new=st.none() | counts,
    gone=st.none() | counts, before=st.none() | dates, note=st.none() | texts,
).map(lambda one: one if one.still >= 0 else replace(one, new=one.listed))  # fmt: skip
features = st.one_of(
    st.builds(NumberChange, feature=texts, words=texts, mean=numbers, before=numbers),
    st.builds(ValueChange, feature=texts, words=texts, value=texts, share=shares, before=shares),
)
changes = st.builds(
    BusinessChange,
    customers=st.none()
    | st.builds(
        CustomerChange, before=dates, customers=counts, still=counts, new=counts, gone=counts,
        near=counts, share=shares,
    ),
    features=st.lists(features, max_size=6).map(tuple),
    before=st.none() | dates,
    drift_known=st.booleans(),
    sources=sources,
)  # fmt: skip


@st.composite
def trends(draw):
    """The months of a trend, some of them unknown."""
    count = draw(st.sampled_from([0, 1, 2, 5, 24, 40]))
    known = draw(st.integers(0, 2**count - 1)) if count else 0
    value, spread = draw(shares), draw(st.floats(0, 0.2))
    points = []
    for place in range(count):
        if not known >> place & 1:
            points.append(Point(as_of=MONTHS[place]))
            continue
        own = (value + place * spread) % 1
        points.append(
            Point(
                as_of=MONTHS[place], value=own, interval=(own, min(own + spread, 1.0)) if place % 2 else None,
                estimated=place == count - 1, sources={f"performance/{MONTHS[place]}": "1" * 64},
            )
        )  # fmt: skip
    return tuple(points)


productions = st.builds(
    ProductionStatus, version=st.integers(1, 10**6), as_of=months, auc=shares, stand_down=st.booleans(),
    stand_down_reason=st.none() | texts, algorithm=texts, threshold=shares, since=instants,
    previous_version=st.none(), overridden=st.none() | signatures, contact_value=st.none(),
)  # fmt: skip
metrics = st.builds(MeasuredMetrics, auc=shares, auc_interval=auc_intervals)
realised = st.builds(
    Realised,
    performance=st.builds(
        VersionPerformance, version=st.just(1), as_of=months, metrics=st.none() | metrics, contacts=st.none(),
        note=st.none() | texts, warning=st.none() | texts,
        fall=st.none() | st.builds(FallExplained, sentence=texts, cause=st.sampled_from(
            ["customers", "drivers", "both", "unknown"])),
    ),
    sources=sources,
)  # fmt: skip


@st.composite
def decisions(draw):
    """A decision with an answer or without."""
    against = draw(st.booleans())
    fields = dict.fromkeys(Decision.model_fields) | {
        "as_of": draw(months), "candidate_version": 2, "candidate_digest": "d",
        "production_version": 1 if against else None,
        "decision": draw(st.sampled_from(["promoted", "refused", "pending"])), "trigger": "first",
        "reason": draw(texts), "candidate_auc": draw(st.none() | shares),
        "production_auc": draw(st.none() | shares) if against else None, "drifted_columns": (), "findings": (),
        "stand_down": False, "attempt": 1, "policy_hash": "p", "evidence": {},
    }  # fmt: skip
    approval = draw(
        st.none()
        | st.builds(
            RequestRecord, version=st.just(2), sentence=texts, since=instants, until=instants, at=st.none() | instants,
            state=st.sampled_from(["pending", "approved", "rejected", "lapsed"]),
            by=st.none() | texts, reason=st.none() | texts,
        )
    )  # fmt: skip
    decision = AnsweredDecision(
        **fields, approval=approval, overridden=draw(st.none() | signatures)
    )
    return PastDecision(decision, {"decision/000001": "2" * 64})


waiting = st.builds(
    WaitingCandidate, version=st.integers(1, 99), state=st.sampled_from(["pending", "approved"]), since=instants,
    until=instants, by=st.none(), reason=st.none(), at=st.none(), sentence=texts, lapsed=st.none() | texts,
    how=texts, contact_value=st.none(), shadow=st.none() | texts,
)  # fmt: skip
proposals = st.builds(
    Proposal, act=st.sampled_from(["rollback proposed", "promotion proposed"]), version=st.just(3),
    production=st.just(2), months=st.just(("2024-01-31",)), auc=shares, production_auc=shares, difference=shares,
    interval=auc_intervals, level=shares, sentence=texts,
)  # fmt: skip
experiments = st.builds(
    ExperimentsMonthRecord,
    shadows=st.lists(
        st.builds(ShadowFigures, name=texts, rule=st.none() | texts, version=st.just(4), since=instants,
                  note=st.none() | texts, sentence=st.just("") | texts), max_size=2,
    ).map(tuple),
    test=st.none() | st.builds(lambda said: {"sentence": said}, texts),
)  # fmt: skip
month_facts = st.builds(
    MonthFacts,
    contract=texts.map(lambda name: CONTRACT.model_copy(update={"name": name})),
    as_of=dates,
    change=changes,
    current=current_lists,
    past=st.none() | past_lists,
    warnings=st.lists(st.builds(MonthWarning, st.just("NEW_VALUE"), texts, texts), max_size=8).map(tuple),
    campaigning=st.none() | campaigns,
    churn=trends(),
    performance=trends(),
    production=st.none() | productions,
    in_production=sources,
    realised=st.none() | realised,
    decisions=st.lists(decisions(), max_size=5).map(tuple),
    waiting=st.none() | waiting,
    proposal=st.none() | proposals,
    experiments=st.none() | experiments,
    canary=st.none() | texts,
    sources=sources,
)  # fmt: skip
listed = st.lists(
    st.builds(
        CustomerRow, key=texts, risk=shares, new=st.none() | st.booleans(),
        reasons=st.lists(texts, max_size=3).map(tuple),
    ),
    max_size=25,
)  # fmt: skip
