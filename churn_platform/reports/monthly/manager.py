"""The manager's page: what contacting was worth, how sure that is, and where things are going."""

from collections.abc import Iterator

from churn_platform.monitoring.performance import VersionPerformance
from churn_platform.reports.monthly.facts import MonthFacts, PastList
from churn_platform.reports.monthly.figures import (
    Answer,
    Sentence,
    Trend,
    said,
    share,
)
from churn_platform.reports.monthly.words import day
from churn_platform.reports.monthly.worth import (
    NO_CONTACTS,
    basis_sentences,
    saved_sentences,
    saved_span,
    sure_sentences,
    worth_sentences,
)

PAIRS = (
    "Shown one customer who left and one who stayed, the model picks the right one in {auc} of"
    " cases"
)


def manager_answers(facts: MonthFacts) -> tuple[Answer, ...]:
    """The answers for the person who pays for the contacts."""
    churn = Answer(
        question="Do more customers leave than before?",
        sentences=tuple(_churn(facts)),
        trend=Trend(
            name="churn_rate",
            title="Share of customers who left, by month",
            unit="share",
            points=facts.churn,
        ),
    )
    model = Answer(
        question="Is the model still good?",
        sentences=tuple(_model(facts)),
        trend=Trend(
            name="auc",
            title="How often the model picks the right one of two customers, by month",
            unit="share",
            points=facts.performance,
            chance=0.5,
        ),
    )
    hits = Answer(question="Does the list find those who leave?", sentences=(_hits(facts.past),))
    if facts.campaigning is None:
        saved = Answer(
            question="How many did we save, and was it worth it?", sentences=(said(NO_CONTACTS),)
        )
        return churn, hits, model, saved
    level = facts.contract.policy.promotion.level
    return (
        Answer(
            question="How many customers did we save?",
            sentences=(
                *saved_sentences(facts.campaigning, level),
                *basis_sentences(facts.campaigning),
            ),
            span=saved_span(facts.campaigning),
        ),
        Answer(question="Was it worth it?", sentences=tuple(worth_sentences(facts.campaigning))),
        Answer(question="How sure are we?", sentences=tuple(sure_sentences(facts.campaigning))),
        churn,
        model,
        hits,
    )


def _hits(past: PastList | None) -> Sentence:
    if past is None:
        return said("It is too early to say: no list is old enough to show who left.")
    if not past.left + past.stayed or not past.all_customers:
        text = f"It is too early to say: who on the list of {day(past.as_of)} left is not known."
        return said(text, past.sources)
    figures = (
        share("list_churn", past.left / (past.left + past.stayed)),
        share("churn", past.all_left / past.all_customers),
    )
    text = (
        f"Of the customers on the list of {day(past.as_of)}, {{list_churn}} left. Of all"
        " customers, {churn} did."
    )
    if past.contacted:
        text += " Whoever was kept by a contact counts as stayed."
    return Sentence(text=text, figures=figures, sources=past.sources)


def _churn(facts: MonthFacts) -> Iterator[Sentence]:
    known = [(point, point.value) for point in facts.churn if point.value is not None]
    if not known:
        yield said("It is too early to say: it is not known yet who left in any month.")
        return
    newest, rate = known[-1]
    had_left = facts.contract.label.period == "before"
    text = f"Of the customers of {day(newest.as_of)}, {{churn_rate}} left."
    if had_left:
        text = f"By {day(newest.as_of)}, {{churn_rate}} of the customers had left."
    figures = [share("churn_rate", rate, newest.as_of)]
    sources = dict(newest.sources)
    if len(known) > 1:
        before, rate_before = known[-2]
        figures.append(share("churn_rate_before", rate_before, before.as_of))
        text += f" The time before, {day(before.as_of)}, it was {{churn_rate_before}}."
        sources |= before.sources
    yield Sentence(text=text, figures=tuple(figures), sources=sources)


def _model(facts: MonthFacts) -> Iterator[Sentence]:
    production = facts.production
    if production is None:
        yield said("No model is in use yet.", facts.sources)
        return
    if production.stand_down_reason:
        yield said(
            "No: it is on hold and its lists should not be relied on. The approver's page gives"
            " the reason.",
            facts.sources,
        )
    realised = facts.realised
    metrics = None if realised is None else realised.performance.metrics
    if production.auc is None:
        yield from _imported(facts)
        return
    promised = share("auc_at_promotion", production.auc)
    if realised is None or metrics is None:
        text = f"{PAIRS}, by the test when it was chosen. Tossing a coin is right in half of them."
        at_first = share("auc", production.auc, "at promotion")
        yield Sentence(text=text, figures=(at_first,), sources=facts.in_production)
        yield said("What customers did since has not been compared with it yet.", facts.sources)
        return
    found = realised.performance
    yield Sentence(
        text=(
            f"{PAIRS}, by what the customers of {day(found.as_of)} did. It was {{auc_at_promotion}}"
            " when the model was chosen. Tossing a coin is right in half of them."
        ),
        figures=(share("auc", metrics.auc, found.as_of), promised),
        sources={**realised.sources, **facts.in_production},
    )
    if found.fall is not None:
        yield said(fallen(found), realised.sources)


def _imported(facts: MonthFacts) -> Iterator[Sentence]:
    """How good a model is that was trained elsewhere, which no decision has measured."""
    yield said("The model in use was brought in from elsewhere.", facts.in_production)
    realised = facts.realised
    metrics = None if realised is None else realised.performance.metrics
    if realised is None or metrics is None:
        yield said("What customers did since has not been compared with it yet.", facts.sources)
        return
    as_of = realised.performance.as_of
    yield Sentence(
        text=(
            f"{PAIRS}, by what the customers of {day(as_of)} did. Tossing a coin is right in half"
            " of them."
        ),
        figures=(share("auc", metrics.auc, as_of),),
        sources={**realised.sources, **facts.in_production},
    )


def fallen(found: VersionPerformance) -> str:
    """Why a model has become worse, without figures."""
    cause = "unknown" if found.fall is None else found.fall.cause
    return {
        "customers": "It has become worse because the customers are others than before.",
        "drivers": "It has become worse because customers leave for other reasons than before.",
        "both": "It has become worse: the customers and their reasons to leave have changed.",
        "unknown": "It has become worse since it was chosen; the reason is not known.",
    }[cause]
