"""The end of `churn demo`: what happened in the business each month, what the loop saw and did."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from churn_platform.cli.base import figure, table
from churn_platform.cli.status import STATES
from churn_platform.services import Services

if TYPE_CHECKING:
    from rich.console import Console

Row = dict[str, Any]


def story(
    home: Services,
    found: Mapping[str, Any],
    truth: Mapping[str, Any] | None,
    refused: Mapping[str, str],
) -> list[Row]:
    """One row per month, oldest first; a missing figure is None.

    `realised_auc` is of the model that was in production when the month came, `first_auc` of
    the first model. Only a simulation knows `best_auc` and `what_changed`.

    Args:
        home: the home.
        found: from `status`.
        truth: from `read_truth`; None for real months.
        refused: delivery -> why it was refused.
    """
    told = {month["as_of"]: month for month in (truth or {}).get("months", ())}
    decisions = {decision["as_of"]: decision for decision in found["decisions"]}
    promoted = {
        d["candidate_version"]: d["as_of"]
        for d in found["decisions"]
        if d["decision"] == "promoted"
    }
    months = sorted({*found["months"], *told})
    return [
        {
            "month": month,
            "what_changed": told.get(month, {}).get("what_changed"),
            "deliveries": _deliveries(home, truth, month),
            "refused": refused.get(month),
            "drift_share": _drift_share(home, month),
            **_worth(found, promoted, month),
            "best_auc": told.get(month, {}).get("best_auc"),
            **_decided(decisions.get(month), month in found["months"]),
            "asked": _asked(home, month),
        }
        for month in months
    ]


def _decided(decision: Mapping[str, Any] | None, published: bool) -> Row:
    """The decision on the candidate that was trained on the month."""
    if decision is None:
        if published:
            why = "no retraining was requested"
        else:
            why = "nothing was published"
        return {
            "decision": "kept" if published else "no month",
            "version": None,
            "candidate_auc": None,
            "production_auc": None,
            "forward_auc": None,
            "why": why,
        }
    return {
        "decision": decision["decision"],
        "version": decision["candidate_version"],
        "candidate_auc": decision["candidate_auc"],
        "production_auc": decision["production_auc"],
        "forward_auc": decision["forward_auc"],
        "why": decision["reason"],
    }


def _worth(found: Mapping[str, Any], promoted: Mapping[int, str], month: str) -> Row:
    """Realised AUC on the month, of the version in production then and of the first one."""
    older = sorted(version for version, as_of in promoted.items() if as_of < month)
    measured = {
        entry["version"]: entry["metrics"]["auc"]
        for entry in found["performance"]
        if entry["as_of"] == month and entry["metrics"] is not None
    }
    if not older:
        return {"in_production": None, "realised_auc": None, "first_auc": None}
    return {
        "in_production": older[-1],
        "realised_auc": measured.get(older[-1]),
        "first_auc": measured.get(older[0]),
    }


def _drift_share(home: Services, month: str) -> float | None:
    record = home.records.read("drift_report", dt.date.fromisoformat(month)) or {}
    share: float | None = (record.get("result") or {}).get("share")
    return share


def _deliveries(home: Services, truth: Mapping[str, Any] | None, month: str) -> list[str]:
    """What was unusual about the month's files, and which deliveries were corrections."""
    noted = [
        one["note"]
        for one in (truth or {}).get("deliveries", ())
        if one["as_of"] == month and one["note"]
    ]
    corrected = [r.reason for r in home.ledger.receipts("drop corrected") if r.subject == month]
    return [*noted, *corrected]


def _asked(home: Services, month: str) -> str | None:
    """Why a candidate was requested in that month."""
    reasons = [r.reason for r in home.ledger.receipts("retraining requested") if r.subject == month]
    if reasons:
        return reasons[-1]
    return None


def show_story(
    console: "Console", rows: Sequence[Mapping[str, Any]], truth: Mapping[str, Any] | None
) -> None:
    """Print one row per month, then the reasons, then what the loop was worth."""
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
            "" if row["decision"] == "no month" else ", ingested its repair"
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
    """What happened in the business, what the loop saw and decided; empty for a quiet month."""
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
    """The AUC in the last measured month, with the loop and without it."""
    measured = [row for row in rows if row["realised_auc"] is not None]
    if not measured:
        return "There is no month yet on which a model in production can be measured."
    last = measured[-1]
    if last["best_auc"] is None:
        best = ""
    else:
        best = f", where {last['best_auc']:.3f} is possible"
    if last["decision"] == "promoted":
        return (
            f"In {last['month']} the model in production had an AUC of"
            f" {last['realised_auc']:.3f}{best}. Version {last['version']} replaced it, with"
            f" {last['candidate_auc']:.3f} on customers that neither was trained on."
        )
    said = (
        f"In {last['month']} the model in production has an AUC of"
        f" {last['realised_auc']:.3f}{best}."
    )
    if last["first_auc"] is None or last["first_auc"] == last["realised_auc"]:
        return f"{said} It is still the first one: no candidate was better."
    return (
        f"{said} Without the loop, the first model would still serve, with {last['first_auc']:.3f}."
    )
