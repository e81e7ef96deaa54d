"""A test of two versions as people see it."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from churn_platform.base.text import ended
from churn_platform.experiments.state import ModelTest
from churn_platform.ledger.experiment_acts import ModelTestLooked, ModelTestRegistered


@dataclass(frozen=True)
class ModelTestStatus:
    """A test as people see it."""

    test: ModelTest
    planned: tuple[dt.date, ...]
    """The months whose plan belongs to it."""
    command: str | None
    """What puts the better version into production; None where it is, or without a verdict."""

    @property
    def sentence(self) -> str:
        """How far it is, and what it shows."""
        registered = self.test.registered
        named = (
            f"{self.test.name.capitalize()}: version {registered.version_a} (A) against version"
            f" {registered.version_b} (B)."
        )
        if self.test.ended is not None:
            return f"{named} {ended(self.test.ended.reason)}"
        if not self.test.looks:
            return (
                f"{named} {len(self.planned)} of {registered.months} months planned; no labels of"
                " them are known yet."
            )
        return f"{named} {self.test.looks[-1].reason}"

    def as_json(self) -> dict[str, Any]:
        """Everything of it."""
        test = self.test
        return {
            "name": test.name,
            "since": test.since,
            "by": test.by,
            "sentence": self.sentence,
            "planned_months": [month.isoformat() for month in self.planned],
            "registered": _evidence(test.registered),
            "looks": [_evidence(look) for look in test.looks],
            "outcome": None if test.ended is None else test.ended.outcome,
            "better": None if test.ended is None else test.ended.better,
            "command": self.command,
        }


def _evidence(act: ModelTestRegistered | ModelTestLooked) -> dict[str, Any]:
    """The fields of an act as plain JSON, with versions as numbers."""
    fields = act.model_dump(mode="json", exclude={"actor", "subject", "before", "after"})
    if isinstance(act, ModelTestRegistered):
        fields |= {name: getattr(act, name) for name in ("version_a", "version_b", "production")}
    return fields
