"""A shadow scores one served customer and a month of them alike, and only what was registered."""

import numpy as np
import pytest

from churn_platform.base.errors import ContractError, IntegrityError
from churn_platform.contract.expressions import RuleInvalid
from churn_platform.contract.model import Contract
from churn_platform.experiments.shadow_scorer import (
    RuleScorer,
    canonical_rule,
    load_shadow,
    rows_of,
    score_frame,
)
from churn_platform.experiments.state import Shadow
from churn_platform.lake.tables import feature_frame
from churn_platform.training.release import manifest_digest
from churn_platform.training.release_loading import load_release
from churn_platform_tests.small_business import JANUARY

SINCE = "2024-02-01T00:00:00+00:00"
RULE = "coalesce(hours, 0) < 3 and plan = 'basic'"


def version_shadow(home, version, **changes):
    digest = manifest_digest(home.releases.manifest(version))
    fields = {"version": version, "manifest": digest, "since": SINCE, **changes}
    return Shadow(name=f"version {version}", **fields)


def frame_of(home):
    return feature_frame(home.contract, home.lake.tables(JANUARY))


@pytest.mark.parametrize(("version", "off"), [(2, 0.0), (1, 1e-15)])
def test_a_version_scores_a_month_as_the_api_serves_each_customer(served, version, off):
    """Bit for bit with a serving form; a pipeline of scikit-learn sums a batch in another order."""
    scorer = load_shadow(version_shadow(served, version), served.contract, served.releases)
    frame = frame_of(served)
    month = score_frame(scorer, frame)
    loaded = load_release(served.releases, served.contract, version, served.releases.pointer())
    for place in (0, 4, 9, 700, len(frame) - 1):
        row = rows_of(frame.iloc[[place]], list(served.contract.features))
        served_score = np.float64(loaded.scorer.probability(row)[0])
        assert abs(served_score - month[place]) <= off
        pushes = np.abs(loaded.scorer.contributions(row)[0])
        assert scorer.first_reasons(row) == [scorer.features[int(pushes.argmax())]]
    assert scorer.name == f"version {version}"
    assert scorer.first_reasons([]) == []


def test_a_rule_scores_every_customer_and_leaves_out_whose_rule_is_null(served):
    scorer = RuleScorer("hours - 2 * has_app", served.contract)
    frame = frame_of(served)
    month = score_frame(scorer, frame)
    expected = frame["hours"] - 2 * frame["has_app"].astype("Float64")
    assert np.isnan(month).sum() == expected.isna().sum() > 0
    known = expected.notna().to_numpy()
    assert (month[known] == expected[known].to_numpy(float)).all()
    one = scorer.score(rows_of(frame.iloc[[1]], scorer.features))
    assert one.tobytes() == month[1:2].tobytes()
    assert scorer.features == ["hours", "has_app"]
    assert scorer.first_reasons([{}]) is None


def test_a_month_is_scored_in_parts_as_at_once(served, monkeypatch):
    scorer = RuleScorer(RULE, served.contract)
    together = score_frame(scorer, frame_of(served))
    monkeypatch.setattr("churn_platform.experiments.shadow_scorer.ROWS_AT_ONCE", 7)
    assert score_frame(scorer, frame_of(served)).tobytes() == together.tobytes()
    assert score_frame(scorer, frame_of(served).head(0)).size == 0
    assert score_frame(RuleScorer("1", served.contract), frame_of(served)).tolist() == [1.0] * 1500


def test_a_rule_is_registered_by_one_text(served):
    texts = ["hours<3", " (hours) < 3.0 ", "hours < 3"]
    assert {canonical_rule(text, served.contract) for text in texts} == {"hours < 3"}


def test_another_release_than_the_registered_one_never_scores(served):
    with pytest.raises(IntegrityError) as error:
        load_shadow(version_shadow(served, 2, manifest="0" * 64), served.contract, served.releases)
    assert error.value.code == "MODEL_CHANGED"


def test_a_contract_that_lacks_a_feature_stops_version_and_rule(served):
    declared = served.contract.model_dump(mode="json")
    declared["feature_views"]["visits_fv"]["features"] = ["hours"]
    declared["tables"]["members"]["columns"]["months"]["dtype"] = "float"
    changed = Contract.model_validate(declared)
    with pytest.raises(ContractError):
        load_shadow(version_shadow(served, 2), changed, served.releases)
    with pytest.raises(RuleInvalid):
        load_shadow(Shadow(name="town = 1", rule="town = 1", since=SINCE), changed, served.releases)
