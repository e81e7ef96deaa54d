"""What each version reads: recorded in its model card, or found in the contract for an earlier platform's."""

import pytest

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.training.release import PASSPORT, ModelCard
from churn_platform.training.version_contracts import VersionContracts
from churn_platform_tests.api_client import FEWER, boosted, publish, with_contract
from churn_platform_tests.small_business import declared


def card_of(home, **changes):
    found = ModelCard.model_validate_json(home.releases.path(2, PASSPORT).read_bytes())
    return found.model_copy(update=changes)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_dropped_feature_is_read_as_long_as_the_tables_have_it(served, recorded):
    contracts = VersionContracts(declared(feature_views=FEWER), served.releases)
    card = card_of(served) if recorded else card_of(served, contract=None)
    assert contracts.why_not(card) == ""
    assert set(contracts.of(card).features) == {"months", "plan", "has_app", "hours"}
    assert set(contracts.reading.features) == {"months", "plan", "has_app", "hours"}


def test_a_version_of_an_earlier_platform_is_refused_when_a_feature_is_gone_or_retyped(served):
    for change in (
        lambda columns: columns["members"]["columns"].pop("has_app"),
        lambda columns: columns["members"]["columns"]["has_app"].update(dtype="integer"),
        lambda columns: columns["leavers"]["columns"].update(gone={"dtype": "boolean"}),
    ):
        tables = declared().model_dump(mode="json")["tables"]
        change(tables)
        label = {
            "table": "leavers",
            "column": "gone" if "gone" in tables["leavers"]["columns"] else "has_left",
        }
        contract = declared(feature_views=FEWER, tables=tables, label=label)
        with pytest.raises(ContractError) as error:
            VersionContracts(contract, served.releases).of(card_of(served, contract=None))
        assert error.value.code == "CONTRACT_CHANGED"


def test_the_contract_of_a_card_is_that_of_its_version_whatever_the_contract_became(served):
    own = VersionContracts(declared(feature_views=FEWER), served.releases).own(card_of(served))
    assert own == Contract.model_validate(card_of(served).contract)
    assert own.model_hash == served.contract.model_hash


@pytest.mark.parametrize(
    "damage",
    [
        lambda written: {},
        lambda written: written | {"entity": 7},
        lambda written: written | {"of_a_newer_platform": 1},
        lambda written: written | {"feature_views": FEWER},
    ],
)
def test_a_damaged_contract_in_a_card_is_refused_and_hides_no_other_version(served_copy, damage):
    written = damage(card_of(served_copy).contract)
    publish(served_copy, 4, boosted(served_copy), card={"contract": written})
    contracts = VersionContracts(served_copy.contract, served_copy.releases)
    with pytest.raises(ContractError) as error:
        contracts.of(served_copy.releases.card(4))
    assert error.value.code == "MODEL_UNREADABLE"
    assert list(contracts.released) == [1, 2, 3]
    assert contracts.reading is served_copy.contract


def test_the_features_of_all_released_versions_stay_readable(served_copy):
    more = with_contract(
        served_copy,
        feature_views={"members_fv": {"table": "members", "features": ["months", "town"]}},
    )
    publish(more, 4, boosted(more))
    contracts = VersionContracts(declared(feature_views=FEWER), served_copy.releases)
    assert set(contracts.reading.features) == {"months", "plan", "has_app", "hours", "town"}
    assert list(contracts.of(served_copy.releases.card(4)).features) == ["months", "town"]


def test_a_feature_that_became_the_label_stops_its_version_and_nothing_else(served):
    label = {"table": "members", "column": "has_app"}
    contract = declared(label=label, feature_views=FEWER, slices=[])
    contracts = VersionContracts(contract, served.releases)
    assert contracts.reading is contract
    with pytest.raises(ContractError) as error:
        contracts.of(card_of(served))
    assert error.value.code == "CONTRACT_CHANGED"
