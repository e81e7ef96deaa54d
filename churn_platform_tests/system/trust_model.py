"""What must become of a home, by rules of this file alone: none of the product's is used.

`approved`, `rolled_back` ... say what a person's command must come to; None where it must be refused. Pure: what is not
in the ledger comes as `Facts`. Which receipts may be written at all is said in `trust_rules.py`.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Decided:
    """A decision: on which version, what it said, under which policy, against which production."""

    version: int
    outcome: str
    policy: str
    production: int | None


@dataclass(frozen=True)
class Facts:
    """What a command finds besides the ledger."""

    policy: str
    candidate: int | None
    decisions: Mapping[str, Decided]
    datasets: Collection[str]
    pointer: int | None
    now: dt.datetime

    def on(self, version: int) -> Decided | None:
        """The newest decision on a version."""
        return next((d for d in reversed(self.decisions.values()) if d.version == version), None)


@dataclass(frozen=True)
class Asked:
    """A request for an approval, and what it is bound to."""

    version: int
    production: int | None
    policy: str
    decision: str
    dataset: str
    until: str
    receipt: str

    @property
    def question(self) -> tuple[Any, ...]:
        """What is asked: the same for every trigger."""
        return self.version, self.production, self.policy, self.dataset


@dataclass(frozen=True)
class Begun:
    """A move of production that was announced, or approved, and is not done."""

    kind: str
    version: int
    before: int | None
    decision: str
    override: bool
    digest: str
    blocks: int | None = None
    unblocks: int | None = None


@dataclass(frozen=True)
class Trust:
    """The state of people's trust in a home's versions."""

    production: int | None = None
    promoted: tuple[tuple[int, int | None], ...] = ()
    """Every promotion: the version, and what was in production before."""
    blocked: frozenset[int] = frozenset()
    rejected: frozenset[int] = frozenset()
    refused: frozenset[tuple[Any, ...]] = frozenset()
    """Questions that people said no to: they are not asked again."""
    request: Asked | None = None
    approval: Begun | None = None
    """Given, and nothing begun since."""
    intent: Begun | None = None
    months: Mapping[str, int] = field(default_factory=dict)
    """Month -> how many deliveries of it were accepted."""
    decided: tuple[str, ...] = ()
    """The decisions, one a receipt."""
    counts: Mapping[str, int] = field(default_factory=dict)
    contract: str | None = None
    """Digest of the contract that was recorded last."""
    canary: tuple[int, int] | None = None
    """The version that answers a share, and the one in production when it began."""
    shadows: frozenset[str] = frozenset()

    def counted(self, act: str) -> "Trust":
        """One more of an act."""
        return replace(self, counts={**self.counts, act: self.counts.get(act, 0) + 1})

    def wanted(self, version: int) -> "Trust":
        """After a person said yes to a version: nothing that was said against it holds."""
        refused = frozenset(question for question in self.refused if question[0] != version)
        return replace(self, rejected=self.rejected - {version}, refused=refused)

    def unwanted(self) -> "Trust":
        """After a person said no to the version that waits."""
        asked = self.request
        assert asked is not None
        refused = self.refused | {asked.question}
        return replace(
            self, request=None, rejected=self.rejected | {asked.version}, refused=refused
        )

    @property
    def barred(self) -> frozenset[int]:
        """Versions that people keep out: none of them comes up by itself."""
        return self.blocked | self.rejected

    def begun(self) -> bool:
        """Whether a move was cut off: alias and pointer may be anywhere between its two versions."""
        return self.intent is not None or self.approval is not None

    def settled(self, facts: Facts) -> "Trust":
        """After what was cut off is completed; or given up, where it no longer holds and the pointer has not moved."""
        begun = self.intent or self.approval
        if begun is None:
            return self
        moved = self.intent is not None and facts.pointer == begun.version
        cleared = replace(self, intent=None, approval=None)
        holds = (
            begun.override
            or begun.kind == "rollback"
            or facts.decisions[begun.decision].policy == facts.policy
        )
        return cleared.moved(begun) if moved or holds else cleared

    def moved(self, move: Begun) -> "Trust":
        """After a move is done."""
        after = replace(self, production=move.version).counted(f"{move.kind} done")
        if move.kind == "promotion":
            return replace(after, promoted=(*after.promoted, (move.version, move.before)))
        if move.blocks is not None and move.blocks not in after.blocked:
            after = replace(after, blocked=after.blocked | {move.blocks}).counted("version blocked")
        if move.unblocks in after.blocked:
            after = replace(after, blocked=after.blocked - {move.unblocks}).counted(
                "version unblocked"
            )
        return after

    def lapsed(self, facts: Facts, *, deep: bool = True) -> "Trust":
        """Without a request that no longer is bound to what there is now; only a deep look asks for the alias."""
        asked = self.request
        if asked is None:
            return self
        newest, decision = list(facts.decisions.items())[-1]
        holds = (
            asked.version == (facts.candidate if deep else decision.version)
            and self.production in (asked.production, asked.version)
            and asked.policy == facts.policy
            and asked.dataset in facts.datasets
            and asked.decision == newest
            and facts.now <= dt.datetime.fromisoformat(asked.until)
        )
        return self if holds else replace(self, request=None)

    def approved(self, version: int, facts: Facts, *, override: bool) -> "Trust | None":
        """A person promotes a version that waits; or, with a word of their own, any that was decided on."""
        now, decision = self.settled(facts).lapsed(facts), facts.on(version)
        waits = now.request is not None and now.request.version == version
        if decision is None or version == now.production or version in now.blocked:
            return None
        if not override and (decision.outcome == "refused" or not waits):
            return None
        request = None if waits else now.request
        given = replace(now.wanted(version), request=request).counted("approval")
        return given.moved(Begun("promotion", version, now.production, "", override, "")).lapsed(
            facts, deep=False
        )

    def rejected_by(self, version: int, facts: Facts) -> "Trust | None":
        """A person says no to a version that waits."""
        now = self.settled(facts).lapsed(facts)
        if now.request is None or now.request.version != version or version == now.production:
            return None
        return now.unwanted().counted("rejection")

    def rolled_back(self, to: int | None, facts: Facts) -> "Trust | None":
        """Production goes to a version that was in production; what is left is blocked when it came later."""
        now = self.settled(facts)
        last = {version: number for number, (version, _) in enumerate(now.promoted)}
        left, before = now.production, dict(now.promoted)
        target = to if to is not None else before.get(left or 0)
        if left is None or target is None or target == left or target not in last:
            return None
        blocks = left if last[target] < last[left] else None
        move = Begun(
            "rollback", target, left, "", override=False, digest="", blocks=blocks, unblocks=target
        )
        return now.moved(move).lapsed(facts, deep=False)

    def unblocked(self, version: int, facts: Facts) -> "Trust | None":
        """A person lets a version that was rolled back be promoted again."""
        now = self.settled(facts)
        if version not in now.blocked:
            return None
        return replace(now, blocked=now.blocked - {version}).counted("version unblocked")

    def without_canary(self) -> "Trust | None":
        """A person lets production answer every customer again."""
        return None if self.canary is None else replace(self, canary=None)

    def with_shadow(self, name: str) -> "Trust | None":
        """A person lets a rule score what production answers."""
        if name in self.shadows or len(self.shadows) >= 3:
            return None
        return replace(self, shadows=self.shadows | {name})

    def without_shadow(self, name: str) -> "Trust | None":
        """A person ends a shadow."""
        return replace(self, shadows=self.shadows - {name}) if name in self.shadows else None
