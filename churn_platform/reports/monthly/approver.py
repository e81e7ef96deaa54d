"""The approver's page: what waits, what was decided and by whom, and what became of it."""

from collections.abc import Iterator

from churn_platform.base.text import ended
from churn_platform.reports.monthly.facts import MonthFacts, PastDecision
from churn_platform.reports.monthly.figures import (
    Answer,
    Sentence,
    Trend,
    auc,
    count,
    literal,
    quoted,
    said,
)
from churn_platform.reports.monthly.words import dated, day, shortened
from churn_platform.reports.status_record import AnsweredDecision

MOST_DECISIONS = 3
MOST_WARNINGS = 5
MOST_OF_A_REASON = 120
"""Characters of what a person gave as a reason."""


def approver_answers(facts: MonthFacts) -> tuple[Answer, ...]:
    """The answers for the person who answers for the model."""
    return (
        Answer(question="Does anything wait for me?", sentences=tuple(_waiting(facts))),
        Answer(question="What was decided, and by whom?", sentences=tuple(_decided(facts))),
        Answer(
            question="Was it right?",
            sentences=tuple(_later(facts)),
            trend=Trend(
                name="auc",
                title="AUC by month: one half is chance, one is perfect",
                unit="auc",
                points=facts.performance,
                chance=0.5,
            ),
        ),
        Answer(question="What is being tried?", sentences=tuple(_tried(facts))),
        Answer(question="Is the data in order?", sentences=tuple(_warnings(facts))),
    )


def _waiting(facts: MonthFacts) -> Iterator[Sentence]:
    waiting = facts.waiting
    pending = waiting is not None and waiting.state == "pending"
    production = facts.production
    stands_down = production is not None and production.stand_down_reason
    if not pending and facts.proposal is None and not stands_down:
        yield said("Nothing waits for you.", facts.sources)
        return
    if waiting is not None and pending:
        if waiting.lapsed:
            yield quoted(f"Version {waiting.version} no longer waits.", facts.sources)
            yield quoted(ended(waiting.lapsed), facts.sources)
        else:
            text = f"Version {waiting.version} waits for your answer until {_day(waiting.until)}."
            yield said(text, facts.sources)
        if waiting.shadow:
            yield quoted(ended(waiting.shadow), facts.sources)
        yield said(ended(waiting.how), facts.sources)
    if facts.proposal is not None:
        proposal = facts.proposal
        text = f"Version {proposal.version} should replace version {proposal.production}."
        yield said(f"{text} That is a proposal: it waits for you.", facts.sources)
        yield quoted(ended(proposal.sentence), facts.sources)
        yield said(f"To accept it: {proposal.command}", facts.sources)
    if production is not None and production.stand_down_reason:
        yield said(f"Version {production.version} is on hold.", facts.in_production)
        measured = {} if facts.realised is None else facts.realised.sources
        yield quoted(ended(production.stand_down_reason), {**facts.sources, **measured})


def _decided(facts: MonthFacts) -> Iterator[Sentence]:
    if not facts.decisions:
        yield said("Nothing was decided yet.", facts.sources)
    for made in facts.decisions[:MOST_DECISIONS]:
        yield _decision(made)
        if made.decision.sample is not None:
            yield quoted(made.decision.sample.sentence, made.sources)
    more = len(facts.decisions) - MOST_DECISIONS
    if more > 0:
        noun = "decision" if more == 1 else "decisions"
        yield Sentence(
            text=f"{{more_decisions}} earlier {noun}: churn history lists all.",
            figures=(count("more_decisions", more),),
            sources=facts.sources,
        )


def _decision(made: PastDecision) -> Sentence:
    decision = made.decision
    candidate = f"version {decision.candidate_version}"
    text = f"{day(decision.as_of)}: {candidate} was {_by_whom(decision)}"
    figures = []
    about = str(decision.candidate_version)
    if decision.production_version is None:
        text += " No model was in production before."
        if decision.candidate_auc is not None:
            figures.append(auc("auc", decision.candidate_auc, about))
            text += " Its AUC was {auc}."
    elif decision.candidate_auc is not None and decision.production_auc is not None:
        figures.append(auc("auc", decision.candidate_auc, about))
        figures.append(
            auc("production_auc", decision.production_auc, str(decision.production_version))
        )
        text += (
            " On the same customers its AUC was {auc}, that of version"
            f" {decision.production_version} {{production_auc}}."
        )
    if decision.decision != "promoted" and decision.reason:
        why = "Reason:" if decision.overridden is None else "The rules had refused it:"
        text += f" {why} {literal(shortened(dated(ended(decision.reason))))}"
    if not figures:
        text = text.replace("{{", "{").replace("}}", "}")
    return Sentence(text=text, figures=tuple(figures), sources=made.sources)


def _by_whom(decision: AnsweredDecision) -> str:
    """What happened to a candidate and who did it, as a part of a sentence with figures."""
    signed = decision.overridden
    if signed is not None:
        return (
            f"put into production by {literal(signed.by)} on {_day(signed.at)}, against the rules"
            f" of the contract ({_reason(signed.reason)})."
        )
    approval = decision.approval
    if approval is not None and approval.state == "lapsed":
        return "not answered in time, so the request for approval lapsed."
    if approval is not None and approval.by:
        on = "" if not approval.at else f" on {_day(approval.at)}"
        why = "" if not approval.reason else f" ({_reason(approval.reason)})"
        return f"{approval.state} by {literal(approval.by)}{on}{why}."
    if approval is not None or decision.decision == "pending":
        return "good enough by the rules of the contract, and waits for a person's answer."
    return f"{decision.decision} automatically, by the rules of the contract."


def _reason(text: str) -> str:
    return literal(shortened(text.strip().rstrip("."), MOST_OF_A_REASON))


def _later(facts: MonthFacts) -> Iterator[Sentence]:
    production = facts.production
    if production is None:
        yield said("No model is in production.", facts.sources)
        return
    realised = facts.realised
    metrics = None if realised is None else realised.performance.metrics
    if realised is None or metrics is None:
        yield said(
            "It is too early to say: no outcomes have arrived since to judge it by.", facts.sources
        )
        if realised is not None and realised.performance.note:
            yield quoted(ended(realised.performance.note), realised.sources)
        return
    found = realised.performance
    low, high = metrics.auc_interval
    figures = [
        auc("auc", metrics.auc, found.as_of),
        auc("auc_low", low, found.as_of),
        auc("auc_high", high, found.as_of),
    ]
    then = "It was imported, so no decision had measured it."
    if production.auc is not None:
        figures.append(auc("auc_at_promotion", production.auc))
        then = "At its decision it had {auc_at_promotion}."
    yield Sentence(
        text=(
            f"On the outcomes of {day(found.as_of)}, version {production.version} has an AUC of"
            f" {{auc}}, between {{auc_low}} and {{auc_high}}. {then}"
        ),
        figures=tuple(figures),
        sources={**realised.sources, **facts.in_production},
    )
    if found.fall is not None:
        yield quoted(ended(found.fall.sentence), realised.sources)
    if found.warning:
        yield quoted(ended(found.warning), realised.sources)


def _tried(facts: MonthFacts) -> Iterator[Sentence]:
    found = facts.experiments
    nothing = True
    for shadow in found.shadows if found else ():
        nothing = False
        text = shadow.sentence or shadow.note or "It has not been compared with production yet."
        yield quoted(f"{shadow.title} runs as a shadow. {ended(text)}", facts.sources)
    if found is not None and found.test is not None:
        nothing = False
        text = str(found.test.get("sentence") or "A test of two versions runs.")
        yield quoted(ended(text), facts.sources)
    if facts.canary:
        nothing = False
        yield quoted(ended(facts.canary), facts.sources)
    if nothing:
        yield said("Nothing: no shadow, no canary and no test runs.", facts.sources)


def _warnings(facts: MonthFacts) -> Iterator[Sentence]:
    if not facts.warnings:
        yield said("There are no warnings about the data of this month.", facts.sources)
    for warning in facts.warnings[:MOST_WARNINGS]:
        yield quoted(ended(warning.sentence), facts.sources)
    more = len(facts.warnings) - MOST_WARNINGS
    if more > 0:
        noun = "warning" if more == 1 else "warnings"
        yield Sentence(
            text=f"{{more_warnings}} more {noun}: churn status lists all.",
            figures=(count("more_warnings", more),),
            sources=facts.sources,
        )


def _day(instant: str) -> str:
    """The day of an instant."""
    return day(instant[:10])
