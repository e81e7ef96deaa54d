"""The customers: lasting traits, keys that are never used twice, and an age that does not drift."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.simulator.churn import build_world
from churn_platform.simulator.population import FIRST_KEY, Population
from churn_platform_tests.simulator.shop import shop

COLUMNS = {
    "x": {"dtype": "float", "min": 0, "nullable": True},
    "y": {"dtype": "float", "min": 0},
    "plan": {"dtype": "category"},
    "since": {"dtype": "date"},
    "note": {"dtype": "string"},
}
CONTRACT = shop(COLUMNS, key="integer", label="integer")
WORLD = build_world(CONTRACT, np.random.default_rng(1))
X = ("facts", "x")
WEEK = dt.timedelta(days=7)
MONDAY = dt.date(2024, 1, 1)


def people_of(users=4_000, contract=CONTRACT):
    return Population(contract, WORLD, users, np.random.default_rng(2))


def facts(people, churned):
    return people.tables(people.latent({}), churned)["facts"].set_index("key")


def test_a_newcomer_has_a_new_key_and_the_traits_of_the_customer_who_left():
    people = people_of(6)
    plan = people.latent({})["facts", "plan"]
    people.replace_churners(np.array([False, True, False, False, True, False]))
    assert (people.entities() - FIRST_KEY).tolist() == [0, 6, 2, 3, 7, 5]
    assert (people.latent({})["facts", "plan"] == plan).all()
    text = people_of(2, shop(COLUMNS))
    assert text.entities().tolist() == [f"C{FIRST_KEY}", f"C{FIRST_KEY + 1}"]


def test_numbers_stay_standard_normal_and_vary_around_the_lasting_trait():
    people = people_of()
    months = []
    for _ in range(8):
        months.append(people.latent({})[X].copy())
        people.replace_churners(people.draw_churners(np.full(4_000, 0.2)))
    assert [np.std(month) for month in months] == pytest.approx([1.0] * 8, abs=0.05)
    correlations = np.corrcoef(months)[0, [1, 7]]
    assert correlations == pytest.approx([0.85, 0.70], abs=0.03)


def test_only_what_moves_is_moved_by_its_share():
    people = people_of()
    still = people.latent({})
    half = people.latent(WORLD.distances(0.5, 0.0))
    steps = {key: np.unique(np.round(half[key] - still[key], 9)).tolist() for key in still}
    assert sorted(steps.values()) == [[0.0], [0.0], [0.25]]


def test_a_null_has_no_part_in_the_chance_to_churn():
    people = people_of()
    latent = people.latent({})
    frame = people.tables(latent, people.draw_churners(np.full(4_000, 0.5)))["facts"]
    empty = frame["x"].isna().to_numpy()
    assert 0.02 < empty.mean() < 0.04
    differing = people.chance(latent | {X: latent[X] + 1.0}, 0.5) != people.chance(latent, 0.5)
    assert differing[~empty].mean() > 0.95
    assert not differing[empty].any()


def test_rows_are_in_the_order_of_the_keys_and_the_label_follows_the_draw():
    people = people_of(60)
    people.replace_churners(people.draw_churners(np.full(60, 0.5)))
    tables = people.tables(people.latent({}), np.arange(60) < 7)
    assert all(frame["key"].is_monotonic_increasing for frame in tables.values())
    left = tables["ends"]["left"]
    assert set(tables["ends"].loc[left == 1, "key"]) == set(people.entities()[:7])
    assert left.notna().all()
    assert tables["facts"]["note"].tolist() == [f"note {key}" for key in tables["facts"]["key"]]


def test_the_age_of_the_customers_does_not_drift():
    people = people_of()
    ages = []
    for week in range(15):
        as_of = MONDAY + week * WEEK
        chance = people.chance(people.latent({}), 0.0)
        people.set_start_days(as_of, 7, chance)
        churned = people.draw_churners(chance)
        since = facts(people, churned)["since"]
        assert since.between(pd.Timestamp("2021-01-01"), pd.Timestamp(as_of)).all()
        ages.append(((pd.Timestamp(as_of) - since).dt.days > 28).mean())
        people.replace_churners(churned)
    assert np.ptp(ages) < 0.05


def test_who_stays_keeps_the_day_of_joining_and_the_null():
    people = people_of(2_000)
    chance = np.full(2_000, 0.3)
    churned = np.arange(2_000) < 500
    people.set_start_days(MONDAY, 7, chance)
    before = facts(people, churned)
    people.replace_churners(churned)
    people.set_start_days(MONDAY + WEEK, 7, chance)
    after = facts(people, churned)
    stayed = before.index[500:]
    assert after.loc[stayed, "since"].equals(before.loc[stayed, "since"])
    assert after.loc[stayed, "x"].isna().equals(before.loc[stayed, "x"].isna())
    joined = after.drop(stayed)["since"]
    assert joined.between(pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-08")).all()
