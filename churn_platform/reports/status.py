"""Status, decisions, scores and explanations of a home."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from churn_platform.alerting.alerts import Alerts, ChannelStatus
from churn_platform.base.errors import ChurnError, ContractError, UsageError
from churn_platform.base.home import Home
from churn_platform.base.stored import Stored
from churn_platform.base.text import parse_as_of
from churn_platform.contract.model import Contract
from churn_platform.events.derived_tables import DerivedTables
from churn_platform.events.held_events import held_events
from churn_platform.experiments.model_test_status import ModelTestStatus
from churn_platform.experiments.registered import Experiments
from churn_platform.ingestion.drop_source import DropSource
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.lake.deliveries import quarantined_in
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.tables import feature_frame, unknown_customer
from churn_platform.ledger.state import Request
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import Proposal
from churn_platform.loop.progress import Progress
from churn_platform.monitoring.estimate_history import EstimateHistory
from churn_platform.monitoring.stand_down import PerformanceHistory, StandDown
from churn_platform.promotion.approvals import how_to_answer
from churn_platform.promotion.decision import newest_value
from churn_platform.promotion.shadow_evidence import shadow_sentence
from churn_platform.reports.campaign_status import CampaignStatus
from churn_platform.reports.contact_status import ContactStatus
from churn_platform.reports.contract_status import contract_status
from churn_platform.reports.month_warnings import MonthWarnings
from churn_platform.reports.status_record import (
    AnsweredDecision,
    DueStep,
    HomeStatus,
    NewestList,
    ProductionStatus,
    QuarantineStatus,
    WaitingCandidate,
)
from churn_platform.scoring.ranking import reasons
from churn_platform.scoring.scoring import (
    ScoresRecord,
    list_file,
    scores_record,
    why_arms_outdated,
)
from churn_platform.training.candidate import Candidate
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts


class ExplainingModel(Stored):
    """The version that scored a month."""

    name: str
    version: int | None
    as_of: str
    algorithm: str
    stand_down: bool
    reasons_by: str | None = Field(exclude_if=lambda value: value is None)
    """How the reasons of an estimator of the business are measured."""


class Explanation(Stored):
    """One customer's probability, reasons and features.

    The fields from `rank` to `trained_on` come from the month's list. They are None if it does
    not contain them; `expected_loss` is not set then.
    """

    as_of: str
    probability: float
    prediction: int
    rank: int | None
    decile: int | None
    expected_loss: float | None = Field(exclude_if=lambda value: value is None)
    already_left: bool | None
    trained_on: bool | None
    costs_given: bool
    reasons: list[str]
    features: dict[str, Any]
    model: ExplainingModel


@dataclass(frozen=True)
class TopOfList:
    """The rows with the highest ranks in the newest list, and its record.

    Attributes:
        as_of: The month.
        key: The column of the customers' keys.
        record: The record of the month's scores.
        production_version: The version in production.
        outdated: That another version is in production than made the list.
        not_scored: Why the version in production cannot score the month.
        rows: The rows.
    """

    as_of: dt.date
    key: str
    record: ScoresRecord
    production_version: int | None
    outdated: str | None
    not_scored: str | None
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Status:
    """Answers questions about one home."""

    home: Home
    contract: Contract
    contract_path: Path
    lake: Lake
    derived: DerivedTables
    records: Records
    releases: Releases
    ledger: LedgerStore
    alert_channels: Alerts
    warnings: MonthWarnings
    history: PerformanceHistory
    stand_down: StandDown
    version_contracts: VersionContracts
    contract_history: ContractHistory
    progress: Callable[[], Progress]
    waiting: Callable[[], tuple[Request, str | None] | None]
    contacts: Callable[[], ContactStatus | None]
    campaign: Callable[[], CampaignStatus | None]
    released: Callable[[int], Candidate]
    experiments: Callable[[], Experiments]
    model_test: Callable[[], ModelTestStatus | None]
    drop_source: DropSource | None

    def now(self) -> HomeStatus:
        """The state of the home."""
        progress = self.progress()
        step = progress.next_step()
        processed = [month.as_of for month in progress.months() if month.processed]
        due = None
        quarantine = None
        if step:
            reason = step.reason
            due = DueStep(job=step.kind, as_of=step.as_of.isoformat(), reason=reason)
        elif processed:
            reason = progress.retraining(processed[-1]).reason
        else:
            reason = "No drop has arrived yet."
        if progress.published:
            quarantine = self.quarantine(progress.published[-1])
        state = self.ledger.state()
        experiments = self.experiments()
        return HomeStatus(
            home=str(self.home.folder),
            contract=self.contract.name,
            lake=self.home.lake_uri or None,
            drop_source=None if self.drop_source is None else self.drop_source.status(),
            contract_changes=contract_status(self.contract_history, self.ledger),
            months=[month.isoformat() for month in progress.published],
            production=self.production(),
            newest_list=self.newest_list(),
            events=held_events(self.lake, self.derived),
            contacts=self.contacts(),
            pending=self.pending(),
            blocked=state.blocked,
            decisions=[AnsweredDecision.of(one, state) for one in progress.decisions],
            quarantine=quarantine,
            warnings=self.warnings.of_months(),
            performance=self.history.all(),
            answered=self.history.served(),
            estimated=EstimateHistory(self.records).newest(),
            campaign=self.campaign(),
            proposal=self.proposal(),
            shadows=list(experiments.state().shadows) or None,
            canary=experiments.canary_report().running,
            test=self._test(),
            next=due,
            reason=reason,
            alerts=self._alerts(),
        )

    def _test(self) -> str | None:
        """What the test that runs shows; None without one."""
        running = self.model_test()
        return None if running is None else running.sentence

    def pending(self) -> WaitingCandidate | None:
        """The candidate that waits, or waited, for an approval."""
        found = self.waiting()
        if found is None:
            return None
        request, lapsed = found
        return WaitingCandidate(
            **vars(request.record()),
            lapsed=lapsed,
            how=how_to_answer(request.version),
            contact_value=newest_value(self.progress().decisions, request.version),
            shadow=shadow_sentence(self.records, request.version),
        )

    def proposal(self) -> Proposal | None:
        """The proposal from later labels while it is valid, with the command for it."""
        pointer = self.releases.pointer()
        version = None if pointer is None else pointer.version
        performance = self.records.newest("performance")
        found = self.ledger.state().standing_proposal(performance, version)
        return found and found.model_copy(update={"command": found.command})

    def _alerts(self) -> list[ChannelStatus]:
        """Every alert channel; one without a name explains why the channels are unknown."""
        try:
            return self.alert_channels.waiting()
        except ChurnError as error:
            return [ChannelStatus("", error=str(error))]

    def quarantine(self, as_of: dt.date) -> QuarantineStatus | None:
        """The quarantined rows of a month, if there are any."""
        tables = {
            name: found for name, found in self.lake.quarantines(as_of).items() if found.quarantined
        }
        sentence = quarantined_in(tables)
        if not sentence:
            return None
        return QuarantineStatus(
            as_of=as_of.isoformat(),
            sentence=sentence,
            tables=tables,
            page=str(self.home.reports / as_of.isoformat() / "drop.html"),
        )

    def production(self) -> ProductionStatus | None:
        """The version in production, if there is one."""
        pointer = self.releases.pointer()
        manifest = self.releases.production()
        if pointer is None or manifest is None:
            return None
        reason = self.stand_down.reason()
        return ProductionStatus(
            version=manifest.version,
            as_of=manifest.training_as_of,
            auc=manifest.metrics.get("auc"),
            stand_down=reason is not None,
            stand_down_reason=reason,
            algorithm=manifest.algorithm,
            threshold=manifest.threshold,
            since=pointer.activate_at,
            previous_version=pointer.previous_version,
            overridden=self.ledger.state().overridden.get(manifest.version),
            contact_value=newest_value(self.progress().decisions, manifest.version),
        )

    def newest_list(self) -> NewestList | None:
        """The newest list and the version that made it; None before the first one."""
        for month in reversed(self.records.months("scores")):
            record = scores_record(self.records, month)
            if record is not None and record.version is not None:
                return NewestList(
                    as_of=month.isoformat(),
                    version=record.version,
                    outdated=self._outdated(record, record.version),
                )
        return None

    def _outdated(self, record: ScoresRecord, version: int) -> str | None:
        """That another version is in production than made a list, or that the canary has other
        arms.
        """
        pointer = self.releases.pointer()
        if pointer is None:
            return None
        if pointer.version != version:
            return f"The list is of version {version}; version {pointer.version} is in production."
        return why_arms_outdated(record, self.experiments().state().canary) or None

    def decision(self, as_of: str | None) -> AnsweredDecision:
        """The newest decision, or the newest one of a month.

        Raises:
            UsageError: no decision was made.
        """
        decisions = self.progress().decisions
        found = [decision for decision in decisions if as_of in (None, decision.as_of)]
        if not found:
            known = ", ".join(decision.as_of for decision in decisions) or "none yet"
            raise UsageError(
                f"There is no decision{f' of {as_of}' if as_of else ''};"
                f" decisions so far: {known}.",
                code="DECISION_MISSING",
            )
        return AnsweredDecision.of(found[-1], self.ledger.state())

    def explain(self, entity: str, as_of: str | None) -> Explanation:
        """The explanation of a customer, by the version that scored the month, with its
        features and in its words.

        Raises:
            UsageError: an unknown month or customer, or a month that was not scored.
            ContractError: the contract lacks what the version reads.
        """
        month, record, number = self.scored_month(as_of)
        stands_down = record.stand_down is not None
        canary = record.canary
        if canary is not None and self._listed_as(month, entity)["version"] == canary.version:
            number = canary.version
            stands_down = canary.stand_down is not None
        version = self.released(number)
        try:
            contract = self.version_contracts.of(version.card)
        except ContractError as error:
            raise ContractError(
                f"Version {number} made the list of {month}. {error}", code="CONTRACT_CHANGED"
            ) from error
        rows = feature_frame(contract, self.lake.tables(month))
        key = contract.entity.column
        row = rows[rows[key].astype(str) == entity].reset_index(drop=True)
        if row.empty:
            raise unknown_customer(contract, entity, month)
        sentences = reasons(contract, row, version.model, contract.policy.scoring.reasons)
        probability = float(version.model.probability(row)[0])
        listed = self._listed_as(month, entity)
        features = _first_row(row)
        return Explanation(
            as_of=month.isoformat(),
            probability=probability,
            prediction=int(probability >= version.model.threshold),
            rank=listed["rank"],
            decile=listed["decile"],
            expected_loss=listed["expected_loss"],
            already_left=listed["already_left"],
            trained_on=listed["trained_on"],
            costs_given=contract.threshold_given(version.card.as_json()),
            reasons=sentences.iloc[0].tolist(),
            features={name: features[name] for name in contract.features},
            model=ExplainingModel(
                name=contract.model_name,
                version=version.version,
                as_of=version.card.as_of,
                algorithm=version.card.algorithm,
                stand_down=stands_down,
                reasons_by=version.card.reasons_by,
            ),
        )

    def scores(self, top: int) -> TopOfList:
        """The `top` rows of the newest scored month, by the version that scored it.

        Raises:
            UsageError: nothing was scored yet.
        """
        month, record, number = self.scored_month(None)
        path = list_file(self.home.reports, month).with_suffix(".parquet")
        frame = pd.read_parquet(path).head(top)
        rows = [
            {str(name): value for name, value in row.items()} for row in frame.to_dict("records")
        ]
        key = self.contract.entity.column
        if key not in frame.columns:  # the list was made under another key
            key = str(frame.columns[0])
        pointer = self.releases.pointer()
        return TopOfList(
            as_of=month,
            key=key,
            record=record,
            production_version=None if pointer is None else pointer.version,
            outdated=self._outdated(record, number),
            not_scored=self.version_contracts.why_not_scored() or None,
            rows=rows,
        )

    def _listed_as(self, month: dt.date, entity: str) -> pd.Series:
        """What the month's list has of one customer."""
        frame = self.records.frame("scores", month)
        row = frame[frame[self.contract.entity.column].astype(str) == entity]
        names = ("rank", "decile", "expected_loss", "already_left", "trained_on", "version")
        return _first_row(row.head(1).reset_index(drop=True).reindex(index=[0], columns=names))

    def scored_month(self, as_of: str | None) -> tuple[dt.date, ScoresRecord, int]:
        """The newest scored month, or the asked one, with its record and its version.

        Raises:
            UsageError: nothing was scored, or not that month.
        """
        scored = {
            month: (month, record, record.version)
            for month in self.records.months("scores")
            if (record := scores_record(self.records, month)) and record.version is not None
        }
        pointer = self.releases.pointer()
        if not scored and pointer is not None:
            remedy = f"Version {pointer.version} is in production: type `churn run` to score."
            why_not = self.version_contracts.why_not_scored() or remedy
            raise UsageError(f"No month has been scored yet. {why_not}", code="MONTH_NOT_SCORED")
        if not scored:
            raise UsageError(
                "No month has been scored yet: `churn run` scores once a model is in production.",
                code="MONTH_NOT_SCORED",
            )
        if as_of is None:
            return scored[max(scored)]
        wanted = parse_as_of(as_of)
        if wanted not in scored:
            raise UsageError(
                f"The month {as_of} was not scored; scored months:"
                f" {', '.join(m.isoformat() for m in scored)}.",
                code="MONTH_NOT_SCORED",
            )
        return scored[wanted]


def _first_row(rows: pd.DataFrame) -> pd.Series:
    """The first row as Python values, missing ones as None."""
    return rows.astype(object).where(rows.notna(), None).iloc[0]
