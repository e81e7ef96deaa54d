"""A run on a home: what it does first, and its steps of a month."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from churn_platform.base.errors import ContractError
from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.plans import ContactPlanRecord
from churn_platform.contract.model import Contract
from churn_platform.experiments.month import ExperimentsMonthRecord
from churn_platform.features.training_dataset import TrainingDataset
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.ledger.acts import PolicyChanged, changes
from churn_platform.ledger.store import LedgerStore
from churn_platform.loop.retraining import RetrainingAnswer
from churn_platform.loop.run_month import RefusedTraining
from churn_platform.loop.training import TrainedCandidate
from churn_platform.monitoring.drift import DriftOutcome
from churn_platform.monitoring.performance import PerformanceRecord
from churn_platform.promotion.decision import Decision, Trigger
from churn_platform.scoring.scoring import ScoredMonth

if TYPE_CHECKING:
    from churn_platform.promotion.deciding import Outcome

FIRST = "The policy of the first run."


@dataclass(frozen=True)
class RunStart:
    """Completes what was cut off, and records what changed since the last run.

    Args:
        contract: the contract in use.
        ledger: the receipts.
        contract_history: the contracts of the home over time.
        read_contract: reads the contract in use again.
        completions: each completes one kind of work that a kill may have cut off, in order.
        record_lapse: records that a request for approval has lapsed.
    """

    contract: Contract
    ledger: LedgerStore
    contract_history: ContractHistory
    read_contract: Callable[[], Contract]
    completions: Sequence[Callable[[], object]]
    record_lapse: Callable[[], object]

    def complete(self) -> None:
        """Do it all. The caller holds the home.

        Raises:
            ContractError: the contract changed while the caller waited for the home.
        """
        if self.read_contract().written() != self.contract.written():
            raise ContractError(
                "The contract changed while this command waited for the home: type it again.",
                code="CONTRACT_CHANGED",
            )
        for complete in self.completions:
            complete()
        self.contract_history.record()
        self.record_policy()
        self.record_lapse()

    def record_policy(self) -> None:
        """Write a receipt when the policy is not what the ledger records, with every changed
        field.
        """
        contract = self.contract
        known = self.ledger.receipts("policy changed")
        before = None
        changed = []
        reason = FIRST
        if known:
            before = known[-1].after
            if before == contract.policy_hash:
                return
            changed = changes(PolicyChanged.of(known[-1]).policy, contract.decided_by)
            reason = "; ".join(change.sentence() for change in changed)
        self.ledger.append(
            PolicyChanged(
                subject=contract.name,
                before=before,
                after=contract.policy_hash,
                reason=reason,
                policy=contract.decided_by,
                changed={change.field: (change.old, change.new) for change in changed},
                contract=contract.model_hash,
            )
        )


@dataclass(frozen=True)
class HomeMonth:
    """The steps of a month on one home."""

    training_dataset: Callable[[dt.date], TrainingDataset | None]
    """None without matured labels."""
    drift_report: Callable[[dt.date], DriftOutcome]
    performance: Callable[[dt.date], PerformanceRecord]
    scores: Callable[[dt.date], ScoredMonth | None]
    """None where no version can score the month."""
    contact_plan: Callable[[dt.date], ContactPlanRecord | None]
    """None where the contract names no contacts."""
    campaign_effect: Callable[[dt.date], CampaignRecord | None]
    """None where the contract names no contacts."""
    experiments: Callable[[dt.date], ExperimentsMonthRecord | None]
    """None where nothing is tried."""
    retraining: Callable[[dt.date], RetrainingAnswer]
    candidate: Callable[[dt.date], TrainedCandidate | RefusedTraining]
    decision: Callable[[dt.date, Trigger], Decision]
    production: Callable[[], "Outcome"]
