"""The campaign: both potential outcomes are known, and a plan changes nothing but the labels."""

import datetime as dt
import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.ingestion.rules import conform
from churn_platform.simulator import (
    CAMPAIGN,
    NO_EFFECT,
    QUIET,
    Assignment,
    Campaign,
    CampaignTruth,
    ContactResponse,
    MonthTruth,
    Truth,
    assignment_of,
    best_auc,
    deliver,
    live_campaign,
    nobody,
    shifted,
    simulate,
)
from churn_platform_tests.simulator.shop import shop

STREAMFLOW = read_contract(default_contract_path())
CONTRACT = CAMPAIGN.contract(STREAMFLOW)
KEY = CONTRACT.entity.column
TABLE = CONTRACT.contacts.table


def everyone(month):
    """Half of all customers, in turn, with every tenth of the rest untouched."""
    keys = month.chances.index
    return Assignment(keys[::2], keys[1::10], keys[3::10])


def top(size, untouched=0.1):
    """The customers of the highest risk, a share of them untouched."""

    def plan(month):
        ranked = month.chances.sort_values(ascending=False).index[:size]
        left_alone = np.random.default_rng(month.as_of.toordinal()).random(size) < untouched
        return Assignment(ranked[~left_alone], ranked[left_alone])

    return plan


def lived(plan, months=3, users=2_000, seed=1, contract=CONTRACT, **others):
    return list(live_campaign(contract, users, months, seed, plan, **others))


@pytest.fixture(scope="module")
def worked():
    return lived(everyone, months=2, users=20_000)


def truths(months):
    return [month.truth for month in months]


def same(left, right):
    return all(
        a.truth == b.truth
        and a.contacts.equals(b.contacts)
        and all(a.tables[name].equals(b.tables[name]) for name in a.tables)
        for a, b in zip(left, right, strict=True)
    )


def by_slot(months):
    """What does not depend on the keys of later customers, sorted: chances and both outcomes."""
    columns = ["chance", "chance_if_reached", "leaves", "leaves_if_reached"]
    return [month.outcomes[columns].sort_values(columns).to_numpy() for month in months]


def test_a_seed_gives_the_same_campaign_and_another_seed_another():
    assert same(lived(everyone), lived(everyone))
    assert not same(lived(everyone), lived(everyone, seed=2))
    assert not same(lived(everyone), lived(everyone, people=3))
    assert same(lived(everyone, months=2), lived(everyone, months=3)[:2])


def test_without_contact_the_same_would_happen_whoever_is_contacted_in_all_months():
    alone, some, all_others = lived(nobody), lived(top(400)), lived(everyone)
    assert alone[0].truth.leaves_if_not_contacted == some[0].truth.leaves_if_not_contacted
    assert alone[0].truth.leaves_if_contacted == some[0].truth.leaves_if_contacted
    assert alone[1].truth.leaves_if_not_contacted != some[1].truth.leaves_if_not_contacted
    for one, two, three in zip(*map(by_slot, (alone, some, all_others)), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
    rates = [[month.truth.no_contact_churn_rate for month in m] for m in (alone, all_others)]
    assert rates[0] == rates[1]


def test_a_world_without_contacts_is_the_quiet_business_of_the_same_seed():
    quiet = list(simulate(STREAMFLOW, 2_000, 3, 1, scenario=QUIET))
    for month, plain in zip(lived(nobody), quiet, strict=True):
        pd.testing.assert_series_equal(month.chances, plain.chances)
        assert (month.truth.churn_rate, month.truth.best_auc, month.truth.drivers) == (
            plain.truth.churn_rate, plain.truth.best_auc, plain.truth.drivers,
        )  # fmt: skip
        for name, frame in plain.tables.items():
            found = month.tables[name].drop(columns="do_not_contact", errors="ignore")
            pd.testing.assert_frame_equal(found, frame)
        assert (month.truth.saved, month.truth.reached) == (0, ())
        assert month.truth.assignment == ((), (), ())
        assert month.truth.effect_of_contact is None


def test_the_label_is_the_potential_outcome_of_what_happened(worked):
    for month in worked:
        outcomes = month.outcomes
        arm = outcomes["arm"]
        assigned = arm.isin(["contact", "explore"])
        reached = np.where(
            assigned,
            outcomes["reached_if_assigned"],
            (arm == "untouched") & outcomes["reached_if_untouched"],
        )
        assert (outcomes["reached"] == reached).all()
        expected = np.where(reached, outcomes["leaves_if_reached"], outcomes["leaves"])
        assert (outcomes["left"] == expected).all()
        labels = month.labels.set_index(KEY)[CONTRACT.label.column]
        assert labels.equals(outcomes["left"].rename_axis(KEY).rename(labels.name))
        complete = month.tables[CONTRACT.label.table].set_index(KEY)[CONTRACT.label.column]
        assert complete.equals(labels)
    following = set(worked[1].outcomes.index)
    left = worked[0].outcomes["left"]
    assert set(left[~left].index) <= following
    assert not set(left[left].index) & following


def test_the_rates_are_those_of_the_scenario(worked):
    everybody = pd.concat([month.outcomes for month in worked])
    responses = CAMPAIGN.contacts
    rows = len(everybody)

    def about(share, chance, count):
        return abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / count)

    leaving = everybody["leaves"]
    assert about(everybody["reached_if_assigned"].mean(), responses.reach, rows)
    assert about(everybody["reached_if_untouched"].mean(), responses.contamination, rows)
    assert about(everybody["leaves_if_reached"][~leaving].mean(), 0.1, (~leaving).sum())
    assert about(leaving.mean(), everybody["chance"].mean(), rows)
    assert about(everybody["leaves_if_reached"].mean(), everybody["chance_if_reached"].mean(), rows)
    churners = everybody[leaving]
    for _, band in churners.groupby(pd.qcut(churners["chance"], 5), observed=True):
        expected = 0.8 - 0.4 * band["chance"].mean()
        assert about((~band["leaves_if_reached"]).mean(), expected, len(band))


def test_about_half_of_the_churners_on_the_list_are_saved_and_the_naive_figures_fall():
    months = [month for seed in range(4) for month in lived(top(1_400), 2, 7_000, seed)]
    listed = pd.concat([month.outcomes[month.outcomes["arm"] != ""] for month in months])
    assert 0.45 < (~listed["leaves_if_reached"][listed["leaves"]]).mean() < 0.6
    fall = np.mean([m.truth.no_contact_best_auc - m.truth.best_auc for m in months])
    assert 0.04 < fall < 0.07
    assert all(m.truth.churn_rate < m.truth.no_contact_churn_rate - 0.02 for m in months)


def top_and_some(month):
    """The customers of the highest risk, and some of the others to explore."""
    above = top(400)(month)
    others = month.chances.sort_values(ascending=False).index[400::20]
    return above._replace(explore=others)


def test_the_truth_agrees_with_the_outcomes():
    for month in lived(top_and_some):
        truth, outcomes = month.truth, month.outcomes
        listed = outcomes[outcomes["arm"].isin(["contact", "untouched"])]
        leaves = outcomes["leaves"].to_numpy()
        assert truth.no_contact_churn_rate == leaves.mean()
        assert truth.no_contact_best_auc == best_auc(leaves, outcomes["chance"].to_numpy())
        assert truth.churn_rate == outcomes["left"].mean()
        assert len(truth.contact) + len(truth.untouched) == len(listed) == 400
        assert truth.left == set(outcomes.index[outcomes["left"]])
        assert set(truth.leaves_if_not_contacted) == set(outcomes.index[outcomes["leaves"]])
        assert set(truth.leaves_if_contacted) == set(outcomes.index[outcomes["leaves_if_reached"]])
        assert truth.effect_of_contact == pytest.approx(
            listed["leaves"].mean() - listed["leaves_if_reached"].mean()
        )
        if_assigned = listed["leaves_if_reached"].where(
            listed["reached_if_assigned"], listed["leaves"]
        )
        if_untouched = listed["leaves_if_reached"].where(
            listed["reached_if_untouched"], listed["leaves"]
        )
        assert truth.effect_of_assignment == pytest.approx(if_untouched.mean() - if_assigned.mean())
        contacted = outcomes[outcomes["arm"].isin(["contact", "explore"])]
        assert truth.saved == contacted["leaves"].sum() - contacted["left"].sum()
        assert set(truth.reached) == set(outcomes.index[outcomes["reached"]])
        because = outcomes["left"] & ~outcomes["leaves"]
        assert truth.left_because_contacted == because.sum() > 0


def test_without_an_effect_contacts_change_no_label():
    without = replace(CAMPAIGN, contacts=NO_EFFECT)
    for month in lived(everyone, scenario=without):
        assert (month.outcomes["left"] == month.outcomes["leaves"]).all()
        assert (month.truth.saved, month.truth.effect_of_contact) == (0, 0.0)
        assert len(month.truth.reached) > 0


def test_the_switch_shifts_what_drives_churn_in_its_month():
    months = lived(nobody, months=4, scenario=shifted(CAMPAIGN, 3))
    drivers = [month.truth.drivers for month in months]
    assert drivers[0] == drivers[1] != drivers[2] == drivers[3]
    assert [month.truth.what_changed == "nothing" for month in months] == [True, True, False, True]


def test_contacts_arrive_with_the_next_drop_and_are_dated_between_the_two(worked):
    first, second = worked
    assert first.tables[TABLE].empty
    contacts = second.tables[TABLE]
    assert contacts.equals(first.contacts)
    days = contacts[CONTRACT.contacts.contacted_on]
    assert days.min() > pd.Timestamp(first.as_of)
    assert days.max() <= pd.Timestamp(second.as_of)
    assert days.nunique() == (second.as_of - first.as_of).days
    outcomes = first.outcomes
    assigned = outcomes["arm"].isin(["contact", "explore"])
    assert set(contacts[KEY]) == set(outcomes.index[assigned | outcomes["reached"]])
    unanswered = contacts[CONTRACT.contacts.outcome].isin(CONTRACT.contacts.not_reached)
    answered = contacts[~unanswered]
    assert sorted(answered[KEY]) == sorted(outcomes.index[outcomes["reached"]])
    per_customer = contacts.groupby(KEY).size()
    assert set(per_customer) == {1, 2}
    assert abs((per_customer == 2).mean() - 0.25) < 0.02
    actions = contacts[CONTRACT.contacts.action].value_counts(normalize=True)
    assert actions.between(0.3, 0.37).all()
    assert len(actions) == 3


def test_an_action_is_drawn_whatever_would_happen(worked):
    first = worked[0]
    action = first.contacts.drop_duplicates(KEY).set_index(KEY)[CONTRACT.contacts.action]
    leaves = first.outcomes["leaves"][action.index].groupby(action.to_numpy()).mean()
    assert np.ptp(leaves) < 0.04


def test_every_drop_keeps_the_contract_and_three_in_a_hundred_object():
    found = list(deliver(CONTRACT, 3_000, 3, 1, scenario=CAMPAIGN))
    folders = [one.folder for one in found]
    assert folders == [
        "2024-01-31", "2024-02-29", "labels/2024-01-31", "2024-03-31", "labels/2024-02-29",
    ]  # fmt: skip
    table, _, column = CONTRACT.do_not_contact.partition(".")
    for delivery in found:
        assert (CONTRACT.label.table in delivery.tables) == delivery.folder.startswith("labels/")
        for name, frame in delivery.tables.items():
            assert conform(CONTRACT, name, pd.DataFrame(frame.astype("string")))[1] == []
        if table in delivery.tables:
            assert 0.02 < delivery.tables[table][column].mean() < 0.04


def test_a_business_without_a_plan_contacts_its_riskiest_customers_and_none_who_objects():
    months = list(simulate(CONTRACT, 5_000, 2, 1, scenario=CAMPAIGN))
    for month in months:
        contacted = month.outcomes[month.outcomes["arm"] == "contact"]
        assert (len(contacted), month.truth.untouched) == (1_000, ())
        assert contacted["chance"].mean() > 2 * month.outcomes["chance"].mean()
        assert contacted["chance"].min() < month.outcomes["chance"].nlargest(1_500).min()
        table, _, column = CONTRACT.do_not_contact.partition(".")
        objecting = month.tables[table].set_index(KEY)[column]
        assert not objecting[contacted.index].any()
    assert same(months, simulate(CONTRACT, 5_000, 2, 1, scenario=CAMPAIGN))


def test_a_quiet_business_under_a_contract_with_contacts_contacts_nobody():
    plain = list(simulate(STREAMFLOW, 300, 2, 1))
    for month, other in zip(simulate(CONTRACT, 300, 2, 1), plain, strict=True):
        assert month.truth == other.truth
        assert month.tables[TABLE].empty
        assert list(month.tables[TABLE]) == [KEY, *CONTRACT.tables[TABLE].columns]
        assert month.tables["usage_agg_30d"].equals(other.tables["usage_agg_30d"])


def test_the_truth_in_the_file_reads_back_with_both_outcomes_and_an_old_file_still_reads():
    found = list(deliver(CONTRACT, 300, 2, 1, scenario=CAMPAIGN))
    truth = Truth.of(CAMPAIGN, 300, 1, found)
    written = json.loads(json.dumps(truth.as_json()))
    month = written["months"][0]
    assert {"as_of", "best_auc", "churn_rate", "drivers", "what_changed", "leak"} < month.keys()
    assert all(key.startswith("C") for key in month["leaves_if_contacted"])
    back = Truth.read(written, "the truth")
    assert back == truth
    assert [type(one) for one in back.months] == [CampaignTruth] * 2
    old = Truth.of(QUIET, 300, 1, list(deliver(STREAMFLOW, 300, 1, 1, scenario=QUIET)))
    written = json.loads(json.dumps(old.as_json()))
    assert len(written["months"][0]) == 6
    assert Truth.read(written, "the truth") == old
    assert [type(one) for one in old.months] == [MonthTruth]


def test_months_are_worked_one_after_the_other():
    campaign = Campaign(CONTRACT, 100, 1)
    with pytest.raises(UsageError):
        campaign.work(())
    month = campaign.month()
    assert CONTRACT.label.table not in month.tables
    assert (month.as_of, month.objecting.dtype) == (dt.date(2024, 1, 31), bool)
    with pytest.raises(UsageError):
        campaign.month()
    key = month.chances.index[0]
    for wrong in (["C7"], [key, key]):
        with pytest.raises(UsageError):
            campaign.work(wrong)
    with pytest.raises(UsageError):
        campaign.work([key], [key])
    assert campaign.work([key]).outcomes["arm"].value_counts()["contact"] == 1
    with pytest.raises(UsageError):
        campaign.work([key])
    with pytest.raises(UsageError):
        Campaign(STREAMFLOW, 100, 1)


def test_the_arms_of_a_plan_frame_are_worked():
    campaign = Campaign(CONTRACT, 100, 1)
    keys = campaign.month().chances.index
    arms = ["contact"] * 10 + ["untouched"] * 3 + ["explore"] * 2 + ["below"] * 85
    worked = campaign.work(*assignment_of(pd.DataFrame({KEY: keys, "arm": arms}), KEY))
    found = worked.outcomes["arm"]
    assert found[found != ""].tolist() == arms[:15]
    assert assignment_of(pd.DataFrame({KEY: keys[:1], "arm": ["below"]}), KEY) == ((), (), ())


GYM = {
    "name": "gym",
    "model_name": "gym_churn",
    "entity": {"column": "member", "dtype": "integer"},
    "cadence": "week",
    "tables": {
        "members": {
            "columns": {
                "visits": {"dtype": "integer", "min": 0, "max": 7},
                "balance": {"dtype": "float", "min": 0},
                "no_mail": {"dtype": "boolean", "nullable": True},
                "active": {"dtype": "integer", "nullable": True},
            }
        },
        "calls": {
            "columns": {
                "on": {"dtype": "date"},
                "how": {"dtype": "category", "values": ["phone", "post"]},
                "result": {"dtype": "string"},
                "spent": {"dtype": "integer", "min": 0},
                "listed": {"dtype": "boolean"},
                "remark": {"dtype": "string", "nullable": True},
            }
        },
    },
    "label": {
        "table": "members",
        "column": "active",
        "inverted": True,
        "horizon": {"weeks": 1},
    },
    "feature_views": {"wide": {"table": "members", "features": ["visits", "balance"]}},
    "contacts": {
        "table": "calls",
        "contacted_on": "on",
        "action": "how",
        "outcome": "result",
        "cost": "spent",
        "assigned": "listed",
    },
    "do_not_contact": "members.no_mail",
}


def test_another_business_with_its_own_contact_table_and_its_label_among_the_features():
    contract = CAMPAIGN.contract(Contract.model_validate(GYM))
    assert contract.contacts == Contract.model_validate(GYM).contacts
    found = list(deliver(contract, 400, 3, 2, scenario=CAMPAIGN))
    folders = [one.folder for one in found]
    assert folders[:3] == ["2024-01-31", "2024-02-07", "labels/2024-01-31"]
    assert list(found[2].tables) == ["members_label"]
    assert "active" not in found[0].tables["members"]
    for delivery in found:
        for name, frame in delivery.tables.items():
            assert conform(contract, name, pd.DataFrame(frame.astype("string")))[1] == []
    calls = found[1].tables["calls"]
    assert set(calls["how"]) == {"phone", "post"}
    assert calls["listed"].all()
    [month] = islice(simulate(contract, 400, 1, 2, scenario=CAMPAIGN), 1)
    stayed = month.tables["members"].set_index("member")["active"]
    assert (stayed.to_numpy() == ~month.outcomes["left"].to_numpy()).all()


def test_a_contact_column_that_has_no_simulated_value_is_refused():
    declared = json.loads(json.dumps(GYM))
    declared["tables"]["calls"]["columns"]["remark"]["nullable"] = False
    campaign = Campaign(CAMPAIGN.contract(Contract.model_validate(declared)), 100, 1)
    campaign.month()
    with pytest.raises(ContractError, match="remark"):
        campaign.work(())


def test_objections_that_are_a_feature_are_the_feature():
    declared = shop({"x": {"dtype": "float", "min": 0}, "no_mail": {"dtype": "boolean"}})
    given = declared.model_dump(mode="json", exclude_unset=True)
    contract = CAMPAIGN.contract(
        Contract.model_validate(given | {"do_not_contact": "facts.no_mail"})
    )
    month = Campaign(contract, 500, 1).month()
    told = month.tables["facts"].set_index("key")["no_mail"]
    assert (month.objecting == told).all()
    assert told.mean() > 0.2


def test_a_response_is_a_line_between_the_two_ends_of_risk():
    found = ContactResponse(0.8, 0.4).save_rate(np.array([0.0, 0.5, 1.0]))
    assert found.tolist() == pytest.approx([0.8, 0.6, 0.4])
