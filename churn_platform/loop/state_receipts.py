"""Receipts of what no one did by a command: the policy was changed in its file, production
began to stand down.
"""

from churn_platform.ledger.acts import PolicyChanged
from churn_platform.ledger.policy_changes import changes
from churn_platform.services import Services

FIRST = "The policy of the first run."


def record_policy(home: Services) -> None:
    """At the start of a run: write a receipt when the policy is not what the ledger records,
    with every changed field.

    Raises:
        ContractError: the contract cannot be read.
    """
    contract = home.contract
    known = home.ledger.receipts("policy changed")
    before = known[-1].after if known else None
    if before == contract.policy_hash:
        return
    if known:
        changed = changes(PolicyChanged.of(known[-1]).policy, contract.decided_by)
        reason = "; ".join(change.sentence() for change in changed)
    else:
        changed = []
        reason = FIRST
    home.ledger.append(
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
