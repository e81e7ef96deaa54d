"""GATE011: a feature that alone tells the label refuses the candidate, whatever its other figures are."""

from churn_platform.evaluation.leaks import Alone
from churn_platform_tests.promotion.evidence_builder import build, decided, finding

SOUND = Alone({"fee": 0.71, "visits": 0.62}, 0.95, 0.97)
LEAKING = Alone({"fee": 0.71, "final_bill": 0.994, "closed": 1.0}, 0.95, 0.97)


def test_the_finding_names_the_columns_their_auc_alone_and_what_to_do():
    found = finding(build(alone=LEAKING), "no_leak")
    assert (found.code, found.outcome, found.refuses, found.unsound) == (
        "GATE011",
        "fail",
        True,
        False,
    )
    assert found.detail == (
        "closed (AUC 1.000), final_bill (AUC 0.994) alone predict churn (the limit is 0.95, 0.970 with the luck of "
        "so few churners): they are probably known only after churning; leave it out of its feature view, or fix its "
        "extraction to give the value as it was at the as_of."
    )


def test_one_column_is_spoken_of_in_the_singular():
    detail = finding(build(alone=Alone({"closed": 1.0}, 0.95, 0.97)), "no_leak").detail
    assert detail.startswith("closed (AUC 1.000) alone predicts churn")
    assert "it is probably known only after churning" in detail


def test_a_candidate_that_beats_production_by_a_leak_is_refused():
    assert decided(build(alone=SOUND)).decision == "promoted"
    decision = decided(build(alone=LEAKING))
    assert decision.decision == "refused"
    assert decision.reason == finding(build(alone=LEAKING), "no_leak").detail


def test_a_feature_between_the_limit_and_luck_passes():
    assert finding(build(alone=Alone({"fee": 0.96}, 0.95, 0.97)), "no_leak").outcome == "pass"


def test_a_sound_training_set_passes_and_the_best_feature_is_named():
    assert finding(build(alone=SOUND), "no_leak").detail == (
        "No feature alone predicts churn; the best is fee with AUC 0.710 (the limit is 0.95, 0.970 with the luck of "
        "so few churners)."
    )


def test_it_is_asked_without_a_production_model_and_without_comparable_rows():
    assert finding(build(production=None, alone=LEAKING), "no_leak").outcome == "fail"
    assert finding(build(production_saw=None, alone=LEAKING), "no_leak").outcome == "fail"


def test_where_no_feature_was_judged_it_does_not_apply_and_does_not_refuse():
    for evidence in (build(), build(alone=Alone({}, 0.95, 1.0))):
        found = finding(evidence, "no_leak")
        assert (found.outcome, found.refuses) == ("not_applicable", False)
