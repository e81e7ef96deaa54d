"""The whole decision: what passes, how often luck does, what it is bound to, when production must stand down."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, rankdata

from churn_platform.base.errors import DataError
from churn_platform.contract.policy import PromotionPolicy
from churn_platform.drift.result import DriftFigures
from churn_platform.evaluation.leaks import Alone
from churn_platform.promotion.criteria import CRITERIA
from churn_platform.promotion.criteria.beats_production import should_promote
from churn_platform.promotion.criteria.interval_above_zero import detectable_gain
from churn_platform.promotion.decision import Decision, passes
from churn_platform_tests.promotion.evidence_builder import (
    DIGEST,
    build,
    changed,
    decided,
    picked,
    with_counts,
)

SEEDS = st.integers(0, 2**32 - 1)
CODES = [f"GATE{number:03d}" for number in range(1, 13)]


def exchanged(evidence, random):
    """The same evidence with the two models' scores exchanged for a random half of the entities."""
    codes = pd.factorize(evidence.entities)[0]
    swap = (random.random(codes.max() + 1) < 0.5)[codes]
    pair = evidence.candidate, evidence.production
    return evidence.with_scores(np.where(swap, *pair), np.where(swap, *pair[::-1]))


def promotions(evidence, tries, seed=0):
    """How often the old rule (AUC alone) and the gate promote one of two models that are exchangeable."""
    random, old, new = np.random.default_rng(seed), 0, 0
    for _ in range(tries):
        null = exchanged(evidence, random)
        better = should_promote(null.candidate_auc, null.production_auc, null.policy.delta)
        old += better
        new += better and passes(null)
    return old, new


def at_most(tries, rate=0.025):
    """What a true rate exceeds one time in a thousand."""
    return binom.ppf(0.999, tries, rate)


def test_the_gate_promotes_an_equal_model_no_more_often_than_its_level_says():
    old, new = promotions(build(seed=1, customers=700, candidate=1.5, production=1.5), tries=400)
    assert new <= at_most(400)
    # Not because it never promotes: AUC alone is fooled all the time, the interval about as often as it may be.
    assert old >= 80
    assert new >= 1


def test_the_gate_keeps_its_level_where_months_are_pooled_as_rows_taken_for_customers_would_not():
    # Whoever churns does so in all three months here: they hold no more proof than one.
    one_month = build(
        seed=1, customers=200, candidate=1.5, production=1.5, slices=pd.DataFrame(index=range(200))
    )
    pooled = picked(one_month, np.tile(np.arange(200), 3))
    random, by_entity, by_row = np.random.default_rng(0), 0, 0
    for _ in range(70):
        null = exchanged(pooled, random)
        better = should_promote(null.candidate_auc, null.production_auc)
        by_entity += better and passes(null)
        by_row += better and passes(changed(null, entities=np.arange(600).astype(object)))
    assert 1 <= by_entity <= at_most(70) < by_row


def test_a_gain_of_the_detectable_size_is_promoted_about_as_often_as_the_power_says():
    pairs = [build(seed=seed, customers=700, candidate=1.0, production=2.0) for seed in range(60)]
    gain = np.mean([pair.difference.difference for pair in pairs])
    detectable = np.mean([detectable_gain(pair) for pair in pairs])
    power = sum(map(passes, pairs)) / 60
    assert gain == pytest.approx(detectable, rel=0.15)
    assert 0.65 <= power <= 0.95


@given(SEEDS, st.floats(0.1, 4), st.floats(0.1, 4))
@settings(deadline=None, max_examples=25)
def test_never_do_both_directions_of_a_pair_pass(seed, one, other):
    policy = PromotionPolicy(delta=0.0, min_holdout_churners=2)
    evidence = build(seed=seed, customers=200, candidate=one, production=other, policy=policy)
    mirrored = evidence.with_scores(evidence.production, evidence.candidate)
    assert not (passes(evidence) and passes(mirrored))


@given(SEEDS, st.floats(0.2, 5), st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=10)
def test_a_copy_of_production_on_another_scale_never_passes(seed, power, months):
    policy = PromotionPolicy(delta=0.0, min_holdout_churners=2)
    evidence = build(seed=seed, customers=200, months=months, policy=policy)
    ranks = rankdata(evidence.production, method="dense")
    copy = evidence.with_scores((ranks / (ranks.max() + 1)) ** power)
    assert copy.difference.difference == 0
    assert not passes(copy)


def test_a_better_candidate_is_promoted_with_every_figure():
    decision = decided(build(seed=0, forward=0.3, alone=Alone({"fee": 0.7}, 0.95, 0.97)))
    assert (decision.decision, decision.approved, decision.stand_down) == ("promoted", True, False)
    assert (decision.as_of, decision.candidate_version) == ("2024-02-29", 2)
    assert [f.code for f in decision.findings] == CODES
    assert {f.outcome for f in decision.findings} == {"pass"}
    assert decision.reason == decision.findings[0].detail
    figures = {
        "candidate_auc": 0.7372, "production_auc": 0.6149, "difference_interval": (0.0816, 0.1630),
        "candidate_interval": (0.704, 0.770), "production_interval": (0.577, 0.653),
        "detectable_gain": 0.0582, "forward_auc": 0.7548,
    }  # fmt: skip
    for name, value in figures.items():
        assert getattr(decision, name) == pytest.approx(value, abs=1e-3), name


def test_the_first_candidate_needs_no_opponent_but_stands_on_its_own():
    decision = decided(build(seed=0, production=None), trigger="first")
    assert decision.decision == "promoted"
    assert (
        decision.production_version is decision.production_auc is decision.detectable_gain is None
    )
    passed = {f.code for f in decision.findings if f.outcome == "pass"}
    assert passed == {"GATE001", "GATE003", "GATE004", "GATE005", "GATE008", "GATE012"}
    assert {f.outcome for f in decision.findings if f.code not in passed} == {"not_applicable"}
    assert decided(build(seed=0, production=None, candidate=30.0)).decision == "refused"


def test_a_refusal_gives_every_reason_in_the_order_of_the_criteria():
    decision = decided(build(seed=0, candidate=2.0, production=0.3, as_of="2023-12-31"))
    refusing = [f for f in decision.findings if f.refuses]
    assert [f.code for f in refusing] == ["GATE001", "GATE002", "GATE006", "GATE007", "GATE010"]
    assert decision.reason == " ".join(f.detail for f in refusing)
    assert not any(f.unsound for f in refusing)


@pytest.mark.parametrize("name", ["candidate", "production", "forward"])
def test_a_score_that_is_no_probability_refuses_and_gives_no_figure(name):
    evidence = build(seed=0, forward=0.3)
    scores = getattr(evidence, name).copy()
    scores[:7] = math.nan
    decision = decided(changed(evidence, **{name: scores}))
    assert (decision.decision, decision.stand_down) == ("refused", False)
    assert [f.code for f in decision.findings] == CODES
    assert [(f.code, f.outcome) for f in decision.findings if f.unsound] == [("GATE004", "fail")]
    assert decision.reason.startswith(f"7 of the {name} model's 1,000 scores")
    for figure in ("candidate_auc", "production_auc", "difference_interval", "forward_auc"):
        assert getattr(decision, figure) is None


def test_fewer_scores_shifted_labels_and_the_wrong_class_are_refused():
    evidence = build(seed=0)
    decision = decided(changed(evidence, candidate=evidence.candidate[:-10]))
    assert decision.decision == "refused"
    assert "990 scores for 1,000 holdout rows" in decision.reason
    assert not passes(changed(evidence, labels=np.roll(evidence.labels, 1)))
    assert not passes(evidence.with_scores(1 - evidence.candidate))


@pytest.mark.parametrize("customers", [2, 3, 5, 20])
@pytest.mark.parametrize(("months", "production"), [(1, None), (1, 2.0), (2, 2.0)])
def test_a_handful_of_customers_is_refused_and_never_raises(customers, months, production):
    for seed in range(2):
        few = {"customers": customers, "months": months, "production": production}
        assert decided(build(seed=seed, forward=1.0, **few)).decision == "refused"


def test_a_production_model_that_scores_everyone_alike_is_at_chance_and_beaten():
    evidence = build(seed=0)
    flat = evidence.with_scores(evidence.candidate, np.full(1000, 0.2))
    decision = decided(flat)
    assert decision.production_interval == (0.5, 0.5)
    assert decision.decision == "promoted"
    assert decided(flat.with_scores(np.full(1000, 0.25))).stand_down


def test_a_decision_approves_one_version_with_one_digest_under_one_policy():
    decision = decided(build(seed=0))
    assert decision.allows(2, DIGEST, "policy") is None
    assert "version 3" in decision.allows(3, DIGEST, "policy")
    assert "digest" in decision.allows(2, "f" * 64, "policy")
    assert "policy" in decision.allows(2, DIGEST, "other")
    for state, passed, why_not in (("refused", False, "Why not."), ("pending", True, "approval")):
        other = decision.model_copy(update={"decision": state, "reason": "Why not."})
        assert (other.approved, other.passed) == (False, passed)
        assert why_not in other.allows(2, DIGEST, "policy")
        assert other.holds(2, DIGEST, "policy") is None


@pytest.mark.parametrize(("production", "stands_down"), [(30.0, True), (2.0, False)])
def test_with_approval_a_passing_candidate_is_pending_and_production_stands_down_until_then(
    production, stands_down
):
    policy = PromotionPolicy(mode="approval")
    decision = decided(build(seed=0, production=production, policy=policy))
    assert (decision.decision, decision.passed) == ("pending", True)
    assert decision.stand_down is stands_down
    automatic = decided(build(seed=0, production=production))
    assert (automatic.decision, automatic.findings) == ("promoted", decision.findings)
    assert decided(build(seed=0, candidate=30.0, policy=policy)).decision == "refused"


@pytest.mark.parametrize(
    ("compared", "production", "carried_out", "facts"),
    [
        (2.0, 1, None, None),
        (2.0, 2, None, None),
        (2.0, 5, None, ["version 1", "version 5"]),
        (2.0, None, None, ["version 1", "none"]),
        (None, None, None, None),
        (None, 1, None, ["no model", "version 1"]),
        # carried out, and rolled back since
        (2.0, 2, "2024-03-01", None),
        (2.0, 1, "2024-03-01", ["2024-03-01", "version 1"]),
    ],
)
def test_a_decision_lapses_with_another_production(compared, production, carried_out, facts):
    found = decided(build(seed=0, production=compared)).lapsed(production, carried_out)
    assert (found is None) == (facts is None)
    for fact in facts or ():
        assert fact in found


@pytest.mark.parametrize(
    ("candidate", "production", "decision", "stands_down"),
    [
        (30.0, 30.0, "refused", True),
        (30.0, 2.0, "refused", False),
        (0.3, 30.0, "promoted", False),
        (0.3, 2.0, "promoted", False),
        (30.0, None, "refused", False),
    ],
)
def test_production_stands_down_exactly_when_it_is_at_chance_and_nothing_better_passed(
    candidate, production, decision, stands_down
):
    found = decided(build(seed=4, candidate=candidate, production=production))
    reaches = found.production_interval is not None and found.production_interval[0] <= 0.5
    assert (found.decision, reaches) == (decision, production == 30.0)
    assert found.stand_down is stands_down


def test_production_that_ranks_the_wrong_way_round_does_not_stand_down():
    evidence = build(seed=4, candidate=30.0, production=1.0)
    found = decided(evidence.with_scores(evidence.candidate, 1 - evidence.production))
    assert found.production_interval[1] < 0.4
    assert (found.decision, found.stand_down) == ("refused", False)


def test_drift_figures_and_digests_are_carried_unchanged():
    drift = DriftFigures(
        drift_share=0.0714, drifted_columns=("a",), target_drift=0.02, prediction_drift=0.3
    )
    decision = decided(
        changed(build(seed=0), attempt=2),
        drift=drift,
        digests={"dataset": "d"},
        trigger="performance",
    )
    assert drift.model_dump().items() <= decision.model_dump().items()
    assert (decision.evidence, decision.trigger) == ({"dataset": "d"}, "performance")
    assert decision.attempt == 2


@pytest.mark.parametrize(
    "evidence",
    [build(seed=0), build(production_saw=None), with_counts(20, 100)],
    ids=["whole", "unknown", "few"],
)
def test_a_decision_comes_back_from_its_json_as_it_was(evidence):
    decision = decided(evidence)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert decided(evidence) == decision
    with pytest.raises(ValueError, match="frozen"):
        decision.decision = "promoted"


def test_the_criteria_are_twelve_with_codes_in_order_and_names_that_differ():
    assert [criterion.code for criterion in CRITERIA] == CODES
    assert len({criterion.name for criterion in CRITERIA}) == 12
    assert len({criterion.title for criterion in CRITERIA}) == 12


OTHER_LABEL = {"production": None, "production_saw": None, "not_comparable": "Another definition."}


def test_labels_that_do_not_judge_production_leave_the_decision_to_a_person():
    evidence = changed(build(), **OTHER_LABEL)
    decision = decided(evidence)
    assert (decision.decision, decision.production_version, decision.doubted) == (
        "pending",
        1,
        True,
    )
    assert decision.reason == "Another definition."
    found = {finding.name: finding for finding in decision.findings}
    outcomes = {name: finding.outcome for name, finding in found.items()}
    for name in ("beats_production", "interval_above_zero", "comparable", "no_slice_worse"):
        assert (outcomes[name], found[name].refuses) == ("not_applicable", False)
    assert outcomes["stands_on_its_own"] == outcomes["self_test"] == "pass"
    assert decision.production_auc is None
    assert decision.stand_down is False


def test_across_definitions_a_candidate_must_still_be_worth_something_and_be_newer():
    worthless = decided(changed(build(candidate=50.0), **OTHER_LABEL))
    assert (worthless.decision, worthless.doubted) == ("refused", True)
    older = decided(changed(build(), as_of="2023-12-31", **OTHER_LABEL))
    assert older.decision == "refused"
    too_few = decided(changed(with_counts(10, 40), **OTHER_LABEL))
    assert too_few.decision == "refused"


def test_a_candidate_without_ended_columns_need_only_be_no_worse_than_what_stands_down():
    ended = {
        "candidate_features": ("a",),
        "production_features": ("a", "b"),
        "ended": ("b",),
        "must_replace": True,
    }
    equal = build(seed=1, candidate=0.5, production=0.5)
    assert decided(equal).decision == "refused"
    assert decided(changed(equal, **ended)).decision == "promoted"
    assert decided(changed(equal, **ended | {"must_replace": False})).decision == "refused"
    assert decided(changed(build(candidate=2.0, production=0.3), **ended)).decision == "refused"
    both_worthless = build(candidate=50.0, production=50.0)
    assert decided(changed(both_worthless, **ended)).decision == "refused"


def test_production_without_scores_needs_a_reason():
    with pytest.raises(DataError):
        changed(build(), production=None)
    with pytest.raises(DataError):
        changed(build(), not_comparable="Another definition.")


def test_a_decision_has_both_feature_lists_only_if_they_differ():
    same = {"candidate_features": ("a", "b"), "production_features": ("b", "a")}
    plain = decided(build())
    assert decided(changed(build(), **same)).digest == plain.digest
    assert "candidate_features" not in plain.model_dump(mode="json")
    first = build(production=None, candidate_features=("a",))
    assert decided(first).candidate_features is None
    other = {"candidate_features": ("a", "c"), "production_features": ("a", "b"), "ended": ("b",)}
    decision = decided(changed(build(), **other))
    assert Decision.model_validate(decision.model_dump(mode="json")) == decision
    assert (decision.candidate_features, decision.production_features) == (("a", "c"), ("a", "b"))
    detail = decision.findings[3].detail
    for fact in ("only candidate reads c", "only production reads b", "missing values of b"):
        assert fact in detail
    assert decision.digest != plain.digest
