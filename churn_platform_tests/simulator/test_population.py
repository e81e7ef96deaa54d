"""The entities: lasting traits, keys that are never used twice, a customer base that does not age by itself."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.contract.model import Contract
from churn_platform.simulator.churn import build_world
from churn_platform.simulator.population import FIRST_KEY, Population

CONTRACT = Contract.model_validate(
    {
        "name": "shop",
        "model_name": "shop_churn",
        "entity": {"column": "key", "dtype": "integer"},
        "tables": {
            "facts": {
                "columns": {
                    "x": {"dtype": "float", "min": 0, "nullable": True},
                    "y": {"dtype": "float", "min": 0},
                    "plan": {"dtype": "category"},
                    "since": {"dtype": "date"},
                    "note": {"dtype": "string"},
                }
            },
            "ends": {"columns": {"left": {"dtype": "integer", "nullable": True}}},
        },
        "label": {"table": "ends", "column": "left"},
        "feature_views": {"facts_fv": {"table": "facts", "features": ["x", "y", "plan"]}},
    }
)
X = ("facts", "x")


def people_of(users=4_000, contract=CONTRACT):
    world = build_world(contract, np.random.default_rng(1))
    return Population(contract, world, users, np.random.default_rng(2))


def test_a_newcomer_takes_over_the_traits_of_the_one_who_left():
    people = people_of(6)
    plan = people.latent({})["facts", "plan"]
    people.replace_churners(np.array([False, True, False, False, True, False]))
    assert people.entities().tolist() == [
        FIRST_KEY,
        FIRST_KEY + 6,
        FIRST_KEY + 2,
        FIRST_KEY + 3,
        FIRST_KEY + 7,
        FIRST_KEY + 5,
    ]
    assert (people.latent({})["facts", "plan"] == plan).all()


def test_keys_are_never_used_twice():
    people, used = people_of(50), []
    for _ in range(20):
        churned = people.draw_churners(np.full(50, 0.3))
        used.extend(people.entities()[churned])
        people.replace_churners(churned)
    assert len(used) > 200
    assert len(set(used) | set(people.entities())) == len(used) + 50


def test_numbers_stay_standard_normal_and_wobble_around_the_lasting_trait():
    people, months = people_of(), []
    for _ in range(8):
        months.append(people.latent({})[X].copy())
        people.replace_churners(people.draw_churners(np.full(4_000, 0.2)))
    assert [np.std(month) for month in months] == pytest.approx([1.0] * 8, abs=0.05)
    assert np.corrcoef(months[0], months[1])[0, 1] == pytest.approx(0.85, abs=0.02)
    assert np.corrcoef(months[0], months[7])[0, 1] == pytest.approx(0.70, abs=0.03)


def test_only_what_moves_is_moved_and_only_by_the_share_asked_for():
    people = people_of()
    world = build_world(CONTRACT, np.random.default_rng(1))
    still, half = people.latent({}), people.latent(world.distances(0.5, 0.0))
    steps = {key: np.unique(np.round(half[key] - still[key], 9)).tolist() for key in still}
    assert sorted(steps.values()) == [[0.0], [0.0], [0.25]]


def test_a_null_has_no_part_in_the_chance_to_churn():
    people = people_of()
    latent = people.latent({})
    frame = people.tables(latent, people.draw_churners(np.full(4_000, 0.5)))["facts"]
    empty = frame["x"].isna().to_numpy()
    assert 0.02 < empty.mean() < 0.04
    differing = people.chance(latent | {X: latent[X] + 1.0}, 0.5) != people.chance(latent, 0.5)
    assert (differing[~empty]).mean() > 0.95
    assert not differing[empty].any()


def test_the_label_is_never_null_and_follows_the_draw():
    people = people_of(60)
    churned = people.draw_churners(np.full(60, 0.5))
    ends = people.tables(people.latent({}), churned)["ends"]
    assert ends["left"].tolist() == churned.astype(int).tolist()


def test_rows_are_in_the_order_of_the_keys_in_every_table():
    people = people_of(60)
    churned = people.draw_churners(np.full(60, 0.5))
    people.replace_churners(churned)
    again = np.arange(60) < 7
    tables = people.tables(people.latent({}), again)
    assert all(frame["key"].is_monotonic_increasing for frame in tables.values())
    assert set(tables["ends"].loc[tables["ends"]["left"] == 1, "key"]) == set(people.entities()[:7])
    assert tables["facts"]["note"].tolist() == [f"note {key}" for key in tables["facts"]["key"]]


def test_the_age_of_the_customer_base_does_not_drift():
    people, ages, as_of = people_of(), [], dt.date(2024, 1, 1)
    for _ in range(15):
        chance = people.chance(people.latent({}), 0.0)
        people.set_start_days(as_of, 7, chance)
        churned = people.draw_churners(chance)
        since = people.tables(people.latent({}), churned)["facts"]["since"]
        assert since.between(pd.Timestamp("2021-01-01"), pd.Timestamp(as_of)).all()
        ages.append(((pd.Timestamp(as_of) - since).dt.days > 28).mean())
        people.replace_churners(churned)
        as_of += dt.timedelta(days=7)
    assert np.ptp(ages) < 0.05


def test_who_stays_keeps_the_day_of_joining():
    people = people_of(200)
    people.set_start_days(dt.date(2024, 1, 1), 7, np.full(200, 0.3))
    churned = np.arange(200) < 50
    before = people.tables(people.latent({}), churned)["facts"].set_index("key")["since"]
    people.replace_churners(churned)
    people.set_start_days(dt.date(2024, 1, 8), 7, np.full(200, 0.3))
    after = people.tables(people.latent({}), churned)["facts"].set_index("key")["since"]
    stayed = before.index[50:]
    assert after.loc[stayed].equals(before.loc[stayed])
    assert after.drop(stayed).between(pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-08")).all()


def test_a_null_stays_with_its_customer():
    people = people_of(2_000)
    churned = np.arange(2_000) < 500
    before = people.tables(people.latent({}), churned)["facts"].set_index("key")["x"].isna()
    people.replace_churners(churned)
    after = people.tables(people.latent({}), churned)["facts"].set_index("key")["x"].isna()
    stayed = before.index[500:]
    assert after[stayed].equals(before[stayed])
    assert before[stayed].sum() > 20


def test_keys_are_text_where_the_contract_says_so():
    raw = CONTRACT.as_mapping()
    text = Contract.model_validate(raw | {"entity": {"column": "key", "dtype": "string"}})
    assert people_of(2, text).entities().tolist() == [f"C{FIRST_KEY}", f"C{FIRST_KEY + 1}"]
