"""A release is verified whole before it answers: digests, contract, features in order, golden predictions."""

import pytest

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.training.release_loading import load_release
from churn_platform.training.scorer import FormScorer, ModelScorer

ROW = {"months": 4, "plan": "plus", "has_app": None, "hours": 3.5}


def test_a_release_with_a_serving_form_answers_without_its_pipeline_and_as_it(served):
    from churn_platform.promotion.promotions import released

    loaded = load_release(served.releases, served.contract, 2, served.releases.pointer())
    assert isinstance(loaded.scorer, FormScorer)
    assert loaded.sha256 == loaded.manifest.files["model.skops"]
    assert (loaded.since, loaded.previous_version) == ("2024-02-01T00:00:00+00:00", 1)
    pipeline = ModelScorer(released(served.releases, 2).model)
    assert loaded.scorer.probability([ROW]) == pytest.approx(pipeline.probability([ROW]), abs=1e-12)


def test_an_algorithm_without_a_serving_form_answers_by_its_pipeline(served):
    loaded = load_release(served.releases, served.contract, 1, served.releases.pointer())
    assert isinstance(loaded.scorer, ModelScorer)


def changed_contract(home, change):
    declared = home.contract.model_dump(mode="json")
    change(declared)
    return Contract.model_validate(declared)


def test_a_release_that_the_contract_cannot_feed_is_refused(served):
    def retyped(declared):
        declared["tables"]["members"]["columns"]["months"]["dtype"] = "float"

    with pytest.raises(ContractError) as error:
        load_release(
            served.releases, changed_contract(served, retyped), 2, served.releases.pointer()
        )
    assert error.value.code == "CONTRACT_CHANGED"


def test_the_order_of_the_contract_does_not_matter(served):
    def turned(declared):
        declared["feature_views"] = dict(reversed(declared["feature_views"].items()))

    pointer = served.releases.pointer()
    loaded = load_release(served.releases, changed_contract(served, turned), 2, pointer)
    usual = load_release(served.releases, served.contract, 2, pointer)
    assert loaded.scorer.probability([ROW]) == usual.scorer.probability([ROW])
    assert list(loaded.contract.features) == ["hours", "months", "plan", "has_app"]
