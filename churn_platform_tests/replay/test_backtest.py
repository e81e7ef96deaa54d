"""The loop lived through again: the same rules, other policies, and nothing fitted twice."""

import datetime as dt

import numpy as np
import pytest

from churn_platform.base.errors import DataError
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.replay.backtest import Alternative, BacktestSteps, run_past_month
from churn_platform.replay.history import Memory, PastMonth, PastMonths
from churn_platform.simulator import SCENARIOS, simulate
from churn_platform_tests.simulator.core_loop import lived_month


def lived(alternative, memory):
    loop = BacktestSteps(alternative, memory)
    return loop, [run_past_month(loop, month) for month in memory.history.months]


@pytest.fixture(scope="module")
def memory(shifted):
    return Memory(shifted, "code")


def test_this_policy_answers_the_shift_with_a_new_model(contract, memory):
    loop, months = lived(Alternative("this", contract), memory)
    assert [month.run.answer.trigger for month in months][:3] == ["first", None, "performance"]
    assert [decision.as_of for decision in loop.decisions][:2] == ["2024-01-31", "2024-03-31"]
    assert {decision.decision for decision in loop.decisions[:2]} == {"promoted"}
    assert months[0].production is None
    assert months[1].realised.metrics.auc > 0.7 > months[2].realised.metrics.auc
    assert months[2].production.version == 1
    assert months[3].production.version == 2 == loop.in_production.version


def test_where_people_are_asked_what_passed_is_taken_as_approved(contract, memory, with_sections):
    asking = with_sections(contract, promotion={"mode": "approval"})
    loop, months = lived(Alternative("this", asking), memory)
    alone, automatic = lived(Alternative("this", contract), memory)
    assert loop.decisions[0].policy_hash == asking.policy_hash != contract.policy_hash
    assert [one.decision for one in loop.decisions] == [one.decision for one in alone.decisions]
    reasons = [month.run.answer.reason for month in months]
    assert reasons == [month.run.answer.reason for month in automatic]


def test_never_keeps_the_first_model_and_says_so(contract, memory):
    loop, months = lived(Alternative.never(contract), memory)
    assert [month.run.answer.trigger for month in months] == ["first", *[None] * 5]
    assert {month.run.answer.reason for month in months[1:]} == {"This policy never retrains."}
    assert loop.in_production.version == 1
    assert len(loop.decisions) == 1


def test_always_asks_in_every_month_with_new_labels_and_lets_the_gate_decide(contract, memory):
    loop, months = lived(Alternative.always(contract), memory)
    assert [month.run.answer.trigger for month in months] == ["first", *["schedule"] * 5]
    decided = [decision.decision for decision in loop.decisions]
    assert decided[:3] == ["promoted", "refused", "promoted"]
    assert loop.contract.policy.promotion == contract.policy.promotion


def test_policies_share_what_they_would_fit_alike_and_alone_fit_the_same(contract, shifted):
    shared = Memory(shifted, "code")
    for alternative in (Alternative("this", contract), Alternative.never(contract)):
        lived(alternative, shared)
    together = lived(Alternative.always(contract), shared)[0].decisions
    alone = Memory(shifted, "code")
    always = lived(Alternative.always(contract), alone)[0].decisions
    assert shared.fits == alone.fits, (
        "the other two need no fit that always retraining has not made"
    )
    assert alone.fits == 2 * 6, (
        "a candidate and a refit a month; the month-older recipe is the candidate before"
    )
    assert always == together


def test_with_late_labels_no_month_is_decided_on_before_they_have_matured():
    late = SCENARIOS["late-labels"]
    contract = late.contract(read_contract(default_contract_path()))
    months = list(simulate(contract, 1_500, 3, 1, scenario=late))
    history = PastMonths({month.as_of: lived_month(contract, month) for month in months})
    loop = BacktestSteps(Alternative.always(contract), Memory(history, "code"))
    first, second = [run_past_month(loop, month.as_of).run for month in months[:2]]
    assert first.decision is None
    assert second.decision.as_of == "2024-01-31"


def test_a_month_that_cannot_be_trained_on_is_refused_with_the_reason(
    contract, memory, monkeypatch
):
    def too_few(*_):
        raise DataError("too few churners")

    first = next(iter(memory.history.months))
    loop = BacktestSteps(Alternative.always(contract), memory)
    with pytest.raises(DataError, match="No candidate"):
        loop.decision(first, "first")
    monkeypatch.setattr(memory, "candidate", too_few)
    assert "too few churners" in loop.candidate(first).reason
    monkeypatch.setattr(memory, "dataset", lambda *_: None)
    assert "No labels" in loop.candidate(first).reason


def test_drift_is_measured_against_a_reference_as_old_as_today(declare, declared, month):
    people = declared["tables"]["people"] | {"ages": {"tenure": {"of": "joined", "unit": "months"}}}
    views = {**declared["feature_views"], "people_fv": {"table": "people", "features": ["tenure"]}}
    aging = declare(tables=declared["tables"] | {"people": people}, feature_views=views)
    months = {}
    for year in (0, 1):
        as_of = dt.date(2024 + year, 1, 31)
        rows = month(as_of, seed=year).assign(tenure=np.arange(1000) % 24 + 12 * year)
        months[as_of] = PastMonth(rows, ((as_of, MonthLabels(rows.set_index("member")["label"])),))
    shared = Memory(PastMonths(months), "code")
    first, today = months
    production = shared.candidate(aging, shared.dataset(aging, first))
    loop = BacktestSteps(Alternative("this", aging), shared)
    assert "tenure" not in loop._drift(production, today).drifted_columns
