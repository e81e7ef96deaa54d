"""A changed policy and a stand-down are receipts, written once, by whichever run sees them first."""

import yaml

from churn_platform.base.provenance import provenance
from churn_platform.loop.state_receipts import FIRST, record_policy
from churn_platform.monitoring.stand_down import record_stand_down
from churn_platform_tests.small_business import DECLARED, JANUARY, make_home, open_home


def with_policy(home, **parts):
    contract = {**DECLARED, "policy": {**DECLARED["policy"], **parts}}
    (home.folder / "contract.yaml").write_text(
        yaml.safe_dump(contract, sort_keys=False), encoding="utf-8"
    )
    return open_home(home.folder)


def measured(home, low):
    """A realised performance of version 1 whose interval begins at `low`."""
    metrics = {"auc": low + 0.05, "auc_interval": [low, low + 0.1], "churners": 200}
    entry = {
        "version": 1,
        "as_of": JANUARY.isoformat(),
        "rows": 1000,
        "churners": 200,
        "metrics": metrics,
    }
    record = home.records.read("performance", JANUARY)
    home.records.write("performance", JANUARY, record | {"evaluated": [entry]})
    return home


def test_the_first_run_writes_the_policy_down_and_the_next_one_nothing(tmp_path):
    home = make_home(tmp_path / "home")
    record_policy(home)
    [receipt] = home.ledger.receipts()
    assert (receipt.act, receipt.before, receipt.after) == (
        "policy changed",
        None,
        home.contract.policy_hash,
    )
    assert (receipt.reason, receipt.subject, receipt.actor) == (FIRST, "gym", "tester")
    assert receipt.evidence["policy"] == home.contract.decided_by
    assert receipt.evidence["contract"] == home.contract.model_hash
    assert provenance().items() <= receipt.evidence.items()
    record_policy(open_home(home.folder))
    assert home.ledger.head() == receipt


def test_a_changed_policy_is_a_receipt_with_every_field_and_both_values(tmp_path):
    home = make_home(tmp_path / "home")
    record_policy(home)
    before = home.contract.policy_hash
    home = with_policy(home, promotion={"min_holdout_churners": 40, "delta": 0.02})
    record_policy(home)
    receipt = home.ledger.head()
    assert (receipt.before, receipt.after) == (before, home.contract.policy_hash)
    assert receipt.reason == (
        "policy.promotion.delta: 0.01 -> 0.02; policy.promotion.min_holdout_churners: 30 -> 40"
    )
    assert receipt.evidence["changed"] == {
        "policy.promotion.delta": [0.01, 0.02],
        "policy.promotion.min_holdout_churners": [30, 40],
    }
    back = with_policy(home, **DECLARED["policy"])
    record_policy(back)
    assert (back.ledger.head().before, back.ledger.head().after) == (receipt.after, before)


def test_standing_down_begins_and_ends_once_each(january_copy):
    home, before = january_copy, january_copy.ledger.head()
    record_stand_down(home)
    assert home.ledger.head() == before
    for _ in range(2):
        record_stand_down(measured(home, 0.45))
    began = home.ledger.head()
    assert (began.sequence, began.act, began.subject) == (
        before.sequence + 1,
        "stand-down began",
        "version 1",
    )
    assert "no better than chance" in began.reason
    assert began.evidence["performance"] == {
        "as_of": "2024-01-31",
        "auc": 0.5,
        "interval": [0.45, 0.55],
    }
    for _ in range(2):
        record_stand_down(measured(home, 0.6))
    ended = home.ledger.head()
    assert (ended.sequence, ended.act, ended.subject) == (
        began.sequence + 1,
        "stand-down ended",
        "version 1",
    )
    assert ended.reason == "Version 1 is better than chance again on the newest matured labels."


def test_labels_that_may_be_turned_over_end_it_without_a_claim_that_the_version_became_better(
    january_copy,
):
    record_stand_down(measured(january_copy, 0.45))
    record_stand_down(measured(january_copy, 0.2))
    ended = january_copy.ledger.head()
    assert (ended.act, ended.subject) == ("stand-down ended", "version 1")
    assert "2024-01-31 may be inverted" in ended.reason


def test_another_version_in_production_ends_it_and_the_reason_says_so(february_decided_copy):

    record_stand_down(measured(february_decided_copy, 0.45))
    february_decided_copy.decision_maker.carry_out()
    record_stand_down(open_home(february_decided_copy.folder))
    ended = february_decided_copy.ledger.head()
    assert (ended.act, ended.subject) == ("stand-down ended", "version 1")
    assert ended.reason == "Version 1 is no longer in production: version 2 is."
