"""How versions ranked the customers of later months, on today's labels, and what one gained
over another.
"""

import datetime as dt
from collections.abc import Sequence

import numpy as np

from churn_platform.base.errors import DataError
from churn_platform.contract.model import Contract
from churn_platform.evaluation.costs import RowCosts
from churn_platform.evaluation.gain import AucParts, Gain, MonthPair, gain_over
from churn_platform.evaluation.statistics import BoolArray, KeyArray
from churn_platform.replay.memory import Memory
from churn_platform.training.candidate import Candidate


class Scores:
    """Every version's ranking of every month on today's labels, made once whichever policies
    share the version.
    """

    def __init__(self, contract: Contract, memory: Memory) -> None:
        self.contract = contract
        self.memory = memory
        self._known: dict[tuple[str, dt.date], tuple[KeyArray, AucParts | None]] = {}

    def of(self, version: Candidate, month: dt.date) -> tuple[KeyArray, AucParts | None]:
        """The labelled customers of a month (rows,) and how the version ranked them; None where
        it cannot be told.

        Raises:
            DataError: the month is not later than the version's training: its rows may have
                trained it.
        """
        if month.isoformat() <= version.card.as_of:
            raise DataError(
                f"Version {version.version} may have seen rows of {month}: name a later month."
            )
        place = (version.digest, month)
        if place not in self._known:
            self._known[place] = self._ranked(version, month)
        return self._known[place]

    def auc(self, version: Candidate | None, month: dt.date) -> float | None:
        """The version's AUC on all customers of a month; None if absent."""
        parts = None if version is None else self.of(version, month)[1]
        if parts is None:
            return None
        return parts.auc

    def gain(
        self, candidate: Candidate, incumbent: Candidate | None, months: Sequence[str]
    ) -> Gain | None:
        """Candidate over incumbent, None standing for chance, on the months later than both
        trained on.
        """
        seen = [version.card.as_of for version in (candidate, incumbent) if version is not None]
        pairs = []
        for month in months:
            if month <= max(seen):
                continue
            entities, ours = self.of(candidate, dt.date.fromisoformat(month))
            if ours is None:
                continue
            theirs: AucParts | None = ours.of_chance()
            if incumbent is not None:
                theirs = self.of(incumbent, dt.date.fromisoformat(month))[1]
            if theirs is not None:
                pairs.append(MonthPair(month, entities, ours, theirs))
        return gain_over(pairs)

    def _ranked(self, version: Candidate, month: dt.date) -> tuple[KeyArray, AucParts | None]:
        found = self.memory.labelled(self.contract, month)
        if found is None or not found.churned.size:
            return np.array([], dtype=object), None
        return found.entities, AucParts.of(
            found.churned, self.memory.probability(version, month)[found.known]
        )

    def saved(
        self, candidate: Candidate, incumbent: Candidate | None, months: Sequence[str]
    ) -> float:
        """What contacting by the candidate would have saved compared with the incumbent, in the
        contract's costs.

        Before the first version no one is contacted.
        """
        total = 0.0
        for month in (dt.date.fromisoformat(month) for month in months):
            found = self.memory.labelled(self.contract, month)
            if found is None:
                continue
            costs = RowCosts.of(self.contract.costs, self.memory.history.rows(month)[found.known])
            spent = [
                costs.total(found.churned, self._contacted(one, month, found.known))
                for one in (incumbent, candidate)
            ]
            total += spent[0] - spent[1]
        return total

    def _contacted(self, version: Candidate | None, month: dt.date, known: BoolArray) -> BoolArray:
        if version is None:
            return np.zeros(int(known.sum()), dtype=bool)
        return np.asarray(self.memory.probability(version, month)[known] >= version.model.threshold)
