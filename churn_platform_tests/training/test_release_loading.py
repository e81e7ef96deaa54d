"""A release is verified whole before it answers: digests, contract, features in order, golden predictions."""

import pytest

from churn_platform.base.errors import IntegrityError
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


def test_a_release_of_another_contract_is_refused(served_copy):
    declared = served_copy.contract.model_dump(mode="json")
    declared["tables"]["members"]["columns"]["months"]["dtype"] = "float"
    other = Contract.model_validate(declared)
    with pytest.raises(IntegrityError, match="release 2 was trained under another contract"):
        load_release(served_copy.releases, other, 2, served_copy.releases.pointer())


def test_a_release_with_the_features_in_another_order_is_refused(served):
    declared = served.contract.model_dump(mode="json")
    declared["feature_views"] = dict(reversed(declared["feature_views"].items()))
    other = Contract.model_validate(declared)
    assert other.model_hash == served.contract.model_hash
    with pytest.raises(IntegrityError, match="in another order than the contract"):
        load_release(served.releases, other, 2, served.releases.pointer())
