"""The verdict of time: a version that is not in production and yet, on labels that matured
since, is the better one.

Every month several versions are looked at, and some would look better by luck. The error of the
gate's level is therefore shared out (Bonferroni) over the versions of a look and over
`policy.verdict.looks` looks: in so many looks together a false proposal comes at most that
often, however many versions are followed.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from churn_platform.contract.policy import PromotionPolicy, VerdictPolicy
from churn_platform.evaluation.gain import Gain
from churn_platform.promotion.criteria.beats_production import should_promote

Act = Literal["rollback proposed", "promotion proposed"]


@dataclass(frozen=True)
class Contender:
    """A version beside production; `gain` is over production on months later than both trained
    on, None without.
    """

    version: int
    was_in_production: bool
    blocked: bool
    gain: Gain | None


@dataclass(frozen=True)
class Proposal:
    """A version that should come into production, with its figures; a person carries it out."""

    act: Act
    version: int
    production: int
    months: tuple[str, ...]
    auc: float
    production_auc: float
    difference: float
    interval: tuple[float, float]
    level: float
    """Of the interval: the gate's, with its error shared out."""
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def followed(versions: Collection[int], production: int | None, newest: int) -> list[int]:
    """Whom to score: production and the `newest` others, ascending; never more, whatever the
    history.

    Args:
        versions: every version that was ever released or decided on.
        production: the version in production.
        newest: how many others.
    """
    others = sorted(version for version in versions if version != production)
    if newest < len(others):
        kept = others[len(others) - newest :]
    else:
        kept = others
    return sorted({*kept, *([] if production is None else [production])})


def look_level(level: float, versions: int, looks: int) -> float:
    """The two-sided level of one comparison when the error of `level` is shared by so many
    versions and looks.
    """
    return 1 - (1 - level) / (versions * looks)


def propose(
    policy: VerdictPolicy,
    gate: PromotionPolicy,
    production: int,
    contenders: Sequence[Contender],
) -> Proposal | None:
    """The one proposal of a look: of those that beat production, the one whose interval begins
    highest; or None.

    Beating asks for what the gate asks for, more than delta and an interval above 0, at the
    level of `look_level`. One that people blocked or rejected is compared, and counted, but
    never proposed.
    """
    measured = [
        c for c in contenders if c.gain is not None and c.gain.churners >= gate.min_holdout_churners
    ]
    level = look_level(gate.level, max(len(measured), 1), policy.looks)
    found = [
        _proposal(contender, contender.gain, production, level)
        for contender in measured
        if contender.gain is not None
        and not contender.blocked
        and _beats(contender.gain, gate.delta, level)
    ]
    return max(found, key=lambda one: (one.interval[0], one.version), default=None)


def _beats(gain: Gain, delta: float, level: float) -> bool:
    return should_promote(gain.candidate_auc, gain.incumbent_auc, delta) and gain.interval(
        level
    ).above(0)


def _proposal(contender: Contender, gain: Gain, production: int, level: float) -> Proposal:
    interval = gain.interval(level)
    months = gain.months
    if len(months) == 1:
        span = months[0]
    else:
        span = f"{months[0]} to {months[-1]}"
    if contender.was_in_production:
        what = "rollback to"
    else:
        what = "promotion of"
    return Proposal(
        act="rollback proposed" if contender.was_in_production else "promotion proposed",
        version=contender.version,
        production=production,
        months=months,
        auc=gain.candidate_auc,
        production_auc=gain.incumbent_auc,
        difference=gain.difference,
        interval=(interval.low, interval.high),
        level=level,
        sentence=(
            f"A {what} version {contender.version} is proposed: on {gain.rows:,} rows of"
            f" {span}, which neither trained on, its AUC is {gain.candidate_auc:.3f} and that"
            f" of version {production}, in production, {gain.incumbent_auc:.3f}"
            f" ({gain.difference:+.3f}, {level:.2%} interval [{interval.low:+.3f},"
            f" {interval.high:+.3f}])."
        ),
    )
