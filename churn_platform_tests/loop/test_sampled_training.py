"""A home whose policy limits the training rows: what is sampled, what is not, and that it can be made again."""

import json

import pytest
import yaml

from churn_platform.contract.reading import default_contract_path
from churn_platform.replay.home_replay import history_of
from churn_platform_tests import real_months
from churn_platform_tests.shared_homes import made_once
from churn_platform_tests.small_business import (
    DECLARED,
    JANUARY,
    candidate,
    copied,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
    up_to_scores,
    with_changes,
)

CUSTOMERS = 6000
LIMIT = 1000
MAX_ROWS = "policy.training.max_rows"


def limited(max_rows):
    """The gym's contract with a limit of the training rows."""
    policy = DECLARED["policy"]
    return {
        **DECLARED,
        "policy": {**policy, "training": {**policy["training"], "max_rows": max_rows}},
    }


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """January of 6,000 customers, 1,000 of whom train, and 1,000 are the holdout. Read only."""

    def make(folder):
        home = make_home(folder, limited(LIMIT))
        deliver(home, JANUARY, month_tables(JANUARY, CUSTOMERS))
        monthly(home, JANUARY)
        candidate(home, JANUARY)
        home.decision_maker.decide(JANUARY, "first")
        up_to_scores(home, JANUARY)

    return open_home(made_once(tmp_path_factory, "sampled_gym", make))


@pytest.fixture
def sampled_copy(sampled, tmp_path):
    return copied(sampled, tmp_path / "copy")


def everyone(home):
    """The training dataset of January without a limit, as it would be joined now."""
    free = with_changes(home, {MAX_ROWS: None})
    return free.training_datasets.build(JANUARY)


def test_the_dataset_has_the_sampled_customers_and_its_record_says_how_many(sampled):
    dataset = sampled.training_datasets.load(JANUARY)
    training, holdout = dataset.training_rows(), dataset.holdout_rows()
    assert (len(training), len(holdout), len(dataset.frame)) == (LIMIT, LIMIT, 2 * LIMIT)
    assert not set(training["member"]) & set(holdout["member"])
    assert dataset.sample == sampled.training_datasets.build(JANUARY).sample
    assert dataset.sample.training.of + dataset.sample.holdout.of == CUSTOMERS
    assert dataset.labelled(dataset.window.holdout) == CUSTOMERS
    record = sampled.records.read("training_dataset", JANUARY)
    assert record["sample"]["training"]["rows"] == record["sample"]["holdout"]["rows"] == LIMIT
    assert record["labels"]["rows"] == CUSTOMERS
    known_at = sampled.training_datasets.known_at(JANUARY)
    assert sampled.training_datasets.mismatches(dataset, known_at) == 0


def test_the_version_and_its_decision_say_what_they_rest_on_and_everyone_is_scored(sampled):
    dataset = sampled.training_datasets.load(JANUARY)
    version = sampled.registry.load(1)
    assert (version.card.training_rows, len(version.training_entities)) == (LIMIT, LIMIT)
    assert version.card.sample == dataset.sample
    assert version.card.made_from.max_rows == LIMIT
    assert version.card.metrics["rows"] == LIMIT
    decision = sampled.decisions.newest()
    assert decision.sample == dataset.sample
    assert decision.sample.sentence.count(f"{LIMIT:,}") == 3
    assert sampled.ledger.state().decisions[-1].evidence["decision"] == decision.digest
    scores = sampled.records.frame("scores", JANUARY)
    assert len(scores) == CUSTOMERS
    assert scores["trained_on"].sum() == LIMIT


def test_the_sample_is_a_part_of_all_rows_and_grows_with_the_limit(sampled_copy):
    small = sampled_copy.training_datasets.load(JANUARY).frame
    larger = with_changes(sampled_copy, {MAX_ROWS: 1200})
    middle = larger.training_datasets.build(JANUARY).frame
    complete = everyone(sampled_copy)
    assert set(small["member"]) < set(middle["member"]) < set(complete.frame["member"])
    rows = complete.frame[complete.frame["member"].isin(small["member"])].reset_index(drop=True)
    assert rows.equals(small)
    assert len(complete.frame) == CUSTOMERS
    assert complete.sample is None


def test_a_limit_that_is_never_reached_makes_the_dataset_of_no_limit(sampled_copy):
    loose = with_changes(sampled_copy, {MAX_ROWS: 50_000}).training_datasets.build(JANUARY)
    assert loose.digest == everyone(sampled_copy).digest
    assert loose.sample.training.rows == loose.sample.training.of


def test_a_changed_limit_makes_the_month_due_and_another_version(sampled_copy):
    assert sampled_copy.progress().next_step() is None
    larger = with_changes(sampled_copy, {MAX_ROWS: 1200})
    step = larger.progress().next_step()
    assert (step.kind, step.as_of) == ("monthly", JANUARY)
    monthly(larger, JANUARY)
    assert larger.progress().next_step() is None
    assert candidate(larger, JANUARY) == 2
    assert larger.registry.load(2).card.sample.training.rows == 1200


@pytest.mark.parametrize(
    ("field", "value"),
    [("policy.training.salt", "another"), ("policy.training.holdout_fraction", 0.35)],
)
def test_a_changed_holdout_makes_the_month_due_and_a_version_that_is_made_again(
    january_copy, field, value
):
    assert january_copy.progress().next_step() is None
    before = january_copy.training_datasets.load(JANUARY)
    changed = with_changes(january_copy, {field: value})
    step = changed.progress().next_step()
    assert (step.kind, step.as_of) == ("monthly", JANUARY)
    monthly(changed, JANUARY)
    assert changed.progress().next_step() is None
    assert changed.training_datasets.load(JANUARY).digest != before.digest
    version = candidate(changed, JANUARY)
    found = changed.reproduction.reproduce(version)
    assert found.reproduced, found.sentence


@pytest.mark.parametrize("now", [None, 1200, 50_000])
def test_a_version_is_made_again_from_its_own_sample_whatever_the_limit_is_now(sampled_copy, now):
    changed = with_changes(sampled_copy, {MAX_ROWS: now})
    found = changed.reproduction.reproduce(1)
    assert found.reproduced, found.sentence
    [noted] = found.noted
    assert noted.startswith(f"{MAX_ROWS}: {LIMIT} -> {json.dumps(now)}")


def test_a_version_without_a_limit_is_made_again_under_one(january_copy):
    found = with_changes(january_copy, {MAX_ROWS: LIMIT}).reproduction.reproduce(1)
    assert found.reproduced, found.sentence


def test_a_forgotten_customer_leaves_the_sample_and_nothing_is_due(sampled_copy):
    before = sampled_copy.training_datasets.load(JANUARY)
    key = before.training_rows()["member"].iloc[0]
    sampled_copy.erasure.erase(key, "ann", "asked by letter")
    home = open_home(sampled_copy.folder)
    frame = home.training_datasets.load(JANUARY).frame
    assert frame["member"].tolist() == [one for one in before.frame["member"] if one != key]
    assert home.progress().next_step() is None


def test_a_backtest_draws_the_customers_that_the_home_drew(sampled):
    dataset = sampled.training_datasets.load(JANUARY)
    history = history_of(sampled.labels, sampled.now())
    again = history.dataset(sampled.contract, JANUARY)
    assert (again.digest, again.sample) == (dataset.digest, dataset.sample)
    assert len(history.rows(JANUARY)) == CUSTOMERS


def test_without_a_limit_no_record_mentions_one(january):
    assert "sample" not in january.records.read("training_dataset", JANUARY)
    assert "sample" not in january.decisions.newest().model_dump(mode="json")
    card = january.registry.load(1).card.as_json()
    assert "sample" not in card
    assert "max_rows" not in card["made_from"]


def test_two_real_months_decide_on_a_sample(real_data, tmp_path):
    limit = 1500
    contract = yaml.safe_load(default_contract_path().read_text(encoding="utf-8"))
    contract.setdefault("policy", {}).setdefault("training", {})["max_rows"] = limit
    home = make_home(tmp_path / "home", contract)
    for month, trigger in ((real_months.JANUARY, "first"), (real_months.FEBRUARY, "drift")):
        home.ingestion.accept(real_data / month.isoformat(), month)
        monthly(home, month)
        candidate(home, month)
        decision = home.decision_maker.decide(month, trigger)
        home.decision_maker.carry_out()
        assert (decision.decision, decision.sample.training.rows) == ("promoted", limit)
        assert decision.sample.training.of > 2 * limit
        assert decision.sample.holdout.rows <= limit
        home = open_home(home.folder)
    dataset = home.training_datasets.load(real_months.FEBRUARY)
    assert set(dataset.forward_rows()["as_of"]) == {"2024-01-31"}
    assert len(dataset.forward_rows()) <= limit
    assert home.reproduction.reproduce(2).reproduced
