"""Contracts that changed: every version is made again, and the recorded contracts are verified."""

import datetime as dt

import pytest

from churn_platform.base.files import sha256_file
from churn_platform.ledger.acts import ContractChanged
from churn_platform.training.release import MANIFEST, PASSPORT
from churn_platform_tests.changing_business import JUNE, contract_of, write_contract
from churn_platform_tests.system.trusted_home import assert_told, edit_json, lines, verification

VERSIONS = range(1, 7)
pytestmark = pytest.mark.slow


def test_the_home_has_a_version_of_each_contract(changed):
    assert sorted(changed.registry.tags()) == [*VERSIONS]
    features = [
        {f.name for f in changed.registry.load(version).card.features} for version in VERSIONS
    ]
    assert ["guests" in found for found in features] == [False, *[True] * 5]
    assert ["has_app" in found for found in features] == [True, True, True, False, False, False]
    assert len(changed.ledger.receipts("contract changed")) == 6


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_reproduced_after_the_contract_changed(changed, version):
    found = changed.reproduction.reproduce(version)
    assert (found.reproduced, found.changed, found.noted) == (True, [], []), found
    assert all(one.same for one in found.compared)
    recorded = changed.registry.load(version)
    assert found.compared[0].found == recorded.card.dataset_digest


def test_every_contract_is_verified(changed):
    found = verification(changed, deep=True)
    assert found["verified"], found["breaks"]
    held = [
        one for one in found["findings"] if (one["check"], one["state"]) == ("contract", "holds")
    ]
    assert [one["count"] for one in held] == [6, 1, 6]


def test_a_contract_file_that_no_receipt_records_is_pending(changed_copy):
    contract = contract_of(JUNE)
    contract["tables"]["members"]["columns"]["lockers"] = {
        "dtype": "integer",
        "since": dt.date(2024, 7, 31),
    }
    found = verification(write_contract(changed_copy, contract), deep=True)
    assert found["verified"], found["breaks"]
    [pending] = [
        one for one in found["findings"] if (one["check"], one["state"]) == ("contract", "said")
    ]
    assert "members.lockers" in pending["detail"]


def forged(card):
    """The model card with the text of one column in its contract changed to another dtype."""
    card["contract"]["tables"]["members"]["columns"]["months"]["dtype"] = "float"


def test_a_model_card_with_another_contract_is_found_though_its_digests_fit(changed_copy):
    folder = changed_copy.releases.folder / "1"
    edit_json(folder / PASSPORT, forged)
    sha256 = sha256_file(folder / PASSPORT)
    edit_json(folder / MANIFEST, lambda manifest: manifest["files"].update({PASSPORT: sha256}))
    (folder / "manifest.sha256").write_text(sha256_file(folder / MANIFEST))
    found = verification(changed_copy, deep=True)
    assert_told(found, "the contract in the model card of version 1")


def test_one_byte_of_a_recorded_contract_is_found(changed_copy):
    def changed_byte(all_lines):
        return [line.replace(b'"guests"', b'"gUests"', 1) for line in all_lines]

    lines(changed_copy, changed_byte)
    found = verification(changed_copy, deep=True)
    assert not found["verified"]
    assert "does not match its digest" in found["first_break"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"after": "f" * 64}, "is not the one of its digest"),
        ({"before": "f" * 64}, "names another contract before it"),
    ],
)
def test_recorded_contracts_that_do_not_follow_each_other_are_found(changed_copy, change, sentence):
    newest = changed_copy.ledger.receipts("contract changed")[-1]
    act = ContractChanged.of(newest).model_copy(update={"before": newest.after} | change)
    changed_copy.ledger.append(act)
    assert_told(verification(changed_copy, deep=True), sentence)


def test_another_order_of_the_features_is_recorded(changed_copy):
    contract = contract_of(JUNE)
    views = dict(reversed(contract["feature_views"].items()))
    home = write_contract(changed_copy, contract | {"feature_views": views})
    newest = home.ledger.receipts("contract changed")[-1]
    home.contract_history.record()
    receipt = home.ledger.receipts("contract changed")[-1]
    assert (receipt.sequence > newest.sequence, receipt.after) == (True, newest.after)
    assert [*home.contract_history.recorded().features] == [*home.contract.features]
    assert home.contract_history.pending() == []
