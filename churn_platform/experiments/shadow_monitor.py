"""Compares every shadow with production each month, and keeps the record."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from churn_platform.base.errors import ChurnError
from churn_platform.base.files import replacing
from churn_platform.base.stored import Stored
from churn_platform.base.text import counted
from churn_platform.contacts.labels import CorrectedLabels, MonthLabels
from churn_platform.contacts.plan import contacts_of
from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import BoolArray
from churn_platform.evaluation.weights import checked_weights
from churn_platform.experiments.shadow_answers import ReplayOfMonth, last_answers, replayed
from churn_platform.experiments.shadow_comparison import (
    ListComparison,
    MeasuredMonth,
    OutcomeComparison,
    ScoredCustomers,
    changed_customers,
    compare_lists,
    compare_outcomes,
    on_list,
)
from churn_platform.experiments.shadow_scorer import (
    ShadowScorer,
    VersionScorer,
    load_shadow,
    rows_of,
)
from churn_platform.experiments.shadow_scores import (
    ShadowScoresRecord,
    ShadowScoring,
    shadow_scores,
)
from churn_platform.experiments.state import Shadow
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame
from churn_platform.monitoring.challengers import adjusted_level
from churn_platform.monitoring.performance import nobody_untouched, seen_in_training
from churn_platform.monitoring.versions import Versions
from churn_platform.training.release_loading import load_scorer
from churn_platform.training.releases import Releases

CHANGES_FILE = "shadows.csv"
"""In the reports of a month: who would enter and leave the list."""


class ShadowFigures(Stored):
    """A shadow, and how it compares with production.

    Attributes:
        name: `version 3`, or the expression of a rule.
        since: The instant from which it is a shadow.
        production: The version in production that ranked the newest month.
        without_score: Customers of the newest month whose rule is null.
        listed: Both lists of the newest month, before its labels are known.
        monthly: On labels, the monthly lists since it is a shadow.
        served: On labels, the served answers since it is a shadow.
        note: Why it is not compared with the newest list.
        sentence: What it showed, for whoever decides on it; empty before it is compared.
    """

    name: str
    version: int | None = None
    rule: str | None = None
    since: str
    production: int | None = None
    without_score: int = 0
    listed: ListComparison | None = None
    monthly: OutcomeComparison = OutcomeComparison()
    served: OutcomeComparison = OutcomeComparison()
    note: str | None = None
    sentence: str = ""

    @property
    def title(self) -> str:
        """The shadow as texts begin with it."""
        return f"Rule {self.name}" if self.rule else f"Version {self.version}"

    @property
    def lines(self) -> list[str]:
        """What is known of it: the lists, then the labels."""
        found = []
        if self.note is not None:
            found.append(f"Not compared with the newest list: {self.note}")
        elif self.listed is None:
            found.append("It is compared with production by the next run.")
        else:
            found.append(self.listed.sentence)
        if self.without_score:
            found.append(
                f"The rule is null for {counted(self.without_score, 'customer')}, who rank last."
            )
        found.append(f"Monthly lists: {self.monthly.sentence}")
        found.append(f"Served answers: {self.served.sentence}")
        return found

    @property
    def evidence(self) -> str:
        """What it showed as a shadow, for whoever decides on it."""
        known = [f"As a shadow since {self.since[:10]}:"]
        for what, outcome in (("monthly lists", self.monthly), ("served answers", self.served)):
            if outcome.interval is not None:
                known.append(f"on {what}, {outcome.sentence}")
        if len(known) == 1:
            known.append("nothing is measured on labels yet.")
            if self.listed is not None:
                known.append(self.listed.sentence)
        return " ".join(known)

    @property
    def short_outcomes(self) -> tuple[str, str, str]:
        """The differences on labels: AUC and hits of the monthly lists, AUC of the answers."""
        return (
            _signed(self.monthly.difference, self.monthly.interval, "+.3f"),
            _signed(self.monthly.hits_difference, self.monthly.hits_interval, "+,.0f"),
            _signed(self.served.difference, self.served.interval, "+.3f"),
        )


def _signed(value: float | None, interval: tuple[float, float] | None, form: str) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:{form}} [{interval[0]:{form}}, {interval[1]:{form}}]"


@dataclass(frozen=True)
class ShadowMonitor:
    """Compares the shadows of one home with production.

    Attributes:
        scoring: Scores the newest month with them.
        predictions: The folder of the prediction log.
        shadow_log: The folder of the shadow log.
    """

    contract: Contract
    labels: CorrectedLabels
    records: Records
    releases: Releases
    versions: Callable[[], Versions]
    scoring: ShadowScoring
    reports: Path
    predictions: Path
    shadow_log: Path
    now: Callable[[], dt.datetime]

    @property
    def lake(self) -> Lake:
        """Published snapshots."""
        return self.labels.lake

    def measure(self, as_of: dt.date) -> tuple[ShadowFigures, ...]:
        """Score a month with every shadow that runs and compare it with production; none where
        there is no shadow.
        """
        scored = self.scoring.score(as_of)
        shadows = self.scoring.shadows
        if not shadows or scored is None:
            return ()
        verdict = self.contract.policy.verdict
        level = adjusted_level(self.contract.policy.promotion.level, len(shadows), verdict.looks)
        judged = _Judged(self, as_of)
        found = []
        changes = []
        for shadow in shadows:
            figures, changed = self._listed(as_of, shadow, scored)
            outcomes = judged.outcomes(shadow, level)
            figures = figures.model_copy(update=outcomes)
            found.append(figures.model_copy(update={"sentence": figures.evidence}))
            changes += changed
        self._write_changes(as_of, changes)
        return tuple(found)

    def replays(self) -> list[ReplayOfMonth]:
        """Every logged score of the shadows that run, made again from the lake."""
        shadows = {shadow.name: shadow for shadow in self.scoring.shadows}
        months = self.lake.months()
        key = self.contract.entity.column
        answers = last_answers(self.predictions, self.shadow_log, key, months)
        answers = answers[answers["shadow"].isin(shadows)]
        contracts = self.versions().contracts
        return replayed(
            answers,
            lambda name: load_shadow(shadows[name], self.contract, self.releases),
            lambda version: contracts.of(self.releases.card(version)),
            self.lake.tables,
        )

    def budget(self, as_of: dt.date, customers: int) -> int:
        """Customers on a list: the contact budget where contacts are planned."""
        policy = self.contract.policy
        if self.contract.at(as_of).contacts is None:
            return policy.scoring.listed
        return contacts_of(policy.contacts, customers)

    def budget_of_some(self, as_of: dt.date, customers: int) -> int:
        """The part of a month's budget for some of its customers, 1 at least."""
        scored = self.records.read("scores", as_of) or {}
        everybody = max(int(scored.get("customers") or 0), customers)
        return max(1, round(self.budget(as_of, everybody) * customers / everybody))

    def _listed(
        self, as_of: dt.date, shadow: Shadow, scored: ShadowScoresRecord
    ) -> tuple[ShadowFigures, list[pd.DataFrame]]:
        """Both lists of the newest month, and who would enter or leave."""
        own = scored.of(shadow.name)
        found = ShadowFigures(
            name=shadow.name,
            version=shadow.version,
            rule=shadow.rule,
            since=shadow.since,
            production=scored.version,
        )
        if own is None or own.why_not is not None:
            why = "It scores from the next run on." if own is None else own.why_not
            return found.model_copy(update={"note": why}), []
        found = found.model_copy(update={"without_score": own.without_score})
        month = self.scored_month(as_of, shadow.name)
        if month is None or scored.version is None:
            return found.model_copy(update={"note": "No version in production ranked it."}), []
        customers = month.customers.kept(~month.already_left)
        if not len(customers.keys):
            return found.model_copy(
                update={"note": "Every outcome of the month is known, so no list is made."}
            ), []
        budget = self.budget(as_of, len(customers.keys))
        reasons = self._reasons(as_of, shadow, scored.version, customers, budget)
        listed = compare_lists(as_of.isoformat(), customers, budget, reasons)
        changed = changed_customers(customers, budget).assign(shadow=shadow.name)
        return found.model_copy(update={"listed": listed}), [changed]

    def scored_month(self, as_of: dt.date, shadow: str) -> "ComparedMonth | None":
        """A month as production and a shadow scored it; None where one of them did not."""
        record = shadow_scores(self.records, as_of)
        ranked = self.records.read("scores", as_of) or {}
        own = None if record is None else record.of(shadow)
        if own is None or own.why_not is not None or not ranked.get("version"):
            return None
        key = self.contract.entity.column
        ours = self.records.frame("shadow_scores", as_of)[[key, shadow]]
        theirs = self.records.frame("scores", as_of)
        if "production_probability" in theirs:  # a canary scored some of them
            theirs = theirs.assign(probability=theirs["production_probability"])
        if "already_left" not in theirs:
            theirs = theirs.assign(already_left=False)
        both = theirs[[key, "probability", "already_left"]].merge(ours, on=key)
        both = both.sort_values(key, kind="stable", ignore_index=True)
        customers = ScoredCustomers.of(
            both[key], both["probability"].to_numpy(float), both[shadow].to_numpy(float)
        )
        left = both["already_left"].to_numpy(dtype=bool)
        return ComparedMonth(as_of.isoformat(), int(ranked["version"]), customers, left)

    def _reasons(
        self,
        as_of: dt.date,
        shadow: Shadow,
        production: int,
        customers: ScoredCustomers,
        budget: int,
    ) -> tuple[list[str], list[str]] | None:
        """The first reason of every customer on both lists, of production and of a version."""
        if shadow.version is None:
            return None
        both = on_list(customers.production, budget) & on_list(customers.shadow, budget)
        versions = self.versions()
        manifest = self.releases.verify(production)
        contract = versions.contracts.of(self.releases.card(production))
        own = VersionScorer("production", load_scorer(self.releases, manifest), contract)
        other = load_shadow(shadow, self.contract, self.releases)
        keys = customers.keys[both]
        return self._first(as_of, own, keys), self._first(as_of, other, keys)

    def _first(self, as_of: dt.date, scorer: ShadowScorer, keys: pd.Series) -> list[str]:
        frame = feature_frame(scorer.contract, self.lake.tables(as_of))
        rows = frame.set_index(self.contract.entity.column).loc[keys]
        return scorer.first_reasons(rows_of(rows, scorer.features)) or []

    def _write_changes(self, as_of: dt.date, changes: Sequence[pd.DataFrame]) -> None:
        """Write who would enter and leave the list, for people."""
        if not changes:
            return
        rows = pd.concat(changes, ignore_index=True)
        target = self.reports / as_of.isoformat() / CHANGES_FILE
        with replacing(target) as temporary:
            rows.to_csv(temporary, index=False)


@dataclass(frozen=True, eq=False)
class ComparedMonth:
    """A month as a version and a shadow scored it; `already_left` is (customers,)."""

    as_of: str
    version: int
    customers: ScoredCustomers
    already_left: BoolArray


class _Judged:
    """The months whose labels have matured, for the shadows of one run."""

    def __init__(self, monitor: ShadowMonitor, as_of: dt.date) -> None:
        self._monitor = monitor
        self._versions = monitor.versions()
        self._known = dict[dt.date, MonthLabels | None]()
        self._notes = list[str]()
        self.months = monitor.labels.months().matured(as_of)
        self._answers: pd.DataFrame | None = None

    def outcomes(self, shadow: Shadow, level: float) -> dict[str, OutcomeComparison]:
        """The shadow on labels: on the monthly lists, and on the served answers."""
        fewest = self._monitor.contract.policy.promotion.min_holdout_churners
        return {
            "monthly": self._compared(shadow, self._monthly(shadow), level, fewest),
            "served": self._compared(shadow, self._served(shadow), level, fewest),
        }

    def _compared(
        self, shadow: Shadow, scored: Sequence[tuple[ComparedMonth, int]], level: float, fewest: int
    ) -> OutcomeComparison:
        self._notes = []
        months = [self._measured(shadow, *one) for one in scored]
        found = compare_outcomes([one for one in months if one is not None], level, fewest)
        if found.note is not None and self._notes:
            return found.model_copy(update={"note": " ".join(dict.fromkeys(self._notes))})
        return found

    def _monthly(self, shadow: Shadow) -> list[tuple[ComparedMonth, int]]:
        """The months that count, with their budgets."""
        found = []
        for month in self._counted(shadow):
            scored = self._monitor.scored_month(month, shadow.name)
            if scored is not None:
                budget = self._monitor.budget(month, len(scored.customers.keys))
                found.append((scored, budget))
        return found

    def _counted(self, shadow: Shadow) -> list[dt.date]:
        """The matured months that the shadow scored, as its present self and before their labels
        were known.
        """
        found = []
        for month in self.months:
            record = shadow_scores(self._monitor.records, month)
            own = None if record is None else record.of(shadow.name)
            if own is not None and own.before_labels and own.manifest == shadow.manifest:
                found.append(month)
        return found

    def _served(self, shadow: Shadow) -> list[tuple[ComparedMonth, int]]:
        """The served answers of the matured months, by month and version, with the budget's
        share of these customers.
        """
        monitor = self._monitor
        key = monitor.contract.entity.column
        if self._answers is None:
            self._answers = last_answers(monitor.predictions, monitor.shadow_log, key, self.months)
        counted = self._answers["features_as_of"].isin(self._counted(shadow))
        own = self._answers[counted & (self._answers["shadow"] == shadow.name)]
        found = []
        pairs = zip(own["features_as_of"], own["version"].astype(int), strict=True)
        for month, version in sorted({*pairs}):
            rows = own[(own["features_as_of"] == month) & (own["version"] == version)]
            customers = ScoredCustomers.of(
                rows[key], rows["probability"].to_numpy(float), rows["score"].to_numpy(float)
            )
            nobody = np.zeros(len(rows), dtype=bool)
            scored = ComparedMonth(month.isoformat(), version, customers, nobody)
            found.append((scored, monitor.budget_of_some(month, len(rows))))
        return found

    def _measured(self, shadow: Shadow, scored: ComparedMonth, budget: int) -> MeasuredMonth | None:
        """The customers of a month whose labels count; None where none do."""
        month = dt.date.fromisoformat(scored.as_of)
        labels = self._labels(month)
        if labels is None:
            return None
        if not labels.measurable:
            self._notes.append(nobody_untouched(scored.as_of))
            return None
        try:
            versions = [self._versions.load(scored.version)]
            if shadow.version is not None:
                versions.append(self._versions.load(shadow.version))
            for version in versions:
                why_not = self._versions.why_not_comparable(version.version or 0, month)
                if why_not:
                    self._notes.append(why_not)
                    return None
        except (ChurnError, OSError) as error:
            self._notes.append(str(error))
            return None
        customers = scored.customers
        which = customers.keys.isin(labels.churned.index).to_numpy()
        for version in versions:
            which &= ~seen_in_training(customers.keys, version, scored.as_of)
        own = labels.of_customers(customers.keys[which])
        weights = None
        kept = np.ones(int(which.sum()), dtype=bool)
        if own.correction is not None:
            weights = own.correction.weights
            kept = checked_weights(weights, weights.shape) > 0
            weights = weights[kept]
        which[which] = kept
        return MeasuredMonth(
            as_of=scored.as_of,
            scored=customers.kept(which),
            churned=own.churned.to_numpy(dtype=bool)[kept],
            weights=weights,
            on_production=on_list(customers.production, budget)[which],
            on_shadow=on_list(customers.shadow, budget)[which],
            listed=min(budget, len(customers.keys)),
        )

    def _labels(self, month: dt.date) -> MonthLabels | None:
        if month not in self._known:
            self._known[month] = self._monitor.labels.of(month, self._monitor.now())
        return self._known[month]
