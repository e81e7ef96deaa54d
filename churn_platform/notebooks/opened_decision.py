"""The decision on one candidate, as a notebook shows it."""

import html
from dataclasses import dataclass
from typing import Any

import pandas as pd

from churn_platform.reports.status_record import AnsweredDecision


@dataclass(frozen=True, repr=False)
class OpenedDecision:
    """Promoted, refused or pending, with the result of every criterion.

    Attributes:
        as_of: The month of the decision.
        decision: `promoted`, `refused` or `pending`.
        version: The candidate.
        production_version: What it was compared with; None for the first.
        reason: Why, in one or a few sentences.
        criteria: (criteria,) code, name, outcome, detail; in the order of docs/criteria.md.
        record: All of it, as `churn decision --json` prints it.
    """

    as_of: pd.Timestamp
    decision: str
    version: int
    production_version: int | None
    reason: str
    criteria: pd.DataFrame
    record: dict[str, Any]

    @classmethod
    def of(cls, found: AnsweredDecision) -> "OpenedDecision":
        """As recorded."""
        columns = ["code", "name", "outcome", "detail"]
        results = [one.model_dump(mode="json", include=set(columns)) for one in found.findings]
        return cls(
            as_of=pd.Timestamp(found.as_of),
            decision=found.decision,
            version=found.candidate_version,
            production_version=found.production_version,
            reason=found.reason,
            criteria=pd.DataFrame(results, columns=columns),
            record=found.model_dump(mode="json"),
        )

    @property
    def _heading(self) -> str:
        return f"{self.as_of:%Y-%m-%d}: version {self.version} {self.decision}"

    def __repr__(self) -> str:
        return f"{self._heading}. {self.reason}"

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            table = self.criteria.to_html(index=False, border=0)
        heading = html.escape(self._heading)
        return f"<b>{heading}</b><br>{html.escape(self.reason)}{table}"
