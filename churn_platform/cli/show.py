"""How answers look in a terminal: tables and sentences with rich."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from churn_platform.cli.people import STATES, said_of, show_people, standing

if TYPE_CHECKING:
    from churn_platform.ingestion.validation import ValidatedDrop

STYLES = {"pass": "green", "warn": "yellow", "fail": "red", "not_applicable": "dim"}


def figure(value: float | None, form: str = ".3f") -> str:
    """A figure, or a dash if it is missing."""
    if value is None:
        return "-"
    return format(value, form)


def table(title: str, *columns: str, numbers: Iterable[str] = ()) -> Table:
    """An empty table in the house style; the columns in `numbers` are right-aligned."""
    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        made.add_column(column, justify="right" if column in set(numbers) else "left")
    return made


def show_status(console: Console, found: Mapping[str, Any]) -> None:
    """The state of a home on one screen."""
    console.print(f"[bold]{found['contract']}[/] in {found['home']}")
    months = found["months"]
    if len(months) > 1:
        several = f"{len(months)} months, {months[0]} to {months[-1]}"
    else:
        several = None
    span = several or (f"1 month, {months[0]}" if months else "no month yet")
    console.print(f"Months      {span}")
    console.print(f"Production  {_production(found['production'])}")
    if found["production"] and found["production"]["stand_down"]:
        console.print(f"[red]Stand down[/]  {found['production']['stand_down_reason']}")
    if proposal := found["proposal"]:
        console.print(
            f"[yellow]Proposed[/]    {proposal['sentence']} Type `{proposal['command']}`.",
            soft_wrap=True,
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
    console.print(
        f"Next        {due['job']} of {due['as_of']}: {due['reason']} Type `churn run`."
        if due
        else found["reason"]
    )


def ingest_sentences(found: "ValidatedDrop", target: Path, page: Path) -> list[str]:
    """What `churn ingest` prints for an accepted drop: its folder, quarantined rows and the
    comparison.
    """
    aside = found.quarantined_sentence
    state = "usable" if aside else "valid"
    said = [f"The drop of {found.as_of} is {state}. Its files are in {target}. Next: `churn run`."]
    said += [f"{aside} Reasons: {page}"] if aside else []
    change = "" if found.comparison is None else found.comparison.change_sentence
    said += [change] if change else []
    return said + [f"Warning {warning.code}: {warning.sentence}" for warning in found.warnings]


def show_warnings(console: Console, warnings: Iterable[Mapping[str, str]]) -> None:
    """One line for each warning of a month, with its code."""
    for one in warnings:
        console.print(
            f"[yellow]Warning[/]     {one['as_of']} {one['code']}: {escape(one['sentence'])}",
            soft_wrap=True,
        )


def unsent_sentence(receiver: Mapping[str, Any]) -> str:
    """What waits for a receiver of alerts, and why."""
    if not receiver["receiver"]:
        return str(receiver["error"])
    many = (
        f"{receiver['unsent']} alert{'s wait' if receiver['unsent'] != 1 else ' waits'} for"
        f" {receiver['receiver']}"
    )
    if not receiver["failures"]:
        return f"{many}: `churn alert` sends now."
    return (
        f"{many}: it {receiver['error']} at try {receiver['failures']}; the next is after"
        f" {receiver['next_try'][:16]}."
    )


def _production(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no model yet"
    return (
        f"version {found['version']} ({found['algorithm']}), trained on {found['as_of']}, "
        f"AUC {found['auc']:.3f} on the holdout at its decision"
    )


def _answered(one: Mapping[str, Any]) -> str:
    """What the API answered about a month by one version, and what that was worth."""
    metrics = one["metrics"]
    if metrics is None:
        worth = one["note"]
    else:
        worth = f"AUC {metrics['auc']:.3f} on {one['rows']:,} matured labels"
    if one["moved"]:
        far = f", {one['distance']:.2f} from what it learnt"
    else:
        far = ""
    return (
        f"version {one['version']} to {one['customers']:,} customers of {one['as_of']}:"
        f" {worth}{far}"
    )


def decisions_table(decisions: Iterable[Mapping[str, Any]]) -> Table:
    """One line a decision."""
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


def show_decision(console: Console, d: Mapping[str, Any]) -> None:
    """One decision with every finding's sentence."""
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
            "[red]Production stands down: it is no better than chance and nothing better passed.[/]"
        )
    made = table("", "code", "criterion", "outcome", "finding")
    for f in d["findings"]:
        outcome = f["outcome"].replace("_", " ")
        made.add_row(f["code"], f["title"], f"[{STYLES[f['outcome']]}]{outcome}[/]", f["detail"])
    console.print(made)


def show_scores(
    console: Console,
    month: str,
    record: Mapping[str, Any],
    rows: list[Mapping[str, Any]],
    key: str,
) -> None:
    """The top of the ranked list."""
    if record["stand_down"]:
        console.print(f"[red]Stand down:[/] {record['stand_down']}")
    if note := record.get("list_note"):
        console.print(f"[yellow]{note}[/]", soft_wrap=True)
    if not_scored := record.get("not_scored"):
        console.print(f"[yellow]{not_scored}[/]", soft_wrap=True)
    elif (now := record.get("production_version")) not in (None, record["version"]):
        console.print(
            f"[yellow]Version {now} is in production now, this list is by version"
            f" {record['version']}: `churn run` makes the list of that version.[/]",
            soft_wrap=True,
        )
    losses = any("expected_loss" in row for row in rows)
    if losses:
        headed = "Highest expected loss"
    else:
        headed = "Most likely to leave"
    title = (
        f"{headed}, {month}, version {record['version']}, {record['customers']:,} customers scored"
    )
    if left := record.get("already_left"):
        title += f", {left:,} of them have already left"
    numbers = ("rank", "probability", *(["expected loss"] if losses else []))
    console.print(
        f"[bold]{title}[/]", soft_wrap=True
    )  # the title of a table is wrapped at the table's width
    made = table("", "rank", "customer", *numbers[1:], "reasons", numbers=numbers)
    for row in rows:
        said = "; ".join(str(value) for name, value in row.items() if name.startswith("reason_"))
        if row.get("trained_on"):
            customer = f"{row[key]} *"
        else:
            customer = str(row[key])
        loss = [f"{row['expected_loss']:,.2f}"] if losses else []
        made.add_row(str(row["rank"]), customer, f"{row['probability']:.3f}", *loss, said)
    console.print(made)
    if any(row.get("trained_on") for row in rows):
        console.print(
            f"[dim]* Version {record['version']} was trained on this row, outcome included. "
            "Its probability is too optimistic.[/]",
            soft_wrap=True,
        )


def show_explanation(console: Console, found: Mapping[str, Any], key: str) -> None:
    """One customer."""
    model = found["model"]
    console.print(
        f"[bold]{found[key]}[/] on {found['as_of']}: probability"
        f" {found['probability']:.3f}{_place(found)} ({model['name']} version"
        f" {model['version']}, trained on {model['as_of']})"
    )
    if found.get("already_left"):
        console.print(
            "[yellow]Has already left[/]: the label of the month is known, so the customer is"
            " not listed."
        )
    if found.get("trained_on"):
        console.print(
            f"[yellow]Version {model['version']} was trained on this customer's outcome.[/]"
        )
    if model["stand_down"]:
        console.print("[red]The model stands down: do not act on this.[/]")
    for number, reason in enumerate(found["reasons"], start=1):
        console.print(f"  {number}. {reason}")
    made = table("Features as known then", "feature", "value")
    for name, value in found["features"].items():
        made.add_row(name, "(none)" if value is None else str(value))
    console.print(made)


def _place(found: Mapping[str, Any]) -> str:
    """Rank and decile; the prediction in words only where the costs that the threshold rests on
    were given.
    """
    said = ""
    if found.get("costs_given") and not found.get("already_left"):
        said += f", predicted: {'leaves' if found['prediction'] else 'stays'}"
    if found.get("expected_loss") is not None:
        said += f", expected loss {found['expected_loss']:,.2f}"
    if found.get("rank") is not None:
        said += f", rank {found['rank']:,}, decile {found['decile']}"
    return said


def show_checkup(console: Console, checks: Iterable[Mapping[str, Any]]) -> None:
    """What `churn doctor` found."""
    made = table("", "check", "state", "found", "remedy")
    colours = {"ok": "green", "warn": "yellow", "error": "red"}
    for check in checks:
        made.add_row(
            check["check"],
            f"[{colours[check['state']]}]{check['state']}[/]",
            check["found"],
            check["remedy"],
        )
    console.print(made)


def show_story(
    console: Console, rows: Sequence[Mapping[str, Any]], truth: Mapping[str, Any] | None
) -> None:
    """The end of `churn demo`: a table with a row a month, then why, then what it was good for."""
    if truth is not None:
        console.print(f"[bold]{truth['scenario']}[/]: {truth['summary']}.")
        console.print(f"The loop should {truth['loop_should']}.\n", soft_wrap=True)
    numbers = ("drift", "in production", "first model kept", "best possible", "candidate")
    made = table("What happened", "month", *numbers, "the loop", numbers=numbers)
    for row in rows:
        figures = (row["realised_auc"], row["first_auc"], row["best_auc"], row["candidate_auc"])
        drift = figure(row["drift_share"], ".1%")
        made.add_row(row["month"], drift, *(figure(value) for value in figures), _did(row))
    console.print(made)
    console.print(
        "[dim]AUC on that month's customers: 0.5 is chance; candidate: on the holdout.[/]"
    )
    console.print("\n[bold]Why[/]")
    for row in rows:
        for number, sentence in enumerate(_month_sentences(row)):
            console.print(f"{'' if number else row['month']:10}  {sentence}", soft_wrap=True)
    console.print(f"\n{_in_the_end(rows)}", soft_wrap=True)


def _did(row: Mapping[str, Any]) -> str:
    """What the loop did in a month, in a few words."""
    if row["refused"]:
        return "[yellow]refused the drop[/]" + (
            "" if row["decision"] == "no month" else ", took in its repair"
        )
    if row["version"] is None:
        if row["in_production"] is None:
            return "no model yet"
        return f"[dim]kept version {row['in_production']}[/]"
    word = f"[{STATES[row['decision']]}]{row['decision']}[/] version {row['version']}"
    if row["decision"] == "refused" and row["in_production"]:
        kept = f", kept version {row['in_production']}"
    else:
        kept = ""
    return word + kept


def _month_sentences(row: Mapping[str, Any]) -> list[str]:
    """What happened in the business and its files, what the loop saw, what it decided; nothing
    for a quiet month.
    """
    said = []
    if row["what_changed"] not in (None, "nothing"):
        said.append(f"The business changed: {row['what_changed']}.")
    said += [f"The files: {note.rstrip('.')}." for note in row["deliveries"]]
    if row["refused"]:
        said.append(f"Refused: {row['refused']}")
    if row["asked"]:
        said.append(f"The loop saw: {row['asked']}")
    if row["version"] is not None:
        said.append(f"{row['decision'].capitalize()}: {row['why']}")
    return said


def _in_the_end(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the last measured month is worth with the loop and would be without it."""
    measured = [row for row in rows if row["realised_auc"] is not None]
    if not measured:
        return "No month has come yet that a model in production could be measured on."
    last = measured[-1]
    if last["best_auc"] is None:
        best = ""
    else:
        best = f", where {last['best_auc']:.3f} is possible"
    if last["decision"] == "promoted":
        return (
            f"In {last['month']} the model in production had come to be worth"
            f" {last['realised_auc']:.3f}{best}: version {last['version']} replaced it, worth"
            f" {last['candidate_auc']:.3f} on customers neither had seen."
        )
    said = f"In {last['month']} the model in production is worth {last['realised_auc']:.3f}{best}."
    if last["first_auc"] is None or last["first_auc"] == last["realised_auc"]:
        return f"{said} It is still the first one: nothing better came."
    return (
        f"{said} Without the loop the first model would still serve, worth {last['first_auc']:.3f}."
    )
