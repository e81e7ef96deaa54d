"""The command campaign: what contacting was worth."""

from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.text import counted, parse_as_of
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    figure,
    make_console,
    open_home,
    print_json,
    table,
)

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.contacts.effect import Effect
    from churn_platform.reports.campaign_status import CampaignStatus

HIGHEST_SHOWN = 0.9999
COLOURS = {"shown": "green", "harmful": "red", "withheld": "yellow", "not yet shown": "cyan"}


def campaign(
    as_of: Annotated[
        str | None, typer.Argument(help="Show what this month knew (default: the newest).")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what contacting was worth: customers saved, money, and how sure that is."""
    found = open_home(home).campaign_statuses.of(parse_as_of(as_of) if as_of else None)
    if as_json:
        print_json(found.as_json())
    else:
        show_campaign(make_console(), found)


def show_campaign(console: "Console", found: "CampaignStatus") -> None:
    """Print what contacting was worth, the sentence first."""
    from churn_platform.contacts.effect import SAMPLE_RATIO_LEVEL

    colour = COLOURS[found.state]
    console.print(f"[bold]{found.as_of}[/]: [{colour}]{found.sentence}[/]", soft_wrap=True)
    if found.ranking is not None:
        console.print(f"Ranking     {found.ranking.sentence}", soft_wrap=True)
    effect = found.effect
    if effect is None:
        return
    console.print(
        f"Look {found.look} of {found.looks}, with intervals at {level_text(found.level)}: all"
        " looks together are wrong as rarely as one would be.",
        soft_wrap=True,
    )
    if not found.withheld:
        show_figures(console, effect)
    ratio = effect.sample_ratio
    console.print(
        f"Untouched   {ratio.untouched:,} customers, {ratio.expected_untouched:,.1f} expected"
        f" (p {ratio.p_value:.3g}, within the list {ratio.p_value_in_strata:.3g};"
        f" below {SAMPLE_RATIO_LEVEL:g} the verdict is withheld)"
    )
    if found.contamination:
        console.print(f"[yellow]Contacted[/]   {found.contamination}", soft_wrap=True)
    if effect.in_two_arms:
        console.print(
            f"Both arms   {counted(effect.in_two_arms, 'customer')} assigned in one month and"
            " untouched in another"
        )
    if effect.left_out:
        console.print(f"Left out    {counted(effect.left_out, 'customer')} without comparison")
    console.print(f"Months      {len(effect.months)}: {', '.join(effect.months)}", soft_wrap=True)


def level_text(level: float | None) -> str:
    """A confidence level; the first looks have levels that rounding would show as 100%."""
    if level is not None and level > HIGHEST_SHOWN:
        return f"more than {HIGHEST_SHOWN:.2%}"
    return figure(level, ".2%")


def show_figures(console: "Console", effect: "Effect") -> None:
    """Print the figures with their intervals, then those of each group."""
    shown = table("", "figure", "value", "low", "high", numbers=("value", "low", "high"))
    figures = (
        ("customers saved", effect.saved, "{:+,.0f}"),
        ("worth, less its cost", effect.money, "{:+,.0f}"),
        ("churn prevented, all assigned", effect.effect, "{:+.1%}"),
        ("churn prevented, where reached", effect.complier_effect, "{:+.1%}"),
    )
    for name, estimate, form in figures:
        if estimate is None and estimate is effect.money and effect.saved is not None:
            shown.add_row(name, "no value given", "", "")
            continue
        if estimate is None:
            shown.add_row(name, "too few", "", "")
            continue
        ends = (estimate.value, estimate.interval.low, estimate.interval.high)
        shown.add_row(name, *(form.format(end) for end in ends))
    console.print(shown)
    console.print(
        f"Contacts    {effect.reached:.0%} of the assigned were contacted; they cost"
        f" {effect.spent:,.0f}"
    )
    parts = (*effect.by_slice, *effect.by_action)
    if not parts:
        return
    numbers = ("assigned", "untouched", "churn prevented", "low", "high")
    groups = table("", "by", "group", *numbers, "", numbers=numbers)
    for part in parts:
        shown_ends = ["too few", "", ""]
        if part.effect is not None:
            interval = part.effect.interval
            shown_ends = [f"{end:+.1%}" for end in (part.effect.value, interval.low, interval.high)]
        note = "" if part.randomised else "a comparison, not an effect"
        counts = (f"{part.assigned:,}", f"{part.untouched:,}")
        groups.add_row(part.name, part.value, *counts, *shown_ends, note)
    console.print(groups)
