"""Was the gate right: better, not better or open by the gate's own measure, and what following it gained."""

import datetime as dt
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.evaluation.gain import Gain
from churn_platform.ledger.receipts import append
from churn_platform.monitoring.comparison import shown
from churn_platform.replay.result import events_of
from churn_platform.replay.scoreboard import (
    events,
    judge,
    judging_months,
    takeovers,
    totals,
)

POLICY = PromotionPolicy()
MONTHS = [f"2024-{month:02}-28" for month in range(1, 11)]


@dataclass(frozen=True)
class Made:
    """A decision as the scoreboard reads it."""

    as_of: str = "2024-01-28"
    candidate_version: int = 2
    production_version: int | None = 1
    decision: str = "promoted"


def gained(difference, error, churners=200, incumbent=0.6, months=("2024-02-28", "2024-03-28")):
    return Gain(months, incumbent + difference, incumbent, error, churners, 1000)


GAINS = st.builds(gained, st.floats(-0.3, 0.3), st.floats(0, 0.2), st.integers(0, 300))


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        ((0.05, 0.02), "better"),
        ((0.05, 0.03), "open"),  # the interval reaches 0
        ((0.005, 0.001), "not better"),  # certain, and not worth it
        ((0.005, 0.0026), "open"),  # the interval reaches past delta
        ((-0.05, 0.02), "not better"),
        ((-0.05, 0.04), "open"),
        ((0.0, 0.0), "not better"),
        ((0.2, 0.01, 49), "open"),  # too few churners
        ((0.2, 0.01, 50), "better"),
    ],
)
def test_better_is_more_than_delta_and_beyond_noise_as_the_gate_asks(gain, expected):
    assert shown(gained(*gain), POLICY) == expected


def test_a_first_model_needs_no_delta_and_without_a_month_all_is_open():
    assert shown(gained(0.005, 0.001), POLICY, first=True) == "better"
    assert shown(gained(-0.01, 0.001), POLICY, first=True) == "not better"
    assert shown(None, POLICY) == "open"


@given(GAINS)
def test_what_is_right_of_a_promotion_is_wrong_of_a_refusal(gain):
    promoted, refused = (
        judge(Made(decision=word), gain, POLICY) for word in ("promoted", "refused")
    )
    mirror = {"right": "wrong", "wrong": "right", "open": "open"}
    assert refused.judgement == mirror[promoted.judgement]
    assert refused.gained == -promoted.gained
    assert judge(Made(decision="pending"), gain, POLICY).judgement == promoted.judgement


@given(GAINS)
def test_better_and_not_better_exclude_each_other_and_more_noise_only_opens(gain):
    found = shown(gain, POLICY)
    blurred = replace(gain, standard_error=2 * gain.standard_error)
    assert shown(blurred, POLICY) in (found, "open")
    if found == "better":
        assert gain.difference > POLICY.delta
    if found == "not better":
        assert gain.interval(POLICY.level).high <= POLICY.delta


def test_the_gain_is_in_auc_times_months_unless_costs_say_it():
    assert judge(Made(), gained(0.05, 0.01), POLICY).gained == pytest.approx(0.1)
    assert judge(Made(), gained(0.05, 0.01), POLICY, gained=-7.0).gained == -7.0
    assert judge(Made(), None, POLICY).gained is None


def test_the_sentence_names_both_versions_the_months_and_the_figures():
    said = judge(Made(), gained(0.05, 0.01), POLICY).sentence
    facts = ("1,000", "2024-02-28 to 2024-03-28", "0.650", "0.600", "+0.050 [+0.030, +0.070]")
    assert [fact for fact in facts if fact not in said] == []
    early = judge(Made(), gained(0.05, 0.04), POLICY).sentence
    assert early != judge(Made(), gained(0.05, 0.04), POLICY, final=True).sentence
    assert "3 churners" in judge(Made(), gained(0.2, 0.01, churners=3), POLICY).sentence
    unjudged = [judge(Made(production_version=None), None, POLICY, final=f) for f in (True, False)]
    assert "chance" in unjudged[0].sentence != unjudged[1].sentence


def test_the_months_after_a_decision_judge_it_until_another_version_comes():
    comes = [(MONTHS[5], 3)]
    assert judging_months(Made(MONTHS[0], 1, None), comes, MONTHS, 99) == (MONTHS[1:6], True)
    refused = Made(MONTHS[2], 2, 1, "refused")
    assert judging_months(refused, comes, MONTHS, 99) == (MONTHS[3:6], True), (
        "the replaced month was still served"
    )
    assert judging_months(Made(MONTHS[5], 3, 1), comes, MONTHS, 99) == (MONTHS[6:], False)
    assert judging_months(Made(MONTHS[5], 3, 1), [], MONTHS, 99) == (MONTHS[6:], False)


def test_a_rollback_to_the_incumbent_and_the_candidate_once_more_end_nothing():
    comes = [(MONTHS[0], 2), (MONTHS[3], 1), (MONTHS[6], 2)]
    assert judging_months(Made(MONTHS[0], 2, 1), comes, MONTHS, 99) == (MONTHS[1:], False)


@given(st.integers(1, 12), st.permutations(MONTHS))
def test_at_most_so_many_months_judge_and_then_it_is_final(most, months):
    found, final = judging_months(Made(MONTHS[1]), [], months, most)
    assert found == MONTHS[2:][:most]
    assert final == (len(MONTHS[2:]) >= most)


def test_what_came_into_production_is_read_from_the_ledger_whoever_brought_it():
    acts = [
        ("drop accepted", MONTHS[0]), ("decision", "version 1"), ("promotion done", "version 1"),
        ("drop accepted", MONTHS[1]), ("decision", "version 2"), ("drop corrected", MONTHS[0]),
        ("drop accepted", MONTHS[2]), ("approval", "version 2"), ("promotion done", "version 2"),
        ("drop accepted", MONTHS[3]), ("rollback done", "version 1"), ("decision", "version 3"),
    ]  # fmt: skip
    later = [(MONTHS[2], 2), (MONTHS[3], 1)]
    assert takeovers(events(receipts_of(acts))) == [[(MONTHS[0], 1), *later], later, []]


@dataclass(frozen=True)
class Lived:
    """A backtested month as `events_of` reads it."""

    as_of: dt.date
    decision: object | None

    @property
    def run(self):
        return self


@dataclass(frozen=True)
class Promoted(Made):
    """A decision that says whether it promotes."""

    @property
    def approved(self) -> bool:
        return self.decision == "promoted"


def receipts_of(acts):
    made = []
    for act, subject in acts:
        made.append(
            append(
                made[-1] if made else None,
                time="2024-03-01T06:00:00+00:00", actor="a", act=act, subject=subject, reason="why", evidence={},
            )
        )  # fmt: skip
    return made


@given(
    st.integers(0, 3),
    st.lists(st.sampled_from([None, "promoted", "refused"]), min_size=1, max_size=12),
    st.integers(1, 8),
)
def test_a_replay_under_the_same_policy_judges_the_same_decisions_on_the_same_months(
    horizon, answers, most
):
    """A life: month after month comes; once labels have matured, a candidate of that month is promoted or refused."""
    months = [dt.date(2024 + n // 12, n % 12 + 1, 28) for n in range(len(answers))]
    lived = []
    acts = []
    decisions = []
    production = None
    for number, (month, answer) in enumerate(zip(months, answers, strict=True)):
        acts.append(("drop accepted", month.isoformat()))
        decision = None
        if number >= horizon:
            if horizon:
                acts.append(("drop corrected", months[number - horizon].isoformat()))
            if answer is not None:
                trained = months[number - horizon].isoformat()
                decision = Promoted(trained, len(decisions) + 1, production, answer)
                decisions.append(decision)
                acts.append(("decision", f"version {decision.candidate_version}"))
                if decision.approved:
                    production = decision.candidate_version
                    acts.append(("promotion done", f"version {production}"))
        lived.append(Lived(month, decision))
    matured = [month.isoformat() for month in months[: max(len(months) - horizon, 0)]]
    by_ledger = takeovers(events(receipts_of(acts)))
    by_replay = takeovers(events_of(lived))
    assert len(by_ledger) == len(by_replay) == len(decisions)
    for decision, ours, theirs in zip(decisions, by_ledger, by_replay, strict=True):
        assert judging_months(decision, ours, matured, most) == judging_months(
            decision, theirs, matured, most
        )


@given(st.lists(st.tuples(st.sampled_from(["promoted", "refused"]), GAINS), max_size=8))
def test_totals_add_up(made):
    judged = [judge(Made(decision=word), gain, POLICY) for word, gain in made]
    found = totals(judged)
    assert found.decisions == found.right + found.wrong + found.open == len(made)
    assert found.wrong == found.needless + found.missed
    assert found.needless == sum(
        one.judgement == "wrong" and one.decision == "promoted" for one in judged
    )
    assert found.gained == pytest.approx(sum(one.gained for one in judged))
