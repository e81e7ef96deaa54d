"""Receipts of what no one did by a command: the policy was changed in its file, production began to stand down.

Belongs here: comparing what holds now with the ledger, and writing what is new, once. Does not: the rules
(`core/states.py`).
"""

from typing import Any

from churn_platform.adapters.home import Home
from churn_platform.adapters.progress import Progress
from churn_platform.core.labels import turned_over
from churn_platform.core.ledger import Receipt
from churn_platform.core.states import changes, stand_down_act

FIRST = "The policy of the first run."


def record_policy(home: Home) -> None:
    """At the start of a run: write a receipt when the policy is not what the ledger records, with every changed field.

    Raises:
        ContractError: the contract cannot be read.
    """
    contract = home.contract
    known = home.ledger.receipts("policy changed")
    before = known[-1].after if known else None
    if before == contract.policy_hash:
        return
    changed = changes(_policy(known[-1]), contract.decided_by) if known else []
    reason = "; ".join(change.sentence() for change in changed) if known else FIRST
    home.ledger.append(
        actor=home.settings.who,
        act="policy changed",
        subject=contract.name,
        before=before,
        after=contract.policy_hash,
        reason=reason,
        evidence={
            "policy": contract.decided_by,
            "changed": {change.field: [change.old, change.new] for change in changed},
            "contract": contract.model_hash,
        },
    )


def record_stand_down(home: Home) -> None:
    """After scoring or measuring: write a receipt when production began or ended to stand down, once each."""
    pointer, reason = home.releases.pointer(), Progress(home).stand_down()
    states = [r for r in home.ledger.receipts() if r.act in ("stand-down began", "stand-down ended")]
    last, version = states[-1] if states else None, None if pointer is None else pointer.version
    act = stand_down_act(last, version, reason)
    if act is None:
        return
    # Ended also where another version took over: the receipt is about the one that stood down.
    subject = last.subject if act == "stand-down ended" and last is not None else f"version {version}"
    measured = _measured(home, version)
    home.ledger.append(
        actor=home.settings.who,
        act=act,
        subject=subject,
        reason=reason or _ended(subject, version, measured),
        evidence={"version": version, "performance": measured},
    )


def _policy(receipt: Receipt) -> dict[str, Any]:
    policy: Any = receipt.evidence["policy"]
    return dict(policy)


def _ended(subject: str, version: int | None, measured: dict[str, Any] | None) -> str:
    if subject != f"version {version}":
        return f"V{subject[1:]} is no longer in production: version {version} is."
    if measured is not None and turned_over(*measured["interval"]):
        return f"The labels of {measured['as_of']} may be inverted, so {subject} is not judged by them."
    return f"V{subject[1:]} is better than chance again on the newest matured labels."


def _measured(home: Home, version: int | None) -> dict[str, Any] | None:
    """The newest realised performance of the version in production: its AUC with the interval."""
    own = [entry for entry in Progress(home).performance() if entry["version"] == version and entry["metrics"]]
    if not own:
        return None
    newest = max(own, key=lambda entry: str(entry["as_of"]))
    return {"as_of": newest["as_of"], "auc": newest["metrics"]["auc"], "interval": newest["metrics"]["auc_interval"]}
