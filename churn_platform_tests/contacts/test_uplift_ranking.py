"""Whether the effect may rank a home's list: learnt from earlier plans, judged on the newest one."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from churn_platform.contacts.plan import plan
from churn_platform.contacts.uplift_ranking import UpliftRanking, numbers
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.contract.model import Contract
from churn_platform_tests.contacts_business import declared

NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
MONTHS = [dt.date(2024, month, 28) for month in (1, 2, 3)]


class World:
    """Plans with matured labels of the gym; a fifth of those above the cut is untouched."""

    def __init__(self, *, customers=9_000, dogs=True, below=0.1, seed=0):
        self.contract = Contract.model_validate(declared(months=6))
        self.made, self.churned, self.planned = {}, {}, {}
        draw = np.random.default_rng(seed)
        for month in MONTHS:
            self.add(month, draw, customers, dogs=dogs, below=below)

    def add(self, month, draw, customers, *, dogs, below):
        key = pd.Series([f"{month:%b}{n}" for n in range(customers)], name="member")
        months = draw.integers(0, 60, customers)
        hours = draw.gamma(2, 4, customers)
        risk = 1 / (1 + np.exp(0.6 - 1.4 * (months - 30) / 17))
        effect = np.zeros(customers)
        if dogs:
            effect = np.where(months > 45, -0.5 * (1 - risk), 0.5 * risk * (hours > 7))
        rank = np.argsort(np.argsort(-risk))
        above = rank < customers // 2
        chance = np.where(above, 0.8, below)
        assigned = draw.random(customers) < chance
        churned = draw.random(customers) < np.clip(risk - assigned * effect, 0, 1)
        arm = np.where(
            above,
            np.where(assigned, "contact", "untouched"),
            np.where(assigned, "explore", "below"),
        )
        self.planned[month] = pd.DataFrame(
            {
                "member": key, "arm": arm, "assignment_probability": chance, "probability": risk,
                "stratum": np.where(above, 0, -1), "value": 100.0,
            }
        )  # fmt: skip
        self.churned[month] = pd.Series(churned, index=key)
        plans = draw.choice(["basic", "plus", "family"], customers)
        members = {"months": months, "plan": plans, "has_app": True, "town": "north"}
        self.made[month] = {
            "members": pd.DataFrame({"member": key, **members}),
            "visits": pd.DataFrame({"member": key, "hours": hours}),
        }

    @property
    def ranking(self):
        lake = SimpleNamespace(
            contract=self.contract,
            labels=lambda month, _: self.churned[month],
            tables=lambda month: self.made[month],
        )
        plans = SimpleNamespace(rows=lambda month: self.planned[month])
        labels = SimpleNamespace(lake=lake, plans=plans)
        return UpliftRanking(labels, NOW)

    def effects(self, months):
        return self.ranking.effects(months, self.made[MONTHS[2]], self.planned[MONTHS[2]]["member"])


@pytest.fixture(scope="module")
def dogs():
    """The highest risks leave because of the contact."""
    return World()


def test_it_is_on_where_it_beat_risk_on_the_newest_month(dogs):
    found = dogs.ranking.judge(MONTHS)
    assert (found.by, found.why_not) == ("effect", None)
    assert found.trained_on == ("2024-01-28", "2024-02-28")
    assert found.tested_on == "2024-03-28"
    assert found.risk < 0 < found.effect_interval[0]
    assert found.difference == pytest.approx(found.effect - found.risk)
    assert found.difference_interval[0] > 0
    assert found.level == pytest.approx(1 - 0.05 / 6)


def test_the_ranking_puts_those_first_whom_a_contact_keeps(dogs):
    effects = dogs.effects(MONTHS)
    rows = dogs.made[MONTHS[2]]
    harmed = rows["members"]["months"].to_numpy() > 45
    kept = ~harmed & (rows["visits"]["hours"].to_numpy() > 7)
    assert effects[harmed].mean() < 0 < effects[kept].mean()
    customers = dogs.planned[MONTHS[2]][["member", "probability", "value"]]
    policy = ContactPolicy(budget=1000)
    nobody = pd.Series([None] * len(customers), dtype=object)
    by_effect = plan(policy, "e", "member", customers.assign(effect=effects), nobody).rows
    by_risk = plan(policy, "e", "member", customers, nobody).rows
    harmed_keys = set(customers.loc[harmed, "member"])
    listed = [set(rows.loc[rows["arm"] == "contact", "member"]) for rows in (by_effect, by_risk)]
    assert len(listed[0] & harmed_keys) < 50
    assert len(listed[1] & harmed_keys) > 500
    assert "effect" not in by_risk


def test_it_is_off_without_an_effect_beyond_risk():
    found = World(dogs=False).ranking.judge(MONTHS)
    assert found.by == "risk"
    assert found.why_not in ("NOT_ABOVE_RANDOM", "NOT_ABOVE_RISK")
    assert found.tested_on == "2024-03-28"
    assert World(dogs=False).effects(MONTHS) is None


@pytest.mark.parametrize("months", [0, 1, 2, 3])
def test_it_is_off_with_too_few_churners(months):
    world = World(customers=600)
    found = world.ranking.judge(MONTHS[:months])
    assert (found.by, found.why_not, found.effect) == ("risk", "TOO_FEW", None)
    assert world.effects(MONTHS[:months]) is None
    assert found.assigned_churners < 1_000
    assert f"{found.assigned_churners:,}" in found.sentence


def test_the_months_it_was_learnt_from_do_not_judge_it(dogs):
    assert dogs.ranking.judge(MONTHS[:1]).why_not == "TOO_FEW"


def test_it_is_off_where_hardly_anyone_below_the_cut_is_contacted():
    found = World(below=0.015).ranking.judge(MONTHS)
    assert (found.by, found.why_not) == ("risk", "NOTHING_BELOW")


def test_explored_customers_are_assigned(dogs):
    ranking = dogs.ranking
    found = ranking._randomised([ranking._rows(MONTHS[0])])
    arms = dogs.planned[MONTHS[0]]["arm"]
    assert found.assigned.tolist() == arms.isin(["contact", "explore"]).tolist()
    assert (arms == "explore").sum() > 0


def test_a_category_that_is_unknown_or_missing_is_no_number(dogs):
    frame = pd.DataFrame(
        {
            "months": pd.array([1, None], dtype="Int64"),
            "plan": pd.Series(["plus", None]),
            "has_app": pd.array([True, None], dtype="boolean"),
            "hours": [2.5, 1.0],
        }
    )
    found = numbers(dogs.contract, frame)
    order = list(dogs.contract.features)
    assert found[0, order.index("months")] == 1
    assert found[0, order.index("plan")] == dogs.contract.features["plan"].values.index("plus")
    assert found[0, order.index("has_app")] == 1
    assert np.isnan(found[1]).sum() == 3
    assert found[1, order.index("hours")] == 1


def test_the_plan_is_drawn_from_the_effect_only_where_that_ranks(planned_copy, monkeypatch):
    home = planned_copy
    february = dt.date(2024, 2, 29)
    planning = home.contact_planning
    assert "effect" not in planning.drawn_from(february, home.now()).customers
    asked = []

    def effects(_, months, tables, keys):
        asked.append((months, sorted(tables), len(keys)))
        return np.linspace(-0.5, 0.5, len(keys))

    monkeypatch.setattr(UpliftRanking, "effects", effects)
    found = planning.drawn_from(february, home.now())
    assert found.customers["effect"].iloc[-1] == 0.5
    assert [(months, keys) for months, _, keys in asked] == [([], len(found.customers))]
    policy = home.contract.policy.contacts
    rows = plan(policy, "e", "member", found.customers, found.excluded).rows
    assert rows["effect"].iloc[0] == rows["effect"].max()
    record = home.contact_plans.complete(february, rows, {}, "digest")
    assert record.ranked_by == "effect"
    assert home.records.read("contact_plan", february)["ranked_by"] == "effect"


def test_the_record_of_a_small_home_says_too_few(worked):
    ranking = worked.campaigns.newest().ranking
    assert (ranking.by, ranking.why_not) == ("risk", "TOO_FEW")
    assert worked.contact_plans.record(dt.date(2024, 2, 29)).ranked_by == "risk"
    assert "ranked_by" not in worked.records.read("contact_plan", dt.date(2024, 2, 29))
