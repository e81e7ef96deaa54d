"""Publishing: a release holds all that serving needs, once, whatever has become of the data it was trained on."""

import pytest

from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.ledger.version_acts import PromotionIntent
from churn_platform.promotion.promotions import production_candidate
from churn_platform_tests.small_business import FEBRUARY, JANUARY


def planned(home):
    """The promotion of the newest candidate, as its decision asks for it."""
    decision = home.decisions.newest()
    return PromotionIntent(
        version=decision.candidate_version,
        before=decision.production_version,
        actor="tester",
        reason="why",
        decision="d",
        candidate=decision.candidate_digest,
        as_of=decision.as_of,
    )


def test_a_release_holds_all_that_serving_needs_and_reproduces_its_golden_predictions(january):
    manifest, candidate = january.releases.verify(1), production_candidate(january.releases)
    assert {feature.name: feature.dtype for feature in manifest.features} == {
        "months": "integer", "plan": "category", "has_app": "boolean", "hours": "float",
    }  # fmt: skip
    assert manifest.contract_hash == january.contract.model_hash
    assert manifest.threshold == candidate.model.threshold
    assert manifest.training_months == ["2024-01-31"]
    assert manifest.metrics == candidate.card.metrics
    assert len(manifest.golden) == 5
    rows = january.training_datasets.load(JANUARY).training_rows().head(5)
    assert [golden.probability for golden in manifest.golden] == candidate.model.probability(
        rows
    ).tolist()
    assert [golden.features["months"] for golden in manifest.golden] == rows["months"].tolist()
    absent = [golden.features["has_app"] is None for golden in manifest.golden]
    assert absent == rows["has_app"].isna().tolist()


def test_a_promoted_model_of_boosted_trees_is_published_with_its_serving_form(
    january_decided_copy, monkeypatch
):
    from churn_platform.promotion import publishing

    form = {"booster.txt": b"trees", "serving.json": b"{}"}
    monkeypatch.setattr(publishing, "serving_files", lambda model: form)
    january_decided_copy.decision_maker.carry_out()
    manifest = january_decided_copy.releases.verify(1)
    own = {"model.skops", "passport.json", "training_entities.npy", "feature_schema.json"}
    assert set(manifest.files) == own | set(form)
    assert production_candidate(january_decided_copy.releases).version == 1


def test_publishing_again_is_one_release_and_one_receipt(january_decided_copy):
    home = january_decided_copy
    home.publisher.publish(planned(home))
    manifest, head = home.releases.manifest(1), home.ledger.head()
    home.publisher.publish(planned(home))
    assert (home.releases.manifest(1), home.ledger.head()) == (manifest, head)
    assert head.act == "release published"
    assert (head.subject, head.evidence["files"]) == ("version 1", manifest.files)


def test_the_golden_rows_are_found_where_labels_mature_in_a_later_month(january_decided_copy):
    home = january_decided_copy
    rows = home.training_datasets.load(JANUARY).training_rows().head(5)
    for suffix in (".json", ".parquet"):
        home.records.path("training_dataset", JANUARY, suffix).rename(
            home.records.path("training_dataset", FEBRUARY, suffix)
        )
    home.records.write("training_dataset", JANUARY, {"digest": None})
    home.publisher.publish(planned(home))
    golden = home.releases.verify(1).golden
    assert [one.probability for one in golden] == home.registry.load(1).model.probability(
        rows
    ).tolist()


def test_golden_rows_of_other_data_show_the_model_where_its_own_were_remade(february_decided_copy):
    home = february_decided_copy
    home.records.path("training_dataset", FEBRUARY, ".json").unlink()
    home.publisher.publish(planned(home))
    rows = home.training_datasets.load(JANUARY).training_rows().head(5)
    probabilities = [one.probability for one in home.releases.verify(2).golden]
    assert probabilities == home.registry.load(2).model.probability(rows).tolist()


def test_without_any_rows_there_is_no_release(january_decided_copy):
    january_decided_copy.records.path("training_dataset", JANUARY, ".json").unlink()
    with pytest.raises(DataError, match="golden predictions"):
        january_decided_copy.publisher.publish(planned(january_decided_copy))
    assert january_decided_copy.releases.versions() == []


def test_another_candidate_than_the_decisions_is_not_taken_for_it(january_copy):
    other = planned(january_copy).model_copy(update={"candidate": "0" * 64})
    with pytest.raises(IntegrityError, match="Version 1 is not what its decision was about"):
        january_copy.publisher.publish(other)
