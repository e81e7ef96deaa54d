"""The commands status and decision."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.base.text import counted, ended, parse_as_of
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    figure,
    make_console,
    open_home,
    print_json,
    table,
)
from churn_platform.experiments.canary_status import CanaryStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHOWN_CHANGES = 5
OUTCOMES = {"pass": "green", "warn": "yellow", "fail": "red", "not_applicable": "dim"}
STATES = {
    "promoted": "green",
    "approved": "green",
    "refused": "yellow",
    "rejected": "yellow",
    "lapsed": "yellow",
    "pending": "cyan",
}


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the months, the model in production, the decisions and what is due."""
    found = open_home(home).status.now().as_json()
    if as_json:
        print_json(found)
    else:
        show_status(make_console(), found)


def decision(
    as_of: Annotated[
        str | None, typer.Argument(help="Show this month (default: the newest decision).")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain why a candidate was promoted or refused, criterion by criterion."""
    wanted = parse_as_of(as_of).isoformat() if as_of else None
    found = open_home(home).status.decision(wanted).model_dump(mode="json")
    if as_json:
        print_json(found)
    else:
        show_decision(make_console(), found)


def show_status(console: "Console", found: Mapping[str, Any]) -> None:
    """Print the state of a home on one screen."""
    console.print(f"[bold]{found['contract']}[/] in {found['home']}")
    show_lake(console, found)
    show_contract(console, found["contract_changes"])
    show_production(console, found)
    show_experiments(console, found)
    if planned := found.get("contacts"):
        console.print(
            f"Contacts    {planned['as_of']}: {planned_sentence(planned)}", soft_wrap=True
        )
    show_people(console, found)
    aside = found["quarantine"]
    if aside is None:
        shown_below = None
    else:
        shown_below = (aside["as_of"], "ROWS_QUARANTINED")
    show_warnings(
        console,
        [one for one in found["warnings"] if (one["as_of"], one["code"]) != shown_below],
    )
    if aside:
        console.print(
            f"[yellow]Quarantine[/]  {aside['as_of']}: {aside['sentence']} Reasons: {aside['page']}"
        )
    show_realised(console, found)
    show_estimated(console, found)
    for one in found["answered"]:
        console.print(f"Answered    {_answered(one)}")
    for receiver in found["alerts"]:
        if receiver["unsent"] or not receiver["receiver"]:
            console.print(f"[yellow]Alerts[/]      {unsent_sentence(receiver)}")
    if found["decisions"]:
        console.print()
        console.print(decisions_table(found["decisions"]))
    console.print()
    due = found["next"]
    if due:
        console.print(
            f"Next        {due['job']} of {due['as_of']}: {due['reason']} Type `churn run`."
        )
    else:
        console.print(found["reason"])


def show_lake(console: "Console", found: Mapping[str, Any]) -> None:
    """Print where the lake is if not in the home, its months, and what its logs hold."""
    if place := found.get("lake"):
        console.print(f"Lake        {place}", soft_wrap=True, markup=False)
    if source := found.get("drop_source"):
        console.print(f"Drops       {source}", soft_wrap=True, markup=False)
    console.print(f"Months      {_span(found['months'])}")
    for log in found.get("events", ()):
        console.print(f"Events      {log['sentence']}", soft_wrap=True, markup=False)


def show_production(console: "Console", found: Mapping[str, Any]) -> None:
    """Print the version in production, whether it stands down, and whose list is the newest."""
    console.print(f"Production  {_production(found['production'])}")
    if value := (found["production"] or {}).get("contact_value"):
        worth = value_sentence(value).removeprefix("Value of ")
        console.print(f"Value       {worth}", soft_wrap=True)
    if found["production"] and found["production"]["stand_down"]:
        console.print(f"[red]Stand down[/]  {found['production']['stand_down_reason']}")
    if (newest := found["newest_list"]) and newest["outdated"]:
        console.print(f"[yellow]List[/]        {newest['as_of']}: {newest['outdated']}")
    if proposal := found["proposal"]:
        console.print(
            f"[yellow]Proposed[/]    {proposal['sentence']} Type `{proposal['command']}`.",
            soft_wrap=True,
        )


def show_experiments(console: "Console", found: Mapping[str, Any]) -> None:
    """Print the canary, the shadows and the test that run; nothing without one."""
    if canary := found.get("canary"):
        sentence = CanaryStatus.model_validate(canary).sentence
        console.print(f"Canary      {sentence}", soft_wrap=True)
    if shadows := found.get("shadows"):
        console.print(f"Shadows     {'; '.join(shadows)}", soft_wrap=True, markup=False)
    if test := found.get("test"):
        console.print(f"Test        {test}", soft_wrap=True, markup=False)


def planned_sentence(planned: Mapping[str, Any]) -> str:
    """How many are to be contacted and how many were, or why nobody is."""
    if planned["note"]:
        return str(planned["note"])
    said = (
        f"{counted(planned['assigned'], 'customer')} to contact, {planned['contacted']:,} of them"
        f" contacted so far; {planned['untouched']:,} left untouched at random."
    )
    if planned["untouched_contacted"]:
        said += f" {planned['untouched_contacted']:,} of these were contacted all the same."
    return said


def show_realised(console: "Console", found: Mapping[str, Any]) -> None:
    """Print what contacting was worth, and production's newest realised AUC by corrected labels
    and by the labels as they arrived; nothing where the contract names no contacts.
    """
    if campaign := found.get("campaign"):
        console.print(f"Campaign    {campaign['as_of']}: {campaign['sentence']}", soft_wrap=True)
    own = [
        one
        for one in found.get("performance", ())
        if one.get("state") == "production" and one.get("contacts")
    ]
    if own:
        newest = max(own, key=lambda one: str(one["as_of"]))
        console.print(f"Realised    {realised_sentence(newest)}", soft_wrap=True)


def show_estimated(console: "Console", found: Mapping[str, Any]) -> None:
    """Print the estimate of a month without labels, and why a realised figure fell."""
    from rich.markup import escape

    if one := found.get("estimated"):
        console.print(f"Expected    {escape(one['sentence'])}", soft_wrap=True)
    fallen = [
        one
        for one in found.get("performance", ())
        if one.get("state") == "production" and one.get("fall")
    ]
    if fallen:
        newest = max(fallen, key=lambda one: str(one["as_of"]))
        production = found.get("production") or {}
        if newest["version"] == production.get("version"):
            console.print(
                f"[yellow]Fell[/]        {escape(newest['fall']['sentence'])}", soft_wrap=True
            )


def realised_sentence(one: Mapping[str, Any]) -> str:
    """The AUC of a version on a month with contacts: corrected, naive, and its bounds where
    customers were contacted without a plan.
    """
    contacts = one["contacts"]
    metrics = one["metrics"]
    naive = contacts.get("naive_auc")
    said = f"version {one['version']} on {one['as_of']}: corrected AUC "
    if metrics is None:
        said += "not measurable"
    else:
        low, high = metrics["auc_interval"]
        said += f"{metrics['auc']:.3f} [{low:.3f}, {high:.3f}]"
    said += f", naive AUC {figure(naive)} on the labels as they arrived."
    said += (
        f" {counted(contacts['assigned'], 'customer')} assigned to contact are left out;"
        f" {contacts['untouched']:,} untouched stand for them."
    )
    if contacts["outside"]:
        said += f" {counted(contacts['outside'], 'customer')} were contacted without a plan"
        if bounds := contacts.get("bounds"):
            said += f": whatever their labels, the AUC is in [{bounds[0]:.3f}, {bounds[1]:.3f}]"
        said += "."
    if metrics is None and one.get("note"):
        said += f" {one['note']}"
    return said


def show_contract(console: "Console", found: Mapping[str, Any]) -> None:
    """Print when the contract last changed, what of the file is not recorded yet, and what of
    that is refused.
    """
    from rich.markup import escape

    if found["changed_at"]:
        when = f"{found['changed_at'][:16].replace('T', ' ')} UTC"
        if found["month"]:
            when += f", after {found['month']}"
        said = escape(_some(found["changes"]))
        console.print(f"Contract    changed {when}: {said}", soft_wrap=True)
    for one in found["refused"]:
        console.print(
            f"[red]Refused[/]     {escape(one['where'])}: {escape(one['change'])}."
            f" {escape(one['refused'])}",
            soft_wrap=True,
        )
    if found["refused"]:
        console.print(
            f"[red]Refused[/]     No run can start with this contract. Type `{found['command']}`."
        )
    elif found["pending"]:
        console.print(
            f"[yellow]Contract[/]    not recorded yet: {escape(_some(found['pending']))}. The"
            f" next run records it; `{found['command']}` does it now.",
            soft_wrap=True,
        )


def _some(sentences: list[str]) -> str:
    """The first sentences, and how many more there are."""
    said = "; ".join(sentences[:SHOWN_CHANGES])
    more = len(sentences) - SHOWN_CHANGES
    if more > 0:
        said += f"; and {counted(more, 'more change')}"
    return said


def show_people(console: "Console", found: Mapping[str, Any]) -> None:
    """Print what waits for an approval, and what people did against the gate."""
    waits = found["pending"]
    forced = (found["production"] or {}).get("overridden")
    if forced:
        console.print(f"[yellow]Overridden[/]  {_overridden(forced)}")
    if waits and waits["lapsed"]:
        console.print(
            f"[yellow]Lapsed[/]      The request to approve version {waits['version']}:"
            f" {waits['lapsed']}"
        )
    elif waits:
        # Not wrapped: it holds commands to copy.
        console.print(f"[cyan]Waiting[/]     {waits['sentence']} {waits['how']}", soft_wrap=True)
        if waits.get("contact_value"):
            console.print(
                f"[cyan]Waiting[/]     {value_sentence(waits['contact_value'])}", soft_wrap=True
            )
        if waits.get("shadow"):
            console.print(f"[cyan]Waiting[/]     {waits['shadow']}", soft_wrap=True)
    for version, who in found["blocked"].items():
        console.print(
            f"[yellow]Blocked[/]     Version {version}, rolled back by {who['by']}: {who['reason']}"
        )


def show_warnings(console: "Console", warnings: Iterable[Mapping[str, str]]) -> None:
    """One line for each warning of a month, with its code."""
    from rich.markup import escape

    for one in warnings:
        console.print(
            f"[yellow]Warning[/]     {one['as_of']} {one['code']}: {escape(one['sentence'])}",
            soft_wrap=True,
        )


def unsent_sentence(receiver: Mapping[str, Any]) -> str:
    """How many alerts wait for a channel, and why."""
    if not receiver["receiver"]:
        return str(receiver["error"])
    waiting = "alert waits" if receiver["unsent"] == 1 else "alerts wait"
    many = f"{receiver['unsent']} {waiting} for {receiver['receiver']}"
    if not receiver["failures"]:
        return f"{many}: `churn alert` sends now."
    return (
        f"{many}: it {receiver['error']} at try {receiver['failures']}; the next is after"
        f" {receiver['next_try'][:16]}."
    )


def _span(months: list[str]) -> str:
    if not months:
        return "no month yet"
    if len(months) == 1:
        return f"1 month, {months[0]}"
    return f"{len(months)} months, {months[0]} to {months[-1]}"


def _production(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no model yet"
    if found["auc"] is None:
        return f"version {found['version']}, imported; trained no later than {found['as_of']}"
    return (
        f"version {found['version']} ({found['algorithm']}), trained on {found['as_of']}, "
        f"AUC {found['auc']:.3f} on the holdout at its decision"
    )


def _answered(one: Mapping[str, Any]) -> str:
    """The predictions that the API served for a month by one version, and their AUC."""
    metrics = one["metrics"]
    if metrics is None:
        worth = one["note"]
    else:
        worth = f"AUC {metrics['auc']:.3f} on {one['rows']:,} matured labels"
    contacts = one.get("contacts")
    if contacts:
        worth += (
            f" (corrected; naive AUC {figure(contacts.get('naive_auc'))},"
            f" {contacts['assigned']:,} assigned to contact left out)"
        )
    if one["moved"]:
        far = f", {one['distance']:.2f} away from its training data"
    else:
        far = ""
    return (
        f"version {one['version']} to {one['customers']:,} customers of {one['as_of']}:"
        f" {worth}{far}"
    )


def decisions_table(decisions: Iterable[Mapping[str, Any]]) -> "Table":
    """One line per decision."""
    numbers = ("candidate", "production", "forward", "drift")
    made = table("Decisions", "month", "trigger", "decision", *numbers, "why", numbers=numbers)
    for d in decisions:
        made.add_row(
            d["as_of"],
            d["trigger"],
            standing(d),
            figure(d["candidate_auc"]),
            figure(d["production_auc"]),
            figure(d["forward_auc"]),
            figure(d["drift_share"], ".1%"),
            said_of(d) + d["reason"],
        )
    return made


def show_decision(console: "Console", d: Mapping[str, Any]) -> None:
    """Print a decision with the result of every criterion."""
    if d["production_version"] is not None:
        against = f"version {d['production_version']}"
    else:
        against = "no production model"
    console.print(
        f"[bold]{d['as_of']}[/]: version {d['candidate_version']} against {against}: "
        f"{standing(d)} (trigger: {d['trigger']})"
    )
    console.print(said_of(d) + d["reason"])
    if d["stand_down"]:
        console.print(
            "[red]Production stands down: it is no better than chance, and this decision did not"
            " replace it.[/]"
        )
    made = table("", "code", "criterion", "outcome", "result")
    for f in d["findings"]:
        outcome = f["outcome"].replace("_", " ")
        made.add_row(f["code"], f["title"], f"[{OUTCOMES[f['outcome']]}]{outcome}[/]", f["detail"])
    console.print(made)
    if d.get("contact_value"):
        console.print(value_sentence(d["contact_value"]), soft_wrap=True)
    if d.get("chosen_from"):
        console.print(choice_table(d["chosen_from"]))
    if d.get("sample"):
        console.print(sample_sentence(d["sample"]), soft_wrap=True)
    if d.get("shadow"):
        console.print(d["shadow"], soft_wrap=True, markup=False)


def choice_table(choice: Mapping[str, Any]) -> "Table":
    """The recipes that competed for a candidate."""
    from churn_platform.training.release import CHOICE_HEADS, ChosenFrom

    found = ChosenFrom.model_validate(choice)
    title = f"Recipes, by cross-validation on the training rows ({found.fits} fits)"
    made = table(title, *CHOICE_HEADS, numbers=("AUC", "fits"))
    for row in found.table():
        made.add_row(*row)
    return made


def sample_sentence(sample: Mapping[str, Any]) -> str:
    """How many of the rows a decision rests on."""
    from churn_platform.features.customer_sample import CustomerSample

    return CustomerSample.model_validate(sample).sentence


def value_sentence(value: Mapping[str, Any]) -> str:
    """What the contacts of a decision's versions would be worth."""
    from churn_platform.promotion.contact_value import ContactValue

    return ContactValue.model_validate(value).sentence


def standing(decision: Mapping[str, Any]) -> str:
    """The state of a decision in colour, approvals and overrides included."""
    if decision["approval"]:
        state = decision["approval"]["state"]
    else:
        state = decision["decision"]
    shown = f"[{STATES[state]}]{state}[/]"
    if decision["overridden"]:
        shown += ", [yellow]overridden[/]"
    return shown


def said_of(decision: Mapping[str, Any]) -> str:
    """The approval or override of a decision, in front of its own reason; empty without one."""
    if decision["overridden"]:
        return f"{_overridden(decision['overridden'])} "
    request = decision["approval"]
    if request and request["state"] != "pending":
        return f"{request['sentence']} "
    return ""


def _overridden(forced: Mapping[str, Any]) -> str:
    return (
        f"Promoted against the decision by {forced['by']} at {forced['at'][:10]}:"
        f" {ended(forced['reason'])}"
    )
