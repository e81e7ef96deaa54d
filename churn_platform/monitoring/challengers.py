"""The verdict of time on a home: follows versions that are not in production, records what they
would be worth now.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pandas as pd

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.evaluation.gain import AucParts, Gain, MonthPair, gain_over
from churn_platform.features.labels import turned_over
from churn_platform.ledger.version_acts import PromotionProposed, RollbackProposed
from churn_platform.monitoring.challenger_rule import (
    Contender,
    Proposal,
    followed,
    look_level,
    propose,
)
from churn_platform.monitoring.versions import Versions
from churn_platform.services import Services
from churn_platform.training.candidate import Candidate

BY_ITSELF = "policy.verdict.automatic"
"""Who signs what the policy lets the loop do by itself."""
Labelled = tuple[pd.DataFrame, pd.Series]
"""A month's rows that have a label, and the labels (rows,) as booleans."""


class Look:
    """One look at the versions of a home: whom it follows (no one before the first promotion).

    `versions` holds their candidates, `faults` why one could not be read.
    """

    def __init__(self, home: Services) -> None:
        self.home = home
        pointer = home.releases.pointer()
        self.production = None if pointer is None else pointer.version
        known = Versions(home)
        self.served = set(home.ledger.state().promotions)
        decided = {int(record["candidate_version"]) for record in home.records.decisions()}
        self.versions: dict[int, Candidate] = {}
        self.faults: dict[int, str] = {}
        newest = home.contract.policy.verdict.followed_versions
        if pointer is None:
            known_versions = set()
        else:
            known_versions = known.released | decided
        for version in followed(known_versions, self.production, newest):
            self._read(known, version)

    def _read(self, known: Versions, version: int) -> None:
        try:
            candidate = known.load(version)
        except (IntegrityError, StoreDown, UsageError) as error:
            if version == self.production:
                raise
            # One that does not serve must not stop the month: its entry says what is wrong.
            self.faults[version] = str(error)
            return
        if known.fits_contract(version):
            self.versions[version] = candidate
        else:
            self.faults[version] = f"Version {version} was trained under another contract."

    def state(self, version: int) -> str:
        """What became of a version: production, retired or refused."""
        if version == self.production:
            return "production"
        if version in self.served:
            return "retired"
        return "refused"

    def verdict(self, months: Mapping[dt.date, Labelled]) -> tuple[dict[str, Any], Proposal | None]:
        """Compare every followed version with production on these months; plain JSON values,
        and the proposal.
        """
        policy, gate = self.home.contract.policy.verdict, self.home.contract.policy.promotion
        production = self.versions.get(self.production or 0)
        if production is None or self.production is None:
            return {"compared": [], "proposal": None}, None
        unwanted = self.home.ledger.state().barred()
        ranked = _Ranked(self.home.contract.entity.column, months, gate.level)
        contenders = [
            Contender(
                version,
                version in self.served,
                version in unwanted,
                ranked.gain(candidate, production),
            )
            for version, candidate in self.versions.items()
            if version != self.production
        ]
        proposal = propose(policy, gate, self.production, contenders)
        measured = sum(one.gain is not None for one in contenders)
        level = look_level(gate.level, max(measured, 1), policy.looks)
        compared = [_compared(one, level) for one in contenders]
        return {
            "compared": compared,
            "proposal": None if proposal is None else proposal.as_dict(),
        }, proposal


class _Ranked:
    """How each version ranked each month, once."""

    def __init__(self, key: str, months: Mapping[dt.date, Labelled], level: float) -> None:
        self.key = key
        self.months = months
        self.level = level
        self._known: dict[tuple[int | None, dt.date], AucParts | None] = {}

    def gain(self, candidate: Candidate, production: Candidate) -> Gain | None:
        """The candidate over production on the months later than both trained on.

        A month on which production ranks the wrong way round compares nothing: its labels look
        turned over.
        """
        seen = max(candidate.card.as_of, production.card.as_of)
        pairs = []
        for month, (rows, _) in self.months.items():
            ours = self._parts(candidate, month)
            theirs = self._parts(production, month)
            if month.isoformat() <= seen or ours is None or theirs is None:
                continue
            interval = theirs.interval(self.level)
            if not turned_over(interval.low, interval.high):
                pairs.append(
                    MonthPair(
                        month.isoformat(), rows[self.key].to_numpy(dtype=object), ours, theirs
                    )
                )
        return gain_over(pairs)

    def _parts(self, version: Candidate, month: dt.date) -> AucParts | None:
        place = (version.version, month)
        if place not in self._known:
            rows, labels = self.months[month]
            self._known[place] = AucParts.of(
                labels.to_numpy(dtype=bool), version.model.probability(rows)
            )
        return self._known[place]


def record_proposal(home: Services, proposal: Proposal | None, evidence: Mapping[str, Any]) -> None:
    """Write a proposal to the ledger, once for each piece of evidence."""
    if proposal is None:
        return
    key = digest_of({**evidence, "version": proposal.version, "production": proposal.production})
    if key in {receipt.evidence.get("key") for receipt in home.ledger.receipts(proposal.act)}:
        return
    proposed = {"promotion proposed": PromotionProposed, "rollback proposed": RollbackProposed}
    home.ledger.append(
        proposed[proposal.act](
            version=proposal.version,
            before=proposal.production,
            after=proposal.production,
            reason=proposal.sentence,
            key=key,
            months=proposal.months,
            difference=proposal.difference,
            interval=proposal.interval,
            level=proposal.level,
        )
    )


def carry_out_proposal(home: Services, proposal: Proposal) -> str:
    """Put the proposed version into production in the name of the policy; the sentence what was
    done.

    It is the same act as a person's, with the proposal as its reason; a version that was
    refused stays marked as one that was promoted against its decision.

    Raises:
        ChurnError: as `roll_back` and `approve`.
    """
    if proposal.act == "rollback proposed":
        return home.rollbacks.roll_back(BY_ITSELF, proposal.sentence, to=proposal.version)

    return home.approvals.approve(proposal.version, BY_ITSELF, proposal.sentence, override=True)


def _compared(contender: Contender, level: float) -> dict[str, Any]:
    gain = contender.gain
    found: dict[str, Any] = {
        "version": contender.version,
        "blocked": contender.blocked,
        "level": level,
    }
    if gain is None:
        return found | {"months": [], "difference": None, "interval": None}
    return found | {
        "months": list(gain.months),
        "difference": gain.difference,
        "interval": gain.interval(level).as_list(),
    }
