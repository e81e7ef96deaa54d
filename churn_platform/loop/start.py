"""What every run does first, whether the daemon or a terminal started it."""

from collections.abc import Callable, Sequence

from churn_platform.contract.model import Contract
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.ledger.acts import PolicyChanged
from churn_platform.ledger.policy_changes import changes
from churn_platform.ledger.store import LedgerStore

FIRST = "The policy of the first run."


class RunStart:
    """Completes what was cut off, and records what changed since the last run.

    Args:
        contract: the contract in use.
        ledger: the receipts.
        contract_history: the contracts of the home over time.
        completions: each completes one kind of work that a kill may have cut off, in order.
        record_lapse: records that a request for approval has lapsed.
    """

    def __init__(
        self,
        contract: Contract,
        ledger: LedgerStore,
        contract_history: ContractHistory,
        completions: Sequence[Callable[[], object]],
        record_lapse: Callable[[], object],
    ) -> None:
        self._contract = contract
        self._ledger = ledger
        self._contract_history = contract_history
        self._completions = completions
        self._record_lapse = record_lapse

    def complete(self) -> None:
        """Do it all. The caller holds the home."""
        for complete in self._completions:
            complete()
        self._contract_history.record()
        self.record_policy()
        self._record_lapse()

    def record_policy(self) -> None:
        """Write a receipt when the policy is not what the ledger records, with every changed
        field.
        """
        contract = self._contract
        known = self._ledger.receipts("policy changed")
        before = known[-1].after if known else None
        if before == contract.policy_hash:
            return
        changed = []
        reason = FIRST
        if known:
            changed = changes(PolicyChanged.of(known[-1]).policy, contract.decided_by)
            reason = "; ".join(change.sentence() for change in changed)
        self._ledger.append(
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
