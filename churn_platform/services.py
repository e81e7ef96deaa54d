"""The composition root: every store and service of one home, built when first used."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from churn_platform.alerting.alerts import Alerts
from churn_platform.audit.checks import CheckResult, check_registry
from churn_platform.audit.reproducing import Reproduction
from churn_platform.audit.verifying import Verification
from churn_platform.base.home import FOLDERS, VERSION_FILE, Home
from churn_platform.base.provenance import provenance
from churn_platform.contacts.campaign import CampaignRecord, Campaigns
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contacts.log import ContactLog
from churn_platform.contacts.plans import ContactPlans
from churn_platform.contacts.tested_plan import DrawnFrom
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import (
    chosen_contract_path,
    default_contract_path,
    read_contract,
)
from churn_platform.drafting.home_update import ContractUpdates
from churn_platform.events.derived_tables import DerivedTables
from churn_platform.experiments.model_test_forecast import ModelTestForecasts
from churn_platform.experiments.model_tests import ModelTests
from churn_platform.experiments.month import ExperimentsMonth
from churn_platform.experiments.registered import Experiments
from churn_platform.experiments.shadow_acts import ShadowActs
from churn_platform.experiments.shadow_monitor import ShadowMonitor
from churn_platform.experiments.shadow_scorer import canonical_rule
from churn_platform.experiments.shadow_scores import ShadowScoring
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import (
    OnlineAddress,
    online_address,
    postgres_address,
)
from churn_platform.features.online.upkeep import count_rows, delete_rows
from churn_platform.features.training_datasets import TrainingDatasets
from churn_platform.ingestion.contact_recording import ContactRecording
from churn_platform.ingestion.drop import FileDigests, newest_drop
from churn_platform.ingestion.drop_source import DropSource
from churn_platform.ingestion.publish import Ingestion
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.lake.lake import Lake
from churn_platform.lake.place import Place
from churn_platform.lake.records import Records
from churn_platform.ledger.acts import PlannedTest
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.store import LedgerStore
from churn_platform.loop.home_run import HomeMonth, RunStart
from churn_platform.loop.progress import Progress
from churn_platform.loop.training import CandidateTraining, RetrainingRequests
from churn_platform.maintenance.backup import Backup
from churn_platform.maintenance.checkup import Checkup
from churn_platform.maintenance.dagster_config import write_configuration
from churn_platform.maintenance.erasure import Erasure
from churn_platform.maintenance.lake_move import LakeMove
from churn_platform.maintenance.mlflow_move import MlflowMove
from churn_platform.maintenance.repair import Repairs
from churn_platform.monitoring.drift import DriftMonitor
from churn_platform.monitoring.performance_monitor import PerformanceMonitor
from churn_platform.monitoring.stand_down import PerformanceHistory, StandDown
from churn_platform.monitoring.versions import Versions
from churn_platform.promotion.approvals import Approvals
from churn_platform.promotion.deciding import DecisionMaker
from churn_platform.promotion.model_imports import ModelImports
from churn_platform.promotion.promotions import Decisions, Promotions, released
from churn_platform.promotion.publishing import ReleasePublisher
from churn_platform.promotion.rollbacks import Rollbacks
from churn_platform.replay.home_replay import Scoreboard
from churn_platform.reports.campaign_status import CampaignStatuses
from churn_platform.reports.contact_status import ContactStatuses
from churn_platform.reports.month_warnings import MonthWarnings
from churn_platform.reports.monthly.checking import ReportChecks
from churn_platform.reports.monthly.gathering import Gathering
from churn_platform.reports.monthly.mailing import ReportMails
from churn_platform.reports.monthly.making import MonthlyReports
from churn_platform.reports.status import Status
from churn_platform.scoring.contact_planning import ContactPlanning
from churn_platform.scoring.scoring import Scoring
from churn_platform.scoring.what_if import WhatIf
from churn_platform.serving.bento_build import Bundles
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts

if TYPE_CHECKING:
    from churn_platform.alerting.metrics import HomeMetrics


class Services(Home):
    """The stores and services of one home. Building it reads nothing and writes nothing."""

    lake_copies: Path | None = None
    """Where files of a lake that has a place are fetched to; None for the home."""

    @property
    def contract_path(self) -> Path:
        """The contract in use: `CHURN_CONTRACT`, else the home's, else the one of the package."""
        return chosen_contract_path(self.settings) or default_contract_path()

    @cached_property
    def contract(self) -> Contract:
        """The contract, read once."""
        return read_contract(self.contract_path)

    @cached_property
    def drop_digests(self) -> FileDigests:
        """The digests of the drops' files, by which a drop is recognised."""
        return FileDigests(self.drops, self.folder / "lake" / "drop_files.json")

    @cached_property
    def lake(self) -> Lake:
        """Published snapshots."""
        folder = self.folder / "lake"
        uri = self.lake_uri
        place = Place(uri, folder, self.lake_copies) if uri else None
        return Lake(folder, self.version_contracts.reading, place)

    @cached_property
    def drop_source(self) -> DropSource | None:
        """Where drops are delivered besides the home; None without `CHURN_DROPS`."""
        uri = self.settings.drops.rstrip("/")
        return DropSource(uri, self) if uri else None

    @cached_property
    def ingestion(self) -> Ingestion:
        """From drops to snapshots."""
        return Ingestion(
            self,
            self.contract,
            self.lake,
            self.ledger,
            self.drop_digests,
            self.contract_history,
            self.derived,
        )

    @cached_property
    def derived(self) -> DerivedTables:
        """Window tables and labels that are made from logs."""
        return DerivedTables(self.lake)

    @cached_property
    def contract_history(self) -> ContractHistory:
        """The contracts of the home over time."""
        return ContractHistory(
            self.contract, self.ledger, self.lake, lambda: self.version_contracts.released
        )

    @cached_property
    def contract_updates(self) -> ContractUpdates:
        """Changes of the contract."""
        return ContractUpdates(
            self, self.contract, self.contract_path, self.lake, self.contract_history
        )

    @cached_property
    def version_contracts(self) -> VersionContracts:
        """What each version reads."""
        return VersionContracts(self.contract, self.releases)

    @cached_property
    def records(self) -> Records:
        """What the loop derived: training datasets, drift, performance, scores, decisions."""
        return Records(self.folder)

    @cached_property
    def feature_store(self) -> FeatureStore:
        """Feast."""
        chosen = self.settings
        registry = postgres_address(
            "CHURN_FEAST_REGISTRY", chosen.feast_registry,
            "CHURN_FEAST_REGISTRY_PASSWORD", chosen.feast_registry_password.get_secret_value(),
        )  # fmt: skip
        return FeatureStore(
            self.folder / "feast", self.version_contracts.reading, self.online, registry
        )

    @cached_property
    def online(self) -> OnlineAddress:
        """Where the online store is."""
        return online_address(
            self.settings.online_store, self.settings.online_password.get_secret_value()
        )

    @cached_property
    def training_datasets(self) -> TrainingDatasets:
        """The training dataset of each month."""
        return TrainingDatasets(self.lake, self.labels, self.feature_store, self.records, self.now)

    @cached_property
    def decisions(self) -> Decisions:
        """The decisions on candidates."""
        return Decisions(self.records, self.ledger)

    @cached_property
    def publisher(self) -> ReleasePublisher:
        """Makes releases."""
        return ReleasePublisher(
            self.ledger,
            self.records,
            self.releases,
            self.registry,
            self.training_datasets,
            self.now,
        )

    @cached_property
    def promotions(self) -> Promotions:
        """Changes of production."""
        return Promotions(
            self,
            self.contract,
            self.ledger,
            self.releases,
            self.registry,
            self.decisions,
            self.publisher,
        )

    @cached_property
    def approvals(self) -> Approvals:
        """Manual approvals of candidates."""
        return Approvals(
            self,
            self.contract,
            self.ledger,
            self.registry,
            self.training_datasets,
            self.decisions,
            self.publisher,
            self.promotions,
            self.version_contracts,
        )

    @cached_property
    def model_imports(self) -> ModelImports:
        """Imports models that were trained elsewhere."""
        return ModelImports(
            self, self.contract, self.lake, self.ledger, self.releases, self.registry,
            self.ingestion, self.promotions, self.complete_cut_off,
            self.approvals.record_lapse,
        )  # fmt: skip

    @cached_property
    def rollbacks(self) -> Rollbacks:
        """Rollbacks of production."""
        return Rollbacks(
            self,
            self.contract,
            self.ledger,
            self.releases,
            self.registry,
            self.promotions,
            self.approvals,
        )

    @cached_property
    def decision_maker(self) -> DecisionMaker:
        """Decides on candidates."""
        return DecisionMaker(
            self.contract,
            self.ledger,
            self.records,
            self.releases,
            self.registry,
            self.training_datasets,
            self.decisions,
            self.promotions,
            self.approvals,
            self.version_contracts,
        )

    @cached_property
    def registry(self) -> ModelRegistry:
        """MLflow's tracking store and registry."""
        return ModelRegistry(self.folder, self.contract.model_name, self.settings.mlflow_uri)

    @cached_property
    def releases(self) -> Releases:
        """What serving loads."""
        return Releases(self.folder / "releases")

    @cached_property
    def ledger(self) -> LedgerStore:
        """The receipts."""
        return LedgerStore(
            self.folder / "ledger",
            self.now,
            anchor_file=self.folder / "anchor.json",
            made_by=provenance,
            who=lambda: self.settings.who,
        )

    def versions(self) -> Versions:
        """Every version, as it is now; each is read and verified once."""
        return Versions(self.releases, self.registry, self.version_contracts)

    @cached_property
    def performance_history(self) -> PerformanceHistory:
        """What earlier runs measured."""
        return PerformanceHistory(self.records, self.lake)

    @cached_property
    def stand_down(self) -> StandDown:
        """Whether the model in production must stand down."""
        return StandDown(
            self.contract, self.performance_history, self.releases, self.ledger,
            self.decisions.all, self.version_contracts,
        )  # fmt: skip

    @cached_property
    def drift_monitor(self) -> DriftMonitor:
        """Reports drift."""
        return DriftMonitor(
            self.labels, self.records, self.versions,
            reports=self.reports, now=self.now,
        )  # fmt: skip

    @cached_property
    def performance_monitor(self) -> PerformanceMonitor:
        """Measures performance."""
        return PerformanceMonitor(
            self.labels, self.records, self.ledger, self.versions, self.stand_down,
            approve=self.approvals.approve, roll_back=self.rollbacks.roll_back,
            predictions=self.predictions, shadows=self.shadows, now=self.now,
        )  # fmt: skip

    @cached_property
    def scoring(self) -> Scoring:
        """Scores months."""
        return Scoring(
            self.contract, self.labels, self.records, self.versions, self.stand_down,
            self.version_contracts, self.reports,
            canary=self.experiments.settled_canary,
        )  # fmt: skip

    @cached_property
    def experiments(self) -> Experiments:
        """Shadows and canaries."""
        return Experiments(
            self, self.ledger, self.releases, self.publisher, self.promotions,
            self.version_contracts, check_rule=lambda rule: canonical_rule(rule, self.contract),
        )  # fmt: skip

    @cached_property
    def shadow_scoring(self) -> ShadowScoring:
        """Scores months with shadows."""
        return ShadowScoring(
            self.contract, self.labels, self.records, self.releases,
            state=self.experiments.state,
        )  # fmt: skip

    @cached_property
    def shadow_monitor(self) -> ShadowMonitor:
        """Compares shadows with production."""
        return ShadowMonitor(
            self.contract, self.labels, self.records, self.releases, self.versions,
            self.shadow_scoring, self.reports,
            predictions=self.predictions, shadow_log=self.shadows, now=self.now,
        )  # fmt: skip

    @cached_property
    def shadow_acts(self) -> ShadowActs:
        """What people do with shadows."""
        return ShadowActs(
            self, self.contract, self.lake, self.records, self.experiments, self.experiments_month
        )

    @cached_property
    def experiments_month(self) -> ExperimentsMonth:
        """Measures experiments."""
        return ExperimentsMonth(self.records, self.shadow_monitor, self.model_tests)

    @cached_property
    def model_tests(self) -> ModelTests:
        """Tests of two versions on the customers that their lists save."""
        forecasts = ModelTestForecasts(
            self.contract, self.ledger, self.records, self.campaigns, self.versions,
            drawn_from=self._drawn_from, now=self.now,
        )  # fmt: skip
        return ModelTests(
            self.contract, self.ledger, self.campaigns, self.releases, self.publisher,
            self.promotions, self.version_contracts, forecasts,
        )  # fmt: skip

    @cached_property
    def contact_log(self) -> ContactLog:
        """Every contact with a customer."""
        return ContactLog(self.lake)

    @cached_property
    def contact_plans(self) -> ContactPlans:
        """The registered contact plans."""
        return ContactPlans(self.contract, self.records, self.ledger)

    @cached_property
    def labels(self) -> CorrectedLabels:
        """Labels corrected for contacts."""
        return CorrectedLabels(self.lake, self.contact_plans, self.contact_log, self.now)

    @cached_property
    def campaigns(self) -> Campaigns:
        """Measures what contacts were worth."""
        return Campaigns(self.labels, self.records)

    @cached_property
    def campaign_statuses(self) -> CampaignStatuses:
        """What contacting was worth."""
        return CampaignStatuses(self.contract, self.campaigns)

    @cached_property
    def contact_planning(self) -> ContactPlanning:
        """Plans contacts."""
        return ContactPlanning(
            self.contract, self.labels, self.records, self.versions, self.version_contracts,
            self.reports,
            retraining_due=lambda as_of: self.progress().retraining(as_of).trigger is not None,
            newest_drop=lambda: newest_drop(self.drops, self.contract),
            tests=self.model_tests,
            now=self.now,
        )  # fmt: skip

    def _drawn_from(
        self, as_of: dt.date, known_at: dt.datetime, test: PlannedTest | None
    ) -> DrawnFrom:  # a plan asks for the test of its month, and a test for what plans draw from
        return self.contact_planning.drawn_from(as_of, known_at, test)

    @cached_property
    def contact_recording(self) -> ContactRecording:
        """Records contacts."""
        return ContactRecording(self, self.contract, self.lake, self.contact_plans, self.ingestion)

    @cached_property
    def contact_statuses(self) -> ContactStatuses:
        """What is planned."""
        return ContactStatuses(
            self.contract, self.contact_plans, self.contact_planning, self.contact_log, self.reports
        )

    @cached_property
    def what_if(self) -> WhatIf:
        """What a campaign could show."""
        return WhatIf(self.contract, self.records, self.labels, self.now)

    def progress(self) -> Progress:
        """How far the home is now."""
        return Progress(
            self, self.contract, self.labels, self.records, self.releases, self.ledger,
            self.performance_history, self.version_contracts,
            drop_digests=self.drop_digests, online=self.online,
            decisions=self.decisions.all(), unfinished=self.decisions.unfinished(),
        )  # fmt: skip

    @cached_property
    def run_start(self) -> RunStart:
        """What every run does first."""
        completions: list[Callable[[], object]] = [
            self.mlflow_move.finish,
            self.lake_move.finish,
            self.promotions.recover,
            self.model_imports.finish,
            self.erasure.finish,
            self._derive_from_logs,
            self._finish_contact_plans,
            self.experiments.settle,
            self.model_tests.settle,
            self._finish_report,
        ]
        return RunStart(
            self.contract,
            self.ledger,
            self.contract_history,
            lambda: read_contract(self.contract_path),
            completions,
            self.approvals.record_lapse,
        )

    def complete_cut_off(self) -> None:
        """Do what every run does first; the caller holds the home."""
        self.run_start.complete()

    def _derive_from_logs(self) -> None:
        if self.contract.logs:
            self.ingestion.derive()

    def _finish_contact_plans(self) -> None:
        if self.contact_plans.months():  # most homes have none, and need no more than the ledger
            self.contact_planning.finish()

    def _finish_report(self) -> None:
        self.monthly_reports.complete()

    @cached_property
    def candidate_training(self) -> CandidateTraining:
        """Trains candidates."""
        return CandidateTraining(
            self.contract, self.registry, self.ledger, self.training_datasets.load,
            self.version_contracts, lambda as_of: self.labels.months().matured(as_of),
        )  # fmt: skip

    @cached_property
    def retraining_requests(self) -> RetrainingRequests:
        """Takes requests for a retraining."""
        return RetrainingRequests(
            self.contract, self.ledger, self.progress, self.training_datasets.load,
            self.promotions.acting, who=self.settings.who,
        )  # fmt: skip

    @cached_property
    def month(self) -> HomeMonth:
        """The steps of a month."""
        return HomeMonth(
            training_dataset=self.training_datasets.build,
            drift_report=self.drift_monitor.report,
            performance=self.performance_monitor.measure,
            scores=self.scoring.score,
            contact_plan=self.contact_planning.make,
            campaign_effect=self._campaign_effect,
            experiments=self.experiments_month.measure,
            retraining=lambda as_of: self.progress().retraining(as_of),
            candidate=self.candidate_training.train,
            decision=self.decision_maker.decide,
            production=self.decision_maker.carry_out,
        )

    def _campaign_effect(self, as_of: dt.date) -> CampaignRecord | None:
        record = self.campaigns.measure(as_of)
        self.model_tests.look(as_of)
        return record

    def scoreboard(self) -> Scoreboard:
        """Judges past decisions on the labels that matured since."""
        return Scoreboard(
            self.contract, self.labels, self.ledger, self.versions(), self.decisions.all(),
            now=self.now,
        )  # fmt: skip

    @cached_property
    def bundles(self) -> Bundles:
        """Bentos with the release in production inside."""
        return Bundles(self, self.contract, self.contract_path, self.releases, self.ledger)

    @cached_property
    def alerts(self) -> Alerts:
        """The alerts to send."""
        reports = ReportMails(
            self, self.records, lambda: self.contract, lambda: self.monthly_reports, self.progress
        )
        return Alerts(self, lambda: self.contract.name, self.ledger, self.records, reports)

    @cached_property
    def verification(self) -> Verification:
        """Verifies the home."""
        return Verification(
            self,
            self.ledger,
            self.releases,
            self.registry,
            self.records,
            self.lake,
            self.contract_history,
            lambda: self.contact_planning,
            lambda: self.shadow_monitor,
            self._check_reports,
        )

    def _check_reports(self, receipts: Sequence[Receipt], deep: bool) -> Iterator[CheckResult]:  # noqa: FBT001 - as Verification calls it
        return ReportChecks(self.monthly_reports, receipts, self.is_free).found(deep=deep)

    @cached_property
    def reproduction(self) -> Reproduction:
        """Makes versions again."""
        return Reproduction(
            self.folder, self.contract, self.lake, self.ledger, self.registry, self.releases
        )

    @cached_property
    def metrics(self) -> "HomeMetrics":
        """What the exporter serves."""
        from churn_platform.alerting.metrics import HomeMetrics

        return HomeMetrics(
            now=self.now,
            contract=self.contract,
            lake=self.lake,
            records=self.records,
            releases=self.releases,
            receipts=self.ledger,
            alert_channels=self.alerts,
            verify_home=lambda: self.verification.verify(),  # noqa: PLW0108 - MLflow is loaded late
        )

    @cached_property
    def month_warnings(self) -> MonthWarnings:
        """The warnings of each month."""
        return MonthWarnings(
            self.contract,
            self.lake,
            self.records,
            self.releases,
            self.ledger,
            self.performance_history,
            self.progress,
        )

    @cached_property
    def monthly_reports(self) -> MonthlyReports:
        """The monthly report for the team, the manager and the approver."""
        gathering = Gathering(
            self.contract, self.labels, self.records, self.reports, self.contact_log,
            self.campaigns, self.what_if, self.performance_history, self.month_warnings,
            self.status, experiments=lambda: self.experiments, now=self.now,
        )  # fmt: skip
        return MonthlyReports(self, gathering, self.records, self.ledger)

    @cached_property
    def status(self) -> Status:
        """What the home knows about itself."""
        return Status(
            self,
            self.contract,
            self.contract_path,
            self.lake,
            self.derived,
            self.records,
            self.releases,
            self.ledger,
            self.alerts,
            self.month_warnings,
            self.performance_history,
            self.stand_down,
            self.version_contracts,
            self.contract_history,
            progress=self.progress,
            waiting=self.approvals.waiting,
            contacts=self.contact_statuses.newest,
            campaign=self.campaign_statuses.newest,
            released=lambda version: released(self.releases, version),
            experiments=lambda: self.experiments,
            model_test=lambda: self.model_tests.running(),  # noqa: PLW0108 - built late
            drop_source=self.drop_source,
        )

    @cached_property
    def backup(self) -> Backup:
        """Backing up and restoring."""
        return Backup(
            self,
            self.ledger,
            self.releases,
            lambda: self.experiments,
            lambda folder: self.with_settings(home=folder).backup,
        )

    @cached_property
    def erasure(self) -> Erasure:
        """Erasing a customer."""
        return Erasure(
            self,
            self.contract,
            self.labels,
            self.records,
            self.releases,
            self.registry,
            self.ledger,
            self.monthly_reports,
            count_online_rows=lambda key: count_rows(self.feature_store, key),
            delete_online_rows=lambda key: delete_rows(self.feature_store, key),
        )

    @cached_property
    def mlflow_move(self) -> MlflowMove:
        """Moving the home to the servers of its settings."""

        def find_faults() -> Iterator[CheckResult]:
            before = self.with_settings(mlflow_uri="")
            yield from before.verification.verify()
            receipts = before.ledger.receipts()
            yield from check_registry(before.registry, before.releases, receipts)

        def fill_online_store() -> None:
            months = self.lake.months()
            own = not self.online.url
            if own or not months or self.feature_store.online_as_of() is not None:
                return
            now = self.now()
            self.feature_store.apply(self.lake.view(now, as_at_scoring=True))
            self.feature_store.materialize(self.lake.view(now, as_at_scoring=False), months[-1])

        return MlflowMove(
            self,
            self.contract.model_name,
            self.ledger,
            find_faults=find_faults,
            own_store=lambda: self.with_settings(mlflow_uri="").registry.tracking_uri,
            fill_online_store=fill_online_store,
        )

    @cached_property
    def lake_move(self) -> LakeMove:
        """Moving the files of the lake."""
        # CHURN_LAKE may already name the place that the lake is to move to.
        return LakeMove(self, lambda: self.with_settings(lake="").lake, self.ledger)

    @cached_property
    def repairs(self) -> Repairs:
        """Repairing the home."""
        return Repairs(
            self,
            self.records,
            self.releases,
            self.ledger,
            lake=lambda: self.lake,
            registry=lambda: self.registry,
            training_datasets=lambda: self.training_datasets,
            publisher=lambda: self.publisher,
            promotions=lambda: self.promotions,
            erasure=lambda: self.erasure,
            mlflow_move=lambda: self.mlflow_move,
            lake_move=lambda: self.lake_move,
            contact_planning=lambda: self.contact_planning,
            experiments=lambda: self.experiments,
            monthly_reports=lambda: self.monthly_reports,
        )

    @cached_property
    def checkup(self) -> Checkup:
        """Checking the home."""
        return Checkup(
            self,
            self.contract_path,
            lambda: self.contract,
            lambda: self.lake,
            lambda: self.registry,
            self.releases,
            self.ledger,
            self.alerts,
            lambda: self.contact_planning,
            self.drop_source,
        )

    def with_settings(self, **changed: object) -> "Services":
        """The same home under other settings, or another home."""
        return Services(self.settings.model_copy(update=changed), self.now)

    def create(self) -> None:
        """Make the folders, the Dagster configuration and the note of the layout; what exists
        stays as it is.

        The schema that editors read is that of this version of the platform.

        Raises:
            WrongLayout: the home is of another version.
        """
        from churn_platform.contract.reading import write_schema

        self.check_layout()
        place = self.lake_uri
        if place:
            Place(place)  # refuses a wrong one before anything is written
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        write_configuration(self.folder / "dagster", on_postgres=self.settings.dagster_on_postgres)
        write_schema(self.folder)
        if not (self.folder / VERSION_FILE).exists():
            if place:
                Place(place).prepare()
            self.name_lake(place)
