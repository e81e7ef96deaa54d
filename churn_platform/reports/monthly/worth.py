"""What contacting was worth, in sentences for the team and the manager."""

from collections.abc import Iterator

from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.effect import Effect, EffectState, Estimate, WithheldBecause
from churn_platform.reports.monthly.facts import Campaigning
from churn_platform.reports.monthly.figures import (
    Figure,
    IntervalLine,
    Sentence,
    amount,
    count,
    said,
    share,
)
from churn_platform.reports.monthly.words import confidence, customers, days, points, whole

NO_CONTACTS = (
    "We cannot know: who was contacted is not recorded. Once it is, this page counts who was"
    " saved. docs/contacts.md says how to record it."
)
NOT_YET = "It is too early to say: no list with contacts is old enough to show who left."
TOO_FEW = (
    "It is too early to say: too few customers were left alone to compare with. At least ten of"
    " them must have left, and ten stayed."
)
WHY_WITHHELD = {
    WithheldBecause.SAMPLE_RATIO: (
        "the group that was left alone for comparison does not have the size that was drawn"
    ),
    WithheldBecause.SAMPLE_RATIO_IN_STRATA: (
        "the group that was left alone for comparison is not spread over the list as it was drawn"
    ),
}


def saved_sentences(campaigning: Campaigning | None, level: float) -> Iterator[Sentence]:
    """How many customers were saved, with the interval.

    Args:
        campaigning: what contacting was worth.
        level: confidence level over all planned looks.
    """
    if campaigning is None:
        yield said(NO_CONTACTS)
        return
    record = campaigning.record
    effect = record.effect
    sources = campaigning.sources
    if effect is None:
        yield said(NOT_YET, sources)
        return
    if record.state is EffectState.WITHHELD:
        yield said(_withheld(effect), sources)
        return
    if effect.saved is None:
        yield said(TOO_FEW, sources)
        return
    yield from _saved(effect.saved, campaigning, level)


def basis_sentences(campaigning: Campaigning | None) -> Iterator[Sentence]:
    """The two groups that are compared."""
    if campaigning is None:
        return
    effect = campaigning.record.shown
    if effect is None or effect.effect is None:
        return
    yield Sentence(
        text=(
            "Of {assigned} " + customers(effect.assigned) + " whom we set out to contact,"
            " {assigned_churn} left. Of {untouched} like them whom we left alone at random,"
            " {untouched_churn} left."
        ),
        figures=(
            count("assigned", effect.assigned, zero="no"),
            share("assigned_churn", effect.assigned_churn),
            count("untouched", effect.untouched),
            share("untouched_churn", effect.untouched_churn),
        ),
        sources=campaigning.sources,
    )
    if effect.contaminated:
        yield Sentence(
            text=(
                "{contaminated} of those to be left alone had a contact all the same, so the"
                " effect looks smaller than it is."
            ),
            figures=(count("contaminated", effect.contaminated),),
            sources=campaigning.sources,
        )


def worth_sentences(campaigning: Campaigning | None) -> Iterator[Sentence]:
    """What the contacts cost, and what the saved customers are worth."""
    if campaigning is None:
        yield said(NO_CONTACTS)
        return
    record = campaigning.record
    effect = record.effect
    sources = campaigning.sources
    if effect is None:
        yield said("It is too early to say.", sources)
        return
    if record.state is EffectState.WITHHELD:
        yield said("It is not known while there is no verdict.", sources)
        return
    if effect.money is not None:
        yield _money(effect.money, campaigning)
    elif effect.saved is None:
        yield said("It is too early to say what the contacts brought in.", sources)
    if effect.spent:
        yield Sentence(
            text=f"The contacts for the {_lists(effect)} cost {{spent}}.",
            figures=(amount("spent", effect.spent),),
            sources=sources,
        )
    else:
        yield said("What the contacts cost is not recorded.", sources)
    if effect.money is not None:
        yield said("Amounts are in the currency of the contract.", sources)
    elif effect.saved is not None:
        yield said(
            "What a customer is worth is not set (policy.contacts.value in the contract), so cost"
            " and benefit cannot be compared.",
            sources,
        )


def sure_sentences(campaigning: Campaigning | None) -> Iterator[Sentence]:
    """How sure the verdict is, or how many months of contacts it still takes."""
    if campaigning is None:
        yield said(NO_CONTACTS)
        return
    record = campaigning.record
    effect = record.shown
    if record.state is EffectState.WITHHELD:
        text = "Not at all, until the list is worked as it was drawn."
        yield said(text, campaigning.sources)
        return
    if effect is not None and effect.effect is not None:
        if record.state is EffectState.NOT_YET_SHOWN:
            yield said("Not yet: chance alone could explain the difference.", campaigning.sources)
        else:
            yield _proven(record, effect.effect, campaigning)
            return
    yield from _until_sure(campaigning)


def saved_span(campaigning: Campaigning | None) -> IntervalLine | None:
    """The number saved with its interval, as a picture; None where no number may be shown."""
    if campaigning is None:
        return None
    effect = campaigning.record.shown
    if effect is None or effect.saved is None:
        return None
    low, high = _ends(effect.saved)
    title = f"Customers saved: between {_signed(low)} and {_signed(high)}"
    return IntervalLine(
        name="saved_span",
        value=effect.saved.value,
        low=low,
        high=high,
        title=title,
        shown=campaigning.record.state is not EffectState.NOT_YET_SHOWN,
        sources=campaigning.sources,
    )


def _saved(saved: Estimate, campaigning: Campaigning, overall: float) -> Iterator[Sentence]:
    record = campaigning.record
    sources = campaigning.sources
    low, high = _ends(saved)
    level = Figure(name="level", text=confidence(overall), value=overall)
    if record.state is EffectState.NOT_YET_SHOWN:
        yield said("It is too early to say.", sources)
        text = "Anything from {saved_low} lost to {saved_high} saved fits what is known so far."
        if round(low) == 0:
            text = "Anything from {saved_low} to {saved_high} saved fits what is known so far."
        figures = (count("saved_low", low, abs(low)), count("saved_high", high, abs(high)))
        yield Sentence(text=text, figures=figures, sources=sources)
        return
    if record.state is EffectState.HARMFUL:
        yield Sentence(
            text=(
                f"Contacting made about {{saved}} {customers(-saved.value)} leave. Stop contacting."
            ),
            figures=(count("saved", saved.value, -saved.value),),
            sources=sources,
        )
        ends = (count("saved_high", high, -high), count("saved_low", low, -low))
        text = "The true number lies between {saved_high} and {saved_low}, with {level} confidence."
        yield Sentence(text=text, figures=(*ends, level), sources=sources)
        return
    yield Sentence(
        text=f"We saved about {{saved}} {customers(saved.value)}.",
        figures=(count("saved", saved.value),),
        sources=sources,
    )
    yield Sentence(
        text="The true number lies between {saved_low} and {saved_high}, with {level} confidence.",
        figures=(_lower_end(low), count("saved_high", high), level),
        sources=sources,
    )


def _lower_end(low: float) -> Figure:
    """The lower end of what is proven: above 0, so never "none"."""
    found = count("saved_low", low)
    if found.text == "none":
        return found.model_copy(update={"text": "under 1"})
    return found


def _withheld(effect: Effect) -> str:
    reasons = " and ".join(WHY_WITHHELD[doubt] for doubt in effect.doubts)
    reasons = reasons or "the groups are not as they were drawn"
    return (
        f"There is no verdict: {reasons}. Perhaps the list was changed after it was made. A number"
        " would mislead, so none is shown."
    )


def _money(money: Estimate, campaigning: Campaigning) -> Sentence:
    low, high = _ends(money)
    if low > 0:
        return Sentence(
            text=(
                "Yes: the customers saved are worth {money} more than the contacts cost, between"
                " {money_low} and {money_high}."
            ),
            figures=(
                amount("money", money.value),
                amount("money_low", low),
                amount("money_high", high),
            ),
            sources=campaigning.sources,
        )
    if high < 0:
        return Sentence(
            text="No: contacting lost {money}, between {money_high} and {money_low}.",
            figures=(
                amount("money", money.value, -money.value),
                amount("money_high", high, -high),
                amount("money_low", low, -low),
            ),
            sources=campaigning.sources,
        )
    return Sentence(
        text=(
            "It is not clear yet: anything from a loss of {money_low} to a gain of {money_high}"
            " fits what is known so far."
        ),
        figures=(amount("money_low", low, abs(low)), amount("money_high", high, abs(high))),
        sources=campaigning.sources,
    )


def _proven(record: CampaignRecord, effect: Estimate, campaigning: Campaigning) -> Sentence:
    low, high = _ends(effect)
    sign = 1
    verb = "Sure enough to go on: being on the list lowered"
    if record.state is EffectState.HARMFUL:
        sign = -1
        low, high = high, low
        verb = "Sure enough to stop: being on the list raised"
    return Sentence(
        text=(
            f"{verb} the share who left by {{effect}}, between {{effect_low}} and {{effect_high}}."
            " That already allows for looking at the result every month."
        ),
        figures=(
            Figure(name="effect", text=points(sign * effect.value), value=effect.value),
            Figure(name="effect_low", text=points(sign * low).split()[0], value=low),
            Figure(name="effect_high", text=points(sign * high).split()[0], value=high),
        ),
        sources=campaigning.sources,
    )


def _until_sure(campaigning: Campaigning) -> Iterator[Sentence]:
    needed = campaigning.months_needed
    expected = campaigning.expected_effect
    if needed is None or expected is None:
        why = campaigning.why_unknown or "How long it will take to be sure cannot be forecast yet."
        yield said(why, campaigning.sources)
        return
    done = campaigning.record.look
    months = "month" if needed == 1 else "months"
    yield Sentence(
        text=(
            "If being on the list lowers the share who leave by {expected_effect}, it takes"
            f" {{months_needed}} {months} of contacts to be sure. So far we have"
            " {months_done}."
        ),
        figures=(
            Figure(name="expected_effect", text=points(expected), value=expected),
            count("months_needed", needed),
            count("months_done", done),
        ),
        sources=campaigning.sources,
    )


def _lists(effect: Effect) -> str:
    noun = "list" if len(effect.months) == 1 else "lists"
    return f"{noun} of {days(effect.months)}"


def _signed(value: float) -> str:
    if not round(value):
        return "none"
    if value < 0:
        return f"{whole(-value)} lost"
    return f"{whole(value)} saved"


def _ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.interval.low, estimate.interval.high
