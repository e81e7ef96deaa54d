"""The start of a run: a changed policy is recorded once, by whichever run sees it first."""

import pytest
import yaml

from churn_platform.base.errors import ContractError
from churn_platform.base.provenance import provenance
from churn_platform.loop.home_run import FIRST
from churn_platform_tests.small_business import DECLARED, make_home, open_home


def with_policy(home, **parts):
    contract = {**DECLARED, "policy": {**DECLARED["policy"], **parts}}
    home.contract_path.write_text(yaml.safe_dump(contract, sort_keys=False))
    return open_home(home.folder)


def test_the_first_run_writes_the_policy_down_and_the_next_one_nothing(tmp_path):
    home = make_home(tmp_path / "home")
    home.run_start.record_policy()
    [receipt] = home.ledger.receipts()
    assert (receipt.act, receipt.reason, receipt.actor) == ("policy changed", FIRST, "tester")
    assert (receipt.before, receipt.after) == (None, home.contract.policy_hash)
    assert receipt.evidence["policy"] == home.contract.decided_by
    assert receipt.evidence["contract"] == home.contract.model_hash
    assert provenance().items() <= receipt.evidence.items()
    open_home(home.folder).run_start.record_policy()
    assert home.ledger.head() == receipt


def test_a_changed_policy_is_a_receipt_with_every_field_and_both_values(tmp_path):
    home = make_home(tmp_path / "home")
    home.run_start.record_policy()
    before = home.contract.policy_hash
    home = with_policy(home, promotion={"min_holdout_churners": 40, "delta": 0.02})
    home.run_start.record_policy()
    receipt = home.ledger.head()
    assert (receipt.before, receipt.after) == (before, home.contract.policy_hash)
    assert "delta: 0.01 -> 0.02; " in receipt.reason
    assert receipt.evidence["changed"] == {
        "policy.promotion.delta": [0.01, 0.02],
        "policy.promotion.min_holdout_churners": [30, 40],
    }
    back = with_policy(home, **DECLARED["policy"])
    back.run_start.record_policy()
    assert (back.ledger.head().before, back.ledger.head().after) == (receipt.after, before)


def test_a_contract_that_changed_while_a_run_waited_is_not_taken_back(tmp_path):
    home = make_home(tmp_path / "home")
    waiting = open_home(home.folder)
    assert waiting.contract.name == "gym"
    changed = {**DECLARED, "slices": []}
    (home.folder / "contract.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    open_home(home.folder).run_start.complete()
    receipts = home.ledger.receipts("contract changed")
    with pytest.raises(ContractError) as refused:
        waiting.run_start.complete()
    assert refused.value.code == "CONTRACT_CHANGED"
    assert home.ledger.receipts("contract changed") == receipts
