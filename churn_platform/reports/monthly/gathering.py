"""Reads the content of a monthly report from the records of a home."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError
from churn_platform.contacts.campaign import Campaigns
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.log import ContactLog
from churn_platform.contacts.plan import ARM, ASSIGNED
from churn_platform.contacts.plans import ContactPlanRecord
from churn_platform.contract.model import Contract
from churn_platform.experiments.month import experiments_record
from churn_platform.experiments.registered import Experiments
from churn_platform.lake.records import Kind, Records
from churn_platform.lake.tables import feature_frame
from churn_platform.lake.window import Months
from churn_platform.monitoring.estimate_history import EstimateHistory
from churn_platform.monitoring.stand_down import PerformanceHistory
from churn_platform.reports.month_warnings import MonthWarnings
from churn_platform.reports.monthly.facts import (
    BusinessChange,
    Campaigning,
    CurrentList,
    MonthFacts,
    NumberChange,
    PastDecision,
    PastList,
    Realised,
    ValueChange,
)
from churn_platform.reports.monthly.figures import Point, Sources
from churn_platform.reports.status import Status
from churn_platform.reports.status_record import AnsweredDecision
from churn_platform.scoring.contact_list import contact_list
from churn_platform.scoring.scoring import list_file, scores_record
from churn_platform.scoring.what_if import WhatIf
from churn_platform.training.release import manifest_digest

MOST_MONTHS = 24
"""Months of a trend."""
MOVED_SHARE = 0.01
"""Change of a share of the customers that is reported."""


@dataclass(frozen=True)
class Gathering:
    """Reads the facts of one home's months."""

    contract: Contract
    labels: CorrectedLabels
    records: Records
    reports: Path
    log: ContactLog
    campaigns: Campaigns
    what_if: WhatIf
    history: PerformanceHistory
    warnings: MonthWarnings
    status: Status
    experiments: Callable[[], Experiments]
    now: Callable[[], dt.datetime]

    def facts(self, as_of: dt.date) -> MonthFacts:
        """Everything that the pages of a published month say, as known now."""
        progress = self.status.progress()
        state = self.status.ledger.state()
        production = self.status.production()
        canary = self.experiments().canary_report().running
        decisions = [
            PastDecision(AnsweredDecision.of(one, state), sources)
            for one, sources in zip(progress.decisions, self._decision_sources(), strict=True)
        ]
        measured = self._measured(as_of)
        realised = None
        in_production: Sources = {}
        if production is not None:
            realised = newest_of(production.version, measured)
            in_production = self._release(production.version)
        return MonthFacts(
            contract=self.contract,
            as_of=as_of,
            change=self._change(as_of),
            current=self._current(as_of),
            past=self._past(as_of),
            warnings=tuple(self.warnings.of(as_of, progress)),
            campaigning=self._campaigning(as_of),
            churn=self._churn(as_of),
            performance=self._performance(as_of, measured),
            production=production,
            in_production=in_production,
            realised=realised,
            decisions=tuple(reversed(decisions)),
            waiting=self.status.pending(),
            proposal=self.status.proposal(),
            experiments=experiments_record(self.records, as_of),
            canary=None if canary is None else canary.sentence,
            sources=self._sources(as_of, decisions),
        )

    def list_rows(
        self, as_of: dt.date, *, planned: bool, at: Callable[[Path], Path] = Path
    ) -> pd.DataFrame:
        """The month's list: key, rank, probability and reasons, in the order of the list.

        Args:
            as_of: the month.
            planned: the contact plan's list, else the ranked list.
            at: where a file of the home is read.
        """
        path = contact_list(self.reports, as_of) if planned else list_file(self.reports, as_of)
        return pd.read_parquet(at(path.with_suffix(".parquet"))).sort_values("rank")

    def before(self, as_of: dt.date, *, planned: bool) -> dt.date | None:
        """The newest earlier month with a list of the same kind."""
        months = self._listed_months(planned=planned)
        return max((month for month in months if month < as_of), default=None)

    def keys(self, as_of: dt.date, *, planned: bool) -> pd.Series:
        """The keys on the list of a month."""
        return self.list_rows(as_of, planned=planned)[self._key]

    @property
    def _key(self) -> str:
        return self.contract.entity.column

    def _source(self, kind: Kind, as_of: dt.date) -> Sources:
        record = self.records.read(kind, as_of)
        return {f"{kind}/{as_of}": digest_of(record)} if record is not None else {}

    def _snapshot(self, as_of: dt.date) -> Sources:
        return {f"snapshot/{as_of}": self.labels.lake.digest(as_of)}

    def _decision_sources(self) -> list[Sources]:
        """The sources of every decision, oldest first."""
        files = self.records.decision_files()
        return [
            {f"decision/{path.stem}": digest_of(decision)}
            for path, decision in zip(files, self.records.decisions(), strict=True)
        ]

    def _release(self, version: int) -> Sources:
        manifest = self.status.releases.manifest(version)
        return {f"release/{version}": manifest_digest(manifest)}

    def _sources(self, as_of: dt.date, decisions: list[PastDecision]) -> Sources:
        found = {**self._snapshot(as_of), **self._source("performance", as_of)}
        for newest in decisions[-1:]:
            found |= newest.sources
        return {**found, **self._source("experiments", as_of)}

    def _listed_months(self, *, planned: bool) -> list[dt.date]:
        """The months with a list, oldest first; a ranked list of the past does not count."""
        if planned:
            return self.labels.plans.months()
        found = []
        for month in self.records.months("scores"):
            record = scores_record(self.records, month)
            if record is not None and record.version is not None and record.list_note is None:
                found.append(month)
        return found

    def _current(self, as_of: dt.date) -> CurrentList:
        planned = self.contract.contacts is not None
        kind: Kind = "contact_plan" if planned else "scores"
        sources = self._source(kind, as_of)
        if planned:
            plan = ContactPlanRecord.read(self.records.read(kind, as_of), f"The plan of {as_of}")
            if plan.digest is None:
                note = plan.note or "No contacts are planned for this month yet."
                return CurrentList(planned=True, listed=0, sources=sources, note=note)
        else:
            record = scores_record(self.records, as_of)
            if record is None or record.version is None or record.list_note is not None:
                note = "There is no list: no model is in production."
                if record is not None:
                    note = record.list_note or record.not_scored or note
                return CurrentList(planned=False, listed=0, sources=sources, note=note)
        keys = self.keys(as_of, planned=planned)
        earlier = self.before(as_of, planned=planned)
        if earlier is None:
            return CurrentList(planned=planned, listed=len(keys), sources=sources)
        then = self.keys(earlier, planned=planned)
        return CurrentList(
            planned=planned,
            listed=len(keys),
            sources={**sources, **self._source(kind, earlier)},
            new=int((~keys.isin(then)).sum()),
            gone=int((~then.isin(keys)).sum()),
            before=earlier,
        )

    def _past(self, as_of: dt.date) -> PastList | None:
        planned = self.contract.contacts is not None
        months = self.labels.months()
        listed_months = reversed(self._listed_months(planned=planned))
        outcomes = ((month, self._outcome_month(month, as_of, months)) for month in listed_months)
        known = ((month, labelled) for month, labelled in outcomes if labelled is not None)
        month, labelled = next(known, (as_of, None))
        if labelled is None:
            return None
        churned = self.labels.lake.labels(labelled, self.now())
        if churned is None:
            return None
        listed = self._past_keys(month, planned=planned)
        own = churned.reindex(listed).dropna().astype(bool)
        contacted = None
        if planned:
            until = self.contract.matures(month)
            since = self.log.between(self.now(), month, until)[self._key]
            contacted = int(listed.isin(since).sum())
        kind: Kind = "contact_plan" if planned else "scores"
        return PastList(
            as_of=month,
            listed=len(listed),
            left=int(own.sum()),
            stayed=int((~own).sum()),
            contacted=contacted,
            all_customers=len(churned),
            all_left=int(churned.sum()),
            sources={**self._source(kind, month), **self._snapshot(labelled)},
        )

    def _outcome_month(self, month: dt.date, as_of: dt.date, months: Months) -> dt.date | None:
        """The month whose labels say what became of a month's customers; None before they are
        known.

        Where a label marks who had left by its as_of, that is the month that follows.
        """
        matured = months.matured(as_of)
        if self.contract.label.period == "after":
            return month if month in matured else None
        later = [one for one in months.published if month < one <= as_of]
        if later and later[0] in matured:
            return later[0]
        return None

    def _past_keys(self, month: dt.date, *, planned: bool) -> pd.Series:
        if planned:
            rows = self.labels.plans.rows(month)
            return rows.loc[rows[ARM].isin(ASSIGNED), self._key]
        rows = self.records.frame("scores", month)
        top = rows[~rows["already_left"].astype(bool)].nsmallest(
            self.contract.policy.scoring.listed, "rank"
        )
        return top[self._key]

    def _change(self, as_of: dt.date) -> BusinessChange:
        lake = self.labels.lake
        compared = lake.compared(as_of)
        before = lake.month_before(as_of)
        drift = self.records.read("drift_report", as_of) or {}
        result = drift.get("result")
        sources = {**self._snapshot(as_of), **self._source("drift_report", as_of)}
        features: list[NumberChange | ValueChange] = []
        if before is not None:
            sources |= self._snapshot(before)
            if result is not None:
                features = self._features(as_of, before, result["drifted_columns"])
        return BusinessChange(
            customers=None if compared is None else compared.customers,
            features=tuple(features),
            before=before,
            drift_known=result is not None,
            sources=sources,
        )

    def _features(
        self, as_of: dt.date, before: dt.date, drifted: list[str]
    ) -> list[NumberChange | ValueChange]:
        """How drifted features changed since the month before; those that did not are left out."""
        lake = self.labels.lake
        now = feature_frame(self.contract, lake.tables(as_of))
        then = feature_frame(self.contract, lake.tables(before))
        found: list[NumberChange | ValueChange] = []
        for name in drifted:
            if name not in now or name not in then or name not in self.contract.features:
                continue
            column = self.contract.features[name]
            words = column.description or name
            change: NumberChange | ValueChange | None
            if column.dtype in ("integer", "float"):
                change = number_change(name, words, now[name], then[name])
            else:
                change = value_change(name, words, now[name], then[name])
            if change is not None:
                found.append(change)
        return found

    def _campaigning(self, as_of: dt.date) -> Campaigning | None:
        record = self.campaigns.record(as_of)
        if record is None or self.contract.contacts is None:
            return None
        sources = self._source("campaign_effect", as_of)
        known = None if record.effect is None else record.effect.untouched_churn
        try:
            churn = known or self.what_if.expected_churn().rate
            effect = record.save_rate.mean * churn
            forecast = self.what_if.answer(effect=effect, churn=churn).outlook
        except ChurnError:
            why = "How long it will take to be sure cannot be forecast yet."
            return Campaigning(record, sources, why_unknown=why)
        why = ""
        if forecast.months is None:
            why = (
                "With so few contacts a month it would take more than two years to be sure. More"
                " contacts a month shorten that."
            )
        return Campaigning(record, sources, forecast.months, effect, why)

    def _churn(self, as_of: dt.date) -> tuple[Point, ...]:
        lake = self.labels.lake
        points = []
        for month in [one for one in lake.months() if one <= as_of][-MOST_MONTHS:]:
            point = Point(as_of=month.isoformat())
            if lake.has_labels(month):
                known = lake.classes(month)
                labels = known.churners + known.stayers
                if labels:
                    update = {"value": known.churners / labels, "sources": self._snapshot(month)}
                    point = point.model_copy(update=update)
            points.append(point)
        return tuple(points)

    def _measured(self, as_of: dt.date) -> list[Realised]:
        """What every run up to that of a month measured, oldest first."""
        found = []
        for run in [one for one in self.records.months("performance") if one <= as_of]:
            sources = self._source("performance", run)
            found += [Realised(entry, sources) for entry in self.history.measured_by(run)]
        return found

    def _performance(self, as_of: dt.date, measured: list[Realised]) -> tuple[Point, ...]:
        """The AUC of what was in production, by month: realised, or estimated before labels."""
        points: dict[str, Point] = {}
        for one in measured:
            entry = one.performance
            if entry.state == "production" and entry.metrics is not None:
                points[entry.as_of] = Point(
                    as_of=entry.as_of,
                    value=entry.metrics.auc,
                    interval=entry.metrics.auc_interval,
                    sources=one.sources,
                )
        shown = EstimateHistory(self.records).newest(as_of)
        if shown is not None and shown.auc is not None and shown.as_of not in points:
            points[shown.as_of] = Point(
                as_of=shown.as_of,
                value=shown.auc.value,
                interval=shown.auc.interval,
                estimated=True,
                sources=self._source("performance", as_of),
            )
        return tuple(points[month] for month in sorted(points))[-MOST_MONTHS:]


def newest_of(version: int, measured: list[Realised]) -> Realised | None:
    """The performance of a version on the newest month; of several the one measured last."""
    found = None
    for one in measured:
        if one.performance.version != version:
            continue
        if found is None or one.performance.as_of >= found.performance.as_of:
            found = one
    return found


def number_change(name: str, words: str, now: pd.Series, then: pd.Series) -> NumberChange | None:
    """How the mean of a number changed; None if it did not, or one side has no value.

    Args:
        name: the feature.
        words: its description.
        now: (customers,) of this month.
        then: (customers,) of the month before.
    """
    mean, before = now.astype("Float64").mean(), then.astype("Float64").mean()
    if pd.isna(mean) or pd.isna(before) or f"{mean:.3g}" == f"{before:.3g}":
        return None
    return NumberChange(name, words, float(mean), float(before))


def value_change(name: str, words: str, now: pd.Series, then: pd.Series) -> ValueChange | None:
    """The value whose share of the customers changed most; None if no share changed by 1%.

    Args:
        name: the feature.
        words: its description.
        now: (customers,) of this month.
        then: (customers,) of the month before.
    """
    shares = now.astype(str).value_counts(normalize=True)
    before = then.astype(str).value_counts(normalize=True)
    moved = shares.sub(before, fill_value=0.0).abs().sort_index()
    if moved.empty or moved.max() < MOVED_SHARE:
        return None
    value = str(moved.idxmax())
    return ValueChange(
        name, words, value, float(shares.get(value, 0.0)), float(before.get(value, 0.0))
    )
