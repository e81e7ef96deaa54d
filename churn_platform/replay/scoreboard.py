"""Was the gate right? Each decision judged on the labels that matured after it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.evaluation.gain import Gain
from churn_platform.ledger.receipts import DELIVERED, Receipt, version_of
from churn_platform.ledger.state import DONE
from churn_platform.monitoring.comparison import Shown, shown, span
from churn_platform.promotion.decision import Decision

Judgement = Literal["right", "wrong", "open"]
Takeover = tuple[str, int]
"""The newest month there was (an ISO date), and the version that came into production then."""


@dataclass(frozen=True, kw_only=True)
class JudgedDecision:
    """One decision judged on later months; `gained` is what following it was worth, compared with
    its opposite.
    """

    as_of: str
    candidate: int
    incumbent: int | None
    decision: str
    judgement: Judgement
    months: tuple[str, ...] = ()
    candidate_auc: float | None = None
    incumbent_auc: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    gained: float | None = None
    final: bool
    """Whether no later month can change it."""
    sentence: str


@dataclass(frozen=True)
class Totals:
    """All decisions together. `needless` are false promotions: the candidate was not better.
    `missed` are missed promotions: the refused candidate was better.
    """

    decisions: int
    right: int
    wrong: int
    open: int
    needless: int
    missed: int
    gained: float


def judging_months(
    own: Decision, takeovers: Iterable[Takeover], matured: Iterable[str], most: int
) -> tuple[list[str], bool]:
    """The months that judge a decision, and whether no later one will.

    These are the first `most` months after it, while only its two versions were in production:
    a model that was replaced for good no longer shows whether the decision was right. The month
    of the next takeover still counts, because its customers were scored before.

    Args:
        own: the decision.
        takeovers: what came into production after it, oldest first.
        matured: months with matured labels, ISO dates.
        most: the limit, which keeps judging as fast when the history grows.
    """
    pair = {own.candidate_version, own.production_version}
    end = next((month for month, version in takeovers if version not in pair), None)
    months = sorted(
        month for month in matured if month > own.as_of and (end is None or month <= end)
    )
    return months[:most], end is not None or len(months) >= most


@dataclass(frozen=True)
class Event:
    """One event of the loop, in order: a month came, or a version took over; a decision was made
    if it is neither.

    A takeover is dated by the newest month that had come, whatever month the version was
    trained on: where a label takes time, the old version has scored every month in between.
    """

    month: str | None = None
    version: int | None = None


DECIDED = Event()


def events(receipts: Iterable[Receipt]) -> Iterator[Event]:
    """What the ledger shows that happened; a takeover by the loop, an approval or a rollback."""
    for receipt in receipts:
        if receipt.act in DELIVERED:
            yield Event(month=receipt.subject)
        elif receipt.act == "decision":
            yield DECIDED
        elif receipt.act in DONE and (version := version_of(receipt.subject)) is not None:
            yield Event(version=version)


def takeovers(happened: Iterable[Event]) -> list[list[Takeover]]:
    """For each decision, in order, what came into production after it, each with the newest
    month there was.
    """
    newest = ""
    found = list[list[Takeover]]()
    for event in happened:
        if event.month is not None:
            newest = max(newest, event.month)
        elif event.version is not None:
            for later in found:
                later.append((newest, event.version))
        else:
            found.append([])
    return found


def judge(
    decision: Decision,
    gain: Gain | None,
    policy: PromotionPolicy,
    *,
    gained: float | None = None,
    final: bool = False,
) -> JudgedDecision:
    """Judge one decision.

    Args:
        decision: the decision.
        gain: candidate over incumbent (over chance, for the first) on the judging months; None
            without such a month.
        policy: the gate's thresholds, as they are now.
        gained: what following it gained, in the contract's costs; None measures it in AUC times
            months.
        final: whether no later month can change the judgement.
    """
    passed = decision.decision != "refused"
    first = decision.production_version is None
    found = shown(gain, policy, first=first)
    judgement: Judgement = "open"
    if found != "open":
        judgement = "right" if (found == "better") == passed else "wrong"
    judged = JudgedDecision(
        as_of=decision.as_of,
        candidate=decision.candidate_version,
        incumbent=decision.production_version,
        decision=decision.decision,
        judgement=judgement,
        gained=gained,
        final=final,
        sentence=_sentence(decision, gain, found, policy, final=final),
    )
    if gain is None:
        return judged
    if gained is None:
        gained = gain.difference * len(gain.months)
        if not passed:
            gained = -gained
    interval = gain.interval(policy.level)
    return replace(
        judged,
        months=gain.months,
        candidate_auc=gain.candidate_auc,
        incumbent_auc=gain.incumbent_auc,
        difference=gain.difference,
        interval=(interval.low, interval.high),
        gained=gained,
    )


def totals(judged: Iterable[JudgedDecision]) -> Totals:
    """Counts, and the sum of what was gained where it is known."""
    found = list(judged)
    count = {
        name: sum(one.judgement == name for one in found) for name in ("right", "wrong", "open")
    }
    wrong = [one for one in found if one.judgement == "wrong"]
    missed = sum(one.decision == "refused" for one in wrong)
    gained = sum(one.gained for one in found if one.gained is not None)
    return Totals(
        len(found), **count, needless=len(wrong) - missed, missed=missed, gained=float(gained)
    )


def _sentence(
    decision: Decision,
    gain: Gain | None,
    found: Shown,
    policy: PromotionPolicy,
    *,
    final: bool,
) -> str:
    first = decision.production_version is None
    ours = f"version {decision.candidate_version}"
    theirs = "chance" if first else f"version {decision.production_version}"
    if gain is None:
        never = " and none will: another version came into production." if final else "."
        return f"No later month has matured labels to compare {ours} with {theirs} on{never}"
    interval = gain.interval(policy.level)
    figures = (
        f"On {gain.rows:,} rows of {span(gain.months)} {ours} has AUC"
        f" {gain.candidate_auc:.3f}, {theirs}"
        f" {gain.incumbent_auc:.3f}: {gain.difference:+.3f} [{interval.low:+.3f},"
        f" {interval.high:+.3f}]"
    )
    if found == "open" and gain.churners < policy.min_holdout_churners:
        return f"{figures}, with {gain.churners} churners too few to tell."
    conclusions = {
        "better": f"{ours} was better",
        "not better": f"{ours} was not better",
        "open": "this can no longer be decided" if final else "too early to tell",
    }
    return f"{figures}; {conclusions[found]}."
