"""Starts, ends and shows shadows as people name them: by version or by rule."""

import contextlib
import re
from dataclasses import dataclass

from churn_platform.base.errors import HomeBusy
from churn_platform.base.home import Home
from churn_platform.base.stored import Stored
from churn_platform.contract.expressions import RuleInvalid
from churn_platform.contract.model import Contract
from churn_platform.experiments.month import (
    ExperimentsMonth,
    ExperimentsMonthRecord,
    experiments_record,
)
from churn_platform.experiments.registered import Experiments
from churn_platform.experiments.shadow_monitor import ShadowFigures
from churn_platform.experiments.shadow_scorer import canonical_rule
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import named

VERSION = re.compile(r"(?:version\s+)?([1-9][0-9]*)", re.IGNORECASE)
START_REASON = "To compare it with production."
END_REASON = "It is no longer needed."


class ShadowReport(Stored):
    """The shadows that run, each with its newest figures; `as_of` is the month of the lists."""

    as_of: str | None
    shadows: tuple[ShadowFigures, ...]


@dataclass(frozen=True)
class ShadowActs:
    """What people do with the shadows of one home."""

    home: Home
    contract: Contract
    lake: Lake
    records: Records
    experiments: Experiments
    month: ExperimentsMonth

    def start(self, subject: str, by: str = "", reason: str = "") -> str:
        """Let a version or a rule score what production answers, and compare it with the list of
        the newest month at once; describes what was done.

        Args:
            subject: `3`, `version 3`, or the expression of a rule.
            by: the name of the person; by default who is logged in.
            reason: why, for the ledger.

        Raises:
            UsageError: it is unknown, invalid, in production or a shadow already, or there are
                three.
        """
        version = version_named(subject)
        rule = subject if version is None else None
        by = by or self.home.settings.who
        said = self.experiments.start_shadow(version, rule, by, reason or START_REASON)
        with contextlib.suppress(HomeBusy):  # the run that holds the home, or the next, compares
            self.compare()
        return said

    def end(self, subject: str, by: str = "", reason: str = "") -> str:
        """End a shadow; describes what was done. Arguments as `start`.

        Raises:
            UsageError: there is no such shadow.
        """
        by = by or self.home.settings.who
        return self.experiments.end_shadow(self._name(subject), by, reason or END_REASON)

    def compare(self) -> ExperimentsMonthRecord | None:
        """Score the newest month with every shadow and compare the lists; None without one.

        Raises:
            HomeBusy: a run holds the home.
        """
        months = self.lake.months()
        if not months or self.records.read("scores", months[-1]) is None:
            return None
        with self.home.exclusive("the comparison of shadows", 0):
            return self.month.measure(months[-1])

    def report(self) -> ShadowReport:
        """The shadows that run."""
        months = self.records.months("experiments")
        record = experiments_record(self.records, months[-1]) if months else None
        known = {} if record is None else {one.name: one for one in record.shadows}
        shadows = []
        for shadow in self.experiments.state().shadows.values():
            found = known.get(shadow.name)
            if found is None or found.since != shadow.since:
                found = ShadowFigures(
                    name=shadow.name, version=shadow.version, rule=shadow.rule, since=shadow.since
                )
            shadows.append(found)
        as_of = months[-1].isoformat() if months else None
        return ShadowReport(as_of=as_of, shadows=tuple(shadows))

    def _name(self, subject: str) -> str:
        """The name of a shadow as people name it; what is no rule of today as it is."""
        version = version_named(subject)
        if version is not None:
            return named(version) or subject
        try:
            return canonical_rule(subject, self.contract)
        except RuleInvalid:  # the contract may have lost a feature since
            return subject


def version_named(subject: str) -> int | None:
    """The version that a text names; None for a rule."""
    found = VERSION.fullmatch(subject.strip())
    return None if found is None else int(found[1])
