"""Contracts that changed: every version is made again, and the recorded contracts are verified."""

import pytest

VERSIONS = range(1, 7)


def test_the_home_has_a_version_of_each_contract(changed):
    assert sorted(changed.registry.tags()) == [*VERSIONS]
    features = [
        {f.name for f in changed.registry.load(version).card.features} for version in VERSIONS
    ]
    assert ["guests" in found for found in features] == [False, *[True] * 5]
    assert ["has_app" in found for found in features] == [True, True, True, False, False, False]
    assert len(changed.ledger.receipts("contract changed")) == 5


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_reproduced_after_the_contract_changed(changed, version):
    found = changed.reproduction.reproduce(version)
    assert (found.reproduced, found.changed, found.noted) == (True, [], []), found
    assert all(one.same for one in found.compared)
    recorded = changed.registry.load(version)
    assert found.compared[0].found == recorded.card.dataset_digest
