"""The end of `churn demo`: what happened in the business each month, what the loop saw and did."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from churn_platform.cli.base import figure, table
from churn_platform.cli.status import STATES
from churn_platform.evaluation.statistics import auc
from churn_platform.services import Services
from churn_platform.simulator import CampaignTruth, MonthTruth, Truth

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class StoryMonth:
    """A month of the demo; a missing figure is None.

    `realised_auc` is of the model that was in production when the month came, `first_auc` of
    the first model. Only a simulation knows `best_auc` and `what_changed`.
    """

    month: str
    what_changed: str | None
    deliveries: list[str]
    refused: str | None
    drift_share: float | None
    in_production: int | None
    realised_auc: float | None
    first_auc: float | None
    best_auc: float | None
    decision: str
    version: int | None
    candidate_auc: float | None
    production_auc: float | None
    forward_auc: float | None
    why: str
    asked: str | None


@dataclass(frozen=True, kw_only=True)
class CampaignMonth(StoryMonth):
    """A month whose list was worked. Only the simulation knows `true_auc`, `saved`,
    `saved_among_compared` and `driven_away`.

    `naive_auc` is of the model in production on the labels as they came, `true_auc` on those
    that there would have been without contacts; `realised_auc` is what the platform reports.
    The `reported` figures are about all months whose labels had matured by then.
    """

    naive_auc: float | None
    true_auc: float | None
    assigned: int
    untouched: int
    saved: int
    """Customers who stayed because they were assigned, less those who left because of it."""
    driven_away: int
    reported_state: str | None
    """Whether an effect is shown; None before the first."""
    reported_saved: float | None
    reported_interval: list[float] | None
    saved_among_compared: int | None
    """How many the contacts saved in truth of the customers that the report is about."""


NO_DECISION: dict[str, Any] = dict.fromkeys(
    ("candidate_version", "candidate_auc", "production_auc", "forward_auc")
)


def story(
    home: Services,
    found: Mapping[str, Any],
    truth: Truth | None,
    refused: Mapping[str, str],
) -> list[StoryMonth]:
    """The months, oldest first.

    Args:
        home: the home.
        found: from `status`.
        truth: from `read_truth`; None for real months.
        refused: delivery -> why it was refused.
    """
    truths = {}
    if truth is not None:
        truths = {month.as_of.isoformat(): month for month in truth.months}
    decisions = {decision["as_of"]: decision for decision in found["decisions"]}
    promoted = {
        one["candidate_version"]: one["as_of"]
        for one in found["decisions"]
        if one["decision"] == "promoted"
    }
    measured = {
        (one["as_of"], one["version"]): one["metrics"]["auc"]
        for one in found["performance"]
        if one["metrics"] is not None
    }
    months = []
    for month in sorted({*found["months"], *truths}):
        older = sorted(version for version, as_of in promoted.items() if as_of < month)
        in_production = older[-1] if older else None
        decision = decisions.get(month) or NO_DECISION | _undecided(month in found["months"])
        known = truths.get(month)
        kind: type[StoryMonth] = StoryMonth
        figures = {}
        if isinstance(known, CampaignTruth):
            kind = CampaignMonth
            figures = _campaign_figures(home, known, in_production)
            figures |= _reported(home, known.as_of, truths)
        months.append(
            kind(
                month=month,
                what_changed=None if known is None else known.what_changed,
                deliveries=_deliveries(home, truth, month),
                refused=refused.get(month),
                drift_share=_drift_share(home, month),
                in_production=in_production,
                realised_auc=measured.get((month, in_production)),
                first_auc=measured.get((month, older[0])) if older else None,
                best_auc=None if known is None else known.best_auc,
                decision=decision["decision"],
                version=decision["candidate_version"],
                candidate_auc=decision["candidate_auc"],
                production_auc=decision["production_auc"],
                forward_auc=decision["forward_auc"],
                why=decision["reason"],
                asked=_asked(home, month),
                **figures,
            )
        )
    return months


def _campaign_figures(
    home: Services, truth: CampaignTruth, in_production: int | None
) -> dict[str, Any]:
    """What a worked month has in addition: the model against both kinds of labels, and whom the
    contacts saved.
    """
    found: dict[str, Any] = {
        "naive_auc": None,
        "true_auc": None,
        "assigned": len(truth.contact) + len(truth.explore),
        "untouched": len(truth.untouched),
        "saved": truth.saved,
        "driven_away": truth.left_because_contacted,
    }
    record = home.records.read("scores", truth.as_of)
    version = None if record is None else record.get("version")
    if version is None or version != in_production:
        return found
    scores = home.records.frame("scores", truth.as_of)
    keys = scores[home.contract.entity.column]
    probability = scores["probability"].to_numpy(dtype=float)
    found["naive_auc"] = auc(keys.isin(truth.left).to_numpy(), probability)
    without = keys.isin(truth.leaves_if_not_contacted).to_numpy()
    found["true_auc"] = auc(without, probability)
    return found


def _reported(home: Services, as_of: dt.date, truths: Mapping[str, MonthTruth]) -> dict[str, Any]:
    """What the platform reports by a month that contacts were worth, and what is true of it."""
    found: dict[str, Any] = dict.fromkeys(
        ("reported_state", "reported_saved", "reported_interval", "saved_among_compared")
    )
    record = home.records.read("campaign_effect", as_of) or {}
    effect = record.get("effect")
    if effect is None:
        return found
    found["reported_state"] = effect["state"]
    if effect["saved"] is not None and effect["state"] != "withheld":
        interval = effect["saved"]["interval"]
        found["reported_saved"] = effect["saved"]["value"]
        found["reported_interval"] = [interval["low"], interval["high"]]
    compared = [truths[month] for month in effect["months"]]
    found["saved_among_compared"] = sum(
        _saved_in_contact(one) for one in compared if isinstance(one, CampaignTruth)
    )
    return found


def _saved_in_contact(truth: CampaignTruth) -> int:
    """Customers above the cut who stayed because of the list, less those who left because of
    it.
    """
    contact = set(truth.contact)
    return len(contact.intersection(truth.leaves_if_not_contacted)) - len(contact & truth.left)


def _undecided(published: bool) -> dict[str, str]:
    if published:
        return {"decision": "kept", "reason": "no retraining was requested"}
    return {"decision": "no month", "reason": "nothing was published"}


def _drift_share(home: Services, month: str) -> float | None:
    record = home.records.read("drift_report", dt.date.fromisoformat(month)) or {}
    share: float | None = (record.get("result") or {}).get("share")
    return share


def _deliveries(home: Services, truth: Truth | None, month: str) -> list[str]:
    """What was unusual about the month's files, and which deliveries were corrections."""
    arrived = () if truth is None else truth.deliveries
    noted = [one.note for one in arrived if one.as_of.isoformat() == month and one.note]
    corrected = [r.reason for r in home.ledger.receipts("drop corrected") if r.subject == month]
    return [*noted, *corrected]


def _asked(home: Services, month: str) -> str | None:
    """Why a candidate was requested in that month."""
    reasons = [r.reason for r in home.ledger.receipts("retraining requested") if r.subject == month]
    if reasons:
        return reasons[-1]
    return None


def show_story(console: "Console", months: Sequence[StoryMonth], truth: Truth | None) -> None:
    """Print one row per month, then the reasons, then what the loop was worth."""
    if truth is not None:
        console.print(f"[bold]{truth.scenario}[/]: {truth.summary}.")
        console.print(f"The loop should {truth.loop_should}.\n", soft_wrap=True)
    if any(isinstance(month, CampaignMonth) for month in months):
        _show_campaign(console, months)
        return
    numbers = ("drift", "in production", "first model kept", "best possible", "candidate")
    made = table("What happened", "month", *numbers, "the loop", numbers=numbers)
    for month in months:
        figures = (month.realised_auc, month.first_auc, month.best_auc, month.candidate_auc)
        drift = figure(month.drift_share, ".1%")
        made.add_row(month.month, drift, *(figure(value) for value in figures), _did(month))
    console.print(made)
    console.print(
        "[dim]AUC on that month's customers: 0.5 is chance; candidate: on the holdout.[/]"
    )
    _show_reasons(console, months)
    console.print(f"\n{_in_the_end(months)}", soft_wrap=True)


def _show_reasons(console: "Console", months: Sequence[StoryMonth]) -> None:
    console.print("\n[bold]Why[/]")
    for month in months:
        for number, sentence in enumerate(_month_sentences(month)):
            console.print(f"{'' if number else month.month:10}  {sentence}", soft_wrap=True)


def _show_campaign(console: "Console", months: Sequence[StoryMonth]) -> None:
    """Print the naive figures, the true ones, and the saved customers."""
    numbers = ("naive", "corrected", "true", "on the list", "saved so far", "truly saved")
    made = table("What happened", "month", *numbers, "the loop", numbers=numbers)
    worked = [month for month in months if isinstance(month, CampaignMonth)]
    for month in worked:
        aucs = (month.naive_auc, month.realised_auc, month.true_auc)
        made.add_row(
            month.month,
            *(figure(value) for value in aucs),
            f"{month.assigned:,}",
            _reported_saved(month),
            f"{month.saved:,}",
            _did(month),
        )
    console.print(made)
    console.print(
        "[dim]AUC of the model in production: on the labels as they came (naive), as the"
        " platform reports it (corrected),\nand on the labels without any contact, which only a"
        " simulation knows (true). Saved so far: as the platform\nreports it, with its interval;"
        " truly saved: in that month.[/]"
    )
    _show_reasons(console, worked)
    console.print(f"\n{_campaign_in_the_end(worked)}", soft_wrap=True)


def _campaign_in_the_end(months: Sequence[CampaignMonth]) -> str:
    """What the contacts did over all months, and what the naive figure makes of it."""
    assigned = sum(month.assigned for month in months)
    if not assigned:
        return "Nobody was on a list."
    saved = sum(month.saved for month in months)
    away = sum(month.driven_away for month in months)
    said = (
        f"{assigned:,} contacts were planned. In truth they saved {saved:,} customers, net of"
        f" {away:,} who left because they were contacted."
    )
    reported = [month for month in months if month.reported_saved is not None]
    if reported:
        newest = reported[-1]
        said += (
            f" The platform reports {_reported_saved(newest)} in the months it has compared;"
            f" {newest.saved_among_compared:,} is true of them."
        )
    measured = [month for month in months if month.assigned and month.naive_auc is not None]
    if not measured:
        return said
    last = measured[-1]
    return (
        f"{said} In {last.month} the labels as they came give the model in production an AUC of"
        f" {figure(last.naive_auc)}; without contacts it would be {figure(last.true_auc)}."
    )


def _reported_saved(month: CampaignMonth) -> str:
    """The customers saved by all contacts so far, as the platform reports it."""
    if month.reported_saved is None or month.reported_interval is None:
        return month.reported_state or "-"
    low, high = month.reported_interval
    said = f"{month.reported_saved:,.0f} ({low:,.0f} to {high:,.0f})"
    if month.reported_state in ("shown", None):
        return said
    return f"{said}, {month.reported_state}"


def _did(month: StoryMonth) -> str:
    """What the loop did in a month, in a few words."""
    if month.refused:
        return "[yellow]refused the drop[/]" + (
            "" if month.decision == "no month" else ", ingested its repair"
        )
    if month.version is None:
        if month.in_production is None:
            return "no model yet"
        return f"[dim]kept version {month.in_production}[/]"
    word = f"[{STATES[month.decision]}]{month.decision}[/] version {month.version}"
    if month.decision == "refused" and month.in_production:
        kept = f", kept version {month.in_production}"
    else:
        kept = ""
    return word + kept


def _month_sentences(month: StoryMonth) -> list[str]:
    """What happened in the business, what the loop saw and decided; empty for a quiet month."""
    said = []
    if month.what_changed not in (None, "nothing"):
        said.append(f"The business changed: {month.what_changed}.")
    said += [f"The files: {note.rstrip('.')}." for note in month.deliveries]
    if month.refused:
        said.append(f"Refused: {month.refused}")
    if month.asked:
        said.append(f"The loop saw: {month.asked}")
    if month.version is not None:
        said.append(f"{month.decision.capitalize()}: {month.why}")
    return said


def _in_the_end(months: Sequence[StoryMonth]) -> str:
    """The AUC in the last measured month, with the loop and without it."""
    measured = [month for month in months if month.realised_auc is not None]
    if not measured:
        return "There is no month yet on which a model in production can be measured."
    last = measured[-1]
    if last.best_auc is None:
        best = ""
    else:
        best = f", where {last.best_auc:.3f} is possible"
    if last.decision == "promoted":
        return (
            f"In {last.month} the model in production had an AUC of"
            f" {last.realised_auc:.3f}{best}. Version {last.version} replaced it, with"
            f" {last.candidate_auc:.3f} on customers that neither was trained on."
        )
    said = f"In {last.month} the model in production has an AUC of {last.realised_auc:.3f}{best}."
    if last.first_auc is None or last.first_auc == last.realised_auc:
        return f"{said} It is still the first one: no candidate was better."
    return f"{said} Without the loop, the first model would still serve, with {last.first_auc:.3f}."
