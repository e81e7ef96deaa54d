"""The value at the budget in decisions: its rows, its scale, its terms, and where people see it."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from churn_platform.alerting.messages import message_of
from churn_platform.cli.status import show_status
from churn_platform.contacts.profit import SaveRate, expected_maximum_profit
from churn_platform.contacts.value import ContactTerms, value_at_budget, value_difference
from churn_platform.defs.promotion import _metadata
from churn_platform.promotion.contact_value import BudgetTerms, ContactValue, contact_value
from churn_platform_tests.contacts_business import LATER
from churn_platform_tests.outside.life import churn, shell
from churn_platform_tests.promotion.evidence_builder import build, changed
from churn_platform_tests.promotion.evidence_builder import decided as decision_of
from churn_platform_tests.small_business import (
    FEBRUARY,
    MARCH,
    candidate,
    copied,
    open_home,
    with_changes,
)


def terms(evidence, **changes):
    """The holdout is all customers, 100 contacts a month, everyone is worth 50."""
    rows = len(evidence.labels)
    fields = {
        "contacts": 100,
        "customers": float(rows),
        "value": np.full(rows, 50.0),
        "months": np.full(rows, "2024-02-29", dtype=object),
        "contact_cost": 1.0,
        "incentive": 3.0,
        "save_rate": SaveRate(),
    }
    return BudgetTerms(**(fields | changes))


def test_the_figures_are_those_of_the_value_at_the_budget():
    evidence = build(1)
    asked = terms(evidence)
    found = contact_value(evidence, 2, asked)
    common = {"budget": 100, "value": 50.0, "terms": ContactTerms(0.3, 1, 3)}
    own = value_at_budget(evidence.labels, evidence.candidate, **common)
    pair = value_difference(evidence.labels, evidence.candidate, evidence.production, **common)
    assert found.candidate.version == 2
    assert found.candidate.value == pytest.approx(own.value)
    assert found.candidate.interval == pytest.approx(dataclasses.astuple(own.interval))
    assert found.production.value == pytest.approx(pair.production.value)
    assert found.difference == pytest.approx(found.candidate.value - found.production.value)
    assert found.difference_interval == pytest.approx(dataclasses.astuple(pair.interval))
    profit = expected_maximum_profit(
        evidence.labels, evidence.candidate, value=50.0, incentive=3, contact_cost=1
    )
    assert (found.candidate.empc, found.candidate.empc_share) == pytest.approx(
        (profit.profit, profit.fraction)
    )
    assert found.note is None


def test_a_holdout_stands_for_all_customers():
    evidence = build(1)
    whole = contact_value(evidence, 2, terms(evidence))
    quarter = terms(evidence, contacts=400, customers=4.0 * len(evidence.labels))
    scaled = contact_value(evidence, 2, quarter)
    assert scaled.budget == 400
    assert scaled.candidate.value == pytest.approx(4 * whole.candidate.value)
    assert scaled.difference_interval == pytest.approx(
        tuple(4 * end for end in whole.difference_interval)
    )
    assert scaled.candidate.empc == whole.candidate.empc


def test_pooled_months_are_a_mean_a_month():
    evidence = build(1, months=2)
    rows = len(evidence.labels) // 2
    months = np.repeat(np.array(["2024-01-31", "2024-02-29"], dtype=object), rows)
    both = contact_value(evidence, 2, terms(evidence, months=months, customers=float(rows)))
    alone = [
        value_at_budget(
            evidence.labels[months == month], evidence.candidate[months == month],
            budget=100, value=50.0, terms=ContactTerms(0.3, 1, 3),
        ).value
        for month in ("2024-01-31", "2024-02-29")
    ]  # fmt: skip
    assert both.candidate.value == pytest.approx(np.mean(alone))


def test_rows_that_a_model_saw_and_rows_of_weight_0_do_not_count():
    evidence = build(1)
    hidden = np.arange(len(evidence.labels)) % 3 == 0
    flipped = np.where(hidden, ~evidence.labels, evidence.labels)
    seen = changed(evidence, candidate_saw=hidden)
    weights = np.where(hidden, 0.0, 1.0)
    for one in (seen, changed(evidence, weights=weights)):
        found = contact_value(one, 2, terms(one))
        again = contact_value(changed(one, labels=flipped), 2, terms(one))
        assert found.candidate == again.candidate
        assert found.candidate != contact_value(evidence, 2, terms(evidence)).candidate


def test_weights_count():
    evidence = build(1)
    weights = np.where(evidence.labels, 3.0, 1.0)
    heavy = contact_value(changed(evidence, weights=weights), 2, terms(evidence))
    assert heavy.candidate.value > 1.2 * contact_value(evidence, 2, terms(evidence)).candidate.value


@pytest.mark.parametrize(
    ("contacts", "alike", "measured"), [(9, True, 0), (12, True, 1), (29, False, 0), (31, False, 1)]
)
def test_too_few_effective_contacts_are_a_sentence(contacts, alike, measured):
    evidence = build(1)
    value = np.full(len(evidence.labels), 50.0)
    if not alike:
        value[0] = 51.0
    found = contact_value(evidence, 2, terms(evidence, contacts=contacts, value=value))
    assert (found.candidate is not None) == bool(measured)
    assert (found.note is None) == bool(measured)
    assert (found.difference is None) == (not measured)
    if not measured:
        assert found.note in found.sentence


def test_no_row_new_to_both_models_is_a_sentence():
    evidence = build(1)
    seen = changed(evidence, candidate_saw=np.ones(len(evidence.labels), dtype=bool))
    found = contact_value(seen, 2, terms(seen))
    assert (found.candidate, found.production, found.difference) == (None, None, None)
    assert found.note


def test_the_first_model_has_no_difference():
    evidence = build(1, production=None)
    found = contact_value(evidence, 1, terms(evidence))
    assert found.candidate.value
    assert (found.production, found.difference, found.note) == (None, None, None)


def test_a_measured_save_rate_takes_the_place_of_the_assumption():
    evidence = build(1)
    assumed = contact_value(evidence, 2, terms(evidence))
    measured = contact_value(
        evidence, 2, terms(evidence, save_rate=SaveRate(30, 30, measured=True))
    )
    assert (assumed.save_rate, assumed.save_rate_measured) == (0.3, False)
    assert "Beta(6, 14)" in assumed.sentence
    assert (measured.save_rate, measured.save_rate_measured) == (0.5, True)
    assert "Beta(6, 14)" not in measured.sentence
    assert measured.candidate.value > assumed.candidate.value


def test_customers_who_are_worth_nothing_have_no_empc():
    evidence = build(1)
    found = contact_value(evidence, 2, terms(evidence, value=np.zeros(len(evidence.labels))))
    assert found.candidate.value == pytest.approx(-400)
    assert found.candidate.empc is None


def test_without_a_value_of_a_customer_the_figures_are_saved_customers():
    evidence = build(1)
    money = contact_value(evidence, 2, terms(evidence, contact_cost=0.0, incentive=0.0))
    customers = terms(
        evidence, value=np.ones(len(evidence.labels)), contact_cost=0.0, incentive=0.0,
        unit="customers",
    )  # fmt: skip
    found = contact_value(evidence, 2, customers)
    assert found.unit == "customers"
    assert found.candidate.value == pytest.approx(money.candidate.value / 50)
    assert found.candidate.empc is None
    assert "policy.contacts.value" in found.sentence
    assert "policy.contacts.value" not in money.sentence


def test_a_decision_without_contacts_stays_as_it_was():
    decision = decision_of(build(1))
    assert "contact_value" not in decision.model_dump(mode="json")
    valued = decision.model_copy(
        update={"contact_value": contact_value(build(1), 2, terms(build(1)))}
    )
    assert valued.digest != decision.digest
    assert type(decision).model_validate(valued.model_dump(mode="json")) == valued


@pytest.fixture(scope="module")
def decided(worked, tmp_path_factory):
    """The gym in March with a decision on February's candidate, made and not carried out."""
    home = open_home(
        copied(worked, tmp_path_factory.mktemp("decided") / "home").folder, lambda: LATER
    )
    candidate(home, MARCH)
    home = open_home(home.folder, lambda: LATER)
    home.decision_maker.decide(MARCH, "manual")
    return open_home(home.folder, lambda: LATER)


def test_a_decision_with_contacts_holds_the_value_of_both_versions(decided):
    value = decided.decisions.newest().contact_value
    assert (value.budget, value.contact_cost, value.incentive) == (400, 2, 5)
    assert (value.candidate.version, value.production.version) == (2, 1)
    rate = decided.campaigns.record(MARCH).save_rate
    assert value.save_rate_measured
    assert value.save_rate_beta == (rate.alpha, rate.beta)
    assert value.difference == pytest.approx(value.candidate.value - value.production.value)
    low, high = value.difference_interval
    assert 0 < low < value.difference < high
    first = decided.decisions.all()[0].contact_value
    assert (first.save_rate_measured, first.production) == (False, None)


def test_the_terms_are_those_of_the_policy(worked_copy):
    dataset = worked_copy.training_datasets.load(MARCH)
    found = worked_copy.decision_maker._budget(dataset, MARCH)
    assert (found.contacts, found.unit, found.contact_cost, found.incentive) == (400, "money", 2, 5)
    assert set(found.value) == {100}
    assert found.customers == 1500
    share = with_changes(worked_copy, {"policy.contacts.budget": 0.2})
    assert share.decision_maker._budget(dataset, MARCH).contacts == 300
    no_value = with_changes(worked_copy, {"policy.contacts.value": None})
    found = no_value.decision_maker._budget(dataset, MARCH)
    assert (found.unit, found.contact_cost, found.incentive) == ("customers", 0, 0)
    assert set(found.value) == {1}


def test_the_value_of_each_customer_may_be_a_column(worked_copy):
    home = with_changes(worked_copy, {"policy.contacts.value": "visits.hours"})
    dataset = home.training_datasets.load(MARCH)
    found = home.decision_maker._budget(dataset, MARCH)
    rows = dataset.holdout_rows()
    hours = home.lake.tables(FEBRUARY)["visits"].set_index("member")["hours"].astype(float)
    own = hours.reindex(rows["member"])
    assert found.value == pytest.approx(own.fillna(own.mean()).to_numpy())


def test_the_value_is_shown_where_people_decide(decided, tmp_path):
    decision = decided.decisions.newest()
    sentence = decision.contact_value.sentence
    with shell(tmp_path):
        assert sentence in churn("decision", "--home", decided.folder).out
        status = churn("status", "--home", decided.folder).out
    assert sentence.removeprefix("Value of ") in status
    assert decided.status.production().contact_value == decision.contact_value
    metadata = _metadata(decision)
    assert metadata["value at the budget"] == sentence
    assert f"| candidate | 2 | {decision.contact_value.candidate.value:,.0f} |" in str(
        metadata["value by version"]
    )
    assert "value at the budget" not in _metadata(decision_of(build(1)))
    receipt = decided.ledger.receipts("decision")[-1]
    record = decision.model_dump(mode="json")
    refused = receipt.model_copy(update={"after": "refused"})
    assert sentence in message_of(refused, "gym", record).body


def test_a_request_for_approval_shows_the_value(decided, tmp_path):
    home = open_home(copied(decided, tmp_path / "home").folder, lambda: LATER)
    pending = home.decisions.newest().model_copy(update={"decision": "pending"})
    home.records.add_decision(pending.model_dump(mode="json"))
    home.decision_maker._complete()
    assert pending.contact_value.sentence in home.approvals.request(pending)
    home = open_home(home.folder, lambda: LATER)
    found = home.status.now()
    assert found.pending.contact_value == pending.contact_value
    console = Console(file=io.StringIO(), width=160)
    show_status(console, found.as_json())
    shown = console.file.getvalue()
    assert shown.count(pending.contact_value.sentence.removeprefix("Value of ")) == 2


def test_the_value_is_read_back(decided):
    value = decided.decisions.newest().contact_value
    assert ContactValue.model_validate(value.model_dump(mode="json")) == value
    assert value.of_version(1) == value.production
    assert value.of_version(9) is None
