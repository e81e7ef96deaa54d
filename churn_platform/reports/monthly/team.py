"""The team's page: whom to contact now, what became of the last list, what changed."""

from collections.abc import Iterator

from churn_platform.reports.monthly.facts import (
    BusinessChange,
    CurrentList,
    MonthFacts,
    NumberChange,
    PastList,
    ValueChange,
)
from churn_platform.reports.monthly.figures import (
    Answer,
    Figure,
    Sentence,
    count,
    literal,
    quoted,
    said,
    share,
)
from churn_platform.reports.monthly.words import are, customers, day, plain_number
from churn_platform.reports.monthly.worth import saved_sentences

MOST_CHANGES = 4


def team_answers(facts: MonthFacts) -> tuple[Answer, ...]:
    """The answers for the retention team."""
    planned = facts.current.planned
    answers = [
        Answer(
            question="Whom do we contact now?" if planned else "Who may leave next?",
            sentences=tuple(_current(facts)),
        ),
        Answer(question="What became of our last list?", sentences=tuple(_past(facts.past))),
    ]
    level = facts.contract.policy.promotion.level
    if facts.campaigning is not None:
        saved = tuple(saved_sentences(facts.campaigning, level))
        answers.append(Answer(question="How many did we save?", sentences=saved))
    answers.append(Answer(question="What has changed?", sentences=tuple(_changes(facts))))
    if facts.current.listed > 0:
        answers.append(
            Answer(
                question="Who comes first, and why?",
                sentences=(_order(facts.current),),
                customers=True,
            )
        )
    return tuple(answers)


def _current(facts: MonthFacts) -> Iterator[Sentence]:
    current = facts.current
    if not current.listed:
        if facts.production is None:
            yield said("There is no list: no model is in use yet.", facts.sources)
            return
        yield said("There is no list this month.", current.sources or facts.sources)
        if current.note is not None:
            note = f"The reason, for the engineers: {current.note}"
            yield quoted(note, current.sources or facts.sources)
        return
    noun = customers(current.listed)
    verb = are(current.listed)
    text = f"{{on_list}} {noun} {verb} on the list of who may leave."
    if current.planned:
        text = f"{{on_list}} {noun} {verb} to be contacted."
    on_list = count("on_list", current.listed)
    yield Sentence(text=text, figures=(on_list,), sources=current.sources)
    if facts.production is not None and facts.production.stand_down_reason:
        yield said("The model is on hold, so do not rely on this list.", facts.sources)
    if current.new is None or current.gone is None or current.before is None:
        return
    yield Sentence(
        text=(
            f"Compared with the list of {day(current.before)}, {{new}} {are(current.new)} new and"
            f" {{still}} {are(current.still)} on it again; {{gone}} {are(current.gone)} no"
            " longer on it."
        ),
        figures=(
            count("new", current.new),
            count("still", current.still),
            count("gone", current.gone),
        ),
        sources=current.sources,
    )


def _order(current: CurrentList) -> Sentence:
    if current.planned:
        text = "The order is by what a contact is expected to be worth. Work from the top."
    else:
        text = "The order is by the risk of leaving. Whoever is at the top is most likely to leave."
    return said(text, current.sources)


def _past(past: PastList | None) -> Iterator[Sentence]:
    if past is None:
        yield said("It is too early to say: no list is old enough to show who left.")
        return
    known = past.left + past.stayed
    if not known:
        text = f"It is not known yet who of those on the list of {day(past.as_of)} left."
        yield said(text, past.sources)
        return
    figures = [
        count("listed", past.listed, zero="no"),
        count("left", past.left),
        count("stayed", past.stayed),
    ]
    text = (
        f"The list of {day(past.as_of)} had {{listed}} {customers(past.listed)}: {{left}} left and"
        " {stayed} stayed."
    )
    if known < past.listed:
        figures.append(count("unknown", past.listed - known))
        text += " Of {unknown} it is not known."
    yield Sentence(text=text, figures=tuple(figures), sources=past.sources)
    if past.contacted is not None:
        every = "all " if past.contacted == past.listed else ""
        yield Sentence(
            text=f"We contacted {every}{{contacted}} of them.",
            figures=(count("contacted", past.contacted),),
            sources=past.sources,
        )


def _changes(facts: MonthFacts) -> Iterator[Sentence]:
    change = facts.change
    found = change.customers
    if found is None and change.before is not None:
        text = "How many customers came and went is not known: the data was corrected since."
        yield said(text, change.sources)
    elif found is None:
        yield said(
            "This is the first month, so there is nothing to compare it with yet.", change.sources
        )
    else:
        yield Sentence(
            text=(
                f"Since {day(found.before)}, {{came}} {customers(found.new)} came and {{went}}"
                f" went; {{remained}} {are(found.still)} still here."
            ),
            figures=(
                count("came", found.new, zero="no"),
                count("went", found.gone),
                count("remained", found.still),
            ),
            sources=change.sources,
        )
    yield from _features(change)
    if facts.warnings:
        yield Sentence(
            text=(
                "The engineers have {warnings} "
                + ("warning" if len(facts.warnings) == 1 else "warnings")
                + " about the data of this month; the approver's page has the details."
            ),
            figures=(count("warnings", len(facts.warnings)),),
            sources=facts.sources,
        )


def _features(change: BusinessChange) -> Iterator[Sentence]:
    if change.before is None or not change.drift_known:
        return
    if not change.features:
        text = "What we know about the customers is much as it was."
        yield said(text, change.sources)
    for feature in change.features[:MOST_CHANGES]:
        yield _feature(feature, change)
    more = len(change.features) - MOST_CHANGES
    if more > 0:
        noun = "thing" if more == 1 else "things"
        yield Sentence(
            text=f"{{more_changes}} other {noun} changed, too.",
            figures=(count("more_changes", more),),
            sources=change.sources,
        )


def _feature(feature: NumberChange | ValueChange, change: BusinessChange) -> Sentence:
    spaced = feature.words.replace("_", " ")
    words = literal(spaced[:1].upper() + spaced[1:])
    before = "" if change.before is None else f" on {day(change.before)}"
    if isinstance(feature, NumberChange):
        figures = tuple(
            Figure(name=name, text=plain_number(value), value=value, about=feature.feature)
            for name, value in (("mean", feature.mean), ("mean_before", feature.before))
        )
        text = f"{words}: {{mean}} on average, after {{mean_before}}{before}."
    else:
        figures = (
            share("share", feature.share, feature.feature),
            share("share_before", feature.before, feature.feature),
        )
        text = (
            f"{words}: \N{LEFT DOUBLE QUOTATION MARK}{literal(feature.value)}"
            "\N{RIGHT DOUBLE QUOTATION MARK} for {share} of the customers, after"
            f" {{share_before}}{before}."
        )
    return Sentence(text=text, figures=figures, sources=change.sources)
